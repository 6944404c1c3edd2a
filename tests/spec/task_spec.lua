local support = require "support"
local virtual = require "virtual"
local core = require "genet.core"
local task = require "genet.task"

local test = virtual.test

-- A list to note events in: note("a"), then table.concat(note) or #note.
local function notebook()
  return setmetatable({}, {__call = function(list, text) table.insert(list, text) end})
end

local function noted(note)
  return table.concat(note, " ")
end

-- A function that fails after some seconds.
local function fails(seconds, err)
  return function()
    core.sleep(seconds)
    error(err, 0)
  end
end

-- A function that returns after some seconds.
local function gives(seconds, ...)
  local results = table.pack(...)
  return function()
    core.sleep(seconds)
    return table.unpack(results, 1, results.n)
  end
end

local function forever()
  core.sleep(math.huge)
end

-- A function that waits for ever, and notes how it ends.
local function watched(note, name)
  return function()
    local _ <close> = setmetatable({}, {__close = function() note(name) end})
    forever()
  end
end

-- Calls a function; gives the results and the seconds that passed.
local function timed(fn, ...)
  local start = core.now()
  local results = table.pack(fn(...))
  return core.now() - start, table.unpack(results, 1, results.n)
end

describe("a task", function()
  it("begins when its starter waits", test(function()
    local note = notebook()
    task.spawn(function() note "task" end)
    note "starter"
    core.yield()
    assert.equal("starter task", noted(note))
  end))

  it("is given its arguments, nil too", test(function()
    local t = task.spawn(function(...) return select("#", ...), ... end, nil, 2, nil)
    assert.same({true, 3, nil, 2, nil, n = 5}, table.pack(t:wait()))
  end))

  it("tells how it stands", test(function()
    local t = task.spawn(gives(1))
    assert.equal("running", t:status())
    core.yield()
    assert.equal("waiting", t:status())
    t:wait()
    assert.equal("done", t:status())
    local failed = task.spawn(error, "no")
    failed:wait()
    assert.equal("failed", failed:status())
    local cancelled = task.spawn(forever)
    cancelled:cancel()
    cancelled:wait()
    assert.equal("cancelled", cancelled:status())
  end))

  it("is running to itself", test(function()
    assert.same({true, "running"},
      {task.spawn(function() return task.current():status() end):wait()})
  end))

  it("has the name that it was given, or that of its place", test(function()
    local function fn() end
    local line = debug.getinfo(fn, "S").linedefined
    assert.equal("tests/spec/task_spec.lua:" .. line, task.spawn(fn).name)
    assert.equal("mailer", task.spawn({name = "mailer"}, fn).name)
    assert.equal("mailer", task.async(fn, {name = "mailer"})().name)
    assert.equal("a task", task.spawn(setmetatable({}, {__call = fn})).name)
    assert.equal("a task", task.spawn(type, 1).name)
    assert.equal("main", task.current().name)
    assert.equal("task: mailer (running)", tostring(task.spawn({name = "mailer"}, fn)))
  end))

  it("is a task, and nothing else is", test(function()
    assert.is_true(task.is(task.current()))
    for _, value in ipairs{1, "x", {}, print, false} do assert.is_false(task.is(value)) end
  end))

  it("is the current one in itself, and in a handler the same at all times", test(function()
    local main = task.current()
    assert.equal(main, task.current())
    local t = task.spawn(function() return task.current() end)
    assert.same({true, t}, {t:wait()})
    assert.not_equal(main, t)
    assert.equal(main, task.current())
  end))

  it("may be an object that can be called", test(function()
    local object = setmetatable({}, {__call = function(_, x) return x + 1 end})
    assert.same({true, 2}, {task.spawn(object, 1):wait()})
    assert.same({true, 3}, {task.async(object)(2):wait()})
    assert.same({true, 4}, {task.spawn({name = "x"}, object, 3):wait()})
  end))
end)

describe("genet.async", function()
  it("makes a function that returns at once with a task", test(function()
    local note = notebook()
    local A = task.async(function(x)
      core.sleep(10)
      note(x)
      return x
    end)
    local took, one, two = timed(function() return A("a"), A("b") end)
    assert.equal(0, took)
    assert.same({true, "b"}, {two:wait()})
    assert.equal("a b", noted(note))
    assert.same({true, "a"}, {one:wait()})
  end))
end)

