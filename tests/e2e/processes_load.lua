-- Asks for one target on some connections, one request after another on each, until the file
-- `enough` is in a directory. A connection that ends is opened again.
--
--     processes_load.lua HOST PORT TARGET CONNECTIONS DIRECTORY PATTERN
--
-- Prints "N answers, N wrong, N cut, N refused": wrong are those that do not match the pattern, cut
-- those that ended though the request had been sent whole, refused are attempts to connect.
-- "keep" in place of the number of connections, as "8 keep", keeps them open between requests.
local socket = require "socket"
local client = require "tests.e2e.client"

local host, port, target, count, directory, pattern = table.unpack(arg)
local keep = count:find("keep") ~= nil
local tally = {answers = 0, wrong = 0, cut = 0, refused = 0}
local examples = {}

local function enough()
  local file = io.open(directory .. "/enough")
  return file and file:close()
end

local function open()
  local opened, connection = pcall(client.connect, host, tonumber(port), 30)
  if opened then return connection end
  tally.refused = tally.refused + 1
  socket.sleep(0.01)
end

local function judge(response)
  tally.answers = tally.answers + 1
  if response.status == 200 and response.body:find(pattern) then return end
  tally.wrong = tally.wrong + 1
  examples[#examples + 1] = response.status .. " " .. response.body
end

-- Whether the connection can go on.
local function take(connection)
  local came, response = pcall(connection.response, connection)
  if not came then
    tally.cut = tally.cut + 1
    examples[#examples + 1] = tostring(response)
    return false
  end
  judge(response)
  return keep and response.headers.connection ~= "close"
end

local connections = {}
while not enough() do
  for at = 1, tonumber(count:match("%d+")) do
    connections[at] = connections[at] or open()
    if connections[at] then connections[at]:ask(target) end
  end
  for at, connection in pairs(connections) do
    if not take(connection) then
      connection:close()
      connections[at] = nil
    end
  end
end
print(("%d answers, %d wrong, %d cut, %d refused"):format(tally.answers, tally.wrong, tally.cut,
  tally.refused))
for at = 1, math.min(#examples, 5) do print(examples[at]) end
