-- `--threaded=N`: N threads, each with a Lua state of its own; what blocks one holds up no other.
local socket = require "socket"
local client = require "tests.e2e.client"
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local THREADS = 4

-- What a test has to do at its end, the latest first.
local endings = {}

local function later(fn)
  table.insert(endings, 1, fn)
end

after_each(function()
  local todo = endings
  endings = {}
  for _, fn in ipairs(todo) do fn() end
end)

local function serve(script, args, threads)
  args = args or {}
  table.insert(args, 1, "--threaded=" .. (threads or THREADS))
  local server = support.serve{
    script = 'local genet = require "genet"\nlocal app = genet.app()\n' .. script .. "\nreturn app",
    args = args,
  }
  later(function() server:stop() end)
  return server
end

-- What each of these connections answers, in order.
local function answers(connections)
  local list = {}
  for i, connection in ipairs(connections) do list[i] = connection:response("GET").body end
  return list
end

local function ask_all(server, count, target)
  local connections = {}
  for i = 1, count do connections[i] = server:ask(target) end
  later(function()
    for _, connection in ipairs(connections) do connection:close() end
  end)
  return connections
end

-- How many different values there are in a list.
local function kinds(list)
  local seen, count = {}, 0
  for _, value in ipairs(list) do
    if not seen[value] then count = count + 1 end
    seen[value] = true
  end
  return count
end

-- Has a thread of the server blocked by C code in a request for /blocked: fopen(3) of a FIFO waits
-- inside libc for a writer, whatever the host does. Returns the connection, and what unblocks it.
local BLOCKED = [[
  app:get("/blocked", function(req)
    local file <close> = io.open(req.args.fifo)
    return file:read("l") .. " in " .. genet.generation()
  end)]]

local function block(server)
  local directory = support.directory()
  local fifo = directory .. "/fifo"
  assert(os.execute("mkfifo " .. fifo))
  local connection = server:ask("/blocked?fifo=" .. fifo)
  later(function()
    connection:close()
    support.remove(directory)
  end)
  return connection, function() support.write_file(fifo, "open\n") end
end

describe("a thread", function()
  it("that a C call blocks holds up no other", function()
    local server = serve(BLOCKED .. [[
      app:get("/", function() return "free" end)]], {"--no-patch"})
    local blocked, unblock = {}, {}
    for i = 1, THREADS - 1 do blocked[i], unblock[i] = block(server) end
    for _ = 1, 20 do assert.equal("free", server:get("/").body) end
    for i, connection in ipairs(blocked) do
      unblock[i]()
      assert.equal("open in 1", connection:response("GET").body)
    end
  end)

  it("that a task blocks while it serves nothing holds up no request", function()
    local server = serve([[
      app:get("/block", function(req)
        local fifo = req.args.fifo
        genet.spawn({detach = true}, function()
          local file <close> = io.open(fifo)
          file:read("l")
        end)
        return "spawned"
      end)
      app:get("/", function() return "free" end)]], {"--no-patch"}, 2)
    local directory = support.directory()
    later(function() support.remove(directory) end)
    assert(os.execute("mkfifo " .. directory .. "/fifo"))
    assert.equal("spawned", server:get("/block?fifo=" .. directory .. "/fifo").body)
    for _ = 1, 20 do assert.equal("free", server:get("/").body) end
    support.write_file(directory .. "/fifo", "open\n")
  end)

  it("has a Lua state of its own", function()
    local server = serve [[
      local key = {}
      app:get("/", function() genet.sleep(0.2) return tostring(key) end)]]
    assert.equal(THREADS, kinds(answers(ask_all(server, THREADS, "/"))))
  end)

  it("runs the tasks that a request has left while it is idle, and while it serves", function()
    local server = serve([[
      local ticks = 0
      app:get("/start", function()
        genet.spawn({detach = true}, function()
          for _ = 1, 50 do genet.sleep(0.001) ticks = ticks + 1 end
        end)
        return "started"
      end)
      app:get("/ticks", function() return tostring(ticks) end)]], {}, 1)
    server:get("/start")
    support.wait_until("the task", function() return server:get("/ticks").body == "50" end)
  end)

  it("cancels the handler of a client that has gone", function()
    local server = serve([[
      local ended = "not yet"
      app:get("/wait", function()
        local guard <close> = setmetatable({}, {__close = function(_, e) ended = tostring(e) end})
        genet.sleep(60)
      end)
      app:websocket("/ended", function(ws)
        for _ in ws:messages() do ws:send(ended) end
      end)]], {}, 1)
    local ws = ws_client.open(server, "/ended")
    later(function() ws:vanish() end)
    server:ask("/wait"):close()
    support.wait_until("the cancellation", function()
      ws:send "?"
      return ws:receive():find("cancelled", 1, true)
    end)
  end)

  it("preempts what computes in a WebSocket's handler for ever", function()
    local server = serve([[
      app:websocket("/spin", function(ws) ws:send "spins" while true do end end)
      app:get("/", function() return "served" end)]], {"--slice-ms=10", "--drain=0.2"}, 1)
    local ws = ws_client.open(server, "/spin")
    later(function() ws:vanish() end)
    assert.equal("spins", (ws:receive()))
    assert.equal("served", server:get("/").body)
  end)
end)