describe("task:wait", function()
  it("gives what the task returned", test(function()
    for _, results in ipairs{{}, {1}, {false}, {nil, "x"}, {1, nil, 3, nil}} do
      local t = task.spawn(function() return table.unpack(results, 1, 4) end)
      assert.same(table.pack(true, table.unpack(results, 1, 4)), table.pack(t:wait()))
    end
  end))

  it("gives the error and the traceback of one that failed", test(function()
    local function culprit() error("the reason") end
    local ok, err, traceback = task.spawn(function() culprit() end):wait()
    assert.is_nil(ok)
    assert.matches("task_spec.lua:%d+: the reason$", err)
    assert.matches("culprit", traceback)
  end))

  it("gives errors that are no strings as they are", test(function()
    local err = {}
    local ok, given = task.spawn(error, err):wait()
    assert.is_nil(ok)
    assert.equal(err, given)
    assert.is_nil((select(2, task.spawn(error, nil):wait())))
  end))

  it("gives `cancelled` for one that was cancelled, and no traceback", test(function()
    local t = task.spawn(forever)
    core.yield()
    t:cancel()
    assert.same({nil, "cancelled", nil, n = 3}, table.pack(t:wait()))
  end))

  it("gives up after a time, and the task goes on", test(function()
    local t = task.spawn(gives(10, "late"))
    local took, ok, err = timed(t.wait, t, 3)
    assert.equal(3, took)
    assert.is_nil(ok)
    assert.equal("timeout", err)
    assert.equal("waiting", t:status())
    assert.same({7, true, "late"}, {timed(t.wait, t, 20)})
  end))

  it("does not wait for 0 seconds", test(function()
    local t = task.spawn(gives(0, "x"))
    assert.same({nil, "timeout"}, {t:wait(0)})
    assert.equal("running", t:status())
    core.sleep(1)
    assert.same({true, "x"}, {t:wait(0)})
  end))

  it("may be called by many, many times", test(function()
    local note = notebook()
    local t = task.spawn(gives(1, "x"))
    for i = 1, 3 do task.spawn(function() note(i .. select(2, t:wait())) end) end
    assert.same({true, "x"}, {t:wait()})
    assert.same({true, "x"}, {t:wait()})
    core.yield()
    assert.equal("1x 2x 3x", noted(note))
  end))

  it("refuses to let a task wait for itself", test(function()
    local message
    local t = task.spawn(function()
      local me = task.current()
      message = support.blamed(function() me:wait() end)
    end)
    t:wait()
    assert.equal("task:wait: a task cannot wait for itself", message)
    local main = task.current()
    support.blamed(function() main:wait(1) end)
  end))

  it("raises when the one that waits is cancelled; the other goes on", test(function()
    local other = task.spawn(gives(5, "x"))
    local waiter = task.spawn(function() return other:wait() end)
    core.yield()
    waiter:cancel()
    assert.same({nil, "cancelled"}, {waiter:wait()})
    assert.same({true, "x"}, {other:wait()})
  end))

  it("may wait for its own starter", test(function()
    local main = task.spawn(function()
      local me = task.current()
      task.spawn(function() assert.same({true, "end"}, {me:wait()}) end)
      core.sleep(1)
      return "end"
    end)
    assert.same({true, "end"}, {main:wait()})
  end))
end)

