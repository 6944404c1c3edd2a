-- SIGTERM under load, in each mode: whoever has been let in gets a whole answer.
local socket = require "socket"
local support = require "tests.e2e.support"

local SCRIPT = [[
local genet = require "genet"
local app = genet.app()
local asked = genet.shared("asked", {eviction = "error"})
local large = ("x"):rep(500000) .. "end"
app:before(function(req) if req.args.load then asked:incr(req.args.load, 1, 0) end end)
app:get("/asked/<int:loads>", function(_, loads)
  local least = math.huge
  for load = 1, loads do least = math.min(least, asked:get(tostring(load)) or 0) end
  return tostring(least)
end)
app:get("/hello", function() return "hello" end)
app:get("/slow", function() genet.sleep(0.05) return "slow" end)
app:get("/large", function() return large end)
app:get("/stream", function()
  return function(write)
    for i = 1, 5 do write(tostring(i)) genet.sleep(0.02) end
  end
end)
return app
]]

local MODES = {
  {"fibers", {"--log-level=info"}},
  {"threads", {"--threaded=8"}},
  {"processes", {"--processes=2"}},
}

-- Target, connections, what the answers match.
local LOADS = {
  {"/slow", "12 keep", "^slow$"},
  {"/stream", "12 keep", "^12345$"},
  {"/large", "2 keep", "^x+end$"},
  {"/hello", "8 keep", "^hello$"},
  {"/hello", "4", "^hello$"},
  {"/stream", "4", "^12345$"},
}

describe("SIGTERM under load", function()
  local server

  after_each(function()
    if not server.status then server:kill() end
    server:clean()
  end)

  local function start_loads()
    local loads = {}
    for at, load in ipairs(LOADS) do
      local target, connections, pattern = table.unpack(load)
      loads[at] = server:load(("%s?load=%d"):format(target, at), connections, pattern)
    end
    support.wait_until("load", function()
      return tonumber(server:get("/asked/" .. #LOADS).body) >= 20
    end)
    return loads
  end

  -- All answers are right and whole; nobody was refused before the server was told to end.
  local function assert_sound(load, told, name)
    local text = name .. ": " .. load.text
    assert.is_true(load.answers > 0, text)
    assert.equal(0, load.wrong, text)
    assert.is_true(load.refused == 0 or load.first_refusal >= told, text)
    assert.equal(0, load.cut - load.late, text)
  end

  for _, mode in ipairs(MODES) do
    it(("cuts no answer with %s, and ends with status 0"):format(mode[1]), function()
      server = support.serve{script = SCRIPT, args = mode[2]}
      local loads = start_loads()
      local told = socket.gettime()
      server:signal("TERM")
      assert.equal(0, server:wait(10))
      local results = {}
      for at, load in ipairs(loads) do results[at] = load:finish() end
      for at, result in ipairs(results) do
        assert_sound(result, told, LOADS[at][1] .. " " .. LOADS[at][2])
      end
      server:check_sanitizers()
    end)
  end
end)
