--- Requests: what a handler is called with. Everything beyond the method and the path is worked
-- out when it is first asked for.
--
-- Fields: `method`, `path` (decoded), `params` (the rule's arguments by name), `args` (the query
-- string), `query` (the same, raw), `headers`, `cookies`, `form`, `files` (see `genet.upload`),
-- `session` (see `genet.session`), `remote_addr`, `remote_port`, `scheme`, `host`, `url`, `id`,
-- `route`, `app`, and `g`, a table for the script's own use, with `g:get(name, default)`. Reading
-- `form` or `files` waits for the body.
--
-- And, as in Flask: `endpoint`, the name of the route, and `blueprint`, that of its group;
-- `full_path`, the path with the query string; `base_url`, the address without it; `host_url`, that
-- of the front page; `is_secure`; `content_type`, `content_length`, `mimetype` and `is_json`;
-- `referrer`, `user_agent`; `authorization`, a table with `type` and `token`, or `username` and
-- `password`; `access_route`, the addresses that trusted proxies tell of, the client's first.
--
-- What a form may have can be set before it is read: `max_form_parts`, fields and files together
-- (1000); `max_form_files` (100); `max_form_memory_size`, bytes of its fields (500000). The
-- configuration may say otherwise for all requests.
-- @module genet.request

local check = require "genet.check"
local config = require "genet.config"
local cookie = require "genet.cookie"
local exchange = require "genet.exchange"
local fields = require "genet.fields"
local form = require "genet.form"
local http_error = require "genet.http_error"
local json = require "genet.json"
local proxy = require "genet.proxy"
local response = require "genet.response"
local status = require "genet.status"
local text = require "genet.text"
local url = require "genet.url"

local methods = {}
local lazy = {}

-- The body ------------------------------------------------------------------------------------

