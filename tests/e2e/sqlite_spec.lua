-- Stock LuaSQL on stock SQLite: a slow statement, or one that waits for a lock, holds up its
-- handler only; and everything answers as it does under plain Lua.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local sqlite = require "luasql.sqlite3"
local app = genet.app()
local env = sqlite.sqlite3()
local path = os.getenv("DATABASE")
local PATIENCE = 60000
local COUNT = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n%s) SELECT %s FROM n"
local ENDLESS = COUNT:format("", "count(*)")

local function connect(name, ms)
  local db = assert(env:connect(name or path, ms or PATIENCE))
  return setmetatable({}, {
    __index = function(_, method) return function(_, ...) return db[method](db, ...) end end,
    __close = function() db:close() end,
  })
end

local function value(db, sql)
  local cursor = assert(db:execute(sql))
  local first = cursor:fetch()
  cursor:close()
  return first
end

local d = genet.shared("notes")
local function note(event) d:rpush("events", event) end

app:get("/events", function()
  local events = {}
  for event in function() return d:lpop("events") end do events[#events + 1] = event end
  return table.concat(events, " ")
end)

app:get("/hello", function()
  note("hello")
  return "hello"
end)

app:get("/slow", function()
  local db <close> = connect(":memory:")
  note("begin")
  local n = value(db, COUNT:format(" LIMIT 5000000", "count(*)"))
  note("end")
  return tostring(n)
end)

app:get("/many", function()
  local db <close> = connect(":memory:")
  note("begin")
  local cursor = assert(db:execute(COUNT:format(" LIMIT 1000000", "x")))
  local sum, x = 0, cursor:fetch()
  while x do sum, x = sum + x, cursor:fetch() end
  note("end")
  return tostring(sum)
end)

app:get("/create", function()
  local db <close> = connect()
  assert(db:execute("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)"))
  assert(db:execute("DELETE FROM t"))
  return "created"
end)

app:get("/count", function()
  local db <close> = connect()
  return tostring(value(db, "SELECT count(*) FROM t"))
end)

-- Writers that begin once so many are there.
local function wait_for(crowd)
  while (d:get("waiting") or 0) < crowd do genet.sleep(0.01) end
end

app:get("/write/<int:crowd>", function(_, crowd)
  local db <close> = connect()
  d:incr("waiting", 1, 0)
  wait_for(crowd)
  assert(db:execute("INSERT INTO t(b) VALUES ('written')"))
  return "written"
end)

-- Holds the lock until so many wait for it.
app:get("/hold/<int:crowd>", function(_, crowd)
  local db <close> = connect()
  d:set("waiting", 0)
  assert(db:execute("BEGIN IMMEDIATE"))
  note("held")
  wait_for(crowd)
  genet.sleep(0.1)
  assert(db:execute("INSERT INTO t(b) VALUES ('first')"))
  assert(db:execute("COMMIT"))
  return "committed"
end)

local function outcome_of_cancelled(fn)
  local result
  local task = genet.spawn(function() result = table.pack(fn()) end)
  genet.sleep(0.01)
  assert(not result, "it did not wait")
  task:cancel()
  task:wait()
  return tostring(result[1]) .. " " .. tostring(result[2])
end

app:get("/cancel", function()
  local db <close> = connect(":memory:")
  local outcome = outcome_of_cancelled(function() return db:execute(ENDLESS) end)
  return outcome .. ", then " .. value(db, "SELECT 'usable'")
end)

app:get("/cancel-waiting", function()
  local holder <close> = connect()
  local db <close> = connect()
  assert(holder:execute("BEGIN IMMEDIATE"))
  local outcome = outcome_of_cancelled(function() return db:execute("DELETE FROM t") end)
  assert(holder:execute("COMMIT"))
  return outcome
end)

app:get("/cancel-often/<int:rounds>", function(_, rounds)
  for _ = 1, rounds do
    local task = genet.spawn(function()
      local db <close> = connect()
      assert(db:execute(ENDLESS))
    end)
    genet.sleep(0.0005)
    task:cancel()
    task:wait()
  end
  return "cancelled"
end)

app:get("/timeout", function()
  local db <close> = connect(":memory:")
  return tostring(select(2, genet.timeout(0.05, db.execute, db, ENDLESS)))
end)

app:get("/vanish", function()
  local db <close> = connect(":memory:")
  note("begin")
  db:execute(ENDLESS)
  note("end")
  return "never"
end)

app:get("/rounds/<int:rounds>", function(_, rounds)
  for round = 1, rounds do
    local db <close> = connect()
    assert(db:execute("INSERT INTO t(b) VALUES ('round')"))
    value(db, "SELECT count(*) FROM t")
    if round % 100 == 0 then collectgarbage() end
  end
  return "done"
end)

return app
]]

