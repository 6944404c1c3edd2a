require "support"
local virtual = require "virtual"
local core = require "genet.core"
local task = require "genet.task"

local test = virtual.test

-- A LuaSQL whose statements take the time and give the rows that `answers` says, by their text.
local world

local Cursor = {}
Cursor.__index = Cursor

function Cursor:getcolnames() return self.names end
function Cursor:getcoltypes() return self.types end
function Cursor:fetch(row)
  local values = table.remove(self.rows, 1)
  if not values then return nil end
  for at, name in ipairs(self.names) do row[name] = values[at] end
  return row
end
function Cursor:close() self.closed = true return true end

local Connection = {}
Connection.__index = Connection

function Connection:execute(text)
  assert(not self.closed, "the connection is closed")
  assert(not self.inside, "two use one connection")
  table.insert(world.said, text)
  self.inside = true
  local ok, cause = pcall(core.sleep, world.takes[text] or 0)
  self.inside = false
  if not ok then return nil, "LuaSQL: poll failed: " .. cause end
  if self.dead then return nil, "LuaSQL: error executing statement. PostgreSQL: no connection" end
  local problem = world.problems[text]
  if problem then
    return nil, "LuaSQL: error executing statement. PostgreSQL: " .. problem
  end
  local rows = world.rows[text] or text == "SELECT 1" and {{"1"}}
  if not rows then return 1.0 end
  return setmetatable({names = world.names, types = world.types, rows = {table.unpack(rows)}},
    {__index = Cursor, __name = "cursor"})
end

function Connection:close()
  assert(not self.closed)
  self.closed = true
  world.open = world.open - 1
  return true
end

local environment = {}
function environment:connect(url) -- luacheck: ignore 212
  world.connects = world.connects + 1
  if world.refuses then return nil, "LuaSQL: error connecting to database. PostgreSQL: refused" end
  core.sleep(world.connecting or 0)
  world.open = world.open + 1
  local one = setmetatable({}, Connection)
  table.insert(world.connections, one)
  return one
end

package.preload["luasql.postgres"] = function()
  return {postgres = function() return environment end}
end

-- The framework asks whether a result is a cursor, a userdata: here that is a table.
local real_type = type
local function is_cursor(any)
  return real_type(any) == "table" and getmetatable(any) ~= nil
    and getmetatable(any).__name == "cursor"
end
local loaded = assert(package.searchpath("genet.db.connection", package.path))
local env = setmetatable({type = function(any)
  return is_cursor(any) and "userdata" or real_type(any)
end}, {__index = _G})
package.loaded["genet.db.connection"] = assert(loadfile(loaded, "t", env))("genet.db.connection")

local db = require "genet.db"
local loader = require "genet.loader"

local function count(text)
  local times = 0
  for _, said in ipairs(world.said) do if said == text then times = times + 1 end end
  return times
end

