--- `genet shell`: a Lua prompt with a site loaded, at which waiting is legal.
-- @module genet.command.shell

local cli = require "genet.cli"

local shell = {summary = "Open a Lua prompt with the app of a site loaded."}

function shell.define(command)
  command:argument("path", "The script or the directory. (default: scripts, if it is there)")
    :args("?")
end

-- A prompt without a site is a prompt, too, unless one was named.
function shell.site(options)
  local path = cli.site(options.path)
  if options.path or require("lfs").attributes(path) then return path end
end

-- Running -------------------------------------------------------------------------------------

-- What lies below the chunk on the stack is of no interest.
local function handle(err)
  local text = debug.traceback(tostring(err), 2)
  local chunk = text:find("\n\t[C]: in function 'xpcall'", 1, true)
  return chunk and text:sub(1, chunk - 1) or text
end

-- Calls a chunk as a task of its own, which Ctrl-C cancels. Returns what xpcall does, packed.
local function run(chunk)
  local task, console = require "genet.task", require "genet.console"
  local result
  local running = task.spawn({detach = true, name = "shell"}, function()
    result = table.pack(xpcall(chunk, handle))
  end)
  local watcher = task.spawn({detach = true, name = "Ctrl-C"}, function()
    while console.wait(false) do running:cancel() end
  end)
  local ended, problem = running:wait()
  watcher:cancel()
  if not ended then return {n = 2, false, tostring(problem)} end
  return result
end

-- The chunk that a text is, an expression or statements. Returns nil and why there is none, and
-- whether more lines may make one.
local function compile(text)
  local expression = text:gsub("^%s*=", "", 1)
  local chunk = load("return " .. expression, "=stdin")
  if chunk then return chunk end
  local problem
  chunk, problem = load(text, "=stdin")
  if chunk then return chunk end
  return nil, problem, problem:find("<eof>", -5, true) ~= nil
end

local function show(result)
  if not result[1] then
    io.stderr:write(tostring(result[2]), "\n")
    return
  end
  local pretty = require "genet.pretty"
  local texts = {}
  for at = 2, result.n do texts[#texts + 1] = pretty.text(result[at]) end
  if texts[1] then print(table.concat(texts, "\t")) end
end

-- Reading -------------------------------------------------------------------------------------

local PROMPT, MORE = "> ", ">> "

-- Reads lines from a terminal by readline; others run meanwhile. The function returned gives a
-- line, nil at the end, or false for a line that was given up with Ctrl-C.
local function new_editor(readline)
  local console = require "genet.console"
  console.pin(package.searchpath("C-readline", package.cpath))
  readline.set_options{histfile = os.getenv "GENET_HISTORY" or "~/.genet_history", keeplines = 1000}
  readline.set_readline_name("genet")
  readline.set_complete_function(function(...)
    readline.set_completion_append_character("") -- readline forgets it each time
    return require("genet.complete").words(...)
  end)
  return function(prompt)
    local line, done
    readline.handler_install(prompt, function(text)
      line, done = text, true
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
  return function(prompt)
    io.stdout:write(prompt)
    io.stdout:flush()
    return io.read("l")
  end, function() end
end

local function prompt_loop(read)
  local text
  while true do
    local line = read(text and MORE or PROMPT)
    if line == nil then return end
    text = line and (text and text .. "\n" .. line or line)
    if text then
      local chunk, problem, incomplete = compile(text)
      if chunk then show(run(chunk)) end
      if problem and not incomplete then io.stderr:write(problem, "\n") end
      if not incomplete then text = nil end
    end
  end
end

local function interact()
  local found, readline = pcall(require, "readline")
  local read, save = (found and new_editor or new_reader)(readline)
  print("Genet " .. require("genet").version .. ", " .. _VERSION
    .. "; app, genet and c = app:test_client() are there. Ctrl-D leaves.")
  prompt_loop(read)
  save()
  return 0
end

-- What is piped in is one script, as the stand-alone interpreter has it.
local function run_script()
  local chunk, problem = load(io.read("a"), "=stdin")
  if not chunk then
    io.stderr:write("genet: ", problem, "\n")
    return 1
  end
  local result = run(chunk)
  if not result[1] then io.stderr:write("genet: ", tostring(result[2]), "\n") end
  return result[1] and 0 or 1
end

function shell.run(_, app)
  local genet = require "genet"
  _G.genet, _G.app = genet, app or genet.app()
  _G.c = _G.app:test_client()
  if require("genet.console").is_terminal() then return interact() end
  return run_script()
end

return shell
