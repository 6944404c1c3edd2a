--- One connection to a server, plain or over TLS: connecting, sending and buffered reading by a
-- deadline. A connection that leaves its scope, or is forgotten, is closed.
--
-- Fields: `deadline`, by the clock of `genet.core`, holds for whatever waits; `held` says that
-- somebody keeps the connection beyond the scope it is in; `received`, which whoever sends a
-- request resets, that something came; `key` says for the pool whom it leads to.
-- @module genet.http.connection

local address = require "genet.http.address"
local core = require "genet.core"
local socket = require "socket"
local ssl = require "ssl"
local task = require "genet.task"
local tls = require "genet.http.tls"

local find, max, min, sub = string.find, math.max, math.min, string.sub

local connection = {}

local Connection = {__name = "genet.http.connection"}
Connection.__index = Connection

-- The most bytes asked of the socket at once.
local PIECE = 16384

-- Longer than any wait, and still a number of milliseconds for poll.
local LONGEST = 1000000

-- The least time one of several addresses is given to answer.
local ATTEMPT = 2

-- What LuaSocket and LuaSec call what their callers need to tell apart.
local CAUSES = {
  wantread = "timeout",
  wantwrite = "timeout",
  ["Operation canceled"] = "cancelled",
  ["Timer expired"] = "expired",
}

-- Why a call failed. A task that is cancelled or out of time is unwound, its connection closed.
local function cause(self, why)
  local known = CAUSES[why] or why
  if known ~= "cancelled" and known ~= "expired" then return known end
  self:abort()
  error(known == "expired" and "timeout" or known, 0)
end

-- Gives the socket what is left of the time (it limits each wait, "b", and each call, "t"); false
-- when nothing is.
local function arm(self, seconds)
  local left = min(seconds or LONGEST, self.deadline - core.now(), LONGEST)
  if left <= 0 then return false end
  self.socket:settimeout(-1, "b")
  self.socket:settimeout(left, "t")
  return true
end

-- Made after the session of TLS, so that the collector ends it before: see `abort`.
local Guard = {}

function Guard:__gc()
  self[1]:abort()
end

-- Connecting ----------------------------------------------------------------------------------

--- A connection that is still to be made. Have it in a `<close>` variable: whoever keeps it beyond
-- that sets `held`.
-- @tparam number deadline
-- @treturn Connection
-- @usage local fresh <close> = connection.new(core.now() + 10)
function connection.new(deadline)
  return setmetatable({deadline = deadline, buffer = "", at = 1}, Connection)
end

local function resolve(self, host)
  local left = max(0, self.deadline - core.now())
  local found, why = task.timeout(left, socket.dns.getaddrinfo, host)
  if not found then return nil, ("cannot resolve %s: %s"):format(host, cause(self, why)) end
  return found
end

-- One attempt at one address, with a fair share of the time.
local function try(self, place, port, share)
  local made, err = (place.family == "inet6" and socket.tcp6 or socket.tcp4)()
  if not made then return nil, err end
  self.socket = made
  local ok, why = nil, "timeout"
  if arm(self, share) then ok, why = made:connect(place.addr, port) end
  if ok then return made:setoption("tcp-nodelay", true) end
  self:abort()
  return nil, cause(self, why)
end

