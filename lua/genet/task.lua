--- Tasks: functions that run beside their caller, each on a stack of its own.
--
-- A task belongs to the task or request that has started it. When that fails, is cancelled, or
-- loses its client, so are its tasks, unless they were started with `detach`; when it ends well
-- they go on. A cancelled task ends by an error, `"cancelled"`, which its present wait and every
-- later one raises: `<close>` variables and `pcall` clean up, in `genet.shield` where that waits.
-- `coroutine.yield()` is no such wait, `genet.yield()` is. A request that ends by `genet.abort` has
-- failed.
-- @module genet.task

local check = require "genet.check"
local core = require "genet.core"
local log = require "genet.log"
local tasks = require "genet.tasks"

local pack, unpack = table.pack, table.unpack

local GRACE = 0.5 -- seconds in which somebody may still ask a failed task for its error
local OPTIONS = {name = "string", detach = "boolean"}

local methods = {}
local Task = {__name = "genet.task"}

local task = {}

local function place_of(fn)
  local info = type(fn) == "function" and debug.getinfo(fn, "S")
  if not info or info.what == "C" then return "a task" end
  return info.short_src .. ":" .. info.linedefined
end

function Task.__index(self, key)
  if key == "name" then return place_of(rawget(self, "fn")) end
  return methods[key]
end

--- Whether a value is a task.
-- @param value
-- @treturn boolean
-- @usage task.is(genet.current()) --> true
function task.is(value)
  return getmetatable(value) == Task
end

-- The end -------------------------------------------------------------------------------------

local function release_children(self, cancel)
  for child in pairs(self.children or {}) do
    child.parent = nil
    if cancel then child:cancel() end
  end
  self.children = nil
end

local function outcome(self)
  if self.ended == "done" then return true, unpack(self.results, 1, self.results.n) end
  return nil, self.err, self.traceback
end

-- Calls fn(self) once the task has ended: at once if it has. `fn` must not wait.
local function listen(self, fn)
  if self.ended then
    self.claimed = true
    return fn(self)
  end
  self.listeners = self.listeners or {}
  table.insert(self.listeners, fn)
end

-- Takes back a `listen`.
local function unlisten(self, fn)
  for at, listener in ipairs(self.listeners or {}) do
    if listener == fn then return table.remove(self.listeners, at) end
  end
end

local function log_unclaimed(self)
  if not self.claimed then pcall(core.sleep, GRACE) end
  if not self.claimed then log.error("task %s: %s\n%s", self.name, self.err, self.traceback) end
end

-- The error to tell of; what makes a request fail the host keeps to itself.
local function problem_of(cancelled, err, traceback)
  if cancelled then return "cancelled" end
  if not traceback then return "the request has failed" end
  return err
end

-- The host calls this on the task's own fiber, after everything else.
local function on_end(self, failed, cancelled, err, traceback)
  self.ended = not failed and "done" or cancelled and "cancelled" or "failed"
  if failed then self.err = problem_of(cancelled, err, traceback) end
  self.traceback = not cancelled and traceback or nil
  self.results = self.results or {n = 0}
  release_children(self, failed or cancelled)
  if self.parent then self.parent.children[self] = nil end
  self.parent = nil
  local waiting = self.waits and self.waits:wake(math.maxinteger) or 0
  local listeners = self.listeners or {}
  self.claimed = waiting + #listeners > 0
  self.listeners = nil
  for _, fn in ipairs(listeners) do fn(self) end
  if self.traceback then log_unclaimed(self) end
end

tasks.on_end(on_end)

-- The beginning -------------------------------------------------------------------------------

local function run(self, fn, ...)
  self.results = pack(fn(...))
end

--- The running task; in a handler, the one that stands for its request.
-- @function genet.current
-- @treturn Task
-- @usage genet.current().name
function task.current()
  local self = tasks.current()
  if not self then
    self = setmetatable({name = "main", handle = tasks.self()}, Task)
    tasks.set_current(self)
  end
  return self
end

local function adopt(parent, child)
  parent.children = parent.children or {}
  parent.children[child] = true
  child.parent = parent
end

local function start(options, fn, ...)
  local self = setmetatable({name = options.name, fn = fn}, Task)
  local parent = not options.detach and task.current()
  self.handle = tasks.spawn(self, false, run, self, fn, ...)
  if parent then adopt(parent, self) end
  return self
end

