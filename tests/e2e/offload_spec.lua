-- genet.offload: work on the pool's threads, in states of their own.
local lfs = require "lfs"
local support = require "tests.e2e.support"

-- Runs a script, with `off` and `genet` at hand, to its end; returns what it printed.
local function run(script, files)
  files = files or {}
  files["main.lua"] = 'local genet = require "genet"\n'
    .. 'local off = require("genet.offload").run\n' .. script
  local directory = support.directory(files)
  local result = support.run({"run", directory .. "/main.lua"})
  support.remove(directory)
  if result.status ~= 0 then error(result.err, 2) end
  return result.out, result.err
end

-- Whether each line of the script is an expression that is true there.
local function holds(script)
  assert.equal("true\n", run("print(" .. script .. ")"))
end

describe("what is offloaded", function()
  it("gets arguments and gives results of every plain type", function()
    assert.equal("ok\n", run[[
      local n, t, i, f, s, list, nothing = off(function(...)
        assert(select("#", ...) == 7)
        return ...
      end, nil, true, math.mininteger, 0.1, "a\0b", {1, nil, {x = "y"}, [10] = {}}, nil)
      assert(n == nil and t == true and i == math.mininteger and f == 0.1 and s == "a\0b")
      assert(list[1] == 1 and list[2] == nil and list[3].x == "y" and next(list[10]) == nil)
      assert(nothing == nil and select("#", off(function() return nil, nil end)) == 2)
      local null = require("genet.json").null
      assert(off(function(x) return x end, null) == null)
      local ring = {} ring.ring = ring
      local copy, again = off(function(a, b) return a, b.ring end, ring, ring)
      assert(copy.ring == copy and copy == again and copy ~= ring)
      print "ok"
    ]])
  end)

  it("may be any function of a module, in Lua or C, given or named", function()
    holds 'off(math.max, 1, 5, 2) == 5'
    holds 'off("string", "rep", "ab", 3) == "ababab"'
    holds 'off(require("genet.url").decode or string.upper, "a") ~= nil'
    assert.equal("4\t9\n", run([[
      print(off("lib.square", "of", 2), off(require("lib.square").of, 3))]],
      {["lib/square.lua"] = "return {of = function(x) return x * x end}"}))
    assert.equal("25\n", run([[print(off("square", nil, 5))]],
      {["square.lua"] = "return function(x) return x * x end"}))
  end)

  it("brings its upvalues: data, modules, and functions with theirs", function()
    assert.equal("6765\ttrue\t2,1\t1.5\n", run[[
      local concat, scale, list = table.concat, 0.5, {1, 2}
      local math, config = math, {by = {3}}
      local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
      local odd
      local function even(n) return n == 0 or odd(n - 1) end
      function odd(n) return n > 0 and even(n - 1) end
      local function sorted()
        table.sort(list, function(a, b) return a > b end)
        return concat(list, ",")
      end
      print(off(fib, 20), off(even, 10), off(sorted), off(function()
        return math.floor(config.by[1]) * scale
      end))
      assert(list[1] == 1)
    ]])
  end)

  it("sees the modules of the scripts, not their state, and not their globals", function()
    assert.equal("100\t1\tnil\n", run([[
      local counter = require "counter"
      counter.add(99)
      leaked = 1
      print(counter.add(1), off(function()
        return require("counter").add(1), leaked
      end))
    ]], {["counter.lua"] = [[
      local n, counter = 0, {}
      function counter.add(by) n = n + by return n end
      return counter
    ]]}))
  end)

  it("runs in a state that is kept for the next call", function()
    holds[[(function()
      off(function() package.loaded.mine = {7} end)
      return off(function() return package.loaded.mine[1] end)
    end)() == 7]]
  end)

  it("waits by holding up its own thread", function()
    assert.equal("slept\n", run[[
      local slept
      local task = genet.spawn(function()
        off(function() require("genet").sleep(0.2) end)
        slept = true
      end)
      genet.sleep(0.01)
      assert(not slept)
      task:wait()
      print(slept and "slept")
    ]])
  end)

  it("may use coroutines", function()
    assert.equal("1 2 3 false wrapped: main:7 end\n", run[[
      print(off(function()
        local function count() for i = 1, 2 do coroutine.yield(i) end return 3 end
        local next_one = coroutine.wrap(count)
        local a, b, c = next_one(), next_one(), next_one()
        local ok, err = pcall(coroutine.wrap(function() error("wrapped", 0) end))
        local thread = coroutine.create(count)
        coroutine.resume(thread)
        assert(coroutine.close(thread) and coroutine.status(thread) == "dead")
        assert(not pcall(coroutine.resume, 1) and not pcall(coroutine.wrap, 1))
        return ("%d %d %d %s %s: main:7 end"):format(a, b, c, ok, (err:match("wrapped")))
      end))
    ]])
  end)
end)

