--- An environment: templates by name, with the filters, tests, globals and options that they share.
-- @module genet.template.environment

local compiler = require "genet.template.compiler"
local context = require "genet.template.context"
local filters = require "genet.template.filters"
local namespace = require "genet.template.namespace"
local raise = require "genet.template.raise"
local runtime = require "genet.template.runtime"
local stream = require "genet.template.streaming"
local tests = require "genet.template.tests"
local text = require "genet.template.text"
local value = require "genet.template.value"

local Environment = {}
Environment.__index = Environment

local Template = {}
Template.__index = Template

-- Shared by code that looks whether a value is a template.
Environment.Template = Template

local KEPT_STRINGS = 100

local function escapes_by_name(name)
  if not name then return true end
  local ending = name:lower():match("%.([^./]*)$")
  return ending == "html" or ending == "htm" or ending == "xml" or ending == "xhtml"
end

local function identity(any)
  return any
end

local function add_states(env)
  local mark, marked = value.markup, runtime.marked
  env.on = {env = env, on = true, escape = text.escape, mark = mark, marked = marked}
  env.off = {env = env, on = false, escape = text.str, mark = identity, marked = identity}
end

local function copy(from)
  local to = {}
  for key, any in pairs(from) do to[key] = any end
  return to
end

-- Compiled code calls filters and tests through tables of functions.
local function functions_of(specs)
  local functions = {}
  for name, spec in pairs(specs) do functions[name] = spec.fn end
  return functions
end

--- An environment without templates.
-- @tparam table options see `genet.template.new`
-- @treturn Environment
function Environment.new(options)
  local env = setmetatable({
    options = options, load = options.loader, runtime = runtime,
    templates = {}, strings = {}, string_count = 0,
    filters = copy(filters), tests = copy(tests), globals = copy(namespace.globals),
  }, Environment)
  local kind = options.undefined or "default"
  if not value.undefined_kinds[kind] then error("undefined: no such kind '" .. kind .. "'", 3) end
  env.brand = kind ~= "default" and value.brander(kind) or nil
  env.filter_functions, env.test_functions = functions_of(env.filters), functions_of(env.tests)
  add_states(env)
  return env
end

-- What is compiled knows the filters and tests of its time.
local function forget(env)
  env.templates, env.strings, env.string_count = {}, {}, 0
end

local function check_name(name, what)
  if type(name) ~= "string" or name == "" then
    error(what .. ": the name must be a string", 3)
  end
end

local function check_function(fn, what)
  local metatable = getmetatable(fn)
  if type(fn) ~= "function" and not (type(metatable) == "table" and metatable.__call) then
    error(what .. ": a function is needed, not " .. type(fn), 3)
  end
end

--- Adds a filter, or replaces one.
-- @tparam string name
-- @tparam function fn takes the value and the arguments; those given by name come last, as one
--   table. What is none or undefined is nil. To return text that is not escaped, return a
--   `markup`.
-- @treturn Environment
-- @usage env:filter("shout", function(text) return text:upper() .. "!" end)
function Environment:filter(name, fn)
  check_name(name, "filter")
  check_function(fn, "filter '" .. name .. "'")
  self.filters[name] = {fn = fn}
  self.filter_functions[name] = function(...)
    return value.from_lua((fn(value.to_lua(...))))
  end
  forget(self)
  return self
end

--- Adds a test, or replaces one.
-- @tparam string name
-- @tparam function fn takes the value and the arguments
-- @treturn Environment
-- @usage env:test("prime", is_prime)
function Environment:test(name, fn)
  check_name(name, "test")
  check_function(fn, "test '" .. name .. "'")
  self.tests[name] = {fn = fn}
  self.test_functions[name] = function(...)
    return value.truth(value.from_lua((fn(value.to_lua(...)))))
  end
  forget(self)
  return self
end

