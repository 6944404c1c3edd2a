--- What tasks meet at: locks, semaphores, events and queues. Who has waited longest is served
-- first. Each may stand in a `<close>` variable: what was acquired is then given back.
-- @module genet.sync

local check = require "genet.check"
local task = require "genet.task"
local tasks = require "genet.tasks"

local sync = {}

local EVERYBODY = math.maxinteger
local SOMEBODY = {} -- owns a lock that was left to one who has been woken

local function class(name)
  local it = {__name = name}
  it.__index = it
  return it
end

-- Locks ---------------------------------------------------------------------------------------

local Lock = class "genet.lock"

--- A lock, which one task or request holds at a time.
-- @function genet.lock
-- @treturn Lock
-- @usage local lock = genet.lock()
-- do
--   local _ <close> = lock:acquire()
--   total = read() + 1
--   write(total)
-- end
function sync.lock()
  return setmetatable({waits = tasks.waits()}, Lock)
end

--- Takes the lock. Waits while another task holds it.
-- @function lock:acquire
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] Lock the lock, for a `<close>` variable
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`
-- @raise when the task holds it already
-- @usage local held <close> = lock:acquire(1)
-- if not held then genet.abort(503) end
function Lock:acquire(timeout)
  check.object(self, Lock, "lock:acquire")
  check.optional_seconds(timeout, "lock:acquire")
  local me = task.current()
  if self.owner == me then error("lock:acquire: this task holds the lock already", 2) end
  if self.owner and not self.waits:wait(timeout) then return nil, "timeout" end
  self.owner = me -- whoever released it has left it to us
  return self
end

--- Gives the lock to who waits for it, or to nobody.
-- @function lock:release
-- @raise when the task does not hold it
-- @usage lock:release()
function Lock:release()
  check.object(self, Lock, "lock:release")
  if self.owner ~= task.current() then
    error("lock:release: this task does not hold the lock", 2)
  end
  self.owner = self.waits:wake() > 0 and SOMEBODY or nil
end

Lock.__close = Lock.release

-- Semaphores ----------------------------------------------------------------------------------

local Semaphore = class "genet.semaphore"

--- A semaphore: at most `n` hold it at a time.
-- @function genet.semaphore
-- @tparam integer n from 1
-- @treturn Semaphore
-- @usage local slots = genet.semaphore(4)
-- local _ <close> = slots:acquire()
function sync.semaphore(n)
  check.count(n, "genet.semaphore", 1)
  return setmetatable({most = n, free = n, waits = tasks.waits()}, Semaphore)
end

--- Takes one of the places. Waits while none is free.
-- @function semaphore:acquire
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] Semaphore the semaphore, for a `<close>` variable
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`
-- @usage if not slots:acquire(0) then genet.abort(503) end
function Semaphore:acquire(timeout)
  check.object(self, Semaphore, "semaphore:acquire")
  check.optional_seconds(timeout, "semaphore:acquire")
  if self.free > 0 then
    self.free = self.free - 1
  elseif not self.waits:wait(timeout) then
    return nil, "timeout"
  end
  return self
end

--- Gives one place back. Any task may.
-- @function semaphore:release
-- @raise when all are free
-- @usage slots:release()
function Semaphore:release()
  check.object(self, Semaphore, "semaphore:release")
  if self.free == self.most then error("semaphore:release: nobody holds it", 2) end
  if self.waits:wake() == 0 then self.free = self.free + 1 end
end

Semaphore.__close = Semaphore.release

-- Events --------------------------------------------------------------------------------------

local Event = class "genet.event"

--- An event that has happened or not. In a `<close>` variable it happens at the latest there.
-- @function genet.event
-- @treturn Event
-- @usage local ready = genet.event()
-- genet.spawn(function() ready:wait() print("ready") end)
-- ready:set()
function sync.event()
  return setmetatable({happened = false, waits = tasks.waits()}, Event)
end

