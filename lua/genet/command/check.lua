--- `genet check`: whether a site would load, without serving it.
-- @module genet.command.check

local cli = require "genet.cli"
local lfs = require "lfs"

local check = {summary = "Load the scripts and compile the templates of a site; report what fails."}

function check.define(command)
  command:argument("path", "The script or the directory. (default: scripts)"):args("?")
end

-- Problems, each once, in the order they were found.
local function new_report()
  local list, seen = {}, {}
  return list, function(problem)
    problem = tostring(problem)
    if not seen[problem] then list[#list + 1] = problem end
    seen[problem] = true
  end
end

-- Calls `fn` with the path, relative to `root`, of each file below it; hidden ones are passed over.
local function each_file(root, fn, below)
  for name in lfs.dir(root .. (below or "")) do
    local path = (below or "") .. "/" .. name
    local mode = name:sub(1, 1) ~= "." and lfs.attributes(root .. path, "mode")
    if mode == "directory" then
      each_file(root, fn, path)
    elseif mode == "file" then
      fn(path:sub(2))
    end
  end
end

-- Lua files that no script has required, perhaps not yet.
local function check_sources(root, report)
  each_file(root, function(name)
    local chunk, problem = loadfile(name:find("%.lua$") and root .. "/" .. name or "/dev/null")
    if not chunk then report(problem) end
  end)
end

local function is_directory(path)
  return lfs.attributes(path, "mode") == "directory"
end

local function check_templates(directory, env, report)
  local count = 0
  each_file(directory, function(name)
    count = count + 1
    local ok, problem = pcall(env.get, env, name)
    if ok then return end
    problem = tostring(problem)
    local is_placed = problem:sub(1, #name + 1) == name .. ":"
    report(directory .. "/" .. (is_placed and problem or name .. ": " .. problem))
  end)
  return count
end

-- Has `genet.template.new` note the environments that scripts make, whose filters their templates
-- may need.
local function watch_environments()
  local template = require "genet.template"
  local made, new = {}, template.new
  function template.new(options)
    local env = new(options)
    local path = options and options.path
    for _, directory in ipairs(type(path) == "table" and path or {path}) do
      made[directory] = made[directory] or env
    end
    return env
  end
  return made
end

local function check_all_templates(made, report)
  local usual, count = require("genet.loader").directory() .. "/templates", 0
  if not made[usual] then made[usual] = require("genet.template").new{path = usual} end
  for directory, env in pairs(made) do
    if is_directory(directory) then count = count + check_templates(directory, env, report) end
  end
  return count
end

local function plural(n, noun)
  return ("%d %s%s"):format(n, noun, n == 1 and "" or "s")
end

function check.run(options)
  local path = cli.site(options.path)
  if not lfs.attributes(path) then cli.refuse(("'%s': no such file or directory"):format(path)) end
  local problems, report = new_report()
  local made = watch_environments()
  local app = require("genet.loader").load(path, nil, report)
  if is_directory(path) then check_sources(path:gsub("(.)/+$", "%1"), report) end
  local count = check_all_templates(made, report)
  app:retire()
  for _, problem in ipairs(problems) do io.stderr:write(problem, "\n") end
  if #problems > 0 then
    io.stderr:write("genet: ", plural(#problems, "problem"), "\n")
    return 1
  end
  print(("%s, %s: no problem"):format(plural(#app.routes, "route"), plural(count, "template")))
  return 0
end

return check
