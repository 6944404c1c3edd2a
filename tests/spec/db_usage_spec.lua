-- The examples in the documentation of databases run, on SQLite in memory.
require "support"
local virtual = require "virtual"

package.loaded.genet = nil
local genet = require "genet"
package.loaded.genet = nil

local SCHEMA = [[
  create table post (id integer primary key, title text, author text);
  create table user (name text unique);
  create table tag (post integer, name text);
  create table picture (data blob);
  create table event (data text);
  insert into post (title, author) values ('One', 'ann');
]]

-- Every `@usage` of a file.
local function examples(path)
  local list, current = {}, nil
  for line in io.lines(path) do
    local first = line:match("^%-%-%-? @usage (.*)$")
    local more = current and line:match("^%-%- (.*)$")
    if first then
      current = {first}
      table.insert(list, current)
    elseif more and not more:find("^@") then
      table.insert(current, more)
    else
      current = nil
    end
  end
  return list
end

-- For those that make a table of their own.
local function is_fresh(text)
  return text:find("create table", 1, true) or text:find("genet.db(", 1, true)
end

local function run(text)
  local db = genet.db("sqlite::memory:")
  if not is_fresh(text) then db:script(SCHEMA) end
  local env = setmetatable({genet = genet, db = db, write = function() end, name = "ann",
    app = {on_unload = function(_, fn) fn() end}}, {__index = _G})
  assert(load(text, "=usage", "t", env))()
  db:close()
end

for _, name in ipairs{"db", "db/value"} do
  describe("the example of genet." .. name, function()
    for _, example in ipairs(examples("lua/genet/" .. name .. ".lua")) do
      local text = table.concat(example, "\n")
      if not text:find("value.writer", 1, true) then
        it("runs: " .. example[1], function() virtual.run(run, text) end)
      end
    end
  end)
end

describe("SQLite in memory", function()
  it("tells of what is there already", virtual.test(function()
    local db = genet.db("sqlite::memory:", {migrations = {"create table user (name text unique)"}})
    db:execute("insert into user values (?)", "ann")
    local ok, err = pcall(db.execute, db, "insert into user values (?)", "ann")
    assert.is_false(ok)
    assert.is_true(genet.db.failed(err))
    assert.is_true(genet.db.failed(err, "unique"))
    assert.is_false(genet.db.failed(err, "check"))
    assert.is_false(genet.db.failed("UNIQUE constraint failed"))
    assert.equal("UNIQUE constraint failed: user.name", err.message)
  end))

  it("refuses a database that is newer than the scripts", virtual.test(function()
    local db = genet.db("sqlite::memory:")
    assert.equal(2, db:migrate{"create table a (b)", "create table c (d)"})
    assert.equal(2, db:migrate{"create table a (b)", "create table c (d)"})
    assert.has_error(function() db:migrate{"create table a (b)"} end,
      "db:migrate: 'main' has version 2, the list only 1")
    assert.equal(1, db:migrate("other", {"create table e (f)"}))
  end))

  it("keeps the steps before one that fails", virtual.test(function()
    local db = genet.db("sqlite::memory:")
    local list = {"create table a (b)", "create table c (d); create table a (b)"}
    assert.is_false(pcall(db.migrate, db, list))
    assert.is_false(pcall(db.query, db, "select * from c"))
    assert.same({}, db:query("select * from a"))
    list[2] = "create table c (d)"
    assert.equal(2, db:migrate(list))
  end))
end)
