-- Lua code that computes for long lets others run, is named in the log, and ends at a limit.
local socket = require "socket"
local support = require "tests.e2e.support"

local common = [[
local genet = require "genet"
local app = genet.app()

-- Uses so much processor time.
local function burn(seconds)
  local stop = os.clock() + seconds
  while os.clock() < stop do end
end

local function loop() while true do end end

local shared, flags = {}, genet.shared("flags")
app:get("/hello", function() return "hello" end)
]]

local function serve(script, ...)
  return support.serve{script = common .. script .. "\nreturn app", args = {...}}
end

-- One with a single Lua state in every mode.
local function serve_from_one(script, ...)
  return support.one_state().serve{script = common .. script .. "\nreturn app", args = {...}}
end

-- How often a plain text is in the log.
local function count(log, text)
  local found, from = 0, 1
  while true do
    local first, last = log:find(text, from, true)
    if not first then return found end
    found, from = found + 1, last + 1
  end
end

describe("two requests that loop for ever", function()
  local server

  setup(function()
    server = serve([[
      app:get("/one", function() while true do end end)
      app:get("/two", function() local n = 0 while true do n = n + 1 end end)
    ]], "--cpu-limit", "4")
  end)
  teardown(function() server:stop() end)

  it("let others be answered, are named in the log, and end with 503", function()
    local asked, slow = 150, 0
    local one, two, other = server:ask("/one"), server:ask("/two"), server:connect()
    server:wait_for_log("GET /one: has computed without waiting")
    server:wait_for_log("GET /two: has computed without waiting")
    for _ = 1, asked do
      local start = socket.gettime()
      assert.equal("hello", other:request("GET", "/hello").body)
      if socket.gettime() - start > 1 then slow = slow + 1 end
    end
    assert.is_nil(server:stderr():find("processor time", 1, true)) -- they still ran
    assert.is_true(slow < asked / 100, slow .. " answers were slow")
    for path, connection in pairs{["/one"] = one, ["/two"] = two} do
      assert.equal(503, connection:response().status)
      assert.equal("hello", connection:request("GET", "/hello").body)
      local log = server:stderr()
      assert.equal(1, count(log, "GET " .. path .. ": has computed without waiting for"))
      assert.equal(1, count(log, "error [1] GET " .. path))
      connection:close()
    end
    local log = server:stderr()
    assert.truthy(log:find("error %[1%] GET /one: [^\n]*main.lua:14: "
      .. "more than 4 s of processor time\n"
      .. "stack traceback:\n[^\n]*main.lua:14: in field 'handler'"), log)
    other:close()
  end)
end)

-- Each is the body of a handler that must not outlive its limit, wherever its loop is.
local places = {
  ["a coroutine"] = "coroutine.wrap(loop)()",
  ["coroutines in coroutines"] = [[
    local co = coroutine.wrap(function() coroutine.wrap(loop)() end)
    while true do pcall(co) end]],
  ["a coroutine that yields"] = [[
    local co = coroutine.wrap(function() while true do coroutine.yield() end end)
    while true do co() end]],
  ["coroutines that are made over and over"] = [[
    while true do coroutine.resume(coroutine.create(function() return 1 end)) end]],
  ["coroutines that fail over and over"] = [[
    while true do coroutine.resume(coroutine.create(error)) end]],
  ["a call that is protected again and again"] = "while true do pcall(loop) end",
  ["a call that fails again and again"] = "while true do pcall(error) end",
  ["a message handler"] = "xpcall(error, loop) return 'caught'",
  ["the message handler of its end"] = "while true do xpcall(loop, loop) end",
  ["a variable that is closed"] = [[
    local _ <close> = setmetatable({}, {__close = loop})
    return "closing"]],
  ["a variable that is closed by its end"] = [[
    local _ <close> = setmetatable({}, {__close = loop})
    loop()]],
  ["a variable that is closed with its coroutine"] = [[
    local co = coroutine.create(function()
      local _ <close> = setmetatable({}, {__close = loop})
      coroutine.yield()
    end)
    coroutine.resume(co)
    while true do coroutine.close(co) end]],
  ["a variable that a failed coroutine leaves"] = [[
    coroutine.wrap(function()
      local _ <close> = setmetatable({}, {__close = loop})
      loop()
    end)()]],
  ["a callback of string.gsub"] = "return (('x'):gsub('x', loop))",
  ["a comparison of table.sort"] = "table.sort({1, 2, 3}, loop)",
  ["a metamethod"] = "return setmetatable({}, {__index = loop}).x",
  ["finalizers"] = "while true do setmetatable({}, {__gc = loop}) collectgarbage() end",
  ["an iterator"] = "for _ in loop do end",
  ["a hook"] = "debug.sethook(loop, 'c') tostring(1)",
  ["the depths of a recursion"] = [[
    local function down(n) if n == 0 then loop() end return 1 + down(n - 1) end
    return down(100000)]],
  ["the depths of callbacks"] = [[
    local function down(n)
      if n == 0 then loop() end
      return (("x"):gsub("x", function() return down(n - 1) end))
    end
    return down(150)]],
  ["a recursion that overflows and is caught"] = [[
    local function down() return 1 + down() end
    while true do pcall(down) end]],
  ["small C functions"] = "local s = ('x'):rep(1000) while true do s:upper():find('y') end",
  ["a large C function"] = [[
    local s, pattern = ("a"):rep(24), ("a*"):rep(8) .. "b"
    while true do s:find(pattern) end]],
  ["a load"] = "while true do load('return ' .. ('1 + '):rep(1000) .. '1') end",
  ["code that waits now and then"] = "while true do burn(0.02) genet.sleep(0.001) end",
  ["code that yields"] = "while true do burn(0.02) genet.yield() end",
  ["code that is not preempted"] = "genet.uninterrupted(loop)",
  ["code of the framework"] = [[
    while true do genet.html_escape("a & b") genet.log.debug("nothing") end]],
}

