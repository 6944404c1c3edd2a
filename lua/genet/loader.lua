--- Loads the scripts of a site into one app.
-- @module genet.loader

local app = require "genet.app"
local core = require "genet.core"
local generations = require "genet.generations"
local lfs = require "lfs"
local live = require "genet.live"
local metrics = require "genet.metrics"
local proxy = require "genet.proxy"

local loader = {}

local directory = "." -- of the scripts that were loaded

-- Lets the scripts of a directory `require` what lies in it.
local function search_in(dir)
  directory = dir
  local paths = dir .. "/?.lua;" .. dir .. "/?/init.lua"
  if package.path:sub(1, #paths) ~= paths then package.path = paths .. ";" .. package.path end
end

local function scripts_in(dir)
  local files = {}
  for name in lfs.dir(dir) do
    local file = dir .. "/" .. name
    if name:find("^[^.].*%.lua$") and lfs.attributes(file, "mode") == "file" then
      files[#files + 1] = file
    end
  end
  table.sort(files)
  return files
end

-- Tells the host of every module that is loaded from a file of the site's own.
local function watch_modules()
  local search = package.searchers[2]
  package.searchers[2] = function(name)
    local ok, load, file = pcall(search, name) -- or its errors would be told as ours
    if not ok then error(load, 0) end
    if type(load) == "function" and not file:find("^/usr/") then generations.watch(file) end
    return load, file
  end
end

local function load_script(root, file)
  generations.watch(file)
  local chunk, problem = loadfile(file)
  if not chunk then error(problem, 0) end
  local result = chunk(file)
  if app.is(result) then
    root:include(result)
  elseif type(result) == "function" then
    result(root)
  else
    error(("%s: the script returned %s; it should end with 'return app', or return a function "
      .. "that takes an app"):format(file, result == nil and "nothing" or "a " .. type(result)), 0)
  end
end

--- The directory of the scripts.
-- @treturn string
-- @usage loader.directory() .. "/templates"
function loader.directory()
  return directory
end

--- Lets a script `require` what lies beside it.
-- @tparam string file
-- @usage loader.search_beside("jobs/nightly.lua")
function loader.search_beside(file)
  search_in(file:match("^(.*)/[^/]*$") or ".")
end

-- Lines of NAME=VALUE as a table.
local function read_config(lines)
  local config = {}
  for _, line in ipairs(lines or {}) do
    local name, value = line:match("^([^=]*)=(.*)$")
    if not name then error(("'%s' is no NAME=VALUE"):format(line), 0) end
    config[name] = value
  end
  return config
end

--- Loads a script, or every `*.lua` in a directory in the order of their names, into one app.
-- Raises when a script cannot be read, fails, returns something else than an app or a function
-- that takes one, or defines a route twice. Waits when a script does.
-- @tparam string path a file or a directory
-- @tparam ?{string,...} config `NAME=VALUE` for `app.config`
-- @treturn App
-- @usage local app = loader.load("scripts")
function loader.load(path, config)
  path = #path > 1 and path:gsub("/+$", "") or path
  local mode, problem = lfs.attributes(path, "mode")
  if not mode then error(problem, 0) end
  local root = app.new()
  proxy.trust(read_config(config).trusted_proxies)
  watch_modules()
  if mode == "directory" then
    generations.watch_scripts(path)
    search_in(path)
    for _, file in ipairs(scripts_in(path)) do load_script(root, file) end
  else
    loader.search_beside(path)
    load_script(root, path)
  end
  if generations.debug() then live.attach(root, core.generation()) end
  root:freeze()
  proxy.install(root)
  metrics.install(root)
  return root
end

local SHOWN = 2 -- lines before and after the one that an error is about

-- The first file that a message names, opened, and the line.
local function place_of(problem)
  for file, line in problem:gmatch("([^%s:'][^\n:]*):(%d+):") do
    local source = io.open(file)
    if source then return source, tonumber(line) end
  end
end

--- An error of loading with the lines of the script that it is about.
-- @tparam string problem comes back as it is when it names no `file:line:`
-- @treturn string
-- @usage loader.explain("scripts/shop.lua:3: unexpected symbol near 'x'")
function loader.explain(problem)
  local source, about = place_of(problem)
  if not source then return problem end
  local lines, at = {problem}, 0
  for text in source:lines() do
    at = at + 1
    if at > about + SHOWN then break end
    if at >= about - SHOWN then
      lines[#lines + 1] = ("%s %4d | %s"):format(at == about and ">" or " ", at, text)
    end
  end
  source:close()
  return table.concat(lines, "\n")
end

return loader
