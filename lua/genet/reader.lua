--- Reads lines for `genet attach`: with readline on a terminal, else as they come.
-- @module genet.reader

local core = require "genet.core"

local reader = {}

local COMMANDS = {"cancel", "eval", "gc", "help", "log", "memory", "quit", "reload", "status",
  "task", "tasks", "workers"}

local readline -- false where it is not

-- What the first word of a line may be; readline says from where to where the word goes.
local function complete(line, from, to)
  local found, word = {}, line:sub(from, to)
  if line:sub(1, from - 1):find("%S") then return found end
  for _, name in ipairs(COMMANDS) do
    if name:sub(1, #word) == word then found[#found + 1] = name end
  end
  return found
end

local function open_readline()
  local found, library = pcall(require, "readline")
  readline = found and core.is_terminal(0) and core.is_terminal(1) and library
  if not readline then return end
  readline.set_readline_name("genet")
  readline.set_options{histfile = os.getenv "GENET_HISTORY" or "~/.genet_history", keeplines = 1000}
  readline.set_complete_function(complete)
end

--- The next line. Blocks the thread.
-- @tparam string text what to ask with, on a terminal
-- @treturn[1] string
-- @treturn[2] nil at the end
-- @usage local line = reader.read("> ")
function reader.read(text)
  if readline == nil then open_readline() end
  if readline then
    local line = readline.readline(text)
    if line and line:find("%S") then readline.add_history(line) end
    return line
  end
  if core.is_terminal(0) then io.stdout:write(text) end
  io.stdout:flush()
  return io.stdin:read("l")
end

--- Keeps what was typed for the next time.
-- @usage reader.save()
function reader.save()
  if readline then readline.save_history() end
end

return reader
