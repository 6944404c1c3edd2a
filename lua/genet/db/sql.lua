--- SQL text, as far as it has to be understood to put values into it: where a string, a quoted name
-- or a comment ends, where a statement does, and which question marks stand for values.
-- @module genet.db.sql

local recent = require "genet.recent"

local sql = {}

local KEPT = 1 << 20 -- bytes of statements whose parts are remembered, for each dialect

-- Where the text that begins with a quote at `at` ends, a doubled quote being part of it.
local function end_of_quoted(text, at, quote, escapes)
  local stop = escapes and "[\\" .. quote .. "]" or quote
  local from = at + 1
  while true do
    local found = text:find(stop, from)
    if not found then return #text end
    if text:sub(found, found) == "\\" then
      from = found + 2
    elseif text:sub(found + 1, found + 1) == quote then
      from = found + 2
    else
      return found
    end
  end
end

-- PostgreSQL's comments nest, SQLite's do not.
local function end_of_comment(text, at, nests)
  local depth, from = 1, at + 2
  while true do
    local found, last = text:find(nests and "[*/][*/]" or "%*/", from)
    if not found then return #text end
    local mark = text:sub(found, last)
    if mark == "*/" then depth = depth - 1 elseif mark == "/*" then depth = depth + 1 end
    if depth == 0 then return last end
    from = (mark == "*/" or mark == "/*") and last + 1 or found + 1
  end
end

local function end_of_dollars(text, at)
  local tag = text:match("^%$[%a_\128-\255]?[%w_\128-\255]*%$", at)
  if not tag or tag:find("^%$%d") then return at end
  local _, last = text:find(tag, at + #tag, true)
  return last or #text
end

local function end_of_word(text, at, dialect)
  local _, last = text:find("^[%w_\128-\255][%w_$\128-\255]*", at)
  local escapes = dialect.escapes and last == at and text:find("^[eE]'", at)
  if escapes then return end_of_quoted(text, last + 1, "'", true), "text" end
  return last, "word"
end

-- The last byte of the token that begins at `at`, and its kind: `blank`, `word`, `text`, `value`,
-- `mark` (two question marks, which mean one), or `other`.
local function token(text, at, dialect)
  local byte = text:sub(at, at)
  if byte:find("%s") then return select(2, text:find("^%s+", at)), "blank" end
  if byte:find("[%w_\128-\255]") then return end_of_word(text, at, dialect) end
  if byte == "'" or byte == '"' or byte == "`" and dialect.backticks then
    return end_of_quoted(text, at, byte), "text"
  elseif byte == "[" and dialect.brackets then
    return text:find("]", at, true) or #text, "text"
  elseif byte == "-" and text:find("^%-%-", at) then
    return text:find("\n", at, true) or #text, "blank"
  elseif byte == "/" and text:find("^/%*", at) then
    return end_of_comment(text, at, dialect.nests), "blank"
  elseif byte == "$" and dialect.dollars then
    return end_of_dollars(text, at), "text"
  elseif byte == "?" then
    if text:find("^%?%?", at) then return at + 1, "mark" end
    if text:find("^%?%d", at) then
      error("a placeholder has no number: write '?' for each value", 0)
    end
    return at, "value"
  end
  return at, "other"
end

local function new_parts()
  return {words = {}, before = {}, values = 0}
end

-- Whether this word makes the statement one that holds statements, which end by semicolons, too.
local function begins_body(parts, word, dialect)
  if parts.first ~= "create" then return false end
  if word == "atomic" then return parts.last == "begin" end
  return dialect.triggers and word == "trigger" and (parts.last == "create"
    or parts.previous == "create" and parts.last:find("^temp"))
end

-- Notes a word, or another token; the order of the last ones tells where a body ends.
local function note(parts, word, dialect)
  parts.nested = parts.nested or begins_body(parts, word, dialect)
  parts.first = parts.first or word
  parts.words[word] = true
  parts.previous, parts.last = parts.last, word
end

local function ends(parts)
  return not parts.nested or parts.last == "end" and parts.previous == ";"
end

-- Adds a statement unless there is nothing in it.
local function finish(list, parts, rest)
  if not parts.last then return end
  parts.text = rest
  parts.last, parts.previous = nil, nil
  list[#list + 1] = parts
end

local function split(text, dialect)
  local list, parts, piece, at = {}, new_parts(), {}, 1
  while at <= #text do
    local last, kind = token(text, at, dialect)
    local found = text:sub(at, last)
    if found == ";" and ends(parts) then
      finish(list, parts, table.concat(piece))
      parts, piece, found = new_parts(), {}, ""
    elseif kind == "value" then
      parts.before[#parts.before + 1] = table.concat(piece)
      parts.values, piece, found = parts.values + 1, {}, ""
      note(parts, "?", dialect)
    elseif kind == "mark" then
      found = "?"
    elseif kind ~= "blank" then
      note(parts, kind == "word" and found:lower() or found, dialect)
    end
    piece[#piece + 1] = found
    at = last + 1
  end
  finish(list, parts, table.concat(piece))
  return list
end

--- The rules of a database.
-- @tparam table rules `escapes`: `E'\''` is a string; `dollars`: so is `$tag$ ... $tag$`; `nests`:
--   comments do; `backticks` and `brackets` quote names; `triggers` hold statements; `literal`: a
--   function that gives the text of a value
-- @treturn table
-- @usage local dialect = sql.dialect{literal = tostring}
function sql.dialect(rules)
  rules.known = recent.new(KEPT)
  return rules
end

--- The statements of a text.
-- @tparam string text
-- @tparam table dialect
-- @treturn {table,...} each has `first`, its first word in lower case; `words`, the set of all; and
--   `values`, the number of its placeholders
-- @raise what is wrong with the text
-- @usage #sql.statements("select 1; select ';'", dialect) --> 2
function sql.statements(text, dialect)
  local list = dialect.known:get(text)
  if list then return list end
  if text:find("\0", 1, true) then error("the statement contains a NUL byte", 0) end
  list = split(text, dialect)
  dialect.known:put(text, list, 2 * #text + 200)
  return list
end

--- A statement as text, with a value for each placeholder.
-- @tparam table statement as `sql.statements` gives it
-- @tparam table dialect
-- @tparam integer count of the values
-- @param ... the values
-- @treturn string
-- @raise when there are too many or too few, or one cannot be kept
-- @usage sql.bind(sql.statements("select ?", dialect)[1], dialect, 1, 42)
function sql.bind(statement, dialect, count, ...)
  if statement.values ~= count then
    error(("the statement has %d placeholder%s, but %d value%s given"):format(statement.values,
      statement.values == 1 and "" or "s", count, count == 1 and " was" or "s were"), 0)
  end
  if count == 0 then return statement.text end
  local values, pieces = {...}, {}
  for at, before in ipairs(statement.before) do
    local ok, literal = pcall(dialect.literal, values[at])
    if not ok then error(("value %d: %s"):format(at, literal), 0) end
    -- The blanks keep it from becoming one word, number or comment with what stands beside it.
    pieces[#pieces + 1] = before .. " " .. literal .. " "
  end
  return table.concat(pieces) .. statement.text
end

return sql