describe("a loop", function()
  local server

  setup(function()
    local script, number = {}, 0
    for what, body in pairs(places) do
      number = number + 1
      places[what] = "/place/" .. number
      script[number] = ("app:get(%q, function() %s end)"):format(places[what], body)
    end
    server = serve(table.concat(script, "\n"), "--cpu-limit", "0.3", "--slice-ms", "20")
  end)
  teardown(function() server:stop() end)

  for what in pairs(places) do
    it("in " .. what .. " ends with 503", function()
      local connection = server:ask(places[what])
      local response = connection:response()
      assert.equal("503 Service Unavailable\n", response.body, server:stderr())
      assert.equal(503, response.status)
      assert.equal("hello", connection:request("GET", "/hello").body)
      local log = server:stderr()
      assert.equal(1, count(log, "error [1] GET " .. places[what] .. ":"), log)
      connection:close()
    end)
  end
end)

describe("code that has used up its processor time", function()
  local server

  setup(function()
    server = serve_from_one([[
      app:get("/cleanup", function()
        local lock = genet.lock()
        shared.lock = lock
        local _ <close> = lock:acquire()
        local ok, err = pcall(loop)
        shared.err = tostring(err)
        genet.sleep(0.01)
        error("cleaned up", 0)
      end)
      app:get("/cleaned", function()
        return tostring(shared.err) .. tostring(shared.lock:acquire(0) ~= nil)
      end)
      app:get("/task", function()
        local task = genet.spawn({name = "looper"}, function() while true do end end)
        local ok, err = task:wait()
        return ("%s %s %s"):format(task:status(), ok, err)
      end)
      app:get("/waits", function()
        for _ = 1, 20 do burn(0.01) genet.sleep(0.01) end
        return "not over it"
      end)
      app:get("/streams", function(req)
        req:start(200, {})
        req:write("a beginning")
        loop()
      end)

      genet.spawn(function()
        for n = 1, math.huge do
          shared.rounds = n
          burn(0.02)
          genet.sleep(0.001)
        end
      end)
      app:get("/rounds", function() return tostring(shared.rounds) end)
    ]], "--cpu-limit", "0.3", "--slice-ms", "20")
  end)
  teardown(function() server:stop() end)

  it("may clean up", function()
    assert.equal(503, server:get("/cleanup").status)
    assert.truthy(server:get("/cleaned").body:find("more than 0.3 s of processor time" .. "true"))
  end)

  it("fails, if it is a task", function()
    local body = server:get("/task").body
    assert.truthy(body:find("^failed nil .*main.lua:%d+: more than 0.3 s of processor time"), body)
    assert.equal(1, count(server:stderr(), "task looper: has computed without waiting"))
  end)

  it("has not waited for it: only processor time counts", function()
    assert.equal("not over it", server:get("/waits").body)
  end)

  it("cuts an answer short that has begun", function()
    local connection = server:ask("/streams")
    assert.truthy(connection:read_all():find("a beginning", 1, true))
    connection:close()
  end)

  it("goes on in the background, where each wait begins anew", function()
    support.wait_until("rounds", function()
      return tonumber(server:get("/rounds").body) > 40 -- 0.8 s
    end)
  end)
end)