describe("SQLite in a handler", function()
  local server, directory

  setup(function()
    directory = support.directory()
    server = support.serve{script = script, env = {DATABASE = directory .. "/db"}}
  end)

  teardown(function()
    server:stop()
    support.remove(directory)
  end)

  before_each(function()
    assert.equal("created", server:get("/create").body)
    server:get("/events")
  end)

  local function wait_for_event(event)
    local seen = ""
    support.wait_until(event, function()
      seen = seen .. " " .. server:get("/events").body
      return seen:find(event, 1, true)
    end)
  end

  it("answers others while a query counts", function()
    local slow = server:ask("/slow")
    wait_for_event("begin")
    for _ = 1, 3 do assert.equal("hello", server:get("/hello").body) end
    assert.equal("5000000", slow:response().body)
    slow:close()
    assert.equal("hello hello hello end", server:get("/events").body)
  end)

  it("answers others while rows are fetched", function()
    local many = server:ask("/many")
    wait_for_event("begin")
    assert.equal("hello", server:get("/hello").body)
    assert.equal("500000500000", many:response().body)
    many:close()
    assert.equal("hello end", server:get("/events").body)
  end)

  it("lets writers wait for each other", function()
    local size = support.mode == "threaded" and 12 or 50
    local crowd = server:crowd(size, "/write/" .. size)
    assert.same({["200 written"] = size}, crowd:answers())
    assert.equal(tostring(size), server:get("/count").body)
  end)

  it("lets more writers wait for a lock than there are threads", function()
    support.only("default processes", "each has a thread to itself", pending)
    local holder = server:ask("/hold/40")
    wait_for_event("held")
    local crowd = server:crowd(40, "/write/40")
    assert.equal("committed", holder:response().body)
    holder:close()
    assert.same({["200 written"] = 40}, crowd:answers())
    assert.equal("41", server:get("/count").body)
  end)

  local answers = {
    {"interrupts a query whose task is cancelled", "/cancel",
      "nil LuaSQL: interrupted, then usable"},
    {"ends the wait for a lock when its task is cancelled", "/cancel-waiting",
      "nil LuaSQL: interrupted"},
    {"keeps deadlines", "/timeout", "timeout"},
  }
  for _, case in ipairs(answers) do
    local sentence, target, expected = table.unpack(case)
    it(sentence, function() assert.equal(expected, server:get(target).body) end)
  end

  it("interrupts the query of a client that is gone", function()
    local client = server:ask("/vanish")
    wait_for_event("begin")
    client:close()
    wait_for_event("end")
  end)

  it("leaks nothing in a thousand rounds", function()
    support.only("default processes", "a thread opens files when it first serves", pending)
    local rounds = support.crowd_size(1000)
    server:get("/rounds/10")
    local descriptors = server:settled_descriptors()
    assert.equal("done", server:get("/rounds/" .. rounds).body)
    assert.equal(tostring(rounds + 10), server:get("/count").body)
    assert.equal(descriptors, server:settled_descriptors())
  end)

  it("leaks nothing in a thousand cancellations", function()
    support.only("default processes", "a thread opens files when it first serves", pending)
    local rounds = support.crowd_size(1000)
    server:get("/cancel-often/10")
    local descriptors = server:settled_descriptors()
    assert.equal("cancelled", server:get("/cancel-often/" .. rounds).body)
    assert.equal(descriptors, server:settled_descriptors())
  end)
end)

