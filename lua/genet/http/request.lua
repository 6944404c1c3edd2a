--- Requests as they are going to be sent: made of a URL and options, all of which are checked here,
-- before anything goes to the network.
-- @module genet.http.request

local address = require "genet.http.address"
local core = require "genet.core"
local json = require "genet.json"
local mime = require "mime"
local redirect = require "genet.http.redirect"

local request = {}

local Request = {__name = "genet.http.request"}
Request.__index = Request

local function refuse(message, ...)
  error(message:format(...), 0)
end

-- Options -------------------------------------------------------------------------------------

local function of_type(...)
  local kinds = {...}
  return function(value)
    for _, kind in ipairs(kinds) do
      if type(value) == kind then return nil end
    end
    return table.concat(kinds, " or a ")
  end
end

local function seconds(value)
  return not (type(value) == "number" and value > 0) and "number of seconds above 0" or nil
end

local function count(value)
  return not (math.type(value) == "integer" and value >= 0) and "integer from 0 on" or nil
end

local function redirects(value)
  return value ~= false and count(value) or nil
end

local DEFAULTS = {
  headers = of_type("table"), auth = of_type("table"),
  timeout = seconds, connect_timeout = seconds,
  redirects = redirects, downgrade = of_type("boolean"),
  verify = of_type("boolean"), ca = of_type("string"),
  cert = of_type("string"), key = of_type("string"),
  max_head = count, max_body = count,
}

local OF_REQUESTS = {
  method = of_type("string"), url = of_type("string"), query = of_type("table"),
  body = of_type("string", "function"), form = of_type("table"), json = function() end,
  stream = of_type("boolean"),
}

local OF_CLIENTS = {
  base_url = of_type("string"), max_idle = count, max_idle_per_host = count,
  idle_timeout = seconds,
}

local function check(options, own)
  if type(options) ~= "table" then
    refuse("options: a table was expected, not a %s", type(options))
  end
  for name, value in pairs(options) do
    local wrong = own[name] or DEFAULTS[name]
    if not wrong then refuse("unknown option '%s'", tostring(name)) end
    local expected = wrong(value)
    if expected then
      refuse("option '%s': a %s was expected, not %s", name, expected,
        type(value) == "number" and value or "a " .. type(value))
    end
  end
end

-- Headers -------------------------------------------------------------------------------------

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"

-- Headers that are about the connection, which is not the caller's.
local REFUSED = {
  ["keep-alive"] = true,
  ["proxy-connection"] = true,
  te = true,
  trailer = true,
  ["transfer-encoding"] = true,
  upgrade = true,
}

-- Not to be told to another origin.
local SECRET = {authorization = true, cookie = true, ["proxy-authorization"] = true}

