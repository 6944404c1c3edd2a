--- Percent encoding and query strings.
-- @module genet.url

local byte, char, find, format = string.byte, string.char, string.find, string.format
local gmatch, gsub, match = string.gmatch, string.gsub, string.match

local url = {}

local DECODED = {}
for code = 0, 255 do
  local low, high = format("%02x", code), format("%02X", code)
  local mixed = {low, high, low:sub(1, 1) .. high:sub(2), high:sub(1, 1) .. low:sub(2)}
  for _, hex in ipairs(mixed) do DECODED[hex] = char(code) end
end

local function encode_byte(text)
  return format("%%%02X", byte(text))
end

--- The path of a request as its sender meant it.
-- @tparam string path as it came, percent-encoded
-- @treturn[1] string the decoded path
-- @treturn[2] nil when an escape is broken or stands for a NUL byte
-- @usage url.decode_path("/caf%C3%A9") --> "/café"
function url.decode_path(path)
  if not find(path, "%", 1, true) then return path end
  if find(path, "%%00") or find(gsub(path, "%%%x%x", ""), "%", 1, true) then return nil end
  return (gsub(path, "%%(%x%x)", DECODED))
end

--- A path with everything encoded that a URL does not allow in one.
-- @tparam string path decoded
-- @treturn string
-- @usage url.encode_path("/two words") --> "/two%20words"
function url.encode_path(path)
  return (gsub(path, "[^%w%-._~!$&'()*+,/:;=@]", encode_byte))
end

--- A name or a value for a query string.
-- @tparam string text
-- @treturn string
-- @usage url.encode_value("a b&c") --> "a%20b%26c"
function url.encode_value(text)
  return (gsub(text, "[^%w%-._~]", encode_byte))
end

--- What follows the `#` of a reference.
-- @tparam string text
-- @treturn string
-- @usage url.encode_fragment("part two") --> "part%20two"
function url.encode_fragment(text)
  return (gsub(text, "[^%w%-._~!$&'()*+,/:;=?@]", encode_byte))
end

--- A whole reference (path and query) made safe to send: blanks, control bytes and bytes
-- beyond ASCII are encoded, everything else is left as it is.
-- @tparam string reference
-- @treturn string
-- @usage url.encode_reference("/two words?q=1") --> "/two%20words?q=1"
function url.encode_reference(reference)
  return (gsub(reference, "[^\33-\126]", encode_byte))
end

--- A value of a query string or a form, decoded: `+` is a blank, a broken escape stays as it is.
-- @tparam string text
-- @treturn string
-- @usage url.decode_value("a+b%21") --> "a b!"
function url.decode_value(text)
  if not find(text, "[+%%]") then return text end
  return (gsub(gsub(text, "+", " "), "%%(%x%x)", DECODED))
end

--- The names and values of a query string or a form, in their order.
-- @tparam string query such as `a=1&b=2`
-- @treturn table a flat array: name, value, name, value ...
-- @usage url.parse_query("tag=a&tag=b") --> {"tag", "a", "tag", "b"}
function url.parse_query(query)
  local pairs_read, count = {}, 0
  for field in gmatch(query, "[^&]+") do
    local name, value = match(field, "^([^=]*)=(.*)$")
    pairs_read[count + 1] = url.decode_value(name or field)
    pairs_read[count + 2] = url.decode_value(value or "")
    count = count + 2
  end
  return pairs_read
end

return url