--- Gives every template a variable.
-- @tparam string name
-- @param any its value
-- @treturn Environment
-- @usage env:global("url_for", function(name, args) return app:url_for(name, args) end)
function Environment:global(name, any)
  check_name(name, "global")
  self.globals[name] = any
  return self
end

local function escapes(env, name)
  local option = env.options.autoescape
  if option == nil then return escapes_by_name(name) end
  if type(option) == "function" then return option(name) and true or false end
  return option and true or false
end

local function new_template(env, source, name)
  local shown = name or "<template>"
  local template = compiler.compile(env, source, shown, escapes(env, name))
  template.env, template.name, template.block_lists = env, shown, {}
  for block, fn in pairs(template.blocks) do template.block_lists[block] = {fn} end
  return setmetatable(template, Template)
end

--- A template by its name. May read a file.
-- @tparam string name
-- @treturn[1] Template
-- @treturn[2] nil when there is none
-- @treturn[2] string
-- @raise when it cannot be compiled
function Environment:find(name)
  local template = self.templates[name]
  if template then return template end
  if not self.load then return nil, "the environment has neither a path nor a loader" end
  local source, problem = self.load(name)
  if not source then return nil, problem or ("there is no template '%s'"):format(name) end
  template = new_template(self, source, name)
  self.templates[name] = template
  return template
end

--- A template by its name. May read a file.
-- @tparam string name
-- @treturn Template
-- @raise when there is none, or it cannot be compiled
-- @usage env:get("page.html"):render{title = "Home"}
function Environment:get(name)
  check_name(name, "template")
  local template, problem = self:find(name)
  if template then return template end
  error(raise.position() .. problem, 0)
end

--- A template out of a string. Those used last are kept compiled.
-- @tparam string source
-- @treturn Template
-- @raise when it cannot be compiled
function Environment:from_string(source)
  if type(source) ~= "string" then error("source: a string is needed, not " .. type(source), 2) end
  local template = self.strings[source]
  if template then return template end
  if self.string_count >= KEPT_STRINGS then self.strings, self.string_count = {}, 0 end
  template = new_template(self, source)
  self.strings[source], self.string_count = template, self.string_count + 1
  return template
end

--- Renders a template.
-- @tparam string name
-- @tparam ?table vars
-- @treturn string
-- @raise when it cannot be compiled, or fails, such as `page.html:12: 'user' is undefined`
-- @usage return env:render("page.html", {user = user})
function Environment:render(name, vars)
  return self:get(name):render(vars)
end

--- Renders a string.
-- @tparam string source
-- @tparam ?table vars
-- @treturn string
-- @usage env:render_string("Hello {{ name }}!", {name = "World"}) --> "Hello World!"
function Environment:render_string(source, vars)
  return self:from_string(source):render(vars)
end

--- Renders a template piece by piece.
-- @tparam string name
-- @tparam ?table vars
-- @tparam ?function write as `Template:stream` takes it
-- @return as `Template:stream`
-- @usage for piece in env:stream("page.html", {rows = rows}) do write(piece) end
function Environment:stream(name, vars, write)
  return self:get(name):stream(vars, write)
end

--- Forgets what is compiled: the next use reads files again.
-- @treturn Environment
function Environment:clear()
  forget(self)
  return self
end

local function check_vars(vars)
  if vars ~= nil and type(vars) ~= "table" then
    error("vars: a table is needed, not " .. type(vars), 3)
  end
end

--- Renders the template.
-- @tparam ?table vars
-- @treturn string
function Template:render(vars)
  check_vars(vars)
  local out = {}
  self.root(context.start(self, vars), out, 0)
  return table.concat(out)
end

--- Renders the template piece by piece, as it goes through what it was given.
-- @tparam ?table vars
-- @tparam ?function write is called with each piece; without it, an iterator of pieces is returned
-- @treturn ?function
function Template:stream(vars, write)
  check_vars(vars)
  return stream(function(out)
    return self.root(context.start(self, vars), out, 0)
  end, write)
end

return Environment
