--- Sorting as Python does it: what compares equal keeps its order.
-- @module genet.template.sorting

local access = require "genet.template.access"
local operators = require "genet.template.operators"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local sorting = {}

local function small(any)
  local string = value.text(any)
  return string and unicode.lower(string) or any
end

local function same(any)
  return any
end

-- `"address.city"` as `{"address", "city"}`; parts that are digits are numbers.
local function path_of(attribute)
  local name = value.text(attribute)
  if not name then return {attribute} end
  local parts = {}
  for part in (name .. "."):gmatch("([^.]*)%.") do
    parts[#parts + 1] = part:find("^%d+$") and math.tointeger(tonumber(part)) or part
  end
  return parts
end

--- A function that finds an attribute of a value.
-- @param attribute a path such as `address.city`, a number, or nil for the value itself
-- @param default for what is undefined, or nil
-- @treturn function
function sorting.getter(attribute, default)
  if attribute == nil or attribute == value.none then return same end
  local path = path_of(attribute)
  return function(any)
    for at = 1, #path do
      any = access.item(any, path[at])
      if default ~= nil and value.is_undefined(any) then any = default end
    end
    return any
  end
end

--- A function that makes the key by which a value is compared.
-- @param attribute as `getter` takes it
-- @tparam boolean case_sensitive
-- @param default
-- @treturn function
function sorting.key(attribute, case_sensitive, default)
  local get = sorting.getter(attribute, default)
  if case_sensitive then return get end
  return function(any) return small(get(any)) end
end

--- As `key` for attributes with commas between them: the key is a list, so that values which are
-- undefined are equal.
-- @param attribute
-- @tparam boolean case_sensitive
-- @treturn function
function sorting.keys(attribute, case_sensitive)
  local names = value.text(attribute)
  if not names then
    local get = sorting.key(attribute, case_sensitive)
    return function(any)
      local key = get(any)
      return value.is_undefined(key) and {key} or key
    end
  end
  local getters = {}
  for name in (names .. ","):gmatch("([^,]*),") do
    getters[#getters + 1] = sorting.key(name, case_sensitive)
  end
  return function(any)
    local list = {}
    for at, get in ipairs(getters) do list[at] = get(any) end
    return list
  end
end

local function merge(from, to, first, middle, last, precedes)
  local left, right = first, middle + 1
  for at = first, last do
    if left <= middle and (right > last or not precedes(from[right], from[left])) then
      to[at], left = from[left], left + 1
    else
      to[at], right = from[right], right + 1
    end
  end
end

-- Merges runs of growing width, from one table to the other and back.
local function merge_sort(list, count, precedes)
  local from, to, width = list, {}, 1
  while width < count do
    for first = 1, count, 2 * width do
      local middle = math.min(first + width - 1, count)
      merge(from, to, first, middle, math.min(first + 2 * width - 1, count), precedes)
    end
    from, to, width = to, from, 2 * width
  end
  return from
end

--- A sorted copy of a list.
-- @tparam table list
-- @tparam integer count its length
-- @tparam function key of an item
-- @tparam ?boolean reverse
-- @treturn table
function sorting.sorted(list, count, key, reverse)
  local entries = {}
  for at = 1, count do entries[at] = {key(list[at]), list[at]} end
  local lt = operators.lt
  local function precedes(a, b)
    if reverse then return lt(b[1], a[1]) end
    return lt(a[1], b[1])
  end
  entries = merge_sort(entries, count, precedes)
  local sorted = {}
  for at = 1, count do sorted[at] = entries[at][2] end
  return sorted
end

return sorting
