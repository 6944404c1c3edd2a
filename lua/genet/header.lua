--- Headers with parameters: `form-data; name="a"; filename="b.txt"`.
-- @module genet.header

local url = require "genet.url"

local find, gsub, lower = string.find, string.gsub, string.lower
local match, sub = string.match, string.sub

local header = {}

local function latin1(bytes)
  return (gsub(bytes, "[\128-\255]", function(char) return utf8.char(char:byte()) end))
end

-- The value of `name*=UTF-8''caf%C3%A9` (RFC 8187); nil when it is broken.
local function decode_extended(value)
  local charset, encoded = match(value, "^([^']*)'[^']*'(.*)$")
  if not charset or find(gsub(encoded, "%%%x%x", ""), "[^%w!#$&+.^_`|~-]") then return nil end
  local bytes = url.decode_path("/" .. encoded)
  charset = lower(charset)
  if not bytes or find(bytes, "[%z\1-\31\127]") then return nil end
  if charset == "utf-8" then return utf8.len(bytes) and sub(bytes, 2) end
  return charset == "iso-8859-1" and sub(latin1(bytes), 2) or nil
end

-- A quoted text from its first quote on, and where what follows begins. Only quotes and
-- backslashes are escaped by backslashes: some send the paths of Windows as they are.
local function quoted_at(text, from)
  local at = from + 1
  while true do
    local mark = find(text, '["\\]', at)
    if not mark then break end
    if sub(text, mark, mark) == '"' then
      return gsub(sub(text, from + 1, mark - 1), '\\(["\\])', "%1"), mark + 1
    end
    at = mark + 2
  end
  local stop = find(text, '"', from + 1, true) -- the name ends with a backslash that is its own
  if stop then return sub(text, from + 1, stop - 1), stop + 1 end
end

local function value_at(text, from)
  if sub(text, from, from) ~= '"' then return match(text, "^([^;%s\"]*)()", from) end
  local value, after = quoted_at(text, from)
  return value, after
end

-- The parameters that follow a value; nil when they are broken, or one is there twice.
local function parameters(text, at)
  local found = {}
  while true do
    local semicolon = match(text, "^[ \t]*;[ \t]*()", at)
    if not semicolon then return find(text, "^[ \t]*$", at) and found or nil end
    at = semicolon
    local name, after = match(text, "^([%w!#$%%&'*+.^_`|~-]+)[ \t]*=[ \t]*()", at)
    if name then
      local value, stop = value_at(text, after)
      name = lower(name)
      if not value or found[name] then return nil end
      found[name], at = value, stop
    elseif not find(text, "^[;%s]", at) and at <= #text then
      return nil
    end
  end
end

-- The parameters with those of the form `name*` in place of the plain ones.
local function decode_all(found)
  local decoded = {}
  for name, value in pairs(found) do
    local plain = match(name, "^(.+)%*$")
    if plain then value = decode_extended(value) end
    if not value then return nil end
    if plain or not found[name .. "*"] then decoded[plain or name] = value end
  end
  return decoded
end

--- The value of a header, and its parameters by name, in lower case. One of the form `name*` stands
-- in place of the plain one, decoded.
-- @tparam string text
-- @treturn[1] string the value, in lower case
-- @treturn[1] table
-- @treturn[2] nil when it is broken
-- @usage header.parse('form-data; name="a \\"b\\""') --> "form-data", {name = 'a "b"'}
function header.parse(text)
  local value, after = match(text, "^[ \t]*([^;%s]+)()")
  local found = value and parameters(text, after)
  if not found then return nil end
  found = decode_all(found)
  return found and lower(value), found
end

return header
