local support = require "support"
local exposition = require "tests.e2e.exposition"
local metrics = require "genet.metrics"

describe("genet.metrics", function()
  before_each(function() support.stats.requests_list = {} end)

  it("writes what was counted", function()
    local counter = metrics.counter("a_total", "A.", {"x", "y"})
    counter:inc(nil, "1", 'q"\\\n')
    counter:inc(2.5, "1", 'q"\\\n')
    local gauge = metrics.gauge("b", "B.")
    gauge:set(1e300)
    local families = exposition.read(metrics.render())
    assert.equal(3.5, exposition.value(families, "a_total", {x = "1", y = 'q"\\\n'}))
    assert.equal(1e300, exposition.value(families, "b"))
    assert.equal(3, exposition.value(families, "genet_fibers", {state = "ready"}))
    gauge:set(math.huge)
    gauge:set(-math.huge)
    assert.truthy(metrics.render():find("\nb -Inf\n", 1, true))
  end)

  it("adds up what the workers have counted", function()
    local function cell(route, count)
      return {route = route, method = "GET", statuses = {[200] = count}, sum = count / 8,
        latencies = {count, 0, 1}}
    end
    support.stats.requests_list = {{cell("/a", 1), cell("/b", 2)}, {cell("/a", 3)}, {}}
    local families = exposition.read(metrics.render())
    local function value(name, route)
      return exposition.value(families, name, {route = route})
    end
    assert.equal(4, value("genet_requests_total", "/a"))
    assert.equal(2, value("genet_requests_total", "/b"))
    assert.equal(6, value("genet_request_duration_seconds_count", "/a"))
    assert.equal(0.5, value("genet_request_duration_seconds_sum", "/a"))
  end)

  it("keeps the buckets of a histogram in their order", function()
    local histogram = metrics.histogram("c", "C.", {"le_gal"}, {2, 10, 100})
    for _, n in ipairs{1, 2, 3, 50, 1000} do histogram:observe(n, "x") end
    histogram:observe(1, "le=")
    local families = exposition.read(metrics.render())
    for le, count in pairs{["2"] = 2, ["10"] = 3, ["100"] = 4, ["+Inf"] = 5} do
      assert.equal(count, exposition.value(families, "c_bucket", {le = le, le_gal = "x"}))
    end
  end)

  it("gives the same metric for the same name", function()
    assert.equal(metrics.counter("d_total", "D."), metrics.counter("d_total", "D."))
    assert.has_error(function() metrics.gauge("d_total", "D.") end,
      "genet.metrics.gauge: there is another metric 'd_total'")
  end)

  it("refuses what Prometheus would", function()
    local counter = metrics.counter("e_total", "E.", {"x"})
    for _, case in ipairs{
      {function() metrics.counter("1x", "E.") end, "'1x' is not the name of a metric"},
      {function() metrics.counter("genet_x", "E.") end, "names that begin so are the host's"},
      {function() metrics.counter("f", "F.", {"le"}) end, "'le' is not the name of a label"},
      {function() metrics.counter("f", "F.", {"__x"}) end, "'__x' is not the name of a label"},
      {function() metrics.histogram("f", "F.", nil, {2, 1}) end, "the buckets must be numbers"},
      {function() metrics.counter("f") end, "genet.metrics.counter: the help"},
      {function() counter:inc() end, "e_total has 1 labels, not 0"},
      {function() counter:inc(-1, "a") end, "a counter never falls"},
      {function() counter:inc("1", "a") end, "counter:inc: a number was expected"},
      {function() counter.inc(1, "a") end, "write counter:inc, not counter.inc"},
    } do
      local ok, problem = pcall(case[1])
      assert.is_false(ok)
      assert.truthy(problem:find(case[2], 1, true), problem)
    end
  end)

  it("logs once that there is no room, and goes on", function()
    support.stats.full = true
    finally(function() support.stats.full = nil end)
    local counter = metrics.counter("g_total", "G.", {"x"})
    local before = #support.logged
    for i = 1, 10 do counter:inc(1, i) end
    assert.equal(before + 1, #support.logged)
  end)
end)
