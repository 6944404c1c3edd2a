--- `genet test`: runs the specs of a site with busted, in the process that has the app loaded.
-- @module genet.command.test

local cli = require "genet.cli"
local lfs = require "lfs"

local test = {summary = "Run the specs of a site (*_spec.lua) with busted, its app loaded."}

function test.define(command)
  command:argument("path", "Where the specs are: the site, or a directory or file of specs. "
    .. "(default: scripts)"):args("?")
  command:flag("--real-time", "Do not skip the time for which all tasks sleep.")
  command:usage("Usage: genet test [-?] [--real-time] [<path>] [-- <option of busted> ...]")
end

-- Whether a directory has scripts to serve.
local function has_scripts(path)
  if lfs.attributes(path, "mode") ~= "directory" then return false end
  for name in lfs.dir(path) do
    if name:find("%.lua$") and not name:find("_spec%.lua$") then return true end
  end
  return false
end

-- The site that specs at `path` are about, where -C does not name one.
local function site_of(path)
  if not path or has_scripts(path) then return cli.site(path) end
  local above = path:gsub("/+$", ""):match("^(.*)/[^/]+$")
  while above and above ~= "" do
    if lfs.attributes(above .. "/app.lua") then return above end
    above = above:match("^(.*)/[^/]+$")
  end
  return cli.site()
end

local function check_busted()
  local found = package.searchpath("busted.runner", package.path)
  if found then return end
  io.stderr:write("genet: 'genet test' needs busted; on Debian: apt install lua-busted\n")
  os.exit(1)
end

function test.site(options)
  check_busted()
  if options.path and not lfs.attributes(options.path) then
    cli.refuse(("'%s': no such file or directory"):format(options.path))
  end
  options.site = options.site or site_of(options.path)
  options.path = options.path or options.site
  if not options.real_time then require("genet.test").clock.skip() end
  return options.site
end

local ENDED = {} -- what busted raises in place of ending the process

-- Calls busted as its command would. Returns the exit status.
local function run_busted(args)
  local compatibility = require "busted.compatibility"
  local status = 0
  function compatibility.exit(code)
    status = code == 0 and 0 or 1
    error(ENDED, 0)
  end
  _G.arg = args
  -- busted takes its name from the source that calls it
  local call = load("local run = ... run{standalone = false}", "@genet test")
  local ok, problem = xpcall(call, function(err)
    return err == ENDED and err or debug.traceback(tostring(err), 2)
  end, require "busted.runner")
  if ok or problem == ENDED then return status end
  io.stderr:write("genet: ", problem, "\n")
  return 1
end

function test.run(options, app)
  require("genet.test").use(app)
  local args = table.move(options.args, 1, #options.args, 1, {[0] = "genet test"})
  args[#args + 1] = options.path
  return run_busted(args)
end

return test
