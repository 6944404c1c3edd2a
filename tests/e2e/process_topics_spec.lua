-- Topics cross between the processes of a host, and from there to other hosts.
local cjson = require "cjson"
local redis = require "tests.e2e.redis"
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local SCRIPT = [[
  local genet = require "genet"
  local app = genet.app()
  local pid = io.open("/proc/self/stat"):read("n")
  app:websocket("/ws/<topic>", function(ws, topic)
    ws:join(topic)
    ws:send(tostring(pid))
    ws:receive()
  end)
  app:get("/publish/<topic>", function(req, topic)
    local size = tonumber(req.args.size)
    return {taken = genet.publish(topic, size and ("x"):rep(size) or req.args.text)}
  end)
  app:get("/count/<topic>/<int:n>", function(_, topic, n)
    for i = 1, n do genet.publish(topic, tostring(i)) end
    return "counted"
  end)
  app:get("/die", function() require("genet.process").run{"sh", "-c", "kill -9 " .. pid} end)
  return app
]]

local CLIENTS = 8

local function serve(...)
  return support.serve{script = SCRIPT, args = {"--processes", "2", ...}}
end

-- WebSockets, of which each process has some; and how many processes that are.
local function listen(server, topic)
  local list, pids, count = {}, {}, 0
  for i = 1, CLIENTS do
    list[i] = ws_client.open(server, "/ws/" .. topic)
    local _, pid = list[i]:read_frame()
    count, pids[pid] = count + (pids[pid] and 0 or 1), true
  end
  return list, count
end

local function leave(list)
  for _, ws in ipairs(list) do ws:close() end
end

local function publish(server, topic, query)
  return cjson.decode(server:get("/publish/" .. topic .. "?" .. query).body).taken
end

local function assert_all_hear(list, text)
  for _, ws in ipairs(list) do
    local kind, payload = ws:read_frame()
    assert.equal("text", kind)
    assert.is_true(payload == text, "another message has come")
  end
end

describe("topics of several processes", function()
  it("are those of all", function()
    local server = serve()
    finally(function() server:stop() end)
    local list, processes = listen(server, "news")
    assert.equal(2, processes)
    assert.is_true(publish(server, "news", "text=hello") < CLIENTS) -- counts its own alone
    assert_all_hear(list, "hello")
    publish(server, "news", "size=1048576")
    assert_all_hear(list, ("x"):rep(1 << 20))
    server:get("/count/news/3000")
    for i = 1, 3000 do assert_all_hear(list, tostring(i)) end
    leave(list)
  end)

  it("are those of a process that replaces another", function()
    local server = serve()
    finally(function() server:stop() end)
    pcall(server.get, server, "/die")
    server:wait_for_log("was killed by SIGKILL")
    support.wait_until("the next process", function()
      local list, processes = listen(server, "news")
      leave(list)
      return processes == 2
    end)
    local list = listen(server, "news")
    publish(server, "news", "text=hello")
    assert_all_hear(list, "hello")
    leave(list)
  end)

  it("are those of other hosts, by one Redis link of the parent", function()
    local service = redis.start()
    local a = serve("--bus", service.url)
    local b = serve("--bus", service.url)
    finally(function() a:stop() b:stop() service:stop() end)
    a:wait_for_log("the bus has Redis at")
    b:wait_for_log("the bus has Redis at")
    assert.equal("2", service:cli("PUBLISH", "genet:topic:nobody", "x")) -- a link of each host
    local at_a, at_b = listen(a, "news"), listen(b, "news")
    publish(a, "news", "text=hello")
    assert_all_hear(at_a, "hello")
    assert_all_hear(at_b, "hello")
    publish(b, "news", "text=again")
    assert_all_hear(at_a, "again")
    assert_all_hear(at_b, "again")
    leave(at_a)
    leave(at_b)
  end)
end)
