-- What Prometheus reads of a host, and what a load balancer asks it.
local cjson = require "cjson"
local exposition = require "tests.e2e.exposition"
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local script = [[
local genet = require "genet"
local app = genet.app()
local orders = genet.metrics.counter("orders_total", "Orders \\ of\nall kinds.", {"kind"})
local depth = genet.metrics.gauge("depth", "Depth.")
local size = genet.metrics.histogram("size_bytes", "Sizes.", {"kind"}, {1, 10, 100.5})
genet.metrics.gauge("looked", "Looked up.", function() return 2.5 end)
app:get("/hello", function() return "hello test" end)
app:get("/item/<int:id>", function(_, id) return id > 9 and 404 or "item" end)
app:get("/sleep", function() genet.sleep(0.03) return "slept" end)
app:get("/long", function() genet.sleep(60) end)
app:get("/spin", function() local t = os.clock() while os.clock() - t < 0.3 do end return "" end)
app:post("/order", function(req)
  local kind = req:body()
  orders:inc(2, kind)
  depth:set(7)
  depth:dec()
  size:observe(#kind, kind)
  return 201
end)
app:websocket("/ws", function(ws) ws:join("t") genet.publish("t", "x") ws:receive() end)
app:metrics("/metrics")
app:metrics("/private", {allow = {"192.0.2.0/24"}})
local well = true
app:get("/sick", function() well = false return "" end)
app:health("/healthz", {timeout = 0.1, checks = {
  well = function() return well end,
  slow = function() if not well then genet.sleep(10) end return true end,
  broken = function() if not well then error("secret words") end return true end,
}})
app:health("/livez", {live = true})
return app
]]

-- `states` 1 where the test is about what one Lua state does.
local function serve(states) return support.serve{script = script, states = states} end

local function read(server)
  local answer = server:get("/metrics")
  assert.equal("text/plain; version=0.0.4; charset=utf-8", answer.headers["content-type"])
  return exposition.read(answer.body)
end

-- The same once all requests before have been counted, which other workers do after they answer.
local function read_settled(server)
  support.wait_until("the end of all other requests", function()
    return exposition.value(read(server), "genet_requests_in_flight") == 1
  end)
  return read(server)
end

describe("the metrics", function()
  it("count requests by route, method and status, however many paths there are", function()
    local server = serve()
    finally(function() server:stop() end)
    for id = 1, 20 do server:get("/item/" .. id) end
    server:request("HEAD", "/hello")
    for id = 1, 5 do server:get("/nowhere/" .. id) end
    server:request("BREW", "/hello")
    local families = read_settled(server)
    local function count(labels)
      return exposition.value(families, "genet_requests_total", labels)
    end
    assert.equal(9, count{route = "/item/<int:id>", status = "200", method = "GET"})
    assert.equal(11, count{route = "/item/<int:id>", status = "404"})
    assert.equal(1, count{route = "/hello", method = "HEAD"})
    assert.equal(5, count{route = "", status = "404"})
    assert.equal(1, count{route = "", status = "405", method = "OTHER"})
    assert.equal(20, exposition.value(families, "genet_request_duration_seconds_count",
      {route = "/item/<int:id>"}))
    assert.truthy(exposition.value(families, "process_resident_memory_bytes") > 1e6)
  end)

  it("time requests", function()
    local server = serve()
    finally(function() server:stop() end)
    server:get("/sleep")
    local families = read_settled(server)
    local function value(name, le)
      return exposition.value(families, "genet_request_duration_seconds_" .. name,
        {route = "/sleep", le = le})
    end
    assert.equal(0, value("bucket", "0.025"))
    assert.equal(1, value("bucket", "+Inf"))
    assert.truthy(value("sum") >= 0.029)
  end)

  it("tell what goes on", function()
    local server = serve()
    finally(function() server:stop() end)
    local waiting = server:ask("/long")
    local ws = ws_client.open(server, "/ws")
    ws:receive()
    server:get("/spin")
    local families
    local function value(name, labels) return exposition.value(families, name, labels) end
    support.wait_until("what all workers have told", function()
      families = read(server)
      return value("genet_requests_in_flight") == 3 and value("genet_preemptions_total") > 0
        and value("genet_messages_delivered_total") == 1
    end)
    assert.equal(1, value("genet_websockets"))
    assert.equal(1, value("genet_topics"))
    assert.equal(1, value("genet_messages_delivered_total"))
    assert.truthy(value("genet_preemptions_total") > 0)
    assert.truthy(value("genet_loop_lag_seconds") > 0.01)
    assert.truthy(value("genet_fibers", {state = "parked"}) > 2)
    waiting:close()
    ws:close()
    assert.equal(1, exposition.value(read_settled(server), "genet_requests_total",
      {route = "/long", status = "499"}))
  end)

  it("hold what scripts count, which goes on when they are loaded again", function()
    local server = serve(1)
    finally(function() server:stop() end)
    for _, kind in ipairs{"book", "book", 'a "b"\\\n', "\255"} do
      server:request("POST", "/order", nil, kind)
    end
    assert.equal(0, server:tell("reload").status)
    server:save("main.lua", "syntax error")
    assert.equal(1, server:tell("reload").status)
    server:request("POST", "/order", nil, "book")
    local families
    local function value(name, labels) return exposition.value(families, name, labels) end
    support.wait_until("the failed load", function()
      families = read(server)
      return value("genet_reloads_total", {result = "failed"}) == 1
    end)
    assert.equal(6, value("orders_total", {kind = "book"}))
    assert.equal(2, value("orders_total", {kind = 'a "b"\\\n'}))
    assert.equal(2, value("orders_total", {kind = "?"}))
    assert.equal(6, value("depth"))
    assert.equal(2.5, value("looked"))
    assert.equal(3, value("size_bytes_count", {kind = "book"}))
    assert.equal(12, value("size_bytes_sum", {kind = "book"}))
    assert.equal(1, value("genet_reloads_total", {result = "ok"}))
    assert.equal(2, value("genet_generation"))
  end)

  it("are read by Prometheus' own client", function()
    local server = serve()
    finally(function() server:stop() end)
    server:get("/hello")
    server:request("POST", "/order", nil, 'a "b"\\\n')
    local program = "import sys; from prometheus_client.parser import "
      .. "text_string_to_metric_families as p; "
      .. "print(sum(len(f.samples) for f in p(sys.stdin.read())))"
    local text = server:get("/metrics").body
    local directory = support.directory{text = text}
    finally(function() server:stop() support.remove(directory) end)
    local pipe = io.popen(("/usr/bin/python3 -c '%s' <%s/text"):format(program, directory))
    local counted = pipe:read("n")
    pipe:close()
    local samples = 0
    for _, family in pairs(exposition.read(text)) do samples = samples + #family.samples end
    assert.equal(samples, counted)
  end)

  it("are for those who are allowed", function()
    local server = serve()
    finally(function() server:stop() end)
    assert.equal(403, server:get("/private").status)
  end)

  it("bound the memory for series that a client could name", function()
    local server = serve()
    finally(function() server:stop() end)
    local connection = server:connect()
    for i = 1, 600 do connection:request("POST", "/order", nil, "kind" .. i) end
    connection:request("POST", "/order", nil, ("x"):rep(300))
    connection:close()
    local families = read_settled(server)
    assert.truthy(#families.orders_total.samples < 601)
    server:wait_for_log("there is no room for")
  end)
end)

describe("the health of a host", function()
  it("is that of its checks", function()
    local server = serve(1)
    finally(function() server:stop() end)
    local answer = server:get("/healthz")
    assert.equal(200, answer.status)
    assert.same({status = "ok", checks = {well = "ok", slow = "ok", broken = "ok"}},
      cjson.decode(answer.body))
    server:get("/sick")
    answer = server:get("/healthz")
    assert.equal(503, answer.status)
    assert.same({status = "failing",
      checks = {well = "failed", slow = "timeout", broken = "failed"}}, cjson.decode(answer.body))
    assert.equal(200, server:get("/livez").status)
    server:wait_for_log("secret words")
  end)

  it("is none while it stops, but it lives", function()
    local server = serve()
    finally(function() server:stop() end)
    local busy = server:ask("/sleep")
    local health, live = server:connect(), server:connect()
    local long = server:ask("/long")
    health:send("GET /healthz HTTP/1.1\r\n")
    live:send("GET /livez HTTP/1.1\r\n")
    assert.equal(200, busy:response().status)
    server:signal("TERM")
    support.wait_until("the end of the listening", function()
      return not pcall(function() server:connect():close() end)
    end)
    health:send("Host: a\r\n\r\n")
    live:send("Host: a\r\n\r\n")
    assert.equal(503, health:response().status)
    assert.equal(200, live:response().status)
    long:close()
    assert.equal(0, server:wait())
  end)
end)
