local support = require "support"
local virtual = require "virtual"
local core = require "genet.core"
local sync = require "genet.sync"
local task = require "genet.task"
local timer = require "genet.timer"

local test = virtual.test

-- A list of the seconds since now at which it was called.
local function chart()
  local begin = core.now()
  return setmetatable({}, {__call = function(list) table.insert(list, core.now() - begin) end})
end

describe("genet.after", function()
  it("calls once, after so many seconds", test(function()
    local times = chart()
    timer.after(3, function() times() end)
    timer.after(0, times)
    core.sleep(10)
    assert.same({0, 3}, {table.unpack(times)})
  end))

  it("runs in the first of several processes only, when it is made while scripts load",
    test(function()
      local times = chart()
      finally(function() core.loads, core.role = nil, nil end)
      core.role = {mode = "processes", index = 1, count = 2}
      core.loads = true
      local idle = timer.after(1, times)
      timer.every(1, times)
      core.loads = false
      timer.after(2, times)
      core.sleep(3)
      assert.same({2}, {table.unpack(times)})
      assert.is_true(idle:stop())
      assert.is_false(idle:stop())
      core.role.index, core.loads = 0, true
      local first = timer.every(1, times)
      core.sleep(1.5)
      first:stop()
      assert.same({2, 4}, {table.unpack(times)})
    end))

  it("can be stopped before, not after", test(function()
    local times = chart()
    local one, two = timer.after(3, times), timer.after(1, times)
    core.sleep(2)
    assert.is_true(one:stop())
    assert.is_false(one:stop())
    assert.is_false(two:stop())
    core.sleep(10)
    assert.same({1}, {table.unpack(times)})
  end))

  it("can be stopped before it has begun, and in the very round in which it is due",
    test(function()
      local times = chart()
      assert.is_true(timer.after(0, times):stop())
      local due
      task.spawn(function() core.sleep(2) due:stop() end)
      core.yield()
      due = timer.after(2, times)
      core.sleep(5)
      assert.same({}, {table.unpack(times)})
    end))

  it("lets a call finish that is going on when it is stopped", test(function()
    local ended = false
    local one = timer.after(1, function()
      core.sleep(5)
      ended = true
    end)
    core.sleep(2)
    assert.is_false(one:stop())
    core.sleep(5)
    assert.is_true(ended)
  end))

  it("is stopped at the end of a <close> variable", test(function()
    local times = chart()
    do
      local _ <close> = timer.after(2, times)
      core.sleep(1)
    end
    core.sleep(5)
    assert.same({}, {table.unpack(times)})
  end))
end)

