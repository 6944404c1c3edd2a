--- The functions that compiled templates call.
-- @module genet.template.runtime

local access = require "genet.template.access"
local apply = require "genet.template.apply"
local call = require "genet.template.call"
local context = require "genet.template.context"
local loop = require "genet.template.loop"
local namespace = require "genet.template.namespace"
local operators = require "genet.template.operators"
local raise = require "genet.template.raise"
local text = require "genet.template.text"
local value = require "genet.template.value"

local truth = value.truth

-- Stands for false where Lua chooses between values.
local FALSE = {}

local runtime = {
  none = value.none, markup = value.markup, tuple = value.tuple, dict = value.dict, truth = truth,
  undefined = value.undefined, is_undefined = value.is_undefined, contents = value.contents,
  all_contents = value.all_contents, escape = text.escape, str = text.str, attr = access.attr,
  item = access.item, slice = access.slice, new_loop = loop.new, previous = loop.previous,
  following = loop.following, cycle = loop.cycle, changed = loop.changed,
  set_field = namespace.set, apply_filter = apply.filter, apply_test = apply.test,
  join = table.concat,
}

for _, module in ipairs{operators, call, context} do
  for name, fn in pairs(module) do runtime[name] = fn end
end

--- A value, but never Lua's false.
-- @param any
function runtime.boxed(any)
  if any == false then return FALSE end
  return any
end

--- What `boxed` was given.
-- @param any
function runtime.unboxed(any)
  if any == FALSE then return false end
  return any
end

--- A value as `boxed` gives it when it counts as false, else false.
-- @param any
function runtime.falsy(any)
  if truth(any) then return false end
  return runtime.boxed(any)
end

--- A value when it counts as true, else false.
-- @param any
function runtime.truthy(any)
  return truth(any) and any
end

--- Raises a sentence: stands where something is missing that is only needed now.
-- @tparam string message
function runtime.fail(message)
  raise.runtime("%s", message)
end

--- A text as a markup; a markup stays as it is.
-- @param any
-- @treturn Markup
function runtime.marked(any)
  return value.is_markup(any) and any or value.markup(text.str(any))
end

--- The items of a value, which must be so many.
-- @param any
-- @tparam integer count
-- @return them
function runtime.unpack(any, count)
  local list, length = value.all_contents(any)
  if length > count then
    raise.runtime("too many values to unpack (expected %d)", count)
  elseif length < count then
    raise.runtime("not enough values to unpack (expected %d, got %d)", count, length)
  end
  return table.unpack(list, 1, count)
end

return runtime
