--- Runs the Lua code that somebody types at `genet attach`, in the scripts of a running host.
-- @module genet.attach

local attach = {}

local vars = {} -- what has been assigned without `local`

local function show(value)
  local found, pretty = pcall(require, "genet.pretty")
  if found then return pretty.text(value) end
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- Globals are there, and `genet`; what is assigned stays with the consoles.
local function environment(write)
  local env = {genet = require "genet"}
  function env.print(...)
    local texts = table.pack(...)
    for at = 1, texts.n do texts[at] = tostring(texts[at]) end
    if not write(table.concat(texts, "\t") .. "\n") then print(...) end
  end
  return setmetatable(env, {
    __index = function(_, key)
      local value = vars[key]
      if value == nil then value = _G[key] end
      return value
    end,
    __newindex = function(_, key, value) vars[key] = value end,
  })
end

local function compile(text, env)
  local expression = text:gsub("^%s*=", "", 1)
  local chunk = load("return " .. expression, "=console", "t", env)
  if chunk then return chunk end
  return load(text, "=console", "t", env)
end

local function handle(err)
  return debug.traceback(tostring(err), 2)
end

--- Runs code, and writes its results, or its error. Waits when it does.
-- @tparam string text an expression, or statements
-- @tparam function write takes a string; returns false once nobody reads any more
-- @treturn string `"ok"`, `"failed"`, or `"more"` when the code is not complete
-- @usage attach.run("1 + 1", io.write) --> "ok"
function attach.run(text, write)
  local chunk, problem = compile(text, environment(write))
  if not chunk then
    if problem:find("<eof>", -5, true) then return "more" end
    write(problem .. "\n")
    return "failed"
  end
  local result = table.pack(xpcall(chunk, handle))
  if not result[1] then
    write(tostring(result[2]) .. "\n")
    return "failed"
  end
  local texts = {}
  for at = 2, result.n do texts[#texts + 1] = show(result[at]) end
  if texts[1] then write(table.concat(texts, "\t") .. "\n") end
  return "ok"
end

return attach
