-- Whatever call fails, by seed: a WebSocket gives the right messages in their order, or ends.
-- Only a build with sanitizers has the faults in it; see host/libc/faults.h.
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local script = [[
local genet = require "genet"
local app = genet.app()

app:websocket("/echo", function(ws)
  for message, kind in ws:messages() do ws:send(message, kind) end
end)
app:websocket("/room/<name>", function(ws, name)
  ws:join(name)
  ws:send("joined")
  for message, kind in ws:messages() do genet.publish(name, message, kind) end
end)

return app
]]

local function has_faults()
  local file <close> = assert(io.open(support.binary, "rb"))
  return file:read("a"):find("GENET_FAULTS", 1, true) ~= nil
end

-- One message there and back; false when the socket has ended, which it must do in an orderly way.
local function exchange(ws, message)
  local ok, got = pcall(function()
    ws:send(message)
    return ws:receive()
  end)
  assert(ok or not tostring(got):find("waited in vain", 1, true), got)
  if not ok or not got then return false end
  assert.equal(message, got)
  return true
end

-- How many of a few messages came back on a socket of its own.
local function visit(server, target, token)
  local opened, ws = pcall(ws_client.open, server, target)
  if not opened then
    assert(not tostring(ws):find("waited in vain", 1, true), ws)
    return 0
  end
  local served = 0
  if target == "/echo" or select(2, pcall(ws.receive, ws)) == "joined" then
    for i = 1, 5 do
      if not exchange(ws, ("%s %d %s"):format(token, i, ("x"):rep(i * 700))) then break end
      served = served + 1
    end
  end
  ws:vanish(served % 2 == 0 and "reset" or nil)
  return served
end

describe("a WebSocket whose calls fail", function()
  if not has_faults() then
    it("is tried with the build that has sanitizers", function()
      assert.is_false(has_faults())
    end)
    return
  end

  for seed = 1, 10 do
    local rate = seed % 3 == 0 and 100 or 20
    it(("in %d of 1,000, by seed %d, is right or ends"):format(rate, seed), function()
      local server = support.serve{script = script,
        env = {GENET_FAULTS = ("%d:%d"):format(seed, rate)}}
      local served = 0
      local ok, problem = pcall(function()
        for i = 1, 30 do
          local target = i % 2 == 0 and "/echo" or "/room/" .. i
          served = served + visit(server, target, "seed" .. seed .. "-" .. i)
        end
      end)
      server:stop()
      assert(ok, problem)
      assert.is_true(served > 0)
    end)
  end
end)
