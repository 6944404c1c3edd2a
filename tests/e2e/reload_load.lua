-- Asks for one target on some kept connections, one request after another on each, until the file
-- `enough` is in a directory; counts the answers and those that are not wholly of one generation.
--
--     reload_load.lua HOST PORT TARGET CONNECTIONS DIRECTORY
local client = require "tests.e2e.client"

local host, port, target, count, directory = table.unpack(arg)

local PATTERNS = {["/"] = "^v%d+$", ["/slow"] = "^(v%d+) %1$", ["/stream"] = "^(v%d+)%1%1%1%1$"}

local function enough()
  local file = io.open(directory .. "/enough")
  return file and file:close()
end

local answers, wrong = 0, {}
local connections = {}
for at = 1, tonumber(count) do connections[at] = client.connect(host, tonumber(port), 30) end

while not enough() do
  for _, connection in ipairs(connections) do connection:ask(target) end
  for _, connection in ipairs(connections) do
    local response = connection:response()
    answers = answers + 1
    if response.status ~= 200 or not response.body:find(PATTERNS[target]) then
      wrong[#wrong + 1] = response.status .. " " .. response.body
    end
  end
end
print(("%d answers, %d wrong"):format(answers, #wrong))
for at = 1, math.min(#wrong, 5) do print(wrong[at]) end
