--- Timers. They belong to the app: no request that has started one takes it along when it ends.
-- Each call of a timer's function is a task of its own; its error is logged and stops no timer.
-- Where several processes or threads serve the same scripts, a timer that is made while they load
-- runs in the first of them only, so once for all.
-- @module genet.timer

local check = require "genet.check"
local core = require "genet.core"
local log = require "genet.log"
local task = require "genet.task"
local tasks = require "genet.tasks"

local Timer = {__name = "genet.timer"}
Timer.__index = Timer

local timer = {}

local running = setmetatable({}, {__mode = "k"})

-- Calls the function, as a task, and waits for its end.
local function fire(self)
  local call = task.spawn({detach = true}, self.fn)
  self.firing = true
  local _, problem, traceback = call:wait()
  self.firing = false
  if traceback then log.error("timer %s: %s\n%s", call.name, problem, traceback) end
end

local function start(fn, body)
  local self = setmetatable({fn = fn}, Timer)
  if core.loading() and core.worker().index > 0 then return self end
  self.handle = tasks.spawn(nil, true, body, self)
  running[self] = true
  return self
end

--- Calls a function once, after some seconds.
-- @function genet.after
-- @tparam number seconds
-- @tparam function fn
-- @treturn Timer
-- @usage genet.after(60, function() genet.log("a minute has passed") end)
function timer.after(seconds, fn)
  check.seconds(seconds, "genet.after")
  check.callable(fn, "genet.after")
  return start(fn, function(self)
    core.sleep(seconds)
    if self:stop() then fire(self) end
  end)
end

--- Calls a function every so many seconds, for the first time after as many. Times are counted
-- from the start, so they do not drift; while the function runs, or waits, calls that fall due
-- are left out.
-- @function genet.every
-- @tparam number seconds above 0
-- @tparam function fn
-- @treturn Timer
-- @usage local timer = genet.every(1, function() ticks = ticks + 1 end)
-- timer:stop()
function timer.every(seconds, fn)
  check.seconds(seconds, "genet.every")
  if seconds == 0 then error("genet.every: more than 0 seconds were expected", 2) end
  check.callable(fn, "genet.every")
  local begin, turn = core.now(), 0
  return start(fn, function(self)
    while not self.stopped do
      turn = math.max(turn, (core.now() - begin) // seconds) + 1
      core.sleep(math.max(0, begin + turn * seconds - core.now()))
      if not self.stopped then fire(self) end
    end
  end)
end

--- Stops it. A call that is going on is let finish.
-- @function timer:stop
-- @treturn boolean whether it was still to call its function
-- @usage timer:stop()
function Timer:stop()
  check.object(self, Timer, "timer:stop")
  if self.stopped then return false end
  self.stopped = true
  if self.handle and not self.firing then self.handle:cancel() end
  return true
end

--- Stops every timer of this state: the host calls it when the app is to end.
-- @usage timer.stop_all()
function timer.stop_all()
  for self in pairs(running) do self:stop() end
end

--- A timer in a `<close>` variable is stopped there.
Timer.__close = Timer.stop

return timer