describe("a database", function()
  local loaded_app = loader.app

  setup(function() loader.app = function() return {} end end)
  teardown(function() loader.app = loaded_app end)

  before_each(function()
    world = {said = {}, takes = {}, problems = {}, rows = {}, names = {"a"}, types = {"int4"},
      connects = 0, open = 0, connections = {}}
  end)

  local function open(options)
    return db("postgres://host/db", options)
  end

  it("connects when it is first used, and once", test(function()
    local it = open()
    assert.equal(0, world.connects)
    world.rows["select a"] = {{"1"}, {"2"}}
    assert.same({{a = 1}, {a = 2}}, it:query("select a"))
    assert.equal(1, it:value("select a"))
    assert.same({a = 1}, it:one("select a"))
    assert.equal(1, it:execute("update t set a = ?", 5))
    assert.equal(1, count("update t set a =  5 "))
    assert.equal(1, world.connects)
  end))

  it("lends so many connections, and has the others wait for their turn", test(function()
    local it, ended = open{size = 2}, {}
    world.takes["select 5"] = 1
    for at = 1, 6 do
      task.spawn(function() it:query("select 5") table.insert(ended, at) end)
    end
    core.sleep(1.5)
    assert.same({1, 2}, ended)
    core.sleep(2)
    assert.same({1, 2, 3, 4, 5, 6}, ended)
    assert.equal(2, world.connects)
  end))

  it("tells who has waited for too long", test(function()
    local it = open{size = 1, wait = 3}
    world.takes["select 5"] = 10
    local slow = task.spawn(function() it:query("select 5") end)
    core.yield()
    local start = core.now()
    local _, err = pcall(it.query, it, "select 1")
    assert.equal(3, core.now() - start)
    assert.equal("pool", err.kind)
    assert.equal("db: none of the 1 connections was free within 3 s", tostring(err))
    assert.is_true(slow:wait())
  end))

  it("closes connections that idle", test(function()
    local it = open{idle = 60}
    it:execute("update a")
    core.sleep(59)
    assert.equal(1, world.open)
    core.sleep(2)
    assert.equal(0, world.open)
    it:execute("update a")
    assert.equal(2, world.connects)
  end))

  it("keeps them in a program that is run, not served, which would not end before", test(function()
    loader.app = loaded_app
    local it = open{idle = 60}
    it:execute("update a")
    core.sleep(100)
    assert.equal(1, world.open)
    loader.app = function() return {} end
  end))

  it("replaces a connection that has died while it idled", test(function()
    local it = open()
    it:execute("update a")
    world.connections[1].dead = true
    core.sleep(5)
    it:execute("update a")
    assert.equal(2, world.connects)
    assert.is_true(world.connections[1].closed)
  end))

  it("closes a connection that breaks, and keeps one whose statement is wrong", test(function()
    local it = open()
    world.problems["bad"] = "ERROR:  syntax error"
    local _, err = pcall(it.execute, it, "bad")
    assert.equal("syntax", err.kind)
    assert.equal("ERROR:  syntax error", err.message)
    assert.equal(1, world.open)
    world.problems["gone"] = "server closed the connection unexpectedly"
    _, err = pcall(it.execute, it, "gone")
    assert.equal("connection", err.kind)
    assert.equal(0, world.open)
  end))

  it("never gives back a connection in the middle of a query", test(function()
    local it = open{size = 1}
    world.takes["slow"] = 10
    local slow = task.spawn(function() it:execute("slow") end)
    core.sleep(1)
    slow:cancel()
    assert.same({nil, "cancelled"}, {slow:wait()})
    assert.equal(0, world.open)
    assert.equal(1, it:execute("update a"))
    assert.equal(2, world.connects)
    assert.same({nil, "timeout"}, {task.timeout(1, it.execute, it, "slow")})
    assert.equal(0, world.open)
  end))

  it("lets who waits for a connection be cancelled", test(function()
    local it = open{size = 1}
    world.takes["slow"] = 5
    local slow = task.spawn(function() it:execute("slow") end)
    core.yield()
    local waiting = task.spawn(function() it:execute("update a") end)
    core.yield()
    waiting:cancel()
    assert.same({nil, "cancelled"}, {waiting:wait()})
    assert.is_true(slow:wait())
    assert.equal(1, it:execute("update a"))
  end))

  it("says why it cannot connect", test(function()
    world.refuses = true
    local _, err = pcall(open{size = 1}.query, open{size = 1}, "select 1")
    assert.equal("connection", err.kind)
    assert.equal("db: refused", tostring(err))
    world.refuses, world.connecting = false, 100
    local it = open{size = 1, connect = 5}
    _, err = pcall(it.query, it, "select 1")
    assert.equal("connection", err.kind)
    world.connecting = 0
    assert.equal("1", tostring(it:query("SELECT 1")[1].a))
  end))

  it("is closed at once where nobody uses it", test(function()
    local it = open()
    world.takes["slow"] = 5
    local slow = task.spawn(function() it:execute("slow") end)
    it:execute("update a")
    core.yield()
    it:close()
    assert.equal(1, world.open)
    assert.is_true(slow:wait())
    assert.equal(0, world.open)
    assert.has_error(function() it:execute("update a") end, "the database has been closed")
  end))

  it("refuses what is no use of it", test(function()
    local it = open()
    for _, case in ipairs{
      {{nil}, "db:query: a string was expected as the statement, not a nil"},
      {{"select 1; select 2"}, "db:query: one statement was expected, not 2; "
        .. "db:script runs several"},
      {{"commit"}, "db:query: use db:transaction(fn) in place of COMMIT"},
      {{"select ?"}, "db:query: the statement has 1 placeholder, but 0 values were given"},
      {{"select ?", {}}, "db:query: value 1: a table cannot be kept in a database; "
        .. "genet.db.json(table) makes it a text"},
    } do
      local _, err = pcall(it.query, it, table.unpack(case[1]))
      assert.equal(case[2], err)
    end
    for _, url in ipairs{"mysql://x", "app.db", "sqlite://x"} do
      assert.has_error(function() db(url) end)
    end
    local _, err = pcall(db, "mysql://me:secret@x")
    assert.is_nil(err:find("secret"))
    assert.has_error(function() open{sise = 1} end)
    assert.has_error(function() open{size = 0} end)
  end))

  describe("in a transaction", function()
    it("commits when its function returns", test(function()
      local it = open()
      assert.same({1, nil, 3}, {it:transaction(function(tx)
        tx:execute("update a")
        return 1, nil, 3
      end)})
      assert.same({"BEGIN", "update a", "COMMIT"}, table.move(world.said, 2, 4, 1, {}))
    end))

    it("takes back what was done when it raises", test(function()
      local it = open()
      local problem = {}
      local _, err = pcall(it.transaction, it, function() error(problem) end)
      assert.equal(problem, err)
      assert.equal(1, count("ROLLBACK"))
      assert.equal(0, count("COMMIT"))
      assert.equal(1, world.open)
    end))

    it("takes back what was done when it is cancelled between statements", test(function()
      local it = open()
      local t = task.spawn(function() it:transaction(function() core.sleep(100) end) end)
      core.sleep(1)
      t:cancel()
      t:wait()
      assert.equal(1, count("ROLLBACK"))
      assert.equal(1, world.open)
      it:execute("update a")
      assert.equal(1, world.connects)
    end))

    it("closes a connection that is cancelled in a statement, or cannot go back", test(function()
      local it = open()
      world.takes["slow"] = 10
      local t = task.spawn(function()
        it:transaction(function(tx) tx:execute("slow") end)
      end)
      core.sleep(1)
      t:cancel()
      t:wait()
      assert.equal(0, world.open)
      world.takes["ROLLBACK"] = 1000
      pcall(it.transaction, it, function() error("no") end)
      assert.equal(0, world.open)
    end))

    it("does not pretend to commit what an error has ended", test(function()
      local it = open()
      world.problems["bad"] = "ERROR:  division by zero"
      local ok, err = pcall(it.transaction, it, function(tx) pcall(tx.execute, tx, "bad") end)
      assert.is_false(ok)
      assert.equal("ERROR:  division by zero", err.message)
      assert.equal(0, count("COMMIT"))
    end))

    it("has savepoints as inner ones", test(function()
      local it = open()
      world.problems["bad"] = "ERROR:  division by zero"
      it:transaction(function(tx)
        tx:transaction(function(inner) inner:execute("update a") end)
        assert.is_false(pcall(tx.transaction, tx, function(inner) inner:execute("bad") end))
      end)
      assert.same({"BEGIN", "SAVEPOINT genet_level_1", "update a",
        "RELEASE SAVEPOINT genet_level_1", "SAVEPOINT genet_level_1", "bad",
        "ROLLBACK TO SAVEPOINT genet_level_1", "COMMIT"}, table.move(world.said, 2, 9, 1, {}))
    end))

    it("begins again after a failed serialization, so often as told", test(function()
      local it, rounds = open(), 0
      world.problems["clash"] = "ERROR:  could not serialize access due to concurrent update"
      local function body(tx)
        rounds = rounds + 1
        if rounds < 3 then tx:execute("clash") end
        return rounds
      end
      assert.equal(3, it:transaction({retry = 2, isolation = "serializable"}, body))
      assert.equal(3, count("BEGIN ISOLATION LEVEL SERIALIZABLE"))
      rounds = 0
      local _, err = pcall(it.transaction, it, {retry = 1}, body)
      assert.equal("serialization", err.kind)
    end))

    it("belongs to one task at a time, and is over afterwards", test(function()
      local it, kept = open(), nil
      world.takes["slow"] = 5
      it:transaction(function(tx)
        kept = tx
        local t = task.spawn(function() tx:execute("slow") end)
        core.yield()
        local _, err = pcall(tx.execute, tx, "update a")
        assert.truthy(err:find("one task at a time", 1, true))
        assert.is_true(t:wait())
      end)
      assert.has_error(function() kept:execute("update a") end, "the transaction has ended")
    end))
  end)

  describe("row by row", function()
    local function prepare_rows()
      world.rows["FETCH 500 FROM genet_1"] = {{"1"}, {"2"}, {"3"}}
      return open{size = 1}
    end

    it("gives back the connection after the last", test(function()
      local it, sum = prepare_rows(), 0
      for row in it:each("select a from t") do sum = sum + row.a end
      assert.equal(6, sum)
      assert.equal(1, count("COMMIT"))
      it:execute("update a")
    end))

    it("gives it back after a break, an error, or a failure to begin", test(function()
      local it = prepare_rows()
      local seen = 0
      for row in it:each("select a from t") do
        seen = seen + row.a
        if seen == 3 then break end
      end
      it:execute("update a")
      pcall(function() for _ in it:each("select a from t") do error("no") end end)
      it:execute("update a")
      world.problems["DECLARE genet_3 NO SCROLL CURSOR FOR bad select"] = "ERROR:  no"
      world.problems["bad select"] = "ERROR:  no"
      pcall(function() for _ in it:each("bad select") do error("no") end end)
      it:execute("update a")
      assert.equal(1, world.connects)
    end))
  end)
end)
