--- Runs the verbs of the command line that are written in Lua: those of scripts, see
-- `genet.command`, and genet's own. Of these each is a module `genet.command.VERB` with
--
--   * `summary`, a sentence;
--   * `define(parser)`, which tells argparse of its arguments;
--   * `run(options, app)`, which may wait and returns the exit status;
--   * `site(options)`, if the verb works on a site: the path of what is to be loaded for it.
--
-- The command line is also read where there is no host: at its top level such a module requires
-- nothing that needs one.
-- @module genet.manager

local cli = require "genet.cli"
local command = require "genet.command"
local lfs = require "lfs"
local loader = require "genet.loader"

local manager = {}

local app  -- the site that was loaded
local work -- what is to be done

-- Ends the process where a site does not load: there is nothing to go on with.
local function fail(path, problem)
  io.stderr:write("genet: ", path, " does not load: ", loader.explain(tostring(problem)), "\n")
  os.exit(1)
end

-- An app without commands, where there is no site.
local NOTHING = {commands = {}}

-- A verb that is no own one, or the help that tells of all.
local function load_site(args, wish)
  local path = cli.site(wish.site)
  if not lfs.attributes(path) then
    if wish.site then cli.refuse(("'%s': no such file or directory"):format(path)) end
    return cli.parse(args, NOTHING)
  end
  local ok, result = pcall(loader.load, path)
  if not ok and wish.help then
    io.stderr:write("genet: ", path, " does not load: ", tostring(result), "\n")
    return cli.parse(args, NOTHING)
  end
  if not ok then fail(path, result) end
  app = result
  local options = cli.parse(args, app)
  work = function() return command.run(options), true end
end

--- Reads the command line, and loads what the verb works on. Ends the process for help (0), misuse
-- (2) and a site that does not load (1). Waits when the scripts do.
-- @tparam {string,...} args as in `arg`: the program's name is at 0
-- @usage manager.load{"routes", "scripts", [0] = "genet"}
function manager.load(args)
  local options = cli.parse(args)
  if not options.command then return load_site(args, options) end
  local verb = require("genet.command." .. options.command)
  local path = verb.site and verb.site(options)
  if path then
    if not lfs.attributes(path) then
      cli.refuse(("'%s': no such file or directory"):format(path))
    end
    local ok, result = pcall(loader.load, path)
    if not ok then fail(path, result) end
    app = result
  end
  work = function() return verb.run(options, app) end
end

--- Does what was asked for. Waits when that does.
-- @treturn integer the exit status
-- @treturn ?boolean whether the tasks that it has started are to end by themselves
-- @usage os.exit((manager.run()))
function manager.run()
  return work()
end

--- Ends the app that was loaded, as a host that stops does.
-- @usage manager.retire()
function manager.retire()
  if app then app:retire() end
end

return manager
