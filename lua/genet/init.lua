--- The module scripts begin with.
--
--     local genet = require "genet"
--     local app = genet.app()
--     app:get("/hello", function() return "hello" end)
--     return app
--
-- @module genet

local core = require "genet.core"
local app = require "genet.app"
local http_error = require "genet.http_error"
local instance = require "genet.instance"
local json = require "genet.json"
local locate = require "genet.locate"
local log = require "genet.log"
local offload = require "genet.offload"
local patch = require "genet.patch"
local render = require "genet.render"
local Request = require "genet.request"
local response = require "genet.response"
local shared = require "genet.shared"
local static = require "genet.static"
local sync = require "genet.sync"
local task = require "genet.task"
local timer = require "genet.timer"
local websocket = require "genet.websocket"

-- Modules that are loaded when a script first asks for them.
local LATER = {
  db = "genet.db", -- databases
  http = "genet.http", -- the client
  metrics = "genet.metrics",
  mime = "genet.mime",
  password = "genet.password",
  process = "genet.process",
  session = "genet.session", -- stores of sessions
  template = "genet.template", -- in Jinja's language
  test = "genet.test",
}

local genet = {
  --- The version of the host.
  version = core.version,
  --- The log, callable: see `genet.log`.
  log = log,
  --- JSON: see `genet.json`.
  json = json,
}

setmetatable(genet, {__index = function(self, key)
  local name = LATER[key]
  if name then self[key] = require(name) end
  return rawget(self, key)
end})

--- A new app, without routes.
-- @function genet.app
-- @treturn App see `genet.app`
-- @usage local app = genet.app()
genet.app = app.new

--- The commands of an app as Flask-Script has them: see `app:command`.
-- @tparam App of
-- @treturn table with `command`, as `app:command`
-- @usage local manager = genet.manager(app)
-- manager:command("hello", function() print("hello") end)
function genet.manager(of)
  return require("genet.command").manager(of)
end

--- Waits; others run meanwhile.
-- @function genet.sleep
-- @tparam number seconds
-- @usage genet.sleep(0.5)
genet.sleep = core.sleep

--- Lets everybody else run who can.
-- @function genet.yield
-- @raise when the task is cancelled
-- @usage genet.yield()
genet.yield = core.yield

-- Tasks: see `genet.task`.
genet.spawn = task.spawn
genet.async = task.async
genet.current = task.current
genet.all = task.all
genet.any = task.any
genet.timeout = task.timeout
genet.shield = task.shield
genet.uninterrupted = task.uninterrupted

-- What tasks meet at: see `genet.sync`.
genet.lock = sync.lock
genet.semaphore = sync.semaphore
genet.event = sync.event
genet.queue = sync.queue

-- Work on threads of a pool: see `genet.offload`.
genet.offload = offload.run

-- What of `io` and `os` waits by letting others run: see `genet.patch`.
genet.patch = patch.patch
genet.patch_all = patch.patch_all

-- Timers: see `genet.timer`.
genet.after = timer.after
genet.every = timer.every

-- What all threads, processes and generations share: see `genet.shared`.
genet.shared = shared.open

-- WebSockets and topics: see `genet.websocket`.
genet.ws = websocket.find
genet.publish = websocket.publish
genet.subscribe = websocket.subscribe

--- The number of times the scripts have been loaded, 1 for the first.
-- @function genet.generation
-- @treturn integer
-- @usage return {generation = genet.generation()}
genet.generation = core.generation

--- Whether scripts that were loaded later serve already, and this task, or request, is to end
-- within `--drain` seconds.
-- @function genet.retiring
-- @treturn boolean
-- @usage while not genet.retiring() do work() end
genet.retiring = core.retiring

--- Which of several Lua states that serve the same scripts this is. Variables of modules are
-- not shared between them.
-- @function genet.worker
-- @treturn table `mode`, "single", "threaded" or "processes"; `index`, from 0, where with threads 0
--   loads the scripts and serves nothing; `count` of those that serve
-- @usage if genet.worker().index == 0 then genet.spawn(do_what_is_to_be_done_once) end
genet.worker = core.worker

--- Loads the scripts again, as `genet reload` does. Waits.
-- @treturn[1] integer the number of the generation that serves since
-- @treturn[2] nil
-- @treturn[2] string why it could not be loaded
-- @usage local number, problem = genet.reload()
function genet.reload()
  return require("genet.generations").reload()
end

--- An answer by the names of its parts: see `genet.response`.
-- @function genet.response
-- @tparam table parts `status`, `headers`, `body`
-- @treturn Response
-- @usage return genet.response{status = 201, body = "made"}
genet.response = response.new

--- An answer that sends the client elsewhere: see `genet.response`.
-- @function genet.redirect
-- @tparam string location
-- @tparam ?integer status 302 unless told
-- @treturn Response
-- @usage return genet.redirect("/login")
genet.redirect = response.redirect

--- An answer out of what a handler may return, to give it cookies or headers.
-- @function genet.make_response
-- @param body
-- @param[opt] status
-- @param[opt] headers
-- @treturn Response
-- @usage return genet.make_response("made", 201):set_cookie("seen", "1")
genet.make_response = response.of

--- A value as an answer of JSON, also one that is no table.
-- @param value
-- @treturn Response
-- @usage return genet.jsonify{id = 1}
function genet.jsonify(value)
  return response.new{
    body = json.encode(value),
    headers = {["Content-Type"] = "application/json"},
  }
end

--- Keeps a message for the page that is shown next: see `req:flash`.
-- @tparam string text
-- @tparam ?string category
-- @usage genet.flash("You were logged in.")
function genet.flash(text, category)
  local req = Request.current()
  if not req then error("genet.flash: no request is being answered here", 2) end
  req:flash(text, category)
end

-- Files as answers: see `genet.static`.
genet.send_file = static.send_file
genet.send_from_directory = static.send_from_directory

-- What a site keeps beside its scripts: see `genet.instance`.
genet.instance_path = instance.path
genet.secret = instance.secret

-- Templates: see `genet.render`.
genet.render_template = render.template
genet.render_template_string = render.text
genet.stream_template = render.stream

--- The request that the running handler answers, or the one whose handler has started the running
-- task; nil elsewhere.
-- @function genet.request
-- @treturn ?Request
-- @usage local req = genet.request()
genet.request = Request.current

--- The address of a route by its name: see `genet.locate`.
-- @tparam string name
-- @tparam ?table args
-- @treturn string
-- @usage return genet.redirect(genet.url_for("login"))
function genet.url_for(name, args)
  return locate.url_for(Request.current(), name, args)
end

--- Ends the handler with an error status.
-- @tparam integer status 400 to 599
-- @tparam ?string message a sentence the client may read
-- @tparam ?table headers
-- @raise always
-- @usage if not item then genet.abort(404, "no such item") end
function genet.abort(status, message, headers)
  error(http_error.new(status, message, headers), 0)
end

local ENTITIES = {
  ["&"] = "&amp;",
  ["<"] = "&lt;",
  [">"] = "&gt;",
  ["\""] = "&quot;",
  ["'"] = "&#39;",
}

--- A text made safe to stand in a page.
-- @param text any value; `tostring` makes it a text
-- @treturn string
-- @usage genet.html_escape("<b>") --> "&lt;b&gt;"
function genet.html_escape(text)
  return (tostring(text):gsub("[&<>\"']", ENTITIES))
end

return genet