-- Reads no more of the body than it takes to see that it is too large.
local function read_up_to(self, most)
  local pieces, size = {}, 0
  for piece in function() return self:read() end do
    size = size + #piece
    if size > most then http_error.raise("too large") end
    pieces[#pieces + 1] = piece
  end
  return table.concat(pieces)
end

local function read_all(self)
  local body, reason = exchange.body(self._exchange)
  if not body then http_error.raise(reason) end
  return body
end

--- The whole body. Waits.
-- Raises a 413 when it is over the limit, a 400 when the client has gone.
-- @function req:body
-- @tparam ?integer most bytes it may have, beside the limit of the route
-- @treturn string `""` when there is none
-- @usage return "you sent " .. #req:body() .. " bytes"
function methods:body(most)
  local body = self._body
  if not body then
    body = most and read_up_to(self, most) or read_all(self)
    self._body = body
  end
  if most and #body > most then http_error.raise("too large") end
  return body
end

--- The next piece of the body. Waits.
-- Raises as `req:body` does.
-- @function req:read
-- @tparam ?integer n the most bytes to read, 65536 unless told
-- @treturn[1] string at least one byte
-- @treturn[2] nil at the end of the body
-- @usage local magic = req:read(4)
function methods:read(n)
  if n ~= nil then check.count(n, "req:read", 1) end
  local piece, reason = exchange.read(self._exchange, n or 65536)
  if reason then http_error.raise(reason) end
  return piece
end

--- An iterator over the body, piece by piece as it comes. Each step waits, and raises as `req:body`
-- does; what the handler does not read yet stays with the client.
-- @function req:chunks
-- @tparam ?integer n the most bytes of a piece, 65536 unless told
-- @treturn function
-- @usage for chunk in req:chunks() do file:write(chunk) end
function methods:chunks(n)
  if n ~= nil then check.count(n, "req:chunks", 1) end
  return function() return self:read(n) end
end

local function media_type(self)
  local content_type = self.headers.content_type or ""
  return content_type:match("^%s*([^;%s]*)"):lower()
end

local JSON_OPTIONS = {
  force = "boolean",
  silent = "boolean",
  max_depth = "number",
  max_size = "number",
}

--- The body as JSON. Waits.
-- Raises a 415 when the request does not say that it is JSON, a 400 when it is broken or too deep,
-- a 413 when it is too large.
-- @function req:json
-- @tparam[opt] table options `force`, to read it whatever its type; `silent`, to give nil
--   instead of raising; `max_depth`, how deep arrays and objects may lie in each other
--   (`max_json_depth` of the configuration, 1000); `max_size`, bytes it may have (`max_json_size`
--   of the configuration, else the limit of the body)
-- @return the value; `genet.json.null` for `null`
-- @usage local item = req:json{max_size = 10000}
function methods:json(options)
  options = check.options(options, "req:json", JSON_OPTIONS)
  if not options.force and not self.is_json then
    if options.silent then return nil end
    error(http_error.new(415, "the body is not application/json"), 0)
  end
  local settings = config.site()
  local value, problem = json.decode(self:body(options.max_size or settings.max_json_size),
    options.max_depth or settings.max_json_depth)
  if value ~= nil or options.silent then return value end
  error(http_error.new(400, "the body is not JSON: " .. problem), 0)
end

methods.get_json = methods.json

--- The parts of a form with files (`multipart/form-data`) as they come, so that none is kept: see
-- `genet.multipart` for what they have. Instead of `form` and `files`. Waits.
-- @function req:parts
-- @tparam[opt] table options `max_form_parts`, `max_form_memory_size`, of what `part:read` gives,
--   `max_part_head`, bytes of the head of a part (8192)
-- @treturn function an iterator
-- @usage for part in req:parts() do
--   if part.filename then assert(part:save("uploads/" .. part:safe_name())) end
-- end
function methods:parts(options)
  return form.parts(self, check.options(options, "req:parts", {
    max_form_parts = "number",
    max_form_memory_size = "number",
    max_part_head = "number",
  }))
end

-- Sessions ------------------------------------------------------------------------------------

local function later(module, name)
  return function(...) return require(module)[name](...) end
end

methods.flash = later("genet.flash", "add")
methods.flashed = later("genet.flash", "take")
methods.csrf_token = later("genet.csrf", "token")
methods.check_csrf = later("genet.csrf", "check")
methods.render = later("genet.render", "for_request")
methods.url_for = later("genet.locate", "url_for")

function lazy:session()
  local sessions = self.route.sessions
  if not sessions then error("this app has no sessions: call app:sessions", 0) end
  return sessions:open(self)
end

-- Writing by hand -----------------------------------------------------------------------------

--- Begins an answer that is then written piece by piece with `req:write`.
-- @function req:start
-- @tparam ?integer code 200 unless told
-- @tparam ?table headers
-- @usage req:start(200, {["Content-Type"] = "text/plain"})
function methods:start(code, headers)
  if exchange.started(self._exchange) then error("the answer has been started already", 2) end
  response.begin(self, status.check(code or 200), response.head(response.HTML, headers))
end

--- Writes a piece of the answer, after `req:start` if need be. Waits when the client is slow.
-- Raises when the client has gone, which ends a handler that has nobody left to write for.
-- @function req:write
-- @tparam string data
-- @usage for i = 1, 3 do req:write("line " .. i .. "\n") genet.sleep(1) end
function methods:write(data)
  local kind = type(data)
  if kind ~= "string" and kind ~= "number" then
    error(("a string was expected to write, not a %s"):format(kind), 2)
  end
  if not exchange.started(self._exchange) then self:start() end
  local ok, reason = exchange.write(self._exchange, data)
  if not ok then http_error.raise(reason) end
end

-- Fields ------------------------------------------------------------------------------------

function lazy:params()
  local params, values = {}, self._values
  for at, name in ipairs(self.route.names) do params[name] = values[at] end
  return params
end

function lazy:query()
  return exchange.query(self._exchange) or ""
end

function lazy:args()
  return fields.new(url.parse_query(self.query))
end

function lazy:headers()
  return fields.headers(self._exchange)
end

function lazy:cookies()
  return fields.new(cookie.parse(self.headers:getlist("cookie")))
end

function lazy.max_form_parts() return config.site().max_form_parts end
function lazy.max_form_files() return config.site().max_form_files end
function lazy.max_form_memory_size() return config.site().max_form_memory_size end

function lazy:form()
  local media = media_type(self)
  if media == "application/x-www-form-urlencoded" then return form.urlencoded(self) end
  if media ~= "multipart/form-data" then return fields.new{} end
  local values, files = form.multipart(self)
  self.files = files
  return values
end

function lazy:files()
  local _ = self.form
  return rawget(self, "files") or fields.new{}
end

local NOTHING = {}

-- What trusted proxies tell of the client.
function lazy:_told()
  return proxy.active and proxy.told(self) or NOTHING
end

function lazy:remote_addr()
  return self._told.addr or (exchange.remote_addr(self._exchange))
end

-- A proxy that tells an address mostly tells no port.
function lazy:remote_port()
  local told = self._told
  if told.addr then return told.port end
  return (select(2, exchange.remote_addr(self._exchange)))
end

function lazy:id()
  return proxy.active and proxy.request_id(self) or exchange.id(self._exchange)
end

function lazy:host()
  return self._told.host or exchange.host(self._exchange) or ""
end

function lazy:scheme()
  return self._told.scheme or exchange.scheme(self._exchange)
end

function lazy:tls()
  return exchange.tls(self._exchange)
end

function lazy:url()
  local query = self.query
  return query ~= "" and self.base_url .. "?" .. query or self.base_url
end

lazy.mimetype = media_type

function lazy:is_json()
  local media = self.mimetype
  return media == "application/json" or media:find("^application/.*%+json$") ~= nil
end

function lazy:content_type() return self.headers.content_type end

function lazy:content_length() return math.tointeger(tonumber(self.headers.content_length)) end

function lazy:referrer() return self.headers.referer end

function lazy:user_agent() return self.headers.user_agent end

function lazy:is_secure() return self.scheme == "https" end

function lazy:endpoint() return self.route.name end

function lazy:blueprint() return (self.route.name or ""):match("^(.*)%.") end

function lazy:app()
  local app = self.route.scope
  while app and app.outer do app = app.outer end
  return app or require("genet.loader").app()
end

function lazy:host_url() return self.scheme .. "://" .. self.host .. "/" end

function lazy:base_url() return self.scheme .. "://" .. self.host .. url.encode_path(self.path) end

function lazy:full_path() return url.encode_path(self.path) .. "?" .. self.query end

-- What a trusted proxy tells; the header of anybody else is not looked at.
function lazy:access_route()
  local forwarded = self._told.addr and self.headers:getlist("x-forwarded-for") or {}
  local list = text.split(table.concat(forwarded, ","), ",")
  return list[1] and list[1] ~= "" and list or {self.remote_addr}
end

local function basic(credentials)
  local text64 = credentials:gsub("=+$", ""):gsub("[+/]", {["+"] = "-", ["/"] = "_"})
  local decoded = require("genet.crypto").decode64(text64) or ""
  local username, password = decoded:match("^([^:]*):(.*)$")
  return username and {type = "basic", username = username, password = password}
end

function lazy:authorization()
  local kind, rest = (self.headers.authorization or ""):match("^(%S+)[ \t]+(.-)[ \t]*$")
  if not kind then return nil end
  kind = kind:lower()
  if kind == "basic" then return basic(rest) or nil end
  return {type = kind, token = rest}
end

local Global = {__name = "genet.g"}
Global.__index = {}

-- What is there under a name, or else what stands in for it.
function Global.__index.get(self, name, default)
  local value = rawget(self, name)
  if value == nil then return default end
  return value
end

function lazy.g()
  return setmetatable({}, Global)
end

local Request = {__name = "genet.request"}

--- The requests that are being answered, by the place of their exchange.
Request.live = setmetatable({}, {__mode = "v"})

--- The bits of an exchange's number that tell its place.
Request.SLOT = 0xffffff

--- The request that the running handler answers, or the one whose handler has started the running
-- task.
-- @treturn[1] Request
-- @treturn[2] nil outside a request, or when it has been answered
-- @usage local req = Request.current()
function Request.current()
  local x = exchange.current()
  local req = x and Request.live[x & Request.SLOT]
  return req and req._exchange == x and req or nil
end

function Request.__index(self, key)
  local method = methods[key]
  if method then return method end
  local get = lazy[key]
  if not get then return nil end
  local value = get(self)
  self[key] = value
  return value
end

-- The handler of an app with sessions has it as a variable to be closed: see `genet.guard`.
function Request.__close(self, err)
  if err ~= nil then self.route.sessions.unfinished[self._exchange] = self end
end

return Request
