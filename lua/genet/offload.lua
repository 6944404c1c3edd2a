--- Work on threads of a pool, for what computes or blocks for long: others run meanwhile.
--
-- It runs in a Lua state of its own, from which it can neither see nor change anything of its
-- caller's. What is carried there and back is a copy of plain data: nil, booleans, numbers,
-- strings, `genet.json.null`, and tables of these, in which tables may occur twice or hold
-- themselves. Metatables are left behind.
--
-- A function is carried as well, with copies of its upvalues: plain data; modules, and functions
-- of modules, which are required there by their names; and other Lua functions. Globals are not:
-- there are the standard ones, and what that state's own modules have made.
--
-- A state is kept for the next call, with the modules it has loaded; which of them a call gets is
-- left to chance, so it should leave nothing there that the next one must find. Waiting holds up
-- its own thread only. At once run as many calls as there are processors (four at least, 24 at
-- most); the others wait their turn.
--
-- When the caller is cancelled, or its `genet.timeout` over, it does not wait for the call, which
-- is stopped at its next step in Lua, without cleaning up; a C function in it ends first.
-- @module genet.offload

local pool = require "genet.pool"
local tasks = require "genet.tasks"

local offload = {}

local function join(there, here)
  return (there or "stack traceback:") .. "\noffloaded by:"
    .. here:gsub("^stack traceback:", "")
end

local function settle(ok, ...)
  if ok then return ... end
  local err, traceback = ...
  if ok == nil then error("genet.offload: " .. err, 2) end
  tasks.keep_traceback(err, join(traceback, debug.traceback(nil, 2)))
  error(err, 0)
end

--- Calls a function on a thread of the pool. Waits for its end.
-- @function genet.offload
-- @tparam function|string fn what to call, or the name of a module
-- @param[opt] name only after a module: the name of its function to call; nil when the module is
--   itself one
-- @param ... arguments, plain data
-- @return what the function returns, which must be plain data too
-- @raise the error that the function fails with, if that is plain data, else its text; and when
--   something cannot be carried
-- @usage local digest = genet.offload("lib.digest", "sha512", text)
-- local total = genet.offload(function(from, to)
--   local sum = 0
--   for i = from, to do sum = sum + i end
--   return sum
-- end, 1, 1e6)
function offload.run(fn, ...)
  if type(fn) == "function" then return settle(pool.run(fn, nil, ...)) end
  if type(fn) ~= "string" then
    error("genet.offload: a function or the name of a module was expected, not "
      .. (fn == nil and "nothing" or "a " .. type(fn)), 2)
  end
  local name = ...
  if name ~= nil and type(name) ~= "string" then
    error(("genet.offload: the name of a function of module '%s' was expected, not a %s")
      :format(fn, type(name)), 2)
  end
  return settle(pool.run(fn, name, select(2, ...)))
end

return offload
