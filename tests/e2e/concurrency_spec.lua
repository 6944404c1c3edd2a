-- Thousands of requests wait at once, on one thread, for little memory.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()

local shared = genet.shared("concurrency")

local function arrive()
  local waiting = shared:incr("waiting", 1, 0)
  shared:update("most", function(most) return math.max(most or 0, waiting) end)
end

local function leave()
  shared:incr("waiting", -1)
end

app:get("/sleep", function()
  arrive()
  genet.sleep(0.3)
  leave()
  return "slept"
end)

app:get("/gate", function()
  arrive()
  while not shared:get("open") do genet.sleep(0.05) end
  leave()
  return "through"
end)

app:get("/open", function() shared:set("open", true) return "open" end)
app:get("/waiting", function() return tostring(shared:get("waiting") or 0) end)
app:get("/most", function() return tostring(shared:get("most")) end)

return app
]]

describe("a crowd of sleeping requests", function()
  local server
  local size = support.crowd_size(2000)

  before_each(function() server = support.serve{script = script} end)
  after_each(function() server:stop() end)

  local function waiting()
    return tonumber(server:get("/waiting").body)
  end

  it("is answered to the last one", function()
    assert.same({["200 slept"] = size}, server:crowd(size, "/sleep"):answers())
  end)

  it("waits all at once, on one thread, while others are answered", function()
    support.only("default processes", "a request that waits has a thread to itself", pending)
    local idle = server:resident()
    local crowd = server:crowd(size, "/gate")
    crowd:wait_sent()
    support.wait_until("the whole crowd", function() return waiting() == size end)
    assert.equal(1, server:threads())
    if support.scale >= 1 then
      assert.is_true(idle < 40 * 1024, ("%d KB resident when idle"):format(idle))
      local each = (server:resident() - idle) / size
      assert.is_true(each < 40, ("%.1f KB resident for each connection"):format(each))
    end
    server:get("/open")
    assert.same({["200 through"] = size}, crowd:answers())
    assert.equal("0", server:get("/waiting").body)
  end)
end)

describe("a server at --max-connections", function()
  it("lets further connections wait and answers them too", function()
    local server = support.serve{script = script, args = {"--max-connections", "4"}, processes = 1}
    finally(function() server:stop() end)
    assert.same({["200 slept"] = 12}, server:crowd(12, "/sleep"):answers())
    assert.is_true(tonumber(server:get("/most").body) <= 4)
  end)
end)
