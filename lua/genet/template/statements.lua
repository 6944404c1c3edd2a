--- Writes statements as Lua.
--
-- Each function takes the generator (`writer`, `env`, `name` ...), a node and the scope it stands
-- in.
--
-- A mode says whether output is escaped: `on` is true, false, or nil when that is known only at
-- run time; `state` is the Lua expression of the state.
-- @module genet.template.statements

local Writer = require "genet.template.writer"
local analysis = require "genet.template.analysis"
local expressions = require "genet.template.expressions"
local raise = require "genet.template.raise"

local statements = {}

local emit, emit_truth, quote = expressions.emit, expressions.truth, Writer.quote

-- The modes of code that escapes and code that does not.
local MODES = {[true] = {on = true, state = "ON"}, [false] = {on = false, state = "OFF"}}

statements.MODES = MODES

local emit_body

local function put(gen, ...)
  gen.writer:put(...)
end

local function use(gen, name)
  return gen.writer:use(name)
end

local function fail(gen, node, message)
  raise.syntax(gen.name, node.line, message)
end

-- ---- scopes ----

-- Declares what a scope assigns to, each with the value that the name has outside.
local function enter(gen, scope, names)
  for _, name in ipairs(names) do
    if not scope.names[name] then
      local outer = (scope.parent or scope):lookup(name)
      local variable, is_local = scope:declare(name)
      put(gen, is_local and "local " or "", variable, " = ", outer, " ")
    end
  end
end

--- Declares what a scope assigns to.
-- @function statements.enter
-- @tparam table gen
-- @tparam Scope scope
-- @tparam table names
statements.enter = enter

