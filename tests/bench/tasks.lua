-- What tests/bench/tasks measures, for Genet; the programs in tests/bench/peers do the same.
--
--   MODE=sleep TASKS=n        n tasks at once, each of which sleeps for SECONDS twice
--   MODE=yield TASKS=n ROUNDS=m   n tasks that give way m times each
--
-- Prints "seconds", from the first task to the last one's end, and while all of them sleep for the
-- second time "alive" and "kilobytes", how much more is resident than before the first.

local genet = require "genet"

local count = tonumber(os.getenv("TASKS"))
local seconds = tonumber(os.getenv("SECONDS") or 2)
local rounds = tonumber(os.getenv("ROUNDS") or 0)
local now = require "socket".gettime

local function resident()
  local file <close> = assert(io.open("/proc/self/status"))
  return tonumber(file:read("a"):match("VmRSS:%s*(%d+)"))
end

local before
local alive, asleep, ended = 0, 0, 0

local function sleeper()
  alive = alive + 1
  genet.sleep(seconds)
  asleep = asleep + 1
  if asleep == count then print("alive", alive) print("kilobytes", resident() - before) end
  genet.sleep(seconds)
  alive, ended = alive - 1, ended + 1
end

local function yielder()
  for _ = 1, rounds do genet.yield() end
  ended = ended + 1
end

local work = os.getenv("MODE") == "sleep" and sleeper or yielder
before = resident()
local start = now()
for _ = 1, count do genet.spawn(work) end
while ended < count do genet.sleep(0.001) end
print("seconds", now() - start)
