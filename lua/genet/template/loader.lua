--- Loads templates from directories.
-- @module genet.template.loader

local loader = {}

-- Why a name cannot be that of a file in the directory; nil when it can.
local function refusal(name)
  if name == "" then return "it is empty" end
  if name:find("%z") then return "it holds a NUL byte" end
  if name:find("\\", 1, true) then return "it holds a backslash" end
  if name:sub(1, 1) == "/" then return "it is absolute" end
  for part in (name .. "/"):gmatch("([^/]*)/") do
    if part == ".." then return "it leaves the directory" end
    if part == "" or part == "." then return "it holds an empty part" end
  end
end

local function read(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local source, failure = file:read("a")
  file:close()
  return source, failure
end

--- A function that reads templates.
-- @tparam string|table paths a directory, or a list of them, which are searched in turn
-- @tparam ?function watch is told of each file that is read
-- @treturn function takes a name, returns the source, or nil and a sentence
-- @usage loader.new("templates")("page.html")
function loader.new(paths, watch)
  if type(paths) == "string" then paths = {paths} end
  return function(name)
    local why = refusal(name)
    if why then return nil, ("there is no template '%s': %s"):format(name, why) end
    for _, directory in ipairs(paths) do
      local path = directory .. "/" .. name
      local source = read(path)
      if source and watch then
        watch(path)
        source = read(path) -- which may have changed before it was watched
      end
      if source then return source end
    end
    return nil, ("there is no template '%s' in %s"):format(name, table.concat(paths, ", "))
  end
end

return loader
