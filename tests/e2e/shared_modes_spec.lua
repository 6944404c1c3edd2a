-- genet.shared between the Lua states of one host, be they threads or processes.
local json = require "cjson"
local support = require "tests.e2e.support"

local SCRIPT = [[
local genet = require "genet"
local app = genet.app()
local d = genet.shared("main")
local index = tostring(genet.worker().index)
app:sessions{store = genet.shared("sessions"), secret = ("s"):rep(32)}

app:get("/incr", function()
  for _ = 1, 1000 do assert(d:incr("n", 1, 0)) end
  genet.sleep(0.01)
  return index
end)
app:get("/update", function()
  assert(d:update("total", function(total)
    total = total or {requests = 0, by = {}}
    genet.sleep(0.001)
    total.requests = total.requests + 1
    total.by[index] = (total.by[index] or 0) + 1
    return total
  end))
  return index
end)
app:get("/value/<key>", function(_, key) return {value = d:get(key)} end)

app:get("/watch", function(req)
  local _, version = d:entry("watched")
  d:set("watcher", index)
  local changed, value = d:watch("watched", tonumber(req.args.timeout), version)
  return tostring(changed) .. " " .. value
end)
app:get("/change", function()
  genet.sleep(0.01)
  if d:get("watcher") == index then return "not by the one that watches" end
  d:set("watched", "of another")
  return "changed"
end)

app:get("/login", function(req) req.session.user = "ann" return index end)
app:get("/user", function(req)
  genet.sleep(0.01)
  return index .. " " .. (req.session.user or "nobody")
end)
return app
]]

-- Asks until there were so many different answers; gives how often each came, and their number.
local function ask_all(server, kinds, target, headers)
  local seen, found, total = {}, 0, 0
  support.wait_until("the answers of all workers", function()
    for answer, times in pairs(server:tally(40, target, headers)) do
      if not seen[answer] then found = found + 1 end
      seen[answer] = (seen[answer] or 0) + times
      total = total + times
    end
    return found >= kinds
  end)
  return seen, total
end

local function value(server, key)
  return json.decode(server:get("/value/" .. key).body).value
end

for mode, workers in pairs{["--threaded=4"] = 4, ["--processes=2"] = 2} do
  describe("genet.shared with " .. mode, function()
    local server

    before_each(function() server = support.serve{script = SCRIPT, args = {mode}} end)
    after_each(function() server:stop() end)

    it("counts exactly what all workers count", function()
      local _, total = ask_all(server, workers, "/incr")
      assert.equal(1000 * total, value(server, "n"))
    end)

    it("updates a table from all workers and loses nothing", function()
      local by, total = ask_all(server, workers, "/update")
      assert.same({requests = total, by = by}, value(server, "total"))
    end)

    it("wakes who watches when another worker makes a change", function()
      local watcher = server:ask("/watch?timeout=600")
      finally(function() watcher:close() end)
      support.wait_until("it to watch", function() return value(server, "watcher") end)
      assert.is_false(watcher:has_news(0.1))
      support.wait_until("a change by another worker", function()
        return server:tally(8, "/change").changed
      end)
      assert.equal("true of another", watcher:response().body)
    end)

    it("tells who watches in vain when the time is over", function()
      assert.equal("nil timeout", server:get("/watch?timeout=0.05").body)
    end)

    it("keeps a session that one worker has begun for all", function()
      local login = server:get("/login")
      local cookie = login.headers["set-cookie"]:match("^[^;]+")
      for answer in pairs(ask_all(server, workers, "/user", {"Cookie: " .. cookie})) do
        assert.matches("^%d ann$", answer)
      end
      assert.matches("^%d nobody$", server:get("/user").body)
    end)
  end)
end
