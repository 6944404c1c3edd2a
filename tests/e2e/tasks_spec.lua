-- Tasks under the real scheduler: the decorator, what a client that hangs up takes along, and the
-- end of a server that has tasks.
local support = require "tests.e2e.support"

-- Runs a script to its end; the script finds `genet` as a global.
local function run_script(text, patience)
  local directory = support.directory{["script.lua"] = "genet = require 'genet'\n" .. text}
  local ok, result = pcall(support.run, {"run", directory .. "/script.lua"}, patience)
  support.remove(directory)
  return ok and result or error(result, 2)
end

local function prints(expected, text)
  local result = run_script(text)
  assert.equal("", result.err)
  assert.equal(expected, result.out)
  assert.equal(0, result.status)
end

describe("the decorator", function()
  local A = [[
    local A = genet.async(function(name)
      genet.sleep(0.2)
      print("a function")
      return "result of " .. name
    end)
    local function B() print("b function") end
  ]]

  it("tells its caller by state", function()
    prints("b function\nwaiting\na function\ndone\n", A .. [[
      local task = A("A")
      B()
      genet.yield()
      print(task:status())
      while task:status() ~= "done" do genet.sleep(0.01) end
      print(task:status())
    ]])
  end)

  it("tells its caller by notification", function()
    prints("b function\nnil\ttimeout\na function\ntrue\tresult of A\n", A .. [[
      local task = A("A")
      B()
      print(task:wait(0.01))
      print(task:wait())
    ]])
  end)

  it("tells its caller by callback", function()
    prints("b function\na function\ntrue\tresult of A\nlate\ttrue\tresult of A\n", A .. [[
      local task = A("A")
      task:on_done(print)
      B()
      task:wait()
      task:on_done(function(...) print("late", ...) end)
    ]])
  end)
end)

describe("genet run", function()
  it("goes on until the last task has ended", function()
    prints("main\ntask\nafter\n", [[
      genet.after(0.2, function() print("after") end)
      genet.spawn(function() genet.sleep(0.1) print("task") end)
      print("main")
    ]])
  end)

  it("cancels what is left when the script fails, and ends with status 1", function()
    local result = run_script([[
      local function guard(name)
        return setmetatable({}, {__close = function() print(name .. " closed") end})
      end
      genet.spawn(function() local _ <close> = guard("task") genet.sleep(60) end)
      genet.spawn({detach = true}, function() local _ <close> = guard("other") genet.sleep(60) end)
      genet.every(0.01, function() end)
      genet.sleep(0.1)
      error("the reason", 0)
    ]])
    assert.equal(1, result.status)
    assert.equal("task closed\nother closed\n", result.out)
    assert.truthy(result.err:find("^genet: the reason\nstack traceback:"), result.err)
  end)

  it("tells once of a task that failed and that nobody asked", function()
    local result = run_script([[
      genet.spawn({name = "mailer"}, function() error("no mail") end)
      genet.spawn({name = "asked"}, error, "asked"):wait()
    ]])
    assert.equal(0, result.status)
    local _, count = result.err:gsub("no mail", "")
    assert.equal(1, count, result.err)
    assert.truthy(result.err:match(" error task mailer: [^\n]*no mail\nstack traceback:\n"))
    assert.is_nil(result.err:find("asked", 1, true))
  end)

  it("keeps the traceback of what fails under deadlines", function()
    local result = run_script([[
      local function culprit() error("deep") end
      genet.timeout(9, genet.timeout, 9, function() culprit() end)
    ]])
    assert.equal(1, result.status)
    assert.truthy(result.err:find("culprit", 1, true), result.err)
  end)

  it("runs ten thousand tasks at once", function()
    local size = support.crowd_size(10000)
    prints(("%d\t%d\n"):format(size, size), ([[
      local count, most, alive = 0, 0, 0
      for _ = 1, %d do
        genet.spawn(function()
          alive = alive + 1
          most = math.max(most, alive)
          genet.sleep(0.5)
          genet.sleep(0.1)
          alive, count = alive - 1, count + 1
        end)
      end
      genet.current():on_done(function()
        while alive > 0 do genet.sleep(0.01) end
        print(count, most)
      end)
    ]]):format(size))
  end)

  it("knows which coroutine a deadline is of", function()
    prints("1\ttrue\nnil\ttimeout\ntrue\nnil\ttimeout\nnil\ttimeout\n", [[
      local function stepwise(seconds)
        return coroutine.wrap(function()
          return genet.timeout(seconds, function()
            coroutine.yield(1)
            genet.sleep(60)
          end)
        end)
      end
      local brief, long, forgotten = stepwise(0.05), stepwise(60), stepwise(0.05)
      print(brief(), pcall(genet.sleep, 0.1))     -- its time is over while it stands still
      print(brief())                              -- and counts when it goes on
      print(long() == 1 and forgotten() == 1)
      forgotten = nil
      collectgarbage()
      print(genet.timeout(0.1, function()
        local inner = coroutine.create(genet.timeout)
        coroutine.resume(inner, 60, coroutine.yield)
        coroutine.close(inner)
        genet.sleep(60)
      end))
      print(genet.timeout(0.05, long))
    ]])
  end)

  it("preserves the order of waits, deadlines and hand-overs", function()
    prints("a1 b2 timeout c3 closed\n", [[
      local queue, out = genet.queue(), {}
      local function note(text) table.insert(out, text) end
      for name in ("a b c"):gmatch("%a") do
        genet.spawn(function() note(name .. tostring(queue:get())) end)
      end
      genet.yield()
      queue:put(1) queue:put(2)
      genet.yield()
      note(select(2, genet.timeout(0.01, genet.sleep, 60)))
      queue:put(3) queue:close()
      genet.yield()
      note(select(2, queue:get()))
      print(table.concat(out, " "))
    ]])
  end)
end)

