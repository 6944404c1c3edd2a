-- A relay that makes drops of a stream: prints its port, takes one connection, passes what comes
-- from there on to HOST PORT byte by byte, each a segment of its own, and what comes back at once.
--
--   lua5.4 tests/e2e/drip.lua HOST PORT SECONDS
local socket = require "socket"

local host, port, seconds = table.unpack(arg)
local deadline = socket.gettime() + tonumber(seconds)
local listener = assert(socket.bind("127.0.0.1", 0))
print((select(2, listener:getsockname())))
io.stdout:flush()

listener:settimeout(tonumber(seconds))
local near = assert(listener:accept())
local far = assert(socket.connect(host, tonumber(port)))
far:setoption("tcp-nodelay", true)

local function drip(data)
  for i = 1, #data do
    if not far:send(data:sub(i, i)) then return end
  end
end

local pass = {[near] = drip, [far] = function(data) near:send(data) end}

-- Whether the connection goes on.
local function carry(from)
  from:settimeout(0)
  local data, err, partial = from:receive(65536)
  data = data or partial
  from:settimeout(tonumber(seconds))
  if #data > 0 then pass[from](data) end
  return err ~= "closed"
end

local open = true
while open and socket.gettime() < deadline do
  for _, from in ipairs((socket.select({near, far}, nil, 1))) do open = carry(from) and open end
end