describe("an error in what is offloaded", function()
  it("is raised in the caller, a plain one as it is", function()
    assert.equal("main.lua:4: boom\nfalse 3\ntext of it\nfunction\n", run[[
      local _, err = pcall(off, function() local x
        error("boom")
      end)
      print((err:gsub("^.*/", "")))
      local ok, code = pcall(off, function() error({code = 3}) end)
      print(tostring(ok) .. " " .. code.code)
      print(select(2, pcall(off, function()
        error(setmetatable({}, {__tostring = function() return "text of it" end}))
      end)))
      print(select(2, pcall(off, function() error(print) end)):match("^%a+"))
    ]]:gsub("local x\n", "\n", 1))
  end)

  it("brings its traceback, from both sides", function()
    local _, err = pcall(run, [[
      local function deep() local list = nil return #list end
      genet.timeout(10, function() off(function() deep() end) end)
    ]])
    assert.truthy(err:find("main.lua:3: attempt to get length of a nil value", 1, true))
    assert.truthy(err:find("in upvalue 'deep'.-offloaded by:.-in function 'genet[%a.]*%.timeout'"))
  end)

  it("is told when its stack overflows", function()
    assert.equal("false stack overflow\n", run[[
      local ok, err = pcall(off, function()
        local function f() return 1 + f() end
        return f()
      end)
      print(tostring(ok) .. " " .. err:match("stack overflow"))
    ]])
  end)
end)

describe("misuse of genet.offload", function()
  local cases = {
    {'off()', 'genet.offload: a function or the name of a module was expected, not nothing'},
    {'off(7)', 'genet.offload: a function or the name of a module was expected, not a number'},
    {'off("string", 7)',
      "genet.offload: the name of a function of module 'string' was expected, not a number"},
    {'off(print, 1, {callback = print})', 'argument 2.callback is a function'},
    {'off(print, {[io.stdout] = 1})', 'a key of argument 1 is a userdata'},
    {'off(function() return 1, {{print}} end)', 'result 2[1][1] is a function'},
    {'local file = io.stdout off(function() return file end)', "upvalue 'file' is a userdata"},
    {'local t = {f = print} off(function() return t end)', "upvalue 't'.f is a function"},
    {'local g = io.lines("/dev/null") off(function() return g end)',
      "upvalue 'g' is a C function that no loaded module has"},
    {'local h = io.stdout local function g() return h end off(function() return g end)',
      "upvalue 'h' is a userdata"},
    {'off("no.such.module", "f")', "module 'no.such.module' not found"},
    {'off("string", "nosuch")', "module 'string' has no 'nosuch'"},
    {'off("string")', 'attempt to call a table value'},
    {'off(function() require("genet.offload").run(print) end)',
      'offloaded work cannot be offloaded again'},
    {'off(function() require("genet").spawn(print) end)', 'there are no tasks outside'},
    {'setmetatable({}, {__gc = function() problem = select(2, pcall(off, print)) end}) '
      .. 'collectgarbage() error(problem)', 'nothing may wait here'},
  }
  for _, case in ipairs(cases) do
    local script, expected = table.unpack(case)
    it(("is told: %s"):format(expected), function()
      local text = run(("_G.off = off print(select(2, pcall(load(%q, '=s'))))"):format(script))
      assert.truthy(text:find(expected, 1, true), text)
    end)
  end
end)

describe("a call that nobody waits for", function()
  it("is stopped where Lua runs, whatever catches errors there", function()
    assert.equal(("nil\ttimeout\n"):rep(5) .. "cancelled\n", run[[
      local loops = {
        function() while true do end end,
        function() while true do pcall(function() while true do end end) end end,
        function() coroutine.wrap(function() while true do end end)() end,
        function()
          coroutine.resume(coroutine.create(function()
            coroutine.wrap(function() while true do pcall(error) end end)()
          end))
        end,
        function() while true do require("genet").sleep(0.01) end end,
      }
      for round = 1, 3 do
        for _, loop in ipairs(loops) do
          local ok, err = genet.timeout(0.02, off, loop)
          if round == 1 then print(ok, err) end
        end
      end
      local task = genet.spawn(off, loops[1])
      genet.sleep(0.02)
      assert(task:cancel())
      print((select(2, task:wait())))
      assert(off(function() return 1 end) == 1)
    ]])
  end)

  it("has its state closed, and no later call finds that", function()
    assert.equal("nil\tnil\n", run[[
      local function loop() package.loaded.mark = true while true do end end
      print((genet.timeout(0.1, off, loop)), off(function() return package.loaded.mark end))
    ]])
  end)

  it("gives its place to those that wait, of which some may be cancelled too", function()
    assert.equal("42\n", run[[
      local tasks = {}
      for i = 1, 60 do tasks[i] = genet.spawn(off, function() while true do end end) end
      local last = genet.spawn(off, function() return 42 end)
      genet.sleep(0.05)
      for i = 60, 1, -1 do tasks[i]:cancel() end
      print(select(2, last:wait()))
    ]])
  end)

  it("leaks nothing, a thousand times over", function()
    local rounds = support.crowd_size(1000)
    assert.equal("ok\n", run(([[
      local lfs = require "lfs"
      local function count(what)
        local n = 0
        for _ in lfs.dir("/proc/self/" .. what) do n = n + 1 end
        return n
      end
      local text = ("x"):rep(1000)
      local function round(i)
        local data = {text .. i, {i}}
        if i %% 4 == 0 then
          genet.timeout(0, off, function(d) while true do d[1] = d[1] .. "" end end, data)
        elseif i %% 4 == 1 then
          local task = genet.spawn(off, function(d) while true do d[3] = {d} end end, data)
          if i %% 8 == 1 then genet.yield() end
          task:cancel()
          task:wait()
        elseif i %% 4 == 2 then
          assert(not pcall(off, function(d) error(d) end, data))
          assert(not pcall(off, function(d) return print end, data))
          assert(not pcall(off, function(d) return d end, {data, print}))
        else
          assert(off(function(d) return d[2][1] end, data) == i)
        end
      end
      for i = 1, 100 do round(i) end
      local fds = count("fd")
      for i = 1, %d do round(i) end
      assert(count("fd") == fds and count("task") <= 34)
      print "ok"
    ]]):format(rounds)))
  end)
end)

