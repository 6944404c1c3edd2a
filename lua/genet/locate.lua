--- Addresses of routes by their names: `app:url_for`, `req:url_for`, `genet.url_for`.
-- @module genet.locate

local config = require "genet.config"
local rules = require "genet.rule"
local url = require "genet.url"

local locate = {}

-- Not in the query string.
local OPTIONS = {_external = true, _scheme = true, _anchor = true, _host = true, _method = true}

local function outermost(app)
  while app.outer do app = app.outer end
  return app
end

-- The routes by their names; a name may stand for several rules.
local function index_of(app)
  local top = outermost(app)
  if top.named and top.named_count == #top.routes then return top.named end
  local named = {}
  for _, route in ipairs(top.routes) do
    local name = route.name
    if name then
      named[name] = named[name] or {}
      table.insert(named[name], route)
    end
  end
  top.named, top.named_count = named, #top.routes
  return named
end

local function takes(route, args, method)
  if method and not route.methods[method] then return false end
  for _, name in ipairs(route.names or rules.parse(route.rule).names) do
    if args[name] == nil then return false end
  end
  return true
end

-- Of several rules the first that has all its arguments.
local function choose(routes, args)
  for _, route in ipairs(routes) do
    if takes(route, args, args._method) then return route end
  end
  return routes[1]
end

local function group_of(endpoint)
  return endpoint and endpoint:match("^(.*)%.[^.]*$")
end

local function refuse(message, ...)
  error("url_for: " .. message:format(...), 0)
end

-- `.index` is a name of the same group.
local function whole_name(name, group)
  if name:sub(1, 1) ~= "." then return name end
  return group and group .. name or name:sub(2)
end

local function without_options(args)
  local plain = {}
  for name, value in pairs(args) do
    if not OPTIONS[name] then plain[name] = value end
  end
  return plain
end

local function origin(req, args)
  local site = config.site()
  local host = args._host or req and req.host or site.server_name
  if not host or host == "" then
    refuse("a whole address needs a request, or server_name in the configuration")
  end
  local scheme = args._scheme or req and req.scheme or site.preferred_url_scheme
  return scheme .. "://" .. host
end

local function build(app, req, group, name, args)
  if type(name) ~= "string" then refuse("the name is a %s: a string was expected", type(name)) end
  if type(args) ~= "table" then refuse("the arguments are a %s", type(args)) end
  name = whole_name(name, group)
  local routes = index_of(app)[name] or refuse("there is no route of the name '%s'", name)
  local route = choose(routes, args)
  local ok, path = pcall(rules.build, route.rule, without_options(args))
  if not ok then refuse("route '%s': %s", name, path) end
  if args._external or args._scheme or args._host then path = origin(req, args) .. path end
  local anchor = args._anchor
  if anchor ~= nil then path = path .. "#" .. url.encode_fragment(tostring(anchor)) end
  return path
end

local function address(app, req, group, name, args)
  local ok, result = pcall(build, app, req, group, name, args or {})
  if not ok then error(result, 3) end
  return result
end

--- The address of a route by its name.
-- @function App:url_for
-- @tparam string name as the route's option `name` says, after the name of its group and a dot; one
--   that begins with a dot is of this group, or of that of the request's route
-- @tparam ?table args the rule's arguments by name; others make a query string, where a list gives
--   several values. `_external` asks for a whole address, of the request's scheme and host, or of
--   `preferred_url_scheme` and `server_name` of the configuration; `_scheme` and `_host` for that
--   scheme or host; `_anchor` for a `#` and more; `_method` for a route of that method
-- @treturn string
-- @raise when there is no such route, or an argument is missing or unfit
-- @usage app:get("/item/<int:id>", {name = "item"}, function(req, id) return {id = id} end)
-- app:url_for("item", {id = 7, tag = {"a", "b"}}) --> "/item/7?tag=a&tag=b"
function locate.of_app(app, name, args)
  local req = require("genet.request").current()
  local group = app.full_name or group_of(req and req.endpoint)
  local path = address(app, req, group, name, args)
  return path -- no tail call: errors blame the caller
end

--- The address of a route, seen from a request, if there is one: `req:url_for`, `genet.url_for`.
-- @function req:url_for
-- @tparam ?Request req
-- @tparam string name
-- @tparam ?table args as of `app:url_for`
-- @treturn string
-- @usage return genet.redirect(req:url_for(".show", {id = 7, _anchor = "comments"}))
function locate.url_for(req, name, args)
  local app = req and req.app or require("genet.loader").app()
  if not app then error("url_for: the scripts are still being loaded", 2) end
  local path = address(app, req, group_of(req and req.endpoint), name, args)
  return path
end

return locate
