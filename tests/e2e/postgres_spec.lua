-- Stock LuaSQL over stock libpq, against a real PostgreSQL: each query parks its handler alone.
local socket = require "socket"
local support = require "tests.e2e.support"
local postgres = require "tests.e2e.postgres"

local main = [[
local genet = require "genet"
local luasql = require "luasql.postgres"
local app = genet.app()
local shared = genet.shared("postgres")
local environment = assert(luasql.postgres())

-- A connection, and what closes it at the end of its block.
local function connect(req, name)
  local connection = assert(environment:connect(("%s application_name='%s' %s")
    :format(os.getenv("CONNINFO"), name or "genet", req.args.options or "")))
  return connection, setmetatable({}, {__close = function() connection:close() end})
end

local function value(connection, statement)
  local cursor = assert(connection:execute(statement))
  local first = cursor:fetch()
  cursor:close()
  return first
end

-- A module may ask the database while it loads.
local loaded <const> = (function()
  local connection, closer <close> = connect({args = {}})
  return value(connection, "SELECT 'asked while loading'")
end)()

app:get("/loaded", function() return loaded end)
app:get("/hello", function() return "hello" end)

-- The first value of any statement.
app:get("/value", function(req)
  local connection, closer <close> = connect(req, req.args.name)
  return tostring(value(connection, req.args.sql))
end)

-- What LuaSQL says when it cannot connect, or when the statement fails.
app:get("/error", function(req)
  local connection, problem = environment:connect(os.getenv("CONNINFO") .. " " .. req.args.options)
  if connection and req.args.sql then _, problem = connection:execute(req.args.sql) end
  if connection then connection:close() end
  return problem or "no error"
end)

-- Connections that are never closed, and the end of what nobody refers to.
app:get("/forget/<int:count>", function(req, count)
  for _ = 1, count do value(connect(req, "forgotten"), "SELECT 1") end
  collectgarbage()
  collectgarbage()
  return "forgot"
end)

app:get("/big/<int:rows>", function(req, rows)
  local connection, closer <close> = connect(req)
  local cursor = assert(connection:execute(
    ("SELECT i, repeat('x', 100) AS text FROM generate_series(1, %d) i"):format(rows)))
  local count, sum, bytes = 0, 0, 0
  for i, text in function() return cursor:fetch() end do
    count, sum, bytes = count + 1, sum + i, bytes + #text
  end
  cursor:close()
  return ("%d %d %d"):format(count, sum, bytes)
end)

app:post("/long-statement", function(req)
  local connection, closer <close> = connect(req)
  return tostring(value(connection, "SELECT length('" .. req:body() .. "')"))
end)

-- Adds to an account in a transaction of its own and keeps it open until the gate is.
app:get("/open/<name>", function(_, name) shared:set(name, "open") return "open" end)
app:get("/add/<int:amount>/<how>", function(req, amount, how)
  local connection, closer <close> = connect(req, how .. amount)
  assert(connection:setautocommit(false))
  assert(connection:execute("UPDATE account SET balance = balance + " .. amount))
  local name = req.args.gate
  while name and not shared:get(name) do genet.sleep(0.01) end
  if name then shared:delete(name) end
  assert(connection[how](connection))
  return tostring(value(connection, "SELECT balance FROM account"))
end)

-- Locks two rows, one after the other, with a meeting of both handlers in between.
app:get("/lock/<int:first>/<int:second>", function(req, first, second)
  local connection, closer <close> = connect(req)
  assert(connection:setautocommit(false))
  local lock = "SELECT 1 FROM pair WHERE id = %d FOR UPDATE"
  value(connection, lock:format(first))
  shared:incr("met", 1, 0)
  while shared:get("met") < 2 do genet.sleep(0.01) end
  local cursor, problem = connection:execute(lock:format(second))
  if cursor then cursor:close() end
  return cursor and "locked" or problem:match("%a+ detected") or problem
end)

local function endless(options)
  local connection, closer <close> = connect({args = {options = options}}, "endless")
  return value(connection, "SELECT pg_sleep(600)")
end

-- Cancels tasks whose queries never end by themselves, once the gate is open.
app:get("/cancel/<int:count>", function(req, count)
  local tasks = {}
  for i = 1, count do tasks[i] = genet.spawn(endless, req.args.options) end
  while not shared:get("cancel") do genet.sleep(0.01) end
  shared:delete("cancel")
  for _, task in ipairs(tasks) do task:cancel() end
  local ends = {}
  for i, task in ipairs(tasks) do ends[i] = select(2, task:wait()) end
  return table.concat(ends, " ")
end)

-- Cancels a task after so many milliseconds, whatever it is doing then.
app:get("/cancel-after/<int:ms>", function(req, ms)
  local task = genet.spawn(endless, req.args.options)
  genet.sleep(ms / 1000)
  task:cancel()
  return tostring(select(2, task:wait()))
end)

app:get("/timeout", function(req)
  local result, problem = genet.timeout(0.05, endless)
  return tostring(result) .. " " .. tostring(problem)
end)

return app
]]

