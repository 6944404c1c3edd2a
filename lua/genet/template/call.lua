--- Calls: of Lua functions, of macros, of methods.
--
-- A Lua function of the application gets nil for what is none or undefined; arguments given by name
-- come last, as one table. A function that is found in a table as it stands is called as it is; one
-- that comes from the metatable of an object, as methods do, gets the object first.
-- @module genet.template.call

local access = require "genet.template.access"
local bind = require "genet.template.bind"
local methods = require "genet.template.methods"
local raise = require "genet.template.raise"
local value = require "genet.template.value"

local getmetatable, pack, rawget, select, type = getmetatable, table.pack, rawget, select, type
local unpack = table.unpack
local from_lua, to_lua = value.from_lua, value.to_lua

local call = {}

-- The arguments by name as Lua code gets them: without what is none or undefined.
local function plain_names(named)
  local plain = value.dict()
  for _, key in ipairs((value.keys(named))) do
    local any = to_lua(named[key])
    if any ~= nil then plain[key] = any end
  end
  return plain
end

local function call_lua(fn, named, ...)
  if not named then return from_lua((fn(to_lua(...)))) end
  local args = pack(to_lua(...))
  args[args.n + 1] = plain_names(named)
  return from_lua((fn(unpack(args, 1, args.n + 1))))
end

-- Calls anything that can be called; `named` is a dict or nil.
local function call_any(state, fn, named, ...)
  if type(fn) == "function" then return call_lua(fn, named, ...) end
  local metatable = type(fn) == "table" and getmetatable(fn)
  if type(metatable) == "table" then
    local template = rawget(metatable, "__template")
    if template == "object" and metatable.call then return metatable.call(fn, state, named, ...) end
    if template == "undefined" then value.fail_undefined(fn) end
    if not template and metatable.__call then return call_lua(fn, named, ...) end
  end
  raise.runtime("'%s' object is not callable", value.type_name(fn))
end

--- Whether a value can be called.
-- @param any
-- @treturn boolean
function call.is_callable(any)
  if type(any) == "function" then return true end
  local metatable = type(any) == "table" and getmetatable(any)
  if type(metatable) ~= "table" then return false end
  if rawget(metatable, "__template") then return metatable.call ~= nil end
  return metatable.__call ~= nil
end

--- `fn(...)`.
-- @tparam table state whether the caller escapes, see `genet.template.environment`
-- @param fn
-- @param ...
-- @return what it returns
function call.call(state, fn, ...)
  if type(fn) == "function" then return from_lua((fn(to_lua(...)))) end
  return call_any(state, fn, nil, ...)
end

--- `fn(..., name=value)`.
-- @tparam table state
-- @param fn
-- @tparam table named a dict
-- @param ...
-- @return what it returns
call.call_named = call_any

--- `fn(..., *rest, **named_rest)`.
-- @tparam table state
-- @param fn
-- @tparam table args a list
-- @param rest
-- @tparam ?table named a dict
-- @param named_rest
-- @return what it returns
function call.call_spread(state, fn, args, rest, named, named_rest)
  args.n = #args
  args, named = bind.spread(args, rest, named, named_rest)
  return call_any(state, fn, named, unpack(args, 1, args.n))
end

