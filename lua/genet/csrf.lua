--- Protection from forms that other sites have a browser send (CSRF): `req:csrf_token`,
-- `app:protect_forms`.
--
-- The session keeps a random token; a form sends it along in a field, a script in a header. Each
-- page gets it masked in another way, so that compressed pages do not give it away.
-- @module genet.csrf

local check = require "genet.check"
local config = require "genet.config"
local crypto = require "genet.crypto"
local http_error = require "genet.http_error"

local csrf = {}

local SIZE = 16

--- The token that a form of this page is to send along; the session keeps it.
-- @function req:csrf_token
-- @tparam Request req
-- @treturn string
-- @usage '<input type="hidden" name="csrf_token" value="' .. req:csrf_token() .. '">'
function csrf.token(req)
  local session = req.session
  local kept = session._csrf_token
  if not kept then
    kept = crypto.encode64(crypto.random(SIZE))
    session._csrf_token = kept
  end
  local mask = crypto.random(SIZE)
  return crypto.encode64(mask .. crypto.xor(mask, crypto.decode64(kept)))
end

local function refuse(problem)
  error(http_error.new(400, problem), 0)
end

--- Raises a 400 unless the token is one that `req:csrf_token` gave for this session.
-- @function req:check_csrf
-- @tparam Request req
-- @tparam ?string token
-- @usage req:check_csrf(req.args.token)
function csrf.check(req, token)
  local kept = req.session._csrf_token
  if not token or token == "" then refuse("the CSRF token is missing") end
  if not kept then refuse("the session has no CSRF token") end
  local bytes = #token < 100 and crypto.decode64(token) or ""
  if #bytes ~= 2 * SIZE
      or not crypto.equal(crypto.xor(bytes:sub(1, SIZE), bytes:sub(SIZE + 1)),
        crypto.decode64(kept)) then
    refuse("the CSRF token does not match")
  end
end

-- app:protect_forms -----------------------------------------------------------------------------

local UNSAFE = {POST = true, PUT = true, PATCH = true, DELETE = true}

-- What a form can send without asking, and so any page for any other.
local FORMS = {
  ["application/x-www-form-urlencoded"] = true,
  ["multipart/form-data"] = true,
  ["text/plain"] = true,
}

local OPTIONS = {exempt = "table", origins = "table", fetch_metadata = "boolean"}

local function set(list)
  local found = {}
  for _, item in ipairs(list or {}) do found[item] = true end
  return found
end

--- The setup of `app:protect_forms`, checked.
-- @tparam ?table options see `app:protect_forms`
-- @treturn table
-- @usage local forms = csrf.new{exempt = {"/hook"}}
function csrf.new(options)
  options = check.plain_options(options, "app:protect_forms", OPTIONS)
  return {
    exempt = set(options.exempt),
    origins = set(options.origins or config.site().form_origins),
    fetch_metadata = options.fetch_metadata,
  }
end

--- Whether a route is exempt, by its rule or its name.
-- @tparam table forms as `csrf.new` gives it
-- @tparam table route
-- @treturn boolean
-- @usage csrf.is_exempt(forms, route)
function csrf.is_exempt(forms, route)
  return forms.exempt[route.rule] or forms.exempt[route.name or route.rule] or false
end

local function media_type(req)
  return (req.headers.content_type or ""):match("^%s*([^;%s]*)"):lower()
end

-- A request without cookies and other things that a browser adds by itself does no harm, unless it
-- is a form: that may be one to log in.
local function is_in_danger(req)
  if not UNSAFE[req.method] then return false end
  local headers = req.headers
  local credentials = headers.authorization
  return headers.cookie ~= nil or credentials ~= nil and not credentials:lower():find("^bearer ")
    or FORMS[media_type(req)] or false
end

local function check_origin(forms, req)
  local origin = req.headers.origin
  if not origin or origin == "null" or forms.origins[origin] then return end
  local host = req.host:lower()
  local told = origin:lower():match("^%w+://(.*)$")
  if told == host or told and (told .. ":80" == host or told .. ":443" == host) then return end
  refuse("the request comes from another origin")
end

local function token_of(req)
  local headers = req.headers
  return headers.x_csrf_token or headers.x_csrftoken
    or FORMS[media_type(req)] and req.form.csrf_token
end

--- Raises a 400 for a request that another site may have sent. Waits for the form where the token
-- is not in a header.
-- @tparam table forms as `csrf.new` gives it
-- @tparam Request req
-- @usage csrf.protect(forms, req)
function csrf.protect(forms, req)
  if not is_in_danger(req) then return end
  check_origin(forms, req)
  if forms.fetch_metadata and req.headers.sec_fetch_site == "same-origin" then return end
  csrf.check(req, token_of(req))
end

return csrf
