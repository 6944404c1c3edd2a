--- Apps: the routes of a script, and the way from a request to its answer.
-- @module genet.app

local check = require "genet.check"
local command = require "genet.command"
local config = require "genet.config"
local converters = require "genet.converters"
local exchange = require "genet.exchange"
local generations = require "genet.generations"
local guard = require "genet.guard"
local gzip = require "genet.gzip"
local hooks = require "genet.hooks"
local json = require "genet.json"
local locate = require "genet.locate"
local log = require "genet.log"
local Request = require "genet.request"
local render = require "genet.render"
local response = require "genet.response"
local router = require "genet.router"
local sse = require "genet.sse"
local static = require "genet.static"
local timer = require "genet.timer"
local url = require "genet.url"
local websocket = require "genet.websocket"

local getmetatable, setmetatable, type, unpack = getmetatable, setmetatable, type, table.unpack
local answer, refuse_json = response.answer, response.refuse_json
local encode = json.try_encode
local HTML, JSON = response.HTML, response.JSON
local live = Request.live
local SLOT <const> = 0xffffff -- Request.SLOT, where the compiler sees it

local App = {}
App.__index = App

-- What all apps share that are served together: see `genet.config` and `genet.render`.
local shared = {config = config.site, templates = render.environment}

setmetatable(App, {__index = function(_, key)
  local get = shared[key]
  return get and get()
end})

--- The log: see `genet.log`.
App.logger = log

local app = {}

--- A new app, without routes.
-- @treturn App
-- @usage local app = genet.app()
function app.new()
  local routes = router.new()
  return setmetatable({
    router = routes,
    exact = routes.exact,
    routes = {},
    unload = {},
    kept = {},
    commands = {},
  }, App)
end

--- Whether a value is an app.
-- @param value
-- @treturn boolean
-- @usage app.is(genet.app()) --> true
function app.is(value)
  return getmetatable(value) == App
end

-- Routes --------------------------------------------------------------------------------------

