-- A crowd of slow clients, each on a connection of its own, until it is killed or SECONDS are over:
-- prints its process id, then "slow" once all of them are there and have said their first bytes.
--
--   lua5.4 tests/e2e/slow_crowd.lua HOST PORT COUNT PHASE SECONDS
--
-- PHASE: "head" sends a request's head a byte at a time, "body" its body; "reading" asks for much
-- and reads little of it.
local socket = require "socket"

local host, port, count, phase, seconds = table.unpack(arg)
local deadline = socket.gettime() + tonumber(seconds)
local pause = 0.1 -- seconds between two rounds

local head = ("GET /hello HTTP/1.1\r\nHost: %s\r\n"):format(host)
local first = {
  head = head,
  body = ("POST /count HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n"):format(host),
  reading = ("GET /large HTTP/1.1\r\nHost: %s\r\n\r\n"):format(host),
}

local act = {}

function act.head(client) return client:send("x") end
function act.body(client) return client:send("x") end

function act.reading(client)
  client:settimeout(0)
  local data, err, partial = client:receive(10)
  return err ~= "closed" and (data or partial)
end

local function open()
  local client = assert(socket.tcp4())
  client:setoption("recv-buffer-size", 4096)
  client:settimeout(tonumber(seconds))
  assert(client:connect(host, tonumber(port)))
  client:setoption("tcp-nodelay", true)
  assert(client:send(first[phase]))
  return client
end

print((assert(io.open("/proc/self/stat")):read("n")))
io.stdout:flush()

local clients = {}
for i = 1, tonumber(count) do clients[i] = open() end
print("slow")
io.stdout:flush()

while socket.gettime() < deadline do
  local lost = 0
  for _, client in ipairs(clients) do
    if not act[phase](client) then lost = lost + 1 end
  end
  if lost > 0 then
    print(lost .. " lost")
    os.exit(1)
  end
  socket.sleep(pause)
end
