--- One connection to a database: statements on it, and the rows that they give.
-- @module genet.db.connection

local core = require "genet.core"
local failure = require "genet.db.failure"
local task = require "genet.task"

local connection = {}

local Connection = {}
Connection.__index = Connection

local BATCH = 500 -- rows that `each` has PostgreSQL send at a time
local PATIENCE = 5 -- seconds for what is to be taken back

--- Opens a connection. Waits.
-- @tparam table driver `genet.db.sqlite` or `genet.db.postgres`
-- @tparam table target
-- @treturn Connection
-- @raise a failure of the kind `connection`
function connection.open(driver, target)
  local raw, problem = driver.open(target)
  if raw then
    return setmetatable({raw = raw, driver = driver, cursors = {}, depth = 0}, Connection)
  end
  core.yield() -- raises what has cancelled us
  error(failure.new((driver.explain(problem)), {kind = "connection"}), 0)
end

-- Raises what LuaSQL has told of.
local function fail(self, problem, text)
  local message, kind, state = self.driver.explain(problem)
  if not self.driver.survives(problem) then
    self.broken, kind = true, kind or "connection"
  end
  self.busy = false
  core.yield() -- raises what has cancelled us, if that is why
  local err = failure.new(message, {kind = kind, sqlstate = state, sql = text})
  if self.driver.aborts and self.depth > 0 then self.aborted = self.aborted or err end
  error(err, 0)
end

--- Executes a statement. Waits.
-- @tparam string text
-- @tparam ?table statement of `genet.db.sql`
-- @return what LuaSQL gives
-- @treturn ?function to be called after the last row
function Connection:execute(text, statement)
  if self.busy then error("a transaction belongs to one task at a time: another uses it", 0) end
  self.busy = true
  local result, problem, after = self.driver.execute(self.raw, text, statement)
  if result == nil then fail(self, problem, statement and statement.source or text) end
  self.busy = false
  return result, after
end

-- Rows ----------------------------------------------------------------------------------------

local Rows = {}
Rows.__index = Rows

