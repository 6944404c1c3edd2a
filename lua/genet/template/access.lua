--- Attributes, items and slices of values.
-- @module genet.template.access

local methods = require "genet.template.methods"
local raise = require "genet.template.raise"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local getmetatable, math_type, rawget, type = getmetatable, math.type, rawget, type
local kind_of, undefined = value.kind, value.undefined

local access = {}

local by_kind = methods.by_kind

local function no_attribute(object, name)
  local described = value.described(object)
  -- An empty table is a list, but one that is asked for a name was meant as a dict.
  if type(object) == "table" and next(object) == nil and not getmetatable(object) then
    described = "dict object"
  end
  return undefined(name, ("'%s' has no attribute '%s'"):format(described, name))
end

local function no_item(object, key)
  if type(key) == "string" then return no_attribute(object, key) end
  local written = type(key) == "table" and "such" or tostring(key)
  return undefined(written, ("%s has no element %s"):format(value.described(object), written))
end

-- A method of one of Python's types as a function of its own.
local function bound(object, method)
  return function(...)
    if method.named then return method[1](object, nil, ...) end
    return method[1](object, ...)
  end
end

local function builtin(object, name)
  local known = by_kind[kind_of(object)]
  local method = known and known[name]
  return method and bound(object, method) or no_attribute(object, name)
end

local function of_undefined(object)
  if getmetatable(object).chains then return object end
  value.fail_undefined(object)
end

-- What an object of the application has under a name; a method keeps the object with it.
local function of_foreign(object, name)
  local found = object[name]
  if found == nil then return nil end
  if type(found) ~= "function" or type(object) == "table" and rawget(object, name) ~= nil then
    return found
  end
  return function(...) return found(object, ...) end
end

local function of_special(object, name, template)
  if template == "object" then
    local found = getmetatable(object).attr(object, name)
    if found == nil then return no_attribute(object, name) end
    return found
  end
  if template == "undefined" then return of_undefined(object) end
  if template == "dict" or template == "tuple" then
    local found = object[name]
    if found ~= nil then return found end
  end
  return builtin(object, name)
end

local function of_others(object, name)
  local kind = type(object)
  if kind == "table" or kind == "userdata" and object ~= value.none then
    local found = of_foreign(object, name)
    if found ~= nil then return found end
  end
  return builtin(object, name)
end

--- `object.name`: an entry of a dict, a field or method of an object, a method of Python's types.
-- @param object
-- @tparam string name
-- @return the value, or an undefined
function access.attr(object, name)
  if type(object) ~= "table" then return of_others(object, name) end
  local metatable = getmetatable(object)
  if metatable == nil then
    local found = object[name]
    if found ~= nil then return found end
    return builtin(object, name)
  end
  local template = type(metatable) == "table" and rawget(metatable, "__template")
  if template then return of_special(object, name, template) end
  return of_others(object, name)
end

local attr = access.attr

-- An item of a list, counted from 0, from the end when negative.
local function of_list(list, at)
  if at < 0 then
    at = #list + at
    if at < 0 then return nil end
  end
  return list[at + 1]
end

local function of_text(object, at)
  local string = value.text(object)
  local length = unicode.length(string)
  if at < 0 then at = length + at end
  if at < 0 or at >= length then return nil end
  local char = unicode.sub(string, at + 1, at + 1)
  return value.is_markup(object) and value.markup(char) or char
end

local function by_number(object, at)
  if type(object) == "table" and getmetatable(object) == nil then
    if value.is_plain_list(object) then return of_list(object, at) end
    return object[at]
  end
  local kind = kind_of(object)
  if kind == "list" or kind == "tuple" then return of_list(object, at) end
  if kind == "string" or kind == "markup" then return of_text(object, at) end
  if kind == "dict" then return object[at] end
  if kind == "undefined" then return of_undefined(object) end
end

--- `object[key]`: an item of a list or string by its number, an entry of a dict by its key.
-- @param object
-- @param key
-- @return the value, or an undefined
function access.item(object, key)
  local found
  if math_type(key) == "integer" then
    found = by_number(object, key)
  elseif type(key) == "string" then
    return attr(object, key)
  elseif value.is_markup(key) then
    return attr(object, key.text)
  elseif kind_of(object) == "dict" then
    found = object[key]
  elseif value.is_undefined(object) then
    return of_undefined(object)
  end
  if found ~= nil then return found end
  return no_item(object, key)
end

local function bound_of(any, default)
  if any == nil or any == value.none then return default end
  if math_type(any) ~= "integer" then
    if value.is_undefined(any) then value.fail_undefined(any) end
    raise.runtime("slice indices must be integers or None")
  end
  return any
end

-- The first and last place of a slice, counted from 0; the last one is not part of it.
local function range_of(length, start, stop, step)
  local low, high = step > 0 and 0 or -1, step > 0 and length or length - 1
  local function clamp(at, default)
    at = bound_of(at)
    if at == nil then return default end
    if at < 0 then at = at + length end
    return math.max(low, math.min(at, high))
  end
  return clamp(start, step > 0 and low or high), clamp(stop, step > 0 and high or low)
end

local function slice_list(list, length, start, stop, step)
  local from, to = range_of(length, start, stop, step)
  local part, count = {}, 0
  for at = from, to - (step > 0 and 1 or -1), step do
    count = count + 1
    part[count] = list[at + 1]
  end
  return part
end

--- `object[start:stop:step]`.
-- @param object a list, tuple, string or markup
-- @param start
-- @param stop
-- @param step
-- @return the same kind of value
function access.slice(object, start, stop, step)
  step = bound_of(step, 1)
  if step == 0 then raise.runtime("slice step cannot be zero") end
  local string = value.text(object)
  if string then
    local chars, length = value.characters(string)
    local part = table.concat(slice_list(chars, length, start, stop, step))
    return value.is_markup(object) and value.markup(part) or part
  end
  local kind = kind_of(object)
  if kind == "undefined" then return of_undefined(object) end
  if kind ~= "list" and kind ~= "tuple" then
    raise.runtime("'%s' object is not subscriptable", value.type_name(object))
  end
  local part = slice_list(object, #object, start, stop, step)
  return kind == "tuple" and value.tuple(part) or part
end

--- An attribute or item along a path such as `address.city` or `0.name`.
-- @param object
-- @tparam table parts strings and integers
-- @return the value, or an undefined
function access.path(object, parts)
  for at = 1, #parts do object = access.item(object, parts[at]) end
  return object
end

methods.with_lookup(access.item)

return access
