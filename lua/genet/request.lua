--- Requests: what a handler is called with. Everything beyond the method and the path is worked
-- out when it is first asked for.
--
-- Fields: `method`, `path` (decoded), `params` (the rule's arguments by name), `args` (the query
-- string), `query` (the same, raw), `headers`, `form`, `remote_addr`, `remote_port`, `scheme`,
-- `host`, `url`, `id`, `route`, and `g`, a table for the script's own use. Reading `form` waits
-- for the body.
-- @module genet.request

local check = require "genet.check"
local exchange = require "genet.exchange"
local fields = require "genet.fields"
local http_error = require "genet.http_error"
local json = require "genet.json"
local response = require "genet.response"
local status = require "genet.status"
local url = require "genet.url"

local methods = {}
local lazy = {}

-- The body ------------------------------------------------------------------------------------

--- The whole body. Waits.
-- Raises a 413 when it is over the limit, a 400 when the client has gone.
-- @function req:body
-- @treturn string `""` when there is none
-- @usage return "you sent " .. #req:body() .. " bytes"
function methods:body()
  local body = self._body
  if not body then
    local reason
    body, reason = exchange.body(self._exchange)
    if not body then http_error.raise(reason) end
    self._body = body
  end
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

--- The body as JSON. Waits.
-- Raises a 415 when the request does not say that it is JSON, a 400 when it is broken.
-- @function req:json
-- @tparam[opt] table options `force`, to read it whatever its type; `silent`, to give nil
--   instead of raising
-- @return the value; `genet.json.null` for `null`
-- @usage local item = req:json()
function methods:json(options)
  options = options or {}
  local media = media_type(self)
  if not options.force and media ~= "application/json" and not media:find("^application/.*%+json$")
  then
    if options.silent then return nil end
    error(http_error.new(415, "the body is not application/json"), 0)
  end
  local value, problem = json.decode(self:body())
  if value ~= nil or options.silent then return value end
  error(http_error.new(400, "the body is not JSON: " .. problem), 0)
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

function lazy:form()
  local is_form = media_type(self) == "application/x-www-form-urlencoded"
  return fields.new(is_form and url.parse_query(self:body()) or {})
end

function lazy:remote_addr()
  return (exchange.remote_addr(self._exchange))
end

function lazy:remote_port()
  return (select(2, exchange.remote_addr(self._exchange)))
end

function lazy:id()
  return exchange.id(self._exchange)
end

function lazy:host()
  return exchange.host(self._exchange) or ""
end

function lazy:scheme()
  return exchange.scheme(self._exchange)
end

function lazy:tls()
  return exchange.tls(self._exchange)
end

function lazy:url()
  local query = self.query
  return self.scheme .. "://" .. self.host .. url.encode_path(self.path)
    .. (query ~= "" and "?" .. query or "")
end

function lazy.g()
  return {}
end

local Request = {__name = "genet.request"}

function Request.__index(self, key)
  local method = methods[key]
  if method then return method end
  local get = lazy[key]
  if not get then return nil end
  local value = get(self)
  self[key] = value
  return value
end

return Request
