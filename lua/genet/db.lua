--- Databases: SQLite and PostgreSQL, by LuaSQL, with a pool of connections.
--
--     local db = genet.db("sqlite:instance/app.db", {migrations = {
--       "create table post (id integer primary key, title text not null)",
--     }})
--     app:get("/post/<int:id>", function(_, id)
--       return db:one("select * from post where id = ?", id) or genet.abort(404)
--     end)
--
-- A `?` in a statement stands for a value, which follows; `??` is a question mark. nil is NULL, and
-- NULL nil; for other values see `genet.db.blob` and `genet.db.json`. A row is a table by the names
-- of the columns. SQLite tells integers, floats, texts and, of columns declared as such, booleans;
-- PostgreSQL these too, and everything else, such as numeric and jsonb, as the text that it is.
--
-- Here the world's failures are raised, unlike elsewhere: a nil that nobody looks at would be data
-- that nobody keeps. An error is an object with `message`, `sql`, without the values, and where the
-- database tells so, `sqlstate` and `kind`: `unique`, `foreign_key`, `not_null`, `check`, `busy`,
-- `serialization`, `timeout`, `missing`, `syntax`, `aborted`, `connection` or `pool`;
-- `genet.db.failed` asks for it. Uncaught, it ends a request with a 500, and the log has the rest.
--
-- A database and a transaction have the field `engine`, `"sqlite"` or `"postgres"`, for statements
-- that both cannot share. Each Lua state has a pool of its own. A task that is cancelled in a query
-- has it ended; its connection is rolled back, or closed. What a statement changes of a connection
-- itself (`SET`, `PRAGMA`, temporary tables) stays with that connection, whoever has it next.
-- @module genet.db

local check = require "genet.check"
local connection = require "genet.db.connection"
local core = require "genet.core"
local failure = require "genet.db.failure"
local pool = require "genet.db.pool"
local recent = require "genet.recent"
local sql = require "genet.db.sql"
local sync = require "genet.sync"
local tasks = require "genet.tasks"
local value = require "genet.db.value"

local db = {blob = value.blob, json = value.json, failed = failure.is}

-- Statements ----------------------------------------------------------------------------------

local TYPES_KEPT = 1 << 18 -- bytes of statements whose types of columns are known
local TYPES_AGE = 60 -- seconds; another process may change a table

local OURS = {
  begin = true, start = true, commit = true, rollback = true, savepoint = true, release = true,
  abort = true,
  ["end"] = true,
}

local READING = {select = true, insert = true, update = true, delete = true, with = true,
  values = true, replace = true}

local Session = {} -- what a database and a transaction can both do

-- The statements of a text, none of which takes transactions into its own hands.
local function parse(self, what, text)
  if type(text) ~= "string" then
    error(("%s: a string was expected as the statement, not a %s"):format(what, type(text)), 0)
  end
  local ok, list = pcall(sql.statements, text, self.driver.dialect)
  if not ok then error(what .. ": " .. list, 0) end
  for _, statement in ipairs(list) do
    if OURS[statement.first] then
      error(what .. ": use db:transaction(fn) in place of " .. statement.first:upper(), 0)
    end
    statement.source = text
  end
  return list
end

