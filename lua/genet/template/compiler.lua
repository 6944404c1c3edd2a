--- Makes Lua functions of templates.
--
-- A template becomes one chunk for what stands outside of blocks and one for each block; each
-- returns `function(context, out, n)`, which writes texts to `out[n + 1]`, `out[n + 2]` ... and
-- returns the last `n`. A chunk is given `RT` (the runtime's functions), `F` and `T` (filters and
-- tests by name), `ON` and `OFF` (the states of code that escapes and code that does not) and `U`
-- (what brands an undefined).
-- @module genet.template.compiler

local Scope = require "genet.template.scope"
local Writer = require "genet.template.writer"
local analysis = require "genet.template.analysis"
local parser = require "genet.template.parser"
local raise = require "genet.template.raise"
local statements = require "genet.template.statements"

local compiler = {}

local quote = Writer.quote

local function put(gen, ...)
  gen.writer:put(...)
end

local function use(gen, name)
  return gen.writer:use(name)
end

-- `self` and `super` are names that the context does not have.
local function context_source(gen, name)
  if name == "self" then return use(gen, "self_reference") .. "(ctx)" end
  if name == "super" and gen.block then
    return ("%s(ctx, %s, SELF)"):format(use(gen, "super_reference"), quote(gen.block))
  end
  local source = ("%s(vars, %s)"):format(use(gen, "resolve"), quote(name))
  return gen.brands and "U(" .. source .. ")" or source
end

-- Declares what the chunk takes from the context.
local function fill_context(gen, scope, slot)
  local parts = {}
  if scope.fn.spills then parts[1] = ("local S%d = {} "):format(scope.fn.id) end
  for _, name in ipairs(scope.chunk.order) do
    local variable = scope.chunk.context[name]
    local is_local = not variable:find("^C%.")
    if not is_local and not scope.chunk.spills then
      scope.chunk.spills = true
      parts[#parts + 1] = "local C = {} "
    end
    parts[#parts + 1] = ("%s%s = %s "):format(is_local and "local " or "", variable,
      context_source(gen, name))
  end
  gen.writer:fill(slot, table.concat(parts))
end

-- `load` says which line of the chunk it could not take, and lines are those of the template.
local function load_chunk(gen, source, env)
  local chunk, problem = load(source, raise.chunk_name(gen.name), "t", {})
  if not chunk then
    local line, message = tostring(problem):match(":(%d+): (.*)$")
    raise.syntax(gen.name, tonumber(line) or 1, "the template is too complex: "
      .. (message or tostring(problem)))
  end
  return chunk(env.runtime, env.filter_functions, env.test_functions, env.on, env.off, env.brand)
end

local function finish(gen, scope, slot, env)
  fill_context(gen, scope, slot)
  return load_chunk(gen, gen.writer:source(), env)
end

local function new_generator(env, name, escapes, block)
  local gen = {
    writer = Writer.new(), env = env, name = name, block = block, brands = env.brand ~= nil,
    private = {},
  }
  return gen, Scope.new(gen.writer, statements.MODES[escapes])
end

local function compile_root(env, name, tree, escapes)
  local gen, scope = new_generator(env, name, escapes)
  scope.toplevel, scope.root = true, true
  local extends = analysis.extends(tree)
  scope.check = extends
  put(gen, "return function(ctx, out, n) local vars, parent = ctx.vars ")
  local slot = gen.writer:slot()
  statements.enter(gen, scope, analysis.stores(tree))
  statements.body(gen, tree, scope)
  if extends then put(gen, "if parent then n = parent.root(ctx, out, n) end ") end
  put(gen, "return n end")
  return finish(gen, scope, slot, env), gen.private
end

local function compile_block(env, name, node, escapes)
  local gen, scope = new_generator(env, name, escapes, node.name)
  put(gen, "local SELF SELF = function(ctx, out, n) local vars = ctx.vars ")
  local slot = gen.writer:slot()
  statements.enter(gen, scope, analysis.stores(node.body))
  statements.body(gen, node.body, scope)
  put(gen, "return n end return SELF")
  return finish(gen, scope, slot, env)
end

--- A template's functions.
-- @tparam table env see `genet.template.environment`
-- @tparam string source
-- @tparam string name for messages
-- @tparam boolean escapes
-- @treturn table `root`, `blocks` by name, `private` (names that are not exported)
-- @raise when the source is broken
function compiler.compile(env, source, name, escapes)
  local tree = parser.parse(source, name, env.options)
  local blocks = analysis.blocks(tree, function(node)
    raise.syntax(name, node.line, ("block '%s' defined twice"):format(node.name))
  end)
  local compiled = {blocks = {}}
  compiled.root, compiled.private = compile_root(env, name, tree, escapes)
  for _, node in ipairs(blocks) do
    compiled.blocks[node.name] = compile_block(env, name, node, escapes)
  end
  return compiled
end

return compiler
