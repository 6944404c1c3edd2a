-- genet.db on real databases: SQLite in a file, PostgreSQL in a server of its own.
local support = require "tests.e2e.support"
local postgres = require "tests.e2e.postgres"

local main = [[
local genet = require "genet"
local app = genet.app()
local url = os.getenv "DATABASE"
local on_postgres = url:find "^postgres" ~= nil
local db = genet.db(url, {size = 20, wait = 60, migrations = {
  "create table account (id integer primary key, name text not null unique, balance bigint)",
  "insert into account values (1, 'Ann', 0); insert into account values (2, 'Bob', 0)",
  function(tx)
    tx:execute("create table kind (i bigint, f " .. (on_postgres and "float8" or "real")
      .. ", t text, b boolean, d " .. (on_postgres and "bytea" or "blob") .. ")")
  end,
}})
local narrow = genet.db(url, {size = 1, wait = 0.05})

local ENDLESS = on_postgres and "select pg_sleep(600)"
  or "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
local ENDLESS_INSERT = on_postgres
  and "insert into kind (i) select 1 from pg_sleep(600) returning i"
  or "insert into kind (i) with recursive c(x) as (select 1 union all select x + 1 from c) "
    .. "select x from c returning i"
local SLOW = on_postgres and "select pg_sleep(?)" or "select ?"

app:get("/hello", function() return "hello" end)
app:get("/names", function()
  local names = {}
  for row in db:each("select * from account order by id") do names[#names + 1] = row.name end
  return table.concat(names, " ")
end)

app:get("/add/<int:id>", function(_, id)
  return tostring(db:transaction({retry = 50}, function(tx)
    tx:execute("update account set balance = balance + 1 where id = ?", id)
    return tx:value("select balance from account where id = ?", id)
  end))
end)

-- Adds to one what is lacking from the other, a wait between the two.
app:get("/move", function()
  db:transaction({retry = 50}, function(tx)
    tx:execute("update account set balance = balance - 1 where id = 1")
    genet.sleep(0.002)
    tx:execute("update account set balance = balance + 1 where id = 2")
  end)
  return "moved"
end)
app:get("/sum", function() return tostring(db:value("select sum(balance) from account")) end)
app:get("/slow/<float:seconds>", function(_, seconds) db:query(SLOW, seconds) return "slept" end)

app:get("/kinds", function()
  local blob = genet.db.blob
  local values = {
    {math.maxinteger, 0.1, "it's ? \\ \"", true, "\0\255'"},
    {math.mininteger, -1e300, "", false, ""},
    {0, math.huge, "ü", true, ("x"):rep(100000)},
  }
  db:execute("delete from kind")
  for _, row in ipairs(values) do
    db:execute("insert into kind (i, f, t, b, d) values (?, ?, ?, ?, ?)", row[1], row[2], row[3],
      row[4], blob(row[5]))
  end
  db:execute("insert into kind values (?, ?, ?, ?, ?)", nil, nil, nil, nil, nil)
  local found = db:query("select * from kind order by i is null, i desc")
  for at, wanted in ipairs{values[1], values[3], values[2], {}} do
    for column, name in ipairs{"i", "f", "t", "b", "d"} do
      assert(found[at][name] == wanted[column] and math.type(found[at][name])
        == math.type(wanted[column]), name .. at)
    end
  end
  return "the same"
end)

app:get("/returning", function()
  local id = db:value("insert into account values (?, ?, ?) returning id", 9, "Cay", 5)
  local rows = db:query("delete from account where id = ? returning name, balance", id)
  return {count = #rows, name = rows[1].name, balance = rows[1].balance,
    left = db:value("select count(*) from account where id = ?", id)}
end)

app:get("/twice", function()
  local ok, err = pcall(db.execute, db, "insert into account (id, name) values (?, ?)", 3, "Ann")
  return {ok = ok, kind = err.kind, state = err.sqlstate}
end)
app:get("/raise", function() db:query("select * from nowhere where a = ?", "secret") end)
app:get("/abort", function()
  db:transaction(function(tx)
    tx:execute("update account set balance = 1000")
    genet.abort(409)
  end)
end)

app:get("/rows/<int:n>", function(_, n)
  local count, sum = 0, 0
  for row in db:each("with recursive c(x) as (select 1 union all select x + 1 from c where x < ?) "
      .. "select x from c", n) do
    count, sum = count + 1, sum + row.x
  end
  return count .. " " .. sum
end)

app:get("/cancel", function()
  local one = genet.db(url, {size = 1})
  for _, body in ipairs{
    function() one:query(ENDLESS) end,
    function() one:transaction(function(tx)
      tx:execute("update account set balance = 1000")
      tx:query(ENDLESS)
    end) end,
    function() for _ in one:each(ENDLESS) do genet.sleep(0) end end,
    function() one:query(ENDLESS_INSERT) end,
    function() one:query("insert into kind (i) values (1) returning i") one:query(ENDLESS) end,
  } do
    local task = genet.spawn(body)
    genet.sleep(0.2)
    task:cancel()
    local _, problem = task:wait()
    assert(problem == "cancelled", problem)
    assert(one:value("select max(balance) from account") < 1000)
    local update = "update account set name = name"
    assert(one:transaction(function(tx) return tx:execute(update) end) > 0)
    assert(db:execute(update) > 0)
  end
  one:close()
  return "cancelled"
end)
app:get("/endless", function() narrow:query(ENDLESS) end)
app:get("/narrow", function()
  local ok, err = pcall(narrow.value, narrow, "select 1")
  return ok and "free" or err.kind
end)
return app
]]

-- `after` is called once the server has stopped, whatever came of it.
local function cases(environment, describe_more, after)
  local server, env

  setup(function()
    env = environment()
    server = support.serve{script = main, env = env}
  end)

  teardown(function()
    local ok, problem = pcall(function() if server then server:stop() end end)
    if after then after() end
    if not ok then error(problem, 0) end
  end)

  local function body(path)
    local answer = server:get(path)
    assert.equal(200, answer.status, answer.body .. server:stderr():sub(-2000))
    return answer.body
  end

  it("is migrated before it is used, once by whoever comes first", function()
    local others = {server}
    for at = 2, 4 do
      others[at] = support.serve{path = server.scripts, env = env}
      finally(function() for other = 2, #others do others[other]:stop() end end)
    end
    local asked = {}
    for at, one in ipairs(others) do asked[at] = one:ask("/names") end
    for _, one in ipairs(asked) do
      assert.equal("Ann Bob", one:response().body)
      one:close()
    end
  end)

  it("keeps values as they are", function() assert.equal("the same", body("/kinds")) end)

  it("executes a statement that returns rows once", function()
    local text = body("/returning")
    for _, part in ipairs{'"count":1', '"name":"Cay"', '"balance":5', '"left":0'} do
      assert.truthy(text:find(part, 1, true), text)
    end
  end)

  it("names the kind of a failure", function()
    local text = body("/twice")
    assert.truthy(text:find('"unique"', 1, true))
    assert.truthy(text:find('"23505"', 1, true))
  end)

  it("fails a request by an uncaught failure, and tells the log, without the values", function()
    assert.equal(500, server:get("/raise").status)
    server:wait_for_log("in: select * from nowhere where a = ?")
    assert.is_nil(server:get("/raise").body:find("nowhere"))
  end)

  it("takes a transaction back that is aborted", function()
    assert.equal(409, server:get("/abort").status)
    assert.equal("0", body("/sum"))
  end)

  it("streams rows", function()
    assert.equal("100000 5000050000", body("/rows/100000"))
    assert.equal("1 1", body("/rows/1"))
    assert.equal("500 125250", body("/rows/500"))
  end)

  it("cancels queries and transactions, and goes on", function()
    assert.equal("cancelled", body("/cancel"))
  end)

  it("gives back the connection of a client that has gone", function()
    support.only("default", "each state has a pool of its own", pending)
    local client = server:ask("/endless")
    local function becomes(state)
      support.wait_until("the connection to be " .. state, function()
        return body("/narrow") == state
      end)
    end
    becomes("pool")
    client:close()
    becomes("free")
  end)

  it("counts right with many at once", function()
    local size = support.crowd_size(200)
    local before = tonumber(body("/sum"))
    local crowd = server:crowd(size, "/add/1")
    assert.equal("hello", server:get("/hello").body)
    local count = 0
    for answer, times in pairs(crowd:answers()) do
      assert.matches("^200 %d+$", answer)
      count = count + times
    end
    assert.equal(size, count)
    assert.equal(before + size, tonumber(body("/sum")))
    assert.same({["200 moved"] = size}, server:crowd(size, "/move"):answers())
    assert.equal(before + size, tonumber(body("/sum")))
  end)

  describe_more(function() return server, body end)
end

describe("genet.db on SQLite", function()
  cases(function() return {DATABASE = "sqlite:instance/deep/app.db"} end, function(get)
    it("lies beside the scripts", function()
      local server = get()
      assert.truthy(support.read_file(server.scripts .. "/instance/deep/app.db"):find("^SQLite"))
    end)
  end)
end)

describe("genet.db on PostgreSQL", function()
  local database

  cases(function()
    database = postgres.start()
    support.write_file(database.directory .. "/suppressions", "leak:CRYPTO_zalloc\n")
    return {
      DATABASE = ("postgres://%s:in%%20the%%20test@127.0.0.1:%d/postgres?application_name=genet"
        .. "&sslmode=disable"):format(database.user, database.port),
      LSAN_OPTIONS = "print_suppressions=0:suppressions=" .. database.directory .. "/suppressions",
    }
  end, function(get)
    it("lets 200 queries share 20 connections", function()
      support.only("default", "each state has a pool of its own", pending)
      local server = get()
      local size = support.crowd_size(200)
      local crowd = server:crowd(size, "/slow/0.1")
      crowd:wait_sent()
      assert.equal("hello", server:get("/hello").body)
      assert.same({["200 slept"] = size}, crowd:answers())
      assert.is_true(tonumber(database:psql(
        "select count(*) from pg_stat_activity where application_name = 'genet'")) <= 22)
    end)

    it("connects again when the server has dropped its connections", function()
      local _, body = get()
      assert.equal("Ann Bob", body("/names"))
      database:crash("genet")
      require("socket").sleep(1.1) -- after which an idle connection is looked at before it is used
      assert.equal("Ann Bob", body("/names"))
    end)
  end, function() if database then database:stop() end end)
end)
