--- The filters about lists and dicts.
-- @module genet.template.filters_list

local access = require "genet.template.access"
local apply = require "genet.template.apply"
local arguments = require "genet.template.arguments"
local container_methods = require "genet.template.container_methods"
local operators = require "genet.template.operators"
local raise = require "genet.template.raise"
local sorting = require "genet.template.sorting"
local text = require "genet.template.text"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local flag, integer, optional = arguments.flag, arguments.integer, arguments.optional
local undefined = value.undefined

local function default(any, instead, boolean)
  if instead == nil then instead = "" end
  if value.is_undefined(any) or flag(boolean) and not value.truth(any) then return instead end
  return any
end

local function length(any)
  local kind = value.kind(any)
  if kind == "string" or kind == "markup" then return unicode.length(value.text(any)) end
  if kind == "list" or kind == "tuple" then return #any end
  if kind == "object" and getmetatable(any).size then return getmetatable(any).size(any) end
  if not value.is_iterable(any) then
    raise.runtime("object of type '%s' has no len()", value.type_name(any))
  end
  return (select(2, value.all_contents(any)))
end

local function first(any)
  local list, count = value.contents(any)
  local item = list[1]
  if count == 0 or item == nil then
    return undefined(nil, "No first item, sequence was empty.")
  end
  return item
end

local function last(any)
  local list, count = value.all_contents(any)
  if count == 0 then return undefined(nil, "No last item, sequence was empty.") end
  return value.is_markup(any) and value.markup(list[count]) or list[count]
end

local function random(any)
  local list, count = value.all_contents(any)
  if count == 0 then return undefined(nil, "No random item, sequence was empty.") end
  return list[math.random(count)]
end

local function reverse(any)
  local string = value.text(any)
  if string then
    local turned = unicode.reverse(string)
    return value.is_markup(any) and value.markup(turned) or turned
  end
  local list, count = value.all_contents(any)
  local turned = {}
  for at = 1, count do turned[at] = list[count + 1 - at] end
  return turned
end

-- ---- joining ----

local function join_marked(list, separator)
  for at = 1, #list do list[at] = text.escape(list[at]) end
  return value.markup(table.concat(list, text.to_markup(separator).text))
end

local function join(state, any, separator, attribute)
  local list, count = value.all_contents(any)
  local get, marked = sorting.getter(attribute), value.is_markup(separator)
  local parts = {}
  for at = 1, count do
    local item = get(list[at])
    if type(item) == "table" and value.is_markup(item) then marked = true end
    parts[at] = item
  end
  separator = optional(separator, "")
  if state.on and marked then return join_marked(parts, separator) end
  for at = 1, count do
    if type(parts[at]) ~= "string" then parts[at] = text.str(parts[at]) end
  end
  return table.concat(parts, text.str(separator))
end

-- ---- parts ----

