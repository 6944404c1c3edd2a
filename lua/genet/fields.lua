--- Named values that came with a request, in which a name may come more than once.
-- Reading a name gives its first value, `getlist` gives all of them:
--
--     req.args.tag             --> "a"            for ?tag=a&tag=b
--     req.args:list("tag")     --> {"a", "b"}
--
-- @module genet.fields

local check = require "genet.check"
local exchange = require "genet.exchange"

local fields = {}

local methods = {}

--- All values of a name, in the order they came; an empty table when there is none.
-- @function fields:getlist
-- @tparam string name
-- @treturn {string,...}
-- @usage for _, tag in ipairs(req.args:getlist("tag")) do print(tag) end
function methods:getlist(name)
  local flat, values = getmetatable(self).flat, {}
  for at = 1, #flat, 2 do
    if flat[at] == name then values[#values + 1] = flat[at + 1] end
  end
  return values
end

--- The same.
-- @function fields:list
-- @tparam string name
-- @treturn {string,...}
methods.list = methods.getlist

local READERS = {
  integer = function(value) return math.tointeger(tonumber(value)) end,
  number = tonumber,
}

local function read_as(value, kind)
  local read = READERS[kind] or kind
  if not check.is_callable(read) then
    error(("fields:get: 'integer', 'number' or a function was expected, not '%s'")
      :format(tostring(kind)), 3)
  end
  return read(value)
end

--- The first value of a name, or what stands in for one that is missing or unfit.
-- @function fields:get
-- @tparam string name
-- @param ?default
-- @tparam ?string|function kind `"integer"`, `"number"`, or a function that gives nil for what does
--   not fit
-- @return the value
-- @usage local page = req.args:get("page", 1, "integer")
function methods:get(name, default, kind)
  local value = methods.getlist(self, name)[1]
  if value ~= nil and kind then value = read_as(value, kind) end
  if value == nil then return default end
  return value
end

--- A table of named values. A field that is itself called like a method does not hide that: it is
-- read with `get("list")`.
-- @tparam {string,...} flat name, value, name, value ...
-- @treturn table first values by name
-- @usage fields.new{"tag", "a", "tag", "b"}.tag --> "a"
function fields.new(flat)
  local first = {}
  for at = 1, #flat, 2 do
    local name = flat[at]
    if first[name] == nil and not methods[name] then first[name] = flat[at + 1] end
  end
  return setmetatable(first, {__index = methods, flat = flat})
end

local header_methods = {}

-- `user_agent` reads `User-Agent`. A name with a real underscore cannot be read this way, on
-- purpose: a client could send `X_Real_IP` to pass for the `X-Real-IP` a proxy sets.
local function header_name(name)
  return (name:gsub("_", "-"))
end

--- All values of a header, one for each line it came in.
-- @function headers:getlist
-- @tparam string name in any case, with `_` or `-`
-- @treturn {string,...}
-- @usage req.headers:getlist("accept") --> {"text/html"}
function header_methods:getlist(name)
  local flat, values = exchange.headers(getmetatable(self).x), {}
  name = header_name(name):lower()
  for at = 1, #flat, 2 do
    if flat[at]:lower() == name then values[#values + 1] = flat[at + 1] end
  end
  return values
end

header_methods.list = header_methods.getlist

--- A header, or what stands in for one that is missing.
-- @function headers:get
-- @tparam string name in any case, with `_` or `-`
-- @param ?default
-- @return its value
-- @usage req.headers:get("Accept-Language", "en")
function header_methods:get(name, default)
  local value = exchange.header(getmetatable(self).x, header_name(name))
  if value == nil then return default end
  return value
end

local function read_header(self, name)
  if type(name) ~= "string" then return nil end
  return header_methods[name] or exchange.header(getmetatable(self).x, header_name(name))
end

local function each_header(self)
  local flat, at = exchange.headers(getmetatable(self).x), -1
  return function()
    at = at + 2
    return flat[at], flat[at + 1]
  end
end

local function refuse()
  error("the headers of a request cannot be changed", 2)
end

--- The headers of a request: read in any case, with `_` for `-`; `pairs` gives every line.
-- @tparam integer x the number of the exchange
-- @treturn table
-- @usage req.headers.user_agent, req.headers["Content-Type"]
function fields.headers(x)
  return setmetatable({}, {
    __index = read_header,
    __newindex = refuse,
    __pairs = each_header,
    x = x,
  })
end

return fields
