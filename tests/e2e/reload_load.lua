-- Asks for one target on some kept connections, one request after another on each, until the file
-- `enough` is in a directory; counts the answers and those that are not wholly of one generation.
--
--     reload_load.lua HOST PORT TARGET CONNECTIONS DIRECTORY
local client = require "tests.e2e.client"
local ws_client = require "tests.e2e.websocket.client"

local host, port, target, count, directory = table.unpack(arg)

local PATTERNS = {["/"] = "^v%d+$", ["/slow"] = "^(v%d+) %1$", ["/stream"] = "^(v%d+)%1%1%1%1$",
  ["/ws"] = "^v%d+ok$"}

local function enough()
  local file = io.open(directory .. "/enough")
  return file and file:close()
end

local is_socket = target == "/ws"

-- A kept connection, which is a WebSocket where the target is one.
local function open()
  local connection = client.connect(host, tonumber(port), 30)
  return is_socket and ws_client.upgrade(connection, target) or connection
end

local function ask(connection)
  if is_socket then connection:send("ok") else connection:ask(target) end
end

-- The status and the body of an answer; a message is a 200, a close its code.
local function take(connection)
  if not is_socket then
    local response = connection:response()
    return response.status, response.body
  end
  local message, code = connection:receive()
  return message and 200 or code, message or ""
end

local answers, wrong = 0, {}
local connections = {}
for at = 1, tonumber(count) do connections[at] = open() end

while not enough() do
  for _, connection in ipairs(connections) do ask(connection) end
  for _, connection in ipairs(connections) do
    local status, body = take(connection)
    answers = answers + 1
    if status ~= 200 or not body:find(PATTERNS[target]) then
      wrong[#wrong + 1] = status .. " " .. body
    end
  end
end
print(("%d answers, %d wrong"):format(answers, #wrong))
for at = 1, math.min(#wrong, 5) do print(wrong[at]) end
