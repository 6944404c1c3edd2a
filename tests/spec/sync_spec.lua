local support = require "support"
local virtual = require "virtual"
local core = require "genet.core"
local sync = require "genet.sync"
local task = require "genet.task"

local test = virtual.test

local function notebook()
  return setmetatable({}, {__call = function(list, text) table.insert(list, text) end})
end

local function noted(note)
  return table.concat(note, " ")
end

local function timed(fn, ...)
  local start = core.now()
  local results = table.pack(fn(...))
  return core.now() - start, table.unpack(results, 1, results.n)
end

-- Starts a task for each name, in their order, and lets all of them get as far as they come.
local function start_each(names, fn)
  local started = {}
  for name in names:gmatch("%S+") do started[name] = task.spawn(fn, name) end
  core.yield()
  return started
end

describe("a lock", function()
  it("is held by one at a time, in the order of asking", test(function()
    local lock, note, inside = sync.lock(), notebook(), 0
    start_each("a b c d", function(name)
      for _ = 1, 2 do
        local _ <close> = lock:acquire()
        inside = inside + 1
        assert(inside == 1)
        core.sleep(1)
        inside = inside - 1
        note(name)
      end
    end)
    core.sleep(20)
    assert.equal("a b c d a b c d", noted(note))
  end))

  it("is left to who waits, not to who comes again at once", test(function()
    local lock, note = sync.lock(), notebook()
    start_each("a b", function(name)
      lock:acquire()
      core.sleep(1)
      lock:release()
      lock:acquire()
      note(name)
      lock:release()
    end)
    core.sleep(5)
    assert.equal("a b", noted(note))
  end))

  it("is given back by a <close> variable, after an error too", test(function()
    local lock = sync.lock()
    pcall(function()
      local _ <close> = lock:acquire()
      error("no")
    end)
    local t = task.spawn(function()
      local held <close> = lock:acquire()
      assert(held == lock)
      core.sleep(10)
    end)
    core.yield()
    t:cancel()
    t:wait()
    assert.equal(lock, lock:acquire(0))
    lock:release()
  end))

  it("is not waited for longer than told", test(function()
    local lock = sync.lock()
    local t = task.spawn(function()
      local _ <close> = lock:acquire()
      core.sleep(5)
    end)
    core.yield()
    assert.same({0, nil, "timeout"}, {timed(lock.acquire, lock, 0)})
    assert.same({2, nil, "timeout"}, {timed(lock.acquire, lock, 2)})
    assert.same({3, lock}, {timed(lock.acquire, lock, 4)})
    assert.equal("done", t:status())
  end))

  it("goes to the next when the first has given up", test(function()
    local lock, note = sync.lock(), notebook()
    lock:acquire()
    start_each("1 2 3", function(seconds)
      local held <close> = lock:acquire(tonumber(seconds))
      note(seconds .. (held and "held" or "timeout"))
    end)
    core.sleep(2)
    lock:release()
    core.sleep(5)
    assert.equal("1timeout 2timeout 3held", noted(note))
  end))

  it("goes to the next when the first is cancelled, before or while it is left to him",
    test(function()
      local lock, note = sync.lock(), notebook()
      local function use(name)
        local _ <close> = lock:acquire()
        note(name)
        core.sleep(1)
      end
      lock:acquire()
      local users = start_each("a b c d", use)
      users.a:cancel()
      lock:release()
      users.b:cancel()
      core.sleep(5)
      assert.equal("b c d", noted(note))
      assert.equal("cancelled", users.a:status())
      assert.equal("cancelled", users.b:status())
      assert.equal("done", users.d:status())
    end))

  it("knows who holds it", test(function()
    local lock = sync.lock()
    assert.equal("lock:release: this task does not hold the lock",
      support.blamed(function() lock:release() end))
    lock:acquire()
    assert.equal("lock:acquire: this task holds the lock already",
      support.blamed(function() lock:acquire() end))
    assert.equal("lock:acquire: this task holds the lock already",
      support.blamed(function() lock:acquire(0) end))
    local t = task.spawn(function() support.blamed(function() lock:release() end) end)
    assert.same({true}, {t:wait()})
    lock:release()
    support.blamed(function() lock:release() end)
  end))

  it("is not released twice by one who has left it to another", test(function()
    local lock = sync.lock()
    lock:acquire()
    start_each("a", function()
      local _ <close> = lock:acquire()
      core.sleep(1)
    end)
    lock:release()
    support.blamed(function() lock:release() end)
    assert.same({1, lock}, {timed(lock.acquire, lock)})
  end))
end)

