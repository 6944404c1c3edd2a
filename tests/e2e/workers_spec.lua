-- What is told of a host with several workers, threads or processes: its metrics are those of all,
-- its access log has each request once, and a console can be opened in each of them.
local exposition = require "tests.e2e.exposition"
local support = require "tests.e2e.support"

local SCRIPT = [[
local genet = require "genet"
local app = genet.app()
local served = genet.metrics.counter("served_total", "Requests.", {"worker"})
worker = genet.worker()
app:get("/hello", function(req)
  served:inc(1, worker.index)
  return tostring(worker.index)
end)
app:get("/slow", function() genet.sleep(0.05) return tostring(worker.index) end)
app:get("/nap", function() genet.sleep(600) return "" end)
app:metrics("/metrics")
return app
]]

local server

after_each(function()
  if server and not server.status then
    server:kill()
    server:clean()
  end
  server = nil
end)

local function serve(mode, ...)
  server = support.serve{script = SCRIPT, args = {mode, ...}}
end

local function stop()
  server:stop()
end

local function value(name, labels)
  local ok, found = pcall(exposition.value, exposition.read(server:get("/metrics").body), name,
    labels)
  return ok and found or nil
end

local function await(name, labels, wanted)
  support.wait_until(("%s to be %g"):format(name, wanted), function()
    return value(name, labels) == wanted
  end)
end

-- Asks until more than one worker has answered; gives how many requests that took.
local function ask_several(target)
  local total, seen = 0, {}
  support.wait_until("answers of several workers", function()
    for body in pairs(server:tally(16, target)) do seen[body] = true end
    total = total + 16
    return next(seen, (next(seen)))
  end)
  return total, seen
end

local function attach(...)
  return support.run{"attach", "--control", server:control(), ...}
end

local function say(...)
  local result = attach(...)
  assert.equal("", result.err)
  assert.equal(0, result.status)
  return result.out
end

