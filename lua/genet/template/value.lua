--- The values that templates know, and how Lua's own stand for them.
--
-- A table whose keys are 1 to n is a list, an empty one too; any other is a dict. Kinds of our own
-- are told by a field `__template` of the metatable: `markup` (text that needs no escaping),
-- `tuple`, `dict` (whose metatable holds the keys in their order), `undefined`, and `object` (with
-- functions `attr` and `call` in the metatable). `none` is `json.null`; there is no nil among the
-- values of a template: what is not there is an `undefined` that knows its name.
-- @module genet.template.value

local json = require "genet.json"
local raise = require "genet.template.raise"

local getmetatable, math_type, next = getmetatable, math.type, next
local rawget, rawset, setmetatable, sort, type = rawget, rawset, setmetatable, table.sort, type

local value = {}

--- What `none` is.
value.none = json.null

local none = json.null

-- ---- markup ----

local Markup = {__template = "markup"}

--- A text that is safe as it stands: it is not escaped again.
-- @tparam string text
-- @treturn Markup its `text` field holds the text; `tostring` gives it too
-- @usage value.markup("<b>bold</b>")
function value.markup(text)
  return setmetatable({text = text}, Markup)
end

function Markup:__tostring()
  return self.text
end

function Markup:__len()
  return #self.text
end

function Markup.__eq(a, b)
  return a.text == b.text
end

-- Lua code may treat a markup as a string; what a string method returns is no longer safe.
function Markup:__index(name)
  local method = string[name]
  return method and function(_, ...) return method(self.text, ...) end
end

--- The text of a string or a markup; nil for any other value.
-- @param any
-- @treturn ?string
function value.text(any)
  if type(any) == "string" then return any end
  return getmetatable(any) == Markup and any.text or nil
end

--- Whether a value is a markup.
-- @param any
-- @treturn boolean
function value.is_markup(any)
  return getmetatable(any) == Markup
end

-- ---- undefined ----

local function message_of(undefined)
  return undefined.hint or ("'%s' is undefined"):format(undefined.name)
end

local function fail(undefined)
  raise.runtime("%s", message_of(undefined))
end

-- What becomes of a value that is not there, by the environment's option: `lenient` says which uses
-- are allowed.
local UNDEFINED = {
  default = {__template = "undefined", lenient = true},
  strict = {__template = "undefined"},
  chainable = {__template = "undefined", lenient = true, chains = true},
  debug = {__template = "undefined", lenient = true, shows = true},
}

for _, metatable in next, UNDEFINED do metatable.__tostring = function() return "" end end

local Undefined = UNDEFINED.default

--- A value that is not there.
-- @tparam ?string name of what is missing
-- @tparam ?string hint the sentence about it, when it is not "'name' is undefined"
-- @treturn Undefined
function value.undefined(name, hint)
  return setmetatable({name = name, hint = hint}, Undefined)
end

--- The kinds of undefined that there are, by name.
value.undefined_kinds = UNDEFINED

--- A function that makes every undefined value one of the kind named.
-- @tparam string name
-- @treturn function
function value.brander(name)
  local metatable = UNDEFINED[name]
  return function(any)
    if getmetatable(any) ~= Undefined then return any end
    return setmetatable(any, metatable)
  end
end

--- Whether a value is undefined.
-- @param any
-- @treturn boolean
function value.is_undefined(any)
  local metatable = type(any) == "table" and getmetatable(any)
  return metatable and metatable.__template == "undefined" or false
end

--- Raises the sentence of an undefined value.
value.fail_undefined = fail

--- Raises unless an undefined value allows to be looked at.
-- @tparam Undefined undefined
function value.check_undefined(undefined)
  if not getmetatable(undefined).lenient then fail(undefined) end
end

--- What an undefined value prints.
-- @tparam Undefined undefined
-- @treturn string
function value.undefined_text(undefined)
  value.check_undefined(undefined)
  if not getmetatable(undefined).shows then return "" end
  local hint = undefined.hint and "undefined value printed: " .. undefined.hint
  return ("{{ %s }}"):format(hint or undefined.name)
end

-- ---- tuples and dicts ----

local Tuple = {__template = "tuple"}

--- Makes a list a tuple.
-- @tparam table items
-- @treturn table the same
function value.tuple(items)
  return setmetatable(items, Tuple)
end

--- Whether a value is a tuple.
-- @param any
-- @treturn boolean
function value.is_tuple(any)
  return getmetatable(any) == Tuple
