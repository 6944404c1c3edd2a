--- Errors that name a template and a line: `page.html:12: 'user' is undefined`.
--
-- Lua keeps the line numbers of a compiled template the same as those of its source, and its chunk
-- is called `template NAME`; so the stack tells where a template is.
-- @module genet.template.raise

local error, getinfo, match, type = error, debug.getinfo, string.match, type

local raise = {}

local PREFIX = "=template "

--- What `load` is told that a template is called.
-- @tparam string name
-- @treturn string
function raise.chunk_name(name)
  return PREFIX .. name
end

--- Where in a template the caller is, as `page.html:12: `; the empty string when in none.
-- @treturn string
function raise.position()
  local level = 2
  while true do
    local info = getinfo(level, "Sl")
    if not info then return "" end
    local name = match(info.source, "^=template (.*)$")
    if name then return name .. ":" .. info.currentline .. ": " end
    level = level + 1
  end
end

--- Raises a sentence about what a template does while it is rendered.
-- @tparam string message a format
-- @param ... what stands in the format
-- @raise always
function raise.runtime(message, ...)
  local text = select("#", ...) > 0 and message:format(...) or message
  error(raise.position() .. text, 0)
end

--- Raises a sentence about a template that cannot be compiled.
-- @tparam string name of the template
-- @tparam integer line
-- @tparam string message
-- @raise always
function raise.syntax(name, line, message)
  error(("%s:%d: %s"):format(name, line, message), 0)
end

-- Calls within each other that a template may make: Lua's own limit is far, and takes much memory.
local MOST_CALLS = 2000

--- Raises when a template calls itself without end. Costs little while few calls are open.
function raise.check_depth()
  if getinfo(MOST_CALLS, "l") then
    raise.runtime("macros or blocks call each other without end")
  end
end

-- The number of changes that make one word of another; two letters that changed places are one.
local function distance(a, b)
  local before, row = {}, {}
  for at = 0, #b do row[at] = at end
  for i = 1, #a do
    local now = {[0] = i}
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j) and 0 or 1
      now[j] = math.min(row[j] + 1, now[j - 1] + 1, row[j - 1] + same)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        now[j] = math.min(now[j], before[j - 2] + 1)
      end
    end
    before, row = row, now
  end
  return row[#b]
end

--- A question that proposes the known word nearest to an unknown one, or the empty string.
-- @tparam string word
-- @tparam table known words are its keys
-- @treturn string such as ` Did you mean 'upper'?`
function raise.suggestion(word, known)
  local best, least = nil, #word > 4 and 3 or 2
  for name in pairs(known) do
    if type(name) == "string" then
      local far = distance(word, name)
      if far < least or far == least and best and name < best then best, least = name, far end
    end
  end
  return best and (" Did you mean '%s'?"):format(best) or ""
end

return raise
