--- What operators do to values, as in Python.
-- @module genet.template.operators

local format = require "genet.template.format"
local raise = require "genet.template.raise"
local text = require "genet.template.text"
local value = require "genet.template.value"

local find, math_type, type = string.find, math.type, type
local is_markup, is_undefined, kind_of = value.is_markup, value.is_undefined, value.kind

local operators = {}

local LISTS = {list = true, tuple = true}

-- A value as a number, if it is one or a boolean.
local function to_number(any)
  if type(any) == "number" then return any end
  if type(any) == "boolean" then return any and 1 or 0 end
end

local function refuse(operator, a, b)
  if is_undefined(a) then value.fail_undefined(a) end
  if is_undefined(b) then value.fail_undefined(b) end
  raise.runtime("unsupported operand type(s) for %s: '%s' and '%s'", operator,
    value.type_name(a), value.type_name(b))
end

local function numbers(operator, a, b)
  local x, y = to_number(a), to_number(b)
  if not x or not y then refuse(operator, a, b) end
  return x, y
end

local function join_lists(a, b)
  local list, count = value.list(a)
  for at = 1, #b do list[count + at] = b[at] end
  return value.is_tuple(a) and value.tuple(list) or list
end

local function add_others(a, b)
  local x, y = value.text(a), value.text(b)
  if x and y then
    if not is_markup(a) and not is_markup(b) then return x .. y end
    return value.markup(text.to_markup(a).text .. text.to_markup(b).text)
  end
  local kind = kind_of(a)
  if LISTS[kind] and kind_of(b) == kind then return join_lists(a, b) end
  if (x or LISTS[kind]) and not is_undefined(b) then
    local name = x and "str" or kind
    raise.runtime("can only concatenate %s (not \"%s\") to %s", name, value.type_name(b), name)
  end
  x, y = numbers("+", a, b)
  return x + y
end

--- `a + b`: numbers, strings, lists, tuples.
function operators.add(a, b)
  if type(a) == "number" and type(b) == "number" then return a + b end
  return add_others(a, b)
end

--- `a - b`.
function operators.sub(a, b)
  if type(a) == "number" and type(b) == "number" then return a - b end
  local x, y = numbers("-", a, b)
  return x - y
end

local function repeat_list(list, times)
  local all, count = {}, 0
  for _ = 1, times do
    for at = 1, #list do
      count = count + 1
      all[count] = list[at]
    end
  end
  return value.is_tuple(list) and value.tuple(all) or all
end

local LONGEST = 1 << 28

-- A string or a list, so many times.
local function repeated(any, times)
  local string = value.text(any)
  local size = string and #string or LISTS[kind_of(any)] and #any
  times = to_number(times)
  if not size or math_type(times) ~= "integer" then return nil end
  if times > 0 and size > LONGEST // times then raise.runtime("the product would be too long") end
  if not string then return repeat_list(any, times) end
  local long = string:rep(times)
  return is_markup(any) and value.markup(long) or long
end

--- `a * b`: numbers, a string or a list and an integer.
function operators.mul(a, b)
  if type(a) == "number" and type(b) == "number" then return a * b end
  local long = repeated(a, b) or repeated(b, a)
  if long then return long end
  local x, y = numbers("*", a, b)
  return x * y
end

local function check_divisor(number, message)
  if number == 0 then raise.runtime(message) end
end

--- `a / b`, always a float.
function operators.div(a, b)
  local x, y = numbers("/", a, b)
  check_divisor(y, math_type(x) == "float" and "float division by zero" or "division by zero")
  return x / y
end

--- `a // b`, rounded down.
function operators.floordiv(a, b)
  local x, y = numbers("//", a, b)
  check_divisor(y, "integer division or modulo by zero")
  return x // y
end

--- `a % b`: what remains, with the sign of `b`; or a string that is formatted.
function operators.mod(a, b)
  if value.text(a) then return format.percent(a, b) end
  local x, y = numbers("%", a, b)
  check_divisor(y, "integer modulo by zero")
  return x % y
end

-- An integer to the power of one that is not negative, while it fits 64 bits.
local function integer_power(base, exponent)
  local result = 1
  while exponent > 0 do
    if exponent & 1 == 1 then result = result * base end
    base, exponent = base * base, exponent >> 1
  end
  return result
end

--- `a ** b`: an integer where that is exact, else a float.
function operators.pow(a, b)
  local x, y = numbers("**", a, b)
  if x == 0 and y < 0 then raise.runtime("0.0 cannot be raised to a negative power") end
  local float = x ^ y
  if math_type(x) == "integer" and math_type(y) == "integer" and y >= 0
    and float < 2 ^ 63 and float > -2 ^ 63 then
    return integer_power(x, y)
  end
  return float
end

--- `-a`.
function operators.neg(a)
  local number = to_number(a)
  if number then return -number end
  if is_undefined(a) then value.fail_undefined(a) end
  raise.runtime("bad operand type for unary -: '%s'", value.type_name(a))
end

--- `+a`.
function operators.pos(a)
  local number = to_number(a)
  if number then return number end
  if is_undefined(a) then value.fail_undefined(a) end
  raise.runtime("bad operand type for unary +: '%s'", value.type_name(a))
end

-- ---- comparison ----

