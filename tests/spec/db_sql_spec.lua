require "support"
local sqlite = require "genet.db.sqlite"
local postgres = require "genet.db.postgres"
local sql = require "genet.db.sql"
local value = require "genet.db.value"
local json = require "genet.json"

local function bind(driver, text, ...)
  local list = sql.statements(text, driver.dialect)
  assert(#list == 1, #list .. " statements")
  return sql.bind(list[1], driver.dialect, select("#", ...), ...)
end

-- Statements in which `n` of the question marks stand for values.
local both = {
  {"select ?", 1},
  {"select ?, ?", 2},
  {"select '?'", 0},
  {"select 'it''s ?', ?", 1},
  {"select ''''||?", 1},
  {[[select "a?""?", ?]], 1},
  {"select 1 -- ? '\n, ?", 1},
  {"select 1 -- ?", 0},
  {"select /* ? ' */ ?", 1},
  {"select ? /* ? ", 1},
  {"select 1-?", 1},
  {"select 6/?", 1},
  {"select ??", 0},
  {"select 'a\\', ?", 1},
  {"select 'unfinished ?", 0},
  {"select e, x from t where e='?' and x=?", 1},
  {"update t set a=?,b=? where c in (?,?)", 4},
}

local only = {
  [sqlite] = {
    {"select `a?`, ?", 1},
    {"select [a?'], ?", 1},
    {"select /* /* ? */ ?", 1},
    {"select E'\\', ?", 1},
  },
  [postgres] = {
    {"select E'\\'?', ?", 1},
    {"select e'a''\\'?', ?", 1},
    {"select name'a\\', ?", 1},
    {"select /* /* ? */ ? */ ?", 1},
    {"select $$ ? ' $$, ?", 1},
    {"select $a$ ? $$ $b$ $a$, ?", 1},
    {"select a$b, ? from t where c$d = 1", 1},
    {"select a[?]", 1},
    {"select data ??| array[?]", 1},
  },
}

for name, driver in pairs{sqlite = sqlite, postgres = postgres} do
  describe("a statement of " .. name, function()
    for _, cases in ipairs{both, only[driver]} do
      for _, case in ipairs(cases) do
        it(("takes %d values: %s"):format(case[2], case[1]), function()
          local list = sql.statements(case[1], driver.dialect)
          assert.equal(1, #list)
          assert.equal(case[2], list[1].values)
        end)
      end
    end

    it("counts the values it is given", function()
      local _, err = pcall(bind, driver, "select ?, ?", 1)
      assert.equal("the statement has 2 placeholders, but 1 value was given", err)
      _, err = pcall(bind, driver, "select ?", nil, nil)
      assert.equal("the statement has 1 placeholder, but 2 values were given", err)
    end)

    it("takes nil for NULL, also at the end", function()
      assert.equal("select  NULL , NULL ", bind(driver, "select ?,?", nil, nil))
      assert.equal("select  NULL ", bind(driver, "select ?", json.null))
    end)

    it("keeps values apart from what stands beside them", function()
      assert.equal("select 1- (-5) ", bind(driver, "select 1-?", -5))
      assert.equal("select 'a' 'b' ", bind(driver, "select 'a'?", "b"))
      assert.equal("select 1 limit 5 ", bind(driver, "select 1 limit?", 5))
    end)

    it("quotes texts", function()
      assert.equal("select  'it''s' ", bind(driver, "select ?", "it's"))
      assert.equal("select  'a\\' ", bind(driver, "select ?", "a\\"))
      assert.equal("select  '?' , 1 ", bind(driver, "select ?,?", "?", 1))
    end)

    for what, bad in pairs{
      ["a table"] = {{}, "genet.db.json"},
      ["a function"] = {print, "function"},
    } do
      it("refuses " .. what, function()
        local ok, err = pcall(bind, driver, "select ?", bad[1])
        assert.is_false(ok)
        assert.truthy(err:find("value 1: ", 1, true))
        assert.truthy(err:find(bad[2], 1, true))
      end)
    end

    it("has no NUL, and no numbered placeholders", function()
      assert.has_error(function() bind(driver, "select 1\0") end)
      assert.has_error(function() bind(driver, "select ?1", 1) end)
    end)

    it("ends by a semicolon", function()
      local text = " ;; select ';' ; -- ;\n/* ; */ select 2 where a = ?;"
      local list = sql.statements(text, driver.dialect)
      assert.equal(2, #list)
      assert.equal("select", list[2].first)
      assert.equal(1, list[2].values)
      assert.equal(0, #sql.statements(" -- nothing", driver.dialect))
    end)
  end)
end

describe("the text of a value", function()
  local cases = {
    {1, "1", "1"},
    {math.mininteger, "(-9223372036854775808)", "'-9223372036854775808'::int8"},
    {1.0, "1.0", "'1'::float8"},
    {-0.5, "(-0.5)", "'-0.5'::float8"},
    {1e300, "1.0000000000000001e+300", "'1.0000000000000001e+300'::float8"},
    {math.huge, "9e999", "'Infinity'::float8"},
    {true, "1", "TRUE"},
    {false, "0", "FALSE"},
    {value.blob("\0'\255"), "X'0027FF'", "'\\x0027FF'::bytea"},
    {value.json{a = 1}, "'{\"a\":1}'", "'{\"a\":1}'"},
  }
  for _, case in ipairs(cases) do
    it("is " .. case[2], function()
      assert.equal(case[2], sqlite.dialect.literal(case[1]))
      assert.equal(case[3], postgres.dialect.literal(case[1]))
    end)
  end

  it("may have a NUL in SQLite", function()
    assert.equal("CAST(X'610062' AS TEXT)", sqlite.dialect.literal("a\0b"))
    local ok, err = pcall(postgres.dialect.literal, "a\0b")
    assert.is_false(ok)
    assert.truthy(err:find("genet.db.blob", 1, true))
  end)

  it("is none for a NaN in SQLite", function()
    assert.has_error(function() sqlite.dialect.literal(0 / 0) end, "SQLite cannot keep a NaN")
    assert.equal("'NaN'::float8", postgres.dialect.literal(0 / 0))
  end)
end)

describe("a statement that holds statements", function()
  it("is a trigger of SQLite", function()
    local text = [[create temp trigger t after insert on a begin
        update a set b = case when 1 then 2 end; delete from c;
      end; create table trigger_log (trigger int); select 1]]
    local list = sql.statements(text, sqlite.dialect)
    assert.equal(3, #list)
    assert.truthy(list[1].text:find("delete from c;"))
    text = "create trigger t after insert on a execute function f(); select 1"
    assert.equal(2, #sql.statements(text, postgres.dialect))
  end)

  it("is a function of PostgreSQL", function()
    local text = "create function f() returns int begin atomic; select 1; end; select 2"
    assert.equal(2, #sql.statements(text, postgres.dialect))
  end)
end)
