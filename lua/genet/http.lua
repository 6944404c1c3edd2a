--- An HTTP client: connections are kept and shared, certificates are checked, everything has a
-- deadline, and whatever waits lets others run.
--
--     local response, err = genet.http.get("https://example.com/items", {query = {page = 2}})
--     if not response then return "no items: " .. err, 502 end
--     local items = response:json()
--
-- The world's failures are `nil, err`, and `err` begins with what failed: `cannot resolve`,
-- `cannot connect to`, `timeout`, `TLS handshake`, `certificate verify failed`, `no response`,
-- `bad response`, `body cut short`, `body too large`, `bad redirect`, `too many redirects`.
-- A wrong argument or option raises an error that names it; so do line breaks in a URL or a header.
--
-- Options of a request:
--
-- - `method` ("GET"), `url`, `query` (a table of fields), `headers` (a table; an array gives
--   several lines)
-- - `body`: a string, or a function whose calls give strings and then nil (sent in chunks, or as
--   it is when the headers have a Content-Length); instead of it `json` or `form`, a table
-- - `stream`: the response comes with its head, its body is read with `read` and `chunks`
-- - `timeout` (60): seconds for all of it; of a stream, for the head and then for each piece
-- - `connect_timeout` (10): seconds to resolve, to connect and to shake hands
-- - `redirects` (10): how many to follow; `downgrade`: also from https to http
-- - `auth`: `{user, password}` or `{bearer = token}`, which a redirect elsewhere does not learn
-- - `verify` (true), `ca` (a file or directory of authorities instead of the system's), `cert` and
--   `key` (of the client; PEM files)
-- - `max_head` (64 KB), `max_body` (64 MB; not for streams): larger ones are errors
--
-- Options of a client: `base_url`, `max_idle` (100 connections kept in all), `max_idle_per_host`
-- (20), `idle_timeout` (30 seconds), and as defaults `headers auth timeout connect_timeout
-- redirects downgrade verify ca cert key max_head max_body`.
--
-- There are no proxies, no cookie jar and no decompression.
-- @module genet.http

local address = require "genet.http.address"
local call = require "genet.http.call"
local pool = require "genet.http.pool"
local request = require "genet.http.request"
local tls = require "genet.http.tls"

local http = {}

local Client = {__name = "genet.http.client"}
Client.__index = Client

-- What makes connections over TLS differ.
local function tls_key(settings)
  return table.concat({
    tostring(settings.verify), settings.ca or "", settings.cert or "", settings.key or "",
  }, "\0")
end

--- A client with defaults and connections of its own.
-- @function http.client
-- @tparam ?table options see above
-- @treturn Client
-- @usage local api = http.client{base_url = "https://api.example.com/v1/", timeout = 5}
-- local item = assert(api:get("items/1")):json()
function http.client(options)
  local ok, defaults = pcall(request.defaults, options or {})
  if not ok then error(defaults, 2) end
  return setmetatable({
    defaults = defaults,
    contexts = {},
    pool = pool.new{
      max_idle = defaults.max_idle or 100,
      max_idle_per_host = defaults.max_idle_per_host or 20,
      idle_timeout = defaults.idle_timeout or 30,
    },
  }, Client)
end

-- The settings of TLS for a request, made once; nil and why there are none.
function Client:_context(settings)
  local key = tls_key(settings)
  if self.contexts[key] then return self.contexts[key] end
  local context, problem = tls.context(settings)
  self.contexts[key] = context
  return context, problem
end

-- Whom a request's connections lead to.
function Client._key(_, req)
  local origin = address.origin(req.parts)
  if req.parts.scheme == "http" then return origin end
  return origin .. "\0" .. tls_key(req.settings)
end

-- A request for a caller two levels up, who is to blame for what is wrong with it.
local function run(client, options)
  local ok, req = pcall(request.new, client.defaults, options)
  if not ok then error(req, 3) end
  return call.run(client, req)
end

--- Makes a request. Waits.
-- @function client:request
-- @tparam table options see above
-- @treturn[1] Response see `genet.http.response`
-- @treturn[2] nil
-- @treturn[2] string why there is none
-- @usage api:request{method = "OPTIONS", url = "items"}
function Client:request(options)
  local response, problem = run(self, options)
  return response, problem
end

local function with_method(method)
  return function(self, url, options)
    if options ~= nil and type(options) ~= "table" then
      error(("argument 'options': a table was expected, not a %s"):format(type(options)), 2)
    end
    local all = {}
    for name, value in pairs(options or {}) do all[name] = value end
    if url == nil then error("argument 'url': a string was expected, not nil", 2) end
    all.method, all.url = method, url
    local response, problem = run(self, all)
    return response, problem
  end
end

--- Makes a request with the method of that name. Waits.
-- @function client:get
-- @tparam string url relative to the client's `base_url`, if it has one
-- @tparam ?table options see above
-- @treturn[1] Response see `genet.http.response`
-- @treturn[2] nil
-- @treturn[2] string why there is none
-- @usage local response, err = api:get("items", {query = {page = 2}})
Client.get = with_method("GET")
--- As `client:get`. @function client:head
Client.head = with_method("HEAD")
--- As `client:get`. @function client:post
Client.post = with_method("POST")
--- As `client:get`. @function client:put
Client.put = with_method("PUT")
--- As `client:get`. @function client:patch
Client.patch = with_method("PATCH")
--- As `client:get`. @function client:delete
Client.delete = with_method("DELETE")

--- Closes the connections it keeps. It can still be used, but keeps none any more.
-- @function client:close
-- @usage api:close()
function Client:close()
  self.pool:close()
end

Client.__close = Client.close

local default = http.client()

--- As the methods of a client, with connections that all callers share.
-- @function http.get
-- @tparam string url
-- @tparam ?table options see above
-- @treturn[1] Response see `genet.http.response`
-- @treturn[2] nil
-- @treturn[2] string why there is none
-- @usage local response, err = http.get("http://127.0.0.1:5000/test/")
-- @usage http.post(url, {json = {id = 1}})
for _, name in ipairs{"get", "head", "post", "put", "patch", "delete", "request"} do
  local method = Client[name]
  http[name] = function(...) return method(default, ...) end
end

return http
