--- Writes expressions as Lua.
--
-- Each function takes the generator (`writer`, `env`, `name`), a node and the scope it stands in.
-- Values are never nil; where Lua's `and` and `or` choose between values, `boxed` keeps false
-- apart.
-- @module genet.template.expressions

local Writer = require "genet.template.writer"
local analysis = require "genet.template.analysis"
local raise = require "genet.template.raise"

local expressions = {}

local emit, emit_truth

local quote = Writer.quote

local function use(gen, name)
  return gen.writer:use(name)
end

local function put(gen, ...)
  gen.writer:put(...)
end

-- Nodes with commas between them.
local function emit_list(gen, nodes, scope, first)
  for at = first or 1, #nodes do
    if at > (first or 1) then put(gen, ", ") end
    emit(gen, nodes[at], scope)
  end
end

local function emit_call(gen, name, scope, ...)
  put(gen, use(gen, name), "(")
  emit_list(gen, {...}, scope)
  put(gen, ")")
end

-- ---- values ----

local function number_source(number)
  if number ~= number or number == math.huge then return "(1/0)" end
  if math.type(number) == "integer" then return ("%d"):format(number) end
  local written = ("%.17g"):format(number)
  return written:find("[.en]") and written or written .. ".0"
end

local function emit_const(gen, node)
  local constant = node.value
  if constant == nil then return put(gen, use(gen, "none")) end
  if type(constant) == "string" then return put(gen, quote(constant)) end
  if type(constant) == "number" then return put(gen, number_source(constant)) end
  put(gen, tostring(constant))
end

local function emit_items(open, close, helper)
  return function(gen, node, scope)
    if helper then put(gen, use(gen, helper)) end
    put(gen, open)
    emit_list(gen, node.items or node.pairs, scope)
    put(gen, close)
  end
end

local function emit_name(gen, node, scope)
  put(gen, scope:lookup(node.name))
end

-- ---- names of `loop` ----

local LOOP = {
  index = "%s", index0 = "(%s - 1)", first = "(%s == 1)", depth = "1", depth0 = "0",
}

-- The loop that an attribute is of, when the compiler knows all about it.
local function plain_loop(node, scope)
  if node.kind ~= "Name" or node.name ~= "loop" then return nil end
  local loop = scope:find_loop()
  return loop and not loop.object and loop or nil
end

local function emit_loop_attr(gen, name, loop)
  if LOOP[name] then return put(gen, (LOOP[name]:gsub("%%s", loop.index))) end
  if name == "last" then return put(gen, "(", loop.index, " == ", loop.length, ")") end
  if name == "length" then return put(gen, loop.length) end
  if name == "revindex" then return put(gen, "(", loop.length, " - ", loop.index, " + 1)") end
  if name == "revindex0" then return put(gen, "(", loop.length, " - ", loop.index, ")") end
  local helper = name == "previtem" and "previous" or "following"
  put(gen, use(gen, helper), "(", loop.list, ", ", loop.index, ")")
end

-- ---- access ----

local function emit_attr(gen, node, scope)
  local loop = plain_loop(node.node, scope)
  if loop then return emit_loop_attr(gen, node.name, loop) end
  put(gen, use(gen, "attr"), "(")
  emit(gen, node.node, scope)
  put(gen, ", ", quote(node.name), ")")
end

local function emit_optional(gen, node, scope)
  if node then emit(gen, node, scope) else put(gen, "nil") end
end

local function emit_item(gen, node, scope)
  local arg = node.arg
  if arg.kind ~= "Slice" then return emit_call(gen, "item", scope, node.node, arg) end
  put(gen, use(gen, "slice"), "(")
  emit(gen, node.node, scope)
  for _, part in ipairs{"start", "stop", "step"} do
    put(gen, ", ")
    emit_optional(gen, arg[part], scope)
  end
  put(gen, ")")
end

-- ---- calls ----