describe("task:on_done", function()
  -- What the callback is called with, by how the task ends.
  local cases = {
    {"a task that ends well", gives(1, "a", nil, "c"), {true, "a", nil, "c", n = 4}},
    {"a task that fails", fails(1, "no"), {nil, "no", n = 3}},
    {"a task that is cancelled", function() task.current():cancel() core.sleep(1) end,
      {nil, "cancelled", nil, n = 3}},
  }
  for _, case in ipairs(cases) do
    local what, fn, expected = table.unpack(case)
    it("tells of " .. what, test(function()
      local got = {}
      local t = task.spawn(fn)
      assert.equal(t, t:on_done(function(...) got[1] = table.pack(...) end))
      t:wait()
      t:on_done(function(...) got[2] = table.pack(...) end)
      assert.is_nil(got[2])
      core.sleep(1)
      for i = 1, 2 do
        if t:status() == "failed" then
          assert.matches("stack traceback", table.remove(got[i], 3))
        end
        assert.same(expected, got[i])
      end
    end))
  end

  it("calls in the order of asking, after those who wait", test(function()
    local note = notebook()
    local t = task.spawn(gives(1))
    t:on_done(function() note "first" end)
    t:on_done(function() note "second" end)
    task.spawn(function() t:wait() note "waiter" end)
    t:wait()
    note "main"
    core.yield()
    t:on_done(function() note "late" end)
    core.yield()
    assert.equal("main waiter first second late", noted(note))
  end))

  it("may wait in the callback, and has it go on when its starter fails", test(function()
    local note = notebook()
    local starter = task.spawn(function()
      local function callback()
        core.sleep(5)
        note "called"
      end
      local t = task.spawn(gives(0)):on_done(callback)
      core.sleep(1)
      t:on_done(callback)
      core.sleep(1)
      error("starter", 0)
    end)
    assert.equal("starter", select(2, starter:wait()))
    core.sleep(10)
    assert.equal("called called", noted(note))
  end))

  it("logs what the callback raises", test(function()
    task.spawn(gives(0)):on_done(function() error("in the callback", 0) end)
    core.sleep(2)
    local lines = virtual.take_log()
    assert.equal(1, #lines)
    assert.matches("in the callback\nstack traceback", lines[1][2])
  end))
end)

describe("task:cancel", function()
  it("ends the present wait, and every later one", test(function()
    local note = notebook()
    local t = task.spawn(function()
      for i = 1, 3 do
        local ok, err = pcall(core.sleep, 10)
        note(i .. tostring(ok) .. err)
      end
      core.sleep(1)
    end)
    core.yield()
    assert.is_true(t:cancel())
    assert.same({0, nil, "cancelled"}, {timed(t.wait, t)})
    assert.equal("1falsecancelled 2falsecancelled 3falsecancelled", noted(note))
  end))

  it("keeps one that has not begun from beginning", test(function()
    local began = false
    local t = task.spawn(function() began = true end)
    assert.is_true(t:cancel())
    assert.same({nil, "cancelled"}, {t:wait()})
    assert.is_false(began)
  end))

  it("says whether it made a difference", test(function()
    local t = task.spawn(forever)
    assert.is_true(t:cancel())
    assert.is_false(t:cancel())
    t:wait()
    assert.is_false(t:cancel())
    local done = task.spawn(gives(0))
    done:wait()
    assert.is_false(done:cancel())
    assert.equal("done", done:status())
  end))

  it("lets a task that takes no notice end well", test(function()
    local t = task.spawn(function()
      pcall(core.sleep, 10)
      return "stubborn"
    end)
    core.yield()
    t:cancel()
    assert.same({true, "stubborn"}, {t:wait()})
    assert.equal("done", t:status())
  end))

  it("closes variables, which may wait in a shield", test(function()
    local note = notebook()
    local t = task.spawn(function()
      local _ <close> = setmetatable({}, {__close = function(_, err)
        note(err)
        task.shield(core.sleep, 3)
        note "closed"
      end})
      forever()
    end)
    core.yield()
    t:cancel()
    assert.same({3, nil, "cancelled"}, {timed(t.wait, t)})
    assert.equal("cancelled closed", noted(note))
  end))

  it("of oneself counts at the next wait", test(function()
    local note = notebook()
    local t = task.spawn(function()
      task.current():cancel()
      note "still here"
      core.sleep(0)
      note "never"
    end)
    assert.same({nil, "cancelled"}, {t:wait()})
    assert.equal("still here", noted(note))
  end))

  it("is noticed by a yield", test(function()
    local t = task.spawn(function() while true do core.yield() end end)
    core.yield()
    t:cancel()
    assert.same({nil, "cancelled"}, {t:wait()})
  end))

  it("after the result has come changes nothing", test(function()
    local producer = task.spawn(gives(1, "x"))
    local consumer = task.spawn(function() return producer:wait() end)
    producer:on_done(function() end)
    local trigger = task.spawn(function() producer:wait() consumer:cancel() end)
    trigger:wait()
    assert.same({true, true, "x"}, {consumer:wait()})
  end))
end)

describe("a task in a <close> variable", function()
  it("is cancelled, and waited for", test(function()
    local note = notebook()
    local took = timed(function()
      local _ <close> = task.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          task.shield(core.sleep, 2)
          note "closed"
        end})
        forever()
      end)
      core.sleep(1)
      note "leaving"
    end)
    assert.equal(3, took)
    assert.equal("leaving closed", noted(note))
  end))

  it("that has ended is left alone", test(function()
    local t = task.spawn(gives(1, "x"))
    do
      local same <close> = t
      core.sleep(2)
      assert.equal(t, same)
    end
    assert.equal("done", t:status())
  end))

  it("is waited for although the one that closes it is cancelled itself", test(function()
    local note = notebook()
    local outer = task.spawn(function()
      local _ <close> = task.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          task.shield(core.sleep, 2)
          note "inner"
        end})
        forever()
      end)
      forever()
    end)
    outer:on_done(function() note "outer" end)
    core.sleep(1)
    outer:cancel()
    assert.same({2, nil, "cancelled"}, {timed(outer.wait, outer)})
    core.yield()
    assert.equal("inner outer", noted(note))
  end))

  it("may be the one that closes it", test(function()
    local t = task.spawn(function()
      do local _ <close> = task.current() end
      core.sleep(1)
      return "went on"
    end)
    assert.same({true, "went on"}, {t:wait()})
  end))
