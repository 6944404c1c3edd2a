-- A request finds its handler by method and path, and is told when there is none.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()

app:get("/plain", function() return "plain" end)
app:get("/name/<name>", function(_, name) return name end)
app:get("/int/<int:id>", function(_, id) return math.type(id) .. " " .. id end)
app:get("/float/<float:x>", function(_, x) return math.type(x) .. " " .. x end)
app:get("/path/<path:rest>", function(_, rest) return rest end)
app:get("/colon/:name", function(_, name) return name end)
app:get("/star/*rest", function(_, rest) return rest end)
app:get("/folder/", function() return "folder" end)
app:route("/item/<int:id>", {methods = {"GET", "PUT"}, name = "item"}, function(req, id)
  return req.method .. " " .. id
end)
app:get("/params/<int:id>", function(req) return tostring(req.params.id) end)
app:get("/args", function(req) return ("%s %s"):format(req.args.a, req.args.b) end)
app:get("/about", function(req)
  return {
    method = req.method, path = req.path, scheme = req.scheme, host = req.host,
    remote_addr = req.remote_addr, id = tostring(req.id), header = req.headers["x-test"],
  }
end)
app:get("/g", function(req)
  req.g.count = (req.g.count or 0) + 1
  return tostring(req.g.count)
end)

for _, method in ipairs{"post", "put", "patch", "delete"} do
  app[method](app, "/method", function(req) return req.method end)
end

return app
]]

describe("a request", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  local found = {
    {"/plain", "plain"},
    {"/plain?query=1", "plain"},
    {"/name/someone", "someone"},
    {"/name/some%20one", "some one"},
    {"/int/42", "integer 42"},
    {"/float/1.5", "float 1.5"},
    {"/path/a/b/c", "a/b/c"},
    {"/colon/name", "name"},
    {"/star/a/b", "a/b"},
    {"/folder/", "folder"},
    {"/params/7", "7"},
    {"/args?a=1&b=two+words", "1 two words"},
    {"/args?b=%C3%A9&a=", " é"},
  }
  for _, case in ipairs(found) do
    local target, body = table.unpack(case)
    it(("for %s finds its handler"):format(target), function()
      local response = server:get(target)
      assert.equal(200, response.status)
      assert.equal(body, response.body)
    end)
  end

  for _, target in ipairs{"/", "/nothing", "/int/many", "/plain/more", "/name/a/b"} do
    it(("for %s finds nothing: 404"):format(target), function()
      assert.equal(404, server:get(target).status)
    end)
  end

  for _, method in ipairs{"POST", "PUT", "PATCH", "DELETE"} do
    it(("of method %s finds its handler"):format(method), function()
      assert.equal(method, server:request(method, "/method", nil, "").body)
    end)
  end

  it("of another method is told which are allowed: 405", function()
    local response = server:request("POST", "/item/1", nil, "")
    assert.equal(405, response.status)
    assert.equal("GET, HEAD, OPTIONS, PUT", response.headers.allow)
  end)

  it("with a method that no route has is told so too", function()
    assert.equal(405, server:request("PROPFIND", "/plain").status)
  end)

  it("of method HEAD gets the head of GET and no body", function()
    local client = server:connect()
    finally(function() client:close() end)
    local response = client:request("HEAD", "/plain")
    assert.equal(200, response.status)
    assert.equal("5", response.headers["content-length"])
    assert.equal("plain", client:request("GET", "/plain").body)
  end)

  it("of method OPTIONS is told what is allowed", function()
    local response = server:request("OPTIONS", "/item/1")
    assert.equal(200, response.status)
    assert.equal("GET, HEAD, OPTIONS, PUT", response.headers.allow)
    assert.equal("", response.body)
  end)

  it("without the last slash is sent to where it is", function()
    local response = server:get("/folder?a=1")
    assert.equal(308, response.status)
    assert.truthy(response.headers.location:match("/folder/%?a=1$"))
  end)

  it("tells its handler all about itself", function()
    local cjson = require "cjson"
    local about = cjson.decode(server:get("/about", {"X-Test: a test"}).body)
    assert.truthy(#about.id > 0)
    about.id = nil
    local expected = {
      method = "GET", path = "/about", scheme = "http", host = "127.0.0.1",
      remote_addr = "127.0.0.1", header = "a test",
    }
    assert.same(expected, about)
  end)

  it("has a table of its own", function()
    assert.equal("1", server:get("/g").body)
    assert.equal("1", server:get("/g").body)
  end)
end)
