--- The methods of Python's lists and dicts; see `genet.template.methods`.
-- @module genet.template.container_methods

local operators = require "genet.template.operators"
local raise = require "genet.template.raise"
local text = require "genet.template.text"
local value = require "genet.template.value"

local container_methods = {}

local none = value.none

local function given(any)
  if any == nil or any == none then return nil end
  return any
end

local function reversed(list)
  local other = {}
  for at = #list, 1, -1 do other[#other + 1] = list[at] end
  return other
end

-- ---- lists ----

local function check_free(list)
  if value.is_tuple(list) then raise.runtime("a tuple cannot be changed") end
end

-- A place in a list as Lua counts, out of one as Python does; bounded by its ends.
local function place(list, at)
  if at < 0 then at = math.max(at + #list, 0) end
  return math.min(at, #list) + 1
end

local function pop(list, at)
  check_free(list)
  at = given(at) or -1
  local index = at < 0 and #list + at + 1 or at + 1
  if index < 1 or index > #list then raise.runtime("pop index out of range") end
  return table.remove(list, index)
end

local function index_of(list, item)
  for at = 1, #list do
    if operators.eq(list[at], item) then return at end
  end
  raise.runtime("%s is not in list", text.repr(item))
end

local function extend(list, items)
  check_free(list)
  local more, length = value.list(items)
  table.move(more, 1, length, #list + 1, list)
  return none
end

local lists = {
  append = {function(list, item)
    check_free(list)
    list[#list + 1] = item
    return none
  end, "object"},
  extend = {extend, "iterable"},
  insert = {function(list, at, item)
    check_free(list)
    table.insert(list, place(list, at), item)
    return none
  end, "index", "object"},
  pop = {pop, "index"},
  remove = {function(list, item)
    check_free(list)
    table.remove(list, index_of(list, item))
    return none
  end, "value"},
  clear = {function(list)
    for at = #list, 1, -1 do list[at] = nil end
    return none
  end},
  index = {function(list, item) return index_of(list, item) - 1 end, "value"},
  count = {function(list, item)
    local found = 0
    for at = 1, #list do
      if operators.eq(list[at], item) then found = found + 1 end
    end
    return found
  end, "value"},
  copy = {function(list) return (value.list(list)) end},
  reverse = {function(list)
    local back = reversed(list)
    table.move(back, 1, #back, 1, list)
    return none
  end},
}

-- ---- dicts ----

--- The entries of a dict as tuples.
-- @tparam table dict
-- @treturn table a list
function container_methods.items(dict)
  local keys, length = value.keys(dict)
  local items = {}
  for at = 1, length do items[at] = value.tuple{keys[at], dict[keys[at]]} end
  return items
end

local function values(dict)
  local keys, length = value.keys(dict)
  for at = 1, length do keys[at] = dict[keys[at]] end
  return keys
end

--- Takes the entries of another dict, or of a list of pairs, into a dict.
-- @tparam table dict
-- @param other a dict, a list of pairs, or nil
function container_methods.update(dict, other)
  if other == nil or other == none then return end
  if value.kind(other) == "dict" then
    for _, key in ipairs((value.keys(other))) do dict[key] = other[key] end
    return
  end
  for _, pair in ipairs((value.all_contents(other))) do
    local both = value.all_contents(pair)
    dict[value.key_of(both[1])] = both[2]
  end
end

local function pop_key(dict, key, default)
  local found = dict[value.key_of(key)]
  if found == nil and default == nil then raise.runtime("KeyError: %s", text.repr(key)) end
  if found == nil then return default end
  dict[value.key_of(key)] = nil
  return found
end

local function get(dict, key, default)
  local found = dict[value.key_of(key)]
  if found ~= nil then return found end
  if default == nil then return none end
  return default
end

local dicts = {
  get = {get, "key", "default"},
  keys = {function(dict) return (value.keys(dict)) end},
  values = {values},
  items = {container_methods.items},
  update = {function(dict, named, other)
    container_methods.update(dict, other)
    container_methods.update(dict, named)
    return none
  end, named = true},
  setdefault = {function(dict, key, default)
    local found = dict[value.key_of(key)]
    if found ~= nil then return found end
    if default == nil then default = none end
    dict[value.key_of(key)] = default
    return default
  end, "key", "default"},
  pop = {pop_key, "key", "default"},
  copy = {function(dict)
    local other = value.dict()
    container_methods.update(other, dict)
    return other
  end},
  clear = {function(dict)
    for _, key in ipairs((value.keys(dict))) do dict[key] = nil end
    return none
  end},
}

--- The methods of lists by name.
container_methods.lists = lists

--- The methods of dicts by name.
container_methods.dicts = dicts

return container_methods
