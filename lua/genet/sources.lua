--- The texts that a generation is loaded from. Each thread of `--threaded` has a Lua state of its
-- own, made when it is first needed; so that it is of the same generation, whatever the files say
-- by then, it is loaded from the texts that the first of them has read.
-- @module genet.sources

local generations = require "genet.generations"

local sources = {}

--- What make() returns, or in the state of another thread what it has returned in the first of this
-- generation.
-- @tparam string name that nothing else has
-- @tparam function make returns a string, or nil and why there is none
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string why
-- @usage local list = sources.once("list of pages", function() return "index about" end)
function sources.once(name, make)
  local text, problem = generations.recall(name)
  if not text then
    text, problem = make()
    if text then generations.record(name, text) end
  end
  return text, problem
end

--- The text of a file, which is watched: a change of it reloads, where changes are watched for.
-- @tparam string path
-- @treturn[1] string
-- @treturn[2] nil
-- @treturn[2] string why it cannot be read
-- @usage local text = assert(sources.read("scripts/words.txt"))
function sources.read(path)
  generations.watch(path)
  return sources.once("file " .. path, function()
    local file, problem = io.open(path, "rb")
    if not file then return nil, problem end
    local text
    text, problem = file:read("a")
    file:close()
    return text, problem
  end)
end

--- As `loadfile`, of `sources.read`.
-- @tparam string path
-- @tparam ?string mode `"t"`, `"b"` or both, as of `load`
-- @tparam ?table env the globals of the chunk
-- @treturn[1] function
-- @treturn[2] nil
-- @treturn[2] string why not, with file and line
-- @usage local chunk, problem = sources.load("scripts/hello.lua")
function sources.load(path, mode, env)
  local text, problem = sources.read(path)
  if not text then return nil, problem end
  text = text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")
  return load(text, "@" .. path, mode or "bt", env or _G)
end

return sources
