-- What is no HTTP request is refused, and its connection closed.
local support = require "tests.e2e.support"

local script = [[
local app = require("genet").app()
app:get("/", function() return "fine" end)
app:post("/", function(req) return req:body() end)
return app
]]

describe("a connection", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  local cases = {
    {"one word", "GARBAGE\r\n\r\n"},
    {"no target", "GET\r\n\r\n"},
    {"no version", "GET /\r\n\r\n"},
    {"a version that is none", "GET / HTTP/x.y\r\n\r\n", 505},
    {"a protocol that is another", "GET / SPDY/1.1\r\nHost: a\r\n\r\n"},
    {"bytes that are no text", "\1\2\3\255\254\r\n\r\n"},
    {"the start of a TLS conversation", "\22\3\1\2\0\1\0\1\252\3\3\r\n\r\n"},
    {"a target that is no path", "GET somewhere HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"a length that is no number",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n"},
    {"a length that is negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
    {"a coding that is unknown",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: sloppy\r\n\r\n", 501},
  }
  for _, case in ipairs(cases) do
    local what, bytes, other = table.unpack(case)
    it(("that sends %s is told so and closed"):format(what), function()
      local client = server:connect()
      finally(function() client:close() end)
      assert(client:send(bytes))
      local response = client:response()
      assert.truthy(response.status == 400 or response.status == other, response.status)
      assert.truthy(client:is_closed())
      assert.equal("fine", server:get("/").body)
    end)
  end

  it("that sends a head without end is told so and closed", function()
    local client = server:connect()
    finally(function() client:close() end)
    client:send("GET / HTTP/1.1\r\nHost: a\r\n")
    for _ = 1, 100 do
      if not client:send("X-Name: " .. ("x"):rep(1000) .. "\r\n") then break end
    end
    local status = client:response().status
    assert.is_true(status >= 400 and status < 500)
    assert.equal("fine", server:get("/").body)
  end)

  it("that sends a broken chunk is refused", function()
    local client = server:connect()
    finally(function() client:close() end)
    local head = support.request_bytes("POST", "/", {"Transfer-Encoding: chunked"})
    client:send(head .. "5\r\nhello\r\nno size\r\n\r\n")
    assert.equal(400, client:response().status)
    assert.truthy(client:is_closed())
    assert.equal("fine", server:get("/").body)
  end)
end)