-- The names of a scope and their values as a table.
local function locals_table(scope)
  local parts = {}
  for name, variable in pairs(scope:locals()) do
    parts[#parts + 1] = ("[%s] = %s"):format(quote(name), variable)
  end
  table.sort(parts)
  return #parts > 0 and "{" .. table.concat(parts, ", ") .. "}" or "nil"
end

-- A buffer of its own for what `body` writes; `variable` gets its text. With `check`, a template
-- that extends another writes nothing to it either.
local function emit_capture(gen, body, scope, variable, check)
  put(gen, "do local out, n = {}, 0 ")
  local inner = scope:inner{check = check}
  enter(gen, inner, analysis.stores(body))
  emit_body(gen, body, inner)
  inner:leave()
  put(gen, " ", variable, " = ", use(gen, "join"), "(out) end ")
end

local function mark_of(gen, scope)
  if scope.mode.on == false then return "" end
  if scope.mode.on then return use(gen, "markup") end
  return scope.mode.state .. ".mark"
end

-- ---- output ----

-- Text that a literal prints, when that is known.
local function literal(node, scope)
  if node.kind == "Data" then return node.text end
  if node.kind ~= "Const" or scope.mode.on == nil then return nil end
  if math.type(node.value) == "integer" then return ("%d"):format(node.value) end
  if type(node.value) == "string" and not node.value:find("[&<>\"']") then return node.value end
end

local function emit_output(gen, node, scope)
  if scope.check and gen.extended then return end
  if scope.check then put(gen, "if not parent then ") end
  local pending = ""
  for at, item in ipairs(node.items) do
    local text = literal(item, scope)
    if text then pending = pending .. text end
    if pending ~= "" and (not text or at == #node.items) then
      put(gen, "n = n + 1 out[n] = ", quote(pending), " ")
      pending = ""
    end
    if not text then
      gen.writer:at(item.line)
      put(gen, "n = n + 1 out[n] = ")
      expressions.output(gen, item, scope)
      put(gen, " ")
    end
  end
  if scope.check then put(gen, "end ") end
end

-- ---- assignments ----

-- After an assignment at the top level the context knows the name too.
local function emit_export(gen, scope, name)
  if scope.toplevel then put(gen, "vars[", quote(name), "] = ", scope:lookup(name), " ") end
end

local emit_assign

-- `a, b = ...` out of the value in the Lua variable `from`.
local function emit_unpack(gen, target, scope, from)
  local variables, nested = {}, {}
  for at, item in ipairs(target.items) do
    if item.kind == "Name" then
      variables[at] = scope:lookup(item.name)
    else
      variables[at] = "t" .. gen.writer:unique()
      nested[#nested + 1] = {item, variables[at]}
      put(gen, "local ", variables[at], " ")
    end
  end
  put(gen, table.concat(variables, ", "), " = ", use(gen, "unpack"), "(", from, ", ",
    tostring(#target.items), ") ")
  for _, pair in ipairs(nested) do emit_assign(gen, pair[1], scope, pair[2]) end
end

local function each_name(target, fn)
  if target.kind == "Name" then return fn(target.name) end
  for _, item in ipairs(target.items) do each_name(item, fn) end
end

-- Assigns the value of a Lua expression to a target.
function emit_assign(gen, target, scope, code)
  if target.kind == "Field" then
    return put(gen, use(gen, "set_field"), "(", scope:lookup(target.name), ", ",
      quote(target.field), ", ", code, ") ")
  end
  if target.kind == "Name" then return put(gen, scope:lookup(target.name), " = ", code, " ") end
  emit_unpack(gen, target, scope, code)
end

local function emit_exports(gen, target, scope)
  if target.kind == "Field" then return end
  each_name(target, function(name) emit_export(gen, scope, name) end)
end

local function emit_set(gen, node, scope)
  local target = node.target
  if target.kind == "Name" then
    put(gen, scope:lookup(target.name), " = ")
    emit(gen, node.value, scope)
    put(gen, " ")
  else
    local from = "t" .. gen.writer:unique()
    put(gen, "do local ", from, " = ")
    emit(gen, node.value, scope)
    put(gen, " ")
    emit_assign(gen, target, scope, from)
    put(gen, "end ")
  end
  emit_exports(gen, target, scope)
end

-- Puts what a filter is about at the end of a chain of filters.
local function set_input(filter, code)
  while filter.node do filter = filter.node end
  filter.node = {kind = "Lua", code = code}
end

local function emit_set_block(gen, node, scope)
  local variable = "t" .. gen.writer:unique()
  put(gen, "do local ", variable, " ")
  emit_capture(gen, node.body, scope, variable, false)
  local mark = mark_of(gen, scope)
  if node.filter then
    set_input(node.filter, ("%s(%s)"):format(mark, variable))
    put(gen, variable, " = ")
    emit(gen, node.filter, scope)
    mark = mark ~= "" and use(gen, "marked") or ""
    if scope.mode.on == nil then mark = scope.mode.state .. ".marked" end
  end
  emit_assign(gen, node.target, scope, ("%s(%s)"):format(mark, variable))
  put(gen, "end ")
  emit_exports(gen, node.target, scope)
end

local function emit_with(gen, node, scope)
  local inner = scope:inner{toplevel = false}
  put(gen, "do ")
  for at, target in ipairs(node.targets) do
    local value = "t" .. gen.writer:unique()
    put(gen, "local ", value, " = ")
    emit(gen, node.values[at], scope)
    put(gen, " ")
    inner.names[target.name] = value
  end
  enter(gen, inner, analysis.stores(node.body))
  emit_body(gen, node.body, inner)
  inner:leave()
  put(gen, "end ")
end

-- ---- choices and loops ----

local function emit_if(gen, node, scope)
  local inner = scope:inner{soft = true, toplevel = scope.toplevel, shares = true}
  for at, branch in ipairs(node.branches) do
    gen.writer:at(branch.line)
    put(gen, at == 1 and "if " or "elseif ")
    emit_truth(gen, branch.test, inner)
    put(gen, " then ")
    emit_body(gen, branch.body, inner)
  end
  if node.otherwise then
    put(gen, "else ")
    emit_body(gen, node.otherwise, inner)
  end
  put(gen, "end ")
end

-- The variables of the target of a loop, the item being in the Lua variable `item`.
local function emit_target(gen, target, scope, item)
  if target.kind == "Name" then
    scope.names[target.name] = item
    return
  end
  each_name(target, function(name)
    put(gen, "local ", (scope:declare(name, true)), " ")
  end)
  emit_unpack(gen, target, scope, item)
end

-- `list` and its length out of what the loop goes through.
local function emit_contents(gen, node, loop, scope, source)
  put(gen, "local ", loop.list, ", ", loop.length, " = ",
    use(gen, loop.use.length and "all_contents" or "contents"), "(")
  if source then put(gen, source) else emit(gen, node.iter, scope) end
  put(gen, ") ")
end

-- Keeps only the items that the loop's condition is for.
local function emit_filtered(gen, node, loop, scope)
  local kept, count, index, item = loop.list .. "k", loop.length .. "k", loop.index, loop.item
  local inner = scope:inner{toplevel = false}
  put(gen, "local ", kept, ", ", count, " = {}, 0 for ", index, " = 1, ", loop.length, " do local ",
    item, " = ", loop.list, "[", index, "] if ", item, " == nil then break end ")
  emit_target(gen, node.target, inner, item)
  put(gen, "if ")
  emit_truth(gen, node.test, inner)
  put(gen, " then ", count, " = ", count, " + 1 ", kept, "[", count, "] = ", item, " end end ")
  inner:leave()
  loop.list, loop.length = kept, count
end

local function new_loop(gen, node)
  local id, found = gen.writer:unique(), analysis.loop_use(node)
  return {
    use = found, used = found.used or node.recursive, object = found.object, id = id,
    list = "list" .. id, length = "length" .. id, index = "i" .. id, item = "item" .. id,
    memory = "memory" .. id,
  }
end

-- What a loop needs before it starts.
local function emit_loop_head(gen, node, loop, inner)
  if node.otherwise then put(gen, "local any", loop.id, " = false ") end
  if loop.use.changed then put(gen, "local ", loop.memory, " = {} ") end
  if not loop.object then return end
  put(gen, "local loop", loop.id, " = ", use(gen, "new_loop"), "(", loop.list, ", ", loop.length,
    ", ", node.recursive and "depth, recurse" .. loop.id or "0", ") ")
  inner.names.loop = "loop" .. loop.id
end

-- Lua's loop over the list; what a function gives ends with nil.
local function emit_for_line(gen, loop)
  put(gen, "for ", loop.index, " = 1, ", loop.length, " do local ", loop.item, " = ", loop.list,
    "[", loop.index, "] if ", loop.item, " == nil then break end ")
end

-- The loop itself, `list` and its length being known.
local function emit_iteration(gen, node, loop, scope, inner)
  emit_loop_head(gen, node, loop, inner)
  emit_for_line(gen, loop)
  if loop.object then put(gen, "loop", loop.id, ".at = ", loop.index, " ") end
  emit_target(gen, node.target, inner, loop.item)
  local inline = node.test and not loop.filtered
  if inline then
    put(gen, "if ")
    emit_truth(gen, node.test, inner)
    put(gen, " then ")
  end
  if node.otherwise then put(gen, "any", loop.id, " = true ") end
  enter(gen, inner, analysis.stores(node.body))
  emit_body(gen, node.body, inner)
  if inline then put(gen, "end ") end
  if loop.continues then put(gen, "::continue", loop.id, ":: ") end
  put(gen, "end ")
  inner:leave()
  if not node.otherwise then return end
  put(gen, "if not any", loop.id, " then ")
  local otherwise = scope:inner{toplevel = false}
  enter(gen, otherwise, analysis.stores(node.otherwise))
  emit_body(gen, node.otherwise, otherwise)
  otherwise:leave()
  put(gen, "end ")
end

local function emit_loop(gen, node, loop, scope, source)
  emit_contents(gen, node, loop, scope, source)
  loop.filtered = node.test and loop.used
  local inner = scope:inner{toplevel = false, loop = loop}
  if loop.filtered then emit_filtered(gen, node, loop, scope) end
  emit_iteration(gen, node, loop, scope, inner)
end

local function emit_recursive(gen, node, loop, scope)
  local inner = scope:inner{toplevel = false, fn = scope:new_function()}
  put(gen, "do local recurse", loop.id, " recurse", loop.id, " = function(items, depth) ",
    "local out, n = {}, 0 ")
  local slot = gen.writer:slot()
  emit_loop(gen, node, loop, inner, "items")
  if inner.fn.spills then gen.writer:fill(slot, ("local S%d = {} "):format(inner.fn.id)) end
  put(gen, "return ", mark_of(gen, scope), "(", use(gen, "join"), "(out)) end n = n + 1 out[n] = ",
    use(gen, "str"), "(recurse", loop.id, "(")
  emit(gen, node.iter, scope)
  put(gen, ", 0)) end ")
end

local function emit_for(gen, node, scope)
  each_name(node.target, function(name)
    if name == "loop" then
      fail(gen, node, "Can't assign to special loop variable in for-loop target")
    end
  end)
  local loop = new_loop(gen, node)
  if node.recursive then return emit_recursive(gen, node, loop, scope) end
  put(gen, "do ")
  emit_loop(gen, node, loop, scope)
  put(gen, "end ")
end

local function emit_break(gen, node, scope)
  if not scope:enclosing_loop() then fail(gen, node, "'break' outside of a loop") end
  put(gen, "do break end ")
end

local function emit_continue(gen, node, scope)
  local loop = scope:enclosing_loop()
  if not loop then fail(gen, node, "'continue' outside of a loop") end
  loop.continues = true
  put(gen, "goto continue", loop.id, " ")
end

-- ---- macros ----

local function about_macro(node, has)
  local params, places = {}, {}
  for at, param in ipairs(node.params) do
    params[at] = quote(param.name)
    places[at] = ("[%s] = %d"):format(quote(param.name), at)
  end
  local about = "{name = %s, params = {%s}, places = {%s}, uses_caller = %s, catches_names = %s, "
    .. "catches_rest = %s}"
  return about:format(node.name and quote(node.name) or "nil", table.concat(params, ", "),
    table.concat(places, ", "), has.caller, has.kwargs, has.varargs)
end

-- Which of the special names a macro's body reads without having a parameter of that name.
local function special_names(node)
  local has = {}
  for _, name in ipairs{"caller", "kwargs", "varargs"} do
    has[name] = analysis.mentions(node.body, name)
    for _, param in ipairs(node.params) do has[name] = has[name] and param.name ~= name end
  end
  return has
end

local function emit_defaults(gen, node, scope)
  for _, param in ipairs(node.params) do
    local variable = scope:lookup(param.name)
    put(gen, "if ", variable, " == nil then ", variable, " = ")
    if param.default then
      emit(gen, param.default, scope)
    else
      put(gen, use(gen, "undefined"), "(", quote(param.name), ", ",
        quote(("parameter '%s' was not provided"):format(param.name)), ")")
    end
    put(gen, " end ")
  end
end

local function emit_special(gen, scope, has)
  if has.caller then
    put(gen, "local ", (scope:declare("caller", true)), " = caller or ", use(gen, "undefined"),
      "(\"caller\", \"No caller defined\") ")
  end
  if has.kwargs then
    put(gen, "local ", (scope:declare("kwargs", true)), " = names or ", use(gen, "dict"), "() ")
  end
  if has.varargs then
    put(gen, "local ", (scope:declare("varargs", true)), " = ", use(gen, "tuple"), "{...} ")
  end
end

-- A macro as an expression.
local function emit_macro_value(gen, node, scope)
  local has = special_names(node)
  local inner = scope:inner{fn = scope:new_function(), toplevel = false, check = false}
  local params = {"caller", "names"}
  for _, param in ipairs(node.params) do params[#params + 1] = (inner:declare(param.name, true)) end
  if has.varargs then params[#params + 1] = "..." end
  put(gen, use(gen, "macro"), "(", scope.mode.state, ", ",
    gen.writer:constant(about_macro(node, has)), ", function(", table.concat(params, ", "), ") ",
    "local out, n = {}, 0 ")
  local slot = gen.writer:slot()
  emit_defaults(gen, node, inner)
  emit_special(gen, inner, has)
  enter(gen, inner, analysis.stores(node.body))
  emit_body(gen, node.body, inner)
  if inner.fn.spills then gen.writer:fill(slot, ("local S%d = {} "):format(inner.fn.id)) end
  put(gen, "return (", use(gen, "join"), "(out)) end)")
end

local function emit_macro(gen, node, scope)
  put(gen, scope:lookup(node.name), " = ")
  emit_macro_value(gen, node, scope)
  put(gen, " ")
  emit_export(gen, scope, node.name)
end

local function emit_call_block(gen, node, scope)
  put(gen, "n = n + 1 out[n] = ", scope.mode.on == nil and scope.mode.state .. ".escape"
    or use(gen, scope.mode.on and "escape" or "str"), "(")
  expressions.call(gen, node.call, scope, function() emit_macro_value(gen, node, scope) end)
  put(gen, ") ")
end

local function emit_filter_block(gen, node, scope)
  local variable = "t" .. gen.writer:unique()
  put(gen, "do local ", variable, " ")
  emit_capture(gen, node.body, scope, variable, scope.check)
  set_input(node.filter, ("%s(%s)"):format(mark_of(gen, scope), variable))
  put(gen, "n = n + 1 out[n] = ")
  expressions.output(gen, node.filter, scope)
  put(gen, " end ")
end

-- ---- other templates ----

local function emit_block(gen, node, scope)
  if scope.toplevel and gen.extended then return end
  local checks = scope.toplevel and gen.extends_seen
  if checks then put(gen, "if not parent then ") end
  put(gen, "n = ", use(gen, "block"), "(ctx, ", quote(node.name), ", out, n, ",
    node.scoped and locals_table(scope) or "nil", ", ", tostring(node.required), ") ")
  if checks then put(gen, "end ") end
end

local function emit_extends(gen, node, scope)
  if not scope.toplevel then fail(gen, node, "cannot use extend from a non top-level scope") end
  put(gen, "parent = ", use(gen, "extend"), "(ctx, ")
  emit(gen, node.template, scope)
  put(gen, ", parent) ")
  gen.extends_seen = true
  if scope.root then gen.extended = true end
end

local function emit_include(gen, node, scope)
  put(gen, "n = ", use(gen, "include"), "(ctx, out, n, ")
  emit(gen, node.template, scope)
  put(gen, ", ", tostring(node.ignore or false), ", ", tostring(node.with_context), ", ",
    node.with_context and locals_table(scope) or "nil", ") ")
end

local function emit_import_value(gen, node, scope)
  put(gen, use(gen, "import"), "(ctx, ")
  emit(gen, node.template, scope)
  put(gen, ", ", tostring(node.with_context), ", ",
    node.with_context and locals_table(scope) or "nil", ") ")
end

local function emit_import(gen, node, scope)
  put(gen, scope:lookup(node.target), " = ")
  emit_import_value(gen, node, scope)
  emit_export(gen, scope, node.target)
  if scope.toplevel then gen.private[node.target] = true end
end

local function emit_from(gen, node, scope)
  local module = "t" .. gen.writer:unique()
  put(gen, "do local ", module, " = ")
  emit_import_value(gen, node, scope)
  for _, pair in ipairs(node.names) do
    put(gen, scope:lookup(pair[2]), " = ", use(gen, "imported"), "(", module, ", ",
      quote(pair[1]), ") ")
    emit_export(gen, scope, pair[2])
    if scope.toplevel then gen.private[pair[2]] = true end
  end
  put(gen, "end ")
end

local FALSE = {[false] = true, [0] = true, [""] = true}

-- The mode that an autoescape block asks for.
local function emit_mode(gen, value, scope)
  if value.kind == "Const" then return MODES[value.value ~= nil and not FALSE[value.value]] end
  local mode = {state = "state" .. gen.writer:unique()}
  put(gen, "local ", mode.state, " = ")
  emit_truth(gen, value, scope)
  put(gen, " and ON or OFF ")
  return mode
end

local function emit_autoescape(gen, node, scope)
  put(gen, "do ")
  local inner = scope:inner{mode = emit_mode(gen, node.value, scope), toplevel = false}
  enter(gen, inner, analysis.stores(node.body))
  emit_body(gen, node.body, inner)
  inner:leave()
  put(gen, "end ")
end

local EMITTERS = {
  Output = emit_output, Set = emit_set, SetBlock = emit_set_block, With = emit_with, If = emit_if,
  For = emit_for, Break = emit_break, Continue = emit_continue, Macro = emit_macro,
  CallBlock = emit_call_block, FilterBlock = emit_filter_block, Block = emit_block,
  Extends = emit_extends, Include = emit_include, Import = emit_import, From = emit_from,
  Autoescape = emit_autoescape,
}

function emit_body(gen, body, scope)
  for _, node in ipairs(body) do
    gen.writer:at(node.line)
    EMITTERS[node.kind](gen, node, scope)
  end
end

--- Writes statements.
-- @function statements.body
-- @tparam table gen
-- @tparam table body
-- @tparam Scope scope
statements.body = emit_body

return statements
