--- `app:health`: whether requests should be sent here.
-- @module genet.health

local check = require "genet.check"
local core = require "genet.core"
local json = require "genet.json"
local log = require "genet.log"
local task = require "genet.task"

local health = {}

-- What a check that has gone wrong is told as; why is an affair of the log.
local function judge(name, ok, result, problem)
  if ok and result ~= nil and result ~= false then return "ok" end
  local reason = ok and problem or result
  if reason == "timeout" then return "timeout" end
  log.warn("app:health: the check '%s' failed: %s", name, tostring(reason))
  return "failed"
end

local function run(name, fn, timeout)
  return judge(name, pcall(task.timeout, timeout, fn))
end

-- All at once. Waits.
local function run_all(checks, timeout)
  local jobs = {}
  for name, fn in pairs(checks) do
    jobs[name] = function() return run(name, fn, timeout) end
  end
  local results = next(jobs) and task.all(jobs) or {}
  for _, result in pairs(results) do
    if result ~= "ok" then return false, results end
  end
  return true, results
end

local function is_stopping()
  return core.retiring() or require("genet.stats").stopping()
end

local function answer(status, code, results)
  return json.encode{status = status, checks = results}, code,
    {["Content-Type"] = "application/json", ["Cache-Control"] = "no-store"}
end

local function check_checks(checks)
  for name, fn in pairs(checks or {}) do
    if type(name) ~= "string" then error("app:health: a check has no name", 3) end
    check.callable(fn, "app:health: the check '" .. name .. "'")
  end
  return checks or {}
end

--- Serves whether the host is well: 200, or 503 when a check fails or the host is about to stop,
-- with JSON that names the checks.
-- @function app:health
-- @tparam string rule such as `"/healthz"`
-- @tparam[opt] table options `checks`, functions by name, called at once, each of which returns
--   something true when all is well (or `nil` and why not, or raises); `timeout`, the seconds each
--   may take (2); `live`, for who asks only whether the host is to be killed: 200 while it stops,
--   too; `name` of the route
-- @usage app:health("/healthz", {checks = {db = function() return db:execute("SELECT 1") end}})
-- app:health("/livez", {live = true})
function health.serve(app, rule, options)
  options = check.options(options, "app:health", {checks = "table", timeout = "number",
    live = "boolean", name = "string"})
  local checks = check_checks(options.checks)
  local timeout = check.seconds(options.timeout or 2, "app:health: timeout")
  app:get(rule, {name = options.name}, function()
    if not options.live and is_stopping() then return answer("stopping", 503) end
    local well, results = run_all(checks, timeout)
    return answer(well and "ok" or "failing", well and 200 or 503, next(results) and results)
  end)
end

return health
