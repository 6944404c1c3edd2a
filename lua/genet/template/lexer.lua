--- Takes the source of a template apart into tokens.
--
-- A token is a table: `type`, `value`, `line`. Types are `data`, `variable_begin`, `variable_end`,
-- `block_begin`, `block_end`, `name`, `string`, `number`, `eof`, and for operators the operator
-- itself. Comments, raw markers and the white space that tags take away are gone.
-- @module genet.template.lexer

local raise = require "genet.template.raise"

local byte, find, gsub, match, sub = string.byte, string.find, string.gsub, string.match, string.sub

local lexer = {}

local Lexer = {}
Lexer.__index = Lexer

local OPERATORS = {}
for operator in ("+ - / // * % ** ~ [ ] ( ) { } == != > >= < <= = . : | , ;"):gmatch("%S+") do
  OPERATORS[operator] = true
end

local CLOSING = {["("] = ")", ["["] = "]", ["{"] = "}"}

local ESCAPES = {
  n = "\n", t = "\t", r = "\r", a = "\a", b = "\b", f = "\f", v = "\v",
  ["\\"] = "\\", ["'"] = "'", ["\""] = "\"", ["\n"] = "",
}

local DESCRIPTIONS = {
  block_begin = "begin of statement block",
  block_end = "end of statement block",
  variable_begin = "begin of print statement",
  variable_end = "end of print statement",
  data = "template data / text",
  eof = "end of template",
  number = "number",
}

--- A token in words, for error messages.
-- @tparam table token
-- @treturn string
function lexer.describe(token)
  if token.type == "name" then return token.value end
  return DESCRIPTIONS[token.type] or token.type
end

function Lexer:fail(message, line)
  raise.syntax(self.name, line or self.line, message)
end

local function count_lines(text)
  local _, count = gsub(text, "\n", "")
  return count
end

