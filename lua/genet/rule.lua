--- Rules such as `/item/<int:id>`, taken apart for the router.
--
-- A rule becomes a list of parts, one for each segment between slashes. A part is either
-- `{text = "item"}` or `{shape = ..., pattern = ..., converters = {...}}`. A part with `rest`
-- reaches to the end of the path, `<path:...>` and all that follows it; its `slash` is true when
-- the rule ends with a slash.
-- @module genet.rule

local converters = require "genet.converters"
local json = require "genet.json"
local url = require "genet.url"

local rule = {}

local function refuse(text, message, ...)
  error(("bad rule '%s': %s"):format(text, message:format(...)), 0)
end

-- `:name` and `*rest` at the beginning of a segment are `<name>` and `<path:rest>`.
local function spell_out(text, segment)
  local sigil = segment:match("^[:*]")
  if not sigil then return segment end
  local name, tail = segment:match("^.([%a_][%w_]*)(.*)$")
  if not name then refuse(text, "'%s' names no argument", sigil) end
  return (sigil == ":" and "<" or "<path:") .. name .. ">" .. tail
end

local function new_converter(text, kind, options)
  local ok, converter = pcall(converters.new, kind, converters.options(options))
  return ok and converter or refuse(text, "%s", converter)
end

local function parse_argument(text, inside)
  local head, name = inside:match("^(.*):%s*([^:]*)$")
  local kind, options = (head or "string"):match("^%s*([%w_]+)%s*(.-)%s*$")
  name = (name or inside):match("^%s*([%a_][%w_]*)%s*$")
  if not name then refuse(text, "'<%s>' has no proper name", inside) end
  local listed = options and (options == "" and "" or options:match("^%((.*)%)$"))
  if not listed then refuse(text, "'<%s>' cannot be read", inside) end
  return {
    name = name,
    shape = ("<%s(%s)>"):format(kind == "default" and "string" or kind, listed:gsub("%s", "")),
    converter = new_converter(text, kind, listed),
  }
end

