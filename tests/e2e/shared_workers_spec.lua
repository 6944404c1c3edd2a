-- What is in genet.shared, sessions too, is the same for all workers of a host, be they threads or
-- processes.
local client = require "tests.e2e.client"
local support = require "tests.e2e.support"

local SCRIPT = [[
local genet = require "genet"
local app = genet.app()
local d = genet.shared("main", {eviction = "error"})
app:sessions{store = genet.shared("sessions"), secret = ("s"):rep(32)}

-- Each answer begins with the worker that has given it.
local function answer(text) return genet.worker().index .. " " .. tostring(text) end

app:get("/incr", function() return answer(d:incr("n", 1, 0)) end)
app:get("/update", function()
  return answer(d:update("table", function(t)
    t = t or {count = 0, by = {}}
    local index = tostring(genet.worker().index)
    t.count, t.by[index] = t.count + 1, (t.by[index] or 0) + 1
    return t
  end).count)
end)
app:get("/table", function() return d:get("table") end)
app:get("/watch", function()
  d:set("watcher", genet.worker().index)
  local ok, value = d:watch("signal", 20, 0)
  return answer(ok and value)
end)
app:get("/signal", function() -- by another worker than that
  local watcher = d:get("watcher")
  local other = watcher and watcher ~= genet.worker().index
  return answer(other and d:set("signal", "now"))
end)
app:get("/login", function(req)
  req.session.user = "ann"
  return answer("in")
end)
app:get("/user", function(req)
  genet.sleep(0.01)
  return answer(req.session.user)
end)
return app
]]

local MODES = {threads = "--threaded=4", processes = "--processes=2"}

for name, argument in pairs(MODES) do
  describe("genet.shared, for all " .. name .. " of a host,", function()
    local server
    local connections = {}

    setup(function() server = support.serve{script = SCRIPT, args = {argument}} end)
    teardown(function() server:stop() end)
    before_each(function() for at = 1, 20 do connections[at] = server:connect() end end)
    after_each(function()
      for at, connection in pairs(connections) do
        connection:close()
        connections[at] = nil
      end
    end)

    -- Asks on so many connections at once, so many times. Returns a list of what the answers tell,
    -- and of how many workers they are.
    local function ask(target, count, times, headers)
      local told, seen, workers = {}, {}, 0
      for _ = 1, times do
        for at = 1, count do
          connections[at]:send(client.request_bytes("GET", target, headers))
        end
        for at = 1, count do
          local index, text = connections[at]:response().body:match("^(%d+) (.*)$")
          told[#told + 1] = text
          workers = workers + (seen[index] and 0 or 1)
          seen[index] = true
        end
      end
      return told, workers
    end

    it("counts each increment once", function()
      local told, workers = ask("/incr", 20, 50)
      assert.is_true(workers > 1)
      table.sort(told, function(a, b) return tonumber(a) < tonumber(b) end)
      for at = 1, 1000 do assert.equal(tostring(at), told[at]) end
    end)

    it("updates by one after the other", function()
      local _, workers = ask("/update", 20, 20)
      assert.is_true(workers > 1)
      local answer = server:get("/table").body
      assert.matches('"count":400%f[%D]', answer)
      local sum = 0
      for n in answer:match('"by":(%b{})'):gmatch(":(%d+)") do sum = sum + n end
      assert.equal(400, sum)
    end)

    it("wakes who watches elsewhere", function()
      local watcher = connections[1]
      watcher:ask("/watch")
      support.wait_until("another one to signal", function()
        for at = 2, #connections do -- each is with one process
          if connections[at]:request("GET", "/signal").body:match("true$") then return true end
        end
      end)
      assert.matches(" now$", watcher:response().body)
    end)

    it("keeps the session that another has begun", function()
      local cookie = server:get("/login").headers["set-cookie"]:match("^[^;]+")
      local told, workers = ask("/user", 20, 3, {"Cookie: " .. cookie})
      assert.is_true(workers > 1)
      for at = 1, 60 do assert.equal("ann", told[at]) end
    end)
  end)
end