describe("a semaphore", function()
  it("is held by as many as told, in the order of asking", test(function()
    local slots, note, inside, most = sync.semaphore(2), notebook(), 0, 0
    start_each("a b c d e", function(name)
      local _ <close> = slots:acquire()
      inside = inside + 1
      most = math.max(most, inside)
      core.sleep(1)
      inside = inside - 1
      note(name)
    end)
    core.sleep(2.5)
    assert.equal("a b c d", noted(note))
    core.sleep(2)
    assert.equal("a b c d e", noted(note))
    assert.equal(2, most)
  end))

  it("is not waited for longer than told", test(function()
    local slots = sync.semaphore(1)
    assert.equal(slots, slots:acquire(0))
    assert.same({0, nil, "timeout"}, {timed(slots.acquire, slots, 0)})
    assert.same({2, nil, "timeout"}, {timed(slots.acquire, slots, 2)})
    task.spawn(function() core.sleep(1) slots:release() end)
    assert.same({1, slots}, {timed(slots.acquire, slots, 2)})
  end))

  it("leaves a place to who waits, not to who comes between", test(function()
    local slots, note = sync.semaphore(1), notebook()
    slots:acquire()
    start_each("waiter", function(name) slots:acquire() note(name) slots:release() end)
    slots:release()
    assert.same({nil, "timeout"}, {slots:acquire(0)})
    core.yield()
    assert.equal("waiter", noted(note))
    assert.equal(slots, slots:acquire(0))
  end))

  it("loses no place to those who give up or are cancelled", test(function()
    local slots = sync.semaphore(2)
    slots:acquire()
    slots:acquire()
    local users = start_each("a b c d", function(name)
      local held <close> = slots:acquire(name == "a" and 1 or nil)
      core.sleep(held and 1 or 0)
    end)
    core.sleep(2)
    users.b:cancel()
    slots:release()
    slots:release()
    users.c:cancel()
    core.sleep(10)
    assert.equal(slots, slots:acquire(0))
    assert.equal(slots, slots:acquire(0))
    assert.is_nil((slots:acquire(0)))
  end))

  it("may be released by another task, but not once too often", test(function()
    local slots = sync.semaphore(1)
    slots:acquire()
    task.spawn(function() slots:release() end):wait()
    assert.equal("semaphore:release: nobody holds it",
      support.blamed(function() slots:release() end))
  end))
end)

describe("an event", function()
  it("lets everybody go on when it happens, and who comes later", test(function()
    local event, note = sync.event(), notebook()
    start_each("a b", function(name) assert(event:wait() == true) note(name) end)
    assert.is_false(event:is_set())
    event:set()
    assert.is_true(event:is_set())
    core.yield()
    assert.equal("a b", noted(note))
    assert.same({0, true}, {timed(event.wait, event)})
    assert.is_true(event:wait(0))
  end))

  it("is not waited for longer than told", test(function()
    local event = sync.event()
    assert.same({2, nil, "timeout"}, {timed(event.wait, event, 2)})
    assert.same({0, nil, "timeout"}, {timed(event.wait, event, 0)})
  end))

  it("can be made not to have happened", test(function()
    local event = sync.event()
    event:set()
    event:clear()
    assert.is_false(event:is_set())
    assert.same({nil, "timeout"}, {event:wait(1)})
  end))

  it("that happened lets go on although it was cleared at once", test(function()
    local event, note = sync.event(), notebook()
    start_each("a", function() note(event:wait() and "went on") end)
    event:set()
    event:clear()
    core.yield()
    assert.equal("went on", noted(note))
  end))

  it("happens at the end of a <close> variable", test(function()
    local outer
    do
      local event <close> = sync.event()
      outer = event
      start_each("a", function() event:wait() end)
    end
    assert.is_true(outer:is_set())
  end))
end)

