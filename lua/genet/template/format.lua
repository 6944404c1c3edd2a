--- Formatting as Python does it: `"%s" % x` and `"{}".format(x)`.
-- @module genet.template.format

local raise = require "genet.template.raise"
local text = require "genet.template.text"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local format = {}

local INTEGERS = {d = true, i = true, u = true, x = true, X = true, o = true, c = true}
local FLOATS = {e = true, E = true, f = true, F = true, g = true, G = true}

local function pad(written, width, flags, is_number)
  local missing = (tonumber(width) or 0) - unicode.length(written)
  if missing <= 0 then return written end
  if flags:find("-", 1, true) then return written .. (" "):rep(missing) end
  if is_number and flags:find("0", 1, true) then
    local sign, digits = written:match("^([-+ ]?)(.*)$")
    return sign .. ("0"):rep(missing) .. digits
  end
  return (" "):rep(missing) .. written
end

local function number_of(any, conversion)
  if type(any) == "boolean" then return any and 1 or 0 end
  if type(any) == "number" then return any end
  if value.is_undefined(any) then value.fail_undefined(any) end
  raise.runtime("%%%s format: a real number is required, not %s", conversion, value.type_name(any))
end

local function whole(number)
  if number ~= number or number == math.huge or number == -math.huge then
    raise.runtime("cannot convert float %s to integer", text.float(number))
  end
  return math.tointeger(number < 0 and math.ceil(number) or math.floor(number)) or number
end

local function write_integer(any, conversion, flags, precision)
  if conversion == "c" then return type(any) == "string" and any or utf8.char(any) end
  local number = whole(number_of(any, conversion))
  if conversion == "i" or conversion == "u" then conversion = "d" end
  local sign = number < 0 and "-" or flags:match("%+") or flags:match(" ") or ""
  local pattern = "%" .. (precision and "." .. precision or "") .. conversion
  local prefix = flags:find("#", 1, true) and conversion ~= "d" and "0" .. conversion or ""
  return sign .. prefix .. pattern:format(math.type(number) == "integer" and math.abs(number) or 0)
end

local function write_float(any, conversion, flags, precision)
  local number = number_of(any, conversion)
  local signs = (flags:match("%+") or "") .. (flags:match(" ") or "") .. (flags:match("#") or "")
  if #(precision or "") > 2 then raise.runtime("the precision of a format is too large") end
  local kind = conversion == "F" and "f" or conversion
  return ("%" .. signs .. "." .. (precision or "6") .. kind):format(number)
end

local function write(any, conversion, flags, precision)
  if INTEGERS[conversion] then return write_integer(any, conversion, flags, precision) end
  if FLOATS[conversion] then return write_float(any, conversion, flags, precision) end
  local written = conversion == "s" and text.str(any) or text.repr(any)
  return precision and unicode.sub(written, 1, tonumber(precision) or 0) or written
end

-- What Python takes for a mapping: that not all of it is used is no mistake.
local MAPPINGS = {dict = true, list = true, undefined = true}

-- The arguments of `%` are taken in turn, or by name out of a dict.
local function new_state(pattern, args)
  local kind = value.kind(args)
  return {items = kind == "tuple" and args or {args}, at = 0, names = kind == "dict" and args,
    kind = kind, marked = value.is_markup(pattern)}
end

local function next_one(state)
  local at = state.at + 1
  local any = state.items[at]
  if any == nil then raise.runtime("not enough arguments for format string") end
  state.at = at
  return any
end

local function named(state, name)
  if not state.names then raise.runtime("format requires a mapping") end
  local any = state.names[name]
  if any == nil then raise.runtime("KeyError: '%s'", name) end
  return any
end

local function convert_with(state, name, flags, width, dot, precision, conversion)
  if width == "*" then width = tostring(next_one(state)) end
  if precision == "*" then precision = tostring(next_one(state)) end
  local any
  if name then any = named(state, name) else any = next_one(state) end
  if dot == "" then precision = nil elseif precision == "" then precision = "0" end
  if state.marked and (conversion == "s" or conversion == "r") then any = text.to_markup(any) end
  local written = write(any, conversion, flags, precision)
  if width == "" then return written end
  return pad(written, width, flags, INTEGERS[conversion] or FLOATS[conversion])
end

-- One conversion after a `%`, read at `at`: what it writes, and where the text goes on.
local function convert(state, pattern, at)
  local name, after = pattern:match("^%(([^)]*)%)()", at)
  local flags, width, dot, precision, conversion, stop =
    pattern:match("^([-+ #0]*)([%d*]*)(%.?)([%d*]*)[hlL]?(.)()", after or at)
  if not conversion then raise.runtime("incomplete format") end
  if conversion == "%" then return "%", stop end
  if not conversion:find("[diouxXeEfFgGcrsa]") then
    raise.runtime("unsupported format character '%s'", conversion)
  end
  return convert_with(state, name, flags, width, dot, precision, conversion), stop
end

