-- What tests/bench/bus/run measures: how long a message is under way to another host and back, and
-- how many get there in a second.
local genet = require "genet"
local app = genet.app()

local WINDOW = 1024 -- messages under way at most, so that none is dropped

-- The other side, where ECHO is set.
local function echo()
  local pings = genet.subscribe("ping")
  for message in function() return (pings:receive()) end do genet.publish("pong", message) end
end

local function count()
  local flood, n = genet.subscribe("flood", 10 * WINDOW), 0
  while flood:receive() do
    n = n + 1
    if n % (WINDOW / 2) == 0 then genet.publish("ack", tostring(n)) end
  end
end

if os.getenv("ECHO") == "1" then
  genet.spawn({detach = true}, echo)
  genet.spawn({detach = true}, count)
end

local now = require("socket").gettime

app:get("/latency/<int:n>", function(_, n)
  local pongs <close> = genet.subscribe("pong")
  local times = {}
  for i = 1, n do
    local start = now()
    genet.publish("ping", tostring(i))
    if not pongs:receive(5) then return "lost\n" end
    times[i] = (now() - start) * 1e6
  end
  table.sort(times)
  return ("%.0f %.0f\n"):format(times[(n + 1) // 2], times[math.max(1, n * 99 // 100)])
end)

app:get("/flood/<int:n>/<int:size>", function(_, n, size)
  local acks <close> = genet.subscribe("ack")
  local text, acked, start = ("x"):rep(size), 0, now()
  for i = 1, n // WINDOW * WINDOW do
    while i - acked > WINDOW do
      local ack = acks:receive(5)
      if not ack then return "lost\n" end
      acked = acked + WINDOW // 2
    end
    genet.publish("flood", text)
  end
  return ("%.0f\n"):format(acked / (now() - start))
end)

return app
