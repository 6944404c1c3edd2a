--- The connections of a database: so many at most, lent to one task at a time. Those who come when
-- all are lent wait in the order of their coming.
-- @module genet.db.pool

local core = require "genet.core"
local failure = require "genet.db.failure"
local loader = require "genet.loader"
local sync = require "genet.sync"
local timer = require "genet.timer"

local pool = {}

local Pool = {}
Pool.__index = Pool

local FRESH = 1 -- seconds for which an idle connection is believed to be alive

--- An empty pool.
-- @tparam table options `size`, `wait` and `idle` in seconds, false for ever; `open`, a function
--   that gives a connection
-- @treturn Pool
-- @usage local connections = pool.new{size = 10, wait = 10, idle = 60, open = open}
function pool.new(options)
  return setmetatable({
    slots = sync.semaphore(options.size),
    size = options.size,
    wait = options.wait,
    keep = options.idle,
    open = options.open,
    idle = {},
  }, Pool)
end

-- Lending -------------------------------------------------------------------------------------

local Lease = {}
Lease.__index = Lease

--- The right to one connection, for a `<close>` variable, which gives it back. Waits until it is
-- its turn.
-- @treturn Lease
-- @raise a failure of the kind `pool` when that takes too long
function Pool:lease()
  if self.closed then error("the database has been closed", 0) end
  if not self.slots:acquire(self.wait) then
    error(failure.new(("none of the %d connections was free within %g s"):format(self.size,
      self.wait), {kind = "pool"}), 0)
  end
  return setmetatable({pool = self}, Lease)
end

-- An idle connection that is still alive.
local function take_idle(lease)
  local self = lease.pool
  while true do
    local found = table.remove(self.idle)
    if not found then return nil end
    lease.connection = found
    if not self.keep or core.now() - found.since < FRESH or found:is_alive() then return found end
    found:close()
    lease.connection = nil
  end
end

--- The connection itself. Waits where one has to be opened.
function Lease:take()
  if not take_idle(self) then self.connection = self.pool.open() end
  return self.connection
end

function Lease:__close()
  local self_pool, connection = self.pool, self.connection
  local good = connection and connection:is_sound() and not self_pool.closed
  if good then
    connection:reset()
    table.insert(self_pool.idle, connection)
    self_pool:watch()
  elseif connection then
    connection:close()
  end
  self_pool.slots:release()
end

-- Idling --------------------------------------------------------------------------------------

local function close_old(self)
  self.watching = nil
  local oldest = core.now() - self.keep
  while self.idle[1] and self.idle[1].since <= oldest do table.remove(self.idle, 1):close() end
  if self.idle[1] then self:watch() end
end

-- Has connections closed once they have idled for long. A program of `genet run` would not end
-- before a timer: it keeps them until its own end.
function Pool:watch()
  if not self.keep or self.watching or not loader.app() then return end
  self.watching = timer.after(self.keep, function() close_old(self) end)
end

--- Closes the connections that idle, and the others as they are given back.
function Pool:close()
  self.closed = true
  if self.watching then self.watching:stop() end
  while self.idle[1] do table.remove(self.idle):close() end
end

return pool
