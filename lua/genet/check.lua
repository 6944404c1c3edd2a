--- Checks of arguments, whose errors name the argument and the line of the caller's caller.
-- @module genet.check

local check = {}

local function describe(value)
  if type(value) == "number" then return tostring(value) end
  if value == nil then return "nothing" end
  local meta = getmetatable(value)
  return "a " .. (type(meta) == "table" and rawget(meta, "__name") or type(value))
end

--- Raises that a value is not what was expected.
-- @tparam string what the function and, unless there is but one, its argument
-- @tparam string expected
-- @param value
-- @tparam integer level whom to blame, as in `error`
-- @usage if type(members) ~= "table" then
--   check.refuse("genet.all", "a table of tasks", members, 2)
-- end
function check.refuse(what, expected, value, level)
  error(("%s: %s was expected, not %s"):format(what, expected, describe(value)), level + 1)
end

local function refuse(what, expected, value)
  check.refuse(what, expected, value, 4)
end

--- That a method was called with a colon: the object is of that class, a metatable.
-- @usage check.object(self, Lock, "lock:acquire")
function check.object(self, class, what)
  if getmetatable(self) == class then return end
  local noun, method = what:match("^(%w+):(.*)$")
  local article = noun:find("^[aeiou]") and "an" or "a"
  error(("%s: %s %s was expected: write %s, not %s.%s"):format(what, article, noun, what, noun,
    method), 3)
end

--- Whether a value can be called.
-- @param value
-- @treturn boolean
-- @usage check.is_callable(print) --> true
function check.is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

--- A function, or what can be called like one.
-- @usage check.callable(fn, "genet.spawn")
function check.callable(value, what)
  if not check.is_callable(value) then refuse(what, "a function", value) end
  return value
end

-- Neither negative nor not a number.
local function is_duration(value)
  return type(value) == "number" and value == value and value >= 0
end

--- A value of a type by its name.
-- @usage check.type(name, "app:persist", "string")
function check.type(value, what, expected)
  if type(value) ~= expected then refuse(what, "a " .. expected, value) end
  return value
end

--- A number of seconds, not negative. Infinity is one.
-- @usage check.seconds(seconds, "genet.after")
function check.seconds(value, what)
  if not is_duration(value) then refuse(what, "a number of seconds from 0", value) end
  return value
end

--- The same, or nil.
-- @usage check.optional_seconds(timeout, "task:wait")
function check.optional_seconds(value, what)
  if value ~= nil and not is_duration(value) then
    refuse(what, "a number of seconds from 0", value)
  end
  return value
end

--- A whole number that is not less than `least`.
-- @usage check.count(n, "genet.queue", 1)
function check.count(value, what, least)
  local n = type(value) == "number" and math.tointeger(value)
  if not n or n < least then refuse(what, "a whole number from " .. least, value) end
  return n
end

local function wrong_options(options, what, types)
  if type(options) ~= "table" then
    return ("%s: a table of options was expected, not %s"):format(what, describe(options))
  end
  for key, value in pairs(options) do
    local expected = types[key]
    if not expected then return ("%s: unknown option '%s'"):format(what, tostring(key)) end
    if type(value) ~= expected then
      return ("%s: option '%s': a %s was expected, not %s"):format(what, key, expected,
        describe(value))
    end
  end
end

--- A table of options, each of the type that `types` names for it.
-- @usage check.options(options, "genet.async", {name = "string", detach = "boolean"})
function check.options(options, what, types)
  local problem = options ~= nil and wrong_options(options, what, types)
  if problem then error(problem, 3) end
  return options or {}
end

--- The same, whose error has no place: for callers who name one.
-- @usage check.plain_options(options, "app:sessions", {name = "string"})
function check.plain_options(options, what, types)
  local problem = options ~= nil and wrong_options(options, what, types)
  if problem then error(problem, 0) end
  return options or {}
end

--- A table of options of a route, each of the type that `types` names for it. Its errors name no
-- place: who defines the route adds that.
-- @usage check.route_options(options, {name = "string"})
function check.route_options(options, types)
  if type(options) ~= "table" then
    error(("a table of options was expected, not a %s"):format(type(options)), 0)
  end
  for key, value in pairs(options) do
    if types[key] ~= type(value) then
      error(types[key] and ("option '%s' must be a %s"):format(key, types[key])
        or ("unknown option '%s'"):format(tostring(key)), 0)
    end
  end
end

return check
