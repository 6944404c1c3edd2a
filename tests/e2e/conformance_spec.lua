-- The bytes of requests are taken, or refused, as RFC 9110 and RFC 9112 say, however they come.
--
-- The cases are tables in tests/e2e/conformance; words.lua there says how to read them.
local groups = require "tests.e2e.conformance.groups"
local play = require "tests.e2e.conformance.play"
local support = require "tests.e2e.support"

local servers = {}

-- The server with these options, started when it is first asked for.
local function server_with(args)
  local key = table.concat(args or {}, " ")
  if not servers[key] then
    servers[key] = support.serve{path = "tests/e2e/conformance/routes.lua", args = args}
  end
  return servers[key]
end

local function stop_servers()
  local problem
  for key, server in pairs(servers) do
    local ok, err = pcall(server.stop, server)
    servers[key], problem = nil, problem or not ok and err
  end
  if problem then error(problem, 0) end
end

local function describe_group(group, mode)
  if group.mode and group.mode ~= mode.name then return end
  describe(("%s, sent %s,"):format(group.about, mode.name), function()
    for _, case in ipairs(group) do
      it(("%s (RFC %s)"):format(case[1], case[2]), function()
        play.case(server_with(group.args), case, mode)
      end)
    end
  end)
end

describe("on the wire,", function()
  teardown(stop_servers)

  for _, mode in ipairs(play.modes) do
    for _, group in ipairs(groups) do describe_group(group, mode) end
  end
end)
