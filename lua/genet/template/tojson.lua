--- JSON as Python writes it by default: keys sorted, blanks after commas and colons, ASCII only.
-- @module genet.template.tojson

local raise = require "genet.template.raise"
local text = require "genet.template.text"
local value = require "genet.template.value"

local ESCAPES = {
  ["\""] = "\\\"", ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b",
  ["\f"] = "\\f",
}

local function escape_control(char)
  return ESCAPES[char] or ("\\u%04x"):format(char:byte())
end

local function escape_wide(char)
  if not utf8.len(char) then return "\\ufffd" end
  local code = utf8.codepoint(char)
  if code < 0x10000 then return ("\\u%04x"):format(code) end
  code = code - 0x10000
  return ("\\u%04x\\u%04x"):format(0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))
end

local function write_string(string)
  local written = string:gsub("[%c\"\\]", escape_control)
  return "\"" .. written:gsub("[\128-\255][\128-\191]*", escape_wide) .. "\""
end

local function write_float(number)
  if number ~= number then return "NaN" end
  if number == math.huge then return "Infinity" end
  if number == -math.huge then return "-Infinity" end
  return text.float(number)
end

local write

-- Parts within brackets: on one line, or each on its own.
local function enclose(parts, open, close, indent, depth)
  if #parts == 0 then return open .. close end
  if not indent then return open .. table.concat(parts, ", ") .. close end
  local line = "\n" .. indent:rep(depth)
  return open .. line .. table.concat(parts, "," .. line) .. "\n" .. indent:rep(depth - 1) .. close
end

local function write_list(list, indent, depth)
  local parts = {}
  for at = 1, #list do parts[at] = write(list[at], indent, depth + 1) end
  return enclose(parts, "[", "]", indent, depth)
end

local function write_dict(dict, indent, depth)
  local keys, parts = value.keys(dict), {}
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for at, key in ipairs(keys) do
    local name = type(key) == "number" and text.str(key) or tostring(key)
    parts[at] = write_string(name) .. ": " .. write(dict[key], indent, depth + 1)
  end
  return enclose(parts, "{", "}", indent, depth)
end

local WRITERS = {
  list = write_list, tuple = write_list, dict = write_dict,
  string = write_string, float = write_float,
  markup = function(any) return write_string(any.text) end,
  integer = function(any) return ("%d"):format(any) end,
  boolean = tostring,
  none = function() return "null" end,
  undefined = value.fail_undefined,
}

local DEEPEST = 500

function write(any, indent, depth)
  local writer = WRITERS[value.kind(any)]
  if not writer then
    raise.runtime("Object of type %s is not JSON serializable", value.type_name(any))
  end
  if depth > DEEPEST then
    raise.runtime("a value for JSON that is too deep, or contains itself")
  end
  return writer(any, indent, depth)
end

--- A value as JSON.
-- @param any
-- @tparam ?string indent what each level is indented by; on one line without it
-- @treturn string
return function(any, indent)
  return write(any, indent, 1)
end