--- Starts a function as a task. It first runs when the caller waits.
-- @function genet.spawn
-- @tparam[opt] table options `name`, for the log; `detach`, to let it outlive its caller's failure
-- @tparam function fn
-- @param ... its arguments
-- @treturn Task
-- @usage local task = genet.spawn(fetch, "http://localhost/")
function task.spawn(options, ...)
  if type(options) ~= "table" or check.is_callable(options) then
    return start({}, check.callable(options, "genet.spawn"), ...)
  end
  check.callable((...), "genet.spawn")
  return start(check.options(options, "genet.spawn", OPTIONS), ...)
end

--- Makes a function that starts `fn` as a task and returns the task at once.
-- @function genet.async
-- @tparam function fn
-- @tparam[opt] table options as of `genet.spawn`
-- @treturn function
-- @usage local A = genet.async(function() genet.sleep(10) print("a function") end)
-- local task = A()
function task.async(fn, options)
  check.callable(fn, "genet.async")
  options = check.options(options, "genet.async", OPTIONS)
  return function(...) return start(options, fn, ...) end
end

-- Methods -------------------------------------------------------------------------------------

--- How it stands.
-- @function task:status
-- @treturn string `running` (or about to), `waiting`, `done`, `failed` or `cancelled`
-- @usage if task:status() == "done" then print(select(2, task:wait())) end
function methods:status()
  check.object(self, Task, "task:status")
  return self.ended or self.handle:state()
end

--- Waits for its end. Any number of tasks may, any number of times.
-- @function task:wait
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] boolean true
-- @return[1] what its function returned
-- @treturn[2] nil
-- @return[2] the error it failed with, for a request a text; `"cancelled"`; or `"timeout"`, while
--   it goes on
-- @treturn[2] ?string the traceback of that error
-- @raise when a task waits for itself, or the waiting task is cancelled
-- @usage local ok, page = task:wait(5)
function methods:wait(timeout)
  check.object(self, Task, "task:wait")
  check.optional_seconds(timeout, "task:wait")
  if self == tasks.current() then error("task:wait: a task cannot wait for itself", 2) end
  self.waits = self.waits or tasks.waits()
  if not self.ended and not self.waits:wait(timeout) then return nil, "timeout" end
  self.claimed = true
  return outcome(self)
end

--- Has a function called when the task has ended, as a task of its own; at once if it has.
-- @function task:on_done
-- @tparam function fn called with what `task:wait` returns
-- @treturn Task the task itself
-- @usage task:on_done(function(ok, result) print(ok, result) end)
function methods:on_done(fn)
  check.object(self, Task, "task:on_done")
  check.callable(fn, "task:on_done")
  listen(self, function() start({detach = true}, fn, outcome(self)) end)
  return self
end

--- Ends the task by an error at its present wait, or its next. One that has not begun to run
-- never does.
-- @function task:cancel
-- @treturn boolean whether it was going on, and not cancelled before
-- @usage task:cancel()
function methods:cancel()
  check.object(self, Task, "task:cancel")
  return not self.ended and self.handle:cancel()
end

--- Cancels the task and waits until it has ended, cancelled or not.
-- @usage local task <close> = genet.spawn(watch)
function Task:__close()
  if self.ended or self == tasks.current() then return end
  self:cancel()
  task.shield(self.wait, self)
end

function Task:__tostring()
  return ("task: %s (%s)"):format(self.name, self:status())
end

-- Several -------------------------------------------------------------------------------------

local Group = {}

-- Cancels those that the group has started itself and that still go on, and waits for their ends.
function Group:__close()
  for _, member in pairs(self.all) do unlisten(member, self.note) end
  for _, member in ipairs(self.started) do member:cancel() end
  task.shield(function()
    for _, member in ipairs(self.started) do member:wait() end
  end)
end

local function check_members(members, what)
  if type(members) ~= "table" or task.is(members) then
    check.refuse(what, "a table of tasks", members, 4)
  end
  for key, member in pairs(members) do
    if not task.is(member) and not check.is_callable(member) then
      check.refuse(("%s: member %s"):format(what, key), "a task or a function", member, 4)
    end
    if member == tasks.current() then error(what .. ": a task cannot wait for itself", 4) end
  end
end

