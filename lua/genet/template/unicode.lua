--- Strings as sequences of characters, as Python sees them. Bytes that are not UTF-8 are
-- characters of their own.
-- @module genet.template.unicode

local value = require "genet.template.value"

local char, find, gsub, sub = utf8.char, string.find, string.gsub, string.sub
local codepoint = utf8.codepoint

local unicode = {}

local CHARACTER = "[\1-\127\194-\244\0][\128-\191]*"

local function is_ascii(text)
  return not find(text, "[\128-\255]")
end

--- The number of characters.
-- @tparam string text
-- @treturn integer
function unicode.length(text)
  if is_ascii(text) then return #text end
  return utf8.len(text) or select(2, gsub(text, CHARACTER, ""))
end

--- The characters from `first` to `last`, counted from 1.
-- @tparam string text
-- @tparam integer first at least 1
-- @tparam integer last
-- @treturn string
function unicode.sub(text, first, last)
  if is_ascii(text) then return sub(text, first, last) end
  local list, count = value.characters(text)
  if last > count then last = count end
  return first <= last and table.concat(list, "", first, last) or ""
end

-- Letters in pairs: the code of a small letter minus `shift` is that of the capital; with `pairs`
-- the two stand side by side, the capital at even codes, or at odd ones with `odd`.
local RANGES = {
  {0xE0, 0xFE, shift = 32}, {0x101, 0x137, pairs = true}, {0x13A, 0x148, pairs = true, odd = true},
  {0x14B, 0x177, pairs = true}, {0x17A, 0x17E, pairs = true, odd = true},
  {0x3AD, 0x3AF, shift = 37}, {0x3B1, 0x3C1, shift = 32}, {0x3C3, 0x3CB, shift = 32},
  {0x430, 0x44F, shift = 32}, {0x450, 0x45F, shift = 80}, {0x461, 0x481, pairs = true},
  {0x48B, 0x4BF, pairs = true}, {0x4D1, 0x52F, pairs = true}, {0x561, 0x586, shift = 48},
  {0x1E01, 0x1E95, pairs = true}, {0x1EA1, 0x1EFF, pairs = true},
}

local UPPER, LOWER = {}, {}

local function pair(small, capital)
  UPPER[char(small)], LOWER[char(capital)] = char(capital), char(small)
end

local function add_range(range)
  for code = range[1], range[2], range.pairs and 2 or 1 do
    if code ~= 0xF7 and code ~= 0x131 then pair(code, code - (range.shift or 1)) end
  end
end

for _, range in ipairs(RANGES) do add_range(range) end
pair(0xFF, 0x178)
pair(0x3AC, 0x386)
pair(0x3CC, 0x38C)
pair(0x3CD, 0x38E)
pair(0x3CE, 0x38F)
UPPER["ß"] = "SS"
UPPER["µ"] = "Μ"
UPPER["ς"] = "Σ"
UPPER["ı"] = "I"
LOWER["İ"] = "i̇"

local function map(text, ascii, letters)
  if is_ascii(text) then return ascii(text) end
  return (gsub(ascii(text), "[\194-\244][\128-\191]+", letters))
end

--- A text in capitals: Latin, Greek, Cyrillic and Armenian letters are known.
-- @tparam string text
-- @treturn string
function unicode.upper(text)
  return map(text, string.upper, UPPER)
end

--- A text in small letters.
-- @tparam string text
-- @treturn string
function unicode.lower(text)
  return map(text, string.lower, LOWER)
end

--- A text whose first letter is a capital and all others are small.
-- @tparam string text
-- @treturn string
function unicode.capitalize(text)
  if is_ascii(text) then return sub(text, 1, 1):upper() .. sub(text, 2):lower() end
  local first = text:match("^" .. CHARACTER) or ""
  return unicode.upper(first) .. unicode.lower(sub(text, #first + 1))
end

--- Whether a character is a letter that can be a capital or small.
-- @tparam string one a character
-- @treturn boolean
function unicode.is_cased(one)
  return find(one, "^%a$") ~= nil or UPPER[one] ~= nil or LOWER[one] ~= nil
end

--- Whether a character is a letter or digit.
-- @tparam string one a character
-- @treturn boolean
function unicode.is_alphanumeric(one)
  if #one == 1 then return find(one, "%w") ~= nil end
  if UPPER[one] or LOWER[one] then return true end
  local code = utf8.len(one) and codepoint(one) or 0
  return code == 0xAA or code == 0xBA or code >= 0xDF and not (code >= 0x2000 and code <= 0x2BFF)
    and not (code >= 0x3000 and code <= 0x303F) and code ~= 0xF7 and code < 0x1F000
end

--- The characters in the opposite order.
-- @tparam string text
-- @treturn string
function unicode.reverse(text)
  if is_ascii(text) then return text:reverse() end
  local list, count = value.characters(text)
  local reversed = {}
  for at = 1, count do reversed[at] = list[count + 1 - at] end
  return table.concat(reversed)
end

return unicode
