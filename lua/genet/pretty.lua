--- Values as people read them: what `genet shell` prints.
-- @module genet.pretty

local pretty = {}

local WIDTH, DEPTH, MOST = 80, 4, 100

local write

local function quoted(text)
  return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\\9", "\\t"))
end

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do KEYWORDS[word] = true end

local function key_text(key, seen)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then return key end
  return "[" .. write(key, "", DEPTH, seen) .. "]"
end

local RANK = {number = 1, string = 2}

local function goes_before(a, b)
  local x, y = RANK[type(a)] or 3, RANK[type(b)] or 3
  if x ~= y then return x < y end
  if x == 3 then return tostring(a) < tostring(b) end
  return a < b
end

-- The keys besides 1 to `count`.
local function other_keys(value, count)
  local keys = {}
  for key in next, value do
    local listed = math.type(key) == "integer" and key >= 1 and key <= count
    if not listed then keys[#keys + 1] = key end
  end
  table.sort(keys, goes_before)
  return keys
end

local function items_of(value, indent, depth, seen)
  local items, count = {}, rawlen(value)
  local keys = other_keys(value, count)
  local left = count + #keys - MOST
  for at = 1, math.min(count, MOST) do
    items[at] = write(rawget(value, at), indent .. "  ", depth + 1, seen)
  end
  for at = 1, math.min(#keys, MOST - #items) do
    local key = keys[at]
    items[#items + 1] = key_text(key, seen) .. " = "
      .. write(rawget(value, key), indent .. "  ", depth + 1, seen)
  end
  if left > 0 then items[#items + 1] = ("... %d more"):format(left) end
  return items
end

local function write_table(value, indent, depth, seen)
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  local name = type(meta) == "table" and rawget(meta, "__name")
  name = type(name) == "string" and name .. " " or ""
  if seen[value] then return "<" .. name .. "above>" end
  if depth >= DEPTH then return next(value) == nil and name .. "{}" or name .. "{...}" end
  seen[value] = true
  local items = items_of(value, indent, depth, seen)
  seen[value] = nil
  local line = table.concat(items, ", ")
  if #line + #indent <= WIDTH and not line:find("\n", 1, true) then
    return name .. "{" .. line .. "}"
  end
  local inner = indent .. "  "
  return name .. "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

function write(value, indent, depth, seen)
  if type(value) == "string" then return quoted(value) end
  if type(value) == "table" then return write_table(value, indent, depth, seen) end
  return tostring(value)
end

--- A value as a text, tables with what is in them: keys sorted, a few levels deep.
-- @param value
-- @treturn string
-- @usage pretty.text{1, 2, name = "x"} --> '{1, 2, name = "x"}'
function pretty.text(value)
  return write(value, "", 0, {})
end

return pretty
