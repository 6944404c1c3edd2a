--- How the words at the prompt of `genet shell` may go on.
-- @module genet.complete

local complete = {}

local KEYWORDS = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
  "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
}

-- Calls `fn(key)` for what can be found in a value by name, its metatable's `__index` included.
local function each_name(value, fn)
  local depth = 0
  while value ~= nil and depth < 10 do
    if type(value) == "table" then
      for key in next, value do
        if type(key) == "string" and key:find("^[%a_][%w_]*$") then fn(key) end
      end
    end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) ~= "table" then return end
    depth = depth + 1
  end
end

-- What a path such as `app.router` stands for.
local function value_of(path)
  local value = _G
  for name in path:gmatch("[^.:]+") do
    local ok, inner = pcall(function() return value[name] end)
    if not ok then return nil end
    value = inner
  end
  return value
end

-- What begins with an underscore is meant by who types one.
local function is_hidden(key, beginning)
  return key:sub(1, 1) == "_" and beginning == ""
    or key:sub(1, 2) == "__" and beginning:sub(1, 2) ~= "__"
end

local function names_in(path, separator, beginning)
  local value, names, seen = value_of(path), {}, {}
  each_name(value, function(key)
    if seen[key] or key:sub(1, #beginning) ~= beginning then return end
    if is_hidden(key, beginning) then return end
    local is_fit = separator ~= ":" or type(value[key]) == "function"
    if is_fit then names[#names + 1], seen[key] = key, true end
  end)
  if path == "" then
    for _, word in ipairs(KEYWORDS) do
      if word:sub(1, #beginning) == beginning then names[#names + 1] = word end
    end
  end
  table.sort(names)
  return names
end

--- What the word that ends at `to` may be: names of globals, of fields, and after a colon of
-- methods.
-- @tparam string line
-- @tparam integer from where the word begins, as readline sees it
-- @tparam integer to
-- @treturn {string,...}
-- @usage complete.words("genet.sle", 1, 9) --> {"genet.sleep"}
function complete.words(line, from, to)
  local word = line:sub(1, to):match("[%w_.:]*$")
  local path, separator, beginning = word:match("^(.*)([.:])([^.:]*)$")
  if not path then path, separator, beginning = "", "", word end
  local prefix = line:sub(from, to)
  prefix = prefix:sub(1, #prefix - #beginning)
  local words = {}
  for at, name in ipairs(names_in(path, separator, beginning)) do words[at] = prefix .. name end
  return words
end

return complete
