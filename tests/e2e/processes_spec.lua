-- `genet runserver --processes N`: a parent, and processes that share what it listens on.
local lfs = require "lfs"
local socket = require "socket"
local support = require "tests.e2e.support"

local SITE = [[
local genet = require "genet"
local app = genet.app()
app:get("/who", function()
  local worker = genet.worker()
  return ("%s %d %d"):format(worker.mode, worker.index, worker.count)
end)
app:get("/hello", function() return "hello" end)
app:get("/generation", function() return tostring(genet.generation()) end)
app:get("/slow", function() genet.sleep(0.2) return "slow" end)
app:get("/long", function() genet.sleep(60) return "long" end)
app:get("/reload", function() return {genet.reload()} end)
return app
]]

describe("a host with processes", function()
  local server

  after_each(function()
    if server and not server.status then
      server:kill()
      server:clean()
    end
    server = nil
  end)

  local function serve(script, ...)
    server = support.serve{script = script, args = {"--processes", "2", ...}}
    return server
  end

  local function stop()
    server:stop()
  end

  -- What `genet status` tells of each process that serves, by its number.
  local function processes()
    local list = {}
    for line in server:tell("status").out:gmatch("[^\n]+") do
      local index, pid, generation, connections, requests, restarts = line:match(
        "^process (%d+): pid (%d+), serves generation (%d+), up %d+ s, (%d+) connections, "
        .. "(%d+) requests, (%d+) restarts$")
      if index then
        list[math.tointeger(tonumber(index))] = {pid = math.tointeger(tonumber(pid)),
          generation = tonumber(generation), connections = tonumber(connections),
          requests = tonumber(requests), restarts = tonumber(restarts)}
      end
    end
    return list
  end

  local function signal(pid, name)
    os.execute(("kill -%s %d 2>/dev/null"):format(name, pid))
  end

  -- Waits until process `index` serves under another pid than `before`, and tells of it.
  local function wait_replaced(index, before)
    return support.wait_until("another process " .. index, function()
      local now = processes()[index]
      return now and now.pid ~= before and now
    end)
  end

  -- A connection that has been taken by process `index`.
  local function connect_to(index)
    return support.wait_until("a connection to process " .. index, function()
      local connection = server:connect()
      if connection:request("GET", "/who").body:match("^%S+ (%d+)") == tostring(index) then
        return connection
      end
      connection:close()
    end)
  end

  local function assert_even(counts, share)
    local a, b = counts[0] or 0, counts[1] or 0
    assert.is_true(math.abs(a - b) <= share * (a + b) / 2 + 1, ("%d and %d"):format(a, b))
  end

  -- ------------------------------------------------------------ who serves

  it("says who is who", function()
    serve(SITE)
    local found = {}
    support.wait_until("both to answer", function()
      found[server:get("/who").body] = true
      return found["processes 0 2"] and found["processes 1 2"]
    end)
    assert.truthy(server:stderr():find("module variables are not shared", 1, true))
    stop()
  end)

  it("shares kept connections evenly", function()
    serve(SITE)
    local counts, connections = {}, {}
    for at = 1, 200 do
      connections[at] = server:connect()
      local index = tonumber(connections[at]:request("GET", "/who").body:match("^%S+ (%d+)"))
      counts[index] = (counts[index] or 0) + 1
    end
    assert_even(counts, 0.1)
    local told = processes()
    assert.equal(counts[0], told[0].connections)
    assert.equal(counts[1], told[1].connections)
    for _, connection in ipairs(connections) do connection:close() end
    stop()
  end)

  it("shares short connections evenly", function()
    serve(SITE)
    local counts = {}
    for _ = 1, 400 do
      local index = tonumber(server:get("/who").body:match("^%S+ (%d+)"))
      counts[index] = (counts[index] or 0) + 1
    end
    assert_even(counts, 0.6) -- a busy machine lets one of them wait for the processor
    local told = processes()
    assert.equal(400, told[0].requests + told[1].requests)
    stop()
  end)

  it("leaves no connection to a process that stands still", function()
    serve(SITE)
    local pid = processes()[1].pid
    signal(pid, "STOP")
    finally(function() signal(pid, "CONT") end)
    local connections = {}
    for at = 1, 30 do
      connections[at] = server:connect()
      assert.equal("processes 0 2", connections[at]:request("GET", "/who").body)
    end
    signal(pid, "CONT")
    connect_to(1):close()
    for _, connection in ipairs(connections) do connection:close() end
    stop()
  end)

  it("believes one cookie in all of them", function()
    serve([[
      local app = require("genet").app()
      app:sessions{max_age = 60}
      app:get("/set", function(req) req.session.name = "ann" return "set" end)
      app:get("/", function(req)
        return (req.session.name or "?") .. require("genet").worker().index
      end)
      return app]])
    local cookie = server:get("/set").headers["set-cookie"]:match("^[^;]+")
    local found = {}
    support.wait_until("both to answer", function()
      local body = server:get("/", {"Cookie: " .. cookie}).body
      assert.matches("^ann[01]$", body)
      found[body] = true
      return found.ann0 and found.ann1
    end)
    stop()
  end)

  it("runs timers of the scripts once", function()
    local directory = support.directory()
    finally(function() support.remove(directory) end)
    server = support.serve{args = {"--processes", "3"}, env = {FILE = directory .. "/ticks"},
      script = [[
        local genet = require "genet"
        local app = genet.app()
        local function note(what)
          local file = io.open(os.getenv "FILE", "a")
          file:write(what, genet.worker().index, "\n")
          file:close()
        end
        genet.every(0.02, function() note("tick ") end)
        genet.after(0, function() note("after ") end)
        return app]]}
    local function ticks() return support.read_file(directory .. "/ticks") end
    support.wait_until("ticks", function() return select(2, ticks():gsub("tick", "")) >= 5 end)
    assert.is_nil(ticks():find("[12]\n"))
    assert.equal(1, select(2, ticks():gsub("after 0\n", "")))
    signal(processes()[0].pid, "KILL")
    support.wait_until("its successor's", function()
      return select(2, ticks():gsub("after 0\n", "")) == 2
    end)
    local before = #ticks()
    support.wait_until("more ticks", function() return #ticks() > before + 50 end)
    assert.is_nil(ticks():find("[12]\n"))
    stop()
  end)

  -- ------------------------------------------------------------ deaths

  it("replaces a process that is killed, and says why; the other one's connections stay", function()
    serve(SITE)
    local first = processes()
    local kept, lost = connect_to(0), connect_to(1)
    signal(first[1].pid, "KILL")
    assert.truthy(lost:is_closed())
    assert.equal("hello", server:get("/hello").body)
    local fresh = wait_replaced(1, first[1].pid)
    assert.equal(1, fresh.restarts)
    assert.equal(first[0].pid, processes()[0].pid)
    assert.equal("processes 0 2", kept:request("GET", "/who").body)
    server:wait_for_log(("process 1 (pid %d) was killed by SIGKILL"):format(first[1].pid))
    connect_to(1):close()
    kept:close()
    stop()
  end)

  it("rests for longer and longer when they die quickly", function()
    serve([[
      local app = require("genet").app()
      app:get("/", function() return "here" end)
      if io.open(os.getenv "XDG_RUNTIME_DIR" .. "/die") then os.exit(7) end
      return app]])
    support.write_file(server.directory .. "/die", "")
    signal(processes()[0].pid, "KILL")
    for _, rest in ipairs{"0.1", "0.2", "0.4"} do
      server:wait_for_log(("the next one starts in %s s"):format(rest))
      assert.equal("here", server:get("/").body)
    end
    assert.truthy(server:stderr():find("ended with status 7", 1, true))
    os.remove(server.directory .. "/die")
    support.wait_until("it to serve again", function() return processes()[0] end)
    stop()
  end)

  it("serves on where a replacement cannot load the scripts, and goes on trying", function()
    serve(SITE)
    server:save("main.lua", "this is no Lua")
    local before = processes()[0].pid
    signal(before, "KILL")
    server:wait_for_log("cannot start: ")
    for _ = 1, 10 do assert.equal("processes 1 2", server:get("/who").body) end
    server:save("main.lua", SITE)
    wait_replaced(0, before)
    stop()
  end)

  it("takes all processes along when it is killed", function()
    serve(SITE)
    local told = processes()
    local waiter = server:ask("/long")
    server:kill()
    support.wait_gone(told[0].pid)
    support.wait_gone(told[1].pid)
    waiter:close()
    server:clean()
  end)

  -- ------------------------------------------------------------ reloading

  local function versioned(version)
    return ([[
      local genet = require "genet"
      local app = genet.app()
      app:get("/", function() return "v%d" end)
      app:get("/reload", function() return {genet.reload()} end)
      return app]]):format(version)
  end

  local function assert_all(version)
    for _ = 1, 20 do assert.equal("v" .. version, server:get("/").body) end
  end

  it("reloads all of them, by the command, by SIGHUP and from a script", function()
    serve(versioned(1))
    server:save("main.lua", versioned(2))
    local told = server:tell("reload")
    assert.equal("generation 2 serves\n", told.out)
    assert_all(2)
    server:save("main.lua", versioned(3))
    server:signal("HUP")
    server:wait_for_log("generation 3 serves")
    assert_all(3)
    server:save("main.lua", versioned(4))
    assert.equal("[4]", server:get("/reload").body)
    assert_all(4)
    local list = processes()
    assert.equal(4, list[0].generation)
    assert.equal(4, list[1].generation)
    stop()
  end)

  it("reloads none where one cannot, with one error", function()
    serve(([[
      local genet = require "genet"
      if genet.generation() == 2 and genet.worker().index == 1 then error("not here") end
    ]]) .. versioned(1))
    local told = server:tell("reload")
    assert.equal(1, told.status)
    assert.truthy(told.err:find("not here", 1, true), told.err)
    assert.equal(1, select(2, server:stderr():gsub("not reloaded", "")))
    local list = processes()
    assert.equal(1, list[0].generation)
    assert.equal(1, list[1].generation)
    assert.matches("not here", server:get("/reload").body)
    server:save("main.lua", versioned(2))
    assert.equal("generation 2 serves\n", server:tell("reload").out)
    assert_all(2)
    stop()
  end)

  it("reloads none where one does not answer", function()
    serve(versioned(1), "--load-timeout", "0.1")
    local pid = processes()[1].pid
    signal(pid, "STOP")
    finally(function() signal(pid, "CONT") end)
    server:save("main.lua", versioned(2))
    local told = server:tell("reload")
    assert.matches("process 1 does not answer", told.err)
    assert.equal("v1", server:get("/").body)
    signal(pid, "CONT")
    assert.equal("generation 2 serves\n", server:tell("reload").out)
    assert_all(2)
    stop()
  end)

  it("reloads when a script is saved", function()
    serve(versioned(1), "--reload")
    server:save("main.lua", versioned(2))
    server:wait_for_log("generation 2 serves")
    assert_all(2)
    local before = processes()[0].pid
    signal(before, "KILL")
    wait_replaced(0, before)
    server:wait_for_log("generation 3 serves") -- who watches has missed what changed meanwhile
    server:save("main.lua", versioned(4))
    server:wait_for_log("generation 4 serves")
    assert_all(4)
    stop()
  end)

  it("mixes nothing amid a storm of reloads, half of them broken", function()
    serve(versioned(1))
    local load = server:load("/", "6 keep", "^v%d+$")
    local good = 1
    for at = 2, 21 do
      local broken = at % 2 == 0
      server:save("main.lua", broken and "return nonsense(" or versioned(at))
      assert.equal(broken and 1 or 0, server:tell("reload").status)
      if not broken then good = at end
      for _ = 1, 6 do assert.equal("v" .. good, server:get("/").body) end
    end
    local counts = load:finish()
    assert.equal(0, counts.wrong + counts.cut + counts.refused, counts.text)
    stop()
  end)

  -- ------------------------------------------------------------ more and fewer

  it("has more by SIGTTIN and fewer by SIGTTOU", function()
    serve(SITE)
    server:signal("TTIN")
    support.wait_until("a third process", function() return processes()[2] end)
    local waiter = connect_to(2)
    assert.equal("processes 2 3", waiter:request("GET", "/who").body)
    waiter:ask("/slow")
    local pid = processes()[2].pid
    server:signal("TTOU")
    assert.equal("slow", waiter:response().body)
    support.wait_gone(pid)
    waiter:close()
    server:signal("TTOU")
    support.wait_until("one to be left", function() return not processes()[1] end)
    server:signal("TTOU")
    server:wait_for_log("the last process stays")
    assert.equal("processes 0 1", server:get("/who").body)
    stop()
  end)

  -- ------------------------------------------------------------ the beginning and the end

  it("does not begin when the scripts do not load, and says so once", function()
    local directory = support.directory{["main.lua"] = "error('broken from the start')"}
    finally(function() support.remove(directory) end)
    local result = support.run{"runserver", directory, "-p", "0", "--processes", "3"}
    assert.equal(1, result.status)
    assert.equal("", result.out)
    assert.equal(1, select(2, result.err:gsub("genet: [^\n]*broken from the start", "")),
      result.err)
  end)

  it("does not begin twice at one address", function()
    serve(SITE)
    local result = support.run{"runserver", server.scripts, "-p", tostring(server.port),
      "--processes", "2"}
    assert.equal(1, result.status)
    assert.truthy(result.err:find("cannot listen on", 1, true))
    stop()
  end)

  it("lets all finish when it is told to end", function()
    serve(SITE)
    local told = processes()
    local waiters = {}
    for at = 1, 20 do waiters[at] = server:ask("/slow") end
    support.wait_until("all to be taken", function()
      local now = processes()
      return now[0].requests + now[1].requests == 20
    end)
    server:signal("TERM")
    for _, waiter in ipairs(waiters) do
      assert.equal("slow", waiter:response().body)
      waiter:close()
    end
    assert.equal(0, server:wait())
    assert.is_false(support.runs(told[0].pid) or support.runs(told[1].pid))
    server:clean()
  end)

  it("ends well while a process still loads", function()
    local directory = support.directory()
    finally(function() support.remove(directory) end)
    local flag = directory .. "/wait"
    serve(([[
      local lfs = require "lfs"
      while lfs.attributes(%q) do require("genet").sleep(0.02) end
      ]]):format(flag) .. SITE)
    local before = processes()[0].pid
    support.write_file(flag, "")
    signal(before, "KILL")
    support.wait_until("another one to load", function()
      local pid = tonumber(server:tell("status").out:match("process 0: pid (%d+), loads"))
      return pid and pid ~= before
    end)
    server:signal("TERM")
    support.wait_until("the other one to end", function() return #server:children() == 1 end)
    os.remove(flag)
    assert.equal(0, server:wait())
    server:clean()
  end)

  it("ends at once when it is told twice", function()
    serve(SITE)
    local told = processes()
    local waiter = connect_to(0)
    waiter:ask("/long")
    server:signal("TERM")
    support.wait_until("it to listen no more", function()
      local connection = socket.connect(server.host, server.port)
      return not connection or not connection:close()
    end)
    assert.is_false(server:has_ended())
    server:signal("TERM")
    assert.equal(1, server:wait())
    support.wait_gone(told[0].pid)
    support.wait_gone(told[1].pid)
    waiter:close()
    server:clean()
  end)

  it("kills a process that does not end", function()
    serve(SITE, "--drain", "0.1")
    local pid = processes()[0].pid
    signal(pid, "STOP")
    server:signal("TERM")
    assert.equal(1, server:wait())
    assert.truthy(server:stderr():find(("process 0 (pid %d) does not end: killed"):format(pid), 1,
      true))
    support.wait_gone(pid)
    server:clean()
  end)

  it("keeps the file of a Unix socket until it ends, and leaves nothing then", function()
    local scripts = support.directory{["main.lua"] = SITE}
    local path = scripts .. "/socket"
    finally(function() support.remove(scripts) end)
    server = setmetatable(support.start{"runserver", scripts, "--listen", "unix:" .. path,
      "--processes", "2"}, {__index = function(_, name) return support.Server[name] end})
    support.wait_until("it to listen", function() return server:stdout():find("listening") end)
    local pid = processes()[0].pid
    signal(pid, "TERM")
    wait_replaced(0, pid)
    assert.equal("socket", lfs.attributes(path, "mode"))
    local directory = server.directory .. "/genet"
    server:signal("TERM")
    assert.equal(0, server:wait())
    assert.is_nil(lfs.attributes(path))
    for name in lfs.dir(directory) do assert.matches("^%.", name) end
    server:clean()
  end)

  it("answers for one process at a socket of its own", function()
    serve(SITE)
    local told = support.run{"status", "--control", server:control() .. ".1"}
    assert.matches("^pid " .. processes()[1].pid .. ",", told.out)
    stop()
  end)
end)