end

local function dict_pairs(dict)
  local keys, at = value.keys(dict), 0
  return function()
    at = at + 1
    local key = keys[at]
    if key ~= nil then return key, rawget(dict, key) end
  end
end

local function add_key(dict, key, item)
  local metatable = getmetatable(dict)
  metatable[#metatable + 1] = key
  rawset(dict, key, item)
end

-- A string stands for a markup as a key.
local function key_of(any)
  return getmetatable(any) == Markup and any.text or any
end

value.key_of = key_of

--- A dict that keeps the order of its keys; Lua code sees an ordinary table.
-- @tparam ?table flat key, value, key, value ...
-- @treturn table
-- @usage value.dict{"a", 1, "b", 2}
function value.dict(flat)
  local dict, keys = {}, {__template = "dict", __pairs = dict_pairs}
  for at = 1, flat and #flat or 0, 2 do
    local key = key_of(flat[at])
    if dict[key] == nil then keys[#keys + 1] = key end
    dict[key] = flat[at + 1]
  end
  keys.__newindex = add_key
  return setmetatable(dict, keys)
end

-- ---- kinds ----

-- Whether the keys of a table without a metatable are 1 to n.
local function is_list(any)
  local count, length = 0, #any
  for _ in next, any do
    count = count + 1
    if count > length then return false end
  end
  return count == length
end

-- Lists that were looked through, with their lengths: to take items of a long list one by one does
-- not look through all of it each time.
local known_lists = setmetatable({}, {__mode = "k"})

local SHORT = 8

--- Whether a table without a metatable is a list.
-- @tparam table any
-- @treturn boolean
function value.is_plain_list(any)
  local length = #any
  if length > SHORT and known_lists[any] == length then return true end
  if not is_list(any) then return false end
  if length > SHORT then known_lists[any] = length end
  return true
end

local function table_kind(any)
  local metatable = getmetatable(any)
  if metatable == nil then return is_list(any) and "list" or "dict" end
  if type(metatable) ~= "table" then return "dict" end
  local kind = rawget(metatable, "__template")
  if kind then return kind end
  if metatable.__pairs then return "dict" end
  return is_list(any) and (next(any) ~= nil or not metatable.__index) and "list" or "dict"
end

local NUMBERS = {integer = "integer", float = "float"}

--- What a value is to a template: `list`, `tuple`, `dict`, `string`, `markup`, `integer`, `float`,
-- `boolean`, `none`, `undefined`, `function`, `object` or `userdata`.
-- @param any
-- @treturn string
function value.kind(any)
  local kind = type(any)
  if kind == "table" then return table_kind(any) end
  if kind == "number" then return NUMBERS[math_type(any)] end
  if any == none then return "none" end
  if kind == "nil" then return "undefined" end
  return kind
end

local NAMES = {
  string = "str object", markup = "Markup object", integer = "int object", float = "float object",
  boolean = "bool object", list = "list object", tuple = "tuple object", dict = "dict object",
  none = "None", ["function"] = "function object",
}

--- What Python calls the type of a value, for messages: `list object`, `None`.
-- @param any
-- @treturn string
function value.described(any)
  local kind = value.kind(any)
  return NAMES[kind] or kind .. " object"
end

--- The name of the type alone: `list`, `NoneType`.
-- @param any
-- @treturn string
function value.type_name(any)
  local described = value.described(any)
  return described == "None" and "NoneType" or (described:gsub(" object$", ""))
end

-- ---- contents ----

local RANKS = {number = 1, string = 2}

local function key_less(a, b)
  local kind, other = type(a), type(b)
  if kind == other and RANKS[kind] then return a < b end
  if kind ~= other then return (RANKS[kind] or 3) < (RANKS[other] or 3) end
  return tostring(a) < tostring(b)
end

local function own_keys(dict, metatable)
  local keys, count = {}, 0
  for at = 1, #metatable do
    local key = metatable[at]
    if rawget(dict, key) ~= nil then
      count = count + 1
      keys[count] = key
    end
  end
  return keys, count
end

--- The keys of a dict: in their order if it has one, else sorted, numbers before strings.
-- @tparam table dict
-- @treturn table a list
-- @treturn integer how many
function value.keys(dict)
  local metatable = getmetatable(dict)
  if type(metatable) == "table" and metatable.__template == "dict" then
    return own_keys(dict, metatable)
  end
  local keys, count = {}, 0
  for key in pairs(dict) do
    count = count + 1
    keys[count] = key
  end
  if not (type(metatable) == "table" and metatable.__pairs) then sort(keys, key_less) end
  return keys, count
end

--- Whether a key is in a dict.
-- @tparam table dict
-- @param key
-- @treturn boolean
function value.has_key(dict, key)
  return dict[key_of(key)] ~= nil
end

local function characters(text)
  if not text:find("[\128-\255]") then
    local list = {}
    for at = 1, #text do list[at] = text:sub(at, at) end
    return list, #text
  end
  local list, count = {}, 0
  for char in text:gmatch("[\1-\127\194-\244\0][\128-\191]*") do
    count = count + 1
    list[count] = char
  end
  return list, count
end

value.characters = characters

local function marked_characters(markup)
  return characters(markup.text)
end

local function endless(fn)
  return setmetatable({}, {__index = function(_, _) return fn() end}), math.maxinteger
end

local function contents_undefined(undefined)
  value.check_undefined(undefined)
  return {}, 0
end

local function contents_object(object)
  local contents = getmetatable(object).contents
  if contents then return contents(object) end
  raise.runtime("'%s' object is not iterable", getmetatable(object).name or "object")
end

local function itself(list)
  return list, #list
end

local CONTENTS = {
  list = itself, tuple = itself, dict = value.keys, string = characters, markup = marked_characters,
  undefined = contents_undefined, object = contents_object, ["function"] = endless,
}

--- What a loop goes through: a list (not to be changed) and its length. The list of a function is
-- what it returns each time that it is called, until nil, and its length is unknown:
-- `math.maxinteger`.
-- @param any
-- @treturn table
-- @treturn integer
-- @raise when there is nothing to go through
function value.contents(any)
  local contents = CONTENTS[value.kind(any)]
  if not contents then raise.runtime("'%s' object is not iterable", value.type_name(any)) end
  return contents(any)
end

--- As `contents`, but all that a function gives is collected first.
-- @param any
-- @treturn table
-- @treturn integer
function value.all_contents(any)
  local list, count = value.contents(any)
  if count ~= math.maxinteger then return list, count end
  local all = {}
  for item in any do all[#all + 1] = item end
  return all, #all
end

--- A new list of what a loop would go through.
-- @param any
-- @treturn table
-- @treturn integer
function value.list(any)
  local list, count = value.all_contents(any)
  return table.move(list, 1, count, 1, {}), count
end

--- Whether a loop can go through a value.
-- @param any
-- @treturn boolean
function value.is_iterable(any)
  local kind = value.kind(any)
  if kind == "object" then return getmetatable(any).contents ~= nil end
  return kind ~= "function" and CONTENTS[kind] ~= nil
end

local EMPTY = {list = true, tuple = true, dict = true}

local function truth_of_table(any)
  local metatable = getmetatable(any)
  if metatable == nil then return next(any) ~= nil end
  if metatable == Markup then return any.text ~= "" end
  local kind = table_kind(any)
  if kind == "undefined" then
    value.check_undefined(any)
    return false
  end
  if not EMPTY[kind] or next(any) ~= nil then return true end
  if metatable.__template or not metatable.__pairs then return metatable.__index ~= nil end
  local _, count = value.keys(any)
  return count > 0
end

--- Whether a value counts as true, as in Python: false, none, undefined, zero and what is empty do
-- not.
-- @param any
-- @treturn boolean
function value.truth(any)
  if any == true or any == false then return any end
  local kind = type(any)
  if kind == "string" then return any ~= "" end
  if kind == "number" then return any ~= 0 end
  if kind == "table" then return truth_of_table(any) end
  return any ~= none and any ~= nil
end

-- ---- between Lua and templates ----

local function to_lua(count, any, ...)
  if count == 0 then return end
  if any == none or type(any) == "table" and value.is_undefined(any) then any = nil end
  return any, to_lua(count - 1, ...)
end

--- What a Lua function of the application is given for values of a template: nil for what is none
-- or undefined, else the same.
-- @param ...
-- @return as many values
function value.to_lua(...)
  return to_lua(select("#", ...), ...)
end

--- A value that a Lua function returned, its first one.
-- @param any
-- @return the same, or an undefined for nil
function value.from_lua(any)
  if any == nil then return value.undefined(nil, "the function returned nothing") end
  return any
end

return value
