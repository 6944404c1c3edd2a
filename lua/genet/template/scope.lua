--- Scopes of names while a template is compiled: which Lua variable holds a name.
--
-- A scope belongs to a function of the chunk. Lua allows 200 locals for a function: names beyond
-- the first hundred live in a table.
-- @module genet.template.scope

local Scope = {}
Scope.__index = Scope

local MOST_LOCALS = 100

--- The outermost scope of a chunk.
-- @tparam Writer writer
-- @tparam table mode whether output is escaped, see `genet.template.compiler`
-- @treturn Scope
function Scope.new(writer, mode)
  return setmetatable({
    writer = writer, mode = mode, names = {}, parent = nil, toplevel = false,
    fn = {count = 0, id = writer:unique()}, chunk = {context = {}, order = {}},
  }, Scope)
end

--- A scope within this one.
-- @tparam ?table fields that differ: `fn`, `mode`, `soft`, `loop` ...
-- @treturn Scope
function Scope:inner(fields)
  local scope = setmetatable({
    writer = self.writer, mode = self.mode, names = {}, parent = self, fn = self.fn,
    chunk = self.chunk, check = self.check, soft = self.soft, first = self.fn.count,
  }, Scope)
  for key, field in pairs(fields or {}) do scope[key] = field end
  return scope
end

--- Forgets the locals of this scope, which ends.
function Scope:leave()
  self.fn.count = self.first
end

--- A function within the current one, for `inner`.
-- @treturn table
function Scope:new_function()
  return {count = 0, id = self.writer:unique()}
end

--- A Lua variable for a name.
-- @tparam string name
-- @tparam ?boolean is_parameter it has to be a local
-- @treturn string the variable
-- @treturn boolean whether it is to be declared `local`
function Scope:declare(name, is_parameter)
  local fn = self.fn
  local plain = ("%s_%d"):format(name:gsub("[^%w_]", "_"), self.writer:unique())
  if fn.count >= MOST_LOCALS and not is_parameter then
    fn.spills = true
    self.names[name] = ("S%d.%s"):format(fn.id, "v_" .. plain)
    return self.names[name], false
  end
  fn.count = fn.count + 1
  self.names[name] = "l_" .. plain
  return self.names[name], true
end

--- The variable of a name, if a scope around has declared it.
-- @tparam string name
-- @treturn ?string
function Scope:find(name)
  local scope = self
  while scope do
    if scope.names[name] then return scope.names[name] end
    scope = scope.parent
  end
end

--- The variable of a name; one that no scope has declared comes from the context.
-- @tparam string name
-- @treturn string
function Scope:lookup(name)
  local found = self:find(name) or self.chunk.context[name]
  if found then return found end
  local chunk = self.chunk
  local plain = ("%s_%d"):format(name:gsub("[^%w_]", "_"), self.writer:unique())
  local variable = #chunk.order < MOST_LOCALS / 2 and "c_" .. plain or "C.c_" .. plain
  chunk.context[name] = variable
  chunk.order[#chunk.order + 1] = name
  return variable
end

--- The nearest loop whose `loop` this scope sees.
-- @treturn ?table
function Scope:find_loop()
  local scope = self
  while scope do
    if scope.loop and scope.loop.used then return scope.loop end
    if scope.names.loop then return nil end
    scope = scope.parent
  end
end

--- The loop that `break` and `continue` are about: the nearest one in the same function.
-- @treturn ?table
function Scope:enclosing_loop()
  local scope = self
  while scope and scope.fn == self.fn do
    if scope.loop then return scope.loop end
    scope = scope.parent
  end
end

--- All names that are not those of the template's top level, with their variables.
-- @treturn table
function Scope:locals()
  local names, scope = {}, self
  while scope do
    for name, variable in pairs(scope.names) do
      if not scope.root then names[name] = names[name] or variable end
    end
    scope = scope.parent
  end
  return names
end

return Scope