-- Tasks of which some end after others; the functions among them are started.
local function group(members, what)
  check_members(members, what)
  local self = setmetatable({
    all = {},
    started = {},
    left = 0,
    change = tasks.waits(),
  }, Group)
  function self.note(member)
    local kind = member.ended == "done" and "won" or "lost"
    self[kind], self.left = self[kind] or member, self.left - 1
    self.change:wake()
  end
  for key, member in pairs(members) do
    if not task.is(member) then
      member = start({}, member)
      table.insert(self.started, member)
    end
    self.all[key], self.left = member, self.left + 1
    listen(member, self.note)
  end
  return self
end

--- Waits for all of several tasks, and gives the first result of each. When one fails, those that
-- were given as functions are cancelled.
-- @function genet.all
-- @tparam table members tasks or functions, which are started, by any keys
-- @treturn[1] table the results by the same keys
-- @treturn[2] nil
-- @return[2] the error of the first that failed
-- @treturn[2] ?string its traceback
-- @usage local pages = assert(genet.all{front = A(), news = function() return fetch("/news") end})
function task.all(members)
  local self <close> = group(members, "genet.all")
  while self.left > 0 and not self.lost do self.change:wait() end
  if self.lost then return outcome(self.lost) end
  local results = {}
  for key, member in pairs(self.all) do results[key] = member.results[1] end
  return results
end

--- Waits for the first of several tasks that ends well. The others that were given as functions
-- are then cancelled.
-- @function genet.any
-- @tparam table members tasks or functions, which are started
-- @treturn[1] boolean true
-- @return[1] what the first returned
-- @treturn[2] nil
-- @return[2] the error of the first that failed, when none has ended well
-- @treturn[2] ?string its traceback
-- @usage local ok, page = genet.any{function() return fetch(a) end, function() return fetch(b) end}
function task.any(members)
  local self <close> = group(members, "genet.any")
  while self.left > 0 and not self.won do self.change:wait() end
  if not self.won and not self.lost then return nil, "there was nothing to wait for" end
  return outcome(self.won or self.lost)
end

-- Deadlines and shields -----------------------------------------------------------------------

local function settle(scope, ok, ...)
  local expired, first = scope:leave(), ...
  if ok and (first or not expired) then return ... end
  if expired and first ~= "cancelled" then return nil, "timeout" end
  error(first, 0)
end

local on_caught

--- Has a function called, in the message handler, with each error that `genet.timeout` catches to
-- raise it again.
-- @tparam function fn
-- @usage task.on_caught(function(err) print(debug.traceback(err)) end)
function task.on_caught(fn)
  on_caught = fn
end

local function keep_traceback(err)
  if on_caught then on_caught(err) end
  tasks.keep_traceback(err, debug.traceback(nil, 2))
  return err
end

--- Calls a function whose waits fail once so many seconds have passed. They may nest; the
-- earliest counts.
-- @function genet.timeout
-- @tparam number seconds
-- @tparam function fn
-- @param ... its arguments
-- @return[1] what the function returned
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`, when the time was over and it failed, or returned nil or false
-- @raise what the function raises while there is time
-- @usage local page, problem = genet.timeout(2, http.request, "http://localhost/slow")
function task.timeout(seconds, fn, ...)
  check.seconds(seconds, "genet.timeout")
  check.callable(fn, "genet.timeout")
  local scope <close> = tasks.scope(seconds)
  return settle(scope, xpcall(fn, keep_traceback, ...))
end

--- Calls a function whose waits go on although the task is cancelled or its time is over: for
-- cleaning up. A `genet.timeout` inside still counts.
-- @function genet.shield
-- @tparam function fn
-- @param ... its arguments
-- @return what it returns
-- @usage genet.shield(function() db:execute("delete from tag where post = ?", id) end)
function task.shield(fn, ...)
  check.callable(fn, "genet.shield")
  local _ <close> = tasks.scope(nil, true)
  return fn(...)
end

--- Calls a function that is not preempted. A task or handler that has computed for longer than a
-- slice (`--slice-ms`) without waiting lets others run between two of its instructions, wherever
-- that may be; so one that computes for long and changes a table which others use too needs this,
-- or a lock, around what must not be seen half done: `hits = hits + 1`, or taking the first of a
-- list and then removing it. Whatever waits inside still lets the others run, and `--cpu-limit`
-- still holds.
-- @function genet.uninterrupted
-- @tparam function fn
-- @param ... its arguments
-- @return what it returns
-- @usage genet.uninterrupted(function() hits = hits + 1 end)
function task.uninterrupted(fn, ...)
  check.callable(fn, "genet.uninterrupted")
  local _ <close> = tasks.hold()
  return fn(...)
end

return task
