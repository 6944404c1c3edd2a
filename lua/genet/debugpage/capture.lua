--- Takes pictures of the stacks of what fails, at the error: afterwards the frames are gone.
--
-- The host shows it each Lua thread that has died, before anything on it is closed, and from a
-- thread that must not wait: so nothing here waits, reads a file or calls a metamethod.
-- @module genet.debugpage.capture

local http_error = require "genet.http_error"
local repr = require "genet.debugpage.repr"
local task = require "genet.task"
local tasks = require "genet.tasks"

local getinfo, getlocal, getupvalue = debug.getinfo, debug.getlocal, debug.getupvalue

local capture = {}

local FIRST, LAST = 30, 20 -- frames of a deep stack that are taken
local MOST_VARIABLES = 40 -- of a frame, of each kind
local MOST_TEXT = 200000 -- bytes of all values of a stack, about
local KEPT = 16 -- stacks that may turn out to be the cause of another failure

-- Where the files of the framework begin, as Lua names their sources.
local FRAMEWORK = getinfo(1, "S").source:match("^(.*/)debugpage/[^/]*$") or "@?"
local LIBRARIES = {"@/usr/share/lua/", "@/usr/local/share/lua/", "@/usr/lib/"}

local by_thread = setmetatable({}, {__mode = "k"}) -- the stacks of calls that have failed
local recent = {} -- all stacks, the latest last

-- Frames --------------------------------------------------------------------------------------

