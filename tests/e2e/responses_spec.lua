-- What a handler returns becomes the answer.
local cjson = require "cjson"
local support = require("tests.e2e.support").one_state()

local script = [[
local genet = require "genet"
local app = genet.app()

app:get("/text", function() return "<p>text</p>" end)
app:get("/empty", function() return "" end)
app:get("/binary", function() return "\0\1\255\r\n\r\n" end)
app:get("/large", function() return ("x"):rep(5000000) end)
app:get("/table", function() return {name = "genet", list = {1, 2, 3}} end)
app:get("/status", function() return "made", 201 end)
app:get("/all", function() return {id = 1}, 202, {["X-Name"] = "value"} end)
app:get("/number", function() return 204 end)
app:get("/not-found", function() return 404 end)
app:get("/type", function() return "a,b", 200, {["Content-Type"] = "text/csv"} end)
app:get("/many", function() return "", 200, {["Set-Cookie"] = {"a=1", "b=2"}} end)
app:get("/response", function()
  return genet.response{status = 418, headers = {["X-Pot"] = "tea"}, body = "short and stout"}
end)
app:get("/redirect", function() return genet.redirect("/text") end)
app:get("/not-modified", function() return "not sent", 304 end)

app:get("/stream", function()
  return function(write)
    for i = 1, 3 do
      write("part " .. i .. "\n")
      genet.sleep(0.01)
    end
  end
end)

local open = false
app:get("/stream-open", function() open = true return "open" end)
app:get("/stream-gate", function()
  return function(write)
    write("first")
    while not open do genet.sleep(0.02) end
    write("second")
  end
end)

app:get("/stream-large", function()
  return function(write)
    for _ = 1, 100 do write(("y"):rep(100000)) end
  end, 200, {["Content-Type"] = "text/plain"}
end)

return app
]]

describe("an answer", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  it("of text is HTML", function()
    local response = server:get("/text")
    assert.equal(200, response.status)
    assert.equal("<p>text</p>", response.body)
    assert.equal("text/html; charset=utf-8", response.headers["content-type"])
    assert.truthy(response.headers.date:match("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$"))
  end)

  it("of a table is JSON", function()
    local response = server:get("/table")
    assert.equal("application/json", response.headers["content-type"])
    assert.same({name = "genet", list = {1, 2, 3}}, cjson.decode(response.body))
  end)

  it("of all three parts has them", function()
    local response = server:get("/all")
    assert.equal(202, response.status)
    assert.equal("value", response.headers["x-name"])
    assert.same({id = 1}, cjson.decode(response.body))
  end)

  -- target, status, body
  local cases = {
    {"/empty", 200, ""},
    {"/binary", 200, "\0\1\255\r\n\r\n"},
    {"/large", 200, ("x"):rep(5000000)},
    {"/status", 201, "made"},
    {"/number", 204, ""},
    {"/type", 200, "a,b"},
    {"/response", 418, "short and stout"},
    {"/not-modified", 304, ""},
    {"/stream", 200, "part 1\npart 2\npart 3\n"},
    {"/stream-large", 200, ("y"):rep(10000000)},
  }
  for _, case in ipairs(cases) do
    local target, status, body = table.unpack(case)
    it(("from %s is whole, and the next one on its connection too"):format(target), function()
      local client = server:connect()
      finally(function() client:close() end)
      local response = client:request("GET", target)
      assert.equal(status, response.status)
      assert.is_true(response.body == body, "another body than expected")
      assert.equal("<p>text</p>", client:request("GET", "/text").body)
    end)
  end

  it("may have a type and headers of its own", function()
    assert.equal("text/csv", server:get("/type").headers["content-type"])
    assert.equal("tea", server:get("/response").headers["x-pot"])
  end)

  it("may have the same header more than once", function()
    local client = server:connect()
    finally(function() client:close() end)
    assert(client:send(support.request_bytes("GET", "/many", {"Connection: close"})))
    local text = client:read_all():lower()
    assert.truthy(text:find("\r\nset-cookie: a=1\r\n", 1, true))
    assert.truthy(text:find("\r\nset-cookie: b=2\r\n", 1, true))
  end)

  it("may be a redirect", function()
    local response = server:get("/redirect")
    assert.equal(302, response.status)
    assert.truthy(response.headers.location:match("/text$"))
  end)

  it("of a status alone has that status", function()
    assert.equal(404, server:get("/not-found").status)
  end)

  it("that streams reaches the client while it is written", function()
    support.only("default processes", "requests meet in one Lua state", pending)
    local client = server:ask("/stream-gate")
    finally(function() client:close() end)
    assert.equal("chunked", client:read_head().headers["transfer-encoding"])
    assert.equal("first", client:read_chunk())
    assert.is_false(client:has_news())
    server:get("/stream-open")
    assert.equal("second", client:read_chunk())
    assert.equal("", client:read_chunk())
  end)

  it("that streams to HTTP/1.0 ends with the connection", function()
    local client = server:connect()
    finally(function() client:close() end)
    assert(client:send("GET /stream HTTP/1.0\r\n\r\n"))
    local head = client:read_head()
    assert.equal(200, head.status)
    assert.is_nil(head.headers["transfer-encoding"])
    assert.equal("part 1\npart 2\npart 3\n", client:read_all())
  end)

  it("that streams has no body for HEAD", function()
    local client = server:connect()
    finally(function() client:close() end)
    assert.equal(200, client:request("HEAD", "/stream").status)
    assert.equal("<p>text</p>", client:request("GET", "/text").body)
  end)
end)