-- ---------------------------------------------------------------- cancelling, at every wait

-- Starts a wait, cancels it and awaits its end, many times; then tells what was left behind:
-- descriptors, and kilobytes of Lua's memory in the second half of the rounds.
local rounds = [[
  local socket = require "socket"
  local lfs = require "lfs"
  local kinds = {}
  local shut = {__close = function(self) self[1]:close() end}

  -- A <close> variable for a socket.
  local function closing(s) return setmetatable({s}, shut) end

  local listener = assert(socket.bind("127.0.0.1", 0, 0))
  local host, port = listener:getsockname()

  function kinds.sleep() genet.sleep(60) end
  function kinds.yield() while true do genet.yield() end end
  function kinds.accept() listener:accept() error("accepted") end

  local function pair()
    local client = assert(socket.connect(host, port))
    return client, assert(listener:accept())
  end

  local client, peer = pair()
  function kinds.receive() assert(client:receive()) end
  function kinds.select() assert(socket.select({client, peer}, nil)[1]) end

  function kinds.receive_from_a_socket_of_its_own()
    local udp = assert(socket.udp())
    local _ <close> = closing(udp)
    assert(udp:setsockname("127.0.0.1", 0))
    assert(udp:receive())
  end

  local writer, reader = pair()
  local block = ("x"):rep(1 << 20)
  writer:settimeout(0)
  repeat local sent = writer:send(block) until not sent
  writer:settimeout()
  reader:settimeout()
  function kinds.send() assert(writer:send(block)) end

  function kinds.connect()
    local s = socket.tcp()
    local _ <close> = closing(s)
    assert(s:connect(full_host, full_port))
  end

  function kinds.resolve() assert(socket.dns.toip("localhost")) genet.sleep(60) end

  local empty, full = genet.queue(), genet.queue(1)
  full:put(1)
  function kinds.get() empty:get() end
  function kinds.put() full:put(2) end

  local lock, slots, event = genet.lock(), genet.semaphore(1), genet.event()
  lock:acquire()
  slots:acquire()
  function kinds.lock() local _ <close> = lock:acquire() end
  function kinds.semaphore() local _ <close> = slots:acquire() end
  function kinds.event() event:wait() end

  local forever = genet.spawn(genet.sleep, math.huge)
  function kinds.task() forever:wait() end
  function kinds.all() genet.all{forever, kinds.sleep, kinds.get} end
  function kinds.any() genet.any{forever, kinds.sleep} end
  function kinds.timeout() genet.timeout(60, genet.timeout, 50, genet.sleep, 70) end
  function kinds.close() local _ <close> = genet.spawn(genet.sleep, 60) genet.sleep(60) end
  function kinds.children() genet.spawn(kinds.receive) genet.spawn(kinds.get) genet.sleep(60) end
  function kinds.before_it_runs() error("it ran") end

  -- A listener whose queue is full lets nobody in.
  local crowded = assert(socket.bind("127.0.0.1", 0, 0))
  full_host, full_port = crowded:getsockname()
  local crowd = {}
  for i = 1, 8 do
    crowd[i] = socket.tcp()
    crowd[i]:settimeout(0)
    crowd[i]:connect(full_host, full_port)
  end

  local function descriptors()
    local count = 0
    for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
    return count
  end

  -- Their number once it stands still: a look-up goes on for a while on its thread.
  local function settled_descriptors()
    local count, same = descriptors(), 0
    while same < 5 do
      genet.sleep(0.01)
      local now = descriptors()
      count, same = now, now == count and same + 1 or 0
    end
    return count
  end

  local function kilobytes()
    collectgarbage()
    collectgarbage()
    return collectgarbage("count")
  end

  local function round(name)
    local task = genet.spawn(kinds[name])
    if name ~= "before_it_runs" then genet.yield() end
    task:cancel()
    local ok, err = task:wait()
    assert(not ok and err == "cancelled", name .. ": " .. tostring(err))
  end

  local names = {}
  for name in pairs(kinds) do table.insert(names, name) end
  table.sort(names)
  for _, name in ipairs(names) do
    for _ = 1, 10 do round(name) end
    local before = settled_descriptors()
    for _ = 1, ROUNDS // 2 do round(name) end
    local half = kilobytes()
    for _ = 1, ROUNDS // 2 do round(name) end
    local grown = kilobytes() - half
    print(name, settled_descriptors() - before, grown < 16 and "flat" or grown)
  end
  forever:cancel()
  assert(not next(genet.current().children) or forever:wait() == nil)
]]