-- Calls a method of one of Python's types.
local function call_builtin(object, name, method, named, ...)
  if method.named then return method[1](object, named, ...) end
  if not named then
    if select("#", ...) >= #method then
      raise.runtime("%s() takes not more than %d argument(s)", name, #method - 1)
    end
    return method[1](object, ...)
  end
  local args = bind.arguments(name .. "()", {unpack(method, 2)}, pack(...), named)
  return method[1](object, unpack(args, 1, args.n))
end

local function builtin_of(object, name)
  local known = methods.by_kind[value.kind(object)]
  return known and known[name]
end

local function call_found(state, object, name, named, ...)
  local method = builtin_of(object, name)
  if method then return call_builtin(object, name, method, named, ...) end
  return call_any(state, access.attr(object, name), named, ...)
end

-- A method of data: what the table holds comes first, if it can be called.
local function call_of_data(state, object, name, named, ...)
  local found = object[name]
  if found ~= nil and (type(found) == "function" or call.is_callable(found)) then
    return call_any(state, found, named, ...)
  end
  return call_found(state, object, name, named, ...)
end

local function call_of_foreign(state, object, name, named, ...)
  local found = object[name]
  if type(found) == "function" and rawget(object, name) == nil then
    return call_lua(found, named, object, ...)
  end
  return call_of_data(state, object, name, named, ...)
end

-- `object.name(...)`.
local function method_any(state, object, name, named, ...)
  if type(object) ~= "table" then
    if type(object) == "userdata" and object ~= value.none and type(object[name]) == "function" then
      return call_lua(object[name], named, object, ...)
    end
    return call_found(state, object, name, named, ...)
  end
  local metatable = getmetatable(object)
  if metatable == nil then return call_of_data(state, object, name, named, ...) end
  local template = type(metatable) == "table" and rawget(metatable, "__template")
  if template == "dict" then return call_of_data(state, object, name, named, ...) end
  if not template then return call_of_foreign(state, object, name, named, ...) end
  return call_found(state, object, name, named, ...)
end

--- `object.name(...)`.
-- @tparam table state
-- @param object
-- @tparam string name
-- @param ...
-- @return what it returns
function call.method(state, object, name, ...)
  return method_any(state, object, name, nil, ...)
end

--- `object.name(..., name=value)`.
-- @tparam table state
-- @param object
-- @tparam string name
-- @tparam table named a dict
-- @param ...
-- @return what it returns
call.method_named = method_any

-- ---- macros ----

local Macro = {__template = "object", name = "Macro"}

-- The arguments of a macro by place, and what is left of those by name.
local function bind_macro(macro, named, args)
  local left, caller = value.dict(), nil
  for _, name in ipairs((value.keys(named))) do
    local at = macro.places[name]
    if at and args[at] == nil then
      args[at] = named[name]
      if at > args.n then args.n = at end
    elseif name == "caller" and macro.uses_caller then
      caller = named[name]
    elseif macro.catches_names then
      left[name] = named[name]
    else
      raise.runtime("macro '%s' takes no keyword argument '%s'", macro.name or "anonymous", name)
    end
  end
  return caller, left
end

local function check_count(macro, count)
  if count > #macro.params and not macro.catches_rest then
    raise.runtime("macro '%s' takes not more than %d argument(s)", macro.name or "anonymous",
      #macro.params)
  end
end

function Macro.call(macro, state, named, ...)
  raise.check_depth()
  check_count(macro, select("#", ...))
  local text
  if named then
    local args = pack(...)
    local caller, left = bind_macro(macro, named, args)
    text = macro.fn(caller, left, unpack(args, 1, args.n))
  else
    text = macro.fn(nil, nil, ...)
  end
  return state.mark(text)
end

-- Lua code may call a macro too.
function Macro.__call(macro, ...)
  return Macro.call(macro, macro.state, nil, ...)
end

local ATTRIBUTES = {
  name = function(macro) return macro.name or value.none end,
  arguments = function(macro) return value.tuple{unpack(macro.params)} end,
  catch_kwargs = function(macro) return macro.catches_names end,
  catch_varargs = function(macro) return macro.catches_rest end,
  caller = function(macro) return macro.uses_caller end,
}

function Macro.attr(macro, name)
  local get = ATTRIBUTES[name]
  if get then return get(macro) end
end

function Macro.repr(macro)
  return macro.name and ("<Macro '%s'>"):format(macro.name) or "<Macro anonymous>"
end

--- A macro.
-- @tparam table state of the template that has it
-- @tparam table about `name`, `params` (names), `places` (their numbers by name), `uses_caller`,
--   `catches_names`, `catches_rest`
-- @tparam function fn takes the caller, a dict of what else was given by name, and the arguments
-- @treturn Macro
function call.macro(state, about, fn)
  return setmetatable({
    state = state, fn = fn, name = about.name, params = about.params, places = about.places,
    uses_caller = about.uses_caller, catches_names = about.catches_names,
    catches_rest = about.catches_rest,
  }, Macro)
end

return call
