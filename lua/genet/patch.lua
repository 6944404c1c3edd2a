--- Patches: functions of the standard library, and of others, that would hold the thread, replaced
-- by ones that let other tasks run. All are in place when a script is loaded, unless the host was
-- told `--no-patch`.
-- @module genet.patch

local stdio = require "genet.stdio"

local patch = {}

local patches = {} -- by name
local order = {} -- the names

-- A row of `patch.list`, and what to call with the row to put it in place or take it back.
local function add(name, how, what, apply, undo)
  patches[name] = {name = name, how = how, what = what, apply = apply, undo = undo}
  table.insert(order, name)
end

-- What replaces each `keys[i]` of a library by the function of that name in `from`.
local function replacing(library, keys, from)
  local function apply(row)
    row.saved = {}
    for _, key in ipairs(keys) do
      row.saved[key] = library[key]
      library[key] = from[key]
    end
  end
  local function undo(row)
    for _, key in ipairs(keys) do
      if library[key] == from[key] then library[key] = row.saved[key] end
    end
  end
  return apply, undo
end

add("popen", "cooperative", "io.popen", replacing(io, {"popen"}, stdio))
add("execute", "cooperative", "os.execute", replacing(os, {"execute"}, stdio))
add("open", "cooperative", "io.open io.lines io.input io.output of a FIFO or a terminal",
  replacing(io, {"open", "lines", "input", "output"}, stdio))

-- Standard files ------------------------------------------------------------------------------

local handles = {} -- made once, for what they have buffered
local own_print = print
local is_own = debug.getinfo(print, "S").what == "C" -- a server's goes to the log

-- The functions of io that use a default file know ours only in these.
local use_defaults = replacing(io, {"read", "write", "flush", "close"}, stdio)
use_defaults{}

-- Puts a handle of ours in the place of io[name], and of the default file if that is the same.
local function replace_standard(row, default)
  local name = row.name
  handles[name] = handles[name] or stdio.standard(name, handles.stdout)
  row.saved = io[name]
  if not handles[name] then return end
  if io[default]() == row.saved then stdio.set_default(default, handles[name]) end
  rawset(io, name, handles[name])
end

local function restore_standard(row, default)
  if io[row.name] ~= handles[row.name] then return end
  if io[default]() == handles[row.name] then stdio.set_default(default, row.saved) end
  rawset(io, row.name, row.saved)
end

-- As Lua's own, which writes behind the back of our handle.
local function print_waiting(...)
  local texts = table.pack(...)
  for at = 1, texts.n do texts[at] = tostring(texts[at]) end
  handles.stdout:write(table.concat(texts, "\t") .. "\n")
  handles.stdout:flush()
end

add("stdout", "cooperative", "io.stdout, io.write and print, to a pipe or a terminal",
  function(row)
    io.stdout:flush()
    replace_standard(row, "output")
    if handles.stdout and is_own and print == own_print then _G.print = print_waiting end
  end,
  function(row)
    io.stdout:flush()
    restore_standard(row, "output")
    if print == print_waiting then _G.print = own_print end
  end)

add("stdin", "cooperative", "io.stdin, io.read and io.lines, from a pipe or a terminal",
  function(row) replace_standard(row, "input") end,
  function(row) restore_standard(row, "input") end)

-- What no patch changes -----------------------------------------------------------------------

local REST = {
  {name = "files", how = "blocks", what = "reading and writing regular files on disk"},
  {name = "stderr", how = "blocks", what = "io.stderr"},
  {name = "tmpfile", how = "blocks", what = "io.tmpfile os.remove os.rename os.tmpname"},
  {name = "finalizers", how = "blocks", what = "whatever waits in a __gc metamethod"},
}

-- Switching -----------------------------------------------------------------------------------

local function switch(row, on)
  if (row.on or false) == on then return end
  if on then row.apply(row) else row.undo(row) end
  row.on = on
end

--- Puts patches in place, or takes them back. Those that are not named stay as they are.
-- @tparam table wishes true or false by name
-- @raise for a name that no patch has
-- @usage require("genet.patch").patch{popen = false}
function patch.patch(wishes)
  if type(wishes) ~= "table" then
    error("genet.patch: a table was expected, not a " .. type(wishes), 2)
  end
  for name, on in pairs(wishes) do
    if not patches[name] then
      error(("genet.patch: there is no patch '%s'"):format(tostring(name)), 2)
    elseif type(on) ~= "boolean" then
      error(("genet.patch: '%s': true or false was expected, not a %s"):format(name, type(on)), 2)
    end
  end
  for _, name in ipairs(order) do
    if wishes[name] ~= nil then switch(patches[name], wishes[name]) end
  end
end

--- Puts every patch in place. Does nothing to those that are.
-- @usage require("genet.patch").patch_all()
function patch.patch_all()
  for _, name in ipairs(order) do switch(patches[name], true) end
end

--- Takes every patch back.
-- @usage require("genet.patch").undo_all()
function patch.undo_all()
  for at = #order, 1, -1 do switch(patches[order[at]], false) end
end

--- What the patches do, and what still blocks, for people.
-- @treturn {table,...} rows of `name`, `how` (`cooperative`, `offloaded` or `blocks`), `what`, and
--   `on`, whether it is in place
-- @usage for _, row in ipairs(require("genet.patch").list()) do print(row.name, row.how) end
function patch.list()
  local rows = {}
  for _, name in ipairs(order) do
    local row = patches[name]
    table.insert(rows, {name = name, how = row.how, what = row.what, on = row.on or false})
  end
  for _, row in ipairs(REST) do
    table.insert(rows, {name = row.name, how = row.how, what = row.what, on = false})
  end
  return rows
end

return patch