describe("code that computes for long", function()
  local server

  setup(function()
    server = serve([[
      app:get("/flag", function() flags:set("up", true) return "up" end)
      app:get("/spin", function()
        while not flags:get("up") do end
        return "seen"
      end)
      app:get("/uninterrupted", function()
        local others, stop = 0, false
        genet.spawn(function() while not stop do others = others + 1 genet.yield() end end)
        genet.yield()
        local before = others
        local result = genet.uninterrupted(function(...) burn(0.3) return ... end, "result")
        local during = others - before
        pcall(genet.uninterrupted, error)
        burn(0.3)
        stop = true
        return ("%s %d %s"):format(result, during, others > before)
      end)
      app:get("/line-hook", function()
        local lines = 0
        local function hook() lines = lines + 1 end
        debug.sethook(hook, "l")
        burn(0.3)
        local before = lines
        burn(0.3)
        local same = debug.gethook() == hook
        debug.sethook()
        return ("%s %s"):format(same, lines > before)
      end)
      app:get("/count-hook", function()
        debug.sethook(function() error("enough", 0) end, "", 100000000)
        local ok, err = pcall(loop)
        debug.sethook()
        return err
      end)
      app:get("/long", function() burn(1.5) return "done" end)
      app:get("/c-function", function()
        local s = ("a"):rep(26)
        local found = s:find(("a*"):rep(8) .. "b")
        return tostring(found)
      end)
      app:get("/coroutine", function()
        coroutine.wrap(function()
          for _ = 1, 1e8 do end
        end)()
        return "ran"
      end)
      app:get("/blocks", function()
        setmetatable({}, {__gc = function() genet.sleep(0.6) end})
        collectgarbage()
        genet.sleep(0.01)
        return "blocked"
      end)
    ]], "--cpu-limit", "0", "--slice-ms", "20")
  end)
  teardown(function() server:stop() end)

  it("lets others change what it looks at", function()
    local spinner = server:ask("/spin")
    server:wait_for_log("GET /spin: has computed")
    assert.equal("up", server:get("/flag").body)
    assert.equal("seen", spinner:response().body)
    spinner:close()
  end)

  it("is not preempted in genet.uninterrupted", function()
    assert.equal("result 0 true", server:get("/uninterrupted").body)
  end)

  it("keeps a hook of its own", function()
    assert.equal("true true", server:get("/line-hook").body)
    assert.equal("enough", server:get("/count-hook").body)
  end)

  it("may go on for ever without a limit", function()
    assert.equal("done", server:get("/long").body)
  end)

  it("is named with the C function that it is in", function()
    assert.equal("nil", server:get("/c-function").body)
    local log = server:stderr()
    assert.truthy(log:find("GET /c%-function: the C function 'find' has held the thread for "
      .. "%d+ ms\nstack traceback:\n\t%[C%]: in function 'string.find'\n[^\n]*main.lua:51:"), log)
  end)

  it("is named with its coroutine and the handler around it", function()
    assert.equal("ran", server:get("/coroutine").body)
    local log = server:stderr()
    local at = log:find("GET /coroutine: has computed without waiting", 1, true)
    assert.truthy(log:find("main.lua:56: in function.-main.lua:55: in field 'handler'", at), log)
  end)

  it("is named once per place and minute", function()
    local one = serve_from_one([[
      app:get("/often/<n>", function(_, n) for _ = 1, 5e7 do end return n end)
    ]], "--slice-ms", "20")
    finally(function() one:stop() end)
    for n = 1, 3 do one:get("/often/" .. n) end
    assert.equal(1, count(one:stderr(), "GET /often/"))
  end)

  it("is not what blocks the thread without computing, which is named too", function()
    assert.equal("blocked", server:get("/blocks").body)
    local log = server:stderr()
    assert.truthy(log:find("GET /blocks: has blocked the thread for %d+ ms without computing, "
      .. "before it came here\nstack traceback:\n[^\n]*\n[^\n]*main.lua:63:"), log)
  end)
end)

describe("without a slice", function()
  local server

  setup(function()
    server = serve_from_one([[
      app:get("/flag", function() flags:set("up", true) return "up" end)
      app:get("/spin", function() while not flags:get("up") do end return "seen" end)
    ]], "--slice-ms", "0", "--cpu-limit", "1")
  end)
  teardown(function() server:stop() end)

  it("nobody is preempted, but the limit holds", function()
    local spinner = server:ask("/spin")
    socket.sleep(0.1)
    local flag = server:ask("/flag")
    assert.equal(503, spinner:response().status)
    assert.equal("up", flag:response().body)
    spinner:close()
    flag:close()
  end)
end)

describe("scripts that loop while they load", function()
  it("fail the start", function()
    local scripts = support.directory{["main.lua"] = "while true do end"}
    finally(function() support.remove(scripts) end)
    local result = support.run{"runserver", scripts, "-p", "0", "--cpu-limit", "0.3"}
    assert.equal(1, result.status)
    assert.truthy(result.err:find("loading the scripts: has computed", 1, true), result.err)
    assert.truthy(result.err:find("main.lua:1: more than 0.3 s of processor time", 1, true),
      result.err)
  end)
end)

describe("genet run", function()
  local function run(script, ...)
    local directory = support.directory{["main.lua"] = script}
    finally(function() support.remove(directory) end)
    local arguments = {"run", ...}
    table.insert(arguments, directory .. "/main.lua")
    return support.run(arguments)
  end

  it("lets tasks run while the script computes", function()
    local result = run[[
      local genet = require "genet"
      local done = false
      genet.spawn(function() genet.sleep(0.1) done = true end)
      while not done do end
      print("seen")
    ]]
    assert.equal("seen\n", result.out)
    assert.equal(0, result.status)
  end)

  it("ends a script at its limit, if it has one", function()
    local result = run("while true do end", "--cpu-limit=0.2")
    assert.equal(1, result.status)
    assert.truthy(result.err:find("more than 0.2 s of processor time", 1, true), result.err)
  end)
end)