describe("a queue", function()
  local function fill(queue, ...)
    for _, value in ipairs{...} do queue:put(value) end
    return queue
  end

  it("gives values in the order in which they came", test(function()
    local queue = fill(sync.queue(), "a", "b")
    queue:put(false)
    assert.equal(3, #queue)
    assert.equal("a", queue:get())
    queue:put("c")
    assert.same({"b", false, "c"}, {queue:get(), queue:get(), queue:get()})
    assert.equal(0, #queue)
  end))

  it("makes readers wait while it is empty", test(function()
    local queue = sync.queue()
    task.spawn(function() core.sleep(3) queue:put("x") end)
    assert.same({3, "x"}, {timed(queue.get, queue)})
  end))

  it("makes writers wait while it is full", test(function()
    local queue = fill(sync.queue(2), "a", "b")
    task.spawn(function() core.sleep(3) queue:get() end)
    assert.same({3, true}, {timed(queue.put, queue, "c")})
    assert.equal(2, #queue)
  end))

  it("keeps nobody longer than told", test(function()
    local queue = sync.queue(1)
    assert.same({0, nil, "timeout"}, {timed(queue.get, queue, 0)})
    assert.same({2, nil, "timeout"}, {timed(queue.get, queue, 2)})
    assert.is_true(queue:put("a", 0))
    assert.same({0, nil, "timeout"}, {timed(queue.put, queue, "b", 0)})
    assert.same({2, nil, "timeout"}, {timed(queue.put, queue, "b", 2)})
    assert.equal("a", queue:get(0))
  end))

  it("serves readers in the order in which they came", test(function()
    local queue, note = sync.queue(), notebook()
    start_each("a b c", function(name) note(name .. queue:get()) end)
    fill(queue, 1, 2, 3)
    assert.same({nil, "timeout"}, {queue:get(0)}) -- they are promised
    core.yield()
    assert.equal("a1 b2 c3", noted(note))
  end))

  it("serves writers in the order in which they came", test(function()
    local queue = fill(sync.queue(1), "x")
    start_each("a b c", function(name) queue:put(name) end)
    assert.equal("x", queue:get())
    assert.same({nil, "timeout"}, {queue:put("hasty", 0)}) -- the place is promised
    assert.same({"a", "b", "c"}, {queue:get(), queue:get(), queue:get()})
  end))

  for _, most in ipairs{1, 2, 7, 1000} do
    it(("of %d passes everything between many"):format(most), test(function()
      local queue, got, running = sync.queue(most), {}, 5
      for p = 1, 5 do
        task.spawn(function()
          for i = 1, 40 do
            assert(queue:put(p * 100 + i))
            if i % 7 == p then core.sleep(p) end
          end
          running = running - 1
          if running == 0 then queue:close() end
        end)
      end
      local readers = {}
      for r = 1, 7 do
        readers[r] = function()
          local last = {}
          for value in queue:values() do
            assert((last[value // 100] or 0) < value)
            last[value // 100] = value
            got[value] = (got[value] or 0) + 1
            if value % 5 == r % 5 then core.sleep(0.3) end
          end
        end
      end
      assert(task.all(readers))
      local count = 0
      for _, times in pairs(got) do
        assert.equal(1, times)
        count = count + 1
      end
      assert.equal(200, count)
    end))
  end

  it("loses nothing when readers give up or are cancelled", test(function()
    local queue, note = sync.queue(), notebook()
    local readers = start_each("a b c d", function(name)
      local value, problem = queue:get(name == "a" and 1 or nil)
      note(name .. (value or problem))
    end)
    core.sleep(1)
    readers.b:cancel()
    queue:put(1)
    readers.c:cancel()
    queue:put(2)
    core.sleep(1)
    assert.equal("atimeout c1 d2", noted(note))
  end))

  it("gives a value that comes as the time ends to one or keeps it", test(function()
    local queue, note = sync.queue(), notebook()
    task.spawn(function() core.sleep(1) queue:put("x") end)
    start_each("a b", function(name) note(name .. select(-1, queue:get(1))) end)
    core.sleep(2)
    local kept = queue:get(0)
    local text = noted(note) .. " " .. (kept or "-")
    assert.equal(1, select(2, text:gsub("x", "")), text)
  end))

  it("makes room for another when a writer gives up or is cancelled", test(function()
    local queue = fill(sync.queue(1), "x")
    local writers = start_each("a b c", function(name)
      return queue:put(name, name == "a" and 1 or nil)
    end)
    core.sleep(1)
    writers.b:cancel()
    queue:get()
    assert.same({"c"}, {queue:get(1)})
    assert.same({nil, "timeout"}, {queue:get(0)})
  end))

  it("when closed gives what it holds, and then no more", test(function()
    local queue = fill(sync.queue(), "a", "b")
    queue:close()
    assert.same({nil, "closed"}, {queue:put("c")})
    assert.same({nil, "closed"}, {queue:put("c", 0)})
    assert.equal("a", queue:get())
    assert.equal("b", queue:get(0))
    assert.same({nil, "closed"}, {queue:get()})
    assert.same({nil, "closed"}, {queue:get(5)})
    queue:close()
  end))

  it("tells its readers and writers when it is closed", test(function()
    local empty, full, note = sync.queue(), fill(sync.queue(1), "x"), notebook()
    start_each("a b", function() note((select(2, empty:get()))) end)
    start_each("c d", function() note((select(2, full:put("y", 9)))) end)
    empty:close()
    full:close()
    core.yield()
    assert.equal("closed closed closed closed", noted(note))
    assert.equal(1, #full)
  end))

  it("gives a promised value to its reader although it is closed at once", test(function()
    local queue, note = sync.queue(), notebook()
    start_each("a b", function(name) note(name .. select(-1, queue:get())) end)
    queue:put("x")
    queue:close()
    assert.same({nil, "closed"}, {queue:get()})
    core.yield()
    assert.equal("ax bclosed", noted(note))
  end))

  it("takes nothing more from a writer that was promised room when it is closed", test(function()
    local queue, note = fill(sync.queue(1), "x"), notebook()
    start_each("a", function() note((select(2, queue:put("y")))) end)
    assert.equal("x", queue:get())
    queue:close()
    assert.same({nil, "closed"}, {queue:get()})
    core.yield()
    assert.equal("closed", noted(note))
    assert.equal(0, #queue)
  end))

  it("is closed at the end of a <close> variable, which ends those who read it", test(function()
    local note = notebook()
    do
      local queue <close> = sync.queue()
      start_each("a b", function(name)
        for value in queue:values() do note(name .. value) end
        note(name)
      end)
      fill(queue, 1, 2, 3)
      core.sleep(1)
    end
    core.yield()
    assert.equal("a1 a2 b3 a b", noted(note))
  end))

  it("holds on to no value that was taken", test(function()
    local queue = sync.queue()
    local weak = setmetatable({}, {__mode = "v"})
    for i = 1, 3 do
      weak[i] = {}
      queue:put(weak[i])
      queue:get()
    end
    collectgarbage()
    assert.is_nil(next(weak))
  end))
end)

describe("waiting at any of them", function()
  -- How each is waited for, with a time or without.
  local waits = {
    ["lock:acquire"] = function()
      local lock = sync.lock()
      task.spawn(function() lock:acquire() core.sleep(1000) lock:release() end)
      core.yield()
      return function(seconds) return lock:acquire(seconds) end
    end,
    ["semaphore:acquire"] = function()
      local slots = sync.semaphore(1)
      slots:acquire()
      return function(seconds) return slots:acquire(seconds) end
    end,
    ["event:wait"] = function()
      local event = sync.event()
      return function(seconds) return event:wait(seconds) end
    end,
    ["queue:get"] = function()
      local queue = sync.queue()
      return function(seconds) return queue:get(seconds) end
    end,
    ["queue:put"] = function()
      local queue = sync.queue(1)
      queue:put(1)
      return function(seconds) return queue:put(2, seconds) end
    end,
    ["task:wait"] = function()
      local t = task.spawn(core.sleep, 1000)
      return function(seconds) return t:wait(seconds) end
    end,
  }

  for name, make in pairs(waits) do
    it(name .. " is ended by cancel, by deadlines and by its own time", test(function()
      local wait = make()
      local t = task.spawn(wait)
      core.sleep(1)
      assert.equal("waiting", t:status())
      t:cancel()
      assert.same({nil, "cancelled"}, {t:wait()})
      assert.same({2, nil, "timeout"}, {timed(task.timeout, 2, wait)})
      assert.same({2, nil, "timeout"}, {timed(task.timeout, 2, wait, 5)})
      assert.same({2, nil, "timeout"}, {timed(task.timeout, 5, wait, 2)})
      assert.same({0, nil, "timeout"}, {timed(wait, 0)})
    end))

    it(name .. " refuses a bad time", test(function()
      local wait = make()
      for _, bad in ipairs{-1, "x", 0 / 0, {}} do
        local message = support.raised(wait, bad)
        assert.matches(name .. ": a number of seconds from 0 was expected, not ", message)
      end
    end))
  end
end)

describe("misuse", function()
  -- What is done wrong, and the message; each is blamed on its own line.
  local cases = {
    {function() sync.semaphore() end,
      "genet.semaphore: a whole number from 1 was expected, not nothing"},
    {function() sync.semaphore(0) end,
      "genet.semaphore: a whole number from 1 was expected, not 0"},
    {function() sync.semaphore(1.5) end,
      "genet.semaphore: a whole number from 1 was expected, not 1.5"},
    {function() sync.queue(0) end, "genet.queue: a whole number from 1 was expected, not 0"},
    {function() sync.queue("x") end,
      "genet.queue: a whole number from 1 was expected, not a string"},
    {function() sync.queue():put() end, "queue:put: a value was expected, not nil"},
    {function() sync.queue():put(nil, 1) end, "queue:put: a value was expected, not nil"},
    {function() sync.queue().get() end,
      "queue:get: a queue was expected: write queue:get, not queue.get"},
    {function() sync.queue().put(1) end,
      "queue:put: a queue was expected: write queue:put, not queue.put"},
    {function() sync.queue().close() end,
      "queue:close: a queue was expected: write queue:close, not queue.close"},
    {function() sync.queue().values() end,
      "queue:values: a queue was expected: write queue:values, not queue.values"},
    {function() sync.lock().acquire() end,
      "lock:acquire: a lock was expected: write lock:acquire, not lock.acquire"},
    {function() sync.lock().release({}) end,
      "lock:release: a lock was expected: write lock:release, not lock.release"},
    {function() sync.semaphore(1).acquire(1) end,
      "semaphore:acquire: a semaphore was expected: write semaphore:acquire, not "
      .. "semaphore.acquire"},
    {function() sync.semaphore(1).release() end,
      "semaphore:release: a semaphore was expected: write semaphore:release, not "
      .. "semaphore.release"},
    {function() sync.event().wait(1) end,
      "event:wait: an event was expected: write event:wait, not event.wait"},
    {function() sync.event().set() end,
      "event:set: an event was expected: write event:set, not event.set"},
    {function() sync.event().clear() end,
      "event:clear: an event was expected: write event:clear, not event.clear"},
    {function() sync.event().is_set() end,
      "event:is_set: an event was expected: write event:is_set, not event.is_set"},
  }
  for _, case in ipairs(cases) do
    local fn, message = table.unpack(case)
    it("is told: " .. message, test(function()
      assert.equal(message, support.blamed(fn))
    end))
  end
end)
