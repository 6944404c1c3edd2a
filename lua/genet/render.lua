--- The templates of a site: `app.templates`, `genet.render_template`, `req:render`.
--
-- They lie in the directory `templates` beside the scripts (`template_folder` of the
-- configuration), and in those that groups name. Templates know, as in Flask, `url_for`,
-- `get_flashed_messages`, `config`, `csrf_token`, and of the request that is being answered
-- `request`, `session` and `g`; what they are given hides these. Outside a request, using one of
-- those that need it is an error.
-- @module genet.render

local config = require "genet.config"
local Request = require "genet.request"

local render = {}

-- A Lua state has one set of templates, that of the scripts that are loaded in it.
local environment, folders

-- What templates see ------------------------------------------------------------------------------

local function needed(what)
  local req = Request.current()
  return req or error(("'%s' is known while a request is answered only"):format(what), 0)
end

local function bound(what, method)
  return function(...)
    local req = needed(what)
    return req[method](req, ...)
  end
end

local of_request = {
  request = function(req) return req end,
  session = function(req) return req.session end,
  g = function(req) return req.g end,
}

local function global(_, name)
  local get = of_request[name]
  return get and get(needed(name))
end

local function url_for(...)
  return require("genet.locate").url_for(Request.current(), ...)
end

local function add_globals(env)
  env:global("url_for", url_for)
  env:global("get_flashed_messages", bound("get_flashed_messages", "flashed"))
  env:global("csrf_token", bound("csrf_token", "csrf_token"))
  env:global("config", config.site())
  setmetatable(env.globals, {__index = global})
end

-- The environment -------------------------------------------------------------------------------

local function beside_scripts(path)
  if path:sub(1, 1) == "/" then return path end
  return require("genet.loader").directory() .. "/" .. path
end

local function options()
  local site = config.site()
  table.insert(folders, 1, beside_scripts(site.template_folder))
  return {
    path = folders,
    autoescape = site.template_autoescape,
    undefined = site.template_undefined,
    trim_blocks = site.template_trim_blocks,
    lstrip_blocks = site.template_lstrip_blocks,
    keep_trailing_newline = site.template_keep_trailing_newline,
  }
end

--- Forgets all of it, for scripts that are loaded from the beginning.
-- @usage render.reset()
function render.reset()
  environment, folders = nil, {}
end

render.reset()

--- The environment of the site's templates: `app.templates`.
-- @treturn Environment see `genet.template.environment`
-- @usage app.templates:filter("shout", string.upper)
function render.environment()
  if not environment then
    environment = require("genet.template").new(options())
    add_globals(environment)
  end
  return environment
end

--- Has templates looked for in one more directory, after the others.
-- @tparam string path a relative one is beside the scripts
-- @usage render.add_folder("admin/templates")
function render.add_folder(path)
  folders[#folders + 1] = beside_scripts(path)
end

-- Rendering -------------------------------------------------------------------------------------

-- What the context processors of the request's route, or else those given, add.
local function processed(req, vars)
  local scope, result = req and req.route.scope, nil
  while scope do
    for _, fn in ipairs(scope.context_processors or {}) do
      result = result or {}
      for name, value in pairs(fn(req) or {}) do
        if result[name] == nil then result[name] = value end
      end
    end
    scope = scope.outer
  end
  if not result then return vars end
  for name, value in pairs(vars or {}) do result[name] = value end
  return result
end

-- `vars`, and the request's own things behind them.
local function with_request(req, vars)
  local all = {}
  for name, value in pairs(vars or {}) do all[name] = value end
  return setmetatable(all, {__index = function(_, name)
    local get = of_request[name]
    return get and get(req)
  end})
end

--- Renders a template for a request. Waits when something in it does.
-- @function req:render
-- @tparam Request req
-- @tparam string name
-- @tparam ?table vars
-- @treturn string
-- @usage return req:render("page.html", {title = "Home"})
function render.for_request(req, name, vars)
  return render.environment():render(name, with_request(req, processed(req, vars)))
end

--- Renders a template, in Jinja's language; see `genet.template`. Waits when something in it does.
-- @function genet.render_template
-- @tparam string name
-- @tparam ?table vars
-- @treturn string
-- @usage return genet.render_template("page.html", {title = "Home"})
function render.template(name, vars)
  return render.environment():render(name, processed(Request.current(), vars))
end

--- Renders a text that is a template. Waits when something in it does.
-- @function genet.render_template_string
-- @tparam string source
-- @tparam ?table vars
-- @treturn string
-- @usage return genet.render_template_string("Hello {{ name }}!", {name = name})
function render.text(source, vars)
  return render.environment():render_string(source, processed(Request.current(), vars))
end

--- A template as an answer that is written piece by piece, as it goes through what it was given.
-- @function genet.stream_template
-- @tparam string name
-- @tparam ?table vars
-- @treturn function to return from a handler
-- @usage return genet.stream_template("rows.html", {rows = rows})
function render.stream(name, vars)
  local compiled = render.environment():get(name)
  vars = processed(Request.current(), vars)
  return function(write) compiled:stream(vars, write) end
end

return render
