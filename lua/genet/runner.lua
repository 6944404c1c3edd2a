--- What becomes of `app:run`: under `genet run` the host serves the script once it has ended.
-- @module genet.runner

local generations = require "genet.generations"
local log = require "genet.log"

local runner = {}

local arguments -- for `genet runserver`, once a script that is run has asked for it
local asked -- the app of a script that is served and has asked in vain

--- Does what `app:run` is to do.
-- @tparam App app
-- @tparam ?table options
-- @raise when an option is unknown or wrong, or the script has asked before
-- @usage runner.run(app, {port = 8000})
function runner.run(app, options)
  if generations.served() then
    asked = app
    log.debug("app:run changes nothing here: the host serves already")
    return
  end
  if arguments then error("app:run: it has been called before", 3) end
  local ok, list = pcall(require("genet.cli").run_arguments, options or {})
  if not ok then error("app:run: " .. list, 3) end
  arguments = list
end

--- The app that has called `app:run` since this was last asked, in a script that is served.
-- @treturn ?App
-- @usage local app = runner.take()
function runner.take()
  local app = asked
  asked = nil
  return app
end

--- What the script that was run wants to be served with. The host asks.
-- @treturn ?{string,...} options of `genet runserver`
-- @usage for _, word in ipairs(runner.arguments() or {}) do print(word) end
function runner.arguments()
  return arguments
end

return runner
