-- WebSockets: a handler per socket in blocking style, sockets usable from anywhere, topics.
local certificates = require "tests.e2e.certificates"
local client = require "tests.e2e.client"
local frames = require "tests.e2e.websocket.frames"
local listening = require "tests.e2e.listening"
local socket = require "socket"
local support = require("tests.e2e.support").one_state()
local tls_client = require "tests.e2e.tls_client"
local ws_client = require "tests.e2e.websocket.client"

-- What a test has opened and may leave open.
local opened = {}

local function open(server, target, headers)
  local ws = ws_client.open(server, target, headers)
  opened[#opened + 1] = ws
  return ws
end

local function stop(server)
  for at, ws in ipairs(opened) do
    ws:vanish()
    opened[at] = nil
  end
  server:stop()
end

local function serve(script, args, path)
  local server = support.serve{
    script = script and 'local genet = require "genet"\nlocal app = genet.app()\n' .. script
      .. "\nreturn app",
    path = path, args = args,
  }
  finally(function() stop(server) end)
  return server
end

local function serve_routes(args)
  return serve(nil, args, "tests/e2e/websocket/routes.lua")
end

-- What the script's route /notes has been told.
local NOTES = [[
  local notes = {}
  local function note(...) notes[#notes + 1] = table.concat(table.pack(...), " ") end
  app:get("/notes", function() return table.concat(notes, "\n") end)
]]

local function await_notes(server, wanted)
  local got
  local ok = pcall(support.wait_until, "the notes", function()
    got = server:get("/notes").body
    return got == wanted
  end, 10)
  if not ok then assert.equal(wanted, got) end
end

describe("a handler", function()
  it("gets messages and their kinds, and sends some", function()
    local server = serve [[
      app:websocket("/", function(ws)
        for message, kind in ws:messages() do
          ws:send(kind .. " " .. #message)
          ws:send(message, "binary")
          ws:send(7)
        end
      end)]]
    local ws = open(server, "/")
    ws:send "one"
    assert.same({"text 3", "text"}, {ws:receive()})
    assert.same({"one", "binary"}, {ws:receive()})
    assert.same({"7", "text"}, {ws:receive()})
    ws:send_binary "\xff"
    assert.equal("binary 1", ws:receive())
    assert.equal("\xff", ws:receive())
    assert.equal("7", ws:receive())
    ws:close()
  end)

  it("gets the arguments of its rule, and knows its request", function()
    local server = serve_routes()
    assert.equal("integer 7", (open(server, "/item/7"):receive()))
    local ws = open(server, "/request?a=%41", {"X-Tag: tag"})
    assert.equal("GET /request A tag 127.0.0.1 127.0.0.1 http", (ws:receive()))
    assert.same({nil, 1000, ""}, {ws:receive()})
  end)

  it("closes with 1000 when it returns", function()
    local server = serve [[app:websocket("/", function(ws) ws:send "bye" return "ignored" end)]]
    local ws = open(server, "/")
    assert.equal("bye", (ws:receive()))
    assert.same({nil, 1000, ""}, {ws:receive()})
    ws:send_close(1000)
    assert.is_true(ws.connection:is_closed())
  end)

  it("closes with 1011 when it fails, and the log gets the traceback", function()
    local server = serve_routes()
    local ws = open(server, "/fails")
    assert.equal("before", (ws:receive()))
    assert.same({nil, 1011, ""}, {ws:receive()})
    server:wait_for_log("GET /fails: tests/e2e/websocket/routes.lua:")
    server:wait_for_log("the handler fails")
    server:wait_for_log("stack traceback:")
    assert.same({nil, 1011, ""}, {open(server, "/aborts"):receive()})
    server:wait_for_log("403 Forbidden: too late")
  end)

  it("may give up waiting for a message", function()
    local server = serve(NOTES .. [[
      app:websocket("/", function(ws)
        note(tostring(ws:receive(0)), select(2, ws:receive(0)))
        note(tostring(ws:receive(0.01)), select(2, ws:receive(0.01)))
        ws:send "go on"
        note(ws:receive(10))
        note(tostring(pcall(genet.timeout, 0.01, ws.receive, ws)))
      end)]])
    local ws = open(server, "/")
    assert.equal("go on", (ws:receive()))
    ws:send "now"
    assert.same({nil, 1000, ""}, {ws:receive()})
    await_notes(server, "nil timeout\nnil timeout\nnow text\ntrue")
  end)

  it("learns who closed, with which code and why", function()
    local server = serve(NOTES .. [[
      app:websocket("/", function(ws)
        if ws:receive() == "close" then ws:close(4000, "enough") end
        local message, why, code, reason = ws:receive()
        note(tostring(message), why, code, "<" .. reason .. ">")
        note(tostring(ws:send("more")), select(2, ws:send("more")), tostring(ws:is_open()))
      end)]])
    local wanted = ""
    local function expect(line)
      wanted = wanted .. (wanted == "" and "" or "\n") .. line .. "\nnil closed false"
      await_notes(server, wanted)
    end
    local ws = open(server, "/")
    ws:send "a"
    ws:close(3001, "r\u{e9}ason")
    expect "nil closed 3001 <r\u{e9}ason>"
    ws = open(server, "/")
    ws:send "close"
    assert.same({nil, 4000, "enough"}, {ws:receive()})
    ws:send_close(4000)
    expect "nil closed 4000 <enough>"
    ws = open(server, "/")
    ws:send "a"
    ws:send_close()
    expect "nil closed 1005 <>"
    ws = open(server, "/")
    ws:send "a"
    ws:vanish "reset"
    expect "nil closed 1006 <>"
    ws = open(server, "/")
    ws:send "a"
    ws:send_bytes "\x83\x00"
    expect "nil closed 1002 <protocol error>"
  end)

  it("may answer what came before the close", function()
    local server = serve [[
      app:websocket("/", function(ws)
        for message in ws:messages() do
          genet.sleep(0.02)
          ws:send("answer to " .. message)
        end
      end)]]
    local ws = open(server, "/")
    ws:send_bytes(frames.text "1" .. frames.text "2" .. frames.close(1000))
    assert.equal("answer to 1", (ws:receive()))
    assert.equal("answer to 2", (ws:receive()))
    assert.same({nil, 1000, ""}, {ws:receive()})
  end)

  it("is not cancelled when its client goes away", function()
    local server = serve(NOTES .. [[
      app:websocket("/", function(ws)
        ws:send "ready"
        for _ = 1, 10 do genet.sleep(0.01) end
        while ws:send "more" do genet.sleep(0.01) end
        note "noticed"
      end)]])
    local ws = open(server, "/")
    assert.equal("ready", (ws:receive()))
    ws:vanish "reset"
    await_notes(server, "noticed")
  end)

  it("may be closed by a block", function()
    local server = serve [[
      app:websocket("/", function(ws)
        do local _ <close> = ws end
        genet.sleep(1)
      end)]]
    local ws = open(server, "/")
    assert.same({nil, 1000, ""}, {ws:receive()})
    ws:send_close(1000)
    assert.is_true(ws.connection:is_closed())
  end)

  it("answers pings and closes while it is busy", function()
    local ws = open(serve_routes{"--drain", "0"}, "/deaf")
    ws:ping "there?"
    assert.same({"pong", "there?"}, {ws:read_frame()})
  end)
end)

describe("a WebSocket", function()
  it("is used from other tasks, and found by its number", function()
    local server = serve [[
      local id
      app:websocket("/", function(ws)
        id = ws.id
        genet.spawn(function() ws:send "from a task" end)
        while ws:receive() do end
      end)
      app:get("/send", function()
        local ws = genet.ws(id)
        if not ws then return "gone" end
        return tostring(ws.id == id) .. " " .. tostring(ws:send "from a request")
      end)]]
    local ws = open(server, "/")
    assert.equal("from a task", (ws:receive()))
    assert.equal("true true", server:get("/send").body)
    assert.equal("from a request", (ws:receive()))
    ws:close()
    assert.equal("gone", server:get("/send").body)
  end)

  it("that has ended answers \"closed\", whoever kept it", function()
    local server = serve [[
      local kept
      app:websocket("/", function(ws) kept = ws end)
      app:get("/try", function()
        local lines = {}
        local function try(method, ...)
          lines[#lines + 1] = method .. " " .. tostring(select(-1, kept[method](kept, ...)))
        end
        try("receive")
        try("send", "a")
        try("ping")
        try("close")
        try("join", "t")
        try("leave", "t")
        try("is_open")
        lines[#lines + 1] = tostring(genet.ws(kept.id))
        for _ in kept:messages() do error("there cannot be one") end
        return table.concat(lines, "\n")
      end)]]
    local ws = open(server, "/")
    ws:close()
    assert.equal("receive closed\nsend closed\nping closed\nclose closed\njoin closed\n"
      .. "leave false\nis_open false\nnil", server:get("/try").body)
  end)

  it("names the argument that is wrong", function()
    local server = serve [[
      local function tell(fn, ...) return select(2, pcall(fn, ...)) end
      app:websocket("/", function(ws)
        for _, problem in ipairs{
          tell(ws.send, ws), tell(ws.send, ws, {}), tell(ws.send, ws, "a", "words"),
          tell(ws.send, ws, "\xff"), tell(ws.send, "ws"), tell(ws.receive, ws, -1),
          tell(ws.ping, ws, ("x"):rep(126)), tell(ws.close, ws, 1005), tell(ws.close, ws, "bye"),
          tell(ws.close, ws, 1000, ("x"):rep(124)), tell(ws.join, ws), tell(ws.leave, ws, {}),
          tell(genet.ws, "1"), tell(genet.publish, "t"), tell(genet.publish, "t", "\xff"),
          tell(genet.subscribe), tell(genet.subscribe, "t", 0),
        } do ws:send((problem:gsub("^[^:]+:%d+: ", ""))) end
      end)]]
    local ws = open(server, "/")
    for _, wanted in ipairs{
      "ws:send: the message was expected to be a string, not a nil",
      "ws:send: the message was expected to be a string, not a table",
      'ws:send: the kind was expected to be "text" or "binary", not words',
      'ws:send: the text is not UTF-8: send it as "binary"',
      "ws:send: a WebSocket was expected: call it with a colon",
      "ws:receive: a number of seconds from 0 was expected, not -1",
      "ws:ping: at most 125 bytes were expected",
      "ws:close: not a code to close with",
      "ws:close: a code was expected, not a string",
      "ws:close: a reason has at most 123 bytes",
      "ws:join: the topic was expected to be a string, not a nil",
      "ws:leave: the topic was expected to be a string, not a table",
      "genet.ws: a number was expected, not a string",
      "genet.publish: the message was expected to be a string, not a nil",
      'genet.publish: the text is not UTF-8: send it as "binary"',
      "genet.subscribe: the topic was expected to be a string, not a nil",
      "genet.subscribe: a whole number from 1 was expected, not 0",
    } do assert.equal(wanted, (ws:receive())) end
    ws:close()
  end)

  it("sends the big messages of two tasks one after the other", function()
    local server = serve [[
      app:websocket("/", function(ws)
        local function send(letter)
          for _ = 1, 5 do assert(ws:send(letter:rep(700000))) end
        end
        genet.all{genet.spawn(send, "a"), genet.spawn(send, "b")}
      end)]]
    local ws = open(server, "/")
    socket.sleep(0.2)
    local counts = {a = 0, b = 0}
    for _ = 1, 10 do
      local message = ws:receive()
      local letter = message:sub(1, 1)
      assert.is_true(message == letter:rep(700000))
      counts[letter] = counts[letter] + 1
      socket.sleep(0.01)
    end
    assert.same({a = 5, b = 5}, counts)
    ws:close()
  end)

  it("slows a sender down to what its client reads", function()
    local server = serve([[
      local sent = 0
      app:websocket("/", function(ws)
        local chunk = ("x"):rep(65536)
        for _ = 1, 1024 do
          if not ws:send(chunk) then return end
          sent = sent + 1
        end
      end)
      app:get("/sent", function() return tostring(sent) end)]], {"--ws-queue", "256K"})
    local before = server:resident()
    local ws = open(server, "/")
    local stood
    support.wait_until("the sender to stand still", function()
      local now = server:get("/sent").body
      socket.sleep(0.05)
      stood = now == server:get("/sent").body and now ~= "0" and now
      return stood
    end)
    assert.is_true(tonumber(stood) < 1000)
    for _ = 1, 1024 do assert.equal(65536, #ws:receive()) end
    assert.same({nil, 1000, ""}, {ws:receive()})
    assert.is_true(server:resident() - before < 16384 / support.scale)
    ws:vanish()
  end)

  it("does not grow its inbox while the handler is busy", function()
    local server = serve [[
      app:websocket("/", {max_message = 65536}, function(ws)
        ws:send "ready"
        genet.sleep(1)
        local count = 0
        while count < 2000 and ws:receive() do count = count + 1 end
        ws:send(tostring(count))
      end)]]
    local ws = open(server, "/")
    assert.equal("ready", (ws:receive()))
    local before = server:resident()
    local message = frames.binary(("x"):rep(30000))
    ws.connection.socket:settimeout(0.3)
    local _, _, sent = ws.connection.socket:send(message:rep(2000))
    assert.is_true(sent ~= nil) -- it blocks
    assert.is_true(server:resident() - before < 8192 / support.scale)
    ws.connection.socket:settimeout(support.patience)
    assert(ws.connection.socket:send(message:rep(2000), sent + 1))
    assert.equal("2000", (ws:receive()))
    ws:close()
  end)

  it("takes a message of its limit, in time that grows with its size only", function()
    local server = serve [[
      app:websocket("/", {max_message = 8 << 20}, function(ws)
        for message in ws:messages() do ws:send(tostring(#message)) end
      end)]]
    local ws = open(server, "/")
    ws:send_bytes(frames.text(("x"):rep(8 << 20), {mask = "\0\0\0\0"}))
    assert.equal("8388608", (ws:receive()))
    ws:close()
  end)
end)

describe("a topic", function()
  local ROOM = [[
    app:websocket("/<room>", function(ws, room)
      ws:join(room)
      ws:send "joined"
      for message, kind in ws:messages() do
        if message == "leave" then
          ws:send(tostring(ws:leave(room)))
        else
          genet.publish(room, message, kind)
        end
      end
    end)
    app:get("/publish/<room>", function(req, room)
      return tostring(genet.publish(room, req.args.m))
    end)]]

  local function join(server, room)
    local ws = open(server, room)
    assert.equal("joined", (ws:receive()))
    return ws
  end

  it("reaches all who have joined, and nobody else", function()
    local server = serve(ROOM)
    local a, b, c = join(server, "/x"), join(server, "/x"), join(server, "/y")
    a:send "hello"
    assert.same({"hello", "text"}, {a:receive()})
    assert.same({"hello", "text"}, {b:receive()})
    b:send_binary "\xff"
    assert.same({"\xff", "binary"}, {a:receive()})
    assert.same({"\xff", "binary"}, {b:receive()})
    assert.equal("1", server:get("/publish/y?m=only").body)
    assert.equal("only", (c:receive()))
    b:send "leave"
    assert.equal("true", (b:receive()))
    assert.equal("1", server:get("/publish/x?m=last").body)
    assert.equal("last", (a:receive()))
    a:close()
    assert.equal("0", server:get("/publish/x?m=nobody").body)
    b:send "leave"
    assert.equal("false", (b:receive()))
    b:close()
    c:close()
  end)

  it("keeps the order in which messages were published", function()
    local server = serve [[
      app:websocket("/", function(ws)
        ws:join "t"
        for i = 1, 500 do
          if i % 3 == 0 then ws:send(tostring(i)) else genet.publish("t", tostring(i)) end
        end
        ws:receive()
      end)]]
    local ws = open(server, "/")
    for i = 1, 500 do assert.equal(tostring(i), (ws:receive())) end
    ws:close()
  end)

  it("is for tasks too", function()
    support.only("default", "it keeps a subscription in a variable of one Lua state", pending)
    local server = serve(NOTES .. [[
      local ready = genet.event()
      app:get("/listen", function()
        local news <close> = genet.subscribe "news"
        note(select(2, news:receive(0)))
        ready:set()
        note(news:receive())
        note(news:receive(10))
        genet.publish("news", "mine")
        note(#news, (news:receive()))
        news:close()
        note(tostring(news:receive()), select(2, news:receive()))
        return "heard"
      end)
      app:get("/tell", function()
        ready:wait()
        genet.publish("news", "\xff", "binary")
        return tostring(genet.publish("news", "rain"))
      end)]])
    local listener = server:ask("/listen")
    assert.equal("1", server:get("/tell").body)
    assert.equal("heard", listener:response().body)
    await_notes(server, "timeout\n\xff binary news\nrain text news\n1 mine\nnil closed")
    assert.equal("0", server:get("/tell").body)
  end)

  it("ends a task's subscription when too much waits for it", function()
    local server = serve [[
      app:get("/", function()
        local news = genet.subscribe("news", 3)
        local taken = {}
        for i = 1, 5 do taken[i] = genet.publish("news", tostring(i)) end
        for i = 6, 8 do taken[i] = (news:receive()) end
        return table.concat(taken, " ") .. " " .. select(2, news:receive())
      end)]]
    assert.equal("1 1 1 0 0 1 2 3 overflow", server:get("/").body)
  end)

  it("closes a slow reader with 1013 and keeps nobody else waiting", function()
    local server = serve([[
      app:websocket("/", function(ws)
        ws:join "t"
        ws:send "joined"
        ws:receive()
      end)
      app:get("/publish", function()
        local message = ("x"):rep(10000)
        for i = 1, 1500 do
          genet.publish("t", i .. message)
          genet.sleep(0.001)
        end
        return tostring(genet.publish("t", "end"))
      end)]], {"--ws-queue", "256K", "--log-level", "debug"})
    local slow, good = join(server, "/"), join(server, "/")
    local before = server:resident()
    local publisher = server:ask("/publish")
    for i = 1, 1500 do
      local message = good:receive()
      assert.is_true(message == i .. ("x"):rep(10000))
    end
    assert.equal("end", (good:receive()))
    assert.equal("1", publisher:response().body)
    assert.is_true(server:resident() - before < 16384 / support.scale)
    local last, code, reason
    repeat last, code, reason = slow:receive() until not last
    assert.same({1013, "reads too slowly"}, {code, reason})
    good:close()
    slow:vanish()
  end)

  it("reaches a thousand sockets with one message", function()
    local server = serve [[
      app:websocket("/", function(ws)
        ws:join "t"
        ws:send "joined"
        ws:receive()
      end)
      app:get("/publish", function() return tostring(genet.publish("t", "all")) end)]]
    local count = math.min(400, support.crowd_size(400))
    local sockets = {}
    for i = 1, count do sockets[i] = join(server, "/") end
    assert.equal(tostring(count), server:get("/publish").body)
    for _, ws in ipairs(sockets) do assert.equal("all", (ws:receive())) end
    for _, ws in ipairs(sockets) do ws:vanish() end
    support.wait_until("their end", function() return server:get("/publish").body == "0" end)
  end)
end)

describe("the host", function()
  it("pings a silent client, and drops it when it does not answer", function()
    local server = serve(NOTES .. [[
      app:websocket("/", function(ws)
        local _, why, code = ws:receive()
        note(why, code)
      end)]], {"--ws-ping", "0.2"})
    local ws = open(server, "/")
    assert.same({"ping", ""}, {ws:read_frame()})
    ws:pong ""
    assert.same({"ping", ""}, {ws:read_frame()})
    assert.is_nil(ws:read_frame())
    await_notes(server, "closed 1006")
    ws:vanish()
  end)

  it("tells idle sockets with 1001 that it stops", function()
    local server = support.serve{script = [[
      local genet = require "genet"
      local app = genet.app()
      app:websocket("/", function(ws)
        local _, why, code = ws:receive()
        genet.log.info(("noticed %s %d"):format(why, code))
      end)
      return app]]}
    local ws = open(server, "/")
    local start = socket.gettime()
    server:signal "TERM"
    assert.same({nil, 1001, "the server stops"}, {ws:receive()})
    server:wait_for_log("noticed closed 1001")
    ws:send_close(1001)
    assert.is_true(ws.connection:is_closed())
    server:wait()
    server:stop()
    assert.is_true(socket.gettime() - start < 20)
  end)

  it("cancels handlers that do not end at the deadline of a stop", function()
    local server = support.serve{path = "tests/e2e/websocket/routes.lua",
      args = {"--drain", "0.2"}}
    local ws = open(server, "/deaf")
    server:signal "TERM"
    assert.same({nil, 1001, "the server stops"}, {ws:receive()})
    server:wait()
    server:stop()
    ws:vanish()
  end)

  local stock_clients = {
    ["Python's websockets"] = "/usr/bin/python3 tests/e2e/websocket/stock_client.py",
    ["Node's ws"] = "node tests/e2e/websocket/stock_client.js",
  }
  for name, program in pairs(stock_clients) do
    it("speaks to " .. name, function()
      local server = serve_routes()
      local command = ("timeout 60 %s ws://127.0.0.1:%d 2>&1"):format(program, server.port)
      local pipe = assert(io.popen(command))
      local output = pipe:read("a")
      assert.is_true(pipe:close(), output)
      assert.equal("all is well\n", output)
    end)
  end

  it("speaks TLS", function()
    local made = certificates.new()
    finally(function() support.remove(made.directory) end)
    local pair = made:pair("site", {names = {"localhost"}})
    local server = listening.serve{
      script = support.read_file("tests/e2e/websocket/routes.lua"),
      args = {"-p", "0", "--cert", pair.cert, "--key", pair.key},
    }
    finally(function() server:stop() support.remove(made.directory) end)
    local host, port = listening.host_port(server.urls[1])
    local connection = tls_client.connect(host, port, {patience = support.patience})
    local ws = ws_client.upgrade(connection, "/echo", {"Origin: https://127.0.0.1"})
    for _, size in ipairs{0, 1, 126, 16384, 70000, 1000000} do
      ws:send(("x"):rep(size))
      assert.equal(size, #ws:receive())
    end
    for i = 1, 200 do ws:send(tostring(i)) end
    for i = 1, 200 do assert.equal(tostring(i), (ws:receive())) end
    ws:close()
  end)
end)

describe("a client that vanishes", function()
  local shake = client.request_bytes("GET", "/echo", ws_client.handshake())
  local frame = frames.text(("x"):rep(1000))
  local answered = {
    ["before its handshake ends"] = false,
    ["after it"] = true,
    ["in a header"] = true,
    ["in a message"] = true,
    ["between fragments"] = true,
    ["after a message"] = true,
    ["after a ping"] = true,
    ["after its close"] = true,
    ["after a broken frame"] = true,
    ["in a message of which it has announced a lot"] = true,
  }
  local sent = {
    ["before its handshake ends"] = shake:sub(1, -5),
    ["after it"] = shake,
    ["in a header"] = shake .. frame:sub(1, 3),
    ["in a message"] = shake .. frame:sub(1, 500),
    ["between fragments"] = shake .. frames.text_begins "a",
    ["after a message"] = shake .. frame,
    ["after a ping"] = shake .. frames.ping "p",
    ["after its close"] = shake .. frames.close(1000),
    ["after a broken frame"] = shake .. frames.text("x", {rsv = 7}),
    ["in a message of which it has announced a lot"] = shake
      .. frames.frame(1, "x", {form = 64, length = 1 << 20}),
  }
  local server, idle

  setup(function()
    server = support.serve{path = "tests/e2e/websocket/routes.lua"}
    open(server, "/echo"):close()
    idle = server:settled_descriptors()
  end)
  teardown(function() server:stop() end)

  for _, how in ipairs{"politely", "reset"} do
    for where, bytes in pairs(sent) do
      it(("%s (%s) leaves nothing behind"):format(where, how), function()
        for _ = 1, 5 do
          local connection = server:connect()
          assert(connection:send(bytes))
          if answered[where] then assert.equal(101, connection:read_head().status) end
          connection:close(how)
        end
        support.wait_until("the connections to go", function()
          return server:descriptors() <= idle
        end)
        assert.is_nil(server:stderr():find(" error ", 1, true), server:stderr())
      end)
    end
  end
end)
