--- The kinds of argument a rule can have: `<int:id>`, `<path:rest>`, `<any(a,b):kind>` ...
--
-- A converter is a table with these fields: `pattern`, the Lua pattern that finds its text between
-- other text; `read(text)`, the value of a text or nil when it is refused (without it, every text
-- but an empty one is its own value); `weight`, its place in the order of trying, narrow ones
-- first; `write(value)`, the text of a value; `rest`, true when it may take slashes.
-- @module genet.converters

local check = require "genet.check"

local converters = {}

local function whole_number(options, name)
  local value = options[name]
  if value == nil then return nil end
  return math.tointeger(tonumber(value)) or error(name .. " must be a whole number", 0)
end

local function any_number(options, name)
  local value = options[name]
  if value == nil then return nil end
  return tonumber(value) or error(name .. " must be a number", 0)
end

local function is_set(value)
  return value == "true" or value == "True"
end

local function within(value, low, high)
  if low and value < low or high and value > high then return nil end
  return value
end

-- One character in UTF-8, but for the slash.
local CHARACTER = "[^/\x80-\xBF][\x80-\xBF]*"

local STRING_OPTIONS = {length = true, minlength = true, maxlength = true}

local function new_string(options)
  local length = whole_number(options, "length")
  local low = length or whole_number(options, "minlength") or 1
  local high = length or whole_number(options, "maxlength")
  local function read(text)
    if text == "" then return nil end
    local size = utf8.len(text) or #text
    return within(size, low, high) and text
  end
  if low == 1 and not high then return {pattern = "[^/]+", weight = 100} end
  return {pattern = length and CHARACTER:rep(length) or "[^/]+", read = read, weight = 90}
end

local function new_int(options)
  local digits = is_set(options.signed) and "-?%d+" or "%d+"
  local exact = "^" .. digits .. "$"
  local low, high = whole_number(options, "min"), whole_number(options, "max")
  local function read(text)
    local value = text:find(exact) and tonumber(text)
    return math.type(value) == "integer" and within(value, low, high) or nil
  end
  return {pattern = digits, read = read, weight = 50}
end

local function new_float(options)
  local digits = is_set(options.signed) and "-?%d+%.%d+" or "%d+%.%d+"
  local exact = "^" .. digits .. "$"
  local low, high = any_number(options, "min"), any_number(options, "max")
  local function read(text)
    local value = text:find(exact) and tonumber(text)
    return value and math.abs(value) < math.huge and within(value, low, high) or nil
  end
  return {pattern = digits, read = read, weight = 60}
end

local function new_any(options)
  if #options == 0 then error("any(...) needs the texts it takes", 0) end
  local allowed = {}
  for _, text in ipairs(options) do allowed[text] = text end
  local function read(text) return allowed[text] end
  return {pattern = "[^/]-", read = read, weight = 40}
end

local UUID = ("x"):rep(8) .. ("-" .. ("x"):rep(4)):rep(3) .. "-" .. ("x"):rep(12)
UUID = UUID:gsub("x", "%%x"):gsub("%-", "%%-")

local function new_uuid()
  local exact = "^" .. UUID .. "$"
  local function read(text) return text:find(exact) and text:lower() or nil end
  return {pattern = UUID, read = read, weight = 45}
end

local function new_path()
  local function read(text) return text:find("^[^/]") and text or nil end
  return {pattern = "[^/].-", read = read, weight = 200, rest = true}
end

local RANGE = {min = true, max = true, signed = true}

-- Those that a script adds are of its Lua state, as the rules are.
local KINDS = {
  string = {new = new_string, options = STRING_OPTIONS},
  int = {new = new_int, options = RANGE},
  float = {new = new_float, options = RANGE},
  any = {new = new_any, options = {}, list = true},
  uuid = {new = new_uuid, options = {}},
  path = {new = new_path, options = {}},
}
KINDS.default = KINDS.string

local function check_options(kind, name, options)
  if #options > 0 and not kind.list then error(name .. " takes no list of texts", 0) end
  for key in pairs(options) do
    if math.type(key) ~= "integer" and not kind.options[key] then
      error(("%s knows no option '%s'"):format(name, key), 0)
    end
  end
end

--- The options between a converter's brackets: `min=1, max=9` or `a, b`.
-- @tparam string text
-- @treturn table by name, or as an array where no name is given
-- @usage converters.options("min=1,max=9") --> {min = "1", max = "9"}
function converters.options(text)
  local options = {}
  for item in text:gmatch("[^,]+") do
    local name, value = item:match("^%s*([%a_][%w_]*)%s*=%s*(.-)%s*$")
    value = value or item:match("^%s*(.-)%s*$")
    value = value:match("^\"(.*)\"$") or value:match("^'(.*)'$") or value
    options[name or #options + 1] = value
  end
  return options
end

local FIELDS = {pattern = "string", read = "function", write = "function", weight = "number"}

--- Adds a kind of argument, for the rules that are defined from then on.
-- @function App:converter
-- @tparam string name
-- @tparam table fields `read(text)`, the value of a text, or nil where it does not fit;
--   `write(value)`, the text of a value, for `app:url_for`; `pattern`, a Lua pattern that finds the
--   text beside other text (`"[^/]+"` unless told); `weight`, its place in the order of trying,
--   from 1 for the narrowest to 100 for what takes any text (70)
-- @usage app:converter("year", {pattern = "%d%d%d%d", read = tonumber})
-- app:get("/archive/<year:y>", function(_, y) return tostring(y) end)
function converters.add(name, fields)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    error("app:converter: a name of letters and digits was expected", 2)
  end
  if KINDS[name] then
    error(("app:converter: there is a converter '%s' already"):format(name), 2)
  end
  local ok, problem = pcall(check.plain_options, fields, "app:converter", FIELDS)
  if not ok then error(problem, 2) end
  local pattern = fields.pattern or "[^/]+"
  local exact = "^" .. pattern .. "$"
  local function read(text)
    if not text:find(exact) then return nil end
    if not fields.read then return text end
    return fields.read(text)
  end
  local converter = {pattern = pattern, read = read, write = fields.write,
    weight = fields.weight or 70}
  KINDS[name] = {options = {}, new = function() return converter end}
end

--- A converter by its name; raises when there is none, or when an option is wrong.
-- @tparam string name `string int float any uuid path`
-- @tparam ?table options as `converters.options` gives them
-- @treturn table
-- @usage converters.new("int").read("42") --> 42
function converters.new(name, options)
  local kind = KINDS[name] or error(("unknown converter '%s'"):format(name), 0)
  options = options or {}
  check_options(kind, name, options)
  return kind.new(options)
end

return converters
