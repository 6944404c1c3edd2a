local support = require "support"
local cookie = require "genet.cookie"
local Request = require "genet.request"
local response = require "genet.response"

describe("genet.cookie", function()
  describe("parse", function()
    local cases = {
      {"a=1", {"a", "1"}},
      {"a=1; b=2", {"a", "1", "b", "2"}},
      {"a=1;b=2", {"a", "1", "b", "2"}},
      {" a = 1 ;\tb=2 ; ", {"a", "1", "b", "2"}},
      {"a=1; a=2", {"a", "1", "a", "2"}},
      {"a=", {"a", ""}},
      {"a=b=c==", {"a", "b=c=="}},
      {"a", {}},
      {"=b; ; ;=; a=1", {"a", "1"}},
      {'a="b c"', {"a", "b c"}},
      {'a="b\\054c\\"\\\\"', {"a", 'b,c"\\'}},
      {'a="\\\\054"', {"a", "\\054"}},
      {'a="\\999\\8"', {"a", "9998"}},
      {'a="', {"a", '"'}},
      {'a=""', {"a", ""}},
      {"caf\xc3\xa9=x\xff", {"caf\xc3\xa9", "x\xff"}},
      {"a=%20+", {"a", "%20+"}},
      {"", {}},
    }
    for _, case in ipairs(cases) do
      it(("reads %q"):format(case[1]), function()
        assert.same(case[2], cookie.parse{case[1]})
      end)
    end

    it("reads several lines", function()
      assert.same({"a", "1", "b", "2"}, cookie.parse{"a=1", "b=2"})
    end)

    it("takes time in proportion to what is sent", function()
      local function cost(text)
        local start = os.clock()
        for _ = 1, 20 do cookie.parse{text} end
        return os.clock() - start
      end
      for _, unit in ipairs{"a", " ", "=", ";", "a=1;", '"\\', " a"} do
        local small, large = cost(unit:rep(2000)), cost(unit:rep(64000))
        assert.is_true(large < 32 * 20 * small + 0.05, unit)
      end
    end)
  end)

  describe("format", function()
    local cases = {
      {{"a", "1"}, "a=1; Path=/; SameSite=Lax"},
      {{"a", 1}, "a=1; Path=/; SameSite=Lax"},
      {{"a", "1", {max_age = 60, secure = true, httponly = true, samesite = "strict"}},
        "a=1; Max-Age=60; Secure; HttpOnly; Path=/; SameSite=Strict"},
      {{"a", "1", {expires = 0}},
        "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; SameSite=Lax"},
      {{"a", "1", {domain = ".example.org", path = "/x"}},
        "a=1; Domain=example.org; Path=/x; SameSite=Lax"},
      {{"a", "1", {samesite = "None", secure = true, partitioned = true}},
        "a=1; Secure; Path=/; SameSite=None; Partitioned"},
      {{"__Host-a", "1", {secure = true}}, "__Host-a=1; Secure; Path=/; SameSite=Lax"},
      {{"a", "b c"}, 'a="b c"; Path=/; SameSite=Lax'},
      {{"a", "x\r\nSet-Cookie: b=2"}, 'a="x\\015\\012Set-Cookie: b=2"; Path=/; SameSite=Lax'},
      {{"a", 'x; Domain="y"\\'}, 'a="x\\073 Domain=\\"y\\"\\\\"; Path=/; SameSite=Lax'},
      {{"a", "\0\xc3\xa9"}, 'a="\\000\\303\\251"; Path=/; SameSite=Lax'},
    }
    for _, case in ipairs(cases) do
      it("writes " .. case[2], function()
        assert.equal(case[2], cookie.format(table.unpack(case[1])))
      end)
    end

    it("writes what parse reads", function()
      local value = {}
      for code = 0, 255 do value[#value + 1] = string.char(code) end
      value = table.concat(value) .. "\\0541"
      local written = cookie.format("a", value):match("^([^;]*)")
      assert.same({"a", value}, cookie.parse{written})
    end)

    local refused = {
      {"", "1", nil, "bad cookie name"},
      {"a b", "1", nil, "bad cookie name"},
      {"a=b", "1", nil, "bad cookie name"},
      {"a\r\nX", "1", nil, "bad cookie name"},
      {nil, "1", nil, "bad cookie name"},
      {"a", ("x"):rep(4095), nil, "browsers keep no more than 4096"},
      {"a", "1", {path = "/;x"}, "option 'path'"},
      {"a", "1", {path = "/\r\nX: y"}, "option 'path'"},
      {"a", "1", {domain = "a;b"}, "option 'domain'"},
      {"a", "1", {domain = "a\r\nb"}, "option 'domain'"},
      {"a", "1", {samesite = "none"}, "needs option 'secure'"},
      {"a", "1", {samesite = "other"}, "samesite must be"},
      {"a", "1", {partitioned = true}, "needs option 'secure'"},
      {"a", "1", {max_age = 0 / 0}, "option 'max_age'"},
      {"a", "1", {max_age = 1 / 0}, "option 'max_age'"},
      {"a", "1", {expires = 1 / 0}, "option 'expires'"},
      {"a", "1", {max_age = "1"}, "option 'max_age'"},
      {"a", "1", {http_only = true}, "unknown option 'http_only'"},
      {"__Secure-a", "1", nil, "__Secure%- needs"},
      {"__Host-a", "1", nil, "__Host%- needs"},
      {"__host-a", "1", {secure = true, domain = "x.org"}, "__Host%- needs"},
      {"__Host-a", "1", {secure = true, path = "/x"}, "__Host%- needs"},
    }
    for at, case in ipairs(refused) do
      it(("refuses %d: %s"):format(at, case[4]), function()
        assert.error_matches(function() cookie.format(case[1], case[2], case[3]) end, case[4])
      end)
    end
  end)

  it("reaches requests", function()
    local x = support.exchange{headers = {"Cookie", "a=1; b=2", "Cookie", "a=3; getlist=4"}}
    local req = setmetatable({_exchange = x}, Request)
    assert.equal("1", req.cookies.a)
    assert.same({"1", "3"}, req.cookies:getlist("a"))
    assert.same({"4"}, req.cookies:getlist("getlist"))
    assert.is_nil(req.cookies.c)
  end)

  describe("of a response", function()
    it("is one more line", function()
      local mine = {["set-cookie"] = "a=1", ["X-A"] = "b"}
      local answer = response.new{headers = mine}:set_cookie("b", "2"):set_cookie("c", "3")
      assert.same({"a=1", "b=2; Path=/; SameSite=Lax", "c=3; Path=/; SameSite=Lax"},
        answer.headers["Set-Cookie"])
      assert.equal("b", answer.headers["X-A"])
      assert.same({["set-cookie"] = "a=1", ["X-A"] = "b"}, mine)
      local head = response.head(nil, answer.headers)
      assert.equal(3, select(2, head:gsub("Set%-Cookie: ", "")))
    end)

    it("keeps a list of lines", function()
      local answer = response.new{headers = {["Set-Cookie"] = {"a=1", "b=2"}}}:set_cookie("c", "3")
      assert.equal(3, #answer.headers["Set-Cookie"])
    end)

    it("is ended", function()
      local answer = response.redirect("/"):delete_cookie("a", {path = "/x"})
      assert.same({"a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/x; SameSite=Lax"},
        answer.headers["Set-Cookie"])
    end)

    it("is refused where the script asks for it", function()
      local err = support.raised(function() response.new{}:set_cookie("a b", "1") end)
      assert.matches('cookies_spec.lua:%d+: bad cookie name "a b"', err)
    end)
  end)
end)
