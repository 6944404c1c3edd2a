--- Metrics in Prometheus' text format, of the host and of scripts.
--
--     local orders = genet.metrics.counter("orders_total", "Orders that were placed.", {"kind"})
--     app:metrics("/metrics")
--     app:post("/order", function(req) orders:inc(1, req.form.kind) return "thanks", 201 end)
--
-- A metric is for all workers of the host and goes on when scripts are reloaded. There is room for
-- 2,000 series: each set of label values is one, so a label takes few values, never names of users.
-- @module genet.metrics

local address = require "genet.address"
local check = require "genet.check"
local exchange = require "genet.exchange"
local http_error = require "genet.http_error"
local log = require "genet.log"

local metrics = {}

local stats -- the C module, of a host that serves

local function host()
  stats = stats or require "genet.stats"
  return stats
end

-- Texts ---------------------------------------------------------------------------------------

local ESCAPES = {["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"'}

local function escape(text)
  text = tostring(text)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return (text:gsub('[\\\n"]', ESCAPES))
end

local function number(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "+Inf" end
  if value == -math.huge then return "-Inf" end
  local whole = math.tointeger(value)
  if whole then return ("%d"):format(whole) end
  local short = ("%.15g"):format(value)
  return tonumber(short) == value and short or ("%.17g"):format(value)
end

-- A bound as it was written: 0.1, not 0.10000000000000001.
local function bound(value)
  return value == math.huge and "+Inf" or ("%.14g"):format(value)
end

-- Metrics of scripts ---------------------------------------------------------------------------

local families = {} -- by name
local told = false

local function labels_of(family, values, more)
  local pairs_ = {}
  for at, name in ipairs(family.labels) do
    pairs_[at] = ('%s="%s"'):format(name, escape(values[at]))
  end
  if more then pairs_[#pairs_ + 1] = more end
  return #pairs_ > 0 and "{" .. table.concat(pairs_, ",") .. "}" or ""
end

local function new_series(texts)
  if not host().serves() then return false end
  local series = host().series(texts)
  if not series and not told then
    told = true
    log.warn("genet.metrics: there is no room for %s, nor for others", texts[1])
  end
  return series or false
end

-- The texts of the series that a set of label values has.
local function texts_of(family, values)
  if family.type ~= "histogram" then return {family.name .. labels_of(family, values)} end
  local texts = {}
  for _, le in ipairs(family.buckets) do
    texts[#texts + 1] = family.name .. "_bucket"
      .. labels_of(family, values, ('le="%s"'):format(bound(le)))
  end
  texts[#texts + 1] = family.name .. "_sum" .. labels_of(family, values)
  texts[#texts + 1] = family.name .. "_count" .. labels_of(family, values)
  return texts
end

-- The numbers of its series; false when there is no room for them, which is not remembered: clients
-- may be who names them.
local function child(family, what, ...)
  local count = select("#", ...)
  if count ~= #family.labels then
    error(("%s: %s has %d labels, not %d"):format(what, family.name, #family.labels, count), 3)
  end
  local values = {...}
  for at = 1, count do values[at] = tostring(values[at]) end
  local key = table.concat(values, "\0")
  local series = family.children[key]
  if series then return series end
  series = new_series(texts_of(family, values))
  if series then family.children[key] = series end
  return series
end

local function finite(value, what)
  if type(value) ~= "number" then check.refuse(what, "a number", value, 3) end
  return value
end

local Counter = {__name = "genet.counter"}
Counter.__index = Counter

--- Counts.
-- @function counter:inc
-- @tparam ?number n 1 unless told; not negative
-- @param ... a value for each label
-- @usage local orders = genet.metrics.counter("orders_total", "Orders.", {"kind"})
-- orders:inc(1, "book")
function Counter:inc(n, ...)
  check.object(self, Counter, "counter:inc")
  n = n or 1
  if finite(n, "counter:inc") < 0 then error("counter:inc: a counter never falls", 2) end
  local series = child(self, "counter:inc", ...)
  if series then stats.add(series[1], n) end
end

local Gauge = {__name = "genet.gauge"}
Gauge.__index = Gauge

--- Sets a gauge.
-- @function gauge:set
-- @tparam number value
-- @param ... a value for each label
-- @usage local depth = genet.metrics.gauge("depth", "How deep.")
-- depth:set(7)
function Gauge:set(value, ...)
  check.object(self, Gauge, "gauge:set")
  finite(value, "gauge:set")
  local series = child(self, "gauge:set", ...)
  if series then stats.set(series[1], value) end
end

--- Adds to a gauge.
-- @function gauge:inc
-- @tparam ?number n 1 unless told
-- @param ... a value for each label
-- @usage local depth = genet.metrics.gauge("depth", "How deep.")
-- depth:inc()
function Gauge:inc(n, ...)
  check.object(self, Gauge, "gauge:inc")
  n = finite(n or 1, "gauge:inc")
  local series = child(self, "gauge:inc", ...)
  if series then stats.add(series[1], n) end
end

--- Takes from a gauge.
-- @function gauge:dec
-- @tparam ?number n 1 unless told
-- @param ... a value for each label
-- @usage local depth = genet.metrics.gauge("depth", "How deep.")
-- depth:dec()
function Gauge:dec(n, ...)
  check.object(self, Gauge, "gauge:dec")
  n = finite(n or 1, "gauge:dec")
  local series = child(self, "gauge:dec", ...)
  if series then stats.add(series[1], -n) end
end

local Histogram = {__name = "genet.histogram"}
Histogram.__index = Histogram

--- Counts a value in the buckets that it belongs to.
-- @function histogram:observe
-- @tparam number value
-- @param ... a value for each label
-- @usage local latency = genet.metrics.histogram("latency_seconds", "How long.")
-- latency:observe(0.25)
function Histogram:observe(value, ...)
  check.object(self, Histogram, "histogram:observe")
  finite(value, "histogram:observe")
  local series = child(self, "histogram:observe", ...)
  if not series then return end
  local buckets = self.buckets
  for at = 1, #buckets do
    if value <= buckets[at] then stats.add(series[at], 1) end
  end
  stats.add(series[#buckets + 1], value)
  stats.add(series[#buckets + 2], 1)
end

local function check_labels(labels, what)
  for _, name in ipairs(labels) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or name:find("^__")
      or name == "le" then
      error(("%s: '%s' is not the name of a label"):format(what, tostring(name)), 3)
    end
  end
  return labels
end

local function define(what, class, kind, name, help, labels)
  check.type(name, what .. ": the name", "string")
  check.type(help, what .. ": the help", "string")
  if not name:find("^[%a_:][%w_:]*$") then
    error(("%s: '%s' is not the name of a metric"):format(what, name), 3)
  end
  if name:find("^genet_") or name:find("^process_") then
    error(("%s: '%s': names that begin so are the host's"):format(what, name), 3)
  end
  labels = check_labels(labels or {}, what)
  local there = families[name]
  if there and (there.type ~= kind or table.concat(there.labels, ",") ~= table.concat(labels, ","))
  then
    error(("%s: there is another metric '%s'"):format(what, name), 3)
  end
  families[name] = there or setmetatable({
    name = name,
    help = help,
    type = kind,
    labels = labels,
    children = {},
  }, class)
  return families[name]
end

--- A number that only grows; the same again for the same name.
-- @tparam string name ends with `_total` by custom
-- @tparam string help
-- @tparam ?{string,...} labels
-- @treturn counter with `counter:inc`
-- @usage local orders = genet.metrics.counter("orders_total", "Orders.", {"kind"})
function metrics.counter(name, help, labels)
  return define("genet.metrics.counter", Counter, "counter", name, help, labels)
end

--- A number that rises and falls.
-- @tparam string name
-- @tparam string help
-- @tparam ?{string,...}|function labels a function instead is called for the value when the
--   metrics are asked for, in the worker that answers; it should not wait
-- @treturn gauge with `gauge:set`, `gauge:inc` and `gauge:dec`
-- @usage genet.metrics.gauge("jobs_waiting", "Jobs in the queue.", function() return 7 end)
function metrics.gauge(name, help, labels)
  local look = check.is_callable(labels) and labels or nil
  if look then labels = nil end
  local gauge = define("genet.metrics.gauge", Gauge, "gauge", name, help, labels)
  gauge.look = look
  return gauge
end

local BUCKETS = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

local function check_buckets(buckets)
  local list = {}
  for at, le in ipairs(buckets) do
    if type(le) ~= "number" or le ~= le or list[at - 1] and le <= list[at - 1] then
      error("genet.metrics.histogram: the buckets must be numbers that rise", 3)
    end
    list[at] = le
  end
  if list[#list] ~= math.huge then list[#list + 1] = math.huge end
  return list
end

--- How many values there were up to each of some bounds.
-- @tparam string name
-- @tparam string help
-- @tparam ?{string,...} labels
-- @tparam ?{number,...} buckets the bounds, rising (0.005 to 10 unless told, for seconds)
-- @treturn histogram with `histogram:observe`
-- @usage local size = genet.metrics.histogram("upload_bytes", "Uploads.", nil, {1e3, 1e6, 1e9})
function metrics.histogram(name, help, labels, buckets)
  local list = check_buckets(buckets or BUCKETS)
  local histogram = define("genet.metrics.histogram", Histogram, "histogram", name, help, labels)
  histogram.buckets = histogram.buckets or list
  return histogram
end

-- The exposition -------------------------------------------------------------------------------

local function header(lines, name, kind, help)
  lines[#lines + 1] = ("# HELP %s %s"):format(name, help:gsub("[\\\n]", ESCAPES))
  lines[#lines + 1] = ("# TYPE %s %s"):format(name, kind)
end

local function put_values(lines)
  for _, value in ipairs(stats.values()) do
    if value.type then header(lines, value.family, value.type, value.help) end
    local labels = value.labels ~= "" and "{" .. value.labels .. "}" or ""
    lines[#lines + 1] = value.family .. labels .. " " .. number(value.value)
  end
end

local function add_all(to, from)
  for key, count in pairs(from) do to[key] = (to[key] or 0) + count end
end

-- What all workers have counted, by route and method.
local function gather_requests()
  local cells, order = {}, {}
  for worker = 1, stats.workers() do
    for _, cell in ipairs(stats.requests(worker)) do
      local key = cell.route .. "\0" .. cell.method
      local there = cells[key]
      if there then
        add_all(there.statuses, cell.statuses)
        add_all(there.latencies, cell.latencies)
        there.sum = there.sum + cell.sum
      else
        cells[key], order[#order + 1] = cell, key
      end
    end
  end
  table.sort(order)
  for at, key in ipairs(order) do order[at] = cells[key] end
  return order
end

local function put_latencies(lines, cell, bounds)
  local labels = ('method="%s",route="%s"'):format(cell.method, escape(cell.route))
  local sum = 0
  for at, count in ipairs(cell.latencies) do
    sum = sum + count
    lines[#lines + 1] = ('genet_request_duration_seconds_bucket{%s,le="%s"} %d')
      :format(labels, bound(bounds[at] or math.huge), sum)
  end
  lines[#lines + 1] = ("genet_request_duration_seconds_sum{%s} %s"):format(labels, number(cell.sum))
  lines[#lines + 1] = ("genet_request_duration_seconds_count{%s} %d"):format(labels, sum)
end

local function put_requests(lines)
  local cells = gather_requests()
  header(lines, "genet_requests_total", "counter", "Requests by route and status.")
  for _, cell in ipairs(cells) do
    local statuses = {}
    for status in pairs(cell.statuses) do statuses[#statuses + 1] = status end
    table.sort(statuses)
    for _, status in ipairs(statuses) do
      lines[#lines + 1] = ('genet_requests_total{method="%s",route="%s",status="%s"} %d'):format(
        cell.method, escape(cell.route), status == 0 and "other" or status, cell.statuses[status])
    end
  end
  header(lines, "genet_request_duration_seconds", "histogram", "Time from head to answer by route.")
  local bounds = stats.bounds()
  for _, cell in ipairs(cells) do put_latencies(lines, cell, bounds) end
end

-- "name{...}" -> "name" of its family
local function family_of(text)
  local name = text:match("^[^{]*")
  local family = families[name]
  if family then return family end
  family = families[name:gsub("_[^_]*$", "")]
  return family and family.type == "histogram" and family or nil
end

-- The bounds of a histogram in their order, before its sum and count.
local function rank(text)
  local le = text:match('le="([^"]*)"}$')
  if not le then return math.huge, text end
  return le == "+Inf" and math.huge or tonumber(le), text
end

local function without_bound(text)
  return (text:gsub("_bucket{", "{", 1):gsub(',?le="[^"]*"}$', "}"))
end

local function goes_before(a, b)
  local whose_a, whose_b = without_bound(a), without_bound(b)
  if whose_a ~= whose_b then return whose_a < whose_b end
  local rank_a, rank_b = rank(a), rank(b)
  if rank_a ~= rank_b then return rank_a < rank_b end
  return a < b
end

local function put_looked(lines, family)
  local ok, value = pcall(family.look)
  if ok and type(value) == "number" then
    lines[#lines + 1] = family.name .. " " .. number(value)
  else
    log.error("genet.metrics: the gauge '%s' gave no number: %s", family.name, tostring(value))
  end
end

-- What earlier generations have counted under names that are gone is not told.
local function put_families(lines)
  local texts, names = {}, {}
  local all = stats.all_series()
  for text in pairs(all) do
    local family = family_of(text)
    if family then
      texts[family] = texts[family] or {}
      table.insert(texts[family], text)
    end
  end
  for name in pairs(families) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local family = families[name]
    header(lines, name, family.type, family.help)
    table.sort(texts[family] or {}, goes_before)
    for _, text in ipairs(texts[family] or {}) do
      lines[#lines + 1] = text .. " " .. number(all[text])
    end
    if family.look then put_looked(lines, family) end
  end
end

--- All metrics in Prometheus' text format 0.0.4.
-- @treturn string empty where no host serves, as under `app:test_client`
-- @usage local text = genet.metrics.render()
function metrics.render()
  if not host().serves() then return "" end
  host().refresh()
  local lines = {}
  put_requests(lines)
  put_values(lines)
  put_families(lines)
  lines[#lines + 1] = ""
  return table.concat(lines, "\n")
end

-- In an app ------------------------------------------------------------------------------------

local function read_ranges(list)
  local ranges = {}
  for at, text in ipairs(list or {}) do
    local range, problem = address.range(tostring(text))
    if not range then error("app:metrics: allow: " .. problem, 3) end
    ranges[at] = range
  end
  return list and ranges
end

local function is_allowed(ranges, peer)
  local bytes = address.parse(peer)
  for _, range in ipairs(ranges) do
    if range.unix and peer == "unix:" or bytes and address.within(bytes, range) then return true end
  end
  return false
end

--- Serves the metrics, and has requests counted. The path is best kept from the public, by `allow`
-- or by the proxy in front.
-- @function app:metrics
-- @tparam string rule such as `"/metrics"`
-- @tparam[opt] table options `allow`, a list of addresses (`ADDR`, `ADDR/BITS` or `unix`) that may
--   read them, all unless told; `name` of the route
-- @usage app:metrics("/metrics", {allow = {"127.0.0.1", "10.0.0.0/8"}})
function metrics.serve(app, rule, options)
  options = check.options(options, "app:metrics", {allow = "table", name = "string"})
  local ranges = read_ranges(options.allow)
  local top = app
  while top.outer do top = top.outer end
  top.metered = true
  app:get(rule, {name = options.name}, function(req)
    if ranges and not is_allowed(ranges, req.remote_addr) then error(http_error.new(403), 0) end
    return metrics.render(), {["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"}
  end)
end

-- Has a route's requests counted under its rule.
local function count_route(route)
  local number_of, handler = stats.route(route.rule), route.handler
  local count_as = exchange.count_as
  if #route.names == 0 then
    route.handler = function(req)
      count_as(req._exchange, number_of)
      return handler(req)
    end
    return
  end
  route.handler = function(req, ...)
    count_as(req._exchange, number_of)
    return handler(req, ...)
  end
end

local function is_metered(app)
  if app.metered then return true end
  for _, other in ipairs(app.included or {}) do
    if is_metered(other) then return true end
  end
  return false
end

--- Has the host count the requests of an app that serves metrics. The loader calls it.
-- @tparam App app whose routes are complete
-- @usage metrics.install(app)
function metrics.install(app)
  if not host().serves() then return end
  local wanted = is_metered(app)
  if wanted then
    for _, route in ipairs(app.routes) do count_route(route) end
  end
  host().enable(wanted)
end

return metrics