describe("cancelling", function()
  it("leaves nothing behind, whatever the wait", function()
    local result = run_script("local ROUNDS = " .. support.crowd_size(1000) .. rounds, 120)
    assert.equal("", result.err)
    assert.equal(0, result.status)
    local count = 0
    for line in result.out:gmatch("[^\n]+") do
      assert.matches("^[%l_]+\t0\tflat$", line)
      count = count + 1
    end
    assert.equal(21, count)
  end)
end)

-- ---------------------------------------------------------------- clients that hang up

local site = [[
local genet = require "genet"
local app = genet.app()
local seen, gate = genet.shared("seen"), genet.shared("gate")

local function mark(name) seen:incr(name, 1, 0) end

-- Whether the gate is open, or has been since this turn.
local function is_open(turn) return gate:get("open") or gate:get("turn") ~= turn end

local function wait_at_gate()
  local turn = gate:get("turn")
  while not is_open(turn) do genet.sleep(0.01) end
end

-- Marks the end of a block, however it ends.
local function guard(name)
  return setmetatable({}, {__close = function() mark(name) end})
end

-- Starts three tasks of the request: one that waits, and one that is detached and may end.
local function family()
  genet.spawn(function()
    local _ <close> = guard("child")
    genet.sleep(60)
  end)
  genet.spawn({detach = true}, function()
    wait_at_gate()
    mark("detached")
  end)
end

local function hang(wait)
  return function(req)
    local _ <close> = guard("handler")
    family()
    genet.yield() -- until they wait
    mark("begun")
    return wait(req) or "ended well"
  end
end

local queue, lock, slots, event = genet.queue(), genet.lock(), genet.semaphore(1), genet.event()
genet.spawn(function() lock:acquire() slots:acquire() genet.sleep(3600) end)

local waits = {
  sleep = function() genet.sleep(60) end,
  queue = function() queue:get() end,
  lock = function() lock:acquire() end,
  semaphore = function() slots:acquire() end,
  event = function() event:wait() end,
  task = function() genet.spawn(genet.sleep, 60):wait() end,
  all = function() genet.all{function() genet.sleep(60) end, function() queue:get() end} end,
  timeout = function() genet.timeout(50, genet.sleep, 60) end,
}
for name, wait in pairs(waits) do app:get("/hang/" .. name, hang(wait)) end

app:post("/body", hang(function(req) return req:body() end))
app:post("/unread", hang(function() genet.sleep(60) end))
app:get("/stream", hang(function(req) while true do req:write(("x"):rep(65536)) end end))
app:get("/fails", hang(function() genet.sleep(0) error("on purpose") end))
app:get("/aborts", hang(function() genet.sleep(0) genet.abort(404) end))
app:get("/well", hang(function() genet.sleep(0) end))
app:get("/stubborn", hang(function()
  local _, err = pcall(genet.sleep, 60)
  mark(err)
end))
app:get("/cleans", hang(function()
  local _ <close> = setmetatable({}, {__close = function()
    genet.shield(genet.sleep, 0.05)
    mark("cleaned")
  end})
  genet.sleep(60)
end))
app:get("/detached", {detach = true}, hang(function()
  wait_at_gate()
  mark("went on")
end))
app:get("/tries", hang(function()
  local turn = gate:get("turn")
  while not is_open(turn) do pcall(genet.sleep, 60) end
end))
app:get("/gate", function() mark("gate") wait_at_gate() return "through" end)

app:get("/seen", function()
  local counts = {}
  for _, name in ipairs(seen:keys()) do counts[name] = seen:get(name) end
  return counts
end)
app:get("/go", function()
  gate:set("open", true)
  gate:incr("turn", 1, 0)
  return "go"
end)
app:get("/reset", function() seen:flush() gate:delete("open") return "reset" end)
app:get("/memory", function()
  collectgarbage()
  collectgarbage()
  return tostring(collectgarbage("count"))
end)
return app
]]

