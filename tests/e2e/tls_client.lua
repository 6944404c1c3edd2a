--- A connection over TLS, used as those of tests/e2e/client.lua.
local client = require "tests.e2e.client"
local socket = require "socket"
local ssl = require "ssl"

local tls_client = {}

-- Looks like a socket of LuaSocket to the client. What OpenSSL calls "wantread" is no end of the
-- stream: a record may have come in part, or may carry nothing for us.
local Secure = {}
Secure.__index = Secure

function Secure:settimeout(seconds) self.timeout = seconds end
function Secure:getfd() return self.session:getfd() end
function Secure:dirty() return self.session:dirty() end
function Secure:close() self.session:close() end

local function wait(self, why, deadline)
  local seconds = math.max(0, deadline - socket.gettime())
  if why == "wantread" then return #socket.select({self}, nil, seconds) > 0 end
  if why == "wantwrite" then return #select(2, socket.select(nil, {self}, seconds)) > 0 end
  return false
end

-- `call()` until it has been done or cannot be; true, or nil and why.
local function insist(self, call)
  local deadline = socket.gettime() + self.patience
  while true do
    local done, why = call()
    if done then return done end
    if not wait(self, why, deadline) then return nil, why end
  end
end

function Secure:send(bytes)
  local first = 1
  self.session:settimeout(0)
  return insist(self, function()
    local last, why, partial = self.session:send(bytes, first)
    first = (last or partial or first - 1) + 1
    return last, why
  end)
end

function Secure:receive(count)
  local data
  self.session:settimeout(0)
  local ok, why = insist(self, function()
    local whole, err, partial = self.session:receive(count)
    data = whole or partial or ""
    return data ~= "" or nil, err
  end)
  if ok then return data end
  return nil, why, ""
end

--- A connection to a TLS port; fails when the handshake does.
-- @tparam[opt] table options `protocol` ("tlsv1_3"), `name` (for SNI), `pair` (of the client),
--   `alpn`, `patience`
function tls_client.connect(host, port, options)
  local connection = client.connect(host, port, options.patience)
  local session = assert(ssl.wrap(connection.socket, {
    mode = "client", verify = "none", protocol = options.protocol or "any",
    certificate = options.pair and options.pair.cert, key = options.pair and options.pair.key,
    alpn = options.alpn,
  }))
  if options.name then session:sni(options.name) end
  session:settimeout(options.patience)
  local ok, err = session:dohandshake()
  if not ok then
    session:close()
    error("the handshake failed: " .. tostring(err), 2)
  end
  connection.socket = setmetatable({session = session, patience = options.patience}, Secure)
  connection.session = session
  return connection
end

return tls_client
