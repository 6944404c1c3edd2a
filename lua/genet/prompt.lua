--- A prompt on the terminal, with the editing, the history and the completion of readline if
-- Debian's lua-readline is there. Others run while it waits for a key.
-- @module genet.prompt

local console = require "genet.console"

local prompt = {}

local FIRST, MORE = "> ", ">> "

-- Reads lines by readline. The function returned gives a line, nil at the end, or false for a line
-- that was given up with Ctrl-C.
local function new_editor(readline, complete)
  console.pin(package.searchpath("C-readline", package.cpath))
  readline.set_options{histfile = os.getenv "GENET_HISTORY" or "~/.genet_history", keeplines = 1000}
  readline.set_readline_name("genet")
  readline.set_complete_function(function(...)
    readline.set_completion_append_character("") -- readline forgets it each time
    return complete(...)
  end)
  return function(text)
    local line, done
    readline.handler_install(text, function(typed)
      line, done = typed, true
      readline.handler_remove()
    end)
    while not done do
      if console.wait(true) == "interrupt" then
        readline.sigcleanup()
        readline.handler_remove()
        io.stdout:write("^C\n")
        return false
      end
      readline.read_char()
    end
    if not line then io.stdout:write("\n") end
    if line and line:find("%S") then readline.add_history(line) end
    return line
  end, readline.save_history
end

-- The same without readline.
local function new_reader()
  return function(text)
    io.stdout:write(text)
    io.stdout:flush()
    return io.read("l")
  end, function() end
end

--- Reads what is typed until Ctrl-D. Waits.
-- @tparam function evaluate is called with each text and may wait; returns true when more lines
--   belong to it, with which it is then called again
-- @tparam function complete gives the words that readline offers: see `genet.complete`
-- @usage prompt.run(function(text) print(text) end, require("genet.complete").words)
function prompt.run(evaluate, complete)
  local found, readline = pcall(require, "readline")
  local read, save = (found and new_editor or new_reader)(readline, complete)
  local text
  while true do
    local line = read(text and MORE or FIRST)
    if line == nil then break end
    text = line and (text and text .. "\n" .. line or line)
    if text and not evaluate(text) then text = nil end
  end
  save()
end

return prompt
