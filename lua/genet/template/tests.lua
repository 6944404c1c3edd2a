--- Jinja's own tests, by name; see `genet.template.apply` for what is known of each.
-- @module genet.template.tests

local arguments = require "genet.template.arguments"
local call = require "genet.template.call"
local string_methods = require "genet.template.string_methods"
local operators = require "genet.template.operators"
local raise = require "genet.template.raise"
local text = require "genet.template.text"
local value = require "genet.template.value"

local kind_of = value.kind

local function remainder(any, by)
  local number = arguments.number(any, "the value")
  local divisor = arguments.number(by, "the divisor")
  if divisor == 0 then raise.runtime("integer modulo by zero") end
  return number % divisor
end

local function is_kind(...)
  local kinds = {}
  for _, kind in ipairs{...} do kinds[kind] = true end
  return function(any) return kinds[kind_of(any)] or false end
end

local function same(any, other)
  if value.is_undefined(any) or value.is_undefined(other) then return rawequal(any, other) end
  return rawequal(any, other) and math.type(any) == math.type(other)
end

local function known(registry)
  return function(state, name)
    return state.env[registry][value.text(name) or false] ~= nil
  end
end

local tests = {
  odd = {fn = function(any) return remainder(any, 2) == 1 end},
  even = {fn = function(any) return remainder(any, 2) == 0 end},
  divisibleby = {fn = function(any, by) return remainder(any, by) == 0 end, params = {"num"}},
  defined = {fn = function(any) return not value.is_undefined(any) end},
  undefined = {fn = value.is_undefined},
  none = {fn = function(any) return any == value.none end},
  boolean = {fn = is_kind("boolean")},
  ["true"] = {fn = function(any) return any == true end},
  ["false"] = {fn = function(any) return any == false end},
  integer = {fn = is_kind("integer")},
  float = {fn = is_kind("float")},
  number = {fn = is_kind("integer", "float", "boolean")},
  string = {fn = is_kind("string", "markup")},
  mapping = {fn = is_kind("dict")},
  sequence = {fn = is_kind("list", "tuple", "dict", "string", "markup", "undefined")},
  iterable = {fn = value.is_iterable},
  callable = {fn = function(any) return call.is_callable(any) or value.is_undefined(any) end},
  lower = {fn = function(any) return string_methods.is_lower(text.str(any)) end},
  upper = {fn = function(any) return string_methods.is_upper(text.str(any)) end},
  escaped = {fn = value.is_markup},
  sameas = {fn = same, params = {"other"}},
  ["in"] = {fn = operators.contains, params = {"seq"}},
  filter = {fn = known("filters"), state = true},
  test = {fn = known("tests"), state = true},
}

local NAMES = {
  eq = {"==", "eq", "equalto"}, ne = {"!=", "ne"},
  gt = {">", "gt", "greaterthan"}, ge = {">=", "ge"},
  lt = {"<", "lt", "lessthan"}, le = {"<=", "le"},
}

for operator, names in pairs(NAMES) do
  for _, name in ipairs(names) do tests[name] = {fn = operators[operator], params = {"other"}} end
end

for _, spec in pairs(tests) do
  spec.builtin = true
  spec.params = spec.params or {}
end

return tests
