--- How values are written: as Python's `str` and `repr` write them, and escaped for HTML.
-- @module genet.template.text

local value = require "genet.template.value"

local find, format, gsub, math_type = string.find, string.format, string.gsub, math.type
local getmetatable, tonumber, type = getmetatable, tonumber, type

local text = {}

local none, is_markup = value.none, value.is_markup

-- The digits of a float and its decimal exponent, as few digits as name it exactly.
local function shortest(number)
  for precision = 14, 16 do
    local written = format("%." .. precision .. "e", number)
    if precision == 16 or tonumber(written) == number then
      local head, tail, exponent = written:match("^(%d)%.?(%d*)e([-+]%d+)$")
      return gsub(head .. tail, "0+$", ""), tonumber(exponent)
    end
  end
end

local function positional(digits, exponent)
  if exponent < 0 then return "0." .. ("0"):rep(-exponent - 1) .. digits end
  if #digits <= exponent + 1 then return digits .. ("0"):rep(exponent + 1 - #digits) .. ".0" end
  return digits:sub(1, exponent + 1) .. "." .. digits:sub(exponent + 2)
end

--- A float as Python writes it: `1.0`, `0.1`, `1e+16`.
-- @tparam number number
-- @treturn string
function text.float(number)
  if number ~= number then return "nan" end
  if number == math.huge or number == -math.huge then return number > 0 and "inf" or "-inf" end
  if number == 0 then return 1 / number > 0 and "0.0" or "-0.0" end
  local sign = number < 0 and "-" or ""
  if number % 1 == 0 and number < 1e15 and number > -1e15 then return format("%.1f", number) end
  local digits, exponent = shortest(number < 0 and -number or number)
  if exponent >= -4 and exponent < 16 then return sign .. positional(digits, exponent) end
  local mantissa = #digits > 1 and digits:sub(1, 1) .. "." .. digits:sub(2) or digits
  return format("%s%se%s%02d", sign, mantissa, exponent < 0 and "-" or "+", math.abs(exponent))
end

local repr

local ESCAPES = {["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\"}

local function escape_control(char)
  return ESCAPES[char] or format("\\x%02x", char:byte())
end

local function repr_string(any)
  local quote = find(any, "'", 1, true) and not find(any, "\"", 1, true) and "\"" or "'"
  local written = gsub(any, "[%c\\]", escape_control)
  if quote == "'" then written = gsub(written, "'", "\\'") end
  return quote .. written .. quote
end

local function repr_items(items, open, close, seen)
  local parts = {}
  for at = 1, #items do parts[at] = repr(items[at], seen) end
  return open .. table.concat(parts, ", ") .. close
end

local function repr_tuple(tuple, seen)
  return repr_items(tuple, "(", #tuple == 1 and ",)" or ")", seen)
end

local function repr_dict(dict, seen)
  local keys, parts = value.keys(dict), {}
  for at, key in ipairs(keys) do
    parts[at] = repr(key, seen) .. ": " .. repr(dict[key], seen)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function repr_object(object, seen)
  local write = getmetatable(object).repr
  if write then return write(object, function(any) return repr(any, seen) end) end
  return "<" .. (getmetatable(object).name or "object") .. ">"
end

local REPRS = {
  string = repr_string,
  markup = function(markup) return "Markup(" .. repr_string(markup.text) .. ")" end,
  integer = function(number) return format("%d", number) end,
  float = text.float,
  boolean = function(any) return any and "True" or "False" end,
  none = function() return "None" end,
  undefined = function() return "Undefined" end,
  list = function(list, seen) return repr_items(list, "[", "]", seen) end,
  tuple = repr_tuple,
  dict = repr_dict,
  object = repr_object,
}

local ENDLESS = {list = "[...]", dict = "{...}", tuple = "(...)"}

-- `seen` holds the tables that are being written.
function repr(any, seen)
  local kind = value.kind(any)
  local write = REPRS[kind]
  if not write then return "<" .. tostring(any):gsub(": .*", "") .. ">" end
  if not ENDLESS[kind] then return write(any, seen) end
  if seen[any] then return ENDLESS[kind] end
  local metatable = getmetatable(any)
  if metatable and metatable.__tostring then return tostring(any) end
  seen[any] = true
  local written = write(any, seen)
  seen[any] = nil
  return written
end

--- A value as Python's `repr` writes it.
-- @param any
-- @treturn string
-- @usage text.repr{1, "a"} --> "[1, 'a']"
function text.repr(any)
  return repr(any, {})
end

--- A value as it stands in the output, not escaped.
-- @param any
-- @treturn string
function text.str(any)
  local kind = type(any)
  if kind == "string" then return any end
  if kind == "number" then
    return math_type(any) == "integer" and format("%d", any) or text.float(any)
  end
  if any == true then return "True" end
  if any == false then return "False" end
  if any == none then return "None" end
  if value.is_markup(any) then return any.text end
  if value.is_undefined(any) then return value.undefined_text(any) end
  return repr(any, {})
end

local str = text.str

local ENTITIES = {
  ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["\""] = "&#34;", ["'"] = "&#39;",
}

--- A string with the characters escaped that mean something to HTML.
-- @tparam string any
-- @treturn string
function text.escape_string(any)
  if not find(any, "[&<>\"']") then return any end
  return (gsub(any, "[&<>\"']", ENTITIES))
end

local escape_string = text.escape_string

--- A value as it stands in the output of a template that escapes. A markup stands as it is.
-- @param any
-- @treturn string|integer
function text.escape(any)
  local kind = type(any)
  if kind == "string" then
    if not find(any, "[&<>\"']") then return any end
    return (gsub(any, "[&<>\"']", ENTITIES))
  end
  if kind == "number" and math_type(any) == "integer" then return any end
  if kind == "table" and is_markup(any) then return any.text end
  return escape_string(str(any))
end

--- A value as a markup, escaped unless it is one.
-- @param any
-- @treturn Markup
function text.to_markup(any)
  if value.is_markup(any) then return any end
  return value.markup(escape_string(str(any)))
end

--- A value as a string or a markup: the latter stays one.
-- @param any
-- @treturn string|Markup
function text.soft(any)
  if value.is_markup(any) then return any end
  return str(any)
end

return text
