local support = require "support"
local process = require "genet.process"

describe("genet.process", function()
  local function plan_of(options)
    assert(process.spawn(options))
    return support.subprocess.plan
  end

  it("passes on a command with its arguments", function()
    assert.same({argv = {"ls", "-l", "3"}, env = {}, clear_env = false, group = false,
      stdin = "null", stdout = "pipe", stderr = "inherit"}, plan_of{"ls", "-l", 3})
  end)

  -- Options, and what becomes of them.
  local cases = {
    {{stdin = "pipe"}, {stdin = "pipe"}},
    {{stdin = "a text"}, {stdin = "null", input = "a text"}},
    {{input = "pipe"}, {stdin = "null", input = "pipe"}},
    {{stdout = "null", stderr = "stdout"}, {stdout = "null", stderr = "stdout"}},
    {{stdout = io.stderr}, {stdout = io.stderr}},
    {{cwd = "/tmp", group = true}, {cwd = "/tmp", group = true}},
    {{clear_env = true}, {clear_env = true}},
    {{env = {A = 1}}, {env = {"A=1"}}},
    {{env = {A = false}}, {env = {"A"}}},
  }
  for i, case in ipairs(cases) do
    it("understands its options, case " .. i, function()
      local options = {"true"}
      for key, value in pairs(case[1]) do options[key] = value end
      local plan = plan_of(options)
      for key, value in pairs(case[2]) do assert.same(value, plan[key]) end
    end)
  end

  it("refuses mistakes, and names them", function()
    local mistakes = {
      {nil, "a table was expected, not a nil"},
      {{}, "a command was expected"},
      {{""}, "a command was expected"},
      {{"ls", {}}, "argument 2: a string was expected, not a table"},
      {{"l\0s"}, "argument 1 holds a zero byte"},
      {{"ls", foo = 1}, "unknown option 'foo'"},
      {{"ls", stdin = 1}, "option 'stdin': "},
      {{"ls", stdin = "stdout"}, nil},
      {{"ls", stdout = "stdout"}, "option 'stdout': "},
      {{"ls", timeout = 0 / 0}, "option 'timeout': a number of seconds from 0 was expected"},
      {{"ls", grace = -1}, "option 'grace': a number of seconds from 0 was expected, not -1"},
      {{"ls", env = {""}}, "option 'env': '1' is not a name"},
      {{"ls", env = {A = "\0"}}, "option 'env' holds a zero byte"},
    }
    for _, mistake in ipairs(mistakes) do
      local options, expected = mistake[1], mistake[2]
      local ok, err = pcall(function() return (process.spawn(options)) end)
      assert.equal(expected == nil, ok)
      if expected then
        assert.truthy(err:find("process_spec.lua:%d+: genet.process.spawn: "), err)
        assert.truthy(err:find(expected, 1, true), err)
      end
    end
  end)

  it("returns what the world refuses", function()
    assert.same({nil, "nonesuch: No such file or directory"}, {process.spawn{"nonesuch"}})
  end)

  it("limits, signals, waits and ends", function()
    local child = process.spawn{"true", timeout = 3, grace = 0.5}
    local seen = support.subprocess.child
    assert.same({3, 0.5}, seen.limits)
    assert.equal(4711, child.pid)
    assert.equal("process: 4711", tostring(child))
    child:kill()
    assert.equal(15, seen.killed)
    child:kill("KILL")
    assert.equal(9, seen.killed)
    assert.truthy(support.raised(child.kill, child, "X"):find("there is no signal 'X'", 1, true))
    assert.same({true, "exit", 0}, {child:wait(1)})
    assert.truthy(support.raised(child.wait, child, -1):find("process:wait", 1, true))
    child:close()
    assert.equal(0.5, seen.finished)
  end)

  it("says which of its pipes is none", function()
    local child = process.spawn{"true"}
    assert.truthy(support.raised(child.read, child):find("process:read: its stdout is not a pipe"))
    assert.truthy(support.raised(child.write, child, ""):find("its stdin is not a pipe"))
    assert.truthy(support.raised(child.close_stdin, child):find("its stdin is not a pipe"))
  end)
end)