--- `pattern % args`. A markup escapes what is put into it and stays one.
-- @tparam string|Markup pattern
-- @param args a tuple of values, a dict for names, or one value
-- @treturn string|Markup
-- @usage format.percent("%s is %.1f", value.tuple{"pi", 3.14159}) --> "pi is 3.1"
function format.percent(pattern, args)
  local source, state, parts, at = value.text(pattern), new_state(pattern, args), {}, 1
  while true do
    local sign = source:find("%", at, true)
    parts[#parts + 1] = source:sub(at, (sign or 0) - 1)
    if not sign then break end
    parts[#parts + 1], at = convert(state, source, sign + 1)
  end
  if state.at < #state.items and not MAPPINGS[state.kind] then
    raise.runtime("not all arguments converted during string formatting")
  end
  local written = table.concat(parts)
  return state.marked and value.markup(written) or written
end

-- ---- "{}".format ----

local function group(digits, separator)
  local head, tail = digits:match("^([-+ ]?%d+)(.*)$")
  if not head then return digits end
  local grouped = head:reverse():gsub("(%d%d%d)", "%1" .. separator):reverse()
  return (grouped:gsub("^([-+ ]?)" .. separator, "%1")) .. tail
end

local function write_number(number, sign, precision, kind)
  local flags = (sign == "+" or sign == " ") and sign or ""
  if kind == "%" then return write_float(number * 100, "f", flags, precision) .. "%" end
  if kind == "n" then kind = math.type(number) == "integer" and "d" or "g" end
  if kind == "" and math.type(number) == "float" then
    if not precision then return (number >= 0 and flags or "") .. text.float(number) end
    kind = "g"
  end
  if kind == "b" then
    local digits = {}
    repeat
      table.insert(digits, 1, number % 2)
      number = number // 2
    until number == 0
    return table.concat(digits)
  end
  return write(number, kind == "" and "d" or kind, flags, precision)
end

local function align(written, fill, side, width, is_number)
  local missing = (tonumber(width) or 0) - unicode.length(written)
  if missing <= 0 then return written end
  fill = fill ~= "" and fill or " "
  side = side ~= "" and side or is_number and ">" or "<"
  if side == "=" then
    local sign, digits = written:match("^([-+ ]?)(.*)$")
    return sign .. fill:rep(missing) .. digits
  end
  local left = side == ">" and missing or side == "^" and missing // 2 or 0
  return fill:rep(left) .. written .. fill:rep(missing - left)
end

local SPEC = "^([-+ ]?)#?(0?)(%d*)([,_]?)%.?(%d*)([%a%%]?)$"

-- A value as a format specification such as `>10.2f` says.
local function apply_spec(any, spec)
  if spec == "" then return text.str(any) end
  local fill, side, rest = spec:match("^([%z\1-\127\194-\244][\128-\191]*)([<>=^])(.*)$")
  if not side then fill, side, rest = "", spec:match("^([<>=^]?)(.*)$") end
  local sign, zero, width, separator, precision, kind = rest:match(SPEC)
  if not sign then raise.runtime("Invalid format specifier '%s'", spec) end
  if zero == "0" and side == "" then fill, side = "0", "=" end
  precision = precision ~= "" and precision or nil
  if type(any) ~= "number" then
    return align(write(any, "s", "", precision), fill, side, width, false)
  end
  local written = write_number(any, sign, precision, kind)
  if separator ~= "" then written = group(written, separator) end
  return align(written, fill, side, width, true)
end

-- The value that a field such as `0`, `name` or `name.part[key]` stands for.
local function field_value(field, args, names, state, lookup)
  local head, rest = field:match("^([^.[]*)(.*)$")
  local any
  if head == "" then
    state.at = state.at + 1
    any = args[state.at]
  elseif head:find("^%d+$") then
    any = args[tonumber(head) + 1]
  else
    any = names and names[head]
  end
  if any == nil then raise.runtime("no argument for '{%s}'", field) end
  for dot, name, key in rest:gmatch("(%.?)([^.[%]]*)%[?([^.[%]]*)%]?") do
    if dot == "." then any = lookup(any, name) end
    if key ~= "" then any = lookup(any, math.tointeger(tonumber(key)) or key) end
  end
  return any
end

-- What a field between braces writes.
local function write_field(inside, state, lookup)
  local field, conversion, spec = inside:match("^([^!:]*)!?([rsa]?):?(.*)$")
  local any = field_value(field, state.args, state.names, state, lookup)
  if conversion == "r" or conversion == "a" then any = text.repr(any) end
  if conversion == "s" then any = text.str(any) end
  local written = apply_spec(any, spec)
  return state.marked and not value.is_markup(any) and text.escape_string(written) or written
end

-- What stands at a brace: what it writes, and where the text goes on.
local function at_brace(source, at, state, lookup)
  local two = source:sub(at, at + 1)
  if two == "{{" or two == "}}" then return two:sub(1, 1), at + 2 end
  local inside, after = source:match("^{([^{}]*)}()", at)
  if not inside then
    raise.runtime("Single '%s' encountered in format string", source:sub(at, at))
  end
  return write_field(inside, state, lookup), after
end

--- `pattern.format(...)`. A markup escapes what is put into it and stays one.
-- @tparam string|Markup pattern
-- @tparam table args
-- @tparam ?table names
-- @tparam function lookup finds an attribute or item of a value
-- @treturn string|Markup
-- @usage format.braces("{} {:>4}", {"a", 7}, nil, lookup) --> "a    7"
function format.braces(pattern, args, names, lookup)
  local state = {at = 0, args = args, names = names, marked = value.is_markup(pattern)}
  local source, parts, at = value.text(pattern), {}, 1
  while true do
    local brace = source:find("[{}]", at)
    parts[#parts + 1] = source:sub(at, (brace or 0) - 1)
    if not brace then break end
    parts[#parts + 1], at = at_brace(source, brace, state, lookup)
  end
  local written = table.concat(parts)
  return state.marked and value.markup(written) or written
end

return format