-- The arguments by name as a dict; `caller` is a function that writes one more of them.
local function emit_named(gen, args, scope, caller)
  if #args.names == 0 and not caller then return put(gen, "nil") end
  put(gen, use(gen, "dict"), "{")
  for at, pair in ipairs(args.names) do
    if at > 1 then put(gen, ", ") end
    put(gen, quote(pair[1]), ", ")
    emit(gen, pair[2], scope)
  end
  if caller then
    put(gen, #args.names > 0 and ", " or "", "\"caller\", ")
    caller()
  end
  put(gen, "}")
end

-- `, args...` after what is called.
local function emit_more(gen, args, scope)
  for at = 1, #args do
    put(gen, ", ")
    emit(gen, args[at], scope)
  end
end

-- What `call_spread` and its like take: a list, what is spread, a dict, what is spread.
local function emit_spread(gen, args, scope, caller, first)
  put(gen, "{")
  if first then first() end
  if first and #args > 0 then put(gen, ", ") end
  emit_list(gen, args, scope)
  put(gen, "}, ")
  emit_optional(gen, args.rest, scope)
  put(gen, ", ")
  emit_named(gen, args, scope, caller)
  put(gen, ", ")
  emit_optional(gen, args.named_rest, scope)
end

local function is_spread(args)
  return args.rest or args.named_rest
end

local function emit_method_call(gen, node, scope, caller)
  local args, target = node.args, node.node
  local named = caller or #args.names > 0
  put(gen, use(gen, named and "method_named" or "method"), "(", scope.mode.state, ", ")
  emit(gen, target.node, scope)
  put(gen, ", ", quote(target.name))
  if named then
    put(gen, ", ")
    emit_named(gen, args, scope, caller)
  end
  emit_more(gen, args, scope)
  put(gen, ")")
end

local function emit_loop_call(gen, node, scope, loop)
  local name = node.node.name
  put(gen, use(gen, name), "(", name == "cycle" and loop.index or loop.memory)
  emit_more(gen, node.args, scope)
  put(gen, ")")
end

local LOOP_CALLS = {cycle = true, changed = true}

--- A call, to which a call block may add a caller.
-- @tparam table gen
-- @tparam table node a `Call`
-- @tparam Scope scope
-- @tparam ?function caller writes it
function expressions.call(gen, node, scope, caller)
  local args, target = node.args, node.node
  gen.writer:at(node.line)
  if target.kind == "Attr" and not is_spread(args) then
    local loop = LOOP_CALLS[target.name] and plain_loop(target.node, scope)
    if loop then return emit_loop_call(gen, node, scope, loop) end
    return emit_method_call(gen, node, scope, caller)
  end
  local named = caller or #args.names > 0
  local helper = is_spread(args) and "call_spread" or named and "call_named" or "call"
  put(gen, use(gen, helper), "(", scope.mode.state, ", ")
  emit(gen, target, scope)
  if is_spread(args) then
    put(gen, ", ")
    emit_spread(gen, args, scope, caller)
  else
    if named then
      put(gen, ", ")
      emit_named(gen, args, scope, caller)
    end
    emit_more(gen, args, scope)
  end
  put(gen, ")")
end

-- ---- filters and tests ----

local function index_of(list, word)
  for at, each in ipairs(list) do
    if each == word then return at end
  end
end

-- The arguments of a filter of ours in their places, some of which may be empty.
local function placed(gen, node, params)
  local places, last = {}, #node.args
  if last > #params then
    raise.syntax(gen.name, node.line, ("%s '%s' takes not more than %d argument(s)")
      :format(node.kind:lower(), node.name, #params))
  end
  for at, arg in ipairs(node.args) do places[at] = arg end
  for _, pair in ipairs(node.args.names) do
    local at = index_of(params, pair[1])
    if not at or places[at] then
      raise.syntax(gen.name, node.line, ("%s '%s' %s '%s'"):format(node.kind:lower(), node.name,
        at and "got two values for" or "takes no keyword argument", pair[1]))
    end
    places[at], last = pair[2], math.max(last, at)
  end
  return places, last
end

local function emit_input(gen, node, scope)
  if node.kind == "Lua" then put(gen, node.code) else emit(gen, node, scope) end
end

-- A call that names are to be bound for while the template runs.
local function emit_applied(gen, node, scope)
  put(gen, use(gen, node.kind == "Filter" and "apply_filter" or "apply_test"), "(",
    scope.mode.state, ", ", quote(node.name), ", ")
  emit_spread(gen, node.args, scope, nil, function() emit_input(gen, node.node, scope) end)
  put(gen, ")")
end

local function emit_direct(gen, node, scope, spec)
  local places, last = placed(gen, node, spec.params or {})
  put(gen, node.kind == "Filter" and "F[" or "T[", quote(node.name), "](")
  if spec.state then put(gen, scope.mode.state, ", ") end
  emit_input(gen, node.node, scope)
  for at = 1, last do
    put(gen, ", ")
    emit_optional(gen, places[at], scope)
  end
  put(gen, ")")
end

-- A filter of ours that takes all arguments as they are.
local function emit_rest(gen, node, scope)
  put(gen, "F[", quote(node.name), "](", scope.mode.state, ", ")
  emit_input(gen, node.node, scope)
  put(gen, ", ")
  emit_named(gen, node.args, scope)
  emit_more(gen, node.args, scope)
  put(gen, ")")
end

local function emit_custom(gen, node, scope)
  put(gen, node.kind == "Filter" and "F[" or "T[", quote(node.name), "](")
  emit_input(gen, node.node, scope)
  emit_more(gen, node.args, scope)
  put(gen, ")")
end

-- A filter or test that the environment does not have: an error when the template is compiled, but
-- where a condition may keep it from being reached, one when it is reached.
local function emit_unknown(gen, node, scope, known)
  local noun = node.kind:lower()
  local message = ("No %s named '%s'%s.%s"):format(noun, node.name, scope.soft and " found" or "",
    raise.suggestion(node.name, known))
  if not scope.soft then raise.syntax(gen.name, node.line, message) end
  put(gen, use(gen, "fail"), "(", quote(message), ", ")
  emit_input(gen, node.node, scope)
  put(gen, ")")
end

local function emit_applied_or_direct(gen, node, scope)
  local registry = node.kind == "Filter" and gen.env.filters or gen.env.tests
  local spec = registry[node.name]
  gen.writer:at(node.line)
  if not spec then return emit_unknown(gen, node, scope, registry) end
  if is_spread(node.args) then return emit_applied(gen, node, scope) end
  if spec.rest then return emit_rest(gen, node, scope) end
  if spec.params then return emit_direct(gen, node, scope, spec) end
  if #node.args.names > 0 then return emit_applied(gen, node, scope) end
  emit_custom(gen, node, scope)
end

local DEFINED = {defined = "not ", undefined = ""}

local function emit_test(gen, node, scope)
  local spec = gen.env.tests[node.name]
  if not DEFINED[node.name] or not spec or not spec.builtin or #node.args > 0 then
    return emit_applied_or_direct(gen, node, scope)
  end
  put(gen, "(", DEFINED[node.name], use(gen, "is_undefined"), "(")
  emit(gen, node.node, scope)
  put(gen, "))")
end

-- ---- operators ----

local BINARY = {
  ["+"] = "add", ["-"] = "sub", ["*"] = "mul", ["/"] = "div", ["//"] = "floordiv", ["%"] = "mod",
  ["**"] = "pow",
}

local function emit_binary(gen, node, scope)
  gen.writer:at(node.line)
  emit_call(gen, BINARY[node.op], scope, node.left, node.right)
end

local function emit_unary(gen, node, scope)
  local inner = node.node
  if inner.kind == "Const" and type(inner.value) == "number" and node.op == "-" then
    return put(gen, "(-", number_source(inner.value), ")")
  end
  emit_call(gen, node.op == "-" and "neg" or "pos", scope, inner)
end

local COMPARISONS = {
  ["=="] = "eq", ["!="] = "ne", ["<"] = "lt", [">"] = "gt", ["<="] = "le", [">="] = "ge",
  ["in"] = "contains", ["not in"] = "contains",
}

local function emit_compare(gen, node, scope)
  local op, right = node.ops[1][1], node.ops[1][2]
  if #node.ops == 1 then
    put(gen, op == "not in" and "(not " or "(")
    emit_call(gen, COMPARISONS[op], scope, node.node, right)
    return put(gen, ")")
  end
  local signs, nodes = {}, {node.node}
  for at, pair in ipairs(node.ops) do
    signs[at], nodes[at + 1] = quote(pair[1]), pair[2]
  end
  local list = gen.writer:constant("{" .. table.concat(signs, ", ") .. "}")
  put(gen, use(gen, "chain"), "(", list, ", {")
  emit_list(gen, nodes, scope)
  put(gen, "})")
end

local function emit_concat(gen, node, scope)
  local mode, marked, plain = scope.mode, use(gen, "concat_markup"), use(gen, "concat")
  if mode.on == nil then
    put(gen, "(", mode.state, ".on and ", marked, " or ", plain, ")")
  else
    put(gen, mode.on and marked or plain)
  end
  put(gen, "({")
  emit_list(gen, node.items, scope)
  put(gen, "})")
end

-- ---- choices ----

local function emit_boxed(gen, node, scope)
  put(gen, use(gen, "boxed"), "(")
  emit(gen, node, scope)
  put(gen, ")")
end

local function emit_and(gen, node, scope)
  if analysis.is_boolean(node.left) then
    put(gen, "(")
    emit(gen, node.left, scope)
    put(gen, " and ")
    emit(gen, node.right, scope)
    return put(gen, ")")
  end
  put(gen, use(gen, "unboxed"), "(", use(gen, "falsy"), "(")
  emit(gen, node.left, scope)
  put(gen, ") or ")
  emit_boxed(gen, node.right, scope)
  put(gen, ")")
end

local function emit_or(gen, node, scope)
  put(gen, "(", use(gen, "truthy"), "(")
  emit(gen, node.left, scope)
  put(gen, ") or ")
  emit(gen, node.right, scope)
  put(gen, ")")
end

local function emit_not(gen, node, scope)
  put(gen, "(not ")
  emit_truth(gen, node.node, scope)
  put(gen, ")")
end

local NO_ELSE = "the inline if-expression on line %d in '%s' evaluated to false and no else section"
  .. " was defined."

local function emit_missing(gen, node)
  put(gen, use(gen, "undefined"), "(nil, ", quote(NO_ELSE:format(node.line, gen.name)), ")")
end

local function emit_cond(gen, node, scope)
  scope = scope:inner{soft = true}
  put(gen, use(gen, "unboxed"), "(")
  emit_truth(gen, node.test, scope)
  put(gen, " and ")
  emit_boxed(gen, node.yes, scope)
  put(gen, " or ")
  if node.no then
    emit_boxed(gen, node.no, scope)
  else
    emit_missing(gen, node)
  end
  put(gen, ")")
end

local EMITTERS = {
  Const = emit_const, Name = emit_name, List = emit_items("{", "}"),
  Tuple = emit_items("{", "}", "tuple"), Dict = emit_items("{", "}", "dict"),
  Attr = emit_attr, Item = emit_item, Call = expressions.call,
  Filter = emit_applied_or_direct, Test = emit_test, Binary = emit_binary, Unary = emit_unary,
  Concat = emit_concat, Compare = emit_compare, And = emit_and, Or = emit_or, Not = emit_not,
  Cond = emit_cond,
}

-- What may be undefined for other reasons than its arguments.
local MAY_MISS = {Name = true, Attr = true, Item = true, Call = true, Filter = true}

function emit(gen, node, scope)
  if not gen.brands or not MAY_MISS[node.kind] then return EMITTERS[node.kind](gen, node, scope) end
  put(gen, "U(")
  EMITTERS[node.kind](gen, node, scope)
  put(gen, ")")
end

--- Writes an expression.
-- @tparam table gen
-- @tparam table node
-- @tparam Scope scope
expressions.emit = emit

function emit_truth(gen, node, scope)
  if analysis.is_boolean(node) then return emit(gen, node, scope) end
  if node.kind == "And" or node.kind == "Or" then
    put(gen, "(")
    emit_truth(gen, node.left, scope)
    put(gen, node.kind == "And" and " and " or " or ")
    emit_truth(gen, node.right, scope)
    return put(gen, ")")
  end
  put(gen, use(gen, "truth"), "(")
  emit(gen, node, scope)
  put(gen, ")")
end

--- Writes an expression as a condition.
-- @tparam table gen
-- @tparam table node
-- @tparam Scope scope
expressions.truth = emit_truth

-- ---- output ----

-- What makes text of a value in this scope.
local function writer_of(gen, scope)
  local mode = scope.mode
  if mode.on == nil then return mode.state .. ".escape" end
  return use(gen, mode.on and "escape" or "str")
end

local function is_builtin(gen, node, name)
  local spec, args = node.name == name and gen.env.filters[name], node.args
  return spec and spec.builtin and #args == 0 and #args.names == 0 and not is_spread(args)
end

local INTEGERS = {index = true, index0 = true, length = true, revindex = true, revindex0 = true}

local function is_loop_number(node, scope)
  return node.kind == "Attr" and INTEGERS[node.name] and plain_loop(node.node, scope)
end

local function emit_text(gen, node, scope, fn)
  put(gen, fn, "(")
  emit(gen, node, scope)
  put(gen, ")")
end

--- Writes an expression as the text that it prints.
-- @tparam table gen
-- @tparam table node
-- @tparam Scope scope
function expressions.output(gen, node, scope)
  gen.writer:at(node.line)
  if node.kind == "Cond" and node.no then
    local inner = scope:inner{soft = true}
    put(gen, "(")
    emit_truth(gen, node.test, inner)
    put(gen, " and ")
    expressions.output(gen, node.yes, inner)
    put(gen, " or ")
    expressions.output(gen, node.no, inner)
    return put(gen, ")")
  end
  if is_loop_number(node, scope) then return emit(gen, node, scope) end
  if node.kind == "Filter" and node.node.kind ~= "Lua" then
    if is_builtin(gen, node, "safe") then
      return emit_text(gen, node.node, scope, use(gen, "str"))
    end
    if is_builtin(gen, node, "e") or is_builtin(gen, node, "escape") then
      return emit_text(gen, node.node, scope, use(gen, "escape"))
    end
  end
  emit_text(gen, node, scope, writer_of(gen, scope))
end

return expressions