local eq

local function same_items(a, b)
  if #a ~= #b then return false end
  for at = 1, #a do
    if not eq(a[at], b[at]) then return false end
  end
  return true
end

local function same_entries(a, b)
  local keys, count = value.keys(a)
  local _, other = value.keys(b)
  if count ~= other then return false end
  for at = 1, count do
    local item = b[keys[at]]
    if item == nil or not eq(a[keys[at]], item) then return false end
  end
  return true
end

local function same_tables(a, b, kind, other)
  if kind == "undefined" or other == "undefined" then
    if kind == "undefined" then value.check_undefined(a) end
    if other == "undefined" then value.check_undefined(b) end
    return kind == other
  end
  if kind == "markup" or other == "markup" then return value.text(a) == value.text(b) end
  if kind ~= other then return false end
  if LISTS[kind] then return same_items(a, b) end
  return kind == "dict" and same_entries(a, b)
end

--- `a == b`: lists and dicts are equal when their contents are.
-- @treturn boolean
function operators.eq(a, b)
  local kind, other = type(a), type(b)
  if kind ~= "table" and other ~= "table" then
    if a == b then return true end
    local x, y = to_number(a), to_number(b)
    return x ~= nil and x == y
  end
  if rawequal(a, b) and not is_undefined(a) then return true end
  return same_tables(a, b, kind_of(a), kind_of(b))
end

eq = operators.eq

--- `a != b`.
-- @treturn boolean
function operators.ne(a, b)
  return not eq(a, b)
end

local lt

local function less_items(a, b)
  for at = 1, math.min(#a, #b) do
    if not eq(a[at], b[at]) then return lt(a[at], b[at]) end
  end
  return #a < #b
end

local function less_others(a, b, operator)
  local x, y = value.text(a), value.text(b)
  if x and y then return x < y end
  x, y = to_number(a), to_number(b)
  if x and y then return x < y end
  local kind = kind_of(a)
  if LISTS[kind] and kind_of(b) == kind then return less_items(a, b) end
  if is_undefined(a) then value.fail_undefined(a) end
  if is_undefined(b) then value.fail_undefined(b) end
  if operator == ">" or operator == "<=" then a, b = b, a end
  raise.runtime("'%s' not supported between instances of '%s' and '%s'", operator,
    value.type_name(a), value.type_name(b))
end

local function less(a, b, operator)
  local kind = type(a)
  if kind == type(b) and (kind == "number" or kind == "string") then return a < b end
  return less_others(a, b, operator)
end

--- `a < b`: numbers, strings, and lists item by item.
-- @treturn boolean
function operators.lt(a, b)
  return less(a, b, "<")
end

lt = operators.lt

--- `a > b`.
-- @treturn boolean
function operators.gt(a, b)
  return less(b, a, ">")
end

--- `a <= b`.
-- @treturn boolean
function operators.le(a, b)
  if type(a) == "number" and type(b) == "number" then return a <= b end
  return not less(b, a, "<=")
end

--- `a >= b`.
-- @treturn boolean
function operators.ge(a, b)
  if type(a) == "number" and type(b) == "number" then return a >= b end
  return not less(a, b, ">=")
end

local function list_contains(list, any)
  for at = 1, #list do
    if eq(list[at], any) then return true end
  end
  return false
end

--- `a in b`: a part of a string, an item of a list, a key of a dict.
-- @treturn boolean
function operators.contains(any, container)
  local whole = value.text(container)
  if whole then
    local part = value.text(any)
    if not part then
      if is_undefined(any) then value.fail_undefined(any) end
      raise.runtime("'in <string>' requires string as left operand, not %s", value.type_name(any))
    end
    return find(whole, part, 1, true) ~= nil
  end
  local kind = kind_of(container)
  if kind == "dict" then return value.has_key(container, any) end
  if not value.is_iterable(container) then
    raise.runtime("argument of type '%s' is not iterable", value.type_name(container))
  end
  return list_contains(value.all_contents(container), any)
end

local COMPARISONS = {
  ["=="] = eq, ["!="] = operators.ne, ["<"] = lt, [">"] = operators.gt, ["<="] = operators.le,
  [">="] = operators.ge, ["in"] = operators.contains,
  ["not in"] = function(a, b) return not operators.contains(a, b) end,
}

--- `a < b < c` and such: every value is compared with the next.
-- @tparam table signs
-- @tparam table values one more
-- @treturn boolean
function operators.chain(signs, values)
  for at, sign in ipairs(signs) do
    if not COMPARISONS[sign](values[at], values[at + 1]) then return false end
  end
  return true
end

-- ---- text ----

--- `a ~ b` in a template that does not escape.
-- @tparam table items
-- @treturn string
function operators.concat(items)
  for at = 1, #items do items[at] = text.str(items[at]) end
  return table.concat(items)
end

--- `a ~ b` in a template that escapes: a markup if one of the values is.
-- @tparam table items
-- @treturn string|Markup
function operators.concat_markup(items)
  local marked = false
  for at = 1, #items do marked = marked or is_markup(items[at]) end
  if not marked then return operators.concat(items) end
  for at = 1, #items do items[at] = text.escape(items[at]) end
  return value.markup(table.concat(items))
end

return operators