function Lexer:add(kind, value, line)
  self.tokens[#self.tokens + 1] = {type = kind, value = value, line = line or self.line}
end

-- Moves on to `at`, counting the lines that are passed.
function Lexer:move(at)
  self.line = self.line + count_lines(sub(self.source, self.at, at - 1))
  self.at = at
end

-- What is left of the text before a tag once the sign after its opening has been heard.
function Lexer:strip(text, sign, is_variable)
  if sign == "-" then return (gsub(text, "%s+$", "")) end
  if sign == "+" or is_variable or not self.options.lstrip_blocks then return text end
  local head, blank = match(text, "^(.*\n)(%s*)$")
  if not head and self.line_starting then head, blank = "", match(text, "^%s*$") end
  return blank and blank ~= "" and head or text
end

function Lexer:add_data(text, line)
  if text ~= "" then self:add("data", text, line) end
end

-- Where the text goes on after a closing `stop` (such as `%}`) that ends before `at`; the sign is
-- what stood in front of it.
function Lexer:after_end(at, sign, trims)
  if sign == "-" then return find(self.source, "%S", at) or #self.source + 1 end
  if sign ~= "+" and trims and self.options.trim_blocks and sub(self.source, at, at) == "\n" then
    return at + 1
  end
  return at
end

function Lexer:comment()
  local open, close = find(self.source, "#}", self.at, true)
  if not open then self:fail("Missing end of comment tag") end
  local sign = open > self.at and sub(self.source, open - 1, open - 1) or ""
  self:move(self:after_end(close + 1, sign, true))
end

function Lexer:raw()
  local from = self.at
  local pattern = "(){%%([-+]?)%s*endraw%s*([-+]?)%%}()"
  local open, sign, close_sign, after = match(self.source, pattern, from)
  if not open then self:fail("Missing end of raw directive") end
  self:add_data(self:strip(sub(self.source, from, open - 1), sign, false))
  self:move(self:after_end(after, close_sign, true))
end

local function from_code(digits)
  local code = tonumber(digits, 16)
  return code and code < 0x110000 and utf8.char(code) or nil
end

-- A string literal without its quotes, its escapes read as Python reads them.
local function unescape(text)
  local parts, at = {}, 1
  while true do
    local slash = find(text, "\\", at, true)
    parts[#parts + 1] = sub(text, at, (slash or 0) - 1)
    if not slash then return table.concat(parts) end
    local letter = sub(text, slash + 1, slash + 1)
    local width = letter == "x" and 2 or letter == "u" and 4 or letter == "U" and 8
    local digits = width and match(text, "^%x+", slash + 2)
    local octal = match(text, "^[0-7][0-7]?[0-7]?", slash + 1)
    local value
    if width then
      value = digits and #digits >= width and from_code(sub(digits, 1, width))
      if not value then return nil, "truncated \\" .. letter .. " escape" end
      at = slash + 2 + width
    elseif octal then
      value, at = utf8.char(tonumber(octal, 8)), slash + 1 + #octal
    else
      value, at = ESCAPES[letter] or "\\" .. letter, slash + 2
    end
    parts[#parts + 1] = value
  end
end

function Lexer:string(quote)
  local at = self.at + 1
  while true do
    local stop = find(self.source, "[" .. quote .. "\\]", at)
    if not stop then
      self:fail(("unexpected char %q at %d: the string is not closed"):format(quote, self.at - 1))
    end
    if sub(self.source, stop, stop) == quote then
      local value, problem = unescape(sub(self.source, self.at + 1, stop - 1))
      self:add("string", value or self:fail(problem))
      return self:move(stop + 1)
    end
    at = stop + 2
  end
end

local function digits_at(source, at)
  return match(source, "^%d[%d_]*", at) or ""
end

local BASES = {
  {"^0[xX]([%x_]+)()", 16}, {"^0[oO]([0-7_]+)()", 8}, {"^0[bB]([01_]+)()", 2},
}

-- Numbers as Python writes them: 42, 1_000, 0x1f, 1.5, 1e3.
function Lexer:number()
  local source = self.source
  for _, base in ipairs(BASES) do
    local digits, after = match(source, base[1], self.at)
    if digits then
      self:add("number", tonumber((gsub(digits, "_", "")), base[2]))
      return self:move(after)
    end
  end
  local text = digits_at(source, self.at)
  if sub(source, self.at - 1, self.at - 1) ~= "." then
    local fraction = match(source, "^%.%d[%d_]*", self.at + #text) or ""
    text = text .. fraction
    text = text .. (match(source, "^[eE][+-]?%d[%d_]*", self.at + #text) or "")
  end
  self:add("number", tonumber((gsub(text, "_", ""))))
  self:move(self.at + #text)
end

-- Keeps brackets in pairs: a tag does not end inside of one.
function Lexer:balance(operator)
  local open = self.open
  if CLOSING[operator] then
    open[#open + 1] = CLOSING[operator]
  elseif operator == ")" or operator == "]" or operator == "}" then
    local expected = table.remove(open)
    if not expected then self:fail(("unexpected '%s'"):format(operator)) end
    if expected ~= operator then
      self:fail(("unexpected '%s', expected '%s'"):format(operator, expected))
    end
  end
end

function Lexer:operator()
  local two = sub(self.source, self.at, self.at + 1)
  local operator = OPERATORS[two] and two or sub(two, 1, 1)
  if not OPERATORS[operator] then
    local char = match(self.source, "^" .. utf8.charpattern, self.at) or operator
    self:fail(("unexpected char '%s' at %d"):format(char, self.at - 1))
  end
  self:balance(operator)
  self:add(operator, operator)
  self:move(self.at + #operator)
end

-- One token inside of a tag.
function Lexer:token()
  local source, at = self.source, self.at
  local char = sub(source, at, at)
  if find(char, "[%a_\128-\255]") then
    local name = match(source, "^[%w_\128-\255]+", at)
    self:add("name", name)
    self:move(at + #name)
  elseif find(char, "%d") then
    self:number()
  elseif char == "'" or char == "\"" then
    self:string(char)
  else
    self:operator()
  end
end

-- The tokens of a tag up to its end, which `stop` matches: a sign, then what follows the end.
function Lexer:tag(kind, stop, trims)
  self.open = {}
  local begun = self.line
  self:add(kind .. "_begin", "", begun)
  while true do
    self:move(find(self.source, "%S", self.at) or #self.source + 1)
    local sign, after = match(self.source, stop, self.at)
    if sign and #self.open == 0 then
      self:add(kind .. "_end", "")
      return self:move(self:after_end(after, sign, trims))
    end
    if self.at > #self.source then return self:add("eof", "") end
    self:token()
  end
end

-- A tag, from its opening on.
function Lexer:opening(open, letter)
  local source = self.source
  local sign = match(source, "^[-+]", open + 2) or ""
  self:add_data(self:strip(sub(source, self.at, open - 1), sign, letter == "{"))
  local raw_sign, after = match(source, "^{%%[-+]?%s*raw%s*(%-?)%%}()", open)
  if raw_sign then
    self:move(self:after_end(after, raw_sign, false))
    return self:raw()
  end
  self:move(open + 2 + #sign)
  if letter == "#" then return self:comment() end
  if letter == "{" then return self:tag("variable", "^(%-?)}}()", false) end
  self:tag("block", "^([-+]?)%%}()", true)
end

function Lexer:run()
  while self.at <= #self.source do
    local open = find(self.source, "{[{%%#]", self.at)
    if not open then
      self:add_data(sub(self.source, self.at))
      self:move(#self.source + 1)
      break
    end
    self:opening(open, sub(self.source, open + 1, open + 1))
    self.line_starting = byte(self.source, self.at - 1) == 10
  end
  local final = self.tokens[#self.tokens]
  self:add("eof", "", final and final.line)
  return self.tokens
end

--- The tokens of a template.
-- @tparam string source
-- @tparam string name of the template, for messages
-- @tparam table options `trim_blocks`, `lstrip_blocks`, `keep_trailing_newline`
-- @treturn table a list of tokens that ends with `eof`
-- @raise when the source is broken
-- @usage lexer.tokens("{{ name }}", "page.html", {})
function lexer.tokens(source, name, options)
  source = gsub(gsub(source, "\r\n", "\n"), "\r", "\n")
  if not options.keep_trailing_newline then source = gsub(source, "\n$", "") end
  return setmetatable({
    source = source, name = name, options = options,
    tokens = {}, at = 1, line = 1, open = {}, line_starting = true,
  }, Lexer):run()
end

return lexer