describe("genet.every", function()
  -- Runs a timer for some seconds; gives the times of its calls.
  local function calls(seconds, total, fn)
    local times = chart()
    local one = timer.every(seconds, function()
      times()
      if fn then fn(#times) end
    end)
    core.sleep(total)
    one:stop()
    return {table.unpack(times)}
  end

  it("calls first after so many seconds, and then so often", test(function()
    assert.same({2, 4, 6}, calls(2, 7))
  end))

  it("does not drift however long each call takes", test(function()
    assert.same({2, 4, 6, 8}, calls(2, 9, function() core.sleep(1.5) end))
    assert.same({2, 4, 6, 8}, calls(2, 9, function() virtual.compute(1.5) end))
  end))

  it("does not overlap, and leaves out calls that fall due meanwhile", test(function()
    assert.same({2, 8, 10}, calls(2, 11, function(n) core.sleep(n == 1 and 5 or 0) end))
  end))

  it("is on time again after one that ends when the next is due", test(function()
    assert.same({2, 6, 8}, calls(2, 9, function(n) core.sleep(n == 1 and 2 or 0) end))
  end))

  it("does not drift in a thousand turns of a tenth of a second", test(function()
    local times = calls(0.1, 100.05)
    assert.equal(1000, #times)
    assert.near(100, times[1000], 1e-6)
  end))

  it("may be stopped inside its function, which goes on", test(function()
    local one, count, stopped = nil, 0, nil
    one = timer.every(1, function()
      count = count + 1
      if count < 3 then return end
      stopped = one:stop()
      core.sleep(5)
      count = count + 100
    end)
    core.sleep(20)
    assert.is_true(stopped)
    assert.equal(103, count)
    assert.is_false(one:stop())
  end))

  it("may be stopped outside while its function runs, which goes on", test(function()
    local count = 0
    local one = timer.every(1, function()
      core.sleep(5)
      count = count + 1
    end)
    core.sleep(2)
    assert.is_true(one:stop())
    core.sleep(20)
    assert.equal(1, count)
  end))

  it("may be stopped in the very round in which it is due", test(function()
    local times, due = chart(), nil
    task.spawn(function() core.sleep(2) due:stop() end)
    core.yield()
    due = timer.every(2, times)
    core.sleep(5)
    assert.same({}, {table.unpack(times)})
  end))

  it("tells of an error after it has been stopped too", test(function()
    local one = timer.every(1, function()
      core.sleep(1)
      error("no", 0)
    end)
    core.sleep(1.5)
    one:stop()
    core.sleep(5)
    local lines = virtual.take_log()
    assert.equal(1, #lines)
    assert.matches("^timer .*: no\n", lines[1][2])
  end))

  it("goes on after an error, which is logged with its traceback", test(function()
    local line
    assert.same({1, 2, 3}, calls(1, 3.5, function(n)
      line = debug.getinfo(2, "S").linedefined
      if n == 2 then error("in the timer", 0) end
    end))
    local lines = virtual.take_log()
    assert.equal(1, #lines)
    assert.equal("error", lines[1][1])
    assert.matches(("^timer tests/spec/timer_spec.lua:%d: in the timer\nstack traceback:")
      :format(line), lines[1][2])
  end))

  it("of endless seconds never calls", test(function()
    assert.same({}, calls(math.huge, 1000))
  end))
end)

describe("a timer's function", function()
  it("is a task of its own each time", test(function()
    local lock, seen = sync.lock(), {}
    local one = timer.every(1, function()
      local _ <close> = lock:acquire()
      seen[task.current()] = true
    end)
    core.sleep(3.5)
    one:stop()
    local count = 0
    for t in pairs(seen) do
      assert.is_true(task.is(t))
      assert.equal("done", t:status())
      count = count + 1
    end
    assert.equal(3, count)
  end))

  it("may start tasks, which outlive the timer", test(function()
    local ended = false
    local one
    one = timer.every(1, function()
      task.spawn(function()
        core.sleep(5)
        ended = true
      end)
      one:stop()
    end)
    core.sleep(10)
    assert.is_true(ended)
  end))

  it("that fails takes its tasks along", test(function()
    local cancelled
    timer.after(1, function()
      task.spawn(function()
        local _, err = pcall(core.sleep, 10)
        cancelled = err
      end)
      core.sleep(1)
      error("no", 0)
    end)
    core.sleep(5)
    assert.equal("cancelled", cancelled)
    assert.equal(1, #virtual.take_log())
  end))

  it("goes on when the task that has started the timer fails or is cancelled", test(function()
    local times = chart()
    local one
    local starter = task.spawn(function()
      one = timer.every(1, times)
      error("no", 0)
    end)
    starter:wait()
    core.sleep(3.5)
    one:stop()
    assert.same({1, 2, 3}, {table.unpack(times)})
  end))
end)

describe("misuse", function()
  -- What is done wrong, and the message; each is blamed on its own line.
  local cases = {
    {function() timer.after("x", print) end,
      "genet.after: a number of seconds from 0 was expected, not a string"},
    {function() timer.after(-1, print) end,
      "genet.after: a number of seconds from 0 was expected, not -1"},
    {function() timer.after(1) end, "genet.after: a function was expected, not nothing"},
    {function() timer.every(-1, print) end,
      "genet.every: a number of seconds from 0 was expected, not -1"},
    {function() timer.every(0, print) end, "genet.every: more than 0 seconds were expected"},
    {function() timer.every(1, "x") end, "genet.every: a function was expected, not a string"},
    {function() timer.after(0, function() end).stop() end,
      "timer:stop: a timer was expected: write timer:stop, not timer.stop"},
  }
  for _, case in ipairs(cases) do
    local fn, message = table.unpack(case)
    it("is told: " .. message, test(function()
      assert.equal(message, support.blamed(fn))
    end))
  end
end)