local function prepare(self, what, text, ...)
  local list = parse(self, what, text)
  if #list ~= 1 then
    error(("%s: one statement was expected, not %d; db:script runs several"):format(what, #list), 0)
  end
  local statement, count = list[1], select("#", ...)
  local ok, bound = pcall(sql.bind, statement, self.driver.dialect, count, ...)
  if not ok then error(what .. ": " .. bound, 0) end
  local kinds = {}
  for at = 1, count do
    local any = select(at, ...)
    kinds[at] = math.type(any) or type(any)
  end
  return bound, statement, text .. "\0" .. table.concat(kinds, " ")
end

-- Forgets the types of columns where they may have changed.
local function refresh_types(self, statement)
  local types = self.types
  local now = core.now()
  if READING[statement.first] and now - types.since < TYPES_AGE then return types.known end
  types.known, types.since = recent.new(TYPES_KEPT), now
  return types.known
end

-- The rows of a statement on a connection.
local function run(self, conn, what, ...)
  local bound, statement, key = prepare(self, what, ...)
  conn.known = refresh_types(self, statement)
  return conn:rows(bound, statement, key)
end

--- The rows that a statement gives. Waits.
-- @function db:query
-- @tparam string text
-- @param ... a value for each `?`
-- @treturn {table,...}
-- @raise what the database says
-- @usage local posts = db:query("select * from post where author = ?", "ann")
function Session:query(...)
  local lease <close> = self:lease()
  local rows <close> = run(self, lease:take(), "db:query", ...)
  local list = {}
  for row in rows.next, rows do list[#list + 1] = row end
  return list
end

--- The first row that a statement gives. Waits.
-- @function db:one
-- @tparam string text
-- @param ... a value for each `?`
-- @treturn ?table nil when there is none
-- @raise what the database says
-- @usage local user = db:one("select * from user where name = ?", "ann")
function Session:one(...)
  local lease <close> = self:lease()
  local rows <close> = run(self, lease:take(), "db:one", ...)
  local first = rows:next()
  while rows:next() do end -- what has changed something is to end
  return first
end

--- The first column of the first row. Waits.
-- @function db:value
-- @tparam string text
-- @param ... a value for each `?`
-- @return nil when there is no row, or NULL in it
-- @raise what the database says
-- @usage local count = db:value("select count(*) from post")
function Session:value(...)
  local lease <close> = self:lease()
  local rows <close> = run(self, lease:take(), "db:value", ...)
  local name = rows:first_column()
  local first = rows:next()
  while rows:next() do end
  return first and first[name]
end

--- Executes a statement that changes something. Waits.
-- @function db:execute
-- @tparam string text
-- @param ... a value for each `?`
-- @treturn integer the number of rows changed
-- @treturn ?integer with SQLite, after an INSERT, the number of the last row; `RETURNING id` tells
--   it with both
-- @raise what the database says
-- @usage local changed = db:execute("update post set title = ? where id = ?", "Hello", 1)
function Session:execute(...)
  local lease <close> = self:lease()
  local conn = lease:take()
  local rows <close> = run(self, conn, "db:execute", ...)
  if rows.changed then return self.driver.affected(conn.raw, rows.changed, rows.statement) end
  local count = 0
  for _ in rows.next, rows do count = count + 1 end
  return count
end

--- Goes through the rows of a statement as they come, without keeping all of them. The connection
-- is given back at the end of the loop, by `break` too. Each step may wait.
-- @function db:each
-- @tparam string text
-- @param ... a value for each `?`
-- @treturn function for `for row in`
-- @raise what the database says
-- @usage for post in db:each("select * from post") do write(post.title) end
function Session:each(...)
  local bound, statement, key = prepare(self, "db:each", ...)
  local lease = self:lease()
  local ok, step, close = pcall(self.open_stream, self, lease, bound, statement, key)
  if ok then return step, nil, nil, close end
  getmetatable(lease).__close(lease)
  error(step, 0)
end

--- Executes several statements, parted by semicolons, without values. Waits.
-- @function db:script
-- @tparam string text
-- @raise what the database says; statements before stay done, unless this is in a transaction
-- @usage db:script("create table a (id integer); create index a_id on a (id)")
function Session:script(text)
  local list = parse(self, "db:script", text)
  local lease <close> = self:lease()
  local conn = lease:take()
  for _, statement in ipairs(list) do
    if statement.values > 0 then error("db:script: a script takes no values", 0) end
    conn.known = refresh_types(self, statement)
    local rows <close> = conn:rows(statement.text, statement, statement.text)
    while rows:next() do end
  end
end

-- Transactions --------------------------------------------------------------------------------

local Transaction = setmetatable({__name = "genet.db.transaction"}, {__index = Session})
Transaction.__index = Transaction

-- A transaction has its connection already, and keeps it.
local Loan = {__index = {}}

function Loan.__index:take()
  return self.connection
end

function Loan:__close() -- luacheck: ignore 212
end

function Transaction:lease()
  if self.ended then error("the transaction has ended", 0) end
  return setmetatable({connection = self.connection}, Loan)
end

function Transaction:open_stream(lease, bound, statement, key)
  local conn = lease:take()
  conn.known = refresh_types(self, statement)
  return conn:stream(bound, statement, key)
end

local function new_transaction(self, conn)
  return setmetatable({
    driver = self.driver,
    engine = self.engine,
    types = self.types,
    connection = conn,
  }, Transaction)
end

local ISOLATION = {
  ["read committed"] = true, ["repeatable read"] = true, serializable = true,
}

local OPTIONS = {retry = "number", isolation = "string", read_only = "boolean"}

local function begin_text(self, options)
  if not self.driver.aborts then return options.read_only and "BEGIN" or self.driver.begin end
  local text = self.driver.begin
  if options.isolation then text = text .. " ISOLATION LEVEL " .. options.isolation:upper() end
  return options.read_only and text .. " READ ONLY" or text
end

local function attempt(self, options, fn)
  local lease <close> = self:lease()
  local conn = lease:take()
  local level <close> = conn:begin(begin_text(self, options))
  local tx = new_transaction(self, conn)
  local _ <close> = setmetatable({}, {__close = function() tx.ended = true end})
  local results = table.pack(fn(tx))
  level.commit()
  return table.unpack(results, 1, results.n)
end

local function keep_traceback(err)
  tasks.keep_traceback(err, debug.traceback(nil, 2))
  return err
end

local function finish(ok, ...)
  if ok then return ... end
  error((...), 0)
end

local function can_retry(err)
  return failure.is(err, "serialization") or failure.is(err, "busy")
end

--- Calls a function with a transaction: an object with the methods of the database. When it returns
-- the transaction is committed, when it raises (`genet.abort` too), or its task is cancelled, it is
-- taken back, and the error goes on. Inside, use the transaction, not the database. Transactions of
-- a transaction are savepoints. Waits.
-- @function db:transaction
-- @tparam[opt] table options `retry`, how often to begin again after a failed serialization or a
--   busy database (0); `isolation`, such as `"serializable"` (PostgreSQL; SQLite always is);
--   `read_only`
-- @tparam function fn
-- @return what the function returns
-- @raise what the function raises, or the database
-- @usage db:transaction(function(tx)
--   local id = tx:value("insert into post (title) values (?) returning id", "Hello")
--   tx:execute("insert into tag (post, name) values (?, ?)", id, "first")
-- end)
function Session:transaction(options, fn)
  if fn == nil then options, fn = nil, options end
  check.callable(fn, "db:transaction")
  options = check.options(options, "db:transaction", OPTIONS)
  if options.isolation and not ISOLATION[options.isolation] then
    error(("db:transaction: unknown isolation '%s'"):format(options.isolation), 2)
  end
  for round = 1, options.retry or 0 do
    local results = table.pack(xpcall(attempt, keep_traceback, self, options, fn))
    if results[1] or not can_retry(results[2]) then
      return finish(table.unpack(results, 1, results.n))
    end
    core.sleep(math.random() * 0.02 * 2 ^ math.min(round, 6))
  end
  return attempt(self, options, fn)
end

-- Migrations ----------------------------------------------------------------------------------

local TABLE = "create table if not exists genet_migration "
  .. "(name text primary key, version integer not null)"

local LOCK = 0x67656e6574 -- of PostgreSQL, which lets one at a time migrate

-- Takes the next step, if there is one; tells the version before.
local function step(self, name, list)
  return self:transaction({retry = 20}, function(tx)
    if self.driver.aborts then tx:query("select pg_advisory_xact_lock(?)", LOCK) end
    tx:execute(TABLE)
    local version = tx:value("select version from genet_migration where name = ?", name) or 0
    if version > #list then
      error(("db:migrate: '%s' has version %d, the list only %d"):format(name, version, #list), 0)
    end
    local change = list[version + 1]
    if not change then return version end
    if type(change) == "string" then tx:script(change) else change(tx) end
    tx:execute("delete from genet_migration where name = ?", name)
    tx:execute("insert into genet_migration values (?, ?)", name, version + 1)
    return version
  end)
end

local function migrate(self, name, list)
  local version
  repeat version = step(self, name, list) until version == #list
  return version
end

local function check_migrations(list, what)
  check.type(list, what, "table")
  for at, change in ipairs(list) do
    if type(change) ~= "string" and not check.is_callable(change) then
      error(("%s: migration %d: a string or a function was expected"):format(what, at), 3)
    end
  end
  return list
end

-- Databases -----------------------------------------------------------------------------------

local Database = setmetatable({__name = "genet.db"}, {__index = Session})
Database.__index = Database

function Database:lease()
  if self.migrations then self:prepare() end
  return self.pool:lease()
end

-- What the option `migrations` asks for, before anything else, once; others wait.
function Database:prepare()
  local _ <close> = self.gate:acquire()
  local list = self.migrations
  if not list then return end
  local bare = setmetatable({migrations = false}, {__index = self, __name = "genet.db"})
  migrate(bare, self.name, list)
  self.migrations = nil
end

function Database:open_stream(lease, bound, statement, key)
  local conn = lease:take()
  conn.known = refresh_types(self, statement)
  local level = self.driver.cursors and conn:begin("BEGIN")
  local ok, step_on, inner = pcall(conn.stream, conn, bound, statement, key)
  local function close(_, err)
    local _ <close> = lease
    if not level then
      if ok then getmetatable(inner).__close(inner, err) end
      return
    end
    local _ <close> = level
    if ok then getmetatable(inner).__close(inner, err) end
    if ok and not err then level.commit() end
  end
  if ok then return step_on, setmetatable({}, {__close = close}) end
  if level then getmetatable(level).__close(level) end
  error(step_on, 0)
end

--- Brings a database to the latest version: executes those of the changes that it has not had yet,
-- each in a transaction. Any number of processes may at once. Waits.
-- @tparam[opt] string name of what is migrated, where several share the database (`"main"`)
-- @tparam table list texts of statements, or functions that are called with the transaction; new
--   ones are added at the end
-- @treturn integer the version, which is the length of the list
-- @raise what the database says, or that it has a later version
-- @usage db:migrate{"create table post (id integer primary key)",
--   "alter table post add column title text"}
function Database:migrate(name, list)
  if list == nil then name, list = "main", name end
  check.type(name, "db:migrate: the name", "string")
  return migrate(self, name, check_migrations(list, "db:migrate"))
end

--- Closes its connections: those that are lent when they are given back. It cannot be used again.
-- @usage app:on_unload(function() db:close() end)
function Database:close()
  self.pool:close()
end

local DRIVERS = {sqlite = "genet.db.sqlite", postgres = "genet.db.postgres",
  postgresql = "genet.db.postgres"}

local DATABASE_OPTIONS = {size = "number", wait = "number", idle = "number", migrations = "table",
  name = "string", connect = "number"}

local function driver_of(url)
  check.type(url, "genet.db", "string")
  local scheme, rest = url:match("^(%a+):(.*)$")
  local name = DRIVERS[scheme]
  if not name then
    error(("genet.db: the URL begins with 'sqlite:' or 'postgres:', unlike '%s'"):format(
      url:gsub("://[^/@]*@", "://...@")), 3)
  end
  local driver = require(name)
  return driver, driver.target(rest, url)
end

local function opener(self, target, seconds)
  return function()
    local task = require "genet.task"
    local found, problem = task.timeout(seconds, connection.open, self.driver, target)
    if found then return found end
    error(failure.new(("no connection within %g s"):format(seconds),
      {kind = "connection", problem = problem}), 0)
  end
end

--- A database. Its connections are opened as they are needed.
-- @function genet.db
-- @tparam string url `sqlite:instance/app.db`, a path relative to the scripts, whose directory is
--   made; `sqlite::memory:`, which ends with the Lua state; or `postgres://user:password@host/db`,
--   as libpq takes it
-- @tparam[opt] table options `size`, the most connections at once (10; 1 in memory); `wait`, the
--   seconds that a task may wait for one (10); `connect`, the seconds that opening one may take
--   (10); `idle`, the seconds after which one that nobody uses is closed (60); `migrations`, a list
--   for `db:migrate` that is done before the first use; `name`, of these migrations
-- @treturn Database
-- @usage local db = genet.db("postgres://ann:secret@localhost/shop", {size = 20})
local function new(url, options)
  local driver, target = driver_of(url)
  options = check.options(options, "genet.db", DATABASE_OPTIONS)
  local size = target.single and 1 or options.size or 10
  check.count(size, "genet.db: option 'size'", 1)
  for _, name in ipairs{"wait", "idle", "connect"} do
    check.optional_seconds(options[name], ("genet.db: option '%s'"):format(name))
  end
  local self = setmetatable({
    driver = driver,
    engine = driver.engine,
    name = options.name or "main",
    migrations = options.migrations and check_migrations(options.migrations, "genet.db"),
    types = {known = recent.new(TYPES_KEPT), since = core.now()},
    gate = sync.lock(),
  }, Database)
  self.pool = pool.new{
    size = size,
    wait = options.wait or 10,
    idle = not target.single and (options.idle or 60),
    open = opener(self, target, options.connect or 10),
  }
  return self
end

return setmetatable(db, {__call = function(_, ...) return new(...) end})