-- ---------------------------------------------------------------- beside others

local scripts = {["main.lua"] = [[
  local genet = require "genet"
  local off = require("genet.offload").run
  local app = genet.app()
  local state = {done = 0}

  app:get("/hello", function() return "hello" end)
  app:get("/done", function() return tostring(state.done) end)

  local function compute(path)
    io.open(path .. "/begun", "w"):close()
    local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
    while not io.open(path .. "/go") do fib(10) end
    return "computed"
  end

  app:get("/compute", function(req) return off(compute, req.args.path) end)
  app:get("/block", function(req)
    local command = "cd %s && touch begun && until [ -e go ]; do sleep 0.01; done"
    return tostring(off(os.execute, command:format(req.args.path)))
  end)
  app:get("/square/<int:n>", function(req, n)
    local square = off(function(i) return i * i end, n)
    state.done = state.done + 1
    return tostring(square)
  end)
  app:get("/loop", function() return off(function() while true do end end) end)
  app:get("/fail", function() off(function() require("lib.failing").fail() end) end)
  app:get("/print", function() off(function() print("said", "there") end) return "ok" end)
  app:get("/resolve", function()
    local socket = require "socket"
    return socket.dns.toip("localhost") or "unknown"
  end)
  return app
]], ["lib/failing.lua"] = [[
  local failing = {}
  function failing.fail() error("it failed there") end
  return failing
]]}

describe("a server whose handlers offload", function()
  local server, path

  before_each(function()
    server = support.serve{scripts = scripts, args = {"--drain", "1"}}
    path = support.directory()
  end)
  after_each(function()
    support.write_file(path .. "/go", "")
    server:stop()
    support.remove(path)
  end)

  local function await_begun()
    support.wait_until("the work to begin", function()
      return lfs.attributes(path .. "/begun", "mode") == "file"
    end)
  end

  for _, case in ipairs{{"/compute", "computed", "computes"}, {"/block", "true", "blocks in C"}} do
    local target, answer, what = table.unpack(case)
    it("answers others while one " .. what, function()
      local client = server:ask(target .. "?path=" .. path)
      finally(function() client:close() end)
      await_begun()
      for _ = 1, 20 do assert.equal("hello", server:get("/hello").body) end
      assert.is_false(client:has_news())
      support.write_file(path .. "/go", "")
      assert.equal(answer, client:response().body)
    end)
  end

  it("answers 200 at once", function()
    local count = support.crowd_size(200)
    local crowd = server:crowd(count, "/square/12")
    crowd:wait_sent()
    assert.same({["200 144"] = count}, crowd:answers())
  end)

  it("resolves names while more work waits than the pool has threads", function()
    support.only("default processes", "more requests wait than there are threads", pending)
    local clients = {}
    for i = 1, 40 do clients[i] = server:ask("/compute?path=" .. path) end
    await_begun()
    local answer = server:get("/resolve").body
    assert.equal("127.0.0.1", answer)
    for _, client in ipairs(clients) do assert.is_false(client:has_news()) end
    support.write_file(path .. "/go", "")
    for _, client in ipairs(clients) do
      assert.equal("computed", client:response().body)
      client:close()
    end
  end)

  it("logs the error with the traceback of the other state", function()
    assert.equal(500, server:get("/fail").status)
    server:wait_for_log("offloaded by:")
    local log = server:stderr()
    assert.truthy(log:find("lib/failing.lua:2: it failed there", 1, true))
    assert.truthy(log:find("in field 'fail'", 1, true)
      or log:find("in function 'lib.failing.fail'", 1, true))
  end)

  it("logs what is printed there", function()
    server:get("/print")
    server:wait_for_log("said\tthere")
    assert.is_nil(server:stdout():find("said", 1, true))
  end)

  it("ends while work goes on for ever", function()
    local client = server:ask("/loop")
    finally(function() client:close() end)
    support.wait_until("a thread of the pool", function() return server:threads() > 1 end)
    server:stop() -- within its patience, with status 0
    server = support.serve{scripts = scripts}
  end)
end)
