--- genet.shared: one dictionary for requests, generations, lives and processes of a host.
local lfs = require "lfs"
local support = require "tests.e2e.support"

local SCRIPT = [[
local genet = require "genet"
local app = genet.app()
local d = genet.shared("main")
app:sessions{store = genet.shared("sessions"), secret = ("s"):rep(32)}
app:get("/none", function() return "nothing" end)
app:get("/pid", function() return io.open("/proc/self/stat"):read("n") .. "" end)
app:get("/incr", function() return tostring(d:incr("n", 1, 0)) end)
app:get("/get/<key>", function(req, key) return {value = d:get(key)} end)
app:get("/set/<key>/<value>", function(req, key, value)
  return {ok = d:set(key, {text = value, list = {1, 2}}), generation = genet.generation()}
end)
app:get("/fill/<int:n>", function(req, n)
  for i = 1, n do assert(d:set("key " .. i, "value " .. i)) end
  return tostring(#d:keys("key "))
end)
app:get("/sum", function()
  local n = 0
  for i = 1, 100000 do
    local value = d:get("key " .. i)
    if not value then break end
    assert(value == "value " .. i)
    n = n + 1
  end
  return tostring(n)
end)
app:get("/watch/<key>", function(req, key)
  local ok, value = d:watch(key, 20, tonumber(req.args.version))
  return ok and tostring(type(value) == "table" and value.text or value) or value
end)
app:get("/brief/<key>", function(req, key)
  return select(2, genet.timeout(0.05, function() return d:watch(key) end))
end)
app:get("/update", function()
  return tostring(d:update("total", function(n)
    genet.sleep(0.001)
    return (n or 0) + 1
  end))
end)
app:get("/watchers", function(req)
  local woken, tasks = 0, {}
  for i = 1, tonumber(req.args.n) do
    tasks[i] = genet.spawn(function()
      local ok, value = d:watch("signal", 20)
      if ok and value == "now" then woken = woken + 1 end
    end)
  end
  genet.sleep(0.05)
  d:set("signal", "now")
  genet.all(tasks)
  return tostring(woken)
end)
app:get("/full/<int:n>", function(req, n)
  local dict = genet.shared("full", {eviction = req.args.eviction})
  local failed
  for i = 1, n do
    local ok, problem = dict:set("k" .. i, ("x"):rep(1000))
    failed = failed or problem
  end
  local stats = dict:stats()
  return {failed = failed, evicted = stats.evicted, used = stats.used <= stats.limit}
end)
app:get("/login", function(req) req.session.user = "ann" return "in" end)
app:get("/user", function(req) return req.session.user or "nobody" end)
return app
]]

describe("genet.shared", function()
  local server, state

  before_each(function() state = support.directory() end)
  after_each(function()
    if server then server:stop() end
    server = nil
    support.remove(state)
  end)

  local function serve(on_disk, ...)
    local args = {"--log-level", "warn", ...}
    if on_disk then table.move({"--state", state}, 1, 2, #args + 1, args) end
    server = support.serve{script = SCRIPT, args = args}
    return server
  end

  it("counts over requests and generations", function()
    serve(false)
    for i = 1, 3 do assert.equal(tostring(i), server:get("/incr").body) end
    assert.matches('"generation":1', server:get("/set/a/text").body)
    assert.equal(0, server:tell("reload").status)
    assert.matches('"generation":2', server:get("/set/b/text").body)
    assert.equal("4", server:get("/incr").body)
    assert.matches('"text":"text"', server:get("/get/a").body)
  end)

  it("lives in a directory that goes with the host", function()
    serve(false)
    server:get("/incr")
    local there = support.shared_directories(server.pid)
    assert.equal(1, #there)
    assert.equal("rwx------", lfs.attributes("/dev/shm/" .. there[1], "permissions"))
    server:stop()
    assert.same({}, support.shared_directories(server.pid))
    server = nil
  end)

  it("makes no directory for who does not use it", function()
    support.only("default threaded", "the parent makes it before they ask", pending)
    server = support.serve{script = [[
      local app = require("genet").app()
      app:get("/", function() return "hello" end)
      return app
    ]]}
    server:get("/")
    assert.same({}, support.shared_directories(server.pid))
  end)

  it("removes what a killed host has left", function()
    local first = serve(false)
    first:get("/incr")
    first:kill()
    assert.equal(1, #support.shared_directories(first.pid))
    first:clean()
    serve(false)
    assert.equal("1", server:get("/incr").body)
    assert.same({}, support.shared_directories(first.pid))
    assert.equal(1, #support.shared_directories(server.pid))
  end)

  it("survives a restart with --state, and kill -9", function()
    local count = support.crowd_size(10000)
    serve(true)
    assert.equal(tostring(count), server:get("/fill/" .. count).body)
    server:get("/incr")
    server:stop()
    serve(true)
    assert.equal(tostring(count), server:get("/sum").body)
    assert.equal("2", server:get("/incr").body)
    server:kill()
    server:clean()
    serve(true)
    assert.equal(tostring(count), server:get("/sum").body)
    assert.equal("3", server:get("/incr").body)
  end)

  it("is shared by two hosts on one directory", function()
    local other = serve(true)
    serve(true)
    local done, problem = pcall(function()
      assert.equal("1", other:get("/incr").body)
      assert.equal("2", server:get("/incr").body)
      local waiting = server:ask("/watch/x?version=0")
      other:get("/set/x/hello")
      assert.equal("hello", waiting:response().body)
      waiting:close()
    end)
    other:stop()
    if not done then error(problem, 0) end
    assert.equal("3", server:get("/incr").body)
  end)

  it("wakes all who watch, here and elsewhere", function()
    serve(false)
    local n = support.crowd_size(1000)
    assert.equal(tostring(n), server:get("/watchers?n=" .. n).body)
    assert.equal("timeout", server:get("/brief/x").body)
  end)

  it("updates without losing one", function()
    serve(false)
    local n = support.crowd_size(200)
    local crowd = server:crowd(n, "/update")
    local sum = 0
    for answer, times in pairs(crowd:answers()) do
      assert.matches("^200 %d+$", answer)
      sum = sum + times
    end
    assert.equal(n, sum)
    assert.equal(tostring(n + 1), server:get("/update").body)
  end)

  it("lets the unused go when memory is full, or says so", function()
    serve(false, "--shared-memory", "1M")
    local lru = server:get("/full/3000?eviction=lru").body
    assert.matches('"used":true', lru)
    assert.matches('"evicted":%d%d', lru)
    assert.not_matches("failed", lru)
    server:stop()
    serve(false, "--shared-memory", "1M")
    local strict = server:get("/full/3000?eviction=error").body
    assert.matches('"failed":"no memory"', strict)
    assert.matches('"evicted":0', strict)
  end)

  it("keeps sessions", function()
    serve(true)
    local cookie = server:get("/login").headers["set-cookie"]:match("^[^;]+")
    assert.equal("ann", server:get("/user", {"Cookie: " .. cookie}).body)
    server:stop()
    serve(true)
    assert.equal("ann", server:get("/user", {"Cookie: " .. cookie}).body)
    assert.equal("nobody", server:get("/user").body)
  end)

  it("is there for plain scripts, not for offloaded work", function()
    support.write_file(state .. "/main.lua", [[
      local genet = require "genet"
      print(genet.shared("a"):incr("n", 1, 0))
      print(select(2, pcall(genet.offload, function() return require("genet").shared("a") end)))
    ]])
    local result = support.run{"run", state .. "/main.lua"}
    assert.equal("", result.err)
    assert.matches("^1\n.*there is no store here", result.out)
    lfs.mkdir(state .. "/store")
    for i = 1, 2 do
      result = support.run{"run", "--state", state .. "/store", state .. "/main.lua"}
      assert.matches("^" .. i .. "\n", result.out)
    end
  end)

  it("refuses a directory that is none, or is damaged", function()
    local missing = support.run{"runserver", "--state", state .. "/nonesuch", "scripts"}
    assert.equal(2, missing.status)
    assert.matches("nonesuch.*no such file or directory", missing.err)
    support.write_file(state .. "/data.mdb", ("junk"):rep(10000))
    local damaged = support.run{"runserver", "--state", state, "-p", "0", "scripts"}
    assert.equal(1, damaged.status)
    assert.matches("the shared store in '[^']+' cannot be opened", damaged.err)
  end)
end)