-- The types are those of the columns, which a statement does not change from one time to the next.
local function converters_of(self, cursor, key)
  local converters = self.known:get(key)
  if converters then return converters end
  self.busy = true
  converters = self.driver.converters(cursor)
  if not converters then
    cursor:close()
    fail(self, "the types of the columns cannot be told")
  end
  self.busy = false
  self.known:put(key, converters, #key + 100)
  return converters
end

--- The rows of a statement, for a `<close>` variable. Waits.
-- @tparam string text
-- @tparam table statement
-- @tparam string key of the types of its columns
-- @treturn Rows
function Connection:rows(text, statement, key)
  local result, after = self:execute(text, statement)
  local rows = setmetatable({on = self, after = after, statement = statement}, Rows)
  if type(result) ~= "userdata" then
    rows.changed = result
    return rows
  end
  self.cursors[result] = true
  rows.cursor = result
  rows.converters = converters_of(self, result, key)
  return rows
end

--- The next row, nil after the last. Waits.
function Rows:next()
  local cursor = self.cursor
  if not cursor then return nil end
  local row, problem = cursor:fetch({}, "a")
  if row then
    for name, convert in pairs(self.converters) do
      if row[name] ~= nil then row[name] = convert(row[name]) end
    end
    return row
  end
  self.cursor, self.on.cursors[cursor] = nil, nil
  cursor:close()
  if problem then fail(self.on, problem, self.statement.source) end
  local ok, trouble = self:finish()
  if not ok then fail(self.on, trouble, self.statement.source) end
end

--- The name of the first column, nil where there are no rows.
function Rows:first_column()
  return self.cursor and self.cursor:getcolnames()[1]
end

--- Ends what was begun for the rows.
function Rows:finish()
  local after = self.after
  self.after = nil
  if after then return after() end
  return true
end

function Rows:__close(err)
  local cursor = self.cursor
  if cursor then
    self.cursor, self.on.cursors[cursor] = nil, nil
    cursor:close()
  end
  local ok, problem = self:finish()
  if not ok and err == nil then fail(self.on, problem, self.statement.source) end
end

local READING = {select = true, values = true, with = true}

local function can_declare(statement)
  local words = statement.words
  return READING[statement.first] and not (words.insert or words.update or words.delete
    or words.merge or words.into)
end

--- The rows of a statement a batch at a time where the database would send all of them at once; in
-- a transaction only. Waits.
-- @treturn function gives the next row, nil after the last
-- @treturn table to be closed
function Connection:stream(text, statement, key)
  if not self.driver.cursors or not can_declare(statement) then
    local rows = self:rows(text, statement, key)
    return function() return rows:next() end, rows
  end
  self.number = (self.number or 0) + 1
  local name = "genet_" .. self.number
  self:execute(("DECLARE %s NO SCROLL CURSOR FOR %s"):format(name, text), statement)
  local fetch, rows, count = ("FETCH %d FROM %s"):format(BATCH, name), nil, BATCH
  local function step()
    while true do
      if not rows then
        if count < BATCH then return nil end
        rows, count = self:rows(fetch, statement, key), 0
      end
      local row = rows:next()
      if row then
        count = count + 1
        return row
      end
      rows = nil
    end
  end
  local closer = setmetatable({}, {__close = function(_, err)
    if rows then rows:__close(err) end
    if not err and not self.broken then self:execute("CLOSE " .. name) end
  end})
  return step, closer
end

-- Transactions --------------------------------------------------------------------------------

local function statements_of(depth, begin)
  if depth == 0 then return begin, "COMMIT", "ROLLBACK" end
  local name = "genet_level_" .. depth
  return "SAVEPOINT " .. name, "RELEASE SAVEPOINT " .. name, "ROLLBACK TO SAVEPOINT " .. name
end

--- Begins a transaction, or a savepoint in the one that is going on. Waits.
-- @tparam string begin the statement that begins a transaction
-- @treturn table to be closed, and to be committed before
function Connection:begin(begin)
  local depth = self.depth
  local first, commit, rollback = statements_of(depth, begin)
  self:execute(first)
  self.depth = depth + 1
  local level = {}
  function level.commit()
    if self.aborted then error(self.aborted, 0) end
    self:execute(commit)
    level.committed, self.depth = true, depth
  end
  return setmetatable(level, {__close = function()
    if not level.committed then self:roll_back(rollback, depth) end
  end})
end

-- Takes back what a transaction did, also when its task has been cancelled.
function Connection:roll_back(statement, depth)
  self.depth = depth
  if self.broken or self.busy and not self.driver.robust then
    self.broken = true
    return
  end
  self:close_cursors()
  self.busy = true
  local ok, problem = task.shield(task.timeout, PATIENCE, self.raw.execute, self.raw, statement)
  if not ok and not self.driver.is_over(problem) then
    self.broken = true
    return
  end
  self.busy, self.aborted = false, nil
end

-- The end -------------------------------------------------------------------------------------

function Connection:close_cursors()
  for cursor in pairs(self.cursors) do cursor:close() end
  self.cursors = {}
end

--- Whether another may have it.
function Connection:is_sound()
  return not self.broken and self.depth == 0 and (not self.busy or self.driver.robust)
end

--- Makes it ready for another.
function Connection:reset()
  self:close_cursors()
  self.busy, self.since = false, core.now()
end

--- Whether the other side is still there. Waits.
function Connection:is_alive()
  self.busy = true
  local cursor = self.raw:execute("SELECT 1")
  if not cursor then
    core.yield() -- raises what has cancelled us
    return false
  end
  cursor:close()
  self.busy = false
  return true
end

--- Closes it.
function Connection:close()
  if self.closed then return end
  self.closed = true
  pcall(self.close_cursors, self)
  task.shield(pcall, self.raw.close, self.raw)
end

return connection
