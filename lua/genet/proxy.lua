--- What trusted proxies tell of the clients behind them: `X-Forwarded-For`, `X-Forwarded-Proto`
-- and `X-Forwarded-Host`, or `Forwarded` (RFC 7239).
--
-- Nothing is believed unless the connection comes from a trusted peer. Of the addresses that were
-- passed on, the right-most that is no trusted proxy is the client's: what stands left of it could
-- come from anybody. The scheme and the host are those that the nearest proxy tells, or with
-- `Forwarded` those that are told together with the client's address.
--
-- A trusted proxy must set or remove every one of these headers. A request whose `Forwarded` and
-- `X-Forwarded-*` tell different things is refused with a 400: one of them is the client's own.
-- @module genet.proxy

local address = require "genet.address"
local exchange = require "genet.exchange"
local fields = require "genet.fields"
local http_error = require "genet.http_error"
local text = require "genet.text"

local proxy = {}

local MOST_HOPS = 50

local trusted = {}

--- Says whose word counts, for all requests of the running scripts.
-- @tparam {string,...}|string|nil ranges `ADDR`, `ADDR/BITS` or `unix`; a string has them with
--   commas between
-- @raise when one of them is something else
-- @usage proxy.trust{"127.0.0.1", "10.0.0.0/8"}
function proxy.trust(ranges)
  local list = {}
  if type(ranges) == "table" then ranges = table.concat(ranges, ",") end
  for word in (ranges or ""):gmatch("[^,%s]+") do
    local range, problem = address.range(word)
    if not range then error("trusted_proxies: " .. problem, 0) end
    list[#list + 1] = range
  end
  trusted = list
  proxy.active = #list > 0
end

local function is_trusted(bytes)
  for _, range in ipairs(trusted) do
    if address.within(bytes, range) then return true end
  end
  return false
end

local function is_trusted_peer(peer)
  if peer == "unix:" then
    for _, range in ipairs(trusted) do
      if range.unix then return true end
    end
    return false
  end
  local bytes = address.parse(peer)
  return bytes ~= nil and is_trusted(bytes)
end

-- What is told ---------------------------------------------------------------------------------

-- The values of a comma-separated header; nil when it was not sent.
local function list(headers, name)
  local lines = headers:getlist(name)
  if #lines == 0 then return nil end
  return text.split(table.concat(lines, ","), ",")
end

local function scheme_of(word)
  word = word and word:lower()
  return (word == "http" or word == "https") and word or nil
end

local function host_of(word)
  local name = word and word:match("^([^:]+):?%d*$")
  if name and name:find("^[%w._~-]+$") then return word end
  local literal = word and word:match("^%[([^%]]+)%]:?%d*$")
  return literal and address.parse(literal) and word or nil
end

-- The hop that is the client: the index, the bytes and the port. None when even the nearest tells
-- nothing that is an address.
local function client_of(hops)
  local at, bytes, port
  for index = #hops, math.max(1, #hops - MOST_HOPS), -1 do
    local b, p = address.parse_node(hops[index])
    if not b then return at, bytes, port end
    at, bytes, port = index, b, p
    if not is_trusted(b) then break end
  end
  return at, bytes, port
end

local function from_x_forwarded(headers)
  local hops = list(headers, "x-forwarded-for")
  local schemes = list(headers, "x-forwarded-proto")
  local hosts = list(headers, "x-forwarded-host")
  if not hops and not schemes and not hosts then return nil end
  local _, bytes, port = client_of(hops or {})
  return {
    addr = bytes and address.format(bytes),
    port = port,
    scheme = schemes and scheme_of(schemes[#schemes]),
    host = hosts and host_of(hosts[#hosts]),
  }
end

-- One pair of `Forwarded` from `from`: its name, its value, and where what follows begins.
local function pair_at(header, from)
  local name, after = header:match("^[ \t]*([%w!#$%%&'*+.^_`|~-]+)=()", from)
  if not name then return nil end
  local value, stop = header:match("^([%w!#$%%&'*+.^_`|~:%[%]-]+)()", after)
  if not value then
    value, stop = header:match('^"([^"\\]*)"()', after) -- nothing that is told needs a backslash
  end
  return name:lower(), value, stop
end

-- The elements of `Forwarded`, tables of pairs; nil when it is broken.
local function elements(header)
  local found, element, at = {}, {}, 1
  while true do
    local name, value, stop = pair_at(header, at)
    if name and (not value or element[name]) then return nil end
    if name then element[name] = value end
    local mark, after = header:match("^[ \t]*([;,]?)()", stop or at)
    if mark ~= ";" then
      found[#found + 1], element = element, {}
      if mark == "" then return after > #header and found or nil end
    end
    at = after
  end
end

local function from_forwarded(headers)
  local lines = headers:getlist("forwarded")
  if #lines == 0 then return nil end
  local found = elements(table.concat(lines, ","))
  if not found then error(http_error.new(400, "the header Forwarded is broken"), 0) end
  local hops = {}
  for at, element in ipairs(found) do hops[at] = element["for"] or "unknown" end
  local at, bytes, port = client_of(hops)
  local told = found[at or #found]
  return {
    addr = bytes and address.format(bytes),
    port = port,
    scheme = scheme_of(told.proto),
    host = host_of(told.host),
  }
end

local function agree(one, other)
  return one.addr == other.addr and one.scheme == other.scheme and one.host == other.host
end

--- What trusted proxies tell of a request.
-- @tparam Request req
-- @treturn[1] table `addr`, `port`, `scheme` and `host`, each nil when it is not told
-- @treturn[2] nil when the peer is not trusted, or tells nothing
-- @raise a 400 when two headers contradict each other
-- @usage local told = proxy.told(req)
function proxy.told(req)
  if not is_trusted_peer((exchange.remote_addr(req._exchange))) then return nil end
  local headers = req.headers
  local old, new = from_x_forwarded(headers), from_forwarded(headers)
  if old and new and not agree(old, new) then
    error(http_error.new(400, "the headers Forwarded and X-Forwarded-* contradict each other"), 0)
  end
  return old or new
end

--- The id that a trusted proxy has given a request, in `X-Request-Id`.
-- @tparam Request req
-- @treturn[1] string 128 bytes at most, without blanks
-- @treturn[2] nil
-- @usage local id = proxy.request_id(req)
function proxy.request_id(req)
  local id = exchange.header(req._exchange, "X-Request-Id")
  if not id or #id > 128 or not id:find("^[%w!#$%%&'*+./:=@^_`|~-]+$") then return nil end
  return is_trusted_peer((exchange.remote_addr(req._exchange))) and id or nil
end

-- Headers that contradict each other are an affair of who asks for the address.
local function identify(x)
  local req = {_exchange = x, headers = fields.headers(x)}
  local ok, told = pcall(proxy.told, req)
  exchange.identify(x, proxy.request_id(req), ok and told and told.addr or nil)
end

--- Has the host told of each request's client and id what trusted proxies tell, where it matters.
-- @tparam App app
-- @usage proxy.install(app)
function proxy.install(app)
  if not proxy.active then return end
  local dispatch = app.dispatch
  function app.dispatch(self, x, ...)
    if exchange.observed(x) then identify(x) end
    return dispatch(self, x, ...)
  end
end

return proxy
