-- A crowd of clients: opens COUNT connections, sends the same request on each, prints "sent",
-- then reads every answer and prints a line "N STATUS BODY" for each kind (or "N error: ...").
--
--   lua5.4 tests/e2e/crowd.lua HOST PORT COUNT TARGET SECONDS
local socket = require "socket"

local host, port, count, target, seconds = table.unpack(arg)
local deadline = socket.gettime() + tonumber(seconds)
local request = ("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"):format(target, host)

local function set_timeout(client)
  client:settimeout(math.max(0, deadline - socket.gettime()), "t")
end

local function open()
  local client = assert(socket.tcp())
  set_timeout(client)
  local connected, err = client:connect(host, tonumber(port))
  if not connected then return nil, "connect: " .. err end
  local sent, problem = client:send(request)
  if not sent then return nil, "send: " .. problem end
  return client
end

local function read_answer(client)
  set_timeout(client)
  local text, err, partial = client:receive("*a")
  client:close()
  text = text or partial
  local status, body = text:match("^HTTP/1%.1 (%d%d%d).-\r\n\r\n(.*)$")
  if not status then return ("error: %s after %d bytes"):format(err or "end", #text) end
  return status .. " " .. body:gsub("%c", " ")
end

local clients, counts = {}, {}

local function note(answer)
  counts[answer] = (counts[answer] or 0) + 1
end

for _ = 1, tonumber(count) do
  local client, err = open()
  if client then clients[#clients + 1] = client else note("error: " .. err) end
end
print("sent")
io.stdout:flush()

for _, client in ipairs(clients) do note(read_answer(client)) end
for answer, times in pairs(counts) do print(times .. " " .. answer) end
