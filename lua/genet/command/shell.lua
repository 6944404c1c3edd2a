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

local function evaluate(text)
  local chunk, problem, incomplete = compile(text)
  if incomplete then return true end
  if chunk then show(run(chunk)) else io.stderr:write(problem, "\n") end
end

local function interact()
  print("Genet " .. require("genet").version .. ", " .. _VERSION
    .. "; app, genet and c = app:test_client() are there. Ctrl-D leaves.")
  require("genet.prompt").run(evaluate, require("genet.complete").words)
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
