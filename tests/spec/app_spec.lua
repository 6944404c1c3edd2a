local support = require "support"
local app = require "genet.app"
local genet = require "genet"

local HTML = "Content-Type: text/html; charset=utf-8\r\n"
local TEXT = "Content-Type: text/plain; charset=utf-8\r\n"

local function dispatch(site, request, given)
  local method, path = request:match("^(%S+) (%S+)$")
  return {site:dispatch(support.exchange(given), method, path)}
end

local function here()
  local info = debug.getinfo(2, "Sl")
  return info.source:sub(2) .. ":" .. info.currentline
end

describe("genet.app", function()
  it("answers requests with what the handlers return", function()
    local site = app.new()
    site:get("/hello", function() return "hello test" end)
    site:get("/hello/<name>", function(_, name) return "hello " .. name end)
    site:get("/caf\xC3\xA9", function(req) return req.path end)
    site:post("/item", function() return {id = 1}, 201 end)
    site:get("/gone", function() return 410 end)
    site:get("/made", function() return "made", 201 end)
    site:get("/tagged", function() return "x", nil, {["X-A"] = "1"} end)
    for request, expected in pairs{
      ["GET /hello"] = {200, HTML, "hello test"},
      ["HEAD /hello"] = {200, HTML, "hello test"},
      ["GET /hello/b%20b"] = {200, HTML, "hello b b"},
      ["GET /caf%C3%A9"] = {200, HTML, "/caf\xC3\xA9"},
      ["POST /item"] = {201, "Content-Type: application/json\r\n", '{"id":1}'},
      ["GET /made"] = {201, HTML, "made"},
      ["GET /gone"] = {410, TEXT, "410 Gone\n"},
      ["GET /tagged"] = {200, HTML .. "X-A: 1\r\n", "x"},
    } do
      assert.same(expected, dispatch(site, request), request)
    end
  end)

  it("answers what no handler takes", function()
    local site = app.new()
    site:get("/hello", function() return "hello" end)
    site:get("/test/", function() return "test" end)
    for request, expected in pairs{
      ["GET /nowhere"] = {404, TEXT, "404 Not Found\n"},
      ["GET /%zz"] = {400, TEXT, "400 Bad Request\n"},
      ["POST /hello"] = {405, TEXT .. "Allow: GET, HEAD, OPTIONS\r\n", "405 Method Not Allowed\n"},
      ["OPTIONS /hello"] = {200, HTML .. "Allow: GET, HEAD, OPTIONS\r\n", ""},
      ["OPTIONS *"] = {200, HTML .. "Allow: GET, HEAD, OPTIONS\r\n", ""},
      ["GET /test"] = {308, TEXT .. "Location: /test/\r\n", "308 Permanent Redirect\n"},
    } do
      assert.same(expected, dispatch(site, request), request)
    end
  end)

  it("keeps the query string when it sends to the slash", function()
    local site = app.new()
    site:get("/test/", function() return "test" end)
    assert.equal(TEXT .. "Location: /test/?a=1&b=%20\r\n",
      dispatch(site, "GET /test", {query = "a=1&b=%20"})[2])
  end)

  it("calls a handler with the request and the rule's arguments", function()
    local site, seen = app.new(), nil
    site:route("/a/<int:x>/<path:rest>", {methods = {"put", "GET"}, name = "a"}, function(...)
      seen = table.pack(...)
      return ""
    end)
    dispatch(site, "PUT /a/7/b/c")
    assert.equal(3, seen.n)
    assert.equal(7, seen[2])
    assert.equal("b/c", seen[3])
    local req = seen[1]
    assert.equal("PUT", req.method)
    assert.equal("/a/7/b/c", req.path)
    assert.same({x = 7, rest = "b/c"}, req.params)
    assert.equal("a", req.route.name)
  end)

  it("has a function for each method", function()
    for _, method in ipairs{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} do
      local site = app.new()
      site[method:lower()](site, "/x", {name = "x"}, function(req) return req.method end)
      assert.equal(method, dispatch(site, method .. " /x")[3])
      assert.equal("x", site.routes[1].name)
    end
  end)

  it("takes a callable table for a handler", function()
    local site = app.new()
    site:get("/x", setmetatable({}, {__call = function() return "called" end}))
    assert.equal("called", dispatch(site, "GET /x")[3])
  end)

  it("lets what a handler raises go through", function()
    local site = app.new()
    local problem = {}
    site:get("/x", function() error(problem) end)
    assert.equal(problem, support.raised(dispatch, site, "GET /x"))
  end)

  it("says which handler returned nonsense", function()
    local site = app.new()
    local place
    place = here() site:get("/x/<n>", function() end)
    local err = support.raised(dispatch, site, "GET /x/1")
    assert.equal(place .. ": 500 Internal Server Error: GET /x/<n>: the handler returned nothing",
      tostring(err))
    assert.same({500, TEXT, "500 Internal Server Error\nGET /x/<n>: the handler returned nothing\n",
      true}, {site:failed(support.exchange(), err)})
  end)

  it("ends an answer that was written by hand", function()
    local site = app.new()
    site:get("/x", function(req) req:write("a") req:write("b") end)
    local x = support.exchange()
    assert.is_nil((site:dispatch(x, "GET", "/x")))
    assert.same({"a", "b"}, x.written)
    assert.is_true(x.finished)
  end)

  it("refuses a body from a handler that has written one", function()
    local site = app.new()
    site:get("/x", function(req) req:write("a") return {"b"}, 200 end)
    assert.matches("the handler wrote a body and returned one",
      tostring(support.raised(dispatch, site, "GET /x")), 1, true)
  end)

  it("turns errors into answers", function()
    local site = app.new()
    local aborted = support.raised(genet.abort, 403, "members only")
    assert.same({403, TEXT, "403 Forbidden\nmembers only\n", false},
      {site:failed(support.exchange(), aborted)})
    assert.same({500, TEXT, "500 Internal Server Error\n", true},
      {site:failed(support.exchange(), "app.lua:3: secret")})
  end)

  it("has no answer left to give once one was begun", function()
    local x = support.exchange()
    require("genet.exchange").start(x, 200, "")
    local status, _, _, logged = app.new():failed(x, "app.lua:3: oops")
    assert.is_nil(status)
    assert.is_true(logged)
  end)

  describe("refuses", function()
    local function fn() return "" end

    it("bad definitions, naming the place", function()
      local site = app.new()
      local place
      for _, case in ipairs{
        {"get", {"x", fn}, "bad rule 'x': it does not begin with '/'"},
        {"get", {"/<integer:x>", fn}, "bad rule '/<integer:x>': unknown converter 'integer'"},
        {"get", {"/x"}, "a function was expected as the handler, not a nil"},
        {"get", {"/x", {}, "text"}, "a function was expected as the handler, not a string"},
        {"get", {"/x", "name", fn}, "a table of options was expected, not a string"},
        {"get", {"/x", {title = "x"}, fn}, "unknown option 'title'"},
        {"get", {"/x", {name = 1}, fn}, "option 'name' must be a string"},
        {"get", {"/x", {methods = {"PUT"}}, fn}, "option 'methods' belongs to app:route"},
        {"route", {"/x", {methods = "PUT"}, fn}, "option 'methods' must be a table"},
        {"route", {"/x", {methods = {}}, fn}, "the list of methods is empty"},
        {"route", {"/x", {methods = {"A B"}}, fn}, "bad method 'A B'"},
      } do
        local ok, problem = pcall(function()
          place = here() site[case[1]](site, table.unpack(case[2], 1, 3))
        end)
        assert.is_false(ok)
        assert.equal(place .. ": " .. case[3], problem)
      end
    end)

    it("a dot instead of a colon", function()
      assert.error_matches(function() app.new().get("/x", fn) end, "write app:get, not app.get")
    end)

    it("a second route of the same shape, naming both places", function()
      local site = app.new()
      local first, second
      first = here() site:get("/u/<name>", fn)
      local ok, problem = pcall(function()
        second = here() site:get("/u/:other", fn)
      end)
      assert.is_false(ok)
      assert.equal(("%s: the route GET /u/:other is already defined at %s"):format(second, first),
        problem)
    end)

    it("routes that come too late", function()
      local site = app.new()
      site:freeze()
      assert.error_matches(function() site:get("/x", fn) end, "while the scripts load, not later")
    end)
  end)

  it("takes over the routes of another app, each once", function()
    local root, other = app.new(), app.new()
    other:get("/x", function() return "x" end)
    root:include(other)
    other:get("/y", function() return "y" end)
    root:include(other)
    assert.equal("x", dispatch(root, "GET /x")[3])
    assert.equal("y", dispatch(root, "GET /y")[3])
    assert.equal(2, #root.routes)
  end)
end)
