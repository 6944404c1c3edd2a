--- What an app does before and after its handlers when it has sessions: it checks forms, and keeps
-- the session of a request also when its handler fails. An app without them has nothing of this.
-- @module genet.guard

local config = require "genet.config"

local guard = {}

local getmetatable, rawget, type = getmetatable, rawget, type

-- A page and a table are answered on a path that looks at the request no more, so one with a
-- session says 200.
local function leave(req, body, code, headers)
  if code ~= nil or headers ~= nil or not rawget(req, "_finish") then return body, code, headers end
  local kind = type(body)
  if kind == "string" or kind == "table" and not getmetatable(body) then code = 200 end
  return body, code
end

local function wrap(handler, protect, forms)
  return function(req, ...)
    local _ <close> = req -- is noted in sessions.unfinished when the handler fails
    if forms then protect(forms, req) end
    return leave(req, handler(req, ...))
  end
end

local function check_exemptions(forms, routes)
  local known = {}
  for _, route in ipairs(routes) do
    known[route.rule] = true
    if route.name then known[route.name] = true end
  end
  for name in pairs(forms.exempt) do
    if not known[name] then
      error(("app:protect_forms: no route has the rule or the name '%s'"):format(name), 0)
    end
  end
end

--- Takes over what another app, whose routes are included, says of sessions and forms.
-- @tparam App app
-- @tparam App other
-- @raise when both say something
-- @usage guard.include(root, shop)
function guard.include(app, other)
  for _, field in ipairs{"session_options", "form_options"} do
    local mine, theirs = app[field], other[field]
    if mine and theirs and mine ~= theirs then
      error(("%s: sessions and the protection of forms are for all scripts, and have been set up "
        .. "at %s"):format(theirs.place, mine.place), 0)
    end
    app[field] = mine or theirs
  end
end

-- What `app:sessions` leaves out, the configuration tells.
local FROM_CONFIG = {
  name = "session_cookie_name",
  path = "session_cookie_path",
  domain = "session_cookie_domain",
  samesite = "session_cookie_samesite",
  secure = "session_cookie_secure",
  max_age = "session_lifetime",
  refresh = "session_refresh",
}

local function completed(given, settings)
  local options = {}
  for option, name in pairs(FROM_CONFIG) do options[option] = settings[name] end
  for option, value in pairs(given) do options[option] = value end
  return options
end

-- What has been said of the forms of a route: by its group, or one around that, or for all.
local function forms_of(app, route)
  local scope = route.scope
  while scope and scope.prefix do
    if scope.form_options then return scope.form_options end
    scope = scope.outer
  end
  return app.form_options
end

-- The first of those that some route has, or would have.
local function first_forms(app)
  if app.form_options then return app.form_options end
  for _, route in ipairs(app.routes) do
    local forms = forms_of(app, route)
    if forms then return forms end
  end
end

--- Puts itself around the handlers of an app whose routes are complete.
-- @tparam App app `session_options` and `form_options` say what is wanted
-- @usage guard.install(app)
function guard.install(app)
  local settings = config.site()
  local options, forms = app.session_options, first_forms(app)
  if not options and settings.secret_key then
    options = {place = "app.config.secret_key", given = {}}
  end
  if not options and not forms then return end
  if not options then error(forms.place .. ": app:protect_forms needs app:sessions", 0) end
  local csrf = require "genet.csrf"
  local ok, sessions = pcall(require("genet.session").new, completed(options.given, settings),
    settings.secret_key)
  if not ok then error(options.place .. ": " .. sessions, 0) end
  app.unfinished = {}
  sessions.unfinished = app.unfinished
  if forms then check_exemptions(forms.given, app.routes) end
  local seen = {[forms or false] = true}
  for _, route in ipairs(app.routes) do
    forms = forms_of(app, route)
    if forms and not seen[forms] then check_exemptions(forms.given, app.routes) end
    seen[forms or false] = true
    local checked = forms and not csrf.is_exempt(forms.given, route) and forms.given
    route.sessions = sessions
    route.handler = wrap(route.handler, csrf.protect, checked)
  end
end

--- The header lines that the session of a failed request adds to its answer.
-- @tparam App app
-- @tparam integer x the number of the exchange
-- @treturn string
-- @usage head = head .. guard.failed(app, x)
function guard.failed(app, x)
  local req = app.unfinished[x]
  app.unfinished[x] = nil
  local finish = req and rawget(req, "_finish")
  if not finish then return "" end
  local ok, lines = pcall(finish, req)
  return ok and lines or ""
end

return guard
