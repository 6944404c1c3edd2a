-- Processes are started, talked to and ended while other tasks run, and leave nothing behind.
local support = require "tests.e2e.support"
local script = require "tests.e2e.script"

describe("genet.process", function()
  -- What a script does, and what it then prints.
  local cases = {
    {"reads what a process writes", [[
      local child <close> = assert(process.spawn{"printf", "one\ntwo\nthree 4"})
      print(child:read(), child:read("L"), child:read(5), child:read("n"), child:read("l"))
      print(child:wait())]], "one\ttwo\n\tthree\t4\tnil\ntrue\texit\t0\n"},
    {"iterates over lines", [[
      for line in process.spawn{"seq", 3}:lines() do print("line", line) end]],
      "line\t1\nline\t2\nline\t3\n"},
    {"talks in both directions", [[
      local child <close> = process.spawn{"cat", stdin = "pipe"}
      for word in ("a b c"):gmatch("%a") do
        assert(child:write(word, "\n") == child)
        print(child:read())
      end
      print(child:wait(0))
      child:close_stdin()
      child:close_stdin()
      print(child:read(), child:wait())]], "a\nb\nc\nnil\ttimeout\nnil\ttrue\texit\t0\n"},
    {"tells how a process ended", [[
      print(process.spawn{"sh", "-c", "exit 3"}:wait())
      local child = process.spawn{"sleep", "1000"}
      print(child:kill("KILL"), child:wait())
      print(child:kill())
      print(child:wait())]],
      "nil\texit\t3\ntrue\tnil\tsignal\t9\nnil\tthe process has ended\nnil\tsignal\t9\n"},
    {"knows signals by name and number", [[
      for _, signal in ipairs{"INT", "SIGUSR1", 15} do
        local child = process.spawn{"sleep", "1000"}
        child:kill(signal)
        print(child:wait())
      end
      local child <close> = process.spawn{"sleep", "1000"}
      print(select(2, pcall(function() child:kill("NONE") end)))]],
      "^nil\tsignal\t2\nnil\tsignal\t10\nnil\tsignal\t15\n"
        .. ".*script.lua:%d+: process:kill: there is no signal 'NONE'\n$"},
    {"names what it cannot start", [[
      print(process.spawn{"nonesuch", "argument"})
      print(process.spawn{"/etc/passwd"})
      print(process.spawn{"true", cwd = "/nonesuch"})
      print(process.run{"nonesuch"})]],
      "nil\tnonesuch: No such file or directory\nnil\t/etc/passwd: Permission denied\n"
        .. "nil\t/nonesuch: No such file or directory\nnil\tnonesuch: No such file or directory\n"},
    {"sets the directory and the environment", [[
      print(process.run{"sh", "-c", "pwd; echo $A $B $HOME", cwd = "/usr",
        env = {A = "a", B = 2, HOME = false}})
      print((process.run{"/usr/bin/env", clear_env = true, env = {ONLY = "this"}}))]],
      "/usr\na 2\n\texit\t0\tnil\nONLY=this\n\n"},
    {"joins stderr with stdout", [[
      print((process.run{"sh", "-c", "echo out; echo err >&2", stderr = "stdout"}))]],
      "out\nerr\n\n"},
    {"keeps stderr apart", [[
      print(process.run{"sh", "-c", "echo out; echo err >&2; exit 4", stderr = "pipe"})]],
      "out\n\texit\t4\terr\n\n"},
    {"has two pipes at once", [[
      local child <close> = process.spawn{"sh", "-c", "echo out; echo err >&2", stderr = "pipe"}
      print(child.stderr:read("a"), child:read("a"))]], "err\n\tout\n\n"},
    {"takes files", [[
      local file <close> = io.tmpfile()
      file:write("before\n")
      process.spawn{"echo", "from the process", stdout = file}:wait()
      file:seek("set")
      print((process.run{"cat", stdin = file}))]], "before\nfrom the process\n\n"},
    {"inherits and discards", [[
      io.stdout:flush()
      process.spawn{"echo", "inherited", stdout = "inherit"}:wait()
      process.spawn{"echo", "discarded", stdout = "null"}:wait()
      print(process.run{"cat"})]], "inherited\n\texit\t0\tnil\n"},
    {"feeds a text", [[
      print((process.run{"sort", stdin = "b\na\n"}))
      print((process.run{"cat", input = "pipe"}))]], "a\nb\n\npipe\n"},
    {"feeds a child that reads nothing", [[
      print(process.run{"true", input = ("x"):rep(10 << 20)})
      local child <close> = process.spawn{"sleep", "1000", stdin = "pipe"}
      genet.after(0.05, function() child:kill() end)
      print(child:write(("x"):rep(10 << 20)))]], "\texit\t0\tnil\nnil\tBroken pipe\t32\n"},
    {"moves ten megabytes both ways", [[
      local data = ("0123456789abcdef"):rep(10 << 16)
      print(process.run{"cat", input = data} == data)
      local child <close> = process.spawn{"cat", stdin = "pipe"}
      genet.spawn(function() child:write(data) child:close_stdin() end)
      print(child:read("a") == data, child:wait())]], "true\ntrue\ttrue\texit\t0\n"},
    {"terminates a process for its timeout", [[
      print(process.run{"sleep", "1000", timeout = 0.05})
      print(process.run{"sh", "-c", "sleep 1000; true", timeout = 0.05})
      local text = "trap '' TERM; echo; while :; do sleep 0.01; done"
      local child = process.spawn{"sh", "-c", text, timeout = 0.3, grace = 0.05}
      child:read()
      print(child:wait())
      print(process.run{"sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait", timeout = 0.3})
      print(process.run{"true", timeout = 60})]],
      "\ttimeout\t15\tnil\n\ttimeout\t15\tnil\nnil\ttimeout\t9\n"
        .. "\ttimeout\t5\tnil\n\texit\t0\tnil\n"},
    {"lets many wait for one", [[
      local child = process.spawn{"sleep", "1000"}
      local tasks = {}
      for i = 1, 5 do tasks[i] = genet.spawn(function() return child:wait() end) end
      genet.sleep(0.02)
      child:kill()
      for _, task in ipairs(tasks) do print(task:wait()) end]],
      ("true\tnil\tsignal\t15\n"):rep(5)},
    {"ends what goes out of scope", [[
      local child
      do
        local scoped <close> = process.spawn{"sleep", "1000"}
        child = scoped
      end
      print(child:wait(0))
      print(pcall(function()
        local scoped <close> = process.spawn{"sleep", "1000"}
        child = scoped
        error("failed", 0)
      end))
      print(child:wait(0))]], "nil\tsignal\t15\nfalse\tfailed\nnil\tsignal\t15\n"},
    {"kills what is collected", [[
      process.spawn{"sleep", "1000"}
      collectgarbage()
      print(eventually(function() return children() == 0 end))]], "true\n"},
    {"reaps what nobody waits for", [[
      local kept = process.spawn{"true"}
      print(eventually(function() return children() == 0 end))
      print(kept:wait())]], "true\ntrue\texit\t0\n"},
    {"hands over three descriptors only", [[
      local listener = require("socket").bind("127.0.0.1", 0)
      local file = io.open("/etc/passwd")
      local list = process.run{"sh", "-c", "cd /proc/self/fd; for f in *; do echo $f; done"}
      print(listener and file and select(2, list:gsub("\n", "")) <= 4)]], "true\n"},
  }
  for _, case in ipairs(cases) do
    local what, text, expected = table.unpack(case)
    it(what, function()
      local printed = script.output(text)
      if expected:sub(1, 1) ~= "^" then return assert.equal(expected, printed) end
      assert.truthy(printed:find(expected), printed)
    end)
  end

  it("names the argument that is wrong", function()
    local mistakes = {
      {[[nil]], "a table was expected, not a nil"},
      {[[{}]], "a command was expected"},
      {[[{"ls", {}}]], "argument 2: a string was expected, not a table"},
      {[[{"l\0s"}]], "argument 1 holds a zero byte"},
      {[[{"ls", stdn = "pipe"}]], "unknown option 'stdn'"},
      {[[{"ls", stdout = "stdout"}]],
        "option 'stdout': 'pipe', 'null', 'inherit' or an open file was expected"},
      {[[{"ls", stderr = 2}]],
        "option 'stderr': 'pipe', 'null', 'inherit', 'stdout' or an open file was expected"},
      {[[{"ls", stdin = "pipe", input = ""}]], "option 'input' does not go with 'stdin'"},
      {[[{"ls", timeout = -1}]],
        "option 'timeout': a number of seconds from 0 was expected, not -1"},
      {[[{"ls", timeout = "1"}]], "option 'timeout': a number was expected, not a string"},
      {[[{"ls", cwd = 1}]], "option 'cwd': a string was expected, not a number"},
      {[[{"ls", env = {["A=B"] = "c"}}]], "option 'env': 'A=B' is not a name"},
    }
    for _, mistake in ipairs(mistakes) do
      local text = ("print(select(2, pcall(function() local p = process.spawn(%s) return p end)))")
        :format(mistake[1])
      local printed = script.output(text)
      assert.truthy(printed:find("script%.lua:1: genet%.process%.spawn: "), printed)
      assert.truthy(printed:find(mistake[2], 1, true), printed)
    end
  end)

  it("leaves nothing of cancelled tasks", function()
    local rounds = support.crowd_size(1000)
    assert.equal("true\tcancelled\ttrue\ntrue\ttrue\n", script.output(([[
      local places = {
        function() local child <close> = process.spawn{"sleep", "1000"} child:wait() end,
        function() local child <close> = process.spawn{"sleep", "1000"} child:read("a") end,
        function()
          local child <close> = process.spawn{"sleep", "1000", stdin = "pipe"}
          child:write(("x"):rep(1 << 20))
        end,
        function() process.run{"sh", "-c", "sleep 1000; true"} end,
        function() process.spawn{"sleep", "1000"}:wait() end,
      }
      local function round(i)
        local task = genet.spawn(places[i %% #places + 1])
        genet.yield()
        if i %% 7 == 0 then genet.sleep(0.001) end
        task:cancel()
        return select(2, task:wait())
      end
      local how = {}
      for i = 1, 5 do how[round(i)] = true end
      collectgarbage()
      eventually(function() return children() == 0 end)
      local before = descriptors()
      for i = 1, %d do how[round(i)] = true end
      print(how.cancelled, next(how))
      how = nil
      collectgarbage() collectgarbage()
      print(eventually(function() return children() == 0 end),
        eventually(function() return descriptors() == before end))]]):format(rounds)))
  end)
end)

describe("a server", function()
  it("has its handlers run processes at once", function()
    support.only("default", "it counts in a variable of one Lua state", pending)
    local server = support.serve{script = [[
      local genet = require "genet"
      require("genet.patch").patch_all()
      local now = require("genet.core").now
      local app = genet.app()
      local first, last, sum = math.huge, 0, 0
      app:get("/sleep", function()
        local start = now()
        local pipe = io.popen("sleep 1; printf slept")
        local text = pipe:read("a")
        pipe:close()
        first, last, sum = math.min(first, start), math.max(last, now()), sum + now() - start
        return text
      end)
      app:get("/ratio", function() return ("%g"):format(sum / (last - first)) end)
      return app
    ]]}
    finally(function() server:stop() end)
    local size = support.crowd_size(200)
    local crowd = server:crowd(size, "/sleep")
    crowd:wait_sent()
    assert.same({["200 slept"] = size}, crowd:answers())
    local ratio = tonumber(server:get("/ratio").body)
    assert.is_true(ratio > size / 4, "slept only so many times at once: " .. ratio)
  end)

  it("ends the processes of a handler that fails", function()
    local server = support.serve{script = [[
      local process = require "genet.process"
      local app = require("genet").app()
      local child
      app:get("/fail", function()
        local scoped <close> = process.spawn{"sleep", "1000"}
        child = scoped
        error("on purpose")
      end)
      app:get("/how", function() return table.concat({select(2, child:wait())}, " ") end)
      return app
    ]]}
    finally(function() server:stop() end)
    assert.equal(500, server:get("/fail").status)
    assert.equal("signal 15", server:get("/how").body)
  end)
end)
