--- The functions that every template has: `range`, `dict`, `cycler`, `joiner`, `namespace`,
-- `lipsum`.
-- @module genet.template.namespace

local container_methods = require "genet.template.container_methods"
local raise = require "genet.template.raise"
local value = require "genet.template.value"

local namespace = {globals = {}}

local globals = namespace.globals

-- A function that sees its arguments as the template has them, and a dict of those given by name.
local Builtin = {__template = "object", name = "function"}

function Builtin.call(builtin, state, named, ...)
  return builtin.fn(named, state, ...)
end

function Builtin.__call(builtin, ...)
  return builtin.fn(nil, nil, ...)
end

function Builtin.attr()
  return nil
end

local function define(name, fn)
  globals[name] = setmetatable({fn = fn}, Builtin)
end

-- ---- namespaces ----

local Namespace = {__template = "object", name = "Namespace"}

function Namespace.attr(object, name)
  return object.entries[name]
end

function Namespace.repr(object, repr)
  return ("<Namespace %s>"):format(repr(object.entries))
end

define("namespace", function(named, _, other)
  local entries = value.dict()
  container_methods.update(entries, other)
  container_methods.update(entries, named)
  return setmetatable({entries = entries}, Namespace)
end)

--- `{% set ns.field = any %}`.
-- @param object
-- @tparam string field
-- @param any
-- @raise when the object is no namespace
function namespace.set(object, field, any)
  if getmetatable(object) ~= Namespace then
    raise.runtime("cannot assign attribute on non-namespace object")
  end
  object.entries[field] = any
end

-- ---- cyclers and joiners ----

local Cycler = {__template = "object", name = "Cycler"}

local function advance(cycler)
  local item = cycler.items[cycler.at]
  cycler.at = cycler.at % #cycler.items + 1
  return item
end

function Cycler.attr(cycler, name)
  if name == "current" then return cycler.items[cycler.at] end
  if name == "next" then return function() return advance(cycler) end end
  if name == "reset" then return function() cycler.at = 1 end end
end

define("cycler", function(_, _, ...)
  if select("#", ...) == 0 then raise.runtime("at least one item has to be provided") end
  return setmetatable({items = {...}, at = 1}, Cycler)
end)

local Joiner = {__template = "object", name = "Joiner"}

function Joiner.attr(joiner, name)
  return name == "sep" and joiner.separator or name == "used" and joiner.used or nil
end

function Joiner.call(joiner)
  if joiner.used then return joiner.separator end
  joiner.used = true
  return ""
end

define("joiner", function(named, _, separator)
  if separator == nil then separator = named and named.sep or ", " end
  return setmetatable({separator = separator, used = false}, Joiner)
end)

-- ---- dicts and ranges ----

define("dict", function(named, _, other)
  local dict = value.dict()
  container_methods.update(dict, other)
  container_methods.update(dict, named)
  return dict
end)

local MOST = 10000000

local function integer(any)
  if value.is_undefined(any) then value.fail_undefined(any) end
  if math.type(any) ~= "integer" then
    raise.runtime("'%s' object cannot be interpreted as an integer", value.type_name(any))
  end
  return any
end

define("range", function(_, _, start, stop, step)
  if stop == nil then start, stop = 0, start end
  start, stop, step = integer(start), integer(stop), integer(step or 1)
  if step == 0 then raise.runtime("range() arg 3 must not be zero") end
  if (stop - start) // step > MOST then raise.runtime("a range of more than %d numbers", MOST) end
  local list, count = {}, 0
  for number = start, stop - (step > 0 and 1 or -1), step do
    count = count + 1
    list[count] = number
  end
  return list
end)

-- ---- filler text ----

local WORDS = {}
for word in ([[a ac accumsan ad adipiscing aliquam amet ante arcu at augue bibendum blandit
  commodo condimentum congue consectetuer cras cubilia curae cursus dapibus diam dictum dolor
  donec dui egestas eget eleifend elit enim erat eros est et etiam eu euismod facilisis fames
  felis fermentum fringilla fusce gravida habitant iaculis id in integer ipsum justo lacinia
  lacus laoreet lectus leo libero ligula lobortis lorem luctus maecenas magna malesuada massa
  mattis mauris metus mi molestie mollis morbi nam nec neque nibh nisi nisl non nulla nunc odio
  orci ornare pede pellentesque pharetra porta porttitor posuere pretium primis proin pulvinar
  purus quam quis rhoncus risus rutrum sagittis sapien sed sem semper sit sociis sodales
  suscipit suspendisse tellus tempor tempus tincidunt tortor tristique turpis ullamcorper
  ultrices urna ut varius vel velit vestibulum vitae vivamus volutpat vulputate]])
  :gmatch("%a+") do
  WORDS[#WORDS + 1] = word
end

local function paragraph(least, most)
  local words = {}
  for at = 1, math.random(least, math.max(least, most - 1)) do
    words[at] = WORDS[math.random(#WORDS)]
    if at > 1 and at % 9 == 0 then words[at] = words[at] .. "," end
  end
  local written = table.concat(words, " "):gsub(",$", "")
  return written:sub(1, 1):upper() .. written:sub(2) .. "."
end

define("lipsum", function(named, state, count, html, least, most)
  named = named or {}
  count, least, most = count or named.n or 5, least or named.min or 20, most or named.max or 100
  if html == nil then html = named.html end
  local paragraphs = {}
  for at = 1, count do paragraphs[at] = paragraph(least, most) end
  if html == false then return table.concat(paragraphs, "\n\n") end
  for at = 1, count do paragraphs[at] = "<p>" .. paragraphs[at] .. "</p>" end
  return state and value.markup(table.concat(paragraphs, "\n")) or table.concat(paragraphs, "\n")
end)

return namespace
