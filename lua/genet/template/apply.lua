--- Filters and tests by their names, while a template runs.
--
-- What an environment knows of each is a table: `fn`; for those of ours `builtin`, and `params`
-- (the names of the parameters after the value) or `rest` (it takes all arguments: the state, the
-- value, a dict of what is given by name or nil, the others); `state` when it takes the state
-- first.
-- @module genet.template.apply

local bind = require "genet.template.bind"
local call = require "genet.template.call"
local raise = require "genet.template.raise"
local value = require "genet.template.value"

local pack, unpack = table.pack, table.unpack

local apply = {}

local function apply_spec(state, what, spec, named, any, ...)
  if spec.rest then return spec.fn(state, any, named, ...) end
  if not spec.params then return call.call_named(state, spec.fn, named, any, ...) end
  local args = bind.arguments(what, spec.params, pack(...), named)
  if spec.state then return spec.fn(state, any, unpack(args, 1, args.n)) end
  return spec.fn(any, unpack(args, 1, args.n))
end

local function find(registry, noun, name)
  local spec = registry[value.text(name) or false]
  if spec then return spec end
  if value.is_undefined(name) then
    raise.runtime("No %s named by an undefined value. Did you forget to quote its name?", noun)
  end
  name = tostring(name)
  raise.runtime("No %s named '%s'.%s", noun, name, raise.suggestion(name, registry))
end

--- Applies a filter.
-- @tparam table state
-- @tparam string name
-- @tparam ?table named a dict
-- @param any the value
-- @param ... further arguments
-- @return the result
function apply.filter_by_name(state, name, named, any, ...)
  local spec = find(state.env.filters, "filter", name)
  return apply_spec(state, "filter '" .. tostring(name) .. "'", spec, named, any, ...)
end

--- Applies a test.
-- @tparam table state
-- @tparam string name
-- @tparam ?table named a dict
-- @param any the value
-- @param ... further arguments
-- @treturn boolean
function apply.test_by_name(state, name, named, any, ...)
  local spec = find(state.env.tests, "test", name)
  return value.truth(apply_spec(state, "test '" .. tostring(name) .. "'", spec, named, any, ...))
end

local function spread(by_name)
  return function(state, name, args, rest, named, named_rest)
    args.n = #args
    args, named = bind.spread(args, rest, named, named_rest)
    return by_name(state, name, named, unpack(args, 1, args.n))
  end
end

--- Applies a filter to a list of the value and its arguments, and to what is spread.
-- @function apply.filter
apply.filter = spread(apply.filter_by_name)

--- Applies a test in the same way.
-- @function apply.test
apply.test = spread(apply.test_by_name)

return apply
