--- Puts arguments that are given by name where a function expects them.
-- @module genet.template.bind

local raise = require "genet.template.raise"
local value = require "genet.template.value"

local bind = {}

local function index_of(list, word)
  for at = 1, #list do
    if list[at] == word then return at end
  end
end

--- The arguments in the order of the parameters.
-- @tparam string what the function is called in messages
-- @tparam table params the names of the parameters
-- @tparam table args a list with `n`; it is changed
-- @tparam ?table named a dict
-- @treturn table `args`
function bind.arguments(what, params, args, named)
  if args.n > #params then
    raise.runtime("%s takes not more than %d argument(s)", what, #params)
  end
  local names = named and value.keys(named) or {}
  for _, name in ipairs(names) do
    local at = index_of(params, name)
    if not at then raise.runtime("%s takes no keyword argument '%s'", what, name) end
    if args[at] ~= nil then raise.runtime("%s got two values for '%s'", what, name) end
    args[at] = named[name]
    if at > args.n then args.n = at end
  end
  return args
end

--- Arguments, with what `*rest` and `**named_rest` hold added.
-- @tparam table args a list with `n`; it is changed
-- @param rest what a loop can go through, or nil
-- @tparam ?table named a dict; it is changed
-- @param named_rest a dict or nil
-- @treturn table args
-- @treturn ?table named
function bind.spread(args, rest, named, named_rest)
  if rest ~= nil then
    local items, count = value.all_contents(rest)
    table.move(items, 1, count, args.n + 1, args)
    args.n = args.n + count
  end
  if named_rest == nil then return args, named end
  if value.kind(named_rest) ~= "dict" then raise.runtime("argument after ** must be a mapping") end
  named = named or value.dict()
  for _, key in ipairs((value.keys(named_rest))) do
    if named[key] ~= nil then
      raise.runtime("got multiple values for keyword argument '%s'", key)
    end
    named[key] = named_rest[key]
  end
  return args, named
end

return bind
