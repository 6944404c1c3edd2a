--- Connections kept for the next request.
--
-- Many tasks use a pool at once, and any may be preempted between two instructions. So a
-- connection is taken out of its place, `{connection, key =, expires =}`, by `table.remove`, a
-- single call: nobody else gets it. The worst that such a race can do is to forget a connection,
-- which the collector then closes.
-- @module genet.http.pool

local core = require "genet.core"

local insert, remove = table.insert, table.remove

local pool = {}

local Pool = {__name = "genet.http.pool"}
Pool.__index = Pool

--- A pool without connections.
-- @tparam table limits `max_idle` in all, `max_idle_per_host`, `idle_timeout` in seconds
-- @treturn Pool
-- @usage pool.new{max_idle = 100, max_idle_per_host = 20, idle_timeout = 30}
function pool.new(limits)
  return setmetatable({limits = limits, idle = {}, closed = false}, Pool)
end

-- Forgets places that are empty, and closes what has been idle for too long.
local function prune(self, now)
  local kept, stale = {}, {}
  for _, place in ipairs(self.idle) do
    if #place > 0 then insert(place.expires > now and kept or stale, place) end
  end
  self.idle = kept
  for _, place in ipairs(stale) do
    local connection = remove(place)
    if connection then connection:close() end
  end
end

--- Takes a connection that is still good, the one used last.
-- @tparam string key whom it leads to
-- @treturn ?Connection owned by the caller, with `held` unset; nil when there is none
-- @usage local kept <close> = pool:take("http://127.0.0.1:80")
function Pool:take(key)
  prune(self, core.now())
  local idle = self.idle
  for at = #idle, 1, -1 do
    local connection = idle[at].key == key and remove(idle[at])
    if connection and connection:is_idle() then
      connection.held = nil
      return connection
    end
    if connection then connection:close() end
  end
end

-- Marks what is over the limits, the oldest first, as expired.
local function expire(self)
  local limits, idle = self.limits, self.idle
  local all, by_key = 0, {}
  for at = #idle, 1, -1 do
    local place = idle[at]
    local key = place.key
    all, by_key[key] = all + 1, (by_key[key] or 0) + 1
    if all > limits.max_idle or by_key[key] > limits.max_idle_per_host then
      place.expires = 0
    end
  end
end

--- Keeps a connection for the next request; closes the oldest when there are too many.
-- @tparam Connection connection idle, with its `key` set; takes it
-- @tparam ?number seconds how long the server keeps it, if it said so
-- @usage pool:give(connection, 5)
function Pool:give(connection, seconds)
  -- What the server is about to close is of no use.
  local lasts = math.min(self.limits.idle_timeout, (seconds or math.huge) - 1)
  if self.closed or lasts <= 0 then return connection:close() end
  local now = core.now()
  connection:rest()
  connection.held = true
  prune(self, now)
  insert(self.idle, {connection, key = connection.key, expires = now + lasts})
  expire(self)
  prune(self, now)
end

--- How many connections it keeps.
-- @treturn integer
-- @usage assert(pool:count() <= 100)
function Pool:count()
  prune(self, core.now())
  return #self.idle
end

--- Closes what it keeps; what is given to it later is closed at once.
-- @usage pool:close()
function Pool:close()
  self.closed = true
  prune(self, math.huge)
end

return pool