-- Where the script called the framework, `file:line`.
local function caller_place()
  local here = debug.getinfo(1, "S").source:match("^.*/") or ""
  local level = 2
  local info = debug.getinfo(level, "Sl")
  while info and (info.what == "C" or info.source:sub(1, #here) == here) do
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  return info and info.source:gsub("^@", "") .. ":" .. info.currentline or "?"
end

local OPTIONS = {methods = "table", name = "string", max_body = "number", detach = "boolean"}

local function check_size(bytes)
  if bytes == nil or math.tointeger(bytes) and bytes >= 0 then return bytes end
  error(("option 'max_body' must be a whole number of bytes, not %s"):format(bytes), 0)
end

local function method_set(methods)
  local set = {}
  for _, method in ipairs(methods) do
    if type(method) ~= "string" or not method:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      error(("bad method '%s'"):format(tostring(method)), 0)
    end
    set[method:upper()] = true
  end
  if not next(set) then error("the list of methods is empty", 0) end
  return set
end

-- `verb` is the one method of a route that comes from `app:get` and its like.
local function new_route(place, verb, rule, options, handler)
  if handler == nil then options, handler = {}, options end
  check.route_options(options, OPTIONS)
  if verb and options.methods then error("option 'methods' belongs to app:route", 0) end
  if not check.is_callable(handler) then
    error(("a function was expected as the handler, not a %s"):format(type(handler)), 0)
  end
  return {
    rule = rule,
    methods = method_set(options.methods or {verb or "GET"}),
    name = options.name,
    max_body = check_size(options.max_body),
    detach = options.detach,
    handler = handler,
    place = place,
  }
end

-- A route of a group as the app around it knows it.
local function prefixed(group, route)
  route.rule = group.prefix .. route.rule
  if route.name and group.name then route.name = group.name .. "." .. route.name end
  return route
end

-- What is to be done before a request of the route begins; nil when that is nothing.
local function preparation(route)
  local max_body, detach = route.max_body, route.detach
  if not max_body and not detach then return nil end
  return function(x)
    if max_body then exchange.limit(x, max_body) end
    if detach then exchange.detach(x) end
  end
end

-- Adds a finished route.
function App:add(route)
  if self.frozen then error("routes are defined while the scripts load, not later", 0) end
  route.scope = route.scope or self
  if self.prefix then return self.outer:add(prefixed(self, route)) end
  self.router:add(route)
  route.compress = route.compress or self.compress
  route.prepare = preparation(route)
  self.routes[#self.routes + 1] = route
end

-- Calls `fn`; what it raises is told with the place in the script that it is about.
local function located(place, fn, ...)
  local ok, problem = pcall(fn, ...)
  if not ok then error(place .. ": " .. tostring(problem), 0) end
end

local function define(self, ...)
  if not app.is(self) then error("an app was expected: write app:get, not app.get", 0) end
  self:add(new_route(...))
end

--- Adds a route for any methods.
-- @tparam string rule such as `/item/<int:id>`
-- @tparam[opt] table options `methods`, a list (`{"GET"}` unless told); `name`; `max_body`, the
--   bytes that the body of a request may have (what `--max-body` says unless told); `detach`, to
--   let the handler go on when its client has gone, where its waits would fail otherwise
-- @tparam function handler called with the request and the rule's arguments
-- @usage app:route("/item/<int:id>", {methods = {"GET", "PUT"}}, function(req, id)
--   return {id = id, method = req.method}
-- end)
function App:route(rule, options, handler)
  local place = caller_place()
  located(place, define, self, place, nil, rule, options, handler)
end

local function verb(method)
  return function(self, rule, options, handler)
    local place = caller_place()
    located(place, define, self, place, method, rule, options, handler)
  end
end

--- Adds a route for GET, and for HEAD unless that has a route of its own.
-- @function App:get
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:get("/hello/<name>", function(req, name) return "hello " .. name end)
App.get = verb "GET"

--- Adds a route for POST.
-- @function App:post
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:post("/item", function(req) return req:json(), 201 end)
App.post = verb "POST"

--- Adds a route for PUT.
-- @function App:put
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:put("/item/<int:id>", function(req, id) return {id = id} end)
App.put = verb "PUT"

--- Adds a route for PATCH.
-- @function App:patch
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:patch("/item/<int:id>", function(req, id) return {id = id} end)
App.patch = verb "PATCH"

--- Adds a route for DELETE.
-- @function App:delete
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:delete("/item/<int:id>", function() return 204 end)
App.delete = verb "DELETE"

--- Adds a route for HEAD, instead of the one every GET route brings.
-- @function App:head
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:head("/big", function() return "", {["X-Size"] = 1048576} end)
App.head = verb "HEAD"

--- Adds a route for OPTIONS, instead of the answer every rule gives by itself.
-- @function App:options
-- @tparam string rule
-- @tparam[opt] table options `name`, `max_body`, `detach`
-- @tparam function handler
-- @usage app:options("/item", function() return "", {Allow = "GET"} end)
App.options = verb "OPTIONS"

--- Adds a route that answers with server-sent events: see `genet.sse`. The answer ends when the
-- handler returns. A client that has gone ends the handler at its next wait or `sse:send`, and so
-- does the host when it stops: browsers come back by themselves.
-- @tparam string rule
-- @tparam[opt] table options `heartbeat`, the seconds after which a comment is sent, again and
--   again (15); `methods` (`{"GET"}`), `name`, `max_body`
-- @tparam function handler called with the stream, the request and the rule's arguments
-- @usage app:sse("/ticks/<int:n>", {heartbeat = 5}, function(sse, req, n)
--   for i = 1, n do sse:send{id = i, data = "tick"} genet.sleep(1) end
-- end)
function App:sse(rule, options, handler)
  local place = caller_place()
  located(place, function()
    define(self, place, nil, rule, sse.route(options, handler))
  end)
end

local function define_websocket(self, place, rule, options, handler)
  if not app.is(self) then
    error("an app was expected: write app:websocket, not app.websocket", 0)
  end
  if handler == nil then options, handler = {}, options end
  self:add{
    rule = rule,
    methods = {GET = true},
    place = place,
    handler = websocket.handler(options, handler),
    name = options.name,
    websocket = true,
  }
end

--- Adds a route of WebSockets. The handler has one for as long as it runs: when it returns, the
-- socket is closed with 1000; when it raises, with 1011, and the log gets the traceback. A client
-- that goes away does not cancel it: `ws:receive` and `ws:send` tell. What asks for the route in
-- plain HTTP gets a 426.
-- @tparam string rule
-- @tparam[opt] table options `subprotocols`, those the handler speaks, the best first;
--   `max_message`, bytes that a message may have (1 MiB unless told); `origins`, a list of those
--   whose pages may connect, such as `"https://example.org"`, `"*"` for all (only the pages of the
--   same host unless told; a client that tells no origin is no page and may always); `compress`, to
--   compress messages for clients that can (permessage-deflate; each message alone, so that idle
--   sockets keep no memory for it); `name`
-- @tparam function handler called with the WebSocket (see `genet.websocket`) and the rule's
--   arguments
-- @usage app:websocket("/chat/<room>", function(ws, room)
--   ws:join(room)
--   for message in ws:messages() do genet.publish(room, message) end
-- end)
function App:websocket(rule, options, handler)
  local place = caller_place()
  located(place, define_websocket, self, place, rule, options, handler)
end

local function set_once(self, place, field, given)
  if not app.is(self) then error("an app was expected: write app:sessions, not app.sessions", 0) end
  if self[field] then error("this has been called already, at " .. self[field].place, 0) end
  self[field] = {place = place, given = given}
end

--- Gives requests a session: see `genet.session`. It is for all scripts that are served together.
-- @tparam[opt] table options `secret`, a string of 16 bytes at least, or a list of them, the first
--   of which signs while all are believed (`secret_key` of the configuration unless told, or a
--   random one); `name` of the cookie (`"session"`); `max_age`, the seconds after which a session
--   that has not changed ends (until the browser is closed, or 31 days, unless told); `refresh`,
--   to send the cookie again when half of that is over; `secure` (where the scheme is https);
--   `path`, `domain`, `samesite` (`"Lax"`); `store`, for sessions that are kept on the server
-- @usage app:sessions{secret = os.getenv "SECRET", max_age = 7 * 86400}
function App:sessions(options)
  local place = caller_place()
  located(place, set_once, self, place, "session_options", options or {})
end

--- Refuses forms that other sites have a browser send: a POST, PUT, PATCH or DELETE that has
-- cookies, or is a form, needs the token of `req:csrf_token` in the field `csrf_token` or the
-- header `X-CSRF-Token`, and the right `Origin` if it tells one; else it is answered with 400.
-- The form of a request without the header is read before its handler is called: one that takes
-- the parts of large forms as they come is to be exempt, and to call `req:check_csrf` itself. That
-- of an app is for all scripts that are served together, that of a group for its own routes.
-- @tparam[opt] table options `exempt`, a list of rules or names of routes; `origins`, a list of
--   those that may send forms, such as `"https://example.org"`; `fetch_metadata`, to believe a
--   browser that says `Sec-Fetch-Site: same-origin` in place of a token
-- @usage app:protect_forms{exempt = {"/hook/<name>"}}
function App:protect_forms(options)
  local place = caller_place()
  located(place, function()
    set_once(self, place, "form_options", require("genet.csrf").new(options))
  end)
end

-- See `genet.static` and `genet.gzip`.
App.static, App.gzip = static.serve, gzip.serve

-- See `genet.metrics` and `genet.health`.
function App:metrics(...) return require("genet.metrics").serve(self, ...) end
function App:health(...) return require("genet.health").serve(self, ...) end

local function check_prefix(prefix, what)
  check.type(prefix, what .. ": the prefix", "string")
  if not prefix:find("^/.*[^/]$") then
    local problem = "%s: a prefix begins with '/' and does not end with it, unlike '%s'"
    error(problem:format(what, prefix), 3)
  end
end

--- A group of routes whose rules begin alike, with hooks of their own: `before`, `after`,
-- `teardown` and `error` of a group are for its routes only. It may hold groups.
-- @tparam string prefix such as `"/blog"`
-- @tparam[opt] table options `name`, which the names of its routes then begin with: `blog.index`;
--   `template_folder`, a directory of its own, in which templates are looked for after all others
-- @tparam function fn called with the group, to define what is in it
-- @treturn App the group
-- @usage app:group("/admin", function(admin)
--   admin:before(function(req) if not req.session.admin then genet.abort(403) end end)
--   admin:get("/", function() return "welcome" end)
-- end)
function App:group(prefix, options, fn)
  if fn == nil then options, fn = nil, options end
  check_prefix(prefix, "app:group")
  check.callable(fn, "app:group")
  options = check.options(options, "app:group", {name = "string", template_folder = "string"})
  local name = options.name
  if options.template_folder then render.add_folder(options.template_folder) end
  local group = setmetatable({
    outer = self,
    prefix = prefix,
    name = name,
    full_name = self.full_name and name and self.full_name .. "." .. name or name or self.full_name,
    compress = self.compress,
    unload = self.unload,
    kept = self.kept,
    commands = self.commands,
  }, App)
  fn(group)
  return group
end

--- Takes over the routes of another app under a prefix, with its hooks.
-- @tparam App other
-- @tparam string prefix such as `"/shop"`
-- @usage app:mount(require "shop", "/shop")
function App:mount(other, prefix)
  if not app.is(other) then error("app:mount: an app was expected", 2) end
  check_prefix(prefix, "app:mount")
  if other.outer then error("app:mount: this app is mounted already", 2) end
  other.outer = self
  for _, route in ipairs(other.routes) do
    local copy = {}
    for key, value in pairs(route) do copy[key] = value end
    copy.rule = prefix .. route.rule
    located(route.place, self.add, self, copy)
  end
  self:include{
    routes = {},
    unload = other.unload,
    kept = other.kept,
    commands = other.commands,
    session_options = other.session_options,
    form_options = other.form_options,
  }
end

local function hook(kind)
  return function(self, fn)
    check.callable(fn, "app:" .. kind)
    self.hooks = self.hooks or {}
    self.hooks[kind] = self.hooks[kind] or {}
    table.insert(self.hooks[kind], fn)
    return fn
  end
end

--- Has a function called before each handler, with the request. What it returns, if anything, is
-- the answer, and the handler is not called.
-- @function App:before
-- @tparam function fn
-- @usage app:before(function(req) if not allowed(req.remote_addr) then return 403 end end)
App.before = hook "before"

--- Has a function called after each handler that has returned its answer, with the request and the
-- answer, a response with `status`, `headers` and `body` that it may change, or return another.
-- What a handler has written itself does not pass here.
-- @function App:after
-- @tparam function fn
-- @usage app:after(function(req, answer) answer.headers["X-Request-Id"] = req.id end)
App.after = hook "after"

--- Has a function called once a request has been answered, with the request, and the error if it
-- has failed with one.
-- @function App:teardown
-- @tparam function fn
-- @usage app:teardown(function(req) if req.g.db then req.g.db:close() end end)
App.teardown = hook "teardown"

--- Has a function answer requests that fail. It is called with the request and the error, and
-- returns what a handler may; its status is that of the error unless it says so.
-- @tparam[opt] integer|string wanted a status, or a Lua pattern that the error's text fits; any
--   error unless told
-- @tparam function fn
-- @usage app:error(404, function(req) return "there is no " .. req.path end)
function App:error(wanted, fn)
  if fn == nil then wanted, fn = nil, wanted end
  if type(wanted) ~= "string" and wanted ~= nil then check.count(wanted, "app:error", 400) end
  check.callable(fn, "app:error")
  self.hooks = self.hooks or {}
  self.hooks.errors = self.hooks.errors or {}
  table.insert(self.hooks.errors, {wanted = wanted, fn = fn})
end

-- See `genet.locate`.
App.url_for = locate.of_app

--- Adds a kind of argument for rules: see `genet.converters`.
-- @tparam string name
-- @tparam table fields
-- @usage app:converter("hex", {pattern = "%x+", read = function(s) return tonumber(s, 16) end})
function App:converter(name, fields) -- luacheck: no self
  local ok, problem = pcall(converters.add, name, fields)
  if not ok then error(problem, 2) end
end

-- Flask's names.
App.before_request, App.after_request = App.before, App.after
App.teardown_request, App.errorhandler = App.teardown, App.error

--- Adds a route as Flask's `add_url_rule` does.
-- @tparam string rule
-- @tparam ?string endpoint its name
-- @tparam function handler
-- @tparam[opt] table options as of `app:route`
-- @usage app:add_url_rule("/item/<int:id>", "item", show_item, {methods = {"GET", "POST"}})
function App:add_url_rule(rule, endpoint, handler, options)
  local own = {name = endpoint}
  for key, value in pairs(options or {}) do own[key] = value end
  self:route(rule, own, handler)
end

-- Templates -----------------------------------------------------------------------------------

--- Has a function add variables to the templates that are rendered for requests of this app or
-- group. What a template is given hides them.
-- @tparam function fn called with the request; returns a table
-- @treturn function the same
-- @usage app:context_processor(function(req) return {user = users[req.session.user]} end)
function App:context_processor(fn)
  check.callable(fn, "app:context_processor")
  self.context_processors = self.context_processors or {}
  table.insert(self.context_processors, fn)
  return fn
end

local function template_thing(kind)
  return function(self, name, given)
    check.type(name, "app:template_" .. kind, "string")
    local env = self.templates
    env[kind](env, name, given)
    return given
  end
end

--- Adds a filter to the templates of the site.
-- @function App:template_filter
-- @tparam string name
-- @tparam function fn takes the value and the arguments, see `genet.template.environment`
-- @usage app:template_filter("euros", function(cents) return ("%.2f EUR"):format(cents / 100) end)
App.template_filter = template_thing "filter"

--- Adds a test to the templates of the site.
-- @function App:template_test
-- @tparam string name
-- @tparam function fn
-- @usage app:template_test("adult", function(user) return user.age >= 18 end)
App.template_test = template_thing "test"

--- Adds a variable, or a function, to the templates of the site.
-- @function App:template_global
-- @tparam string name
-- @param any
-- @usage app:template_global("now", os.time)
App.template_global = template_thing "global"

--- Takes over the routes of another app, in their order. A route that is here already is passed
-- over, so two scripts may return the same app.
-- @tparam App other
-- @usage root:include(require "shop")
function App:include(other)
  local here = {}
  for _, route in ipairs(self.routes) do here[route] = true end
  for _, fn in ipairs(self.unload) do here[fn] = true end
  for _, route in ipairs(other.routes) do
    if not here[route] then located(route.place, self.add, self, route) end
  end
  for _, fn in ipairs(other.unload) do
    if not here[fn] then table.insert(self.unload, fn) end
  end
  for name, value in pairs(other.kept) do self.kept[name] = value end
  for _, entry in pairs(other.commands) do command.add(self, entry) end
  guard.include(self, other)
  if app.is(other) then
    other.outer = self
    self.included = self.included or {}
    table.insert(self.included, other)
  end
end

--- Ends the definition of routes: adding one raises from now on.
-- @usage app:freeze()
function App:freeze()
  if self.frozen then return end
  local max_body = check_size(config.site().max_body)
  for _, route in ipairs(self.routes) do
    route.max_body = route.max_body or max_body
    route.prepare = preparation(route)
  end
  hooks.install(self)
  guard.install(self)
  self.frozen = true
end

--- A table that the next generation of the scripts finds as this one leaves it: plain data, which
-- is copied when the scripts are loaded again. What a request changes afterwards is lost.
-- @tparam string name under which the next generation asks for it
-- @tparam ?table default what it is at first, empty unless told
-- @treturn table
-- @usage local hits = app:persist("hits", {count = 0})
-- app:get("/hits", function() hits.count = hits.count + 1 return tostring(hits.count) end)
function App:persist(name, default)
  check.type(name, "app:persist", "string")
  if default ~= nil then check.type(default, "app:persist", "table") end
  if self.frozen then error("app:persist belongs where the scripts load, not later", 2) end
  if not self.kept[name] then self.kept[name] = generations.kept(name) or default or {} end
  return self.kept[name]
end

--- Hands what `app:persist` gave to the host, which calls it before it loads the scripts again.
-- @usage app:keep()
function App:keep()
  for name, value in pairs(self.kept) do
    local ok, problem = pcall(generations.keep, name, value)
    if not ok then log.error("app:persist: %s", problem) end
  end
end

--- Adds a verb to the command line: `genet NAME`, which runs `fn` with the app loaded and no
-- server; waits work in it. The exit status is 0; 1 when `fn` returns false, or nil and a message,
-- or raises; or the integer it returns.
-- @tparam string name
-- @tparam[opt] table options `help`, a sentence; `args`, a list of its arguments; `options`, a list
--   of its options. Each of these is a name or a table: the name first (`"file"`, `"-n --count"`),
--   `help`, `default`, `type` (`"string"`, `"integer"`, `"number"`, or a function from the text to
--   the value, or nil and a problem), `many`, to take several, as a list; `optional`, of an
--   argument; `flag`, of an option that has no value
-- @tparam function fn called with a table of the arguments and options by their names
-- @usage app:command("seed", {
--   help = "Fill the shop with goods.",
--   args = {"file"},
--   options = {{"-n --count", type = "integer", default = 10}, {"--dry-run", flag = true}},
-- }, function(args)
--   print(args.file, args.count, args.dry_run)
-- end)
function App:command(name, options, fn)
  local place = caller_place()
  if fn == nil then options, fn = {}, options end
  located(place, function() command.add(self, command.new(place, name, options, fn)) end)
end

--- A client for tests, which asks this app without a server: see `genet.test.client`.
-- @tparam[opt] table options `base_url`, `headers`, `remote_addr`, `propagate`, `timeout`
-- @treturn Client
-- @usage assert.equal("hello", app:test_client():get("/hello").text)
function App:test_client(options)
  return require("genet.test.client").new(self, options)
end

--- Has a function called when the app is to end: when other scripts serve instead of it, or the
-- host stops. It may wait; requests and tasks go on meanwhile. The latest is called first.
-- @tparam function fn
-- @usage app:on_unload(function() connections:close() end)
function App:on_unload(fn)
  check.callable(fn, "app:on_unload")
  table.insert(self.unload, fn)
end

--- Ends its timers and calls what was given to `app:on_unload`. The host calls it.
-- @usage app:retire()
function App:retire()
  timer.stop_all()
  websocket.retire()
  for at = #self.unload, 1, -1 do
    local ok, problem = xpcall(self.unload[at], debug.traceback)
    if not ok then log.error("app:on_unload: %s", problem) end
  end
end

--- Has `genet run` serve this script when it has come to its end: in a state of its own, so what
-- the script has started ends before. `genet runserver` passes over it, but for a script that
-- returns nothing: this is then its app.
-- @tparam ?table options those of `genet runserver` by their long names, with `_` for `-`: `host`,
--   `port`, `debug` and so on; flags are true or false, what may be given again is a list
-- @raise when an option is unknown or wrong
-- @usage app:run{host = "0.0.0.0", port = 8000, debug = true}
function App:run(options)
  if not app.is(self) then error("an app was expected: write app:run, not app.run", 2) end
  if options ~= nil then check.type(options, "app:run", "table") end
  require("genet.runner").run(self, options)
  return nil -- no tail call: errors name the caller's place
end

-- Requests ------------------------------------------------------------------------------------

-- The answer to a request that no route takes; `detail` is what the router says of it.
local function refuse(self, x, method, path, code, detail)
  if self.strays and code >= 400 then
    local status, head, body = hooks.refuse(self, x, method, url.decode_path(path) or path, code)
    if status then return status, head, body end
  end
  if code == 308 then
    local query = exchange.query(x)
    local location = query and detail .. "?" .. query or detail
    return response.plain(308, nil, {Location = url.encode_reference(location)})
  end
  if code == 200 then return 200, response.head(HTML, {Allow = detail}), "" end
  return response.plain(code, nil, detail and {Allow = detail})
end

--- Answers a request; the host calls it on the request's own thread. Waits when its handler does.
-- What the handler raises goes through.
-- @tparam integer x the number of the exchange
-- @tparam string method
-- @tparam string path as it came, percent-encoded
-- @treturn[1] integer the status
-- @treturn[1] string the head
-- @treturn[1] string the body
-- @treturn[2] nil when the answer has been written
-- @usage local status, head, body = app:dispatch(x, "GET", "/hello")
function App:dispatch(x, method, path)
  local entry = self.exact[path]
  local route, values = entry and entry[method], nil
  if not route then
    local found
    route, values, found = self.router:match(method, path)
    if not route then return refuse(self, x, method, path, values, found) end
    path = found
  end
  if route.prepare then route.prepare(x) end
  local req, body, code, headers
  if values then
    req = setmetatable({_exchange = x, method = method, path = path, route = route,
      _values = values}, Request)
    live[x & SLOT] = req
    body, code, headers = route.handler(req, unpack(values, 1, #route.names))
  else
    req = setmetatable({_exchange = x, method = method, path = path, route = route}, Request)
    live[x & SLOT] = req
    body, code, headers = route.handler(req)
  end
  -- A page and a table are answered without detours; the host refuses one that follows a written
  -- answer.
  if code == nil and headers == nil and not route.compress then
    local kind = type(body)
    if kind == "string" then return 200, HTML, body end
    if kind == "table" and not getmetatable(body) then
      local text, problem = encode(body)
      if not text then refuse_json(req, problem) end
      return 200, JSON, text
    end
  end
  return answer(req, body, code, headers)
end

--- The answer to what a handler raised. The host calls it.
-- @tparam integer x the number of the exchange
-- @param err the error value
-- @tparam boolean ended whether the request was ended for its use of the processor
-- @treturn[1] integer the status
-- @treturn[1] string the head
-- @treturn[1] string the body
-- @treturn[1] boolean whether the host should log the error
-- @treturn[2] nil when part of an answer has been written: the connection can only be closed
-- @treturn[2] nil
-- @treturn[2] nil
-- @treturn[2] boolean
-- @usage local status, head, body, logged = app:failed(x, err)
function App:failed(x, err, ended)
  local code, head, body, logged = response.failure(err, ended and 503)
  local status, own_head, own_body
  if self.pending then status, own_head, own_body = hooks.failed(self, x, err, code) end
  if status then code, head, body = status, own_head, own_body end
  if self.unfinished and not status then head = head .. guard.failed(self, x) end
  if exchange.started(x) then return nil, nil, nil, logged or websocket.is(x) end
  return code, head, body, logged
end

return app
