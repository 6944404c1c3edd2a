--- The methods of Python's strings, and those of markups; see `genet.template.methods`.
-- @module genet.template.string_methods

local raise = require "genet.template.raise"
local text = require "genet.template.text"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local string_methods = {}

local none = value.none

local function given(any)
  if any == nil or any == none then return nil end
  return any
end

local function string_of(any, what)
  local string = value.text(any)
  if not string then
    raise.runtime("%s must be str, not %s", what or "argument", value.type_name(any))
  end
  return string
end

local WHITE = " \t\n\r\v\f"

local function set_of(chars)
  local set = {}
  for _, char in ipairs((value.characters(chars))) do set[char] = true end
  return set
end

--- A string without the characters of `chars` at its ends.
-- @tparam string string
-- @tparam ?string chars white space unless told
-- @tparam ?string side `left` or `right`, both unless told
-- @treturn string
function string_methods.strip(string, chars, side)
  local set = set_of(given(chars) and string_of(chars) or WHITE)
  local list, last = value.characters(string)
  local first = 1
  while side ~= "right" and first <= last and set[list[first]] do first = first + 1 end
  while side ~= "left" and last >= first and set[list[last]] do last = last - 1 end
  return table.concat(list, "", first, last)
end

local function split_white(string, limit)
  local parts, at = {}, string:find("%S")
  while at do
    if limit >= 0 and #parts == limit then
      parts[#parts + 1] = string:sub(at):gsub("%s+$", "")
      break
    end
    local stop = string:find("%s", at) or #string + 1
    parts[#parts + 1] = string:sub(at, stop - 1)
    at = string:find("%S", stop)
  end
  return parts
end

local function split(string, separator, limit)
  limit = given(limit) or -1
  if not given(separator) then return split_white(string, limit) end
  separator = string_of(separator, "separator")
  if separator == "" then raise.runtime("empty separator") end
  local parts, at = {}, 1
  while limit < 0 or #parts < limit do
    local from, to = string:find(separator, at, true)
    if not from then break end
    parts[#parts + 1] = string:sub(at, from - 1)
    at = to + 1
  end
  parts[#parts + 1] = string:sub(at)
  return parts
end

local function reversed(list)
  local other = {}
  for at = #list, 1, -1 do other[#other + 1] = list[at] end
  return other
end

local function rsplit(string, separator, limit)
  local back = given(separator) and string_of(separator):reverse() or nil
  local parts = split(string:reverse(), back, limit)
  for at, part in ipairs(parts) do parts[at] = part:reverse() end
  return reversed(parts)
end

--- The lines of a string, without their ends.
-- @tparam string string
-- @tparam ?boolean keep_ends
-- @treturn table
function string_methods.lines(string, keep_ends)
  local lines, at = {}, 1
  while at <= #string do
    local from, to = string:find("\r?[\n\r\v\f]", at)
    if not from then from, to = #string + 1, #string end
    lines[#lines + 1] = string:sub(at, keep_ends == true and to or from - 1)
    at = math.max(to, from) + 1
  end
  return lines
end

--- A string with one part replaced by another.
-- @tparam string string
-- @tparam string old
-- @tparam string new
-- @tparam ?integer limit all of them unless told
-- @treturn string
function string_methods.replace(string, old, new, limit)
  limit = given(limit) or -1
  if old == "" then
    local list = value.characters(string)
    for at = 1, limit < 0 and #list or math.min(#list, limit) do list[at] = new .. list[at] end
    return table.concat(list) .. (limit < 0 and new or "")
  end
  if limit < 0 then limit = nil end
  local pattern = old:gsub("%p", "%%%0")
  return (string:gsub(pattern, (new:gsub("%%", "%%%%")), limit))
end

-- The words of a string with their first letters in capitals.
local function title(string)
  local parts, inside = {}, false
  for at, char in ipairs((value.characters(string))) do
    parts[at] = inside and unicode.lower(char) or unicode.upper(char)
    inside = unicode.is_cased(char)
  end
  return table.concat(parts)
end

local function swapcase(string)
  local parts = {}
  for at, char in ipairs((value.characters(string))) do
    local lower = unicode.lower(char)
    parts[at] = lower == char and unicode.upper(char) or lower
  end
  return table.concat(parts)
end

local function begins(string, start)
  return string:sub(1, #start) == start
end

local function ends(string, tail)
  return tail == "" or string:sub(-#tail) == tail
end

-- A method that asks whether one of several strings fits.
local function any_of(fits)
  return function(string, what)
    if not value.is_tuple(what) then return fits(string, string_of(what)) end
    for _, each in ipairs(what) do
      if fits(string, string_of(each)) then return true end
    end
    return false
  end
end

local function fill(string, width, char, left)
  char = given(char) and string_of(char) or " "
  local missing = math.max(width - unicode.length(string), 0)
  local before = left(missing, width)
  return char:rep(before) .. string .. char:rep(missing - before)
end

--- A string in the middle of a width.
-- @tparam string string
-- @tparam integer width
-- @tparam ?string char what stands around it
-- @treturn string
function string_methods.center(string, width, char)
  return fill(string, width, char, function(missing, wide)
    return missing // 2 + (missing & wide & 1)
  end)
end

local function find(string, part, start)
  start = given(start) or 0
  local from = string:find(string_of(part), utf8.offset(string, start + 1) or 1, true)
  return from and unicode.length(string:sub(1, from - 1)) or -1
end

local function rfind(string, part)
  local last, at = -1, 1
  part = string_of(part)
  while true do
    local from = string:find(part, at, true)
    if not from or from > #string then break end
    last, at = from, from + 1
  end
  return last > 0 and unicode.length(string:sub(1, last - 1)) or -1
end

local function required(search)
  return function(...)
    local at = search(...)
    if at < 0 then raise.runtime("substring not found") end
    return at
  end
end

local function count(string, part)
  part = string_of(part)
  if part == "" then return unicode.length(string) + 1 end
  return select(2, string:gsub((part:gsub("%p", "%%%0")), ""))
end

local function every(test)
  return function(string)
    local list, length = value.characters(string)
    for at = 1, length do
      if not test(list[at]) then return false end
    end
    return length > 0
  end
end

--- Whether a string has letters and all are small.
-- @tparam string string
-- @treturn boolean
function string_methods.is_lower(string)
  return unicode.lower(string) == string and unicode.upper(string) ~= string
end

--- Whether a string has letters and all are capitals.
-- @tparam string string
-- @treturn boolean
function string_methods.is_upper(string)
  return unicode.upper(string) == string and unicode.lower(string) ~= string
end

local function partition(string, separator, last)
  separator = string_of(separator)
  local from = last and rfind(string, separator) or find(string, separator)
  if from < 0 then
    return value.tuple(last and {"", "", string} or {string, "", ""})
  end
  local at = utf8.offset(string, from + 1)
  return value.tuple{string:sub(1, at - 1), separator, string:sub(at + #separator)}
end

local function join(separator, items)
  local list, length = value.list(items)
  for at = 1, length do list[at] = string_of(list[at], "sequence item") end
  return table.concat(list, separator)
end

local function zfill(string, width)
  local sign, rest = string:match("^([-+]?)(.*)$")
  return sign .. ("0"):rep(width - unicode.length(string)) .. rest
end

local function expand_tabs(string, size)
  size = given(size) or 8
  local parts = {}
  for line, stop in string:gmatch("([^\n]*)(\n?)") do
    local expanded = ""
    for part, tab in line:gmatch("([^\t]*)(\t?)") do
      expanded = expanded .. part
      if tab ~= "" then
        expanded = expanded .. (" "):rep(size - unicode.length(expanded) % size)
      end
    end
    parts[#parts + 1] = expanded .. stop
  end
  return table.concat(parts)
end

local function without_prefix(string, prefix)
  return begins(string, string_of(prefix)) and string:sub(#prefix + 1) or string
end

local function without_suffix(string, suffix)
  return ends(string, string_of(suffix)) and string:sub(1, -#suffix - 1) or string
end

local function each_line(string, keep_ends)
  return string_methods.lines(string, given(keep_ends))
end

string_methods.strings = {
  upper = {unicode.upper},
  lower = {unicode.lower},
  casefold = {unicode.lower},
  capitalize = {unicode.capitalize},
  title = {title},
  swapcase = {swapcase},
  strip = {string_methods.strip, "chars"},
  lstrip = {function(s, chars) return string_methods.strip(s, chars, "left") end, "chars"},
  rstrip = {function(s, chars) return string_methods.strip(s, chars, "right") end, "chars"},
  split = {split, "sep", "maxsplit"},
  rsplit = {rsplit, "sep", "maxsplit"},
  splitlines = {each_line, "keepends"},
  join = {join, "iterable"},
  replace = {function(s, old, new, limit)
    return string_methods.replace(s, string_of(old), string_of(new), limit)
  end, "old", "new", "count"},
  startswith = {any_of(begins), "prefix"},
  endswith = {any_of(ends), "suffix"},
  removeprefix = {without_prefix, "prefix"},
  removesuffix = {without_suffix, "suffix"},
  find = {find, "sub", "start"},
  rfind = {rfind, "sub"},
  index = {required(find), "sub", "start"},
  rindex = {required(rfind), "sub"},
  count = {count, "sub"},
  center = {string_methods.center, "width", "fillchar"},
  ljust = {function(s, width, char)
    return fill(s, width, char, function() return 0 end)
  end, "width", "fillchar"},
  rjust = {function(s, width, char)
    return fill(s, width, char, function(missing) return missing end)
  end, "width", "fillchar"},
  zfill = {zfill, "width"},
  expandtabs = {expand_tabs, "tabsize"},
  partition = {partition, "sep"},
  rpartition = {function(s, separator) return partition(s, separator, true) end, "sep"},
  isdigit = {every(function(c) return c:find("^%d$") ~= nil end)},
  isdecimal = {every(function(c) return c:find("^%d$") ~= nil end)},
  isnumeric = {every(function(c) return c:find("^%d$") ~= nil end)},
  isalpha = {every(function(c) return unicode.is_alphanumeric(c) and not c:find("%d") end)},
  isalnum = {every(unicode.is_alphanumeric)},
  isspace = {every(function(c) return c:find("^%s$") ~= nil end)},
  islower = {string_methods.is_lower},
  isupper = {string_methods.is_upper},
  istitle = {function(s) return title(s) == s and s:find("%a") ~= nil end},
}

-- Methods that return a part of the string, or one like it: a markup's are markups again.
local KEEPS = {}
for name in ("upper lower casefold capitalize title swapcase strip lstrip rstrip split rsplit"
  .. " splitlines partition rpartition join replace center ljust rjust zfill expandtabs"
  .. " removeprefix removesuffix")
  :gmatch("%S+") do
  KEEPS[name] = true
end

-- What goes into a markup is escaped first.
local ESCAPES = {join = true, replace = true, center = true, ljust = true, rjust = true}

local function escaped_items(items)
  local list, length = value.list(items)
  for at = 1, length do list[at] = text.to_markup(list[at]).text end
  return list
end

local function mark(any)
  if type(any) == "string" then return value.markup(any) end
  if type(any) ~= "table" then return any end
  for at = 1, #any do any[at] = value.markup(any[at]) end
  return any
end

local function escape_arguments(name, first, second)
  if name == "join" then return escaped_items(first), second end
  if second ~= nil then second = text.to_markup(second) end
  return first, second
end

-- A method of strings as one of markups.
local function for_markup(name, method)
  local fn = method[1]
  return function(markup, first, second, third)
    if ESCAPES[name] then first, second = escape_arguments(name, first, second) end
    local result = fn(markup.text, first, second, third)
    return KEEPS[name] and mark(result) or result
  end
end

local markups = {
  striptags = {function(markup) return value.markup(string_methods.strip_tags(markup.text)) end},
  unescape = {function(markup) return string_methods.unescape(markup.text) end},
}
for name, method in pairs(string_methods.strings) do
  markups[name] = {for_markup(name, method), table.unpack(method, 2)}
end

local NAMED_ENTITIES = {
  amp = "&", lt = "<", gt = ">", quot = "\"", apos = "'", nbsp = "\u{A0}", copy = "©", reg = "®",
  raquo = "»", laquo = "«", mdash = "—", ndash = "–", hellip = "…", euro = "€", times = "×",
}

--- A text with HTML's usual entities as the characters that they stand for.
-- @tparam string string
-- @treturn string
function string_methods.unescape(string)
  return (string:gsub("&(#?)([xX]?)(%w+);", function(number, hex, name)
    if number == "" then return NAMED_ENTITIES[hex .. name] end
    local code = tonumber(name, hex ~= "" and 16 or 10)
    return code and code < 0x110000 and utf8.char(code) or nil
  end))
end

--- The text of a page: no tags, no comments, single blanks.
-- @tparam string string
-- @treturn string
function string_methods.strip_tags(string)
  string = string:gsub("<!%-%-.-%-%->", ""):gsub("<[^>]*>", "")
  return string_methods.unescape(table.concat(split_white(string, -1), " "))
end

--- The methods of markups by name.
string_methods.markups = markups

return string_methods