-- libpq keeps one object of OpenSSL for the life of the process, and the end of the Lua state
-- unloads libpq: nothing to tell of. A leaked connection still shows by libpq's own memory.
local function sanitizer_options(directory)
  local suppressions = directory .. "/suppressions"
  support.write_file(suppressions, "leak:CRYPTO_zalloc\n")
  return "print_suppressions=0:suppressions=" .. suppressions
end

describe("PostgreSQL through stock LuaSQL", function()
  local database, server, descriptors, threads

  setup(function()
    database = postgres.start()
    database:psql("CREATE TABLE account (balance int); INSERT INTO account VALUES (0)")
    database:psql("CREATE TABLE pair (id int); INSERT INTO pair VALUES (1), (2)")
    server = support.serve{script = main, env = {
      CONNINFO = database:conninfo(), LSAN_OPTIONS = sanitizer_options(database.directory)}}
    descriptors, threads = server:settled_descriptors(), server:threads()
  end)

  teardown(function()
    local ok, err = pcall(function() if server then server:stop() end end)
    if database then database:stop() end
    if not ok then error(err, 0) end
  end)

  after_each(function()
    database:wait_for_clients(0, "genet")
    assert.equal(descriptors, server:settled_descriptors())
  end)

  local function escape(text)
    return (text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
  end

  local function value(statement, options)
    return server:get(("/value?sql=%s&options=%s"):format(escape(statement),
      escape(options or ""))).body
  end

  local function problem(options, statement)
    return server:get(("/error?options=%s%s"):format(escape(options),
      statement and "&sql=" .. escape(statement) or "")).body
  end

  it("is asked while a script loads", function()
    assert.equal("asked while loading", server:get("/loaded").body)
  end)

  it("lets a crowd of queries sleep at once, for no thread more", function()
    local size = support.waiting_size(200)
    local start = os.time()
    local crowd = server:crowd(size, "/value?sql=SELECT+pg_sleep(1)")
    crowd:wait_sent()
    assert.equal("hello", server:get("/hello").body)
    assert.same({["200 "] = size}, crowd:answers())
    assert.is_true(os.time() - start < size / 2)
    assert.equal(threads, server:threads())
  end)

  -- Behind a lock that is kept until all of them wait for it.
  local function crowd_behind_a_lock(options)
    local size = support.waiting_size(200)
    local holder = server:ask("/add/0/commit?gate=crowd")
    finally(function() holder:close() end)
    database:wait_for_clients(1, "commit0", "state = 'idle in transaction'")
    local crowd = server:crowd(size, ("/value?sql=%s&options=%s"):format(
      escape("SELECT 'through' FROM account FOR UPDATE"), escape(options)))
    database:wait_for_clients(size, "genet", "wait_event_type = 'Lock'")
    assert.equal("hello", server:get("/hello").body)
    server:get("/open/crowd")
    assert.same({["200 through"] = size}, crowd:answers())
    assert.equal(200, holder:response().status)
  end

  it("lets a crowd wait for a lock that one of them holds", function()
    crowd_behind_a_lock("")
  end)

  it("lets a crowd wait over TLS", function()
    crowd_behind_a_lock("sslmode=require")
  end)

  it("authenticates by SCRAM", function()
    assert.equal("genet", value("SELECT current_user"))
    assert.equal("SCRAM-SHA-256", value("SELECT left(rolpassword, 13) FROM pg_authid "
      .. "WHERE rolname = current_user"))
  end)

  local ways = {
    {"over a Unix socket", function() return "host=" .. database.directory end, "nil"},
    {"by name", function() return "host=localhost" end, "127.0.0.1"},
    {"by an address", function() return "" end, "127.0.0.1"},
  }
  for _, way in ipairs(ways) do
    local sentence, options, expected = table.unpack(way)
    it("connects " .. sentence, function()
      assert.equal(expected, value("SELECT inet_client_addr()", options()))
    end)
  end

  it("speaks TLS where it is told to", function()
    local statement = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert.equal("TLSv1.3", value(statement, "sslmode=require"))
    local root = "host=localhost sslmode=verify-full sslrootcert=" .. database.pair.cert
    assert.equal("TLSv1.3", value(statement, root))
    assert.equal("nil", value(statement))
  end)

  it("sends and receives much over TLS", function()
    local rows = 20000
    assert.equal(("%d %d %d"):format(rows, rows * (rows + 1) // 2, rows * 100),
      server:get(("/big/%d?options=sslmode%%3Drequire"):format(rows)).body)
    local text = ("long"):rep(500000)
    assert.equal(tostring(#text),
      server:request("POST", "/long-statement?options=sslmode%3Drequire", nil, text).body)
  end)

  it("brings 100,000 rows", function()
    local rows = 100000
    assert.equal(("%d %d %d"):format(rows, rows * (rows + 1) // 2, rows * 100),
      server:get("/big/" .. rows).body)
  end)

  it("sends a long statement", function()
    local text = ("long"):rep(500000)
    assert.equal(tostring(#text), server:request("POST", "/long-statement", nil, text).body)
  end)

  local failures = {
    {"a wrong password", "password=wrong", "password authentication failed"},
    {"a user that does not exist", "user=nobody", "authentication failed"},
    {"a refused connection", "port=1", "Connection refused"},
    {"a certificate of nobody it trusts", "sslmode=verify-full sslrootcert=/dev/null",
      "could not read root certificate file"},
    {"a name that does not resolve", "host=name.invalid", "could not translate host name"},
    {"a statement that fails", "", "division by zero", "SELECT 1 / 0"},
    {"a statement that takes too long", "options='-c statement_timeout=50'",
      "statement timeout", "SELECT pg_sleep(60)"},
  }
  for _, failure in ipairs(failures) do
    local sentence, options, expected, statement = table.unpack(failure)
    it("tells of " .. sentence, function()
      assert.matches(expected, problem(options, statement), 1, true)
    end)
  end

  it("gives up connecting where nobody answers, and lets others run meanwhile", function()
    local silent = assert(socket.bind("127.0.0.1", 0))
    local _, port = silent:getsockname()
    local waiting = server:ask("/error?options=" .. escape("connect_timeout=2 port=" .. port))
    local accepted
    finally(function()
      silent:close()
      waiting:close()
      if accepted then accepted:close() end
    end)
    silent:settimeout(support.patience)
    accepted = assert(silent:accept())
    assert.equal("hello", server:get("/hello").body)
    assert.is_false(waiting:has_news())
    assert.matches("timeout expired", waiting:response().body, 1, true)
  end)

  it("survives a server process that is killed in the middle of a query", function()
    local size = support.waiting_size(50)
    local crowd = server:crowd(size, ("/error?options=%s&sql=%s")
      :format(escape("application_name=victim"), escape("SELECT pg_sleep(600)")))
    database:wait_for_clients(size, "victim", "state = 'active'")
    database:crash("victim")
    for answer, count in pairs(crowd:answers()) do
      assert.matches("^200 .*the connection", answer)
      assert.equal(size, count)
    end
    assert.equal("1", value("SELECT 1"))
  end)

  it("goes on after notices", function()
    assert.equal("200", value("SET client_min_messages = debug1; DO $$ BEGIN "
      .. "FOR i IN 1..2000 LOOP RAISE NOTICE 'notice %', repeat('x', 1000); END LOOP; "
      .. "END $$; SELECT 200"))
  end)

  it("keeps transactions apart", function()
    local first, second = server:ask("/add/10/commit?gate=first")
    finally(function()
      first:close()
      if second then second:close() end
    end)
    database:wait_for_clients(1, "commit10", "state = 'idle in transaction'")
    second = server:ask("/add/5/rollback")
    database:wait_for_clients(1, "rollback5", "wait_event_type = 'Lock'")
    assert.equal("0", value("SELECT balance FROM account"))
    server:get("/open/first")
    assert.equal("10", first:response().body)
    assert.equal("10", second:response().body)
    assert.equal("10", database:psql("SELECT balance FROM account"))
  end)

  it("tells one of two handlers that wait for each other", function()
    local one, other = server:ask("/lock/1/2"), server:ask("/lock/2/1")
    finally(function() one:close() other:close() end)
    local answers = {one:response().body, other:response().body}
    table.sort(answers)
    assert.same({"deadlock detected", "locked"}, answers)
  end)

  local transports = {{"plainly", ""}, {"over TLS", "sslmode=require"}}
  for _, transport in ipairs(transports) do
    local how, options = table.unpack(transport)
    local query = "?options=" .. escape(options)

    it("is cancelled in the middle of a query, connected " .. how, function()
      local size = support.crowd_size(50)
      local waiting = server:ask(("/cancel/%d%s"):format(size, query))
      finally(function() waiting:close() end)
      database:wait_for_clients(size, "endless", "state = 'active'")
      server:get("/open/cancel")
      assert.equal(("cancelled "):rep(size), waiting:response().body .. " ")
      database:wait_for_clients(0, "endless")
    end)

    it("is cancelled at any moment, connecting " .. how, function()
      for _ = 1, 2 do
        for ms = 0, support.crowd_size(50) do
          assert.equal("cancelled", server:get(("/cancel-after/%d%s"):format(ms, query)).body)
        end
      end
      database:wait_for_clients(0, "endless")
    end)

    it("ends a query whose client has gone, connected " .. how, function()
      local size = support.waiting_size(20)
      local clients = {}
      for i = 1, size do
        clients[i] = server:ask(("/value%s&name=abandoned&sql=SELECT+pg_sleep(600)"):format(query))
      end
      database:wait_for_clients(size, "abandoned", "state = 'active'")
      for _, client in ipairs(clients) do client:close() end
      database:wait_for_clients(0, "abandoned")
    end)
  end

  it("gives up a query at the end of its time", function()
    assert.equal("nil timeout", server:get("/timeout").body)
    database:wait_for_clients(0, "endless")
  end)

  it("closes a forgotten connection by the collector", function()
    server:get("/forget/5")
    database:wait_for_clients(0, "forgotten")
  end)
end)
