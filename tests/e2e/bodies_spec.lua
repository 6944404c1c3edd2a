-- Request bodies reach their handler whole, within the limit.
local cjson = require "cjson"
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()

app:post("/echo", function(req) return req:body() end)
app:post("/small", {max_body = 10}, function(req) return req:body() end)
app:post("/large", {max_body = 1 << 20}, function(req) return req:body() end)
app:post("/json", function(req) return {got = req:json()} end)
app:post("/ignore", function() return "ignored" end)
app:post("/pieces", function(req)
  local count, total = 0, 0
  for piece in function() return req:read(1000) end do
    assert(#piece <= 1000)
    count, total = count + 1, total + #piece
  end
  return total .. (count > 1 and " in pieces" or " at once")
end)
app:get("/body", function(req) return "[" .. req:body() .. "]" end)

return app
]]

local limit = 100 * 1024

describe("a body", function()
  local server, client

  setup(function() server = support.serve{script = script, args = {"--max-body", "100K"}} end)
  teardown(function() server:stop() end)
  before_each(function() client = server:connect() end)
  after_each(function() client:close() end)

  local function send_chunked(target, text, size)
    local head = support.request_bytes("POST", target, {"Transfer-Encoding: chunked"})
    client:send(head .. support.chunked(text, size))
    return client:response()
  end

  local bodies = {
    {"of nothing", ""},
    {"of one byte", "x"},
    {"of all bytes", ("\0\r\n\r\n\255"):rep(100)},
    {"as large as allowed", ("x"):rep(limit)},
  }
  for _, case in ipairs(bodies) do
    local what, body = table.unpack(case)
    it(what .. " comes back", function()
      local response = client:request("POST", "/echo", nil, body)
      assert.equal(200, response.status)
      assert.is_true(response.body == body)
      assert.equal("again", client:request("POST", "/echo", nil, "again").body)
    end)

    it(what .. " comes back in chunks", function()
      local response = send_chunked("/echo", body, 777)
      assert.equal(200, response.status)
      assert.is_true(response.body == body)
      assert.equal("again", client:request("POST", "/echo", nil, "again").body)
    end)
  end

  it("may be as large as its route says, whatever the others take", function()
    local long = ("x"):rep(3 * limit)
    assert.is_true(client:request("POST", "/large", nil, long).body == long)
    assert.equal(200, send_chunked("/large", long, 5000).status)
    assert.equal(200, client:request("POST", "/small", nil, "1234567890").status)
    assert.equal(413, client:request("POST", "/small", nil, "12345678901").status)
    client = server:connect()
    assert.equal(413, send_chunked("/small", "12345678901", 4).status)
  end)

  it("that comes in drops is put together", function()
    local bytes = support.request_bytes("POST", "/echo", nil, "drop by drop")
    for i = 1, #bytes do assert(client:send(bytes:sub(i, i))) end
    assert.equal("drop by drop", client:response().body)
  end)

  it("may be read in pieces", function()
    local response = client:request("POST", "/pieces", nil, ("x"):rep(50000))
    assert.equal("50000 in pieces", response.body)
  end)

  it("that its handler ignores does not disturb the next request", function()
    assert.equal("ignored", client:request("POST", "/ignore", nil, ("x"):rep(50000)).body)
    assert.equal("again", client:request("POST", "/echo", nil, "again").body)
  end)

  it("is empty when there is none", function()
    assert.equal("[]", client:request("GET", "/body").body)
  end)

  it("over the limit is refused: 413", function()
    assert.equal(413, client:request("POST", "/echo", nil, ("x"):rep(limit + 1)).status)
    assert.equal("fine", server:request("POST", "/echo", nil, "fine").body)
  end)

  it("that announces more than the limit is refused before it comes", function()
    assert(client:send(support.request_bytes("POST", "/echo", {"Content-Length: 1000000000"})))
    assert.equal(413, client:response().status)
  end)

  it("over the limit in chunks is refused: 413", function()
    assert.equal(413, send_chunked("/echo", ("x"):rep(limit + 1), 1000).status)
    assert.equal("fine", server:request("POST", "/echo", nil, "fine").body)
  end)

  it("of JSON is decoded", function()
    local headers = {"Content-Type: application/json"}
    local response = client:request("POST", "/json", headers, '{"a": [1, "two", null]}')
    assert.same({got = {a = {1, "two", cjson.null}}}, cjson.decode(response.body))
  end)

  local broken = {"{", "nonsense", "", '{"a": }', ("["):rep(100000)}
  for _, body in ipairs(broken) do
    it(("of broken JSON, %q, is refused: 400"):format(body:sub(1, 10)), function()
      local headers = {"Content-Type: application/json"}
      assert.equal(400, client:request("POST", "/json", headers, body).status)
    end)
  end
end)
