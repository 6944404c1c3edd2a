-- tests/bench/tasks.lua for plain coroutines and the least scheduler that will do: the floor. All
-- sleeps are of one length, so its timers are a queue.

local count = tonumber(os.getenv("TASKS"))
local seconds = tonumber(os.getenv("SECONDS") or 2)
local rounds = tonumber(os.getenv("ROUNDS") or 0)
local socket = require "socket"
local now = socket.gettime

local function resident()
  local file <close> = assert(io.open("/proc/self/status"))
  return tonumber(file:read("a"):match("VmRSS:%s*(%d+)"))
end

local before
local alive, asleep, ended = 0, 0, 0

local timers, first, last = {}, 1, 0
local ready, ready_count, batch = {}, 0, {}

local function make_ready(thread)
  ready_count = ready_count + 1
  ready[ready_count] = thread
end

local function sleep()
  last = last + 1
  timers[last] = {thread = coroutine.running(), at = now() + seconds}
  coroutine.yield()
end

-- A thread that yields something wants to be resumed at once.
local function run_ready()
  while ready_count > 0 do
    local size = ready_count
    ready, batch, ready_count = batch, ready, 0
    for i = 1, size do
      local thread = batch[i]
      batch[i] = false
      local ok, again = coroutine.resume(thread)
      if not ok then error(again) end
      if again then make_ready(thread) end
    end
  end
end

local function run()
  run_ready()
  while first <= last do
    socket.sleep(math.max(0, timers[first].at - now()))
    local time = now()
    while first <= last and timers[first].at <= time do
      make_ready(timers[first].thread)
      timers[first] = nil
      first = first + 1
    end
    run_ready()
  end
end

local function sleeper()
  alive = alive + 1
  sleep()
  asleep = asleep + 1
  if asleep == count then print("alive", alive) print("kilobytes", resident() - before) end
  sleep()
  alive, ended = alive - 1, ended + 1
end

local function yielder()
  for _ = 1, rounds do coroutine.yield(true) end
  ended = ended + 1
end

local work = os.getenv("MODE") == "sleep" and sleeper or yielder
before = resident()
local start = now()
for _ = 1, count do make_ready(coroutine.create(work)) end
run()
assert(ended == count)
print("seconds", now() - start)
