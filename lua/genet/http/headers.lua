--- The headers of a response: read in any case, with `_` for `-`; a name gives its first value,
-- `getlist` all of them, `pairs` every line.
--
--     response.headers.content_type              --> "text/html"
--     response.headers:getlist("Set-Cookie")     --> {"a=1", "b=2"}
--
-- @module genet.http.headers

local headers = {}

local methods = {}

local function key_of(name)
  return (name:gsub("_", "-"):lower())
end

--- All values of a header, one for each line it came in.
-- @function headers:getlist
-- @tparam string name in any case, with `_` or `-`
-- @treturn {string,...}
-- @usage response.headers:getlist("set-cookie") --> {"a=1", "b=2"}
function methods:getlist(name)
  local flat, values = getmetatable(self).flat, {}
  name = key_of(name)
  for at = 1, #flat, 2 do
    if flat[at]:lower() == name then values[#values + 1] = flat[at + 1] end
  end
  return values
end

local function read(self, name)
  if type(name) ~= "string" then return nil end
  return methods[name] or methods.getlist(self, name)[1]
end

local function refuse()
  error("the headers of a response cannot be changed", 2)
end

local function each(self)
  local flat, at = getmetatable(self).flat, -1
  return function()
    at = at + 2
    return flat[at], flat[at + 1]
  end
end

--- Headers as they came.
-- @tparam {string,...} flat name, value, name, value ...
-- @treturn table
-- @usage headers.new{"Content-Type", "text/html"}.content_type --> "text/html"
function headers.new(flat)
  return setmetatable({}, {__index = read, __newindex = refuse, __pairs = each, flat = flat})
end

return headers