end)

describe("a failed task", function()
  local function log_after(fn)
    return test(function()
      fn()
      core.sleep(10)
      local lines = virtual.take_log()
      assert.equal(1, #lines, lines[1] and lines[1][2])
      assert.equal("error", lines[1][1])
      assert.matches("^task bad: no\nstack traceback:", lines[1][2])
    end)
  end

  local function bad(seconds)
    return task.spawn({name = "bad"}, fails(seconds, "no"))
  end

  it("that nobody asks is logged once, with its traceback", log_after(function() bad(1) end))

  it("that somebody gave up waiting for is logged", log_after(function() bad(2):wait(1) end))

  it("whose waiter was cancelled is logged", log_after(function()
    local t = bad(2)
    local waiter = task.spawn(function() t:wait() end)
    core.sleep(1)
    waiter:cancel()
  end))

  it("that was left over by a group that has ended is logged", log_after(function()
    local t = bad(2)
    task.any{t, gives(1)}
  end))

  -- Ways of asking for the error.
  local claims = {
    ["by waiting before"] = function(t) t:wait() end,
    ["by waiting with a time"] = function(t) t:wait(5) end,
    ["by waiting soon after"] = function(t) core.sleep(1.4) t:wait() end,
    ["by on_done before"] = function(t) t:on_done(function() end) end,
    ["by on_done soon after"] = function(t) core.sleep(1.4) t:on_done(function() end) end,
    ["by genet.all"] = function(t) task.all{t} end,
    ["by genet.any"] = function(t) task.any{t, gives(2)} end,
    ["by its __close"] = function(t) local _ <close> = t core.sleep(1.2) t:wait(0) end,
  }
  for how, claim in pairs(claims) do
    it("is not logged when it is asked " .. how, test(function()
      claim(bad(1))
      core.sleep(10)
      assert.same({}, virtual.take_log())
    end))
  end

  it("is not logged when it was cancelled", test(function()
    task.spawn(fails(1, "no")):cancel()
    local t = task.spawn(forever)
    core.yield()
    t:cancel()
    core.sleep(10)
    assert.same({}, virtual.take_log())
  end))
end)

describe("the tasks of a task", function()
  -- Starts a task that starts two, of which one is detached; returns it, and what they note.
  local function family(ending)
    local note = notebook()
    local parent = task.spawn(function()
      task.spawn(watched(note, "child"))
      task.spawn({detach = true}, function() core.sleep(20) note "detached" end)
      core.sleep(1)
      return ending()
    end)
    return parent, note
  end

  it("go on when it ends well", test(function()
    local note = notebook()
    local parent = task.spawn(function()
      task.spawn(function() core.sleep(5) note "child" end)
      return "x"
    end)
    assert.same({true, "x"}, {parent:wait()})
    assert.equal("", noted(note))
    core.sleep(6)
    assert.equal("child", noted(note))
  end))

  it("are cancelled when it fails, unless they are detached", test(function()
    local parent, note = family(function() error("no", 0) end)
    parent:wait()
    core.yield()
    assert.equal("child", noted(note))
    core.sleep(30)
    assert.equal("child detached", noted(note))
  end))

  it("are cancelled when it is cancelled, unless they are detached", test(function()
    local parent, note = family(forever)
    core.sleep(2)
    parent:cancel()
    parent:wait()
    core.sleep(30)
    assert.equal("child detached", noted(note))
  end))

  it("are cancelled when it is cancelled and ends well all the same", test(function()
    local parent, note = family(function() pcall(forever) end)
    core.sleep(2)
    parent:cancel()
    assert.same({true}, {parent:wait()})
    core.sleep(30)
    assert.equal("child detached", noted(note))
  end))

  it("are cancelled with all that are under them", test(function()
    local note = notebook()
    local top = task.spawn(function()
      task.spawn(function()
        task.spawn(watched(note, "grandchild"))
        watched(note, "child")()
      end)
      forever()
    end)
    core.sleep(1)
    top:cancel()
    top:wait()
    core.sleep(1)
    assert.equal("child grandchild", noted(note))
  end))

  it("go on when one of them fails", test(function()
    local note = notebook()
    task.spawn(fails(1, "no")):on_done(function() note "failed" end)
    task.spawn(function() core.sleep(2) note "other" end)
    core.sleep(3)
    assert.equal("failed other", noted(note))
  end))

  it("are forgotten by it when they end", test(function()
    local parent = task.current()
    for _ = 1, 10 do task.spawn(gives(0)) end
    local count = 0
    for _ in pairs(parent.children) do count = count + 1 end
    assert.equal(10, count)
    core.sleep(1)
    assert.is_nil(next(parent.children))
  end))

  it("are not counted when they could not be started", test(function()
    local spawn = virtual.tasks.spawn
    virtual.tasks.spawn = function() error("no memory for a task", 0) end
    assert.equal("no memory for a task", support.raised(task.spawn, forever))
    virtual.tasks.spawn = spawn
    assert.is_nil(next(task.current().children or {}))
  end))
end)

describe("genet.all", function()
  it("gives the first result of each by its key", test(function()
    local A = task.async(gives(2, "a", "second"))
    assert.same({4, {"b", x = "a", [3] = "c"}}, {timed(task.all, {
      x = A(),
      gives(4, "b"),
      [3] = task.spawn(gives(3, "c")),
      nothing = gives(1),
    })})
  end))

  it("of nothing is an empty table, at once", test(function()
    assert.same({0, {}}, {timed(task.all, {})})
  end))

  it("takes tasks that have ended, and the same one twice", test(function()
    local t = task.spawn(gives(1, "x"))
    t:wait()
    assert.same({"x", "x"}, task.all{t, t})
    local other = task.spawn(gives(1, "y"))
    assert.same({"y", "y", "x"}, task.all{other, other, t})
  end))

  it("gives the first error at once, with its traceback", test(function()
    local took, ok, err, traceback = timed(task.all,
      {fails(3, "late"), fails(2, "first"), gives(10)})
    assert.equal(2, took)
    assert.is_nil(ok)
    assert.equal("first", err)
    assert.matches("stack traceback", traceback)
  end))

  it("cancels and awaits the functions when one fails, and leaves the tasks", test(function()
    local note = notebook()
    local given = task.spawn(gives(20, "given"))
    local took, ok, err = timed(task.all, {given, fails(1, "no"), function()
      local _ <close> = setmetatable({}, {__close = function()
        task.shield(core.sleep, 4)
        note "closed"
      end})
      forever()
    end})
    assert.same({5, nil, "no"}, {took, ok, err})
    assert.equal("closed", noted(note))
    assert.equal("waiting", given:status())
    assert.same({true, "given"}, {given:wait()})
  end))

  it("fails by a task that failed before", test(function()
    local t = task.spawn(fails(0, "no"))
    t:wait()
    assert.same({nil, "no"}, {table.unpack({task.all{gives(1), t}}, 1, 2)})
  end))

  it("fails by a member that is cancelled from outside", test(function()
    local t = task.spawn(forever)
    task.spawn(function() core.sleep(1) t:cancel() end)
    assert.same({nil, "cancelled"}, {task.all{t, gives(5)}})
  end))

  it("cancels its functions when it is cancelled itself", test(function()
    local note = notebook()
    local t = task.spawn(function() task.all{watched(note, "a"), watched(note, "b")} end)
    core.sleep(1)
    t:cancel()
    assert.same({nil, "cancelled"}, {t:wait()})
    assert.equal("a b", noted(note))
  end))

  it("ends by a deadline around it", test(function()
    local note = notebook()
    assert.same({2, nil, "timeout"},
      {timed(task.timeout, 2, task.all, {watched(note, "a"), gives(1)})})
    assert.equal("a", noted(note))
  end))

  it("leaves nothing behind in tasks that go on", test(function()
    local long = task.spawn(forever)
    for _ = 1, 100 do task.any{long, gives(0)} end
    assert.is_true(#(long.listeners or {}) == 0)
    long:cancel()
  end))
end)

describe("genet.any", function()
  it("gives what the first that ends well returned", test(function()
    assert.same({2, true, "b", "c", n = 4}, table.pack(timed(task.any,
      {gives(5, "a"), gives(2, "b", "c"), fails(1, "no")})))
  end))

  it("gives the first error when none ends well", test(function()
    local took, ok, err, traceback = timed(task.any, {fails(3, "late"), fails(1, "first")})
    assert.same({3, nil, "first"}, {took, ok, err})
    assert.matches("stack traceback", traceback)
  end))

  it("of nothing is an error of the world", test(function()
    assert.same({nil, "there was nothing to wait for"}, {task.any{}})
  end))

  it("cancels the functions, and leaves the tasks", test(function()
    local note = notebook()
    local given = task.spawn(gives(9, "given"))
    assert.same({true, "won"}, {task.any{watched(note, "a"), given, gives(1, "won")}})
    assert.equal("a", noted(note))
    assert.same({true, "given"}, {given:wait()})
  end))

  it("is won by a task that has ended before", test(function()
    local t = task.spawn(gives(1, "x"))
    t:wait()
    assert.same({0, true, "x"}, {timed(task.any, {t, forever})})
  end))
end)

describe("genet.timeout", function()
  it("gives what the function returns in time", test(function()
    assert.same({1, "a", nil, "c", n = 4},
      table.pack(timed(task.timeout, 2, gives(1, "a", nil, "c"))))
    assert.same({n = 0}, table.pack(task.timeout(2, function() end)))
    assert.same({nil, "why", n = 2}, table.pack(task.timeout(2, gives(1, nil, "why"))))
    assert.same({"x", "y"}, {task.timeout(1, function(...) return ... end, "x", "y")})
    assert.same({1, "x"}, {timed(task.timeout, math.huge, gives(1, "x"))})
  end))

  it("gives `timeout` when the time is over", test(function()
    assert.same({2, nil, "timeout"}, {timed(task.timeout, 2, forever)})
    assert.same({0, nil, "timeout"}, {timed(task.timeout, 0, forever)})
  end))

  it("gives `timeout` for what a library makes of it", test(function()
    local function fragile()
      local ok, err = pcall(core.sleep, 10)
      if not ok then return nil, "my library says " .. err end
    end
    assert.same({nil, "timeout"}, {task.timeout(1, fragile)})
    assert.same({nil, "timeout"}, {task.timeout(1, function() assert(fragile()) end)})
  end))

  it("lets a function end well that takes no notice", test(function()
    assert.same({1, "done"}, {timed(task.timeout, 1, function()
      pcall(core.sleep, 10)
      return "done"
    end)})
  end))

  it("fails every wait once the time is over", test(function()
    local took = timed(task.timeout, 1, function()
      for _ = 1, 5 do pcall(core.sleep, 10) end
    end)
    assert.equal(1, took)
  end))

  it("counts no time of the processor until there is a wait", test(function()
    assert.same({"x"}, {task.timeout(1, function()
      virtual.compute(5)
      return "x"
    end)})
    assert.same({nil, "timeout"}, {task.timeout(1, function()
      virtual.compute(5)
      core.sleep(1)
    end)})
  end))

  it("passes errors on, whatever they are", test(function()
    for _, err in ipairs{"text", {}, 7, false} do
      assert.equal(err, support.raised(task.timeout, 1, error, err))
    end
  end))

  it("has no effect afterwards", test(function()
    task.timeout(2, gives(1))
    assert.equal(5, (timed(core.sleep, 5)))
    task.timeout(1, forever)
    assert.equal(5, (timed(core.sleep, 5)))
    pcall(task.timeout, 2, error, "x")
    assert.equal(5, (timed(core.sleep, 5)))
  end))

  -- Seconds of the outer, the inner, and the sleep in it; what each gives, and when.
  local nested = {
    {9, 9, 1, inner = "slept", outer = "slept", took = 1},
    {9, 2, 5, inner = "timeout", outer = "slept", took = 2},
    {2, 9, 5, inner = "none", outer = "timeout", took = 2},
    {2, 2, 5, inner = "either", outer = "either", took = 2},
    {9, 0, 5, inner = "timeout", outer = "slept", took = 0},
    {0, 9, 5, inner = "none", outer = "timeout", took = 0},
  }
  for _, case in ipairs(nested) do
    it(("nests: %d s around %d s around a sleep of %d s"):format(table.unpack(case)),
      test(function()
        local inner = "none"
        local took, slept, problem = timed(task.timeout, case[1], function()
          local ok, err = task.timeout(case[2], gives(case[3], "slept"))
          inner = ok or err
          return "slept"
        end)
        assert.equal(case.took, took)
        if case.inner ~= "either" then
          assert.equal(case.inner, inner)
          assert.equal(case.outer, slept or problem)
        end
      end))
  end

  it("of the outer is told by the outer, however deep", test(function()
    local reached = {}
    assert.same({3, nil, "timeout"}, {timed(task.timeout, 3, function()
      task.timeout(10, function()
        task.timeout(20, forever)
        reached.middle = true
      end)
      reached.inner = true
    end)})
    assert.same({}, reached)
  end))

  it("that was over within the outer still leaves the outer its time", test(function()
    assert.same({5, nil, "timeout"}, {timed(task.timeout, 5, function()
      assert.same({nil, "timeout"}, {task.timeout(1, forever)})
      assert.same({nil, "timeout"}, {task.timeout(1, forever)})
      forever()
    end)})
  end))

  it("is no match for a cancellation", test(function()
    local note = notebook()
    local t = task.spawn(function()
      task.timeout(10, forever)
      note "not reached"
    end)
    core.sleep(1)
    t:cancel()
    assert.same({nil, "cancelled"}, {t:wait()})
    assert.equal("", noted(note))
  end))

  it("is no match for a cancellation, even if its time passes while that one cleans up",
    test(function()
      local note = notebook()
      local t = task.spawn(function()
        task.timeout(2, function()
          local _ <close> = setmetatable({}, {__close = function() task.shield(core.sleep, 5) end})
          forever()
        end)
        note "not reached"
      end)
      core.sleep(1)
      t:cancel()
      assert.same({5, nil, "cancelled"}, {timed(t.wait, t)})
      assert.equal("", noted(note))
    end))

  it("then a cancellation: the first counts first", test(function()
    local problem
    local t = task.spawn(function()
      problem = select(2, task.timeout(1, function()
        pcall(core.sleep, 10)
        task.current():cancel()
        forever()
      end))
      core.sleep(0)
    end)
    assert.same({nil, "cancelled"}, {t:wait()})
    assert.equal("timeout", problem)
  end))

  it("keeps the traceback of what failed in it, however deep", test(function()
    local function culprit() error("deep") end
    local t = task.spawn(function()
      task.timeout(1, function()
        task.timeout(2, function() task.timeout(3, function() culprit() end) end)
      end)
    end)
    local _, err, traceback = t:wait()
    assert.matches("deep$", err)
    assert.matches("culprit", traceback)
  end))

  it("keeps no traceback of an error that was caught", test(function()
    local function first() error("same", 0) end
    local function second() error("other", 0) end
    local t = task.spawn(function()
      pcall(task.timeout, 1, first)
      second()
    end)
    local _, err, traceback = t:wait()
    assert.equal("other", err)
    assert.matches("second", traceback)
    assert.not_matches("first", traceback)
  end))
end)

describe("genet.shield", function()
  it("gives what the function returns, and passes errors on", test(function()
    assert.same({"a", nil, "c", n = 3}, table.pack(task.shield(gives(1, "a", nil, "c"))))
    assert.equal("no", support.raised(task.shield, error, "no", 0))
  end))

  it("holds off a cancellation until it has ended", test(function()
    local note = notebook()
    local t = task.spawn(function()
      task.shield(core.sleep, 5)
      note "shielded"
      core.sleep(1)
      note "never"
    end)
    core.sleep(1)
    t:cancel()
    assert.same({4, nil, "cancelled"}, {timed(t.wait, t)})
    assert.equal("shielded", noted(note))
  end))

  it("holds off a deadline around it", test(function()
    assert.same({5, "x"}, {timed(task.timeout, 1, task.shield, gives(5, "x"))})
  end))

  it("does not hold off a deadline in it", test(function()
    local t = task.spawn(function()
      task.current():cancel()
      return task.shield(task.timeout, 2, forever)
    end)
    assert.same({2, true, nil, "timeout"}, {timed(t.wait, t)})
  end))

  it("ends when the function fails", test(function()
    local t = task.spawn(function()
      task.current():cancel()
      pcall(task.shield, error, "no")
      forever()
    end)
    assert.same({nil, "cancelled"}, {t:wait()})
  end))
end)

describe("misuse", function()
  local t

  -- What is done wrong, and the message; each is blamed on its own line.
  local cases = {
    {function() task.spawn() end, "genet.spawn: a function was expected, not nothing"},
    {function() task.spawn("x") end, "genet.spawn: a function was expected, not a string"},
    {function() task.spawn({}) end, "genet.spawn: a function was expected, not nothing"},
    {function() task.spawn({}, 1) end, "genet.spawn: a function was expected, not 1"},
    {function() task.spawn({nme = "x"}, print) end, "genet.spawn: unknown option 'nme'"},
    {function() task.spawn({name = 1}, print) end,
      "genet.spawn: option 'name': a string was expected, not 1"},
    {function() task.async() end, "genet.async: a function was expected, not nothing"},
    {function() task.async(print, "x") end,
      "genet.async: a table of options was expected, not a string"},
    {function() task.async(print, {detach = 1}) end,
      "genet.async: option 'detach': a boolean was expected, not 1"},
    {function() task.all() end, "genet.all: a table of tasks was expected, not nothing"},
    {function() task.all(t) end, "genet.all: a table of tasks was expected, not a genet.task"},
    {function() task.all(print) end, "genet.all: a table of tasks was expected, not a function"},
    {function() task.all{print, 1} end,
      "genet.all: member 2: a task or a function was expected, not 1"},
    {function() task.any{x = "y"} end,
      "genet.any: member x: a task or a function was expected, not a string"},
    {function() task.any{task.current()} end, "genet.any: a task cannot wait for itself"},
    {function() task.timeout("1", print) end,
      "genet.timeout: a number of seconds from 0 was expected, not a string"},
    {function() task.timeout(-1, print) end,
      "genet.timeout: a number of seconds from 0 was expected, not -1"},
    {function() task.timeout(0 / 0, print) end,
      "genet.timeout: a number of seconds from 0 was expected, not "},
    {function() task.timeout(1) end, "genet.timeout: a function was expected, not nothing"},
    {function() task.shield() end, "genet.shield: a function was expected, not nothing"},
    {function() t:wait(-1) end, "task:wait: a number of seconds from 0 was expected, not -1"},
    {function() t:wait("x") end,
      "task:wait: a number of seconds from 0 was expected, not a string"},
    {function() t:on_done() end, "task:on_done: a function was expected, not nothing"},
    {function() t.wait() end, "task:wait: a task was expected: write task:wait, not task.wait"},
    {function() t.cancel() end,
      "task:cancel: a task was expected: write task:cancel, not task.cancel"},
  }
  for _, case in ipairs(cases) do
    local fn, message = table.unpack(case)
    it("is told: " .. message, test(function()
      t = task.spawn(gives(0))
      assert.equal(message, support.blamed(fn):sub(1, #message))
      assert.is_true(t:wait())
    end))
  end

  it("starts none of a group with a bad member", test(function()
    local began = 0
    local function begin() began = began + 1 end
    pcall(task.all, {begin, begin, x = 1})
    core.sleep(1)
    assert.equal(0, began)
  end))

  it("outside the scheduler is told", function()
    assert.matches("there are no tasks outside the host's scheduler", support.raised(task.current))
  end)
end)
