--- Parses expressions: tokens to a tree of tables, each with `kind` and `line`.
--
-- Kinds and their fields: `Const value`; `Name name`; `List items`; `Tuple items`; `Dict pairs`
-- (key, value, key, value ...); `Attr node name`; `Item node arg`; `Slice start stop step`; `Call
-- node args`; `Filter node name args`; `Test node name args`; `Binary op left right`; `Unary op
-- node`; `Concat items`; `Compare node ops` (`{op, node}`); `And left right`; `Or left right`;
-- `Not node`; `Cond test yes no`. Arguments are `{list, names = {{name, node}}, rest = node,
-- named_rest = node}`. A `Const` without a value is `none`.
-- @module genet.template.expression

local lexer = require "genet.template.lexer"

local expression = {}

local parse_or

local CONSTANTS = {
  ["true"] = true, ["True"] = true, ["false"] = false, ["False"] = false,
}

local function parse_list(stream)
  local node = {kind = "List", line = stream:expect("[").line, items = {}}
  while stream.current.type ~= "]" do
    if #node.items > 0 then stream:expect(",") end
    if stream.current.type == "]" then break end
    node.items[#node.items + 1] = expression.parse(stream)
  end
  stream:expect("]")
  return node
end

local function parse_dict(stream)
  local node = {kind = "Dict", line = stream:expect("{").line, pairs = {}}
  local list = node.pairs
  while stream.current.type ~= "}" do
    if #list > 0 then stream:expect(",") end
    if stream.current.type == "}" then break end
    list[#list + 1] = expression.parse(stream)
    stream:expect(":")
    list[#list + 1] = expression.parse(stream)
  end
  stream:expect("}")
  return node
end

local function parse_strings(stream)
  local node = {kind = "Const", line = stream.current.line, value = stream:next().value}
  while stream.current.type == "string" do node.value = node.value .. stream:next().value end
  return node
end

local function parse_name(stream)
  local token = stream:next()
  local word, line = token.value, token.line
  if CONSTANTS[word] ~= nil then return {kind = "Const", line = line, value = CONSTANTS[word]} end
  if word == "none" or word == "None" then return {kind = "Const", line = line} end
  return {kind = "Name", line = line, name = word}
end

--- A name, a literal, or an expression in brackets.
-- @tparam Stream stream
-- @treturn table
function expression.primary(stream)
  local token = stream.current
  if token.type == "name" then return parse_name(stream) end
  if token.type == "string" then return parse_strings(stream) end
  if token.type == "number" then
    return {kind = "Const", line = token.line, value = stream:next().value}
  end
  if token.type == "(" then
    stream:next()
    local node = expression.tuple(stream, {explicit = true})
    stream:expect(")")
    return node
  end
  if token.type == "[" then return parse_list(stream) end
  if token.type == "{" then return parse_dict(stream) end
  stream:fail(("unexpected '%s'"):format(lexer.describe(token)))
end

local function ends_tuple(stream, options)
  local kind = stream.current.type
  return kind == "variable_end" or kind == "block_end" or kind == ")"
    or options.until_name and stream:is_name(options.until_name)
end

local function parse_part(stream, options)
  if options.simple then return expression.primary(stream) end
  if options.without_condition then return parse_or(stream) end
  return expression.parse(stream)
end

--- An expression, or several with commas between them, which are a tuple.
-- @tparam Stream stream
-- @tparam ?table options `simple` (names and literals only), `without_condition`, `until_name` (a
--   name that ends it), `explicit` (it stands in brackets and may be empty)
-- @treturn table
function expression.tuple(stream, options)
  options = options or {}
  local node = {kind = "Tuple", line = stream.current.line, items = {}}
  local commas = false
  while true do
    if #node.items > 0 then stream:expect(",") end
    if ends_tuple(stream, options) then break end
    node.items[#node.items + 1] = parse_part(stream, options)
    if stream.current.type ~= "," then break end
    commas = true
  end
  if commas then return node end
  if node.items[1] then return node.items[1] end
  if not options.explicit then
    stream:fail(("Expected an expression, got '%s'"):format(lexer.describe(stream.current)))
  end
  return node
end

local function parse_subscribed(stream)
  local line, parts, at = stream.current.line, {}, 1
  local is_slice = false
  while stream.current.type ~= "]" and stream.current.type ~= "," do
    if stream.current.type == ":" then
      if at == 3 then stream:expect("]") end
      is_slice, at = true, at + 1
      stream:next()
    else
      if parts[at] then stream:expect("]") end
      parts[at] = expression.parse(stream)
    end
  end
  if not is_slice then return parts[1] or stream:fail("Expected an expression, got ']'") end
  return {kind = "Slice", line = line, start = parts[1], stop = parts[2], step = parts[3]}
end

local function parse_brackets(stream, node)
  local line = stream:next().line
  local args = {}
  repeat
    if #args > 0 then stream:expect(",") end
    args[#args + 1] = parse_subscribed(stream)
  until stream.current.type ~= ","
  stream:expect("]")
  local arg = args[1]
  if #args > 1 then arg = {kind = "Tuple", line = line, items = args} end
  return {kind = "Item", line = line, node = node, arg = arg}
end

local function parse_dot(stream, node)
  local line = stream:next().line
  local token = stream:next()
  if token.type == "name" then
    return {kind = "Attr", line = line, node = node, name = token.value}
  end
  if math.type(token.value) ~= "integer" then stream:fail("expected name or number", token.line) end
  local arg = {kind = "Const", line = token.line, value = token.value}
  return {kind = "Item", line = line, node = node, arg = arg}
end

-- One argument of a call, put where it belongs in `args`.
local function parse_argument(stream, args, ensure)
  if stream:skip("*") then
    ensure(not args.rest and not args.named_rest)
    args.rest = expression.parse(stream)
  elseif stream:skip("**") then
    ensure(not args.named_rest)
    args.named_rest = expression.parse(stream)
  elseif stream.current.type == "name" and stream:look().type == "=" then
    ensure(not args.named_rest)
    local name = stream:next().value
    stream:next()
    args.names[#args.names + 1] = {name, expression.parse(stream)}
  else
    ensure(not args.rest and not args.named_rest and #args.names == 0)
    args[#args + 1] = expression.parse(stream)
  end
end

--- The arguments of a call, from its opening bracket to the closing one.
-- @tparam Stream stream
-- @treturn table
function expression.arguments(stream)
  local line = stream:expect("(").line
  local args, first = {names = {}}, true
  local function ensure(holds)
    if not holds then stream:fail("invalid syntax for function call expression", line) end
  end
  while stream.current.type ~= ")" do
    if not first then stream:expect(",") end
    if stream.current.type == ")" then break end
    parse_argument(stream, args, ensure)
    first = false
  end
  stream:expect(")")
  return args
end

local function parse_call(stream, node)
  local line = stream.current.line
  return {kind = "Call", line = line, node = node, args = expression.arguments(stream)}
end

local function parse_postfix(stream, node)
  while true do
    local kind = stream.current.type
    if kind == "." then
      node = parse_dot(stream, node)
    elseif kind == "[" then
      node = parse_brackets(stream, node)
    elseif kind == "(" then
      node = parse_call(stream, node)
    else
      return node
    end
  end
end

local function dotted_name(stream)
  local name = stream:expect("name").value
  while stream:skip(".") do name = name .. "." .. stream:expect("name").value end
  return name
end

--- A filter from its name on, and those that follow it after a bar.
-- @tparam Stream stream
-- @tparam ?table node what is filtered
-- @treturn table
function expression.filters(stream, node)
  repeat
    local line = stream.current.line
    local name = dotted_name(stream)
    local args = stream.current.type == "(" and expression.arguments(stream) or {names = {}}
    node = {kind = "Filter", line = line, node = node, name = name, args = args}
  until not stream:skip("|")
  return node
end

local STARTS_ARGUMENT = {name = true, string = true, number = true, ["["] = true, ["{"] = true}
local ENDS_TEST = {["else"] = true, ["or"] = true, ["and"] = true}

local function parse_test_arguments(stream)
  local token = stream.current
  if token.type == "(" then return expression.arguments(stream) end
  if not STARTS_ARGUMENT[token.type] or token.type == "name" and ENDS_TEST[token.value] then
    return {names = {}}
  end
  if stream:is_name("is") then stream:fail("You cannot chain multiple tests with is") end
  return {parse_postfix(stream, expression.primary(stream)), names = {}}
end

local function parse_test(stream, node)
  local line = stream:next().line
  local negated = stream:skip_name("not")
  local name = dotted_name(stream)
  local args = parse_test_arguments(stream)
  local test = {kind = "Test", line = line, node = node, name = name, args = args}
  return negated and {kind = "Not", line = line, node = test} or test
end

-- What may follow an operand: filters, tests, calls of what those return.
local function parse_filtered(stream, node)
  while true do
    if stream:skip("|") then
      node = expression.filters(stream, node)
    elseif stream:is_name("is") then
      node = parse_test(stream, node)
    elseif stream.current.type == "(" then
      node = parse_call(stream, node)
    else
      return node
    end
  end
end

local function parse_signed(stream)
  local token = stream.current
  if token.type ~= "-" and token.type ~= "+" then
    return parse_postfix(stream, expression.primary(stream))
  end
  stream:next()
  stream:enter()
  local node = {kind = "Unary", line = token.line, op = token.type, node = parse_signed(stream)}
  stream:leave()
  return parse_postfix(stream, node)
end

local function parse_unary(stream)
  return parse_filtered(stream, parse_signed(stream))
end

-- A parser for operators of one rank, which bind to the left.
local function binary(operators, operand)
  return function(stream)
    local line, left = stream.current.line, operand(stream)
    while operators[stream.current.type] do
      local op = stream:next().type
      left = {kind = "Binary", line = line, op = op, left = left, right = operand(stream)}
    end
    return left
  end
end

local parse_power = binary({["**"] = true}, parse_unary)
local parse_product = binary({["*"] = true, ["/"] = true, ["//"] = true, ["%"] = true}, parse_power)

local function parse_concat(stream)
  local line, items = stream.current.line, {parse_product(stream)}
  while stream:skip("~") do items[#items + 1] = parse_product(stream) end
  return #items == 1 and items[1] or {kind = "Concat", line = line, items = items}
end

local parse_sum = binary({["+"] = true, ["-"] = true}, parse_concat)

local COMPARISONS = {
  ["=="] = true, ["!="] = true, ["<"] = true, ["<="] = true, [">"] = true, [">="] = true,
}

-- The comparison that comes next, passed.
local function next_comparison(stream)
  if COMPARISONS[stream.current.type] then return stream:next().type end
  if stream:skip_name("in") then return "in" end
  local after = stream:look()
  if stream:is_name("not") and after.type == "name" and after.value == "in" then
    stream:next()
    stream:next()
    return "not in"
  end
end

local function parse_compare(stream)
  local line, node, ops = stream.current.line, parse_sum(stream), {}
  local op = next_comparison(stream)
  while op do
    ops[#ops + 1] = {op, parse_sum(stream)}
    op = next_comparison(stream)
  end
  return #ops == 0 and node or {kind = "Compare", line = line, node = node, ops = ops}
end

local function parse_not(stream)
  local line = stream.current.line
  if not stream:skip_name("not") then return parse_compare(stream) end
  stream:enter()
  local node = {kind = "Not", line = line, node = parse_not(stream)}
  stream:leave()
  return node
end

local function logical(word, kind, operand)
  return function(stream)
    local line, left = stream.current.line, operand(stream)
    while stream:skip_name(word) do
      left = {kind = kind, line = line, left = left, right = operand(stream)}
    end
    return left
  end
end

local parse_and = logical("and", "And", parse_not)
parse_or = logical("or", "Or", parse_and)

--- An expression.
-- @tparam Stream stream
-- @tparam ?boolean without_condition whether an `if` after it belongs to what is around it
-- @treturn table
function expression.parse(stream, without_condition)
  stream:enter()
  local line, node = stream.current.line, parse_or(stream)
  while not without_condition and stream:skip_name("if") do
    local test, no = parse_or(stream), nil
    if stream:skip_name("else") then no = expression.parse(stream) end
    node = {kind = "Cond", line = line, test = test, yes = node, no = no}
  end
  stream:leave()
  return node
end

return expression
