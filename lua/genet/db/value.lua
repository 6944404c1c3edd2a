--- Values on their way into a statement.
-- @module genet.db.value

local json = require "genet.json"

local value = {}

local Blob = {__name = "genet.db.blob"}

--- Bytes, for a column of the type blob or bytea.
-- @function genet.db.blob
-- @tparam string bytes
-- @treturn Blob
-- @usage db:execute("insert into picture (data) values (?)", genet.db.blob("\137PNG\0"))
function value.blob(bytes)
  if type(bytes) ~= "string" then
    error(("genet.db.blob: a string was expected, not a %s"):format(type(bytes)), 2)
  end
  return setmetatable({bytes = bytes}, Blob)
end

--- A value as JSON text, for a column of the type json, jsonb or text.
-- @function genet.db.json
-- @param any what `genet.json` can encode
-- @treturn string
-- @usage db:execute("insert into event (data) values (?)", genet.db.json{kind = "start"})
function value.json(any)
  return json.encode(any)
end

function value.hex(bytes)
  return (bytes:gsub(".", function(byte) return ("%02X"):format(byte:byte()) end))
end

local function quote(text, write)
  if text:find("\0", 1, true) then
    if write.odd then return write.odd(text) end
    error("the string contains a NUL byte: give it as genet.db.blob(bytes)", 0)
  end
  return "'" .. text:gsub("'", "''") .. "'"
end

local PLAIN = {boolean = true, integer = true, float = true}

--- Gives the text of values for a database.
-- @tparam table write functions `boolean`, `integer`, `float`, `blob` that give the text of one,
--   and `odd` for strings with a NUL byte where there can be such
-- @treturn function of a value; raises when it is none that a database can keep
-- @usage local literal = value.writer(write)
function value.writer(write)
  return function(any)
    if any == nil or any == json.null then return "NULL" end
    local kind = math.type(any) or type(any)
    if kind == "string" then return quote(any, write) end
    if getmetatable(any) == Blob and kind == "table" then return write.blob(any.bytes) end
    if PLAIN[kind] then return write[kind](any) end
    local hint = kind == "table" and "; genet.db.json(table) makes it a text" or ""
    error(("a %s cannot be kept in a database%s"):format(kind, hint), 0)
  end
end

return value
