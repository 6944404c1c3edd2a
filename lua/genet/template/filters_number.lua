--- The filters about numbers.
-- @module genet.template.filters_number

local arguments = require "genet.template.arguments"
local raise = require "genet.template.raise"
local value = require "genet.template.value"

local flag, integer, number = arguments.flag, arguments.integer, arguments.number

local function absolute(any)
  return math.abs(number(any, "the argument of abs()"))
end

local function truncated(float)
  if float ~= float or float == math.huge or float == -math.huge then return nil end
  local whole = float < 0 and math.ceil(float) or math.floor(float)
  return math.tointeger(whole) or whole
end

-- A string of digits as Python's `int` takes it.
local function parse_integer(string, base)
  local sign, digits = string:match("^%s*([-+]?)(%w[%w_]*)%s*$")
  if not digits or digits:find("__", 1, true) or digits:find("_$") then return nil end
  digits = digits:gsub("_", "")
  local prefixes = {[16] = "^0[xX]", [8] = "^0[oO]", [2] = "^0[bB]"}
  if prefixes[base] then digits = digits:gsub(prefixes[base], "") end
  local magnitude = tonumber(digits, base)
  if not magnitude or magnitude < 0 then return nil end
  return sign == "-" and -magnitude or magnitude
end

-- A string as Python's `float` takes it.
local function parse_float(string)
  local trimmed = string:match("^%s*(.-)%s*$"):lower()
  local sign, word = trimmed:match("^([-+]?)(%a+)$")
  if word == "inf" or word == "infinity" then return sign == "-" and -math.huge or math.huge end
  if word == "nan" then return 0 / 0 end
  if not trimmed:find("^[-+]?[%d.][%d_.e+-]*$") then return nil end
  local parsed = tonumber((trimmed:gsub("_", "")))
  return parsed and parsed + 0.0
end

local function to_integer(any, default, base)
  if default == nil then default = 0 end
  local string = value.text(any)
  if string then
    local parsed = parse_integer(string, integer(base, "base", 10))
    if parsed then return parsed end
    local float = parse_float(string)
    local whole = float and truncated(float)
    return whole or default
  end
  if type(any) == "boolean" then return any and 1 or 0 end
  if type(any) == "number" then return truncated(any) or default end
  if value.is_undefined(any) then value.fail_undefined(any) end
  return default
end

local function to_float(any, default)
  if default == nil then default = 0.0 end
  local string = value.text(any)
  if string then return parse_float(string) or default end
  if type(any) == "boolean" then return any and 1.0 or 0.0 end
  if type(any) == "number" then return any + 0.0 end
  if value.is_undefined(any) then value.fail_undefined(any) end
  return default
end

-- Half goes to the even neighbour, as in Python.
local function round_even(float)
  local floor = math.floor(float)
  local rest = float - floor
  if rest > 0.5 or rest == 0.5 and floor % 2 == 1 then return floor + 1 end
  return floor
end

local function round_common(any, digits)
  if math.type(any) == "integer" and digits >= 0 then return any end
  if any ~= any or any == math.huge or any == -math.huge then return any end
  -- The C library rounds the exact value, half to even.
  if digits >= 0 then return tonumber(("%." .. math.min(digits, 99) .. "f"):format(any)) + 0.0 end
  local scale = 10 ^ -digits
  local rounded = round_even(any / scale) * scale
  return math.type(any) == "integer" and math.tointeger(rounded) or rounded + 0.0
end

local METHODS = {common = true, ceil = math.ceil, floor = math.floor}

local function round(any, precision, method)
  any, precision = number(any, "the argument of round()"), integer(precision, "precision", 0)
  method = arguments.string(method, "method", "common")
  local fn = METHODS[method]
  if not fn then raise.runtime("method must be common, ceil or floor") end
  if method == "common" then return round_common(any, precision) end
  local scale = 10 ^ precision
  return fn(any * scale) / scale
end

local PREFIXES = {"k", "M", "G", "T", "P", "E", "Z", "Y"}

local function file_size(any, binary)
  local bytes = to_float(any, false)
  if not bytes then raise.runtime("could not convert the file size to a number") end
  local base = flag(binary) and 1024 or 1000
  if bytes == 1 then return "1 Byte" end
  if bytes < base then return ("%d Bytes"):format(truncated(bytes)) end
  for power, prefix in ipairs(PREFIXES) do
    local unit = base ^ (power + 1)
    if bytes < unit or power == #PREFIXES then
      local symbol = flag(binary) and prefix:upper() .. "iB" or prefix .. "B"
      return ("%.1f %s"):format(base * bytes / unit, symbol)
    end
  end
end

return {
  abs = {fn = absolute, params = {}},
  filesizeformat = {fn = file_size, params = {"binary"}},
  float = {fn = to_float, params = {"default"}},
  int = {fn = to_integer, params = {"default", "base"}},
  round = {fn = round, params = {"precision", "method"}},
}
