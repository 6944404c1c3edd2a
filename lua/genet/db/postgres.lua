--- PostgreSQL, by LuaSQL and libpq.
-- @module genet.db.postgres

local failure = require "genet.db.failure"
local sql = require "genet.db.sql"
local value = require "genet.db.value"

local postgres = {
  engine = "postgres",
  begin = "BEGIN",
  -- After an error nothing more can be done in a transaction, and a COMMIT takes it back silently.
  aborts = true,
  cursors = true,
}

-- LuaSQL tells no SQLSTATE; messages are in English unless the server's lc_messages says otherwise.
local KNOWN = {
  {"violates unique constraint", "unique", "23505"},
  {"violates foreign key constraint", "foreign_key", "23503"},
  {"violates not%-null constraint", "not_null", "23502"},
  {"violates check constraint", "check", "23514"},
  {"^ERROR:%s+could not serialize access", "serialization", "40001"},
  {"^ERROR:%s+deadlock detected", "serialization", "40P01"},
  {"due to lock timeout", "busy", "55P03"},
  {"due to statement timeout", "timeout", "57014"},
  {"^ERROR:%s+current transaction is aborted", "aborted", "25P02"},
  {"^ERROR:%s+relation .- does not exist", "missing", "42P01"},
  {"^ERROR:%s+syntax error", "syntax", "42601"},
}

local SET_UP = "SET standard_conforming_strings = on; SET bytea_output = 'hex'; "
  .. "SET client_encoding = 'UTF8'"

local function integer(number)
  if number == math.mininteger then return ("'%d'::int8"):format(number) end
  return number < 0 and "(" .. number .. ")" or tostring(number)
end

local function float(number)
  local text = number ~= number and "NaN" or number == math.huge and "Infinity"
    or number == -math.huge and "-Infinity" or ("%.17g"):format(number)
  return "'" .. text .. "'::float8"
end

postgres.dialect = sql.dialect{
  escapes = true,
  dollars = true,
  nests = true,
  literal = value.writer{
    boolean = function(flag) return flag and "TRUE" or "FALSE" end,
    integer = integer,
    float = float,
    blob = function(bytes) return "'\\x" .. value.hex(bytes) .. "'::bytea" end,
  },
}

function postgres.explain(problem)
  local message = tostring(problem):gsub("^LuaSQL: ", "")
    :gsub("^error %l+ing %l+%s?%l*%s?%l*%. PostgreSQL: ", ""):gsub("%s+$", "")
  local kind, state = failure.classify(KNOWN, message)
  return message, kind, state
end

--- Whether the connection is as good as before: the server has answered, with an error.
function postgres.survives(problem)
  return tostring(problem):find("PostgreSQL: ERROR:", 1, true) ~= nil
end

function postgres.is_over()
  return false
end

--- Where a database is.
-- @param _
-- @tparam string url
-- @treturn table a target for `postgres.open`
function postgres.target(_, url)
  return {url = url}
end

local environment

--- Opens a connection. Waits.
-- @treturn[1] userdata of LuaSQL
-- @treturn[2] nil
-- @treturn[2] string why not
function postgres.open(target)
  environment = environment or assert(require("luasql.postgres").postgres())
  local raw, problem = environment:connect(target.url)
  if not raw then return nil, problem end
  local ok, trouble = raw:execute(SET_UP)
  if ok then return raw end
  raw:close()
  return nil, trouble
end

function postgres.execute(raw, text)
  return raw:execute(text)
end

function postgres.affected(_, result)
  return math.tointeger(result) or 0
end

local function truth(text)
  return text == "t"
end

local SPECIAL = {NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge}

local function to_float(text)
  return SPECIAL[text] or tonumber(text) + 0.0
end

local function to_integer(text)
  return math.tointeger(tonumber(text))
end

local function bytes(text)
  return (text:sub(3):gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local CONVERTERS = {
  bool = truth,
  int2 = to_integer,
  int4 = to_integer,
  int8 = to_integer,
  oid = to_integer,
  float4 = to_float,
  float8 = to_float,
  bytea = bytes,
}

--- What makes values of the columns of a cursor, by name: those not in it are texts, numeric too,
-- which a float would not hold exactly. Waits: LuaSQL asks the server for each column.
-- @treturn[1] table
-- @treturn[2] nil when the server could not be asked
function postgres.converters(cursor)
  local converters = {}
  local names = cursor:getcolnames()
  for at, kind in ipairs(cursor:getcoltypes()) do
    if kind:find("^undefined") then return nil end
    converters[names[at]] = CONVERTERS[kind:match("^[%w_]+")]
  end
  return converters
end

return postgres
