-- Each phase of a connection has its time, for all of it; what is late ends it, and nothing else.
local certificates = require "tests.e2e.certificates"
local client = require "tests.e2e.client"
local listening = require "tests.e2e.listening"
local socket = require "socket"
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
app:get("/hello", function() return "hello" end)
app:get("/sleep", function() genet.sleep(1.5) return "slept" end)
app:get("/stream", function()
  return function(write)
    for i = 1, 5 do
      write(tostring(i))
      genet.sleep(0.3)
    end
  end
end)
app:post("/echo", function(req) return req:body() end)
app:post("/late", function(req) genet.sleep(1.2) return req:body() end)
return app
]]

-- Deadlines of half a second and such that never come; how long things take is only checked from
-- below, since a busy machine may take any time longer.
local short, long = "0.5", "600"
local half = 0.45

-- Sends a byte every 0.1 s until `seconds` have passed or the other side has something to say.
local function drip(connection, bytes, seconds)
  local stop, at = socket.gettime() + (seconds or math.huge), 1
  while socket.gettime() < stop and not connection:has_news(0.1) do
    if not connection:send(bytes:sub(at, at)) then return at - 1 end
    at = at + 1
  end
  return at - 1
end

describe("a server with a short time for heads", function()
  local server, connection

  setup(function()
    server = support.serve{script = script, args = {"--head-timeout", short, "--keep-alive", long}}
  end)
  teardown(function() server:stop() end)
  before_each(function() connection = server:connect() end)
  after_each(function() connection:close() end)

  local function assert_timed_out(since)
    local response = connection:response()
    assert.equal(408, response.status)
    assert.equal("close", response.headers.connection)
    assert.truthy(response.body:match("^408 [^\n]+\n[^\n]+\n$"), response.body)
    assert.is_true(socket.gettime() - since > half, "it did not wait")
    assert.truthy(connection:is_closed())
  end

  local beginnings = {
    ["in the method"] = "G", ["in the target"] = "GET /hel", ["after an empty line"] = "\r\n",
    ["in the request line's end"] = "GET /hello HTTP/1.1\r",
    ["in a header"] = "GET /hello HTTP/1.1\r\nHost: 127.0", ["before the end of the head"] =
      "GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n",
  }
  for where, bytes in pairs(beginnings) do
    it(("answers 408 to a head that stops %s"):format(where), function()
      local since = socket.gettime()
      connection:send(bytes)
      assert_timed_out(since)
    end)
  end

  it("counts the time for all of a head, not for each byte", function()
    local since = socket.gettime()
    local sent = drip(connection, "GET /hello HTTP/1.1\r\nX-Filler: " .. ("x"):rep(10000))
    assert.is_true(sent < 10000, "no end came")
    assert_timed_out(since)
  end)

  it("counts it from the first byte of each request", function()
    assert.equal("hello", connection:request("GET", "/hello").body)
    socket.sleep(0.7)
    assert.equal("hello", connection:request("GET", "/hello").body)
    local since = socket.gettime()
    connection:send("GET /hel")
    assert_timed_out(since)
  end)

  it("answers a whole request before it finds the next one late", function()
    connection:send(support.request_bytes("GET", "/hello") .. "GET /hel")
    local since = socket.gettime()
    assert.equal("hello", connection:response().body)
    assert_timed_out(since)
  end)

  it("has no such limit for who says nothing", function()
    assert.is_false(connection:has_news(1.2))
    assert.equal("hello", connection:request("GET", "/hello").body)
    assert.is_false(connection:has_news(1.2))
    assert.equal("hello", connection:request("GET", "/hello").body)
  end)

  it("has no such limit for a handler", function()
    assert.equal("slept", connection:request("GET", "/sleep").body)
    assert.equal("hello", connection:request("GET", "/hello").body)
  end)

  it("has no such limit for a stream", function()
    assert.equal("12345", connection:request("GET", "/stream").body)
    assert.equal("hello", connection:request("GET", "/hello").body)
  end)

  it("has no such limit for a body", function()
    connection:send(support.request_bytes("POST", "/echo", {"Content-Length: 10"}))
    for _, part in ipairs{"12", "34", "567", "890"} do
      socket.sleep(0.4)
      connection:send(part)
    end
    assert.equal("1234567890", connection:response().body)
  end)

  it("has no such limit for a body that waits for its handler", function()
    assert.equal("body", connection:request("POST", "/late", nil, "body").body)
    connection:send(support.request_bytes("POST", "/late", {"Transfer-Encoding: chunked"}))
    socket.sleep(0.7)
    connection:send("4\r\nbody\r\n0\r\n\r\n")
    assert.equal("body", connection:response().body)
  end)

  it("answers others meanwhile", function()
    local others = {}
    for i = 1, 50 do
      others[i] = server:connect()
      others[i]:send("GET /hel")
    end
    for _ = 1, 50 do assert.equal("hello", server:get("/hello").body) end
    for _, other in ipairs(others) do
      assert.equal(408, other:response().status)
      assert.truthy(other:is_closed())
      other:close()
    end
  end)
end)

