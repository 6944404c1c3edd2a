-- Whatever call fails, by seed: no crash, no leak, no second answer, no byte of another's.
-- Only a build with sanitizers has the faults in it; see host/libc/faults.h.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()

app:get("/echo/<token>", function(_, token) return token end)
app:get("/sleep/<token>", function(_, token) genet.sleep(0.001) return token end)
app:post("/body", function(req) return req:body() end)
app:get("/stream/<token>", function(_, token)
  return function(write)
    for at = 1, #token do write(token:sub(at, at)) end
  end
end)

return app
]]

local function has_faults()
  local file <close> = assert(io.open(support.binary, "rb"))
  return file:read("a"):find("GENET_FAULTS", 1, true) ~= nil
end

-- The kinds of requests, each with the body that a whole answer has.
local kinds = {
  function(token) return "GET", "/echo/" .. token, {}, nil end,
  function(token) return "GET", "/sleep/" .. token, {}, nil end,
  function(token) return "GET", "/stream/" .. token, {}, nil end,
  function(token) return "POST", "/body", {}, token end,
  function(token)
    local chunked = ("%x\r\n%s\r\n0\r\n\r\n"):format(#token, token)
    return "POST", "/body", {"Transfer-Encoding: chunked"}, chunked
  end,
}

-- Asks once on a connection; false when that has broken. A whole answer must be the right one, and
-- a connection that neither answers nor ends is a fault of the server's own.
local function ask(client, token, kind)
  local method, target, headers, body = kinds[kind](token)
  local ok, response = pcall(client.request, client, method, target, headers, body)
  assert(ok or not tostring(response):find("waited in vain", 1, true), response)
  if not ok or not response or not response.body then return false end
  if response.status == 200 then
    assert.equal(token, response.body)
  else
    assert.truthy(response.status == 400 or response.status == 500 or response.status == 503,
      response.status)
  end
  return response.headers.connection ~= "close"
end

-- Many requests on few connections, a new one for each that breaks; returns the right answers.
local function storm(server, seed, requests)
  local clients, served = {}, 0
  for number = 1, requests do
    local at = number % 5 + 1
    local token = ("seed%d-request%d-%s"):format(seed, number, ("x"):rep(number % 7 * 300))
    clients[at] = clients[at] or server:connect()
    if ask(clients[at], token, number % #kinds + 1) then
      served = served + 1
    else
      clients[at]:close()
      clients[at] = nil
    end
  end
  for at = 1, 5 do if clients[at] then clients[at]:close() end end
  return served
end

describe("a server whose calls fail", function()
  if not has_faults() then
    it("is tried with the build that has sanitizers", function()
      assert.is_false(has_faults())
    end)
    return
  end

  for seed = 1, 12 do
    local rate = seed % 3 == 0 and 150 or 25
    it(("in %d of 1,000, by seed %d, answers rightly or not at all"):format(rate, seed), function()
      local server = support.serve{script = script,
        env = {GENET_FAULTS = ("%d:%d"):format(seed, rate)}}
      local ok, served = pcall(storm, server, seed, rate > 100 and 50 or 120)
      server:stop()
      assert(ok, served)
      assert.is_true(served > 0)
    end)
  end
end)
