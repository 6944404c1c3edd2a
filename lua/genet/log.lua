--- The log of the host: `genet.log("text")`, `genet.log.debug("x is %d", x)`.
--
-- More than one argument and a first one with a `%` in it: formatted as by `string.format`.
-- Otherwise joined as by `print`. A text and a table of fields are a structured line:
-- `genet.log.info("saved", {id = 7})` is `saved id=7`, or with `--log-format json` an object with
-- `"message"` and `"id"`. Logging never raises.
-- @module genet.log

local core = require "genet.core"
local json = require "genet.json"

local RANK = {error = 1, warn = 2, info = 3, debug = 4}

local log = {}

local function join(...)
  local texts = table.pack(...)
  for at = 1, texts.n do texts[at] = tostring(texts[at]) end
  return table.concat(texts, "\t")
end

-- Fields -------------------------------------------------------------------------------------

local RESERVED = {time = true, level = true, message = true, generation = true, request_id = true}

local function is_fields(value)
  return type(value) == "table" and getmetatable(value) == nil
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

-- Quoted unless it is one word; nothing in it can begin a line or another field.
local function show(value)
  local text = tostring(value)
  if text:find("^[%w!#$%%&'()*+,./:;<>?@^_`|{}~%[%]-]+$") then return text end
  return '"' .. text:gsub('[%c"\\\127-\255]', function(c)
    if c:byte() >= 128 then return c end
    return c == "\n" and "\\n" or (c == '"' or c == "\\") and "\\" .. c
      or ("\\x%02X"):format(c:byte())
  end) .. '"'
end

local function as_text(text, fields)
  local parts = {text}
  for _, name in ipairs(sorted_names(fields)) do
    parts[#parts + 1] = show(name) .. "=" .. show(fields[name])
  end
  return table.concat(parts, " ")
end

local function encode(value)
  local ok, text = pcall(json.encode, value)
  return ok and text or json.encode(tostring(value))
end

-- What stands between the braces of an object.
local function as_members(fields)
  local members = {}
  for _, name in ipairs(sorted_names(fields)) do
    local key = tostring(name)
    if RESERVED[key] then key = key .. "_" end
    members[#members + 1] = encode(key) .. ":" .. encode(fields[name])
  end
  return table.concat(members, ",")
end

local function write_fields(level, text, fields)
  if core.structured() then
    core.log(level, tostring(text), as_members(fields))
  else
    core.log(level, as_text(tostring(text), fields))
  end
end

-- Lines --------------------------------------------------------------------------------------

local function compose(first, ...)
  if select("#", ...) > 0 and type(first) == "string" and first:find("%", 1, true) then
    local ok, text = pcall(string.format, first, ...)
    if ok then return text end
  end
  return join(first, ...)
end

local function write(level, ...)
  if RANK[level] > RANK[core.level()] then return end
  local text, fields = ...
  if select("#", ...) == 2 and is_fields(fields) then return write_fields(level, text, fields) end
  core.log(level, compose(...))
end

--- Logs for the one who looks for a fault.
-- @usage genet.log.debug("%d rows", 3)
function log.debug(...) write("debug", ...) end

--- Logs what is worth knowing; `genet.log(...)` is the same.
-- @function log.info
-- @param ... a text and what is formatted into it, a text and a table of fields, or anything
-- @usage genet.log.info("%s has joined", "Ann")
function log.info(...) write("info", ...) end

--- Logs what may become a fault.
-- @usage genet.log.warn("the disk is at %d%%", 95)
function log.warn(...) write("warn", ...) end

--- Logs a fault.
-- @usage genet.log.error("no database: %s", problem)
function log.error(...) write("error", ...) end

--- Makes `print` write to the log, at level info. The host calls it for an app that is served.
-- @usage require("genet.log").capture_print()
function log.capture_print()
  _G.print = function(...)
    if RANK.info <= RANK[core.level()] then core.log("info", join(...)) end
  end
end

return setmetatable(log, {__call = function(_, ...) write("info", ...) end})
