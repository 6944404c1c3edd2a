local support = require "support"
local Request = require "genet.request"
local http_error = require "genet.http_error"
local json = require "genet.json"

local function request(given, fields)
  local req = {
    _exchange = support.exchange(given),
    _started = false,
    method = "GET",
    path = "/item/42",
    route = {names = {"id"}},
    _values = {42},
  }
  for name, value in pairs(fields or {}) do req[name] = value end
  return setmetatable(req, Request)
end

local function typed(content_type, body)
  return request{headers = {"Content-Type", content_type}, body = body}
end

describe("genet.request", function()
  it("knows where it came from and what it asks for", function()
    local req = request{headers = {"Host", "example.org:5000"}, query = "a=1"}
    assert.equal("192.0.2.7", req.remote_addr)
    assert.equal(40000, req.remote_port)
    assert.equal("http", req.scheme)
    assert.equal("example.org:5000", req.host)
    assert.equal("request-1", req.id)
    assert.equal("a=1", req.query)
    assert.equal("http://example.org:5000/item/42?a=1", req.url)
    assert.is_nil(req.nonsense)
  end)

  it("knows Flask's words", function()
    local req = request({
      headers = {"Host", "example.org", "Content-Type", "application/json; charset=utf-8",
        "Content-Length", "12", "Referer", "http://x/", "User-Agent", "test",
        "Authorization", "Basic QW5uOnA6dz8/"},
      query = "a=1",
    }, {path = "/two words"})
    req.route.name = "blog.show"
    assert.same({type = "basic", username = "Ann", password = "p:w??"}, req.authorization)
    for name, value in pairs{
      endpoint = "blog.show", blueprint = "blog", base_url = "http://example.org/two%20words",
      host_url = "http://example.org/", full_path = "/two%20words?a=1", is_json = true,
      mimetype = "application/json", content_type = "application/json; charset=utf-8",
      content_length = 12, referrer = "http://x/", user_agent = "test", is_secure = false,
    } do
      assert.equal(value, req[name], name)
    end
    assert.same({"192.0.2.7"}, req.access_route)
    req = request{headers = {"Authorization", "Bearer  a.b "}}
    assert.same({type = "bearer", token = "a.b"}, req.authorization)
    assert.is_nil(request{headers = {"Authorization", "Basic %%"}}.authorization)
    assert.is_nil(request().endpoint)
  end)

  it("keeps what a script puts into it", function()
    local g = request().g
    assert.equal("none", g:get("user", "none"))
    g.user, g.get = "ann", nil
    assert.equal("ann", g:get("user"))
    assert.same({user = "ann"}, g)
  end)

  it("gives what stands in for a missing or unfit argument", function()
    local args = request{query = "page=2&list=a&list=b&bad=x&get=g"}.args
    assert.equal(2, args:get("page", 1, "integer"))
    assert.equal(1, args:get("bad", 1, "integer"))
    assert.equal("g", args:get("get"))
    assert.equal("none", args:get("nothing", "none"))
    assert.same({"a", "b"}, args:list("list"))
    assert.equal("x!", args:get("bad", nil, function(text) return text .. "!" end))
    assert.equal("en", request().headers:get("Accept-Language", "en"))
    assert.matches("'integer', 'number' or a function was expected, not 'int'",
      support.blamed(function() args:get("page", 1, "int") end))
  end)

  it("has an empty query and host when there is none", function()
    local req = request()
    assert.equal("", req.query)
    assert.equal("", req.host)
    assert.same({}, req.args)
  end)

  it("gives the arguments of the rule by name", function()
    assert.same({id = 42}, request().params)
    assert.same({}, request({}, {_values = false, route = {names = {}}}).params)
  end)

  it("reads the query string", function()
    local req = request{query = "q=two+words&tag=a&tag=b"}
    assert.equal("two words", req.args.q)
    assert.same({"a", "b"}, req.args:getlist("tag"))
    assert.is_nil(req.args.other)
  end)

  it("reads headers", function()
    local req = request{headers = {"User-Agent", "busted", "Accept", "a", "Accept", "b"}}
    assert.equal("busted", req.headers.user_agent)
    assert.same({"a", "b"}, req.headers:getlist("accept"))
  end)

  it("keeps what it has worked out", function()
    local req = request{query = "a=1", headers = {}}
    for _, name in ipairs{"args", "params", "headers", "g", "form"} do
      assert.is_true(rawequal(req[name], req[name]), name)
    end
  end)

  it("has a table for the script's own use, one for each request", function()
    local one, two = request(), request()
    one.g.user = "Ann"
    assert.equal("Ann", one.g.user)
    assert.is_nil(two.g.user)
  end)

  describe("body", function()
    it("is a string, read once", function()
      local req = request{body = "hello"}
      assert.equal("hello", req:body())
      assert.equal("hello", req:body())
      assert.equal(1, req._exchange.bodies_read)
      assert.equal("", request():body())
    end)

    it("comes in pieces too", function()
      local req = request{pieces = {"abc", "de"}}
      assert.equal("abc", req:read(10))
      assert.equal("d", req:read(1))
      assert.equal("e", req:read())
      assert.is_nil(req:read())
    end)

    it("raises when it cannot be had", function()
      local statuses = {["too large"] = 413, closed = 400, timeout = 408, cancelled = 503}
      for reason, status in pairs(statuses) do
        for _, method in ipairs{"body", "read", "json"} do
          local req = request{body_error = reason, headers = {"Content-Type", "application/json"}}
          local err = support.raised(req[method], req)
          assert.is_true(http_error.is(err))
          assert.equal(status, err.status)
        end
      end
      local gone = request{body_error = "closed"}
      assert.equal("the client closed the connection", support.raised(gone.body, gone).message)
    end)
  end)

  describe("json", function()
    it("reads a body that says it is JSON", function()
      for _, content_type in ipairs{
        "application/json", "Application/JSON; charset=utf-8", "application/problem+json",
      } do
        assert.same({a = {1}}, typed(content_type, '{"a":[1]}'):json())
      end
      assert.is_false(typed("application/json", "false"):json())
      assert.equal(json.null, typed("application/json", "null"):json())
    end)

    it("raises a 415 for any other type", function()
      for _, content_type in ipairs{"text/plain", "text/json", "", "application/jsonp"} do
        local req = typed(content_type, "{}")
        assert.equal(415, support.raised(req.json, req).status)
      end
      local untyped = request{body = "{}"}
      assert.equal(415, support.raised(untyped.json, untyped).status)
    end)

    it("raises a 400 for a broken body", function()
      for _, body in ipairs{"{", "", "nope"} do
        local req = typed("application/json", body)
        local err = support.raised(req.json, req)
        assert.equal(400, err.status)
        assert.matches("^the body is not JSON: ", err.message)
      end
    end)

    it("can be forced, and can be silent", function()
      assert.same({1}, typed("text/plain", "[1]"):json{force = true})
      assert.is_nil(typed("text/plain", "[1]"):json{silent = true})
      assert.is_nil(typed("application/json", "{"):json{silent = true})
    end)
  end)

  describe("form", function()
    it("reads a body that says it is one", function()
      local req = typed("application/x-www-form-urlencoded", "name=Ann+B&tag=a&tag=b")
      assert.equal("Ann B", req.form.name)
      assert.same({"a", "b"}, req.form:getlist("tag"))
    end)

    it("is empty for any other", function()
      local req = typed("text/plain", "name=Ann")
      assert.same({}, req.form)
      assert.is_nil(req._exchange.bodies_read)
    end)
  end)

  describe("writing by hand", function()
    local HTML = "Content-Type: text/html; charset=utf-8\r\n"

    it("starts with a status and headers", function()
      local req = request()
      req:start(202, {["Content-Type"] = "text/plain"})
      req:write("a")
      req:write(1)
      req:write("")
      assert.same({status = 202, head = "Content-Type: text/plain\r\n"},
        req._exchange.begun)
      assert.same({"a", 1, ""}, req._exchange.written)
    end)

    it("starts by itself as a page", function()
      local req = request()
      req:write("a")
      assert.same({status = 200, head = HTML}, req._exchange.begun)
    end)

    it("starts only once", function()
      local req = request()
      req:start()
      assert.error_matches(function() req:start() end, "the answer has been started already")
    end)

    it("refuses what is no text", function()
      local req = request()
      assert.error_matches(function() req:write{} end, "a string was expected to write, not a")
      assert.is_nil(req._exchange.begun)
    end)

    it("refuses a bad status or header before anything is sent", function()
      local req = request()
      assert.has_error(function() req:start(99) end)
      assert.has_error(function() req:start(200, {["X-A"] = "\n"}) end)
      assert.is_nil(req._exchange.begun)
    end)

    it("raises when the client has gone", function()
      local req = request{gone = 0}
      local err = support.raised(req.write, req, "a")
      assert.equal(400, err.status)
      assert.equal("the client closed the connection", err.message)
    end)
  end)
end)
