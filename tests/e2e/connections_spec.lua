-- Connections are kept, reused and closed as HTTP/1.1 says.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
app:get("/number/<int:n>", function(_, n) return tostring(n) end)
app:get("/slow/<int:n>", {detach = true}, function(_, n) genet.sleep(0.05) return tostring(n) end)
app:post("/echo", function(req) return req:body() end)
return app
]]

describe("a connection", function()
  local server, client

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)
  before_each(function() client = server:connect() end)
  after_each(function() client:close() end)

  it("carries many requests", function()
    for i = 1, 300 do
      assert.equal(tostring(i), client:request("GET", "/number/" .. i).body)
    end
  end)

  it("answers requests sent together, in their order", function()
    local bytes = {}
    for i = 1, 100 do
      local kind = i % 10 == 0 and "/slow/" or "/number/"
      bytes[i] = support.request_bytes("GET", kind .. i)
    end
    assert(client:send(table.concat(bytes)))
    for i = 1, 100 do assert.equal(tostring(i), client:response().body) end
  end)

  it("answers requests with bodies sent together", function()
    local bytes = {}
    for i = 1, 20 do bytes[i] = support.request_bytes("POST", "/echo", nil, ("x"):rep(i)) end
    assert(client:send(table.concat(bytes)))
    for i = 1, 20 do assert.equal(i, #client:response().body) end
  end)

  it("takes a request in drops", function()
    local bytes = support.request_bytes("GET", "/number/1") .. "GET /number/2 HTTP/1.1\r\n"
    for i = 1, #bytes do assert(client:send(bytes:sub(i, i))) end
    assert.equal("1", client:response().body)
    assert(client:send("Host: 127.0.0.1\r\n\r\n"))
    assert.equal("2", client:response().body)
  end)

  it("is closed when the client asks for it", function()
    local response = client:request("GET", "/number/1", {"Connection: close"})
    assert.equal("1", response.body)
    assert.equal("close", response.headers.connection:lower())
    assert.truthy(client:is_closed())
  end)

  it("is closed after a request of HTTP/1.0", function()
    assert(client:send("GET /number/1 HTTP/1.0\r\n\r\n"))
    assert.equal("1", client:response().body)
    assert.truthy(client:is_closed())
  end)

  it("is kept for a request of HTTP/1.0 that asks for it", function()
    for i = 1, 2 do
      assert(client:send(("GET /number/%d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"):format(i)))
      assert.equal(tostring(i), client:response().body)
    end
  end)

  it("may end its half and still gets the answer of a detached handler", function()
    client:ask("/slow/1")
    client.socket:shutdown("send")
    assert.equal("1", client:response().body)
    assert.truthy(client:is_closed())
  end)

  it("may be one of many that come and go", function()
    client:request("GET", "/number/0")
    local before = server:settled_descriptors()
    for i = 1, 300 do assert.equal(tostring(i), server:get("/number/" .. i).body) end
    support.wait_until("the connections to go", function()
      return server:descriptors() <= before
    end)
  end)
end)
