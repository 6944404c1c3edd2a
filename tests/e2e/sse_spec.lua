-- Server-sent events, as an EventSource would read them.
local browser = require "tests.e2e.browser"
local support = require("tests.e2e.support").one_state()

local script = [[
local genet = require "genet"
local app = genet.app()
local streams, ended, resumed = {}, 0, nil

-- Sends what /say is given, until the client goes.
app:sse("/events", function(sse, req)
  local _ <close> = setmetatable({}, {__close = function()
    streams[sse] = nil
    ended = ended + 1
  end})
  streams[sse] = true
  if sse.last_event_id then sse:send{event = "resumed", data = sse.last_event_id} end
  genet.event():wait()
end)
app:post("/say", function(req)
  for sse in pairs(streams) do sse:send{id = 1, event = "said", data = req:body()} end
end)
app:get("/ended", function() return tostring(ended) end)
app:get("/streams", function()
  local count = 0
  for _ in pairs(streams) do count = count + 1 end
  return tostring(count)
end)

app:sse("/short", function(sse)
  sse:send("one\ntwo")
  sse:send{retry = 2, data = {three = 3}}
end)
app:sse("/beats", {heartbeat = 0.02}, function() genet.event():wait() end)
app:sse("/busy", {heartbeat = 0.001}, function(sse)
  local text = ("x"):rep(300000)
  local function fill() for _ = 1, 20 do sse:send(text) genet.sleep(0.001) end end
  assert(genet.all{fill, fill})
end)
app:get("/page", function()
  return [=[<!doctype html><title>events</title><p id=log></p><script>
    const note = (text) => { log.textContent += text + "; "; };
    const source = new EventSource("/numbered");
    source.onmessage = (event) => note(event.lastEventId + "=" + JSON.parse(event.data).text);
    source.addEventListener("named", (event) => note("named " + event.data.replace("\n", "|")));
  </script>]=]
end)
app:sse("/numbered", {heartbeat = 0.01}, function(sse)
  local id = tonumber(sse.last_event_id) or 0
  sse:send{id = id + 1, retry = 0.05, data = {text = "ä" .. id + 1}}
  sse:send{event = "named", data = "a\nb"}
  if id >= 2 then genet.event():wait() end
end)
app:sse("/fails", function(sse)
  sse:send("some")
  error("no more")
end)

return app
]]

describe("a stream of events", function()
  local server, opened

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)
  before_each(function() opened = {} end)
  after_each(function()
    for _, client in ipairs(opened) do client:close() end
  end)

  local function connect()
    opened[#opened + 1] = server:connect()
    return opened[#opened]
  end

  local function listen(target, headers)
    local client = connect()
    client:send(support.request_bytes("GET", target, headers))
    local head = client:read_head()
    assert.equal(200, head.status)
    return client, head
  end

  local function count(of) return tonumber(server:get(of).body) end

  it("begins at once, with the headers it needs", function()
    local _, head = listen("/events")
    assert.equal("text/event-stream", head.headers["content-type"])
    assert.equal("no-store", head.headers["cache-control"])
    assert.equal("no", head.headers["x-accel-buffering"])
    assert.equal("chunked", head.headers["transfer-encoding"])
  end)

  it("carries what another request sends", function()
    support.only("default processes", "requests meet in one Lua state", pending)
    local first, second = listen("/events"), listen("/events")
    support.wait_until("both to listen", function() return count("/streams") >= 2 end)
    server:request("POST", "/say", nil, "hello\nyou")
    local event = "id: 1\nevent: said\ndata: hello\ndata: you\n\n"
    assert.equal(event, first:read_chunk())
    assert.equal(event, second:read_chunk())
  end)

  it("ends with its handler, and the connection goes on", function()
    local client = connect()
    local body = 'data: one\ndata: two\n\nretry: 2000\ndata: {"three":3}\n\n'
    assert.equal(body, client:request("GET", "/short").body)
    assert.equal(body, client:request("GET", "/short").body)
    assert.equal("", client:request("HEAD", "/short").body)
    assert.equal(body, client:request("GET", "/short").body)
  end)

  it("goes on where it was when the browser comes back", function()
    local client = listen("/events", {"Last-Event-ID: 41"})
    assert.equal("event: resumed\ndata: 41\n\n", client:read_chunk())
  end)

  it("has a heartbeat while nothing is sent", function()
    local client = listen("/beats")
    for _ = 1, 3 do assert.equal(": \n\n", client:read_chunk()) end
  end)

  it("never mixes events and heartbeats", function()
    local client = listen("/busy")
    local events = 0
    for chunk in function() return client:read_chunk() end do
      if chunk == "" then break end
      if chunk ~= ": \n\n" then
        assert.equal(300008, #chunk)
        events = events + 1
      end
    end
    assert.equal(40, events)
  end)

  for _, how in ipairs{"politely", "reset"} do
    it(("ends its handler when the client goes %s"):format(how), function()
      local before = count("/ended")
      local client = server:ask("/events")
      assert.equal(200, client:read_head().status)
      client:close(how)
      support.wait_until("the handler to end", function() return count("/ended") > before end)
    end)
  end

  it("that fails is cut, and logged", function()
    local client = listen("/fails")
    assert.equal("data: some\n\n", client:read_chunk())
    assert.is_true(client:is_closed())
    server:wait_for_log("no more")
  end)

  it("is read by a browser, which comes back with the last id", function()
    local window = browser.start()
    finally(function() window:quit() end)
    window:open(("http://%s:%d/page"):format(server.host, server.port))
    window:wait_for_text("#log", "1=ä1; named a|b; 2=ä2; named a|b; 3=ä3; named a|b;")
  end)

  it("does not keep the server from stopping", function()
    local other = support.serve{script = script, args = {"--drain", "1000"}}
    local client = other:ask("/events")
    local head = client:read_head()
    other:stop() -- waits far less than that
    assert.equal(200, head.status)
    assert.is_true(client:is_closed())
    client:close()
  end)

  it("of a crowd takes little memory of each", function()
    support.only("default processes", "more requests wait than there are threads", pending)
    local others = {}
    local before = server:resident()
    for i = 1, support.crowd_size(300) do
      others[i] = connect()
      others[i]:ask("/events")
    end
    support.wait_until("the crowd", function() return count("/streams") >= #others end)
    server:request("POST", "/say", nil, "x")
    for _, client in ipairs(others) do
      client:read_head()
      assert.equal("id: 1\nevent: said\ndata: x\n\n", client:read_chunk())
    end
    local each = (server:resident() - before) / #others
    if support.scale >= 1 then assert.is_true(each < 100, each .. " KB each") end
    if os.getenv("GENET_E2E_FIGURES") then print(("%.1f KB each"):format(each)) end
  end)
end)
