-- Topics cross between hosts that use one Redis, whatever becomes of it.
local cjson = require "cjson"
local redis = require "tests.e2e.redis"
local support = require("tests.e2e.support").one_state()
local ws_client = require "tests.e2e.websocket.client"

local SCRIPT = [[
  local genet = require "genet"
  local app = genet.app{max_body = 4 << 20}
  app:websocket("/ws/<topic>", function(ws, topic)
    ws:join(topic)
    ws:send("joined")
    ws:receive()
  end)
  app:get("/publish/<topic>", function(req, topic)
    local size, byte = tonumber(req.args.size), tonumber(req.args.byte)
    local text = size and ("x"):rep(size) or byte and string.char(byte) or req.args.text
    return {taken = genet.publish(topic, text, req.args.kind)}
  end)
  app:get("/count/<topic>/<int:n>", function(_, topic, n)
    for i = 1, n do genet.publish(topic, tostring(i)) end
    return "counted"
  end)
  local news
  app:get("/subscribe", function() news = genet.subscribe("tasks") return "subscribed" end)
  app:get("/next", function() return {news:receive(20)} end)
  return app
]]

local UP, DOWN = "the bus has Redis at", "the bus has no Redis at"

local function serve(url)
  return support.serve{script = SCRIPT, args = {"--bus", url}}
end

-- Two hosts that have Redis.
local function serve_two(url)
  local a, b = serve(url), serve(url)
  a:wait_for_log(UP)
  b:wait_for_log(UP)
  return a, b
end

local open = {}

local function listen(server, topic)
  local ws = ws_client.open(server, "/ws/" .. topic)
  open[#open + 1] = ws
  local kind, payload = ws:read_frame()
  assert.same({"text", "joined"}, {kind, payload})
  return ws
end

-- In good order: a Redis that was started meanwhile has inherited the connections.
local function leave()
  for _, ws in ipairs(open) do ws:close() end
  open = {}
end

local function publish(server, topic, query)
  return cjson.decode(server:get("/publish/" .. topic .. "?" .. query).body).taken
end

local function assert_comes(ws, expected, expected_kind)
  local kind, payload = ws:read_frame()
  assert.equal(expected_kind or "text", kind)
  assert.equal(#expected, #payload)
  assert.is_true(expected == payload, "another message has come")
end

describe("--bus", function()
  local server, a, b

  setup(function()
    server = redis.start()
    a, b = serve_two(server.url)
  end)

  after_each(leave)

  teardown(function()
    if a then a:stop() end
    if b then b:stop() end
    server:stop()
  end)

  it("carries what is published to the WebSockets of every host, once", function()
    local here, there, elsewhere = listen(a, "news"), listen(b, "news"), listen(b, "other")
    assert.equal(1, publish(a, "news", "text=it+rains")) -- those of its own host are counted
    assert_comes(here, "it rains")
    assert_comes(there, "it rains")
    publish(b, "news", "byte=255&kind=binary")
    assert_comes(here, "\xff", "binary")
    assert_comes(there, "\xff", "binary")
    publish(a, "other", "text=last")
    assert_comes(elsewhere, "last")
    publish(a, "news", "text=end")
    assert_comes(here, "end")
    assert_comes(there, "end")
  end)

  it("carries it to subscriptions of tasks", function()
    b:get("/subscribe")
    assert.equal(0, publish(a, "tasks", "text=hello"))
    assert.same({"hello", "text", "tasks"}, cjson.decode(b:get("/next").body))
  end)

  it("carries messages of a megabyte", function()
    local there = listen(b, "large")
    publish(a, "large", "size=1048576")
    assert_comes(there, ("x"):rep(1 << 20))
  end)

  it("keeps the order of a publisher", function()
    local there = listen(b, "numbers")
    a:get("/count/numbers/3000")
    for i = 1, 3000 do assert_comes(there, tostring(i)) end
  end)

  it("lets others publish through Redis", function()
    local here, there = listen(a, "weather"), listen(b, "weather")
    assert.equal("2", server:cli("PUBLISH", "genet:topic:weather", "it snows"))
    assert_comes(here, "it snows")
    assert_comes(there, "it snows")
    server:cli("PUBLISH", "genet:topic:weather", "\xff")
    assert_comes(here, "\xff", "binary")
  end)

  it("drops what is published while Redis is away, and tells when it is back", function()
    local here, there = listen(a, "gap"), listen(b, "gap")
    local from, from_b = #a:stderr() + 1, #b:stderr() + 1
    server:kill()
    a:wait_for_log(DOWN, from)
    assert.equal(1, publish(a, "gap", "text=lost"))
    assert_comes(here, "lost")
    server:restart()
    a:wait_for_log(UP, from)
    assert.matches("again; 1 messages were dropped", a:stderr():sub(from))
    b:wait_for_log(UP, from_b)
    publish(a, "gap", "text=kept")
    assert_comes(here, "kept")
    assert_comes(there, "kept")
  end)

  it("ends in time while Redis does not answer", function()
    local c = serve(server.url)
    c:wait_for_log(UP)
    server:signal("STOP")
    finally(function() server:signal("CONT") end)
    publish(c, "news", "text=lost")
    c:stop()
  end)
end)

describe("--bus", function()
  it("serves while there is no Redis, and finds it when it comes", function()
    local server = redis.start()
    finally(function() server:stop() end)
    server:kill()
    local a = serve(server.url)
    finally(function() leave() a:stop() server:stop() end)
    a:wait_for_log(DOWN)
    assert.matches("no Redis at 127%.0%.0%.1:%d+: Connection refused; trying again", a:stderr())
    local here = listen(a, "news")
    assert.equal(1, publish(a, "news", "text=hello"))
    assert_comes(here, "hello")
    server:restart()
    a:wait_for_log(UP)
  end)

  it("says what Redis has against it, and not the password", function()
    local server = redis.start("sesame")
    local a = serve((server.url:gsub("sesame", "wrong-one")))
    finally(function() a:stop() server:stop() end)
    a:wait_for_log(DOWN)
    assert.matches("WRONGPASS", a:stderr())
    assert.not_matches("wrong%-one", a:stderr())
    local b = serve(server.url)
    finally(function() a:stop() b:stop() server:stop() end)
    b:wait_for_log(UP)
  end)

  it("refuses what is no URL of Redis", function()
    for _, url in ipairs{"localhost", "rediss://localhost", "redis://h:port", "redis://"} do
      local result = support.run{"runserver", "scripts", "--bus", url}
      assert.equal(2, result.status)
      assert.matches("^genet: option '%-%-bus': a URL such as redis://[^\n]+\n$", result.err)
    end
  end)
end)
