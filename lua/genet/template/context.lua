--- What a template sees while it is rendered: variables, blocks, other templates.
--
-- A context belongs to one rendering. Its `vars` hold what the template has set, and find through
-- their metatable what it was given and the globals; `blocks` holds for each name the functions of
-- the templates that define that block, the most derived first.
-- @module genet.template.context

local raise = require "genet.template.raise"
local value = require "genet.template.value"

local getmetatable, ipairs, next, pairs, rawequal = getmetatable, ipairs, next, pairs, rawequal
local setmetatable, type = setmetatable, type

local context = {}

local DEEPEST = 100

-- Variables that are looked for in `first`, then in `second`.
local function layered(first, second)
  return setmetatable({}, {__index = function(_, name)
    local found = first[name]
    if found == nil then return second[name] end
    return found
  end})
end

-- As `layered`, with local variables first, of which some may be undefined.
local function with_locals(locals, outer)
  return setmetatable({}, {__index = function(_, name)
    local found = locals[name]
    if found == nil or value.is_undefined(found) then return outer[name] end
    return found
  end})
end

--- A context.
-- @tparam Template template
-- @tparam table vars
-- @tparam integer depth how many templates are being rendered around this one
-- @treturn table
function context.new(template, vars, depth)
  if depth > DEEPEST then
    raise.runtime("more than %d templates within each other: does '%s' include or extend itself?",
      DEEPEST, template.name)
  end
  return {env = template.env, template = template, vars = vars, depth = depth,
    blocks = setmetatable({}, {__index = template.block_lists})}
end

--- The context of a rendering that starts.
-- @tparam Template template
-- @tparam ?table vars
-- @treturn table
function context.start(template, vars)
  return context.new(template, layered(vars or {}, template.env.globals), 1)
end

--- A variable.
-- @tparam table vars of the context
-- @tparam string name
-- @return its value, or an undefined
function context.resolve(vars, name)
  local found = vars[name]
  if found == nil then return value.undefined(name) end
  return found
end

-- ---- blocks ----

local function derived(ctx, locals)
  return {env = ctx.env, template = ctx.template, vars = with_locals(locals, ctx.vars),
    depth = ctx.depth, blocks = ctx.blocks}
end

--- Writes a block.
-- @tparam table ctx
-- @tparam string name
-- @tparam table out
-- @tparam integer n
-- @tparam ?table locals what a scoped block sees
-- @tparam boolean required whether another template has to define it
-- @treturn integer the new `n`
function context.block(ctx, name, out, n, locals, required)
  local list = ctx.blocks[name]
  if required and #list <= 1 then raise.runtime("Required block '%s' not found", name) end
  return list[1](locals and derived(ctx, locals) or ctx, out, n)
end

local Reference = {__template = "object", name = "BlockReference"}

local function block_reference(ctx, name, at)
  return setmetatable({ctx = ctx, block = name, at = at}, Reference)
end

function Reference.call(self, state)
  raise.check_depth()
  local out = {}
  self.ctx.blocks[self.block][self.at](self.ctx, out, 0)
  return state.mark(table.concat(out))
end

local function parent_block(ctx, name, at)
  if ctx.blocks[name][at] then return block_reference(ctx, name, at) end
  return value.undefined("super", ("there is no parent block called '%s'."):format(name))
end

function Reference.attr(self, name)
  if name == "super" then return parent_block(self.ctx, self.block, self.at + 1) end
end

--- What `super` is in a block.
-- @tparam table ctx
-- @tparam string name
-- @tparam function fn the block's own
-- @return something to call, or an undefined
function context.super_reference(ctx, name, fn)
  for at, each in ipairs(ctx.blocks[name]) do
    if rawequal(each, fn) then return parent_block(ctx, name, at + 1) end
  end
  return parent_block(ctx, name, 2)
end

local Self = {__template = "object", name = "TemplateReference"}

function Self.attr(self, name)
  if self.ctx.blocks[name] then return block_reference(self.ctx, name, 1) end
end

