--- Values as a reader of code knows them, without calling anything of theirs: no metamethod runs.
-- @module genet.debugpage.repr

local secrets = require "genet.debugpage.secrets"

local concat, format, getmetatable, next = table.concat, string.format, debug.getmetatable, next
local rawget, type = rawget, type

local repr = {}

local LONGEST = 200 -- bytes of a string that are shown
local MOST_ITEMS = 20 -- of a table
local MOST_KEYS = 200 -- of a table, that are looked at
local DEEPEST = 3
local MOST_TEXT = 2000 -- bytes for one value, about

local ESCAPES = {["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ["\""] = "\\\""}

local function byte_escape(c)
  return ESCAPES[c] or format("\\x%02x", c:byte())
end

--- A text that any page may hold: valid UTF-8 without control characters but newline and tab;
-- other bytes become `\xNN`.
-- @tparam string text
-- @treturn string
-- @usage repr.clean("a\0b") --> "a\\x00b"
function repr.clean(text)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", byte_escape) end
  return (text:gsub("[%z\1-\8\11-\31\127]", byte_escape))
end

-- No character of UTF-8 is cut in two.
local function cut(text, most)
  while most > 0 and (text:byte(most + 1) or 0) & 0xC0 == 0x80 do most = most - 1 end
  return text:sub(1, most)
end

--- The beginning of a text, cleaned, and how long it is when that is not all.
-- @tparam string text
-- @tparam integer most bytes
-- @treturn string
-- @usage repr.brief(("x"):rep(1000), 3) --> "xxx... (1000 bytes)"
function repr.brief(text, most)
  if #text <= most then return repr.clean(text) end
  return ("%s... (%d bytes)"):format(repr.clean(cut(text, most)), #text)
end

local function string_text(text)
  local shown = #text > LONGEST and cut(text, LONGEST) or text
  shown = '"' .. repr.clean((shown:gsub('[\n\r\t\\"]', ESCAPES))) .. '"'
  return #text > LONGEST and ("%s... (%d bytes)"):format(shown, #text) or shown
end

-- The name that the metatable of a value gives to its type.
local function class_of(value)
  local meta = getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and repr.clean(cut(name, 60)) or nil
end

local function function_text(fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return "function: C" end
  return ("function: %s:%d"):format(repr.clean(info.short_src), info.linedefined)
end

local plain = {
  ["nil"] = tostring, boolean = tostring, number = tostring,
  string = string_text,
  ["function"] = function_text,
  thread = function(thread) return "thread: " .. coroutine.status(thread) end,
  userdata = function(value) return format("%s: %p", class_of(value) or "userdata", value) end,
}

local show

local function key_text(key)
  if type(key) == "string" and #key <= LONGEST and key:find("^[%a_][%w_]*$") then return key end
  if type(key) == "table" then return format("[table: %p]", key) end
  return "[" .. plain[type(key)](key) .. "]"
end

local function add(state, text)
  state.size = state.size + #text
  state.out[#state.out + 1] = text
end

-- The keys that are shown, the list's in front, then by name. Of a large table only some are looked
-- at.
local function keys_of(value)
  local listed, keys, names, count = 0, {}, {}, 0
  while listed < MOST_ITEMS + 1 and rawget(value, listed + 1) ~= nil do
    listed = listed + 1
    keys[listed] = listed
  end
  for key in next, value do
    if math.type(key) ~= "integer" or key < 1 or key > listed then
      names[#names + 1] = {key = key, text = key_text(key)}
    end
    count = count + 1
    if count == MOST_KEYS then break end
  end
  table.sort(names, function(a, b) return a.text < b.text end)
  for _, name in ipairs(names) do keys[#keys + 1] = name.key end
  return keys, listed
end

local function show_items(value, depth, state)
  local keys, listed = keys_of(value)
  for at, key in ipairs(keys) do
    if at > 1 then add(state, ", ") end
    if at > MOST_ITEMS or state.size > MOST_TEXT then return add(state, "...") end
    if at > listed then add(state, key_text(key) .. " = ") end
    local item = rawget(value, key)
    if secrets.is(key) then add(state, secrets.MASK) else show(item, depth + 1, state) end
  end
end

local function plain_text(value)
  return type(value) == "string" and repr.brief(value, LONGEST) or "?"
end

-- The name of a module that has been required, the globals among them: what is in it tells nothing
-- of an error.
local function module_of(value)
  for name, module in next, package.loaded do
    if rawequal(module, value) then return name end
  end
end

local function show_table(value, depth, state)
  local module = module_of(value)
  if module then return add(state, "module: " .. repr.clean(tostring(module))) end
  local class = class_of(value)
  if class == "genet.request" then
    local method, path = rawget(value, "method"), rawget(value, "path")
    return add(state, ("genet.request: %s %s"):format(plain_text(method), plain_text(path)))
  end
  if class then add(state, class .. " ") end
  if state.open[value] then return add(state, "{(itself)}") end
  if depth >= DEEPEST then return add(state, next(value) == nil and "{}" or "{...}") end
  state.open[value] = true
  add(state, "{")
  show_items(value, depth, state)
  add(state, "}")
  state.open[value] = nil
end

function show(value, depth, state)
  local write = plain[type(value)]
  if write then return add(state, write(value)) end
  return show_table(value, depth, state)
end

--- A value as one line of text, bounded in depth and length.
-- @param value
-- @tparam ?string name of the variable that holds it: a secret's value is masked
-- @treturn string
-- @usage repr.of{1, 2, password = "x"} --> '{1, 2, password = ********}'
function repr.of(value, name)
  if value ~= nil and secrets.is(name) and type(value) ~= "function" then return secrets.MASK end
  local state = {out = {}, size = 0, open = {}}
  show(value, 0, state)
  return concat(state.out)
end

return repr