-- The pieces of a segment, in order: strings, and tables for the arguments between them.
local function parse_segment(text, segment)
  segment = spell_out(text, segment)
  local pieces, at = {}, 1
  while at <= #segment do
    local open = segment:find("[<>]", at) or #segment + 1
    if open > at then pieces[#pieces + 1] = segment:sub(at, open - 1) end
    if open > #segment then break end
    local close = segment:find("[<>]", open + 1)
    if segment:sub(open, open) == ">" then refuse(text, "'>' without a '<' before it") end
    if not close or segment:sub(close, close) == "<" then refuse(text, "'<' is not closed") end
    pieces[#pieces + 1] = parse_argument(text, segment:sub(open + 1, close - 1))
    at = close + 1
  end
  return pieces
end

local function escape(text)
  return (text:gsub("%p", "%%%0"))
end

-- One part out of pieces: what it looks like, what finds its arguments, what reads them.
local function new_part(pieces)
  if #pieces == 0 then return {text = ""} end
  if #pieces == 1 and type(pieces[1]) == "string" then return {text = pieces[1]} end
  local part = {shape = "", pattern = "^", converters = {}, names = {}, static = 0, weight = 0}
  for _, piece in ipairs(pieces) do
    if type(piece) == "string" then
      part.shape = part.shape .. piece
      part.pattern = part.pattern .. escape(piece)
      part.static = part.static + (piece == "/" and 0 or #piece)
    else
      part.shape = part.shape .. piece.shape
      part.pattern = part.pattern .. "(" .. piece.converter.pattern .. ")"
      part.converters[#part.converters + 1] = piece.converter
      part.names[#part.names + 1] = piece.name
      part.weight = math.max(part.weight, piece.converter.weight)
    end
  end
  return part
end

local function takes_rest(pieces)
  for _, piece in ipairs(pieces) do
    if type(piece) == "table" and piece.converter.rest then return true end
  end
  return false
end

-- Segments from `first` on as one part that reaches to the end of the path.
local function new_rest(segments, first)
  local pieces, last = {}, #segments
  local slash = #segments[last] == 0
  for at = first, slash and last - 1 or last do
    if at > first then pieces[#pieces + 1] = "/" end
    table.move(segments[at], 1, #segments[at], #pieces + 1, pieces)
  end
  local part = new_part(pieces)
  part.rest, part.slash = true, slash
  part.shape = part.shape .. (slash and "/" or "")
  -- A path that goes to the very end may take all at once: it has nothing to leave for others.
  part.pattern = slash and part.pattern .. "(/?)" or part.pattern:gsub("%.%-%)$", ".*)")
  return part
end

local function split(text)
  local segments = {}
  for segment in text:sub(2):gmatch("[^/]*") do
    segments[#segments + 1] = parse_segment(text, segment)
  end
  return segments
end

local function new_parts(segments)
  local parts = {}
  for at, pieces in ipairs(segments) do
    if takes_rest(pieces) then
      parts[at] = new_rest(segments, at)
      break
    end
    parts[at] = new_part(pieces)
  end
  return parts
end

local function finish(text, parts)
  local names, seen = {}, {}
  for _, part in ipairs(parts) do
    if part.pattern then part.pattern = part.pattern .. "$" end
    for _, name in ipairs(part.names or {}) do
      if seen[name] then refuse(text, "argument '%s' comes twice", name) end
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

--- Takes a rule apart; raises an error that names the rule when it cannot be read.
-- @tparam string text such as `/v<int:major>.<int:minor>/<path:rest>`
-- @treturn table with `parts` and the `names` of the arguments, in order
-- @usage rule.parse("/item/<int:id>").names --> {"id"}
function rule.parse(text)
  if type(text) ~= "string" then refuse(tostring(text), "a string was expected") end
  if text:sub(1, 1) ~= "/" then refuse(text, "it does not begin with '/'") end
  if text:find("//", 1, true) then refuse(text, "'//' leaves a segment empty") end
  local parts = new_parts(split(text))
  return {parts = parts, names = finish(text, parts)}
end

-- The text of one argument in a path.
local function write_argument(text, piece, args)
  local value = args[piece.name]
  if value == nil then
    error(("rule '%s': the argument '%s' is missing"):format(text, piece.name), 0)
  end
  local read, write = piece.converter.read, piece.converter.write
  local written = tostring(write and write(value) or value)
  if written == "" or read and read(written) == nil then
    error(("rule '%s': '%s' does not fit the argument '%s'"):format(text, written, piece.name), 0)
  end
  written = url.encode_path(written)
  return piece.converter.rest and written or written:gsub("/", "%%2F")
end

-- The values of an argument, of which a list has any number, and `null` none.
local function values_of(value)
  if value == json.null then return {} end
  return type(value) == "table" and value or {value}
end

local function query_of(args, used)
  local names, fields = {}, {}
  for name in pairs(args) do
    if not used[name] then names[#names + 1] = name end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local before = url.encode_value(tostring(name)) .. "="
    for _, value in ipairs(values_of(args[name])) do
      fields[#fields + 1] = before .. url.encode_value(tostring(value))
    end
  end
  return #fields > 0 and "?" .. table.concat(fields, "&") or ""
end

-- The segments of rules that addresses have been made of.
local split_rules = {}

local function segments_of(text)
  local segments = split_rules[text]
  if not segments then
    segments = split(text)
    split_rules[text] = segments
  end
  return segments
end

--- The path that a rule stands for with these arguments; those it does not name become a query
-- string, in the order of their names, where a list gives several values. Raises an error that
-- names the rule when one is missing or does not fit.
-- @tparam string text
-- @tparam table args by name
-- @treturn string
-- @usage rule.build("/item/<int:id>", {id = 7, page = 2}) --> "/item/7?page=2"
function rule.build(text, args)
  local written, used = {}, {}
  for _, segment in ipairs(segments_of(text)) do
    written[#written + 1] = "/"
    for _, piece in ipairs(segment) do
      if type(piece) == "table" then
        used[piece.name] = true
        piece = write_argument(text, piece, args)
      else
        piece = url.encode_path(piece)
      end
      written[#written + 1] = piece
    end
  end
  return table.concat(written) .. query_of(args, used)
end

return rule
