-- Slow clients, in whatever phase, cost memory and nobody's time.
local certificates = require "tests.e2e.certificates"
local listening = require "tests.e2e.listening"
local client = require "tests.e2e.client"
local socket = require "socket"
local support = require "tests.e2e.support"
local tls_client = require "tests.e2e.tls_client"

local script = [[
local genet = require "genet"
local app = genet.app()
local large = ("large"):rep(4000000)
app:get("/hello", function() return "hello" end)
app:get("/large", function() return large end)
app:get("/stream", function()
  return function(write)
    while true do write(large) end
  end
end)
app:post("/count", function(req)
  local total = 0
  for piece in function() return req:read(1000) end do total = total + #piece end
  return tostring(total)
end)
return app
]]

local phases = {"head", "body", "reading"}

-- ---------------------------------------------------------------- slow clients

local function start_slow(server, phase, count)
  local command = ("exec setpriv --pdeathsig KILL lua5.4 tests/e2e/slow_crowd.lua %s %d %d %s %d")
    :format(server.host, server.port, count, phase, 3 * support.patience)
  local pipe = assert(io.popen(command))
  return {pipe = pipe, pid = pipe:read("n", "l")}
end

local function wait_slow(crowd)
  local word = crowd.pipe:read("l")
  assert(word == "slow", "the slow clients ended: " .. tostring(word))
end

local function has_ended(crowd)
  local stat = support.read_file("/proc/" .. crowd.pid .. "/stat")
  return stat == "" or stat:match("^%d+ %b() (%a)") == "Z"
end

-- Whoever was still there vanishes; fails if somebody had been lost before.
local function end_slow(crowd)
  local lost = has_ended(crowd)
  if not lost then os.execute("kill -KILL " .. crowd.pid) end
  crowd.pipe:close()
  assert(not lost, "the server has closed on a slow client")
end

-- ---------------------------------------------------------------- promises

describe("slow clients", function()
  local server, idle, threads
  local size = support.waiting_size(100, 2) -- in two of the phases requests wait

  setup(function()
    server = support.serve{script = script, args = {"--head-timeout", "600"}}
    server:get("/hello")
    idle, threads = server:settled_descriptors(), server:threads()
  end)
  teardown(function() server:stop() end)

  local function assert_answers(count)
    local connection = server:connect()
    for _ = 1, count do
      assert.equal("hello", connection:request("GET", "/hello").body)
      assert.equal("hello", server:get("/hello").body)
    end
    connection:close()
  end

  local function assert_gone()
    support.wait_until("the connections to go", function() return server:descriptors() <= idle end)
  end

  for _, phase in ipairs(phases) do
    it(("in the phase %q hold nobody up, and leave nothing"):format(phase), function()
      local crowd = start_slow(server, phase, size)
      wait_slow(crowd)
      support.wait_until("the slow ones", function() return server:descriptors() >= idle + size end)
      assert_answers(50)
      assert.is_true(server:descriptors() >= idle + size)
      end_slow(crowd)
      assert_gone()
    end)
  end

  it("in all phases at once hold nobody up, and leave nothing", function()
    local crowds = {}
    for i, phase in ipairs(phases) do crowds[i] = start_slow(server, phase, size) end
    for _, crowd in ipairs(crowds) do wait_slow(crowd) end
    support.wait_until("the slow ones", function()
      return server:descriptors() >= idle + 3 * size
    end)
    local stop = socket.gettime() + 2
    repeat assert_answers(10) until socket.gettime() > stop
    assert.is_true(server:descriptors() >= idle + 3 * size)
    assert.equal(threads, server:threads())
    for _, crowd in ipairs(crowds) do end_slow(crowd) end
    assert_gone()
  end)

  it("wait outside when the server has as many connections as it may, and then come in", function()
    local small = support.serve{script = script, args = {"--max-connections", "5"}, processes = 1}
    finally(function() small:stop() end)
    local inside, outside = {}, {}
    for i = 1, 5 do
      inside[i] = small:connect()
      assert.equal("hello", inside[i]:request("GET", "/hello").body)
    end
    for i = 1, 5 do outside[i] = small:ask("/hello") end
    assert.is_false(outside[1]:has_news(0.3))
    for _, each in ipairs(inside) do each:close() end
    for _, each in ipairs(outside) do
      assert.equal("hello", each:response().body)
      each:close()
    end
  end)

  it("of TLS hold nobody up, either", function()
    local made = certificates.new()
    finally(function() support.remove(made.directory) end)
    local pair = made:pair("site", {subject = "/CN=site"})
    local secure = listening.serve{script = script,
      args = {"-p", "0", "--cert", pair.cert, "--key", pair.key, "--head-timeout", "600"}}
    local host, port = listening.host_port(secure.urls[1])
    local slow = {}
    local function connect() return client.connect(host, port, support.patience) end
    local function connect_secure()
      return tls_client.connect(host, port, {patience = support.patience})
    end
    for i = 1, size do
      slow[i] = i % 2 == 0 and connect() or connect_secure()
      if i % 4 == 0 then slow[i]:send("\22\3\1\2\0\1\0\1\252\3\3") end
      if i % 4 == 1 then slow[i]:send("GET /hel") end
      if i % 4 == 3 then slow[i]:ask("/stream") end
    end
    local quick = connect_secure()
    for _ = 1, 100 do assert.equal("hello", quick:request("GET", "/hello").body) end
    quick:close()
    for _, each in ipairs(slow) do each:close() end
    secure:stop()
  end)
end)

describe("a limit for each address", function()
  local server

  setup(function()
    server = support.serve{script = script, args = {"--max-per-ip", "3", "-h", "0.0.0.0"},
      processes = 1}
    server.host = "127.0.0.1"
  end)
  teardown(function() server:stop() end)

  local function connect_from(address)
    local connection = server:connect()
    connection:close()
    connection.socket = assert(socket.tcp4())
    assert(connection.socket:bind(address, 0))
    assert(connection.socket:connect(server.host, server.port))
    return connection
  end

  -- Whether a connection from there is let in and answered.
  local function is_let_in(address)
    local connection = connect_from(address)
    local ok, response = pcall(connection.request, connection, "GET", "/hello")
    if not ok then
      assert(not tostring(response):find("in vain", 1, true), response)
      connection:close()
      return false
    end
    return response.status == 200, connection
  end

  local function wait_let_in(address)
    return support.wait_until("a connection from " .. address, function()
      local let_in, connection = is_let_in(address)
      return let_in and connection
    end)
  end

  it("turns further connections of it away, and those of no other", function()
    local inside = {}
    for i = 1, 3 do inside[i] = wait_let_in("127.0.0.2") end
    for _ = 1, 10 do assert.is_false((is_let_in("127.0.0.2"))) end
    for i = 4, 6 do inside[i] = wait_let_in("127.0.0.3") end
    for _, each in ipairs(inside) do
      assert.equal("hello", each:request("GET", "/hello").body)
      each:close()
    end
  end)

  it("counts those that have gone no more", function()
    for _ = 1, 20 do
      local connection = wait_let_in("127.0.0.4")
      connection:close()
    end
    for _ = 1, 20 do wait_let_in("127.0.0.5"):close("reset") end
  end)
end)
