-- Asks for one target on some connections, one request after another on each, until the file
-- `enough` is in a directory. A connection that ends is opened again.
--
--     load.lua HOST PORT TARGET CONNECTIONS DIRECTORY PATTERN
--
-- In the target `#` stands for the number of the request, which the answer must be then. "keep"
-- behind the number of connections, as "8 keep", keeps them open between requests.
--
-- Prints "N answers, N wrong, N cut, N late, N refused, N sent", then a line with the time of the
-- first refusal (0: there was none), one with the numbers of the requests that got no answer, and
-- some examples. Wrong are answers that do not match the pattern, cut are requests that got none,
-- or not all of it; late are those of them whose connection had been idle for so long that the
-- server may have closed it; refused are attempts to connect.
local socket = require "socket"
local client = require "tests.e2e.client"

local host, port, target, count, directory, pattern = table.unpack(arg)
local keep = count:find("keep") ~= nil
local tally = {answers = 0, wrong = 0, cut = 0, late = 0, refused = 0, sent = 0}
local first_refusal, unanswered, examples = 0, {}, {}

local function enough()
  local file = io.open(directory .. "/enough")
  return file and file:close()
end

-- A server that stops gives idle connections so many seconds: GRACE_MS of host/http/wire.c.
local GRACE = 0.25

local function open()
  local now = socket.gettime()
  local opened, connection = pcall(client.connect, host, tonumber(port), 30)
  if opened then
    connection.asked = now
    return connection
  end
  if tally.refused == 0 then first_refusal = socket.gettime() end
  tally.refused = tally.refused + 1
  socket.sleep(0.01)
end

local function note_cut(connection, reason)
  local late = connection.idle >= GRACE and connection.buffer == ""
  tally.cut = tally.cut + 1
  tally.late = tally.late + (late and 1 or 0)
  unanswered[#unanswered + 1] = connection.number
  examples[#examples + 1] = tostring(reason)
end

local function ask(connection)
  tally.sent = tally.sent + 1
  connection.number = tally.sent
  local now = socket.gettime()
  connection.idle, connection.asked = now - connection.asked, now
  local asked, reason = pcall(connection.ask, connection, (target:gsub("#", tally.sent)))
  if not asked then note_cut(connection, reason) end
  return asked
end

local function is_right(connection, response)
  if response.status ~= 200 then return false end
  if target:find("#") then return response.body == tostring(connection.number) end
  return response.body:find(pattern) ~= nil
end

local function judge(connection, response)
  tally.answers = tally.answers + 1
  if is_right(connection, response) then return end
  tally.wrong = tally.wrong + 1
  examples[#examples + 1] = response.status .. " " .. response.body:sub(1, 200)
end

-- Whether the connection can go on.
local function take(connection)
  local came, response = pcall(connection.response, connection)
  if not came then
    note_cut(connection, response)
    return false
  end
  judge(connection, response)
  return keep and response.headers.connection ~= "close"
end

local connections = {}

local function drop(at)
  connections[at]:close()
  connections[at] = nil
end

while not enough() do
  for at = 1, tonumber(count:match("%d+")) do
    connections[at] = connections[at] or open()
    if connections[at] and not ask(connections[at]) then drop(at) end
  end
  for at, connection in pairs(connections) do
    if not take(connection) then drop(at) end
  end
end
print(("%d answers, %d wrong, %d cut, %d late, %d refused, %d sent"):format(tally.answers,
  tally.wrong, tally.cut, tally.late, tally.refused, tally.sent))
print(("first refusal at %.6f"):format(first_refusal))
print("unanswered: " .. table.concat(unanswered, " "))
for at = 1, math.min(#examples, 5) do print(examples[at]) end
