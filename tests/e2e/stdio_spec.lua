-- The functions of io and os that would hold the thread let other tasks run, and do otherwise
-- what Lua's own do.
local lfs = require "lfs"
local support = require "tests.e2e.support"
local script = require "tests.e2e.script"

-- What a script prints under the host, and under Lua itself where there is nothing to patch.
local function printed_by_both(text)
  local ours = script.output(text)
  local directory = support.directory{["script.lua"] = text}
  local pipe = io.popen("exec env --default-signal lua5.4 " .. directory .. "/script.lua")
  local theirs = pipe:read("a")
  pipe:close()
  support.remove(directory)
  return ours, theirs
end

describe("what io and os do", function()
  local cases = {
    {"popen reads", [[
      local f = io.popen("printf '1 2\nthree\n\nfive'; exit 3")
      print(io.type(f), f:read("n", "n", "L"), f:read(), f:read("l", "L", "l", "a"))
      print(f:close())
      print(io.type(f), pcall(f.read, f))]]},
    {"popen writes", [[
      local f = io.popen("cat; exit 4", "w")
      print(f:write("one ", 2, " ", 3.5, "\n") == f, f:seek("cur") == nil)
      io.stdout:flush()
      print(f:close())]]},
    {"statuses", [[
      print(io.popen("exit 0"):close())
      print(io.popen("kill -15 $$"):close())
      print(os.execute("exit 5"))
      print(os.execute("kill -9 $$"))
      print(os.execute("true"))
      print(os.execute())
      print(os.execute("nonesuch 2>/dev/null"))]]},
    {"lines", [[
      for line in io.popen("seq 3"):lines() do io.write("<", line, ">") end
      for a, b in io.popen("seq 4"):lines("n", "L") do io.write(a, b) end
      local f <close> = io.popen("seq 2")
      local next_line = f:lines()
      print(next_line(), next_line(), next_line())]]},
    {"mistakes", [[
      print(pcall(io.popen, "true", "rw"))
      print(pcall(io.popen))
      print(pcall(os.execute, {}))
      local f = io.popen("echo text")
      print(pcall(f.read, f, "x"))
      print(pcall(f.setvbuf, f, "none"))
      print(f:write("text"))
      print(pcall(f.lines, "no file"))
      f:close()
      print(pcall(f.lines, f))
      print(pcall(function() f:close() end))
      f = io.popen("true")
      print(pcall(function() f:read("x") end))
      print(pcall(function() f:seek("x") end))
      print(pcall(function() for _ in f:lines("x") do print("item") end end))
      io.input(f)
      print(pcall(function() io.read("x") end))
      print(pcall(function() io.write({}) end))]]},
    {"buffers", [[
      local f = io.popen("cat", "w")
      print(f:setvbuf("full", 1024), f:setvbuf("line"), f:setvbuf("no"), f:flush() == f)
      io.stdout:flush()
      f:write("at once\n")
      f:close()]]},
    {"the default files", [[
      local f = io.popen("seq 4")
      print(io.input(f) == f, io.read(), io.read("n"), io.read("l"))
      for line in io.lines() do io.write(line, ";") end
      print(io.read(), io.close(f))
      print(pcall(io.read))
      io.input(io.stdin)
      local g = io.popen("cat", "w")
      local before = io.output()
      io.output(g)
      io.write("written\n")
      io.flush()
      print(io.close())
      io.output(before)]]},
    {"standard files", [[
      print(io.stdout:close())
      print(io.type(io.stdin), io.type(io.stdout), io.output() == io.stdout)
      print(io.read(), io.read("a"), io.read(0))
      print(nil, true, 1, 2.5, setmetatable({}, {__tostring = function() return "text" end}))]]},
    {"regular files", [[
      local name = os.tmpname()
      local f = assert(io.open(name, "w"))
      print(f:write("a\nb\n"), f:seek("set", 1), f:close())
      for line in io.lines(name) do io.write(line, ";") end
      for line in io.lines(name, "L") do io.write(line) end
      print(io.open(name, "r"):read("a"))
      print(pcall(io.open, name, "x"))
      print(io.open("/nonesuch/file"))
      print(pcall(io.lines, "/nonesuch/file"))
      print(pcall(io.input, "/nonesuch/file"))
      os.remove(name)]]},
    {"devices", [[
      print(io.open("/dev/null"):read("a"), io.open("/dev/zero"):read(3) == "\0\0\0")
      print(io.open("/dev/full", "w"):write("x"):close())
      for line in io.lines("/dev/null") do print(line) end]]},
    {"a collected pipe", [[
      io.popen("cat", "w"):write("flushed\n")
      io.stdout:flush()
      collectgarbage()
      os.execute("sleep 0.1")
      print("end")]]},
  }
  for _, case in ipairs(cases) do
    it("is what Lua's own do: " .. case[1], function()
      local ours, theirs = printed_by_both(case[2])
      -- Addresses are not part of it, nor whether a function of `io` is known by its full name.
      local function same(text)
        return (text:gsub("0x%x+", "0x"):gsub("to '[%w.]+'", "to function")
          :gsub("/tmp/[%w.-]+/script", "script"))
      end
      assert.equal(same(theirs), same(ours))
      assert.is_true(#ours > 0)
    end)
  end
end)

describe("tasks go on", function()
  -- Each would wait for ever if it held the thread.
  local cases = {
    {"while a command is read from", [[
      local f = io.popen("read line <gate; echo $line")
      genet.spawn(function() io.open("gate", "w"):write("opened\n"):close() end)
      print(f:read(), f:close())]], "opened\ttrue\texit\t0\n"},
    {"while a command is executed", [[
      genet.spawn(function() io.open("gate", "w"):write("opened\n"):close() end)
      print(os.execute("read line <gate; echo $line"))]], "opened\ntrue\texit\t0\n"},
    {"while a pipe is closed", [[
      local f = io.popen("read line <gate; exit 7")
      genet.spawn(function() io.open("gate", "w"):write("opened\n"):close() end)
      print(f:close())]], "nil\texit\t7\n"},
    {"while a pipe is written to", [[
      local f = io.popen("read line <gate; wc -c", "w")
      local size = 1 << 20
      genet.spawn(function() io.open("gate", "w"):write("opened\n"):close() end)
      f:write(("x"):rep(size))
      print(f:close())]], "1048576\ntrue\texit\t0\n"},
    {"while a FIFO waits for its writer", [[
      genet.spawn(function() os.execute("echo written >gate") end)
      print(io.open("gate"):read("a"))]], "written\n\n"},
    {"while a FIFO waits for its reader", [[
      local reader = io.popen("sleep 0.1; cat gate")
      local f = io.open("gate", "w")
      f:write("read\n")
      f:close()
      print(reader:read("a"))]], "read\n\n"},
    {"while the lines of a FIFO come", [[
      genet.spawn(function()
        local f <close> = io.open("gate", "w")
        for i = 1, 3 do f:write(i, "\n") f:flush() genet.sleep(0.01) end
      end)
      for line in io.lines("gate") do io.write(line, " ") end
      genet.spawn(function() io.open("gate", "w"):write("default"):close() end)
      io.input("gate")
      print(io.read("a"))
      genet.spawn(function() os.execute("exec cat gate") end)
      io.input():close()
      io.output("gate"):write("output\n")
      io.close()]], "1 2 3 default\noutput\n"},
  }
  for _, case in ipairs(cases) do
    local what, text, expected = table.unpack(case)
    it(what, function()
      assert.equal(expected, script.shell(text, "mkfifo gate && exec $GENET run script.lua"))
    end)
  end

  it("while a script reads its standard input", function()
    assert.equal("one\ttwo 3\tfour\n", script.shell([[
      genet.spawn(function()
        local f <close> = io.open("gate", "w")
        for _, text in ipairs{"one\n", "two", " 3\nfo", "ur\n"} do
          f:write(text)
          f:flush()
          genet.sleep(0.01)
        end
      end)
      local first = io.read()
      local second = io.lines()()
      print(first, second, io.stdin:read())
    ]], "mkfifo gate && exec $GENET run script.lua <>gate"))
  end)

  it("while nobody reads the standard output", function()
    assert.equal("1288900\n", script.shell([[
      local gate, size = io.open("gate"), 0
      genet.spawn(function()
        repeat
          local line = gate:read()
          size = size + #line + 1
        until line == "end"
        io.stderr:flush()
        os.execute("echo " .. size .. " >size")
      end)
      for i = 1, 100000 do print("line", i) end
      io.write(("x"):rep(200000), "\nend\n")
      io.stdout:flush()
    ]], "mkfifo gate && $GENET run script.lua 1<>gate && cat size"))
  end)

  it("while a script reads from a terminal, and a prompt is seen before", function()
    local printed = script.shell([[
      local ticks = 0
      genet.spawn(function()
        while ticks < 3 do genet.sleep(0.01) ticks = ticks + 1 end
        os.execute("echo >ready")
      end)
      io.write("name? ")
      print("hello " .. io.read(), ticks)
      for line in io.lines() do print("line " .. line) end
    ]], "(until [ -e ready ]; do sleep 0.01; done; printf 'typed\\nlast\\n\\004') "
      .. "| script -qec '$GENET run script.lua' /dev/null")
    printed = printed:gsub("\r", "")
    assert.truthy(printed:find("name? ", 1, true), printed)
    assert.truthy(printed:find("hello typed\t3\nline last\n"), printed)
    assert.is_true(printed:find("name? ", 1, true) < printed:find("hello", 1, true))
  end)

  it("while a terminal is read from by its name", function()
    local printed = script.shell([[
      genet.spawn(function() genet.sleep(0.02) os.execute("echo >ready") end)
      print("got " .. io.open("/dev/tty"):read())
    ]], "(until [ -e ready ]; do sleep 0.01; done; echo typed) "
      .. "| script -qec '$GENET run script.lua' /dev/null")
    assert.truthy(printed:find("got typed"), printed)
  end)
end)

describe("a file in two tasks", function()
  it("serves them in turn", function()
    assert.equal("1\t2\t3\t4\tnil\n", script.output([[
      local f = io.popen("for i in 1 2 3 4; do sleep 0.02; echo $i; done")
      local tasks, got = {}, {}
      for i = 1, 5 do tasks[i] = genet.spawn(function() return (f:read()) end) end
      for i = 1, 5 do got[i] = select(2, tasks[i]:wait()) end
      print(table.unpack(got, 1, 5))]]))
  end)

  it("keeps what each writes together", function()
    local line = ("0123456789"):rep(1000)
    assert.equal("0\n20\ntrue\texit\t0\n", script.output((([[
      local f = io.popen("sleep 0.1; tee copy.$$ | grep -vcx LINE; wc -l <copy.$$; rm copy.$$", "w")
      local tasks = {}
      for i = 1, 20 do tasks[i] = genet.spawn(function() f:write("LINE", "\n") end) end
      for i = 1, 20 do tasks[i]:wait() end
      print(f:close())]]):gsub("LINE", line))))
  end)

  it("is left by who is cancelled while waiting for it", function()
    assert.equal("cancelled\tnil\ncancelled\tnil\ntrue\ttext\ntrue\texit\t0\n", script.output([[
      local f = io.popen("sleep 0.1; echo text")
      local first = genet.spawn(function() return f:read() end)
      local second = genet.spawn(function() return f:read() end)
      local third = genet.spawn(function() return f:read() end)
      genet.sleep(0.02)
      second:cancel()
      first:cancel()
      print(select(2, first:wait()))
      print(select(2, second:wait()))
      print(third:wait())
      print(f:close())]]))
  end)

  it("is closed when who reads from it has done so", function()
    assert.equal("text\ttrue\ttrue\tattempt to use a closed file\n", script.output([[
      local f = io.popen("sleep 0.05; echo text")
      local reader = genet.spawn(function() return f:read() end)
      genet.yield()
      local closer = genet.spawn(function() return f:close() end)
      genet.yield()
      local late = genet.spawn(function() return f:read() end)
      local _, text = reader:wait()
      local _, closed = closer:wait()
      print(text, closed, late:wait() == nil, (select(2, late:wait()):gsub("^.*: ", "")))]]))
  end)

  it("is refused where nothing may wait", function()
    assert.equal("nil\tthe file is used by another task\t16\n", script.output([[
      local f = io.popen("sleep 0.2")
      genet.spawn(function() f:read() end)
      genet.sleep(0.01)
      local said
      setmetatable({}, {__gc = function() said = table.pack(f:read()) end})
      collectgarbage()
      print(table.unpack(said, 1, 3))]]))
  end)

  it("may be used in a finalizer, which blocks", function()
    assert.equal("text\ttrue\texit\t0\n", script.output([[
      local said
      setmetatable({}, {__gc = function()
        local f = io.popen("sleep 0.05; echo text")
        said = table.pack(f:read(), f:close())
      end})
      collectgarbage()
      print(table.unpack(said))]]))
  end)
end)

describe("a cancelled task", function()
  local places = {
    {"reads from a command", [[local f <close> = io.popen("sleep 1000") f:read("a")]]},
    {"reads lines", [[local f <close> = io.popen("sleep 1000; :") for _ in f:lines() do end]]},
    {"writes to a command",
      [[local f <close> = io.popen("sleep 1000", "w") f:write(("x"):rep(1 << 20))]]},
    {"closes a pipe", [[io.popen("sleep 1000; :"):close()]]},
    {"executes a command", [[os.execute("sleep 1000; :")]]},
    {"opens a FIFO to read", [[io.open("gate")]]},
    {"opens a FIFO to write", [[io.open("gate", "w")]]},
    {"reads a FIFO", [[local f <close> = io.open("gate", "r+") f:read()]]},
    {"reads its standard input", [[io.read()]]},
    {"forgets its command", [[io.popen("sleep 1000; :"):read("a")]]},
  }
  for _, place in ipairs(places) do
    it("that " .. place[1] .. " leaves nothing", function()
      local text = ([[
        local function round(i)
          local task = genet.spawn(function() %s end)
          if i %% 2 == 0 then genet.sleep(0.002) else genet.yield() end
          task:cancel()
          return select(2, task:wait())
        end
        local how = {[round(1)] = true}
        collectgarbage()
        eventually(function() return children() == 0 end)
        local before = descriptors()
        for i = 1, %d do how[round(i)] = true end
        print(next(how))
        collectgarbage() collectgarbage()
        print(eventually(function() return children() == 0 end),
          eventually(function() return descriptors() == before end))
      ]]):gsub("%%s", function() return place[2] end):gsub("%%d", support.crowd_size(100))
        :gsub("%%%%", "%%")
      assert.equal("cancelled\ttrue\ntrue\ttrue\n",
        script.shell(text, "mkfifo gate pipe && exec $GENET run script.lua <>pipe"))
    end)
  end

  -- As dash does on its way to a command, for some microseconds.
  it("ends also what a process starts that holds SIGTERM back", function()
    assert.equal("cancelled\tnil\n", script.shell([[
      local program = "$set = POSIX::SigSet->new(SIGTERM); sigprocmask(SIG_BLOCK, $set);"
        .. "open(F, q(>held)); select(undef, undef, undef, 0.001) until -e q(go);"
        .. "if (!fork) { sigprocmask(SIG_UNBLOCK, $set); exec qw(sleep 100); }"
        .. "sigprocmask(SIG_UNBLOCK, $set); wait;"
      local task = genet.spawn(os.execute, "exec perl -MPOSIX -e '" .. program .. "'")
      eventually(function() return io.open("held") end)
      genet.after(0.005, function() io.open("go", "w"):close() end)
      task:cancel()
      print(select(2, task:wait()))
    ]], "exec $GENET run script.lua"))
  end)

  it("gets a timeout as such", function()
    assert.equal("nil\ttimeout\ntext\n", script.output([[
      local f = io.popen("sleep 0.2; echo text")
      print(genet.timeout(0.02, function() return f:read() end))
      print(f:read())]]))
  end)
end)

describe("genet.patch", function()
  it("is switched by name, and back", function()
    assert.equal("true\ttrue\tfalse\ttrue\ttrue\ttrue\n", script.output([[
      local ours, execute = io.popen, os.execute
      patch.patch_all()
      local same = io.popen == ours
      patch.patch{popen = false}
      local theirs = io.popen
      print(same, theirs ~= ours and os.execute == execute, theirs == ours,
        theirs("echo text"):read() == "text", (patch.patch{popen = true} or io.popen) == ours,
        patch.patch{popen = true} == nil and io.popen == ours)]]))
  end)

  it("gives everything back", function()
    assert.equal("printed\nwritten\n", script.shell([[
      local patched = {io.popen, io.open, io.lines, io.stdout, io.stdin, print, os.execute}
      io.write("prin")
      patch.undo_all()
      local plain = {io.popen, io.open, io.lines, io.stdout, io.stdin, print, os.execute}
      for i = 1, #patched do assert(patched[i] ~= plain[i], i) end
      assert(io.output() == io.stdout and io.input() == io.stdin)
      print("ted")
      patch.patch_all()
      for i, now in ipairs{io.popen, io.open, io.lines, io.stdout, io.stdin, print, os.execute} do
        assert(now == patched[i], i)
      end
      print("written")
    ]], "sleep 0.1 | $GENET run script.lua | cat"))
  end)

  it("names a patch that there is not", function()
    local printed = script.output([[
      print(pcall(function() patch.patch{popn = false} end))
      print(pcall(function() patch.patch{popen = 1} end))
      print(pcall(function() patch.patch() end))]])
    assert.truthy(printed:find("script.lua:1: genet.patch: there is no patch 'popn'", 1, true))
    assert.truthy(printed:find("'popen': true or false was expected, not a number", 1, true))
    assert.truthy(printed:find("a table was expected, not a nil", 1, true))
  end)

  it("lists what is done, and what blocks", function()
    local printed = script.output([[
      for _, row in ipairs(patch.list()) do print(row.name, row.how, row.on, row.what) end]])
    assert.truthy(printed:find("popen\tcooperative\ttrue\tio.popen\n", 1, true), printed)
    assert.truthy(printed:find("files\tblocks\tfalse\t", 1, true), printed)
  end)
end)

it("leaves the directory as it was", function()
  assert.is_nil(lfs.attributes("gate"))
end)