--- Lets it happen: everybody who waits goes on, and so does who comes later.
-- @function event:set
-- @usage ready:set()
function Event:set()
  check.object(self, Event, "event:set")
  self.happened = true
  self.waits:wake(EVERYBODY)
end

--- Makes it not have happened.
-- @function event:clear
-- @usage ready:clear()
function Event:clear()
  check.object(self, Event, "event:clear")
  self.happened = false
end

--- Whether it has happened.
-- @function event:is_set
-- @treturn boolean
-- @usage if ready:is_set() then return "ready" end
function Event:is_set()
  check.object(self, Event, "event:is_set")
  return self.happened
end

--- Waits until it happens.
-- @function event:wait
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`
-- @usage ready:wait(1)
function Event:wait(timeout)
  check.object(self, Event, "event:wait")
  check.optional_seconds(timeout, "event:wait")
  if self.happened or self.waits:wait(timeout) then return true end
  return nil, "timeout"
end

Event.__close = Event.set

-- Queues --------------------------------------------------------------------------------------

local Queue = class "genet.queue"

--- A queue of values other than nil. In a `<close>` variable it is closed.
-- @function genet.queue
-- @tparam[opt] integer n how many it holds at most, from 1; as many as there are unless told
-- @treturn Queue `#queue` says how many it holds
-- @usage local jobs = genet.queue(100)
-- genet.spawn(function() for job in jobs:values() do job() end end)
-- jobs:put(function() print "done" end)
-- jobs:close()
function sync.queue(n)
  if n ~= nil then check.count(n, "genet.queue", 1) end
  return setmetatable({
    most = n or EVERYBODY,
    first = 1,
    count = 0,
    values_due = 0, -- of those it holds, promised to readers that were woken
    room_due = 0, -- places promised to writers that were woken
    readers = tasks.waits(),
    writers = tasks.waits(),
  }, Queue)
end

--- Puts a value at its end. Waits while it is full.
-- @function queue:put
-- @param value not nil
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"timeout"` or `"closed"`
-- @usage if not jobs:put(job, 0) then genet.abort(503) end
function Queue:put(value, timeout)
  check.object(self, Queue, "queue:put")
  if value == nil then error("queue:put: a value was expected, not nil", 2) end
  check.optional_seconds(timeout, "queue:put")
  if self.closed then return nil, "closed" end
  if self.count + self.room_due >= self.most then
    if not self.writers:wait(timeout) then return nil, "timeout" end
    if self.closed then return nil, "closed" end
    self.room_due = self.room_due - 1
  end
  self[self.first + self.count] = value
  self.count = self.count + 1
  self.values_due = self.values_due + self.readers:wake()
  return true
end

--- Takes its first value. Waits while it is empty.
-- @function queue:get
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @return[1] the value
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`, or `"closed"` when it will stay empty
-- @usage local job, problem = jobs:get(1)
function Queue:get(timeout)
  check.object(self, Queue, "queue:get")
  check.optional_seconds(timeout, "queue:get")
  if self.count <= self.values_due then
    if self.closed then return nil, "closed" end
    if not self.readers:wait(timeout) then return nil, "timeout" end
    if self.values_due == 0 then return nil, "closed" end
    self.values_due = self.values_due - 1
  end
  local value = self[self.first]
  self[self.first] = nil
  self.first, self.count = self.first + 1, self.count - 1
  if not self.closed then self.room_due = self.room_due + self.writers:wake() end
  return value
end

--- Takes no more values; those it holds can still be taken. Who waits to put one is refused.
-- @function queue:close
-- @usage jobs:close()
function Queue:close()
  check.object(self, Queue, "queue:close")
  self.closed = true
  self.readers:wake(EVERYBODY)
  self.writers:wake(EVERYBODY)
end

--- An iterator that takes values until the queue is closed and empty. Each step waits.
-- @function queue:values
-- @treturn function
-- @usage for job in jobs:values() do job() end
function Queue:values()
  check.object(self, Queue, "queue:values")
  return function() return (self:get()) end
end

function Queue:__len()
  return self.count
end

Queue.__close = Queue.close

return sync