describe("a server with a short time for idle connections", function()
  local server, connection

  setup(function()
    server = support.serve{script = script, args = {"--head-timeout", long, "--keep-alive", short}}
  end)
  teardown(function() server:stop() end)
  before_each(function() connection = server:connect() end)
  after_each(function() connection:close() end)

  -- Nothing but the end comes, and not before its time.
  local function assert_ends_silently(since)
    assert.equal("", connection:read_all())
    assert.is_true(socket.gettime() - since > half, "it did not wait")
  end

  it("closes silently after an answer", function()
    assert.equal("hello", connection:request("GET", "/hello").body)
    assert_ends_silently(socket.gettime())
  end)

  it("closes silently after many answers", function()
    local since
    for _ = 1, 5 do
      since = socket.gettime()
      assert.equal("hello", connection:request("GET", "/hello").body)
    end
    assert_ends_silently(since)
  end)

  it("closes silently after an answer whose handler took longer", function()
    assert.equal("slept", connection:request("GET", "/sleep").body)
    assert_ends_silently(socket.gettime())
  end)

  it("has no such limit for a head that has begun", function()
    connection:send("GET /hello HTTP/1.1\r\n")
    assert.is_false(connection:has_news(1.2))
    connection:send("Host: 127.0.0.1\r\n\r\n")
    assert.equal("hello", connection:response().body)
  end)

  it("has no such limit for a stream or a body", function()
    assert.equal("12345", connection:request("GET", "/stream").body)
    connection:send(support.request_bytes("POST", "/echo", {"Content-Length: 4"}))
    socket.sleep(0.7)
    connection:send("body")
    assert.equal("body", connection:response().body)
  end)
end)

describe("a server with a short time for all", function()
  local server, connection
  local made, pair

  setup(function()
    made = certificates.new()
    pair = made:pair("site", {subject = "/CN=site"})
    server = listening.serve{script = script, args = {"--listen", "127.0.0.1:0", "--listen",
      "https://127.0.0.1:0", "--cert", pair.cert, "--key", pair.key, "--head-timeout", short,
      "--keep-alive", short}}
  end)
  teardown(function()
    server:stop()
    support.remove(made.directory)
  end)
  after_each(function() connection:close() end)

  local function connect(url)
    local host, port = listening.host_port(server.urls[url])
    connection = client.connect(host, port, support.patience)
    return connection, socket.gettime()
  end

  it("closes silently on who never says anything", function()
    local _, since = connect(1)
    assert.equal("", connection:read_all())
    assert.is_true(socket.gettime() - since > half, "it did not wait")
  end)

  it("closes on who never begins a handshake of TLS", function()
    local _, since = connect(2)
    assert.equal("", connection:read_all())
    assert.is_true(socket.gettime() - since > half, "it did not wait")
  end)

  it("closes on who never ends one, whatever it still sends", function()
    local _, since = connect(2)
    drip(connection, "\22\3\1\2\0\1\0\1\252\3\3" .. ("\7"):rep(500))
    assert.equal("", connection:read_all())
    assert.is_true(socket.gettime() - since > half, "it did not wait")
  end)

  it("leaves nothing open", function()
    connect(1)
    assert.equal("hello", connection:request("GET", "/hello").body)
    assert.equal("", connection:read_all())
    local idle = server:settled_descriptors()
    local late = {}
    for i = 1, 60 do
      late[i] = connect(i % 2 + 1)
      if i % 3 == 0 then late[i]:send("\22\3\1") end
      if i % 3 == 1 then late[i]:send("GET /") end
    end
    support.wait_until("the connections to go", function() return server:descriptors() <= idle end)
    for _, each in ipairs(late) do each:close() end
  end)
end)

describe("a time of no seconds", function()
  for _, option in ipairs{"--head-timeout", "--keep-alive"} do
    for _, value in ipairs{"soon", "-1", "."} do
      it(("such as %q is refused for %s"):format(value, option), function()
        local result = support.run{"runserver", ".", option, value}
        assert.equal(2, result.status, result.err)
        assert.truthy(result.err:match("^genet: [^\n]+\n$"), result.err)
        assert.truthy(result.err:find(value, 1, true), result.err)
      end)
    end
  end
end)
