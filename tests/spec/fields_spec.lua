local support = require "support"
local fields = require "genet.fields"

describe("genet.fields", function()
  describe("of a query string or a form", function()
    local values = fields.new{"tag", "a", "q", "lua", "tag", "b", "getlist", "x"}

    it("gives the first value of a name", function()
      assert.equal("a", values.tag)
      assert.equal("lua", values.q)
      assert.is_nil(values.other)
    end)

    it("gives all values of a name in order", function()
      assert.same({"a", "b"}, values:getlist("tag"))
      assert.same({}, values:getlist("other"))
    end)

    it("is not confused by a field with the name of its method", function()
      assert.same({"x"}, values:getlist("getlist"))
    end)

    it("can be walked with pairs", function()
      local seen = {}
      for name, value in pairs(fields.new{"a", "1", "b", "2"}) do seen[name] = value end
      assert.same({a = "1", b = "2"}, seen)
    end)
  end)

  describe("of the headers", function()
    local headers = fields.headers(support.exchange{headers = {
      "User-Agent", "busted", "Accept", "text/html", "accept", "text/plain",
      "X_Real_IP", "198.51.100.1",
    }})

    it("reads a name in any case, with '_' for '-'", function()
      for _, name in ipairs{"User-Agent", "user-agent", "user_agent", "USER_AGENT"} do
        assert.equal("busted", headers[name])
      end
      assert.is_nil(headers.host)
      assert.is_nil(headers[1])
    end)

    it("gives every line of a name", function()
      assert.same({"text/html", "text/plain"}, headers:getlist("Accept"))
    end)

    it("does not take a header with '_' for the one with '-'", function()
      assert.is_nil(headers.x_real_ip)
      assert.same({}, headers:getlist("X-Real-IP"))
    end)

    it("gives every line to pairs", function()
      local lines = {}
      for name, value in pairs(headers) do lines[#lines + 1] = name .. "=" .. value end
      assert.equal("User-Agent=busted Accept=text/html accept=text/plain X_Real_IP=198.51.100.1",
        table.concat(lines, " "))
    end)

    it("cannot be changed", function()
      assert.has_error(function() headers.host = "x" end,
        "the headers of a request cannot be changed")
    end)
  end)
end)
