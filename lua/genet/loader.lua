--- Loads the scripts of a site into one app.
-- @module genet.loader

local app = require "genet.app"
local config = require "genet.config"
local core = require "genet.core"
local generations = require "genet.generations"
local lfs = require "lfs"
local log = require "genet.log"
local metrics = require "genet.metrics"
local proxy = require "genet.proxy"
local render = require "genet.render"
local runner = require "genet.runner"
local sources = require "genet.sources"

local loader = {}

local directory = "." -- of the scripts that were loaded
local root -- the app they are in

-- Lets the scripts of a directory `require` what lies in it.
local function search_in(dir)
  directory = dir
  local paths = dir .. "/?.lua;" .. dir .. "/?/init.lua"
  if package.path:sub(1, #paths) ~= paths then package.path = paths .. ";" .. package.path end
end

local function list_scripts(dir)
  local files = {}
  local ok, each, state = pcall(lfs.dir, dir)
  if not ok then error(each:match("(cannot open .*)$") or each, 0) end
  for name in each, state do
    local file = dir .. "/" .. name
    if name:find("^[^.].*%.lua$") and lfs.attributes(file, "mode") == "file" then
      files[#files + 1] = file
    end
  end
  if #files == 0 then log.warn("'%s': there is no *.lua in it", dir) end
  table.sort(files)
  return files
end

local function scripts_in(dir)
  local files = {}
  local list = sources.once("directory " .. dir, function()
    return table.concat(list_scripts(dir), "\n")
  end)
  for file in list:gmatch("[^\n]+") do files[#files + 1] = file end
  return files
end

local function find_module(name)
  return sources.once("module " .. name, function()
    return package.searchpath(name, package.path)
  end)
end

-- Has modules of the site's own loaded by sources.load(), and tells the host of their files.
local function watch_modules()
  local search = package.searchers[2]
  package.searchers[2] = function(name)
    local file, problem = find_module(name)
    if not file then return problem end
    if file:find("^/usr/") then return search(name) end
    local chunk
    chunk, problem = sources.load(file)
    if not chunk then
      error(("error loading module '%s' from file '%s':\n\t%s"):format(name, file, problem), 0)
    end
    return chunk, file
  end
end

local function load_script(file)
  local chunk, problem = sources.load(file)
  if not chunk then error(problem, 0) end
  runner.take()
  local result = chunk(file)
  if result == nil then result = runner.take() end
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

--- The app that has the routes of all scripts; nil before they are loaded.
-- @treturn ?App
-- @usage loader.app():url_for("item", {id = 7})
function loader.app()
  return root
end

--- Lets a script `require` what lies beside it.
-- @tparam string file
-- @usage loader.search_beside("jobs/nightly.lua")
function loader.search_beside(file)
  search_in(file:match("^(.*)/[^/]*$") or ".")
end

-- Calls a function, and reports what it raises where somebody wants to know all.
local function tell(report, fn, ...)
  if not report then return fn(...) end
  local ok, problem = pcall(fn, ...)
  if not ok then report(problem) end
end

-- What debug mode adds to an app; without it none of this is loaded.
local function attach_debug(debug_from)
  local allowed, problem = require("genet.debugpage.peers").parse(debug_from)
  if not allowed then error("debug_from: " .. problem, 0) end
  require("genet.debugpage").attach(root, allowed)
  require("genet.live").attach(root, core.generation(), allowed)
end

--- Loads a script, or every `*.lua` in a directory in the order of their names, into one app.
-- Raises when a script cannot be read, fails, returns something else than an app or a function
-- that takes one, or defines a route twice. Waits when a script does.
-- @tparam string path a file or a directory
-- @tparam ?{string,...} lines `NAME=VALUE` for `app.config`
-- @tparam ?function report is called with each problem, in place of raising the first of them
-- @treturn App
-- @usage local app = loader.load("scripts")
function loader.load(path, lines, report)
  path = #path > 1 and path:gsub("/+$", "") or path
  local mode, problem = lfs.attributes(path, "mode")
  if not mode then error(problem, 0) end
  local settings = config.load(lines)
  settings.debug = generations.debug() or false
  render.reset()
  root = app.new()
  if generations.debug() then require("genet.debugpage").begin() end
  watch_modules()
  local files = {path}
  if mode == "directory" then
    generations.watch_scripts(path)
    search_in(path)
    files = scripts_in(path)
  else
    loader.search_beside(path)
  end
  for _, file in ipairs(files) do tell(report, load_script, file) end
  proxy.trust(settings.trusted_proxies)
  if generations.debug() then attach_debug(settings.debug_from) end
  tell(report, root.freeze, root)
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

-- Comes back as it is when it names no `file:line:`.
local function with_lines(problem)
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

--- An error of loading with the lines of the script that it is about. In debug mode keeps a page
-- about it for the generation that serves on.
-- @tparam string problem comes back as it is when it names no `file:line:`
-- @treturn string
-- @usage loader.explain("scripts/shop.lua:3: unexpected symbol near 'x'")
function loader.explain(problem)
  if generations.debug() then require("genet.debugpage").keep_problem(problem) end
  return with_lines(problem)
end

return loader