local function batch(any, size, fill)
  size = integer(size, "linecount")
  local list, count = value.all_contents(any)
  local batches = {}
  for at = 1, count do
    if (at - 1) % size == 0 then batches[#batches + 1] = {} end
    table.insert(batches[#batches], list[at])
  end
  local final = batches[#batches]
  if final and optional(fill) ~= nil then
    for at = #final + 1, size do final[at] = fill end
  end
  return batches
end

local function slice(any, count, fill)
  local list, total = value.all_contents(any)
  count = integer(count, "slices")
  if count == 0 then raise.runtime("integer division or modulo by zero") end
  local each, extra, slices, at = total // count, total % count, {}, 1
  for number = 1, count do
    local size = each + (number <= extra and 1 or 0)
    slices[number] = table.move(list, at, at + size - 1, 1, {})
    at = at + size
    if optional(fill) ~= nil and number > extra then table.insert(slices[number], fill) end
  end
  return slices
end

-- ---- order ----

local function sort(any, reversed, case_sensitive, attribute)
  local list, count = value.all_contents(any)
  return sorting.sorted(list, count, sorting.keys(attribute, flag(case_sensitive)), flag(reversed))
end

local function dictsort(any, case_sensitive, by, reversed)
  by = arguments.string(by, "by", "key")
  if by ~= "key" and by ~= "value" then
    raise.runtime("You can only sort by either \"key\" or \"value\"")
  end
  local items = container_methods.items(arguments.dict(any))
  local key = sorting.key(by == "key" and 0 or 1, flag(case_sensitive))
  return sorting.sorted(items, #items, key, flag(reversed))
end

-- A key that makes values of a set the same which are equal.
local function set_key(any)
  local kind = type(any)
  if kind ~= "table" then return any end
  return value.text(any) or text.repr(any)
end

local function unique(any, case_sensitive, attribute)
  local list, count = value.all_contents(any)
  local key, seen, kept = sorting.key(attribute, flag(case_sensitive)), {}, {}
  for at = 1, count do
    local mark = set_key(key(list[at]))
    if not seen[mark] then
      seen[mark] = true
      kept[#kept + 1] = list[at]
    end
  end
  return kept
end

local function extreme(precedes)
  return function(any, case_sensitive, attribute)
    local list, count = value.all_contents(any)
    if count == 0 then return undefined(nil, "No aggregated item, sequence was empty.") end
    local key = sorting.key(attribute, flag(case_sensitive))
    local best, best_key = list[1], key(list[1])
    for at = 2, count do
      local other = key(list[at])
      if precedes(other, best_key) then best, best_key = list[at], other end
    end
    return best
  end
end

local Group = {__template = "tuple"}

-- A tuple of the key and the items, which also have names.
local function new_group(key, items)
  return setmetatable({key, items, grouper = key, list = items}, Group)
end

local function groupby(any, attribute, instead, case_sensitive)
  instead = optional(instead)
  local list, count = value.all_contents(any)
  local key = sorting.key(attribute, flag(case_sensitive), instead)
  local shown = sorting.getter(attribute, instead)
  local groups, current = {}, nil
  for _, item in ipairs(sorting.sorted(list, count, key)) do
    local mark = key(item)
    if not current or not operators.eq(current.mark, mark) then
      current = {mark = mark, items = {}}
      groups[#groups + 1] = new_group(shown(item), current.items)
    end
    table.insert(current.items, item)
  end
  return groups
end

local function sum(any, attribute, start)
  local total, get = optional(start, 0), sorting.getter(attribute)
  local list, count = value.all_contents(any)
  for at = 1, count do total = operators.add(total, get(list[at])) end
  return total
end

-- ---- choosing ----

local function map_attribute(list, count, named)
  local attribute, instead = named.attribute, named.default
  for _, name in ipairs((value.keys(named))) do
    if name ~= "attribute" and name ~= "default" then
      raise.runtime("Unexpected keyword argument '%s'", name)
    end
  end
  local get = sorting.getter(attribute, optional(instead))
  for at = 1, count do list[at] = get(list[at]) end
  return list
end

local function map(state, any, named, name, ...)
  if not value.truth(any) then return {} end
  local list, count = value.list(any)
  if name == nil and named and named.attribute ~= nil then
    return map_attribute(list, count, named)
  end
  if name == nil then raise.runtime("map requires a filter argument") end
  for at = 1, count do list[at] = apply.filter_by_name(state, name, named, list[at], ...) end
  return list
end

local function keep(list, count, wanted, test)
  local kept = {}
  for at = 1, count do
    if test(list[at]) == wanted then kept[#kept + 1] = list[at] end
  end
  return kept
end

local function tester(state, get, named, name, ...)
  if name == nil then
    return function(item) return value.truth(get(item)) end
  end
  local args = table.pack(...)
  return function(item)
    return apply.test_by_name(state, name, named, get(item), table.unpack(args, 1, args.n))
  end
end

local function chooser(wanted)
  return function(state, any, named, ...)
    if not value.truth(any) then return {} end
    local list, count = value.all_contents(any)
    return keep(list, count, wanted, tester(state, sorting.getter(), named, ...))
  end
end

local function attribute_chooser(wanted)
  return function(state, any, named, attribute, ...)
    if not value.truth(any) then return {} end
    if attribute == nil then raise.runtime("Missing parameter for attribute name") end
    local list, count = value.all_contents(any)
    return keep(list, count, wanted, tester(state, sorting.getter(attribute), named, ...))
  end
end

local function items(any)
  if value.is_undefined(any) then return {} end
  if value.kind(any) ~= "dict" and not (value.kind(any) == "list" and #any == 0) then
    raise.runtime("Can only get item pairs from a mapping.")
  end
  return container_methods.items(any)
end

local function list_of(any)
  return (value.list(any))
end

local ORDER = {"case_sensitive", "attribute"}

return {
  attr = {fn = access.attr, params = {"name"}},
  batch = {fn = batch, params = {"linecount", "fill_with"}},
  count = {fn = length, params = {}},
  d = {fn = default, params = {"default_value", "boolean"}},
  default = {fn = default, params = {"default_value", "boolean"}},
  dictsort = {fn = dictsort, params = {"case_sensitive", "by", "reverse"}},
  first = {fn = first, params = {}},
  groupby = {fn = groupby, params = {"attribute", "default", "case_sensitive"}},
  items = {fn = items, params = {}},
  join = {fn = join, params = {"d", "attribute"}, state = true},
  last = {fn = last, params = {}},
  length = {fn = length, params = {}},
  list = {fn = list_of, params = {}},
  map = {fn = map, rest = true},
  max = {fn = extreme(operators.gt), params = ORDER},
  min = {fn = extreme(operators.lt), params = ORDER},
  random = {fn = random, params = {}},
  reject = {fn = chooser(false), rest = true},
  rejectattr = {fn = attribute_chooser(false), rest = true},
  reverse = {fn = reverse, params = {}},
  select = {fn = chooser(true), rest = true},
  selectattr = {fn = attribute_chooser(true), rest = true},
  slice = {fn = slice, params = {"slices", "fill_with"}},
  sort = {fn = sort, params = {"reverse", "case_sensitive", "attribute"}},
  sum = {fn = sum, params = {"attribute", "start"}},
  unique = {fn = unique, params = ORDER},
}
