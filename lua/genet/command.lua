--- The commands that scripts add to the command line with `app:command`.
-- @module genet.command

local check = require "genet.check"

local command = {}

local ENTRY = {} -- the key under which the parser leaves the command that was named

local function integer(text)
  local value = math.tointeger(tonumber(text))
  if value then return value end
  return nil, ("'%s' is not a whole number"):format(text)
end

local function number(text)
  local value = tonumber(text)
  if value then return value end
  return nil, ("'%s' is not a number"):format(text)
end

local TYPES = {string = function(text) return text end, integer = integer, number = number}

local OPTIONS = {help = "string", args = "table", options = "table"}
local ARGUMENT = {help = true, default = true, type = true, many = true, optional = true}
local OPTION = {help = true, default = true, type = true, many = true, flag = true}

local function check_entry(entry, known)
  if type(entry) == "string" then entry = {entry} end
  if type(entry) ~= "table" or type(entry[1]) ~= "string" then
    error("an argument or option is a name, or a table whose first item is the name", 0)
  end
  for key in pairs(entry) do
    if key ~= 1 and not known[key] then
      error(("'%s': unknown field '%s'"):format(entry[1], tostring(key)), 0)
    end
  end
  if entry.type ~= nil and not TYPES[entry.type] and not check.is_callable(entry.type) then
    error(("'%s': the type is 'string', 'integer', 'number' or a function"):format(entry[1]), 0)
  end
  return entry
end

local function check_names(entry, is_option)
  for word in entry[1]:gmatch("%S+") do
    if is_option ~= (word:find("^%-") ~= nil) then
      error(("'%s': the name of an option begins with '-', that of an argument does not")
        :format(word), 0)
    end
  end
  return entry
end

local function entries(list, known)
  local checked = {}
  for at, entry in ipairs(list or {}) do
    checked[at] = check_names(check_entry(entry, known), known == OPTION)
  end
  return checked
end

--- A command; its errors have no place.
-- @tparam string place where it was defined, `file:line`
-- @tparam string name
-- @tparam table options see `app:command`
-- @tparam function fn
-- @treturn table
-- @usage command.new("shop.lua:3", "seed", {help = "Fill the shop."}, function() end)
function command.new(place, name, options, fn)
  if type(name) ~= "string" or not name:find("^%w[%w:_-]*$") then
    error(("the name of a command is made of letters, digits, '-', '_' and ':', unlike '%s'")
      :format(tostring(name)), 0)
  end
  options = check.plain_options(options, "app:command", OPTIONS)
  if not check.is_callable(fn) then
    error(("app:command: a function was expected, not a %s"):format(type(fn)), 0)
  end
  return {
    name = name,
    place = place,
    help = options.help,
    args = entries(options.args, ARGUMENT),
    options = entries(options.options, OPTION),
    fn = fn,
  }
end

--- Adds a command to those of an app.
-- @tparam App app
-- @tparam table entry from `command.new`
-- @raise when the app has another of that name
-- @usage command.add(app, entry)
function command.add(app, entry)
  local other = app.commands[entry.name]
  if other and other ~= entry then
    error(("the command '%s' is defined at %s already"):format(entry.name, other.place), 0)
  end
  app.commands[entry.name] = entry
end

--- What Flask-Script calls a manager.
-- @tparam App app to which its commands are added
-- @treturn table with `command`, as `app:command`
-- @usage local manager = command.manager(app)
-- manager:command("hello", function() print("hello") end)
function command.manager(app)
  if type(app) ~= "table" or not app.commands then
    check.refuse("genet.manager", "an app", app, 3)
  end
  return {command = function(_, ...) return app:command(...) end}
end

-- The parser's side ---------------------------------------------------------------------------

local function converter(entry)
  local convert = TYPES[entry.type or "string"] or entry.type
  return function(text)
    local value, problem = convert(text)
    if value ~= nil then return value end
    return nil, ("'%s': %s"):format(entry[1], problem or "'" .. text .. "' will not do")
  end
end

local function description(entry)
  if entry.default == nil then return entry.help end
  local default = ("(default: %s)"):format(tostring(entry.default))
  return entry.help and entry.help .. " " .. default or default
end

local function target(entry)
  return (entry[1]:match("%-%-(%S+)") or entry[1]:match("^%-?(%S+)")):gsub("-", "_")
end

local function add_argument(parser, entry)
  local argument = parser:argument(entry[1], description(entry)):convert(converter(entry))
    :target(target(entry))
  local optional = entry.optional or entry.default ~= nil
  if entry.many then
    argument:args(optional and "*" or "+")
  elseif optional then
    argument:args("?")
  end
end

local function add_option(parser, entry)
  if entry.flag then return parser:flag(entry[1], entry.help):target(target(entry)) end
  local option = parser:option(entry[1], description(entry)):convert(converter(entry))
    :target(target(entry))
  if entry.many then option:count("*") end
end

local function add(parser, entry)
  local own = parser:command(entry.name, entry.help or "Defined at " .. entry.place .. ".")
  own:add_help("-? --help")
  own:action(function(args) args[ENTRY] = entry end)
  for _, argument in ipairs(entry.args) do add_argument(own, argument) end
  for _, option in ipairs(entry.options) do add_option(own, option) end
end

--- Adds the commands of an app to a parser, in the order of their names.
-- @param parser of argparse
-- @tparam table commands by name
-- @tparam table taken by name, true for those that the parser has already
-- @raise when a command has the name of one of these
-- @usage command.add_all(parser, app.commands, {run = true})
function command.add_all(parser, commands, taken)
  local names = {}
  for name in pairs(commands) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if taken[name] then
      error(("%s: '%s' is a verb of genet itself"):format(commands[name].place, name), 0)
    end
    add(parser, commands[name])
  end
end

-- What the function is given: what was told, and the defaults of the rest.
local function values(entry, options)
  local args = {}
  for _, list in ipairs{entry.args, entry.options} do
    for _, item in ipairs(list) do
      local name = target(item)
      local value = options[name]
      if value == nil or item.many and #value == 0 and item.default ~= nil then
        value = item.default
      end
      args[name] = value
    end
  end
  return args
end

-- The exit status for what a command has returned.
local function status_of(result, problem)
  if math.type(result) == "integer" then return result & 255 end
  if problem ~= nil and not result then
    io.stderr:write("genet: ", tostring(problem), "\n")
    return 1
  end
  return result == false and 1 or 0
end

--- Calls a command. Waits when it does.
-- @tparam table options what the parser has read
-- @treturn integer the exit status
-- @usage local status = command.run(options)
function command.run(options)
  return status_of(options[ENTRY].fn(values(options[ENTRY], options)))
end

return command