--- What `self` is.
-- @tparam table ctx
-- @return an object with the blocks
function context.self_reference(ctx)
  return setmetatable({ctx = ctx}, Self)
end

-- ---- other templates ----

local function names_of(target)
  local kind = value.kind(target)
  if kind == "undefined" then value.fail_undefined(target) end
  if kind == "list" or kind == "tuple" then return target end
  return {target}
end

-- A template by its name, the first there is of a list of names, or a template itself.
local function find(ctx, target)
  local missing, why = {}, nil
  for at, name in ipairs(names_of(target)) do
    if type(name) == "table" and getmetatable(name) == ctx.env.Template then return name end
    local text = value.text(name)
    if not text then
      raise.runtime("a template is called by a string, not by %s", value.type_name(name))
    end
    local template, problem = ctx.env:find(text)
    if template then return template end
    missing[at], why = text, problem
  end
  if #missing == 1 then return nil, why end
  return nil, ("there is none of the templates '%s'"):format(table.concat(missing, "', '"))
end

local function must_find(ctx, target)
  local template, problem = find(ctx, target)
  return template or raise.runtime("%s", problem)
end

--- Makes a context that of a template which extends another.
-- @tparam table ctx
-- @param target what it extends
-- @tparam ?Template parent what it has extended so far
-- @treturn Template the one that is extended
function context.extend(ctx, target, parent)
  if parent then raise.runtime("extended multiple times") end
  local template = must_find(ctx, target)
  ctx.depth = ctx.depth + 1
  if ctx.depth > DEEPEST then
    raise.runtime("more than %d templates extend each other: does '%s' extend itself?", DEEPEST,
      template.name)
  end
  for name, fn in pairs(template.blocks) do
    local list = {}
    for at, each in ipairs(ctx.blocks[name] or {}) do list[at] = each end
    list[#list + 1] = fn
    ctx.blocks[name] = list
  end
  return template
end

local function inner_vars(ctx, with_context, locals)
  if not with_context then return layered({}, ctx.env.globals) end
  return locals and with_locals(locals, ctx.vars) or setmetatable({}, {__index = ctx.vars})
end

--- Writes another template.
-- @tparam table ctx
-- @tparam table out
-- @tparam integer n
-- @param target
-- @tparam boolean ignore whether it may be missing
-- @tparam boolean with_context whether it sees the variables
-- @tparam ?table locals
-- @treturn integer the new `n`
function context.include(ctx, out, n, target, ignore, with_context, locals)
  local template, problem = find(ctx, target)
  if not template then
    if ignore then return n end
    raise.runtime("%s", problem)
  end
  local vars = inner_vars(ctx, with_context, locals)
  return template.root(context.new(template, vars, ctx.depth + 1), out, n)
end

local Module = {__template = "object", name = "TemplateModule"}

function Module.attr(module, name)
  return module.exports[name]
end

function Module.repr(module)
  return ("<TemplateModule '%s'>"):format(module.template.name)
end

local function new_module(ctx, template, vars)
  local inner = context.new(template, vars, ctx.depth + 1)
  template.root(inner, {}, 0)
  local exports = {}
  for name, any in next, inner.vars do
    if not template.private[name] and name:sub(1, 1) ~= "_" then exports[name] = any end
  end
  return setmetatable({template = template, exports = exports}, Module)
end

--- What another template sets and defines. Without the context it is made once for the environment.
-- @tparam table ctx
-- @param target
-- @tparam boolean with_context
-- @tparam ?table locals
-- @treturn table an object with the exported names
function context.import(ctx, target, with_context, locals)
  local template = must_find(ctx, target)
  if with_context then return new_module(ctx, template, inner_vars(ctx, true, locals)) end
  local vars = layered({}, ctx.env.globals)
  template.module = template.module or new_module(ctx, template, vars)
  return template.module
end

--- A name out of a module.
-- @tparam table module
-- @tparam string name
-- @return its value, or an undefined
function context.imported(module, name)
  local found = module.exports[name]
  if found ~= nil then return found end
  return value.undefined(name, ("the template '%s' does not export the requested name '%s'")
    :format(module.template.name, name))
end

return context