-- Prints what all of LuaSQL's methods answer, good and bad.
local plain = [[
local sqlite = require "luasql.sqlite3"
local env = sqlite.sqlite3()

local function show(...)
  local words = table.pack(...)
  for i = 1, words.n do
    words[i] = math.type(words[i]) and ("%.14g"):format(words[i]) or tostring(words[i])
    words[i] = words[i]:gsub("0x%x+", "ADDRESS"):gsub(arg[1], "DIRECTORY")
  end
  print(table.concat(words, "\t"))
end

local function show_rows(db, sql)
  local cursor, err = db:execute(sql)
  if type(cursor) ~= "userdata" then return show(cursor, err) end
  show(table.concat(cursor:getcolnames(), " "), table.concat(cursor:getcoltypes(), " "))
  local row = cursor:fetch({}, "a")
  while row do
    local names = {}
    for name in pairs(row) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do show(name, row[name]) end
    row = cursor:fetch(row, "a")
  end
  show(pcall(cursor.fetch, cursor))
end

local function exercise(path)
  local db = assert(env:connect(path, 10))
  show_rows(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL, d BLOB)")
  show_rows(db, "INSERT INTO t VALUES (1, 'one', 1.5, x'00ff'), (2, NULL, 2, '')")
  show(db:getlastautoid())
  show_rows(db, "SELECT * FROM t")
  show_rows(db, "SELECT a FROM t WHERE a > 100")
  show_rows(db, "UPDATE t SET b = '" .. db:escape("it's") .. "'")
  show_rows(db, "INSERT INTO t(b) VALUES ('returned') RETURNING a")
  show_rows(db, "SELECT count(*) AS n FROM t; SELECT 1")
  show_rows(db, "INSERT INTO t(a) VALUES (10); INSERT INTO t(a) VALUES (11)")
  show_rows(db, "nonsense")
  show_rows(db, "SELECT * FROM nowhere")
  show_rows(db, "INSERT INTO t(a) VALUES (1)")
  show_rows(db, "PRAGMA busy_timeout")
  show_rows(db, "PRAGMA busy_timeout = 20")
  show_rows(db, "COMMIT")
  show(db:setautocommit(false))
  show_rows(db, "DELETE FROM t")
  show(db:rollback())
  show_rows(db, "DELETE FROM t WHERE a = 1")
  show(db:commit())
  show_rows(db, "SELECT group_concat(a) AS all_of_them FROM t")
  show(db:setautocommit(true))
  show(db:commit())
  local cursor = db:execute("SELECT 1")
  show(pcall(db.close, db))
  cursor:close()
  show(cursor:close())
  show(db:close())
  show(db:close())
  show(pcall(db.execute, db, "SELECT 1"))
end

local function exercise_locks(path)
  local a, b = env:connect(path, 20), env:connect(path, 20)
  show_rows(a, "BEGIN IMMEDIATE")
  show_rows(b, "INSERT INTO t(a) VALUES (50)")
  show_rows(b, "SELECT max(a) AS m FROM t")
  show_rows(a, "ROLLBACK")
  show_rows(b, "INSERT INTO t(a) VALUES (50)")
  show_rows(a, "BEGIN EXCLUSIVE")
  show_rows(b, "SELECT max(a) AS m FROM t")
  a:close()
  show_rows(b, "SELECT max(a) AS m FROM t")
  b:close()
end

local function exercise_collection(path)
  for _ = 1, 20 do
    local db = env:connect(path)
    db:execute("SELECT * FROM t"):fetch()
  end
  collectgarbage()
  collectgarbage()
end

exercise(":memory:")
exercise(arg[1] .. "/db")
exercise_locks(arg[1] .. "/db")
exercise_collection(arg[1] .. "/db")
show(env:connect("/nowhere/db"))
show(env:connect(arg[1]))
show(env:close())
show(pcall(env.connect, env, ":memory:"))
]]

describe("LuaSQL with SQLite in a plain script", function()
  it("answers as it does under plain Lua", function()
    local directory = support.directory{["plain.lua"] = plain, ["a/x"] = "", ["b/x"] = ""}
    finally(function() support.remove(directory) end)
    local pipe = assert(io.popen(("lua5.4 %s/plain.lua %s/a 2>&1"):format(directory, directory)))
    local expected = pipe:read("a")
    assert.is_true(pipe:close(), expected)
    local result = support.run{"run", directory .. "/plain.lua", directory .. "/b"}
    assert.equal("", result.err)
    assert.equal(0, result.status)
    assert.equal(expected, result.out)
  end)
end)
