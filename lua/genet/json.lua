--- JSON: lua-cjson, with what it leaves out.
--
-- A table whose keys are 1 to n is an array, any other is an object; an empty one is an object
-- unless `json.array` says otherwise. Integers keep all their digits, floats 14. `null` is
-- `json.null`, which is not `nil`: test for it with `value == json.null`.
-- @module genet.json

local new_cjson = require("cjson.safe").new

local error, find, getmetatable, math_type = error, string.find, getmetatable, math.type
local next, type = next, type

local function new_coder()
  local coder = new_cjson()
  coder.encode_sparse_array(true, 1, 0)
  coder.decode_invalid_numbers(false)
  return coder
end

local cjson = new_coder()

local json = {
  --- What `null` is read as, and what writes it.
  null = cjson.null,
}

local ARRAY = {__name = "genet.json.array"}

local DEEPEST = 1000

-- cjson keeps numbers as floats: it writes 14 digits, and whole ones are exact up to 2^53.
local WRITTEN = 10 ^ 14
local READ = 2 ^ 53

-- What is wrong with a value is raised as a sentence, for `json.encode` to raise from its caller.
local function check_depth(depth)
  if depth > DEEPEST then error("Cannot serialise table: it is too deep, or contains itself", 0) end
end

local function encode(value)
  local text, problem = cjson.encode(value)
  return text or error(problem, 0)
end

-- Whether cjson alone writes the table as it should be: no marked arrays, no long integers.
local function is_plain(value, depth)
  check_depth(depth)
  if getmetatable(value) == ARRAY then return false end
  for _, item in next, value do
    if type(item) == "table" then
      if not is_plain(item, depth + 1) then return false end
    elseif math_type(item) == "integer" and (item >= WRITTEN or item <= -WRITTEN) then
      return false
    end
  end
  return true
end

local write

local function is_array(value)
  local count = 0
  for _ in next, value do count = count + 1 end
  return getmetatable(value) == ARRAY or count > 0 and count == #value
end

local function write_array(value, texts, depth)
  texts[#texts + 1] = "["
  for at = 1, #value do
    if at > 1 then texts[#texts + 1] = "," end
    write(value[at], texts, depth)
  end
  texts[#texts + 1] = "]"
end

local function write_object(value, texts, depth)
  local before = "{"
  for key, item in next, value do
    if type(key) ~= "string" and type(key) ~= "number" then
      error("Cannot serialise table: table key must be a number or string", 0)
    end
    texts[#texts + 1] = before .. encode(tostring(key)) .. ":"
    write(item, texts, depth)
    before = ","
  end
  texts[#texts + 1] = before == "{" and "{}" or "}"
end

function write(value, texts, depth)
  if type(value) == "table" then
    check_depth(depth)
    local write_table = is_array(value) and write_array or write_object
    return write_table(value, texts, depth + 1)
  end
  texts[#texts + 1] = math_type(value) == "integer" and value or encode(value)
end

-- Whether `json.array` has marked a table: until then cjson alone writes every table as it should
-- be, but for long integers, which get an exponent.
local has_marked = false


local function encode_any(value)
  if type(value) == "table" and is_plain(value, 1) then return encode(value) end
  local texts = {}
  write(value, texts, 1)
  return table.concat(texts)
end

--- A value as JSON, the usual kind without detours.
-- @function json.try_encode
-- @param value
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string what JSON has no word for
-- @usage local text, problem = json.try_encode{id = 1}
function json.try_encode(value)
  if not has_marked then
    local text = cjson.encode(value)
    if text and not find(text, "e+", 1, true) then return text end
  end
  local ok, text = pcall(encode_any, value)
  if ok then return text end
  return nil, text
end

--- A value as JSON. Raises when it holds something JSON has no word for.
-- @function json.encode
-- @param value
-- @treturn string
-- @usage json.encode{tags = json.array()} --> '{"tags":[]}'
function json.encode(value)
  local text, problem = json.try_encode(value)
  return text or error(problem, 2)
end

-- cjson reads every number as a float: those that are whole become integers, in place.
local function with_integers(value)
  if type(value) == "number" then
    return value < READ and value > -READ and math.tointeger(value) or value
  end
  if type(value) == "table" then
    for key, item in next, value do
      local kind = type(item)
      if kind == "number" or kind == "table" then value[key] = with_integers(item) end
    end
  end
  return value
end

-- Coders for other depths than the usual, each of which keeps its own: a task may be preempted
-- between setting it and reading.
local by_depth = {}

local function coder_for(max_depth)
  local coder = by_depth[max_depth]
  if not coder then
    coder = new_coder()
    coder.decode_max_depth(max_depth)
    by_depth[max_depth] = coder
  end
  return coder
end

--- Reads JSON.
-- @function json.decode
-- @tparam string text
-- @tparam ?integer max_depth of arrays and objects in each other, 1000 unless told
-- @return[1] the value; whole numbers are integers, `null` is `json.null`
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the text
-- @usage json.decode("[1, 2.5]") --> {1, 2.5}
function json.decode(text, max_depth)
  local coder = max_depth and max_depth ~= DEEPEST and coder_for(max_depth) or cjson
  local value, problem = coder.decode(text)
  if value == nil then return nil, problem end
  return with_integers(value)
end

--- Marks a table as an array, which matters when it is empty.
-- @function json.array
-- @tparam ?table items the table to mark, a new one unless told
-- @treturn table
-- @usage return {found = json.array(found)}
function json.array(items)
  has_marked = true
  return setmetatable(items or {}, ARRAY)
end

return json
