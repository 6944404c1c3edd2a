-- `genet run FILE` runs a plain Lua script under the scheduler.
local support = require "tests.e2e.support"

-- Runs a script with these arguments to its end.
local function run_script(text, ...)
  local directory = support.directory{["script.lua"] = text, ["lib/helper.lua"] = "return 'help'"}
  local ok, result = pcall(support.run, {"run", directory .. "/script.lua", ...})
  support.remove(directory)
  return ok and result or error(result, 2)
end

describe("genet run", function()
  it("prints to standard output, as Lua does", function()
    local result = run_script("print('hello', 1, nil)\nio.write('written')")
    assert.equal("hello\t1\tnil\nwritten", result.out)
    assert.equal("", result.err)
    assert.equal(0, result.status)
  end)

  it("hands over the arguments", function()
    local text = "print(select('#', ...), (...), arg[1], arg[2], arg[0])"
    local result = run_script(text, "one", "--two")
    assert.truthy(result.out:match("^2\tone\tone\t%-%-two\t/tmp/.*/script%.lua\n$"), result.out)
  end)

  -- What a script may do, and what it then prints.
  local cases = {
    {"sleep", [[
      local socket = require "socket"
      local start = socket.gettime()
      require("genet").sleep(0.1)
      print(socket.gettime() - start >= 0.1)]], "true\n"},
    {"yield", "coroutine.yield() print('went on')", "went on\n"},
    {"write a lot", "for _ = 1, 100000 do print('0123456789') end", ("0123456789\n"):rep(100000)},
    {"require modules beside it", "print((require 'lib.helper'))", "help\n"},
    {"use LuaSocket", [[
      local socket = require "socket"
      local listener = assert(socket.bind("127.0.0.1", 0))
      local address, port = listener:getsockname()
      local client = assert(socket.connect(address, port))
      local peer = assert(listener:accept())
      assert(peer:send("over a socket\n"))
      print((client:receive()))]], "over a socket\n"},
    {"begin with a line for the shell", "#!/usr/bin/env genet\nprint('begun')", "begun\n"},
  }
  for _, case in ipairs(cases) do
    local what, text, expected = table.unpack(case)
    it("lets a script " .. what, function()
      local result = run_script(text)
      assert.equal("", result.err)
      assert.is_true(result.out == expected, result.out:sub(1, 200))
      assert.equal(0, result.status)
    end)
  end

  it("ends with the status that the script chooses", function()
    assert.equal(7, run_script("print('bye') os.exit(7)").status)
  end)

  it("ends with status 1 and a traceback when the script raises", function()
    local result = run_script("local function f()\n  error('the reason')\nend\nf()\n")
    assert.equal(1, result.status)
    assert.truthy(result.err:match("script%.lua:2: the reason"), result.err)
    assert.truthy(result.err:find("stack traceback:", 1, true), result.err)
    assert.equal("", result.out)
  end)

  it("ends with status 1 when the script has a syntax error", function()
    local result = run_script("print('never')\nlocal = 1\n")
    assert.equal(1, result.status)
    assert.truthy(result.err:match("script%.lua:2:"), result.err)
    assert.equal("", result.out)
  end)

  it("is ended by SIGTERM", function()
    local text = "print('asleep') io.stdout:flush() require('genet').sleep(60)"
    local directory = support.directory{["script.lua"] = text}
    local process = support.start{"run", directory .. "/script.lua"}
    finally(function()
      process:kill()
      process:clean()
      support.remove(directory)
    end)
    support.wait_until("the script to be asleep", function()
      return process:stdout() == "asleep\n"
    end)
    process:signal("TERM")
    assert.truthy(process:wait(20))
  end)
end)