describe("a client that hangs up", function()
  local json = require "cjson"
  local server, idle

  setup(function()
    server = support.serve{script = site, args = {"--log-level", "debug", "--drain", "0.1"}}
    server:get("/seen")
    idle = server:settled_descriptors()
  end)
  teardown(function() server:stop() end)
  before_each(function() server:get("/reset") end)

  local function seen(name)
    return json.decode(server:get("/seen").body)[name] or 0
  end

  local function wait_seen(name, count)
    support.wait_until(name .. " to be marked", function() return seen(name) >= (count or 1) end)
  end

  local function leave(client, how)
    if how == "half" then client.socket:shutdown("send") else client:close(how) end
  end

  local function assert_taken_along()
    wait_seen("handler")
    wait_seen("child")
    assert.equal(0, seen("detached"))
    server:get("/go")
    wait_seen("detached")
  end

  -- A thread opens files of its own when it first serves.
  local function wait_idle()
    if support.mode == "threaded" then return end
    support.wait_until("the connection to go", function() return server:descriptors() <= idle end)
  end

  -- Asks, hangs up once the handler has begun, and sees everything go.
  local function hang_up(request, how)
    local from = #server:stderr() + 1
    local client = server:connect()
    finally(function() client:close() end)
    assert(client:send(request))
    wait_seen("begun")
    leave(client, how)
    assert_taken_along()
    client:close()
    wait_idle()
    local log = server:stderr():sub(from)
    assert.is_nil(log:find(" error ", 1, true), log)
  end

  local function get(path) return support.request_bytes("GET", path) end

  for _, how in ipairs{"politely", "reset", "half"} do
    it(("(%s) cancels its handler and that one's tasks"):format(how), function()
      hang_up(get("/hang/sleep"), how)
    end)
  end

  for _, wait in ipairs{"queue", "lock", "semaphore", "event", "task", "all", "timeout"} do
    it("cancels a handler that waits at: " .. wait, function()
      hang_up(get("/hang/" .. wait), "politely")
    end)
  end

  local half_a_body = support.request_bytes("POST", "/body", {"Content-Length: 100"}) .. "half"
  for _, how in ipairs{"politely", "reset", "half"} do
    it(("(%s) in the middle of a body takes all along"):format(how), function()
      hang_up(half_a_body, how)
    end)
  end

  it("in the middle of a stream takes all along", function()
    hang_up(get("/stream"), "reset")
  end)

  it("with a body that nobody has read, by a reset", function()
    hang_up(support.request_bytes("POST", "/unread", nil, "the body"), "reset")
  end)

  it("after its body has been read", function()
    server:get("/reset")
    hang_up(support.request_bytes("POST", "/unread", nil, ""), "politely")
  end)

  it("lets the handler clean up in a shield", function()
    local client = server:ask("/cleans")
    wait_seen("begun")
    client:close()
    wait_seen("cleaned")
    assert_taken_along()
  end)

  it("takes along the tasks of a handler that ends well all the same", function()
    local client = server:ask("/stubborn")
    wait_seen("begun")
    client:close()
    wait_seen("cancelled")
    assert_taken_along()
  end)

  it("lets others be served although the handler tries to wait again and again", function()
    local client = server:ask("/tries")
    wait_seen("begun")
    client:close()
    assert.equal(0, seen("handler"))
    server:get("/go")
    wait_seen("handler")
    wait_seen("child")
  end)

  it("leaves a handler that is detached, and its tasks", function()
    local client = server:ask("/detached")
    wait_seen("begun")
    client:close()
    support.wait_until("the connection to half close", function()
      return server:get("/seen").status == 200
    end)
    assert.equal(0, seen("handler"))
    server:get("/go")
    wait_seen("went on")
    wait_seen("detached")
    assert.equal(0, seen("child"))
  end)

  it("sends several requests and then its end: all are answered", function()
    local client = server:connect()
    finally(function() client:close() end)
    assert(client:send(get("/gate") .. get("/gate") .. get("/well")))
    wait_seen("gate")
    leave(client, "half")
    server:get("/seen")
    server:get("/go")
    assert.equal("through", client:response().body)
    assert.equal("through", client:response().body)
    assert.equal("ended well", client:response().body)
    assert.truthy(client:is_closed())
  end)

  it("many times leaves nothing behind", function()
    support.only("default processes", "each thread has memory of its own", pending)
    local size = support.crowd_size(500)
    local requests = {get("/hang/sleep"), get("/hang/all"), half_a_body, get("/stream")}
    local function memory() return tonumber(server:get("/memory").body) end

    local function crowd()
      server:get("/reset")
      for i = 1, size do
        local client = server:connect()
        client:send(requests[i % #requests + 1])
        wait_seen("begun", i)
        client:close(i % 2 == 0 and "reset" or "politely")
      end
      wait_seen("handler", size)
      wait_seen("child", size)
      server:get("/go")
      wait_seen("detached", size)
    end

    crowd()
    local half, resident = memory(), server:resident()
    crowd()
    assert.is_true(memory() - half < 64, memory() - half)
    if support.scale == 1 then -- sanitizers keep freed memory for a while
      assert.is_true(server:resident() - resident < 8192, server:resident() - resident)
    end
    wait_idle()
  end)

  it("is no request that failed: that one takes its tasks along too", function()
    for _, path in ipairs{"/fails", "/aborts"} do
      server:get("/reset")
      assert.equal(path == "/fails" and 500 or 404, server:get(path).status)
      assert_taken_along()
    end
  end)

  it("is no request that ended well: its tasks go on", function()
    assert.equal(200, server:get("/well").status)
    server:get("/go")
    wait_seen("detached")
    assert.equal(0, seen("child"))
  end)
end)

describe("a client of TLS that hangs up", function()
  local certificates = require "tests.e2e.certificates"
  local listening = require "tests.e2e.listening"
  local tls_client = require "tests.e2e.tls_client"
  local made, server

  setup(function()
    made = certificates.new()
    local pair = made:pair("one", {subject = "/CN=localhost", names = {"localhost"}})
    server = listening.serve{script = site, args = {"-p", "0", "--listen", "127.0.0.1:0",
      "--cert", pair.cert, "--key", pair.key, "--drain", "0.1"}}
  end)
  teardown(function()
    server:stop()
    support.remove(made.directory)
  end)

  local function wait_seen(name)
    support.wait_until(name .. " to be marked", function()
      return listening.ask(server.urls[2], "/seen"):find('"' .. name .. '"', 1, true)
    end)
  end

  for _, protocol in ipairs{"tlsv1_2", "tlsv1_3"} do
    it(("(%s) cancels its handler and that one's tasks"):format(protocol), function()
      listening.ask(server.urls[2], "/reset")
      local host, port = listening.host_port(server.urls[1])
      local client = tls_client.connect(host, port,
        {protocol = protocol, patience = support.patience})
      assert(client:send(support.request_bytes("GET", "/hang/sleep")))
      wait_seen("begun")
      client:close()
      wait_seen("handler")
      wait_seen("child")
    end)
  end
end)

-- ---------------------------------------------------------------- the end of a server

describe("SIGTERM", function()
  local server

  local function serve(script, drain)
    server = support.serve{
      script = [[
        local genet = require "genet"
        local app = genet.app()
        local function guard(name)
          return setmetatable({}, {__close = function()
            genet.shield(genet.sleep, 0.05)
            print(name .. " closed")
          end})
        end
      ]] .. script .. "\nreturn app\n",
      args = {"--drain", tostring(drain or 30)},
      states = 1,
    }
    finally(function()
      server:kill()
      server:clean()
    end)
  end

  -- Ends the server well; gives its log.
  local function terminate()
    server:signal("TERM")
    assert.equal(0, server:wait())
    server:check_sanitizers()
    return server:stderr()
  end

  local function count(log, text)
    return select(2, log:gsub(text, ""))
  end

  it("lets tasks finish, and only then ends what serves them", function()
    support.only("default processes", "the state that leads threads has such tasks too", pending)
    serve[[
      local jobs = genet.queue()
      genet.spawn(function()
        local _ <close> = guard("worker")
        for job in jobs:values() do job:set() end
      end)
      genet.every(0.01, function() end)
      app:get("/", function()
        genet.spawn(function()
          genet.sleep(0.2)
          local done = genet.event()
          jobs:put(done)
          done:wait()
          print("the task is done")
        end)
        return "started"
      end)
    ]]
    assert.equal("started", server:get("/").body)
    local log = terminate()
    local done = log:find("the task is done", 1, true)
    local closed = log:find("worker closed", 1, true)
    assert.is_true(done ~= nil and closed ~= nil and done < closed, log)
    assert.is_nil(log:find(" error ", 1, true), log)
  end)

  it("cancels after --drain what has not ended, and lets it clean up", function()
    support.only("default processes", "the state that leads threads has such tasks too", pending)
    serve([[
      genet.spawn(function() local _ <close> = guard("background") genet.sleep(3600) end)
      genet.every(0.01, function() local _ <close> = guard("timer") genet.sleep(3600) end)
      app:get("/", function()
        genet.spawn(function() local _ <close> = guard("task") genet.sleep(3600) end)
        genet.spawn({detach = true}, function() local _ <close> = guard("detached")
          genet.sleep(3600) end)
        return "started"
      end)
      app:get("/wait", function()
        local _ <close> = guard("handler")
        print("waiting")
        genet.sleep(3600)
      end)
    ]], 0.3)
    server:get("/")
    local client = server:ask("/wait")
    finally(function() client:close() end)
    server:wait_for_log("waiting")
    local log = terminate()
    for _, name in ipairs{"background", "timer", "task", "detached", "handler"} do
      assert.equal(1, count(log, name .. " closed"), log)
    end
    assert.is_nil(log:find(" error ", 1, true), log)
  end)

  it("cancels what is started while everything ends", function()
    serve([[
      app:get("/", function()
        local task = genet.spawn(genet.sleep, 3600)
        task:on_done(function(_, err)
          print("told: " .. err)
          genet.spawn(function() print("begun") genet.sleep(3600) end)
          genet.sleep(3600)
        end)
        return "started"
      end)
    ]], 0.1)
    server:get("/")
    local log = terminate()
    assert.equal(1, count(log, "told: cancelled"), log)
  end)

  it("without anything of theirs left does not wait", function()
    support.only("default processes", "the state that leads threads has such tasks too", pending)
    serve[[
      genet.spawn(function() local _ <close> = guard("background") genet.sleep(3600) end)
      genet.every(1000, function() end)
      genet.after(1000, function() end)
    ]]
    server:get("/")
    assert.equal(1, count(terminate(), "background closed"))
  end)

  it("ends with status 1 when a task refuses to end", function()
    serve([[
      app:get("/", function()
        genet.spawn(function() genet.shield(genet.sleep, 3600) end)
        return "started"
      end)
    ]], 0.1)
    server:get("/")
    server:signal("TERM")
    assert.equal(1, server:wait())
    server:check_sanitizers()
    assert.equal(1, count(server:stderr(), " error 1 tasks? cannot be cancelled"))
  end)

  it("logs a task that failed and that nobody asked, once", function()
    serve[[
      app:get("/", function()
        genet.spawn({name = "mailer"}, function() error("no mail") end)
        return "started"
      end)
    ]]
    server:get("/")
    local log = terminate()
    assert.equal(1, count(log, " error %[1%] task mailer: [^\n]*no mail\nstack traceback:"), log)
  end)

  it("finds the frames of a handler that failed under a deadline in the log", function()
    serve[[
      local function culprit() error("deep") end
      app:get("/", function() return genet.timeout(5, function() culprit() end) end)
      app:get("/late", function() return (assert(genet.timeout(0.01, genet.sleep, 60))) end)
    ]]
    assert.equal(500, server:get("/").status)
    assert.equal(500, server:get("/late").status)
    local log = terminate()
    assert.equal(1, count(log, "GET /: [^\n]*deep\nstack traceback:[^\n]*\n[^\n]*\n[^\n]*culprit"))
    assert.equal(1, count(log, "GET /late: [^\n]*timeout"), log)
  end)
end)