local function begins_with(text, prefix)
  return text:sub(1, #prefix) == prefix
end

-- "lua", "c", "template", "framework" or "library".
local function kind_of(info)
  if info.what == "C" then return "c" end
  if begins_with(info.source, "=template ") then return "template" end
  if begins_with(info.source, FRAMEWORK) then return "framework" end
  for _, prefix in ipairs(LIBRARIES) do
    if begins_with(info.source, prefix) then return "library" end
  end
  return "lua"
end

-- What the frame's function is called; nil when nobody knows.
local function name_of(info)
  if info.what == "main" then return nil end
  local name = info.name
  if not name or name:sub(1, 1) == "?" then return nil end
  return repr.brief(name, 100)
end

local function add_variable(list, name, value, state)
  if #list == MOST_VARIABLES then return end
  local text = state.room > 0 and repr.of(value, name) or "..."
  state.room = state.room - #text
  list[#list + 1] = {name = name, value = text}
end

-- Templates have their variables in locals whose names tell so.
local function shown_name(kind, name)
  if kind == "template" then return name:match("^[lc]_(.*)_%d+$") or name:match("^(item)%d+$") end
  return name:sub(1, 1) ~= "(" and name or nil
end

-- The request, and the environment of templates, wherever they stand.
local function notice(state, value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  if type(meta) ~= "table" then return end
  if rawget(meta, "__name") == "genet.request" then state.request = state.request or value end
  local environment = package.loaded["genet.template.environment"]
  if environment and meta == environment then state.environment = value end
end

local function notice_context(state, name, value)
  if name ~= "ctx" or type(value) ~= "table" then return end
  notice(state, rawget(value, "env"))
end

local function locals_of(thread, level, kind, state)
  local list, at = {}, 1
  local name, value = getlocal(thread, level, at)
  while name do
    notice(state, value)
    notice_context(state, name, value)
    local shown = shown_name(kind, name)
    if shown then add_variable(list, shown, value, state) end
    at = at + 1
    name, value = getlocal(thread, level, at)
  end
  return list
end

local function varargs_of(thread, level, list, state)
  local at = -1
  local name, value = getlocal(thread, level, at)
  while name do
    add_variable(list, ("...[%d]"):format(-at), value, state)
    at = at - 1
    name, value = getlocal(thread, level, at)
  end
end

local function upvalues_of(fn, kind, state)
  local list, at = {}, 1
  local name, value = getupvalue(fn, at)
  while name do
    notice_context(state, name, value)
    local shown = name ~= "_ENV" and name ~= "" and shown_name(kind, name)
    if shown then add_variable(list, shown, value, state) end
    at = at + 1
    name, value = getupvalue(fn, at)
  end
  return list
end

local function frame_at(thread, level, state)
  local info = getinfo(thread, level, "nSltf")
  local kind = kind_of(info)
  local frame = {
    kind = kind, source = info.source, short = info.short_src, line = info.currentline,
    name = name_of(info), main = info.what == "main", first = info.linedefined,
    tail = info.istailcall,
  }
  if kind == "c" then return frame end
  frame.locals = locals_of(thread, level, kind, state)
  if kind ~= "template" then varargs_of(thread, level, frame.locals, state) end
  frame.upvalues = upvalues_of(info.func, kind, state)
  return frame
end

-- How many levels there are: that of a stack which has overflown is far away.
local function depth_of(thread)
  local low, high = -1, 1
  while getinfo(thread, high, "l") do low, high = high, high * 2 end
  while high - low > 1 do
    local middle = (low + high) // 2
    if getinfo(thread, middle, "l") then low = middle else high = middle end
  end
  return low + 1
end

local function frames_of(thread, from, state)
  local frames, depth = {}, depth_of(thread)
  local level = from
  while level < depth do
    if level == from + FIRST and depth - level > LAST then
      frames[#frames + 1] = {kind = "skipped", count = depth - LAST - level}
      level = depth - LAST
    end
    frames[#frames + 1] = frame_at(thread, level, state)
    level = level + 1
  end
  return frames
end

-- Stacks --------------------------------------------------------------------------------------

--- Whether a request that failed with this error is answered with it, or ended by it, on purpose.
-- @param err
-- @treturn boolean
-- @usage capture.is_meant(err)
function capture.is_meant(err)
  if err == "cancelled" then return true end
  return http_error.is(err) and not rawget(err, "fault")
end

-- The picture of a thread from a level on.
local function stack_of(thread, from, err)
  local state = {room = MOST_TEXT}
  return {
    thread = thread, err = err,
    frames = frames_of(thread, from, state),
    request = state.request, environment = state.environment,
  }
end

local function note(stack)
  if #recent == KEPT then table.remove(recent, 1) end
  recent[#recent + 1] = stack
end

-- The host calls it for each call that has failed, and for each coroutine, then with the thread of
-- the call that the coroutine is of.
local function on_failure(thread, err, owner)
  by_thread[thread] = nil
  if capture.is_meant(err) then return end
  local stack = stack_of(thread, 0, err)
  stack.owner = owner
  note(stack)
  if not owner then by_thread[thread] = stack end
end

-- In a message handler, of an error that will be raised again. Level 0 is what resumes, then this
-- function and the handler.
local function on_caught(err)
  if capture.is_meant(err) then return end
  local thread = coroutine.running()
  local ok, stack = coroutine.resume(coroutine.create(stack_of), thread, 3, err)
  if not ok then return end
  stack.owner = thread
  note(stack)
end

-- What is raised again, with a position in front of it or not.
local function is_same(cause, err)
  if rawequal(cause, err) then return true end
  return type(cause) == "string" and type(err) == "string" and #cause > 0
    and err:sub(-#cause) == cause
end

-- Has the stacks of tasks and coroutines whose error this one is in `causes`, the one that failed
-- first in front. Where the same thread has raised the error before, it was deeper.
local function add_causes(own, err)
  local left, before = {}, true
  own.causes = {}
  for _, stack in ipairs(recent) do
    local fits = before and stack ~= own and is_same(stack.err, err)
      and (not stack.owner or stack.owner == own.thread)
    before = before and stack ~= own -- what comes later has nothing to do with it
    if fits and stack.thread == own.thread then
      own.frames = stack.frames
    elseif fits then
      table.insert(own.causes, stack)
    elseif stack ~= own then
      left[#left + 1] = stack
    end
  end
  recent = left
end

--- The picture of why the running call has failed. It can be asked for once.
-- @param err its error
-- @treturn[1] table `frames`, the innermost first; `causes`, pictures of tasks and coroutines that
--   failed before it with the same error; `request` and `environment` when they were seen
-- @treturn[2] nil when there is none
-- @usage local stack = capture.take(err)
function capture.take(err)
  local thread = coroutine.running()
  local stack = by_thread[thread]
  by_thread[thread] = nil
  if not stack then return nil end
  add_causes(stack, err)
  return stack
end

--- Has the host show what fails from now on.
-- @usage capture.begin()
function capture.begin()
  tasks.on_failure(on_failure)
  task.on_caught(on_caught)
end

return capture