local function check_value(name, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then
    refuse("option 'headers': %s is a %s, a string or a number was expected", name, kind)
  end
  if tostring(value):find("[%z\1-\8\10-\31\127]") then
    refuse("option 'headers': %s has a control character in its value", name)
  end
end

-- Sets `headers[name]` to a list of values, the name in lower case beside the one to be sent.
local function set(headers, name, value)
  headers[name:lower()] = {name = name, table.unpack(type(value) == "table" and value or {value})}
end

local function add_headers(headers, given)
  for name, value in pairs(given) do
    if type(name) ~= "string" or not name:find(TOKEN) then
      refuse("option 'headers': bad header name %q", tostring(name))
    end
    local key = name:lower()
    if REFUSED[key] or key == "connection" and value ~= "close" then
      refuse("option 'headers': %s is the client's to send", name)
    end
    for _, item in ipairs(type(value) == "table" and value or {value}) do
      check_value(name, item)
    end
    set(headers, name, value)
  end
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function basic(user, password)
  return "Basic " .. mime.b64(user .. ":" .. password)
end

-- The Authorization that `auth` or the user in the URL asks for.
local function authorization(auth, user)
  if auth and auth.bearer then
    local token = auth.bearer
    if type(token) ~= "string" or token:find("[^\33-\126]") then
      refuse("option 'auth': 'bearer' is no token")
    end
    return "Bearer " .. token
  end
  if auth then
    local name, password = auth.user or auth[1], auth.password or auth[2]
    if type(name) ~= "string" or type(password) ~= "string" or name:find("[:%c]") then
      refuse("option 'auth': {user, password} or {bearer = token} was expected")
    end
    return basic(name, password)
  end
  local name, password = (user or ""):match("^([^:]*):?(.*)$")
  return user and basic(decode(name), decode(password))
end

-- Bodies --------------------------------------------------------------------------------------

local BODIES = {"body", "form", "json"}

local function encode(what, encoder, value)
  local ok, text = pcall(encoder, value)
  return ok and text or refuse("option '%s': %s", what, text)
end

-- The body that the options give, and its type where that is known.
local function body_of(options)
  local given
  for _, name in ipairs(BODIES) do
    if options[name] ~= nil then
      if given then refuse("option '%s': there is a '%s' already", name, given) end
      given = name
    end
  end
  if given == "form" then
    return encode(given, address.query, options.form), "application/x-www-form-urlencoded"
  end
  if given == "json" then return encode(given, json.encode, options.json), "application/json" end
  return options.body
end

-- What the headers say of the length must be so; a function's body has the length they say.
local function check_length(headers, body)
  local given = headers["content-length"]
  if not given then return nil end
  headers["content-length"] = nil
  local text = tostring(given[1])
  local length = text:find("^%d+$") and math.tointeger(tonumber(text))
  if #given > 1 or not length then refuse("option 'headers': bad Content-Length") end
  if type(body) ~= "function" and length ~= #(body or "") then
    refuse("option 'headers': Content-Length is %d, the body has %d bytes", length, #(body or ""))
  end
  return length
end

-- Making --------------------------------------------------------------------------------------

local function parse(text, base)
  if type(text) ~= "string" then
    refuse("argument 'url': a string was expected, not a %s", type(text))
  end
  if text:find("%c") then refuse("argument 'url': it has a control character") end
  local parts, problem = address.parse(base and address.resolve(base, text) or text)
  return parts or refuse("argument 'url': %q: %s", text, problem)
end

local function add_query(parts, query)
  local text = query and encode("query", address.query, query) or ""
  if text == "" then return end
  parts.target = parts.target .. (parts.target:find("?", 1, true) and "&" or "?") .. text
end

local function method_of(text)
  if not text:find(TOKEN) then refuse("option 'method': bad method %q", text) end
  local method = text:upper()
  if method == "CONNECT" then refuse("option 'method': there are no tunnels") end
  return method
end

local function headers_of(defaults, options, body_type)
  local headers = {}
  add_headers(headers, {["User-Agent"] = "genet/" .. core.version, Accept = "*/*"})
  if body_type then set(headers, "Content-Type", body_type) end
  add_headers(headers, defaults.headers or {})
  add_headers(headers, options.headers or {})
  return headers
end

local BUILT_IN = {
  timeout = 60, connect_timeout = 10, redirects = 10, downgrade = false, verify = true,
  max_head = 65536, max_body = 67108864,
}

-- What neither the request nor the client says.
local function settings(defaults, options)
  local chosen = {stream = options.stream or false}
  for name in pairs(DEFAULTS) do
    local value = options[name]
    if value == nil then value = defaults[name] end
    if value == nil then value = BUILT_IN[name] end
    chosen[name] = value
  end
  chosen.redirects = chosen.redirects or 0
  return chosen
end

--- Checks the options of a client. Raises a sentence that names the one that is wrong.
-- @tparam table options
-- @treturn table a copy, `base_url` taken apart
-- @usage request.defaults{timeout = 5}
function request.defaults(options)
  check(options, OF_CLIENTS)
  local defaults = {}
  for name, value in pairs(options) do defaults[name] = value end
  add_headers({}, options.headers or {})
  if options.auth then authorization(options.auth) end
  if options.base_url then
    local problem
    defaults.base_url, problem = address.parse(options.base_url)
    if problem then refuse("option 'base_url': %s", problem) end
  end
  return defaults
end

--- A request. Raises a sentence that names the argument or option that is wrong.
-- @tparam table defaults of `request.defaults`
-- @tparam table options see `genet.http`
-- @treturn Request
-- @usage request.new({}, {method = "GET", url = "http://127.0.0.1/"})
function request.new(defaults, options)
  check(options, OF_REQUESTS)
  local parts = parse(options.url, defaults.base_url)
  add_query(parts, options.query)
  local body, body_type = body_of(options)
  local headers = headers_of(defaults, options, body_type)
  local named = headers.authorization ~= nil
  local secret = authorization(options.auth or not named and defaults.auth or nil,
    not named and parts.user)
  if secret then set(headers, "Authorization", secret) end
  return setmetatable({
    method = method_of(options.method or "GET"),
    parts = parts,
    headers = headers,
    body = body,
    length = check_length(headers, body),
    settings = settings(defaults, options),
  }, Request)
end

-- Using ---------------------------------------------------------------------------------------

local IDEMPOTENT = {
  GET = true, HEAD = true, OPTIONS = true, TRACE = true, PUT = true, DELETE = true,
}

--- Whether it may be sent a second time without asking (RFC 9110, 9.2.2).
-- @treturn boolean
-- @usage if req:is_idempotent() then send_again() end
function Request:is_idempotent()
  return IDEMPOTENT[self.method] == true and type(self.body) ~= "function"
end

local HAS_BODY = {POST = true, PUT = true, PATCH = true}

local function framing(self)
  if type(self.body) == "function" and not self.length then
    return "Transfer-Encoding: chunked\r\n"
  end
  local length = self.length or #(self.body or "")
  if not self.body and not HAS_BODY[self.method] then return "" end
  return ("Content-Length: %d\r\n"):format(length)
end

--- The bytes of its head.
-- @treturn string
-- @usage connection:send(req:head())
function Request:head()
  local lines, headers = {}, self.headers
  lines[1] = ("%s %s HTTP/1.1\r\n"):format(self.method, self.parts.target)
  if not headers.host then lines[2] = "Host: " .. address.authority(self.parts) .. "\r\n" end
  for _, values in pairs(headers) do
    for _, value in ipairs(values) do
      lines[#lines + 1] = values.name .. ": " .. value .. "\r\n"
    end
  end
  return table.concat(lines) .. framing(self) .. "\r\n"
end

--- Whether the connection is to end with it.
-- @treturn boolean
-- @usage if req:closes() then connection:close() end
function Request:closes()
  return self.headers.connection ~= nil
end

local function drop_body(self)
  self.body, self.length = nil, nil
  for name in pairs(self.headers) do
    if name:find("^content%-") then self.headers[name] = nil end
  end
end

local function drop_secrets(self)
  for name in pairs(SECRET) do self.headers[name] = nil end
  self.headers.host = nil
end

--- Makes it the request that follows a redirect.
-- @tparam integer status of the redirect
-- @tparam string location
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why it cannot be followed
-- @usage local ok, err = req:follow(302, "/elsewhere")
function Request:follow(status, location)
  local to, problem = redirect.target(self.parts, location, self.settings.downgrade)
  if not to then return nil, problem end
  local method = redirect.method(status, self.method)
  if status == 303 or method ~= self.method then drop_body(self) end
  if type(self.body) == "function" then
    return nil, "cannot follow a redirect: the body cannot be sent again"
  end
  if address.origin(to) ~= address.origin(self.parts) then drop_secrets(self) end
  self.method, self.parts = method, to
  return true
end

--- The URL it goes to.
-- @treturn string
-- @usage req:url()
function Request:url()
  return address.write(self.parts)
end

return request