local function lines_of(...)
  local lines = {}
  for _, file in ipairs{...} do
    for line in support.read_file(file):gmatch("[^\n]*\n") do lines[#lines + 1] = line end
  end
  return lines
end

for name, mode in pairs{threads = "--threaded=3", processes = "--processes=2"} do
  describe("a host with several " .. name, function()
    it("tells the sum of what they count", function()
      serve(mode)
      local count, workers = ask_several("/slow")
      await("genet_requests_total", {route = "/slow", status = "200"}, count)
      await("genet_request_duration_seconds_count", {route = "/slow"}, count)
      assert.truthy(next(workers))
      local by = server:tally(24, "/hello")
      for worker, times in pairs(by) do await("served_total", {worker = worker}, times) end
      await("genet_requests_total", {route = "/hello", status = "200"}, 24)
      await("genet_generation", nil, 1)
      await("genet_requests_in_flight", nil, 1)
      local naps = {}
      for at = 1, 2 do naps[at] = server:ask("/nap") end
      await("genet_requests_in_flight", nil, 3)
      for _, nap in ipairs(naps) do nap:close() end
      await("genet_requests_total", {route = "/nap", status = "499"}, 2)
      local bad = server:connect()
      bad:send("GET / HTTP/1.1\r\nHost: a\r\nBad header\r\n\r\n")
      assert.equal(400, bad:response().status)
      bad:close()
      await("genet_requests_total", {route = "", status = "400"}, 1)
      stop()
    end)

    it("tells of a reload once", function()
      serve(mode)
      ask_several("/slow")
      assert.equal(0, server:tell("reload").status)
      await("genet_generation", nil, 2)
      await("genet_reloads_total", {result = "ok"}, 1)
      stop()
    end)

    it("logs each request once, while its files are moved", function()
      local directory = support.directory()
      finally(function() support.remove(directory) end)
      local file = directory .. "/access"
      local total = support.crowd_size(300)
      serve(mode, "--access-log", file, "--log-format", "$uri?$args $status")
      for part = 1, 3 do
        server:tally(total // 3, function(at) return ("/hello?%d.%d"):format(part, at) end)
        if part == 2 then
          os.rename(file, file .. ".1")
          server:signal("USR1")
        end
      end
      stop()
      local seen, count = {}, 0
      for _, line in ipairs(lines_of(file .. ".1", file)) do
        local request = line:match("^(/hello%?%d%.%d+) 200\n$")
        assert.truthy(request, line)
        assert.is_nil(seen[request])
        seen[request], count = true, count + 1
      end
      assert.equal(total // 3 * 3, count)
      assert.truthy(lines_of(file)[1])
    end)

    it("opens the files of the logs anew when it is told", function()
      local directory = support.directory()
      finally(function() support.remove(directory) end)
      local file = directory .. "/log"
      serve(mode, "--log-file", file, "--log-level", "debug")
      os.rename(file, file .. ".1")
      server:signal("USR1")
      assert.equal(0, server:tell("reload").status)
      support.wait_until("the new file", function()
        return support.read_file(file):find("generation 2 serves", 1, true)
      end)
      stop()
    end)

    it("has a console for each worker", function()
      serve(mode)
      local _, workers = ask_several("/slow")
      for worker in pairs(workers) do
        assert.equal(worker .. "\n", say("--worker", worker, "-e", "worker.index"))
        local list = say("--worker", worker, "-e", "workers")
        assert.truthy(list:find("this is worker " .. worker .. "\n", 1, true), list)
        for other in pairs(workers) do
          assert.truthy(("\n" .. list):find("\n" .. other .. "  %l+, "), list)
        end
      end
      local result = attach("--worker", "99", "-e", "1")
      assert.equal(1, result.status)
      assert.truthy(result.err:find("there is no worker '99'", 1, true), result.err)
      stop()
    end)

    it("shows, cancels and reloads from the console of a worker", function()
      serve(mode)
      local nap = server:ask("/nap")
      local where, id
      support.wait_until("the call", function()
        for worker = 0, 3 do
          local result = attach("--worker", tostring(worker), "-e", "tasks")
          local found = result.out:match("(%d+)  GET /nap  generation 1")
          if found then where, id = tostring(worker), found end
        end
        return where
      end)
      assert.truthy(say("--worker", where, "-e", "task " .. id):find("main%.lua:%d+ in"))
      assert.equal("", say("--worker", where, "-e", "cancel " .. id))
      assert.equal(503, nap:response().status)
      nap:close()
      assert.equal("generation 2 serves\n", say("--worker", where, "-e", "reload"))
      assert.truthy(say("--worker", where, "-e", "status"):find("generation 2 serves", 1, true))
      stop()
    end)

    it("ends while a console is open in a worker", function()
      serve(mode, "--drain", "0.2")
      local _, workers = ask_several("/slow")
      local client = assert(io.popen(("exec setpriv --pdeathsig KILL %s attach --control %s "
        .. "--worker %s -e 'print(1) genet.sleep(60)' 2>&1"):format(support.binary,
        server:control(), (next(workers)))))
      assert.equal("1", client:read("l"))
      server:signal("TERM")
      assert.equal(0, server:wait())
      assert.truthy(client:read("a"):find("cancelled", 1, true))
      client:close()
      stop()
    end)
  end)
end

describe("a host with several processes", function()
  it("goes on with what one that has died had counted", function()
    serve("--processes=2")
    local count, workers = ask_several("/slow")
    await("genet_requests_total", {route = "/slow", status = "200"}, count)
    local naps = {}
    for at = 1, 8 do naps[at] = server:ask("/nap") end
    await("genet_requests_in_flight", nil, 9)
    for worker in pairs(workers) do
      local result = attach("--worker", worker, "-e", "os.execute('kill -KILL $PPID')")
      assert.equal(1, result.status)
    end
    for _, nap in ipairs(naps) do nap:close() end
    await("genet_requests_in_flight", nil, 1)
    assert.equal(count, value("genet_requests_total", {route = "/slow", status = "200"}))
    local more = ask_several("/slow")
    await("genet_requests_total", {route = "/slow", status = "200"}, count + more)
    stop()
  end)
end)

describe("a host with several threads", function()
  it("has a console in its leader, which serves nothing", function()
    serve("--threaded=3")
    assert.equal("0\n", say("-e", "worker.index"))
    assert.truthy(say("-e", "workers"):find("^0  the leader, .*\n1  thread, .*\n3  thread, "))
    local result = attach("--worker", "1", "-e", "1 + 1")
    assert.equal(1, result.status)
    assert.truthy(result.err:find("has not loaded the scripts yet", 1, true), result.err)
    stop()
  end)
end)
