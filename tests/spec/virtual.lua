--- The scheduler of the specs: `genet.tasks`, and the waiting half of `genet.core`, on Lua's own
-- coroutines and a clock that jumps to the next deadline when nobody can run. It keeps the order
-- of the C host: first come first served, and what becomes ready has its turn in the next round.
--
-- A spec runs its body with `virtual.test(fn)`, as one call into Lua of the host. The body ends
-- when the last of its tasks has.

local virtual = {
  --- The lines that went to the log, as `{level, text}`.
  logged = {},
}

local clock = 1000
local ready, timers, sequence, alive
local running -- the running fiber

-- Timers --------------------------------------------------------------------------------------

local function add_timer(deadline, fn)
  sequence = sequence + 1
  local timer = {deadline = deadline, sequence = sequence, fn = fn}
  timers[timer] = true
  return timer
end

local function drop_timer(timer)
  if timer then timers[timer] = nil end
end

local function first_timer()
  local first
  for timer in pairs(timers) do
    local earlier = first and (timer.deadline < first.deadline
      or timer.deadline == first.deadline and timer.sequence < first.sequence)
    if not first or earlier then first = timer end
  end
  return first
end

local function expire_timers()
  local timer = first_timer()
  while timer and timer.deadline <= clock do
    drop_timer(timer)
    timer.fn()
    timer = first_timer()
  end
end

-- Fibers --------------------------------------------------------------------------------------

local function cause_of(fiber)
  local scope = fiber.scope
  while scope do
    if scope.cause then return scope.cause end
    if scope.shield then return nil end
    scope = scope.outer
  end
end

local function wake_with(fiber, result)
  if not fiber.parked then return end
  fiber.parked, fiber.result = false, result
  table.insert(ready, fiber)
end

local function give_way()
  table.insert(ready, running)
  coroutine.yield()
end

-- Returns "woken", "over" at the deadline, or the cause of an interruption.
local function park(deadline)
  local fiber = assert(running, "nothing may wait here")
  local cause = cause_of(fiber)
  if cause then
    give_way()
    return cause
  end
  local timer = deadline and deadline < math.huge
    and add_timer(deadline, function() wake_with(fiber, "over") end)
  fiber.parked = true
  coroutine.yield()
  drop_timer(timer)
  return fiber.result
end

local function run_ready()
  local round = ready
  ready = {}
  for _, fiber in ipairs(round) do
    running = fiber
    local ok, problem = coroutine.resume(fiber.thread)
    running = nil
    assert(ok, problem)
    if coroutine.status(fiber.thread) == "dead" then alive = alive - 1 end
  end
end

local function interrupt(fiber)
  local cause = cause_of(fiber)
  if cause then wake_with(fiber, cause) end
end

local function cancel_scope(scope, cause)
  if scope.cause then return end
  scope.cause = cause
  if scope.fiber then interrupt(scope.fiber) end
end

local function enter_scope(scope, fiber)
  scope.fiber, scope.outer, fiber.scope = fiber, fiber.scope, scope
end

local function leave_scope(scope)
  local fiber = scope.fiber
  if not fiber then return end
  local inner = fiber.scope
  while inner ~= scope.outer do
    drop_timer(inner.timer)
    inner.fiber = nil
    inner = inner.outer
  end
  fiber.scope = scope.outer
end

-- Calls ---------------------------------------------------------------------------------------

local tasks = {}
local on_end = function() end

local function call_of_self()
  if not running then error("there are no tasks outside the host's scheduler", 3) end
  return running.call
end

local function traceback_of(call, err)
  local kept = call.kept
  return kept and rawequal(kept.err, err) and kept.traceback or debug.traceback(nil, 2)
end

local function tell(call, failed, ...)
  local current = call.current
  call.handle, call.current = nil, nil
  if current then on_end(current, failed, call.scope.cause ~= nil, ...) end
end

-- `done` is called with how it ended; without it the framework is told of an error.
local function body(call, done, fn, ...)
  enter_scope(call.scope, running)
  if call.scope.cause then
    leave_scope(call.scope)
    return tell(call, true)
  end
  local traceback
  local results = table.pack(xpcall(fn, function(err)
    traceback = traceback_of(call, err)
    return err
  end, ...))
  leave_scope(call.scope)
  local failed = not results[1]
  if failed and not done then
    tell(call, true, results[2], traceback)
  else
    tell(call, failed)
  end
  if call.handle then call.handle.call = nil end
  if done then done(results) end
end

local function start(current, done, fn, ...)
  local call = {scope = {}, current = current}
  local args = table.pack(...)
  local fiber = {
    call = call,
    thread = coroutine.create(function() body(call, done, fn, table.unpack(args, 1, args.n)) end),
  }
  call.fiber = fiber
  table.insert(ready, fiber)
  alive = alive + 1
  return call
end

-- The module ----------------------------------------------------------------------------------

local Handle = {}
Handle.__index = Handle