--- Connects to the first address of the host that answers. Waits.
-- @tparam table parts of `genet.http.address`
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why not, naming the host
-- @usage local ok, err = fresh:connect(address.parse("http://localhost/"))
function Connection:connect(parts)
  local places, err = resolve(self, parts.host)
  if not places then return nil, err end
  local why = "no address"
  for at, place in ipairs(places) do
    local left = self.deadline - core.now()
    local ok
    ok, why = try(self, place, parts.port, max(ATTEMPT, left / (#places - at + 1)))
    if ok then return true end
  end
  return nil, ("cannot connect to %s:%d: %s"):format(parts.host, parts.port, why)
end

--- Makes it a connection of TLS. Waits.
-- @tparam table parts of `genet.http.address`
-- @tparam context context of `genet.http.tls`
-- @tparam boolean verify whether to check whose certificate it is
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why not
-- @usage local ok, err = fresh:secure(parts, context, true)
function Connection:secure(parts, context, verify)
  local session, problem = ssl.wrap(self.socket, context)
  if not session then return nil, "TLS handshake failed: " .. tostring(problem) end
  self.plain, self.socket = self.socket, session
  self.guard = setmetatable({self}, Guard)
  tls.name_server(session, parts.host)
  local ok, why = false, "timeout"
  if arm(self) then ok, why = session:dohandshake() end
  if not ok then
    return nil, ("TLS handshake with %s failed: %s")
      :format(address.authority(parts), cause(self, why))
  end
  if not verify then return true end
  return tls.check(session, parts.host)
end

-- Reading and writing -------------------------------------------------------------------------

--- Sends all of it. Waits.
-- @tparam string data
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed` or another reason
-- @treturn[2] integer how many bytes went
-- @usage local ok, why, sent = connection:send("GET / HTTP/1.0\r\n\r\n")
function Connection:send(data)
  if not arm(self) then return nil, "timeout", 0 end
  local last, why, sent = self.socket:send(data)
  if last then return true end
  return nil, cause(self, why), sent or 0
end

-- Waits for at least a byte, and takes what else has come.
local function fill(self)
  if not arm(self) then return nil, "timeout" end
  local first, why = self.socket:receive(1)
  if not first then return nil, cause(self, why) end
  self.received = true
  self.socket:settimeout(0, "b")
  local all, _, some = self.socket:receive(PIECE, first)
  self.buffer, self.at = sub(self.buffer, self.at) .. (all or some), 1
  return true
end

--- The next line, without its CR LF. Waits.
-- @tparam integer limit how many bytes it may have, without its end
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed`, `too long` or another reason
-- @usage local line, why = connection:line(4096)
function Connection:line(limit)
  local from = self.at
  while true do
    local stop = find(self.buffer, "\r\n", from, true)
    local length = (stop or #self.buffer) - self.at
    if length > limit then return nil, "too long" end
    if stop then
      local line = sub(self.buffer, self.at, stop - 1)
      self.at = stop + 2
      return line
    end
    local seen = #self.buffer - self.at + 1
    local filled, why = fill(self)
    if not filled then return nil, why end
    from = max(1, seen)
  end
end

--- The next bytes, as many as there are but one at least. Waits.
-- @tparam integer limit the most of them
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string `timeout`, `closed` or another reason
-- @usage local piece, why = connection:some(65536)
function Connection:some(limit)
  if self:is_drained() then
    local filled, why = fill(self)
    if not filled then return nil, why end
  end
  local last = min(#self.buffer, self.at + limit - 1)
  local piece = sub(self.buffer, self.at, last)
  self.at = last + 1
  return piece
end

--- Whether everything that has been read from the socket has been taken.
-- @treturn boolean
-- @usage if not connection:is_drained() then connection:abort() end
function Connection:is_drained()
  return self.at > #self.buffer
end

--- Lets go of the buffer until something is read again.
-- @usage connection:rest()
function Connection:rest()
  self.buffer, self.at = sub(self.buffer, self.at), 1
end

--- Whether the server has neither closed it nor sent what nobody asked for.
-- @treturn boolean
-- @usage if not connection:is_idle() then connection:close() end
function Connection:is_idle()
  if not self.socket or not self:is_drained() then return false end
  self.socket:settimeout(0, "b")
  local byte, why = self.socket:receive(1)
  return not byte and (CAUSES[why] or why) == "timeout"
end

-- The end -------------------------------------------------------------------------------------

--- Closes it in the ordinary way, with a goodbye over TLS. Does nothing when it is closed.
-- @usage connection:close()
function Connection:close()
  local open = self.socket
  self.socket = nil
  if open then open:close() end
end

--- Closes it at once. LuaSec would wait until its goodbye can be sent, which a server that does
-- not read can put off for ever; so nothing can be sent any more.
-- @usage connection:abort()
function Connection:abort()
  local plain = self.plain
  if plain and self.socket then
    plain:setfd(self.socket:getfd())
    plain:shutdown("both")
    plain:setfd(-1)
  end
  self:close()
end

function Connection:__close()
  if not self.held then self:abort() end
end

return connection
