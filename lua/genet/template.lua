--- Templates in Jinja's language.
--
--     local env = genet.template.new{path = "templates"}
--     return env:render("page.html", {title = "Home", items = items})
--
-- What Jinja 3.1 documents holds here, with these words about Lua's values. A table whose keys are
-- 1 to n is a list (templates count from 0), any other a dict, which is gone through in the order
-- of its sorted keys. What is nil is undefined; `json.null` is `none`. Functions get nil for both;
-- arguments given by name come last, as one table; `object.method()` passes the object when the
-- method comes from the object's metatable. A function in place of a list gives the next item at
-- each call, until nil. Integers have 64 bits. Filters that are generators in Jinja return lists.
-- @module genet.template

local Environment = require "genet.template.environment"
local loader = require "genet.template.loader"
local value = require "genet.template.value"

local template = {
  --- What `none` is in templates: `json.null`.
  none = value.none,
}

--- A text that is not escaped again.
-- @function template.markup
-- @tparam string text
-- @treturn Markup `tostring` gives the text
-- @usage env:global("icon", function(name) return template.markup("<i class='" .. name ..
--   "'></i>") end)
template.markup = value.markup

--- Whether a value is a markup.
-- @function template.is_markup
-- @param any
-- @treturn boolean
template.is_markup = value.is_markup

local OPTIONS = {
  path = true, loader = true, autoescape = true, undefined = true, trim_blocks = true,
  lstrip_blocks = true, keep_trailing_newline = true, watch = true,
}

local function check_options(options)
  for name in pairs(options) do
    if not OPTIONS[name] then error(("unknown option '%s'"):format(tostring(name)), 3) end
  end
  if options.path and options.loader then error("either a path or a loader, not both", 3) end
  local path = options.path
  if path and type(path) ~= "string" and type(path) ~= "table" then
    error("path: a directory or a list of them is needed, not " .. type(path), 3)
  end
end

-- Files that are read are reported where the host has something that reloads them.
local function default_watch()
  if not package.preload["genet.generations"] then return nil end
  return require("genet.generations").watch
end

--- An environment.
-- @tparam ?table options `path`: a directory, or a list of them; or `loader`: a function that
--   returns the source of a name, or nil; `autoescape`: true, false, or a function of the name
--   (nil for a string); unless told, templates called .html, .htm, .xml and .xhtml and strings
--   escape; `undefined`: `"default"`, `"strict"`, `"chainable"` or `"debug"`; `trim_blocks`,
--   `lstrip_blocks` and `keep_trailing_newline` as in Jinja; `watch`: a function that is told of
--   each file read
-- @treturn Environment see `genet.template.environment`
-- @usage local env = template.new{path = "templates", trim_blocks = true}
function template.new(options)
  options = options or {}
  check_options(options)
  local own = {}
  for name, option in pairs(options) do own[name] = option end
  if own.path then own.loader = loader.new(own.path, own.watch or default_watch()) end
  return Environment.new(own)
end

return template