describe("genet status", function()
  it("tells of each thread, and what it has been asked", function()
    local server = serve([[app:get("/", function() return "hello" end)]], {}, 2)
    for _ = 1, 3 do server:get("/") end
    local told = server:tell("status").out
    assert.matches("\n0  the leader, which serves nothing, pid %d+, generation 1\n", told)
    local sum = 0
    for requests in told:gmatch("thread, generation 1, (%d+) requests") do
      sum = sum + tonumber(requests)
    end
    assert.equal(3, sum)
  end)
end)

describe("connections", function()
  local HELLO = 'app:get("/", function() return "hello" end)'

  it("hold no thread while they are idle", function()
    local server = serve(HELLO, {}, 2)
    local connections = {}
    later(function()
      for _, connection in ipairs(connections) do connection:close() end
    end)
    for i = 1, 200 do
      connections[i] = server:connect()
      assert.equal("hello", connections[i]:request("GET", "/").body)
    end
    for _ = 1, 3 do
      for _, connection in ipairs(connections) do
        assert.equal("hello", connection:request("GET", "/").body)
      end
    end
  end)

  it("hold no thread while their heads come slowly", function()
    local server = serve(HELLO, {}, 2)
    local slow = {}
    for i = 1, 20 do
      slow[i] = server:connect()
      slow[i]:send("GET / HTTP/1.1\r\nHost: x\r\n")
    end
    assert.equal("hello", server:get("/").body)
    for _, connection in ipairs(slow) do connection:send("\r\n") end
    for _, connection in ipairs(slow) do
      assert.equal("hello", connection:response("GET").body)
      connection:close()
    end
  end)

  it("are closed once they have been idle for too long, wherever they wait", function()
    local server = serve(HELLO, {"--keep-alive=0.3"}, 2)
    local connections = {}
    for i = 1, 6 do connections[i] = server:connect() end
    for _ = 1, 4 do
      for _, connection in ipairs(connections) do
        assert.equal("hello", connection:request("GET", "/").body)
      end
    end
    for _ = 1, 4 do assert.equal("hello", connections[1]:request("GET", "/").body) end
    for _, connection in ipairs(connections) do
      assert.is_true(connection:is_closed())
      connection:close()
    end
  end)

  it("are answered in order when requests are pipelined, however many others wait", function()
    local server = serve([[app:get("/<int:n>", function(_, n) return tostring(n) end)]], {}, 2)
    local connections = {}
    for i = 1, 8 do
      connections[i] = server:connect()
      local requests = {}
      for n = 1, 200 do requests[n] = ("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(n) end
      connections[i]:send(table.concat(requests))
    end
    for _, connection in ipairs(connections) do
      for n = 1, 200 do assert.equal(tostring(n), connection:response("GET").body) end
      connection:close()
    end
  end)

  it("are as many as --max-connections says; the next one waits", function()
    local server = serve(HELLO, {"--max-connections=3"}, 2)
    local connections = {}
    for i = 1, 3 do
      connections[i] = server:connect()
      assert.equal("hello", connections[i]:request("GET", "/").body)
    end
    local late = server:ask("/")
    assert.is_false(late:has_news(0.3))
    connections[1]:close()
    assert.equal("hello", late:response("GET").body)
    late:close()
    for i = 2, 3 do connections[i]:close() end
  end)

  it("may be many at once, and are all answered", function()
    local server = serve(HELLO)
    local size = support.crowd_size(1000)
    local before = server:settled_descriptors()
    for _ = 1, 3 do
      local crowd = server:crowd(size, "/")
      crowd:wait_sent()
      assert.same({["200 hello"] = size}, crowd:answers())
    end
    support.wait_until("the descriptors to be given back", function()
      return server:descriptors() <= before + 2
    end)
  end)
end)

describe("WebSockets", function()
  it("hold no thread", function()
    local server = serve([[
      app:websocket("/echo", function(ws) for message in ws:messages() do ws:send(message) end end)
      app:get("/", function() return "hello" end)]], {}, 2)
    local sockets = {}
    later(function()
      for _, ws in ipairs(sockets) do ws:vanish() end
    end)
    for i = 1, 40 do
      sockets[i] = ws_client.open(server, "/echo")
    end
    for i, ws in ipairs(sockets) do ws:send("message " .. i) end
    for i, ws in ipairs(sockets) do assert.equal("message " .. i, (ws:receive())) end
    assert.equal("hello", server:get("/").body)
  end)

  it("of all threads get what is published on one", function()
    local server = serve [[
      app:websocket("/join", function(ws)
        ws:join "news"
        ws:send "joined"
        for _ in ws:messages() do end
      end)
      app:get("/hold", function() genet.sleep(0.3) return "held" end)
      app:get("/tell", function() genet.publish("news", "it works") return "told" end)]]
    local sockets = {}
    later(function()
      for _, ws in ipairs(sockets) do ws:vanish() end
    end)
    for i = 1, THREADS do -- each while the threads of those before are busy
      sockets[i] = ws_client.open(server, "/join")
      assert.equal("joined", (sockets[i]:receive()))
      local held = server:ask "/hold"
      later(function() held:close() end)
    end
    for _ = 1, 5 do
      server:get("/tell")
      for _, ws in ipairs(sockets) do assert.equal("it works", (ws:receive())) end
    end
  end)

  it("answer an upgrade that no route wants as any request, and go on", function()
    local server = serve('app:get("/", function() return "plain" end)', {}, 2)
    local connection = server:connect()
    for _ = 1, 3 do
      local answer = connection:request("GET", "/", {Upgrade = "other", Connection = "Upgrade"})
      assert.equal("plain", answer.body)
    end
    connection:close()
  end)
end)

describe("a reload", function()
  local function script(version)
    return ([[
      local genet = require "genet"
      local app = genet.app()
      local part = require "part"
      app:get("/", function() genet.sleep(0.05) return "%s " .. part end)
      return app]]):format(version)
  end

  local function serve_parts()
    local server = support.serve{
      scripts = {["main.lua"] = script "one", ["part/init.lua"] = 'return "one"'},
      args = {"--threaded=" .. THREADS},
    }
    later(function() server:stop() end)
    return server
  end

  local function save(server, version)
    server:save("main.lua", script(version))
    server:save("part/init.lua", ('return "%s"'):format(version))
  end

  it("reaches all threads before it is told to have succeeded", function()
    local server = serve_parts()
    answers(ask_all(server, THREADS, "/"))
    for _, version in ipairs{"two", "three", "four"} do
      save(server, version)
      assert.equal(0, server:tell("reload").status)
      for _, body in ipairs(answers(ask_all(server, THREADS, "/"))) do
        assert.equal(version .. " " .. version, body)
      end
    end
  end)

  it("by a handler waits for all threads too", function()
    local server = support.serve{script = [[
      local genet = require "genet"
      local app = genet.app()
      app:get("/", function() genet.sleep(0.05) return tostring(genet.generation()) end)
      app:get("/reload", function() return tostring(genet.reload()) end)
      return app]], args = {"--threaded=" .. THREADS}}
    later(function() server:stop() end)
    answers(ask_all(server, THREADS, "/"))
    assert.equal("2", server:get("/reload").body)
    assert.same({"2", "2", "2", "2"}, answers(ask_all(server, THREADS, "/")))
  end)

  -- The state of a thread that first serves after the files have changed is of the generation that
  -- was loaded, not of what the files say meanwhile.
  it("is what changes the generation, not that a thread begins to serve", function()
    local server = serve_parts()
    assert.equal("one one", server:get("/").body)
    server:save("main.lua", "this is no Lua")
    server:save("part/init.lua", "nor is this")
    for _, body in ipairs(answers(ask_all(server, THREADS, "/"))) do
      assert.equal("one one", body)
    end
    assert.equal(1, server:tell("reload").status)
    for _, body in ipairs(answers(ask_all(server, THREADS, "/"))) do
      assert.equal("one one", body)
    end
  end)
end)

describe("a reload beside a blocked thread", function()
  it("succeeds, and the thread follows before it serves again", function()
    local server = serve(BLOCKED .. [[
      app:get("/", function() return "in " .. genet.generation() end)]], {"--no-patch"}, 2)
    local blocked, unblock = block(server)
    assert.equal("in 1", server:get("/").body)
    assert.equal(0, server:tell("reload").status)
    assert.equal("in 2", server:get("/").body)
    local other, unblock_other = block(server)
    unblock()
    assert.equal("open in 1", blocked:response("GET").body)
    assert.equal("in 2", server:get("/").body)
    unblock_other()
    assert.equal("open in 2", other:response("GET").body)
  end)
end)

describe("a storm", function()
  local function site(version)
    return ([[
      local genet = require "genet"
      local app = genet.app()
      local version = %q
      app:get("/", function() genet.publish("news", version) return version end)
      app:get("/slow", function()
        local before = version
        genet.sleep(0.02)
        return before .. " " .. version
      end)
      app:get("/wait", function() genet.sleep(60) end)
      app:websocket("/ws", {on_reload = "move"}, function(ws)
        for message in ws:messages() do ws:send(version .. message) end
      end)
      app:websocket("/news", function(ws)
        ws:join "news"
        genet.publish("news", version)
        for _ in ws:messages() do end
      end)
      return app]]):format(version)
  end

  -- Half of them with a request under way, half with a WebSocket.
  local function come_and_go(server)
    local visitors = {}
    for at = 1, 2 * THREADS do
      visitors[at] = server:connect()
      if at % 2 == 0 then
        visitors[at]:ask(at % 4 == 0 and "/wait" or "/slow")
      else
        visitors[at]:send(client.request_bytes("GET", "/news", ws_client.handshake()))
      end
    end
    for at, visitor in ipairs(visitors) do visitor:close(at % 3 == 0 and "reset" or nil) end
  end

  it("of reloads and of clients that hang up keeps nobody else from an answer", function()
    local server = support.serve{scripts = {["main.lua"] = site "v1"},
      args = {"--threaded=" .. THREADS, "--drain=1"}}
    later(function() server:stop() end)
    local finish = server:ask_for_versions({"/", "/slow", "/ws"}, 4)
    for turn = 1, support.crowd_size(60) do
      come_and_go(server)
      server:save("main.lua", turn % 2 == 0 and site("v" .. turn) or "local broken = = 1")
      assert.equal(turn % 2, server:tell("reload").status)
    end
    finish()
  end)
end)

describe("timers", function()
  it("that scripts start run once for all threads", function()
    local directory = support.directory()
    later(function() support.remove(directory) end)
    local file = directory .. "/ticks"
    local server = serve(([[
      genet.after(0.05, function()
        local file <close> = io.open(%q, "a")
        file:write("tick\n")
      end)
      app:get("/", function() genet.sleep(0.05) return "hello" end)]]):format(file))
    answers(ask_all(server, THREADS, "/"))
    support.wait_until("the timer", function() return support.read_file(file) ~= "" end)
    socket.sleep(0.2)
    assert.equal("tick\n", support.read_file(file))
  end)
end)

describe("the end", function()
  it("comes once all requests have been answered, on whatever thread", function()
    local server = support.serve{script = [[
      local genet = require "genet"
      local app = genet.app()
      app:get("/", function() genet.sleep(0.4) return "answered" end)
      return app]], args = {"--threaded=" .. THREADS}}
    local connections = ask_all(server, THREADS, "/")
    socket.sleep(0.1)
    server:signal "TERM"
    assert.same({"answered", "answered", "answered", "answered"}, answers(connections))
    assert.equal(0, server:wait())
    server:stop()
  end)

  it("is not put off by a thread that is blocked, but it is no good one", function()
    local server = support.serve{script = [[
      local genet = require "genet"
      local app = genet.app()
      ]] .. BLOCKED .. "\nreturn app", args = {"--threaded=2", "--drain=0.1", "--no-patch"}}
    later(function() server:clean() end)
    block(server)
    socket.sleep(0.2)
    server:signal "TERM"
    assert.equal(1, server:wait())
    assert.matches("1 requests cannot be cancelled", server:stderr(), 1, true)
  end)

  it("cancels what does not end in time", function()
    local server = support.serve{script = [[
      local genet = require "genet"
      local app = genet.app()
      app:get("/", function() genet.sleep(60) end)
      return app]], args = {"--threaded=" .. THREADS, "--drain=0.2"}}
    local connections = ask_all(server, THREADS, "/")
    socket.sleep(0.1)
    server:signal "TERM"
    for _, connection in ipairs(connections) do
      assert.equal(503, connection:response("GET").status)
    end
    assert.equal(0, server:wait())
    server:stop()
  end)
end)