local function new_handle(call)
  local handle = setmetatable({call = call}, Handle)
  call.handle = handle
  return handle
end

local function live(handle)
  return handle.call.handle == handle and handle.call
end

function Handle:cancel()
  local call = live(self)
  if not call then return false end
  local first = call.scope.cause == nil
  cancel_scope(call.scope, "cancelled")
  return first
end

function Handle:state()
  local call = live(self)
  if not call then return "ended" end
  return call.fiber.parked and "waiting" or "running"
end

function tasks.spawn(current, background, fn, ...)
  call_of_self()
  assert(type(background) == "boolean")
  assert(type(fn) == "function")
  return new_handle(start(current, nil, fn, ...))
end

function tasks.self()
  local call = call_of_self()
  if call.handle then error("this call has a handle already") end
  return new_handle(call)
end

function tasks.current()
  return running and running.call.current
end

function tasks.set_current(value)
  local call = call_of_self()
  assert(call.current == nil, "this call has a current value")
  call.current = value
end

function tasks.on_end(fn)
  on_end = fn
end

--- Nothing preempts here.
function tasks.hold()
  return setmetatable({}, {__close = function() end})
end

function tasks.keep_traceback(err, traceback)
  local call = call_of_self()
  if call.kept and rawequal(call.kept.err, err) then return end
  call.kept = {err = err, traceback = traceback}
end

local Waits = {}
Waits.__index = Waits

function tasks.waits()
  return setmetatable({}, Waits)
end

local function take_out(waits, fiber)
  for at, one in ipairs(waits) do
    if one == fiber then return table.remove(waits, at) end
  end
end

local function raise_unless(result, expected)
  if result ~= expected and result ~= "over" then error(result, 0) end
  return result == expected
end

function Waits:wait(seconds)
  local fiber = assert(running, "nothing may wait here")
  if seconds == 0 then return raise_unless(cause_of(fiber) or "over", "woken") end
  table.insert(self, fiber)
  local result = park(seconds and clock + seconds)
  take_out(self, fiber)
  return raise_unless(result, "woken")
end

function Waits:wake(most)
  local woken = 0
  while woken < (most or 1) and self[1] do
    local fiber = table.remove(self, 1)
    if fiber.parked then woken = woken + 1 end
    wake_with(fiber, "woken")
  end
  return woken
end

local Scope = {}
Scope.__index = Scope

function tasks.scope(seconds, shield)
  call_of_self()
  local scope = setmetatable({shield = shield}, Scope)
  enter_scope(scope, running)
  if seconds and seconds < math.huge then
    scope.timer = add_timer(clock + seconds, function() cancel_scope(scope, "timeout") end)
  end
  return scope
end

function Scope:leave()
  leave_scope(self)
  return self.cause == "timeout"
end

Scope.__close = leave_scope

-- For genet.core ------------------------------------------------------------------------------

function virtual.now()
  return clock
end

--- Off fibers the thread would block.
function virtual.sleep(seconds)
  assert(type(seconds) == "number" and seconds >= 0, "seconds must not be negative")
  if not running then
    clock = clock + seconds
    return
  end
  raise_unless(park(clock + seconds), "over")
end

function virtual.yield()
  if not running then return end
  give_way()
  local cause = cause_of(running)
  if cause then error(cause, 0) end
end

-- For specs -----------------------------------------------------------------------------------

--- Lets time pass with nobody waiting: as a computation does.
function virtual.compute(seconds)
  clock = clock + seconds
end

--- Takes the lines of the log, as `{level, text}`. What is left at the end fails the spec.
function virtual.take_log()
  local lines = table.move(virtual.logged, 1, #virtual.logged, 1, {})
  for at = #virtual.logged, 1, -1 do virtual.logged[at] = nil end
  return lines
end

-- Runs until everything has ended, or the spec has failed.
local function loop(outcome)
  while alive > 0 do
    run_ready()
    if outcome.results and not outcome.results[1] then return end
    if alive > 0 and #ready == 0 then
      local timer = first_timer()
      if not timer then error(alive .. " fibers wait for ever") end
      clock = math.max(clock, timer.deadline)
    end
    expire_timers()
  end
end

--- Runs a function as the host runs a handler, until the last of its tasks has ended.
-- @return what it returns
-- @raise what it raises; or when a task waits for ever, or something was logged
function virtual.run(fn, ...)
  assert(not running, "virtual.run does not nest")
  ready, timers, sequence, alive = {}, {}, 0, 0
  virtual.take_log()
  local outcome = {}
  start(nil, function(results) outcome.results = results end, fn, ...)
  loop(outcome)
  local results = outcome.results
  if not results[1] then error(results[2], 0) end
  local left = virtual.take_log()[1]
  if left then error("unexpected in the log: " .. left[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- The body of an `it`.
function virtual.test(fn)
  return function() return virtual.run(fn) end
end

virtual.tasks = tasks

return virtual
