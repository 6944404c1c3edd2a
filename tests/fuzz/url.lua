-- What url.c checks with each input: genet.url and genet.fields against decoders that go byte by
-- byte, their results through the encoders and back, and the time that long inputs take.

package.preload["genet.exchange"] = function() return {} end -- for headers, which are not used

local fields = require "genet.fields"
local url = require "genet.url"

local LONG = 32768 -- bytes
local LONG_SECONDS = 0.25 -- of processor time: far more than it takes, too little if quadratic

-- The bytes that `text` stands for, and how many of its escapes are broken.
local function decode_slowly(text, plus)
  local bytes, at, broken = {}, 1, 0
  while at <= #text do
    local byte, hex = text:sub(at, at), text:match("^%x%x", at + 1)
    if byte == "%" and hex then
      byte = string.char(tonumber(hex, 16))
      at = at + 2
    elseif byte == "%" then
      broken = broken + 1
    elseif byte == "+" then
      byte = plus
    end
    bytes[#bytes + 1] = byte
    at = at + 1
  end
  return table.concat(bytes), broken
end

local function check_path(text)
  local path = url.decode_path(text)
  local slowly, broken = decode_slowly(text, "+")
  if broken > 0 or text:find("%00", 1, true) then
    assert(path == nil, "a path that should be refused")
  else
    assert(path == slowly and #path <= #text, "a path decoded wrongly")
  end
end

local function check_encoders(text)
  local path, reference = url.encode_path(text), url.encode_reference(text)
  assert(not path:find("[^\33-\126]") and not path:find('[?#"<>\\^`{|}]') and #path <= 3 * #text)
  assert(not reference:find("[^\33-\126]") and url.encode_reference(reference) == reference)
  if text:find("\0", 1, true) then
    assert(url.decode_path(path) == nil)
  else
    assert(url.decode_path(path) == text, "a path that does not come back")
  end
end

local function split_slowly(text)
  local flat = {}
  for field in (text .. "&"):gmatch("(.-)&") do
    if field ~= "" then
      local equals = field:find("=", 1, true)
      flat[#flat + 1] = decode_slowly(equals and field:sub(1, equals - 1) or field, " ")
      flat[#flat + 1] = decode_slowly(equals and field:sub(equals + 1) or "", " ")
    end
  end
  return flat
end

local function assert_same(flat, expected)
  assert(#flat == #expected, "another number of fields")
  for at, text in ipairs(expected) do assert(flat[at] == text, "another name or value") end
end

local function encode_value(text)
  return (text:gsub("%W", function(byte) return ("%%%02x"):format(byte:byte()) end))
end

local function encode_form(flat)
  local parts = {}
  for at = 1, #flat, 2 do
    parts[#parts + 1] = encode_value(flat[at]) .. "=" .. encode_value(flat[at + 1])
  end
  return table.concat(parts, "&")
end

local function check_fields(flat)
  local read, values = fields.new(flat), {}
  for at = 1, #flat, 2 do
    values[flat[at]] = values[flat[at]] or {}
    table.insert(values[flat[at]], flat[at + 1])
  end
  for name, expected in pairs(values) do
    assert_same(read:getlist(name), expected)
    assert(read[name] == expected[1] or name == "getlist", "not the first value")
  end
end

local function check_form(text)
  local flat = url.parse_query(text)
  assert(#table.concat(flat) <= #text, "longer than it came")
  assert_same(flat, split_slowly(text))
  assert_same(url.parse_query(encode_form(flat)), flat)
  check_fields(flat)
end

-- It takes its time, so only an input that ends in "@" asks for it.
local function check_time(text)
  if text:sub(-1) ~= "@" then return end
  local long = text:rep(LONG // #text)
  local start = os.clock()
  url.decode_path(long)
  url.encode_path(long)
  fields.new(url.parse_query(long))
  assert(os.clock() - start < LONG_SECONDS, "too slow")
end

local function check(text)
  check_path(text)
  check_encoders(text)
  check_form(text)
end

return check, check_time
