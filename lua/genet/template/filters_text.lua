--- The filters about text.
-- @module genet.template.filters_text

local arguments = require "genet.template.arguments"
local format = require "genet.template.format"
local string_methods = require "genet.template.string_methods"
local raise = require "genet.template.raise"
local text = require "genet.template.text"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local flag, integer, optional = arguments.flag, arguments.integer, arguments.optional
local string_of = arguments.string

-- Applies a function on strings to the text of any value; a markup stays one.
local function soft(fn)
  return function(any, ...)
    local string = value.text(any) or text.str(any)
    local result = fn(string, ...)
    return value.is_markup(any) and value.markup(result) or result
  end
end

-- Words begin after blanks, hyphens and opening brackets, as Jinja has it.
local function title(any)
  return (text.str(any):gsub("[^-%s({%[<]+", unicode.capitalize))
end

local function trim(string, chars)
  return string_methods.strip(string, optional(chars))
end

local function center(string, width)
  return string_methods.center(string, integer(width, "width", 80))
end

local function replace(state, any, old, new, count)
  count = optional(count) and integer(count, "count") or -1
  local string = text.soft(any)
  local from, to = text.soft(old), text.soft(new)
  if state.on and not value.is_markup(string)
    and (value.is_markup(from) or value.is_markup(to)) then
    string = text.to_markup(string)
  end
  if not state.on or not value.is_markup(string) then
    return string_methods.replace(text.str(string), text.str(from), text.str(to), count)
  end
  local escaped = text.to_markup(to).text
  return value.markup(string_methods.replace(string.text, text.str(from), escaped, count))
end

local function indent(any, width, first, blank)
  local string = string_of(any, "the text to indent")
  width = optional(width, 4)
  local pad = value.text(width) or (" "):rep(integer(width, "width"))
  local lines = string_methods.lines(string .. "\n")
  for at, line in ipairs(lines) do
    local is_indented = (line ~= "" or flag(blank)) and at > 1 or at == 1 and flag(first)
    lines[at] = is_indented and pad .. line or line
  end
  local result = table.concat(lines, "\n")
  return value.is_markup(any) and value.markup(result) or result
end

local function cut_at_blank(string)
  local head = string:match("^(.*) [^ ]*$")
  return head or string
end

local function truncate(any, length, kill_words, ending, leeway)
  if value.is_undefined(any) then
    value.check_undefined(any)
    return any
  end
  local string = string_of(any, "the text to truncate")
  length, leeway = integer(length, "length", 255), integer(leeway, "leeway", 5)
  ending = string_of(ending, "end", "...")
  local size = unicode.length(ending)
  if length < size then raise.runtime("expected length >= %d, got %d", size, length) end
  if unicode.length(string) <= length + leeway then return any end
  local head = unicode.sub(string, 1, length - size)
  if not flag(kill_words) then head = cut_at_blank(head) end
  local result = head .. ending
  return value.is_markup(any) and value.markup(result) or result
end

-- ---- wrapping ----

-- A line as words, blanks between them, and words cut after their hyphens.
local function chunks_of(line, break_hyphens)
  local chunks = {}
  for blank, word in line:gmatch("(%s*)(%S*)") do
    if blank ~= "" then chunks[#chunks + 1] = blank end
    while break_hyphens do
      local head, tail = word:match("^(%-*[^%s%-]*%a%-+)(%a.*)$")
      if not head or not head:find("[%w\128-\255][%w\128-\255]%-+$") then break end
      chunks[#chunks + 1], word = head, tail
    end
    if word ~= "" then chunks[#chunks + 1] = word end
  end
  return chunks
end

-- Puts what fits of a word that is longer than a line.
local function break_word(chunks, at, line, room, breaks)
  if not breaks then
    if #line == 0 then
      line[1] = chunks[at]
      return at + 1
    end
    return at
  end
  room = math.max(room, 1)
  line[#line + 1] = unicode.sub(chunks[at], 1, room)
  chunks[at] = unicode.sub(chunks[at], room + 1, #chunks[at])
  return at
end

local function wrap(line, width, breaks, break_hyphens)
  local chunks, lines, at = chunks_of(line, break_hyphens), {}, 1
  while at <= #chunks do
    local current, used = {}, 0
    if #lines > 0 and chunks[at]:find("^%s") then at = at + 1 end
    while at <= #chunks and used + unicode.length(chunks[at]) <= width do
      current[#current + 1] = chunks[at]
      used, at = used + unicode.length(chunks[at]), at + 1
    end
    if at <= #chunks and unicode.length(chunks[at]) > width then
      at = break_word(chunks, at, current, width - used, breaks)
    end
    if #current > 0 and current[#current]:find("^%s") then current[#current] = nil end
    if #current > 0 then lines[#lines + 1] = table.concat(current) end
  end
  return lines
end

local function wordwrap(any, width, breaks, separator, break_hyphens)
  local string = string_of(any, "the text to wrap")
  width, separator = integer(width, "width", 79), string_of(separator, "wrapstring", "\n")
  if width < 1 then raise.runtime("invalid width %d (must be > 0)", width) end
  breaks = breaks == nil or flag(breaks)
  break_hyphens = break_hyphens == nil or flag(break_hyphens)
  local wrapped = {}
  for at, line in ipairs(string_methods.lines(string)) do
    wrapped[at] = table.concat(wrap(line, width, breaks, break_hyphens), separator)
  end
  return table.concat(wrapped, separator)
end

local function wordcount(any)
  local count, inside = 0, false
  for _, char in ipairs((value.characters(text.str(any)))) do
    local is_word = char == "_" or unicode.is_alphanumeric(char)
    if is_word and not inside then count = count + 1 end
    inside = is_word
  end
  return count
end

-- ---- conversions ----

local function format_values(_, any, named, ...)
  if named and select("#", ...) > 0 then
    raise.runtime("can't handle positional and keyword arguments at the same time")
  end
  return format.percent(text.soft(any), named or value.tuple{...})
end

local function striptags(any)
  return string_methods.strip_tags(text.str(any))
end

local function safe(any)
  return value.is_markup(any) and any or value.markup(text.str(any))
end

local function force_escape(any)
  return value.markup(text.escape_string(text.str(any)))
end

return {
  capitalize = {fn = soft(unicode.capitalize), params = {}},
  center = {fn = soft(center), params = {"width"}},
  e = {fn = text.to_markup, params = {}},
  escape = {fn = text.to_markup, params = {}},
  forceescape = {fn = force_escape, params = {}},
  format = {fn = format_values, rest = true},
  indent = {fn = indent, params = {"width", "first", "blank"}},
  lower = {fn = soft(unicode.lower), params = {}},
  pprint = {fn = text.repr, params = {}},
  replace = {fn = replace, params = {"old", "new", "count"}, state = true},
  safe = {fn = safe, params = {}},
  string = {fn = text.soft, params = {}},
  striptags = {fn = striptags, params = {}},
  title = {fn = title, params = {}},
  trim = {fn = soft(trim), params = {"chars"}},
  truncate = {fn = truncate, params = {"length", "killwords", "end", "leeway"}},
  upper = {fn = soft(unicode.upper), params = {}},
  wordcount = {fn = wordcount, params = {}},
  wordwrap = {
    fn = wordwrap,
    params = {"width", "break_long_words", "wrapstring", "break_on_hyphens"},
  },
}
