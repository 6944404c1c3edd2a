--- SQLite, by LuaSQL.
-- @module genet.db.sqlite

local core = require "genet.core"
local failure = require "genet.db.failure"
local instance = require "genet.instance"
local sql = require "genet.db.sql"
local task = require "genet.task"
local value = require "genet.db.value"

local sqlite = {
  engine = "sqlite",
  -- A call that was interrupted has ended: the connection can be used again.
  robust = true,
  begin = "BEGIN IMMEDIATE",
}

local KNOWN = {
  {"^UNIQUE constraint failed", "unique", "23505"},
  {"^FOREIGN KEY constraint failed", "foreign_key", "23503"},
  {"^NOT NULL constraint failed", "not_null", "23502"},
  {"^CHECK constraint failed", "check", "23514"},
  {"is locked", "busy", "55P03"},
  {"^no such table", "missing", "42P01"},
  {"syntax error", "syntax", "42601"},
}

local WAL_TRIES = 50

local function float(number)
  if number ~= number then error("SQLite cannot keep a NaN", 0) end
  if number == math.huge then return "9e999" end
  if number == -math.huge then return "(-9e999)" end
  local text = ("%.17g"):format(number)
  if not text:find("[.e]") then text = text .. ".0" end
  return number < 0 and "(" .. text .. ")" or text
end

sqlite.dialect = sql.dialect{
  backticks = true,
  brackets = true,
  triggers = true,
  literal = value.writer{
    boolean = function(flag) return flag and "1" or "0" end,
    integer = function(number) return number < 0 and "(" .. number .. ")" or tostring(number) end,
    float = float,
    odd = function(text) return "CAST(X'" .. value.hex(text) .. "' AS TEXT)" end,
    blob = function(bytes) return "X'" .. value.hex(bytes) .. "'" end,
  },
}

--- What is told about a failure.
function sqlite.explain(problem)
  local message = tostring(problem):gsub("^LuaSQL: ", "")
  return message, failure.classify(KNOWN, message)
end

function sqlite.survives()
  return true
end

--- Whether the failure of a ROLLBACK means that there is nothing to take back.
function sqlite.is_over(problem)
  return tostring(problem):find("no transaction is active", 1, true) ~= nil
end

--- Where a database is: a path beside the scripts, whose directory is made, or `:memory:`.
-- @tparam string rest of the URL, after `sqlite:`
-- @treturn table a target for `sqlite.open`
function sqlite.target(rest)
  local path = rest:match("^///(.*)$") or rest
  if path == ":memory:" then return {path = path, single = true} end
  if path == "" or path:find("^//") then
    error("genet.db: write 'sqlite:instance/app.db' or 'sqlite::memory:'", 3)
  end
  return {path = path}
end

-- Two who switch to WAL at once may find the file locked, whatever the time-out.
local function use_wal(raw)
  local problem
  for _ = 1, WAL_TRIES do
    local cursor
    cursor, problem = raw:execute("PRAGMA journal_mode = WAL")
    if cursor then
      cursor:close()
      return true
    end
    if not problem:find("locked", 1, true) then break end
    core.sleep(0.02)
  end
  return nil, problem
end

local function set_up(raw, target)
  for _, pragma in ipairs{"busy_timeout = 5000", "foreign_keys = ON"} do
    local cursor, problem = raw:execute("PRAGMA " .. pragma)
    if not cursor then return nil, problem end
    if type(cursor) == "userdata" then cursor:close() end
  end
  if target.single then return true end
  return use_wal(raw)
end

local environment

--- Opens a connection. Waits.
-- @treturn[1] userdata of LuaSQL
-- @treturn[2] nil
-- @treturn[2] string why not
function sqlite.open(target)
  environment = environment or assert(require("luasql.sqlite3").sqlite3())
  local path = target.single and target.path or instance.beside(target.path)
  local raw, problem = environment:connect(path)
  if not raw then return nil, ("%s: %s"):format(path, problem) end
  local ok, trouble = set_up(raw, target)
  if ok then return raw end
  raw:close()
  return nil, trouble
end

-- Ends the savepoint, also when the task has been cancelled: the connection is not to keep it.
local function release(raw)
  local ok, problem = task.shield(raw.execute, raw, "RELEASE genet_once")
  if ok then return true end
  task.shield(raw.execute, raw, "ROLLBACK TO genet_once")
  task.shield(raw.execute, raw, "RELEASE genet_once")
  return nil, problem
end

-- LuaSQL steps a statement that gives rows once and then starts it afresh, so that one which also
-- changes something would do it twice: what the first step did is taken back.
local function execute_once(raw, text)
  local saved, problem = raw:execute("SAVEPOINT genet_once")
  if not saved then return nil, problem end
  local result
  result, problem = raw:execute(text)
  task.shield(raw.execute, raw, "ROLLBACK TO genet_once")
  if type(result) == "userdata" then return result, nil, function() return release(raw) end end
  release(raw)
  return result, problem
end

--- Executes a statement. Waits.
-- @return what LuaSQL gives
-- @treturn ?string
-- @treturn ?function to be called after the last row; gives true, or nil and a problem. Waits.
function sqlite.execute(raw, text, statement)
  if statement and statement.words.returning then return execute_once(raw, text) end
  return raw:execute(text)
end

local CHANGING = {insert = true, update = true, delete = true, replace = true}

--- The number of rows changed and, for an INSERT, the number of the last one.
function sqlite.affected(raw, result, statement)
  local words = statement.words
  local changes = CHANGING[statement.first] or statement.first == "with"
  if not changes then return 0 end
  local inserted = result > 0 and (words.insert or words.replace)
  return math.tointeger(result), inserted and math.tointeger(raw:getlastautoid()) or nil
end

--- What makes values of the columns of a cursor, by name: those not in it are as they are.
function sqlite.converters(cursor)
  local converters = {}
  local names = cursor:getcolnames()
  for at, kind in pairs(cursor:getcoltypes()) do
    if kind:lower():find("^bool") then
      converters[names[at]] = function(flag)
        if flag == 0 or flag == 1 then return flag == 1 end
        return flag
      end
    end
  end
  return converters
end

return sqlite
