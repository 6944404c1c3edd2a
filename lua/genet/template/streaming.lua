--- Rendering piece by piece.
-- @module genet.template.streaming

-- Texts are collected up to so many bytes.
local PIECE = 8192

-- A table that a template writes its texts to in turn, and a function that passes on what is left.
local function new_out(write)
  local texts, count, bytes = {}, 0, 0
  local function flush()
    if count == 0 then return end
    local piece = table.concat(texts, "", 1, count)
    texts, count, bytes = {}, 0, 0
    if piece ~= "" then write(piece) end
  end
  local out = setmetatable({}, {__newindex = function(_, _, text)
    count, bytes = count + 1, bytes + #tostring(text)
    texts[count] = text
    if bytes >= PIECE then flush() end
  end})
  return out, flush
end

local function run(render, write)
  local out, flush = new_out(write)
  render(out)
  flush()
end

--- Renders piece by piece.
-- @tparam function render takes a table to write texts to
-- @tparam ?function write is called with each piece; without it, an iterator of pieces is returned
-- @treturn ?function
return function(render, write)
  if write then return run(render, write) end
  return coroutine.wrap(function() run(render, coroutine.yield) end)
end
