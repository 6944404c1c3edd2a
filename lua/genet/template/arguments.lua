--- Arguments of filters, checked.
-- @module genet.template.arguments

local raise = require "genet.template.raise"
local value = require "genet.template.value"

local arguments = {}

local none = value.none

--- An argument, or a default where it is none or not given.
-- @param any
-- @param default
-- @return either
function arguments.optional(any, default)
  if any == nil or any == none then return default end
  return any
end

local function refuse(any, what, wanted)
  if value.is_undefined(any) then value.fail_undefined(any) end
  raise.runtime("%s must be %s, not %s", what, wanted, value.type_name(any))
end

--- An integer, or a default.
-- @param any
-- @tparam string what it is called in messages
-- @param default
-- @treturn integer
function arguments.integer(any, what, default)
  any = arguments.optional(any, default)
  if any == true then return 1 end
  if any == false then return 0 end
  return math.tointeger(type(any) == "number" and any) or refuse(any, what, "an integer")
end

--- A string or markup as a string, or a default.
-- @param any
-- @tparam string what
-- @param default
-- @treturn string
function arguments.string(any, what, default)
  any = arguments.optional(any, default)
  return value.text(any) or refuse(any, what, "a string")
end

--- A number.
-- @param any
-- @tparam string what
-- @treturn number
function arguments.number(any, what)
  if type(any) == "boolean" then return any and 1 or 0 end
  if type(any) == "number" then return any end
  return refuse(any, what, "a number")
end

--- A dict.
-- @param any
-- @treturn table
function arguments.dict(any)
  if value.kind(any) == "dict" or type(any) == "table" and next(any) == nil
    and value.kind(any) == "list" then
    return any
  end
  if value.is_undefined(any) then value.fail_undefined(any) end
  raise.runtime("'%s' object has no attribute 'items'", value.type_name(any))
end

--- Whether an optional argument counts as true.
-- @param any
-- @treturn boolean
function arguments.flag(any)
  return any ~= nil and value.truth(any)
end

return arguments
