--- Parses templates: source to a list of statements, tables with `kind` and `line`.
--
-- Kinds and their fields: `Output items` (expressions, and `Data text`); `If branches` (`{test,
-- body}`) `otherwise`; `For target iter test recursive body otherwise`; `Set target value`;
-- `SetBlock target filter body`; `With targets values body`; `Macro name params body`; `CallBlock
-- call params body`; `FilterBlock filter body`; `Block name scoped required body`; `Extends
-- template`; `Include template ignore with_context`; `Import template target with_context`; `From
-- template names with_context`; `Autoescape value body`; `Break`; `Continue`. Parameters are
-- `{name, default}`. A target is a `Name`, a `Tuple` of targets, or `Field name field` for a
-- namespace.
-- @module genet.template.parser

local Stream = require "genet.template.stream"
local expression = require "genet.template.expression"
local raise = require "genet.template.raise"

local parser = {}

local Parser = {}
Parser.__index = Parser

local function quoted(names)
  return "'" .. table.concat(names, "' or '") .. "'"
end

-- What is still open, as a sentence.
function Parser:innermost()
  local open = self.open[#self.open]
  if not open then return "" end
  return (" The innermost block that needs to be closed is '%s'. It was opened at line %d.")
    :format(open.name, open.line)
end

function Parser:is_expected(name)
  for _, ends in ipairs(self.ends) do
    for _, each in ipairs(ends) do
      if each == name then return true end
    end
  end
end

-- Raises about a tag that is unknown, or the end of the template (`name` nil) where none may be.
function Parser:fail_tag(name, line)
  local message = name and ("Encountered unknown tag '%s'."):format(name)
    or "Unexpected end of template."
  local ends = self.ends[#self.ends]
  if ends and name and self:is_expected(name) then
    message = message .. " You probably made a nesting mistake. Jinja is expecting this tag, but"
      .. (" currently looking for %s."):format(quoted(ends))
  elseif ends then
    message = message .. (" Jinja was looking for the following tags: %s."):format(quoted(ends))
  end
  local hint = name and not self:is_expected(name) and raise.suggestion(name, self.tags) or ""
  self.stream:fail(message .. self:innermost() .. hint, line)
end

-- The statements up to one of the tags `ends`; that tag's name is left as the current token.
function Parser:body(ends)
  self.stream:skip(":")
  self.stream:expect("block_end")
  local body = self:statements(ends)
  if self.stream.current.type == "eof" then
    self.ends[#self.ends + 1] = ends
    self:fail_tag(nil)
  end
  return body
end

-- As `body` for a single tag, which is passed.
function Parser:closed_body(tag)
  local body = self:body{tag}
  self.stream:next()
  return body
end

local function can_assign(target)
  if target.kind ~= "Tuple" then return target.kind == "Name" end
  for _, item in ipairs(target.items) do
    if not can_assign(item) then return false end
  end
  return true
end

local NOUNS = {
  Const = "const", List = "list", Dict = "dict", Tuple = "tuple", Name = "name",
}

function Parser:target(until_name)
  local target = expression.tuple(self.stream, {simple = true, until_name = until_name})
  if not can_assign(target) then
    local noun = NOUNS[target.kind] or target.kind:lower()
    self.stream:fail(("can't assign to '%s'"):format(noun), target.line)
  end
  return target
end

-- A name that may be assigned to.
function Parser:name()
  local token = self.stream:expect("name")
  if token.value == "true" or token.value == "false" or token.value == "none" then
    self.stream:fail("can't assign to 'name'", token.line)
  end
  return token.value
end

local parse = {}

parse["for"] = function(self)
  local stream = self.stream
  local node = {kind = "For", target = self:target("in")}
  stream:expect_name("in")
  node.iter = expression.tuple(stream, {without_condition = true, until_name = "recursive"})
  if stream:skip_name("if") then node.test = expression.parse(stream) end
  node.recursive = stream:skip_name("recursive")
  node.body = self:body{"endfor", "else"}
  node.otherwise = stream:next().value == "else" and self:closed_body("endfor") or nil
  return node
end

parse["if"] = function(self)
  local stream, node = self.stream, {kind = "If", branches = {}}
  local word
  repeat
    local branch = {line = stream.current.line}
    branch.test = expression.tuple(stream, {without_condition = true})
    branch.body = self:body{"elif", "else", "endif"}
    node.branches[#node.branches + 1] = branch
    word = stream:next().value
  until word ~= "elif"
  if word == "else" then node.otherwise = self:closed_body("endif") end
  return node
end

local function parse_field(self)
  local name = self:name()
  self.stream:next()
  return {kind = "Field", line = self.stream.current.line, name = name,
    field = self.stream:expect("name").value}
end

function parse.set(self)
  local stream = self.stream
  local target = stream:look().type == "." and parse_field(self) or self:target()
  if stream:skip("=") then
    return {kind = "Set", target = target, value = expression.tuple(stream)}
  end
  local filter = stream:skip("|") and expression.filters(stream) or nil
  return {kind = "SetBlock", target = target, filter = filter, body = self:closed_body("endset")}
end

parse["with"] = function(self)
  local stream, node = self.stream, {kind = "With", targets = {}, values = {}}
  while stream.current.type ~= "block_end" do
    if #node.targets > 0 then stream:expect(",") end
    node.targets[#node.targets + 1] = {kind = "Name", line = stream.current.line,
      name = self:name()}
    stream:expect("=")
    node.values[#node.values + 1] = expression.parse(stream)
  end
  node.body = self:closed_body("endwith")
  return node
end

function Parser:parameters()
  local stream, params, defaults = self.stream, {}, false
  stream:expect("(")
  while stream.current.type ~= ")" do
    if #params > 0 then stream:expect(",") end
    local param = {name = self:name()}
    if stream:skip("=") then
      param.default, defaults = expression.parse(stream), true
    elseif defaults then
      stream:fail("non-default argument follows default argument")
    end
    params[#params + 1] = param
  end
  stream:expect(")")
  return params
end

function parse.macro(self)
  local node = {kind = "Macro", name = self:name()}
  node.params = self:parameters()
  node.body = self:closed_body("endmacro")
  return node
end

function parse.call(self)
  local stream, node = self.stream, {kind = "CallBlock", line = self.stream.current.line}
  node.params = stream.current.type == "(" and self:parameters() or {}
  node.call = expression.parse(stream)
  if node.call.kind ~= "Call" then stream:fail("expected call", node.line) end
  node.body = self:closed_body("endcall")
  return node
end

function parse.filter(self)
  local filter = expression.filters(self.stream)
  return {kind = "FilterBlock", filter = filter, body = self:closed_body("endfilter")}
end

local function is_blank(body)
  for _, node in ipairs(body) do
    for _, item in ipairs(node.items or {{kind = node.kind}}) do
      if item.kind ~= "Data" or item.text:find("%S") then return false end
    end
  end
  return true
end

function parse.block(self)
  local stream = self.stream
  local node = {kind = "Block", line = stream.current.line, name = stream:expect("name").value}
  node.scoped = stream:skip_name("scoped")
  node.required = stream:skip_name("required")
  if stream.current.type == "-" then
    stream:fail("Block names in Jinja have to be valid identifiers and may not contain hyphens,"
      .. " use an underscore instead.")
  end
  node.body = self:closed_body("endblock")
  if node.required and not is_blank(node.body) then
    stream:fail("Required blocks can only contain comments or whitespace")
  end
  stream:skip_name(node.name)
  return node
end

function parse.extends(self)
  return {kind = "Extends", template = expression.parse(self.stream)}
end

-- `with context` or `without context`, passed; nil when neither is there.
local function parse_context(stream)
  local after = stream:look()
  local said = stream:is_name("with") or stream:is_name("without")
  if not said or after.type ~= "name" or after.value ~= "context" then return nil end
  local with = stream:next().value == "with"
  stream:next()
  return with
end

function parse.include(self)
  local stream = self.stream
  local node = {kind = "Include", template = expression.parse(stream)}
  if stream:is_name("ignore") and stream:look().value == "missing" then
    stream:next()
    stream:next()
    node.ignore = true
  end
  node.with_context = parse_context(stream) ~= false
  return node
end

parse["import"] = function(self)
  local stream = self.stream
  local node = {kind = "Import", template = expression.parse(stream)}
  stream:expect_name("as")
  node.target = self:name()
  node.with_context = parse_context(stream) == true
  return node
end

local function parse_imported(self)
  local stream, line = self.stream, self.stream.current.line
  local name = self:name()
  if name:find("^_") then
    stream:fail("names starting with an underline can not be imported", line)
  end
  return {name, stream:skip_name("as") and self:name() or name}
end

function parse.from(self)
  local stream = self.stream
  local node = {kind = "From", template = expression.parse(stream), names = {}}
  stream:expect_name("import")
  repeat
    node.with_context = parse_context(stream)
    if node.with_context ~= nil then break end
    node.names[#node.names + 1] = parse_imported(self)
    node.with_context = parse_context(stream)
  until node.with_context ~= nil or not stream:skip(",")
  if #node.names == 0 then stream:expect("name") end
  return node
end

function parse.autoescape(self)
  local value = expression.parse(self.stream)
  return {kind = "Autoescape", value = value, body = self:closed_body("endautoescape")}
end

function parse.print(self)
  local stream, node = self.stream, {kind = "Output", items = {}}
  while stream.current.type ~= "block_end" do
    if #node.items > 0 then stream:expect(",") end
    node.items[#node.items + 1] = expression.parse(stream)
  end
  return node
end

parse["break"] = function()
  return {kind = "Break"}
end

parse["continue"] = function()
  return {kind = "Continue"}
end

function Parser:statement()
  local token = self.stream.current
  if token.type ~= "name" then self.stream:fail("tag name expected") end
  local parse_tag = parse[token.value]
  if not parse_tag then self:fail_tag(token.value, token.line) end
  self.stream:next()
  self.stream:enter()
  self.open[#self.open + 1] = {name = token.value, line = token.line}
  local node = parse_tag(self)
  node.line = token.line
  self.open[#self.open] = nil
  self.stream:leave()
  return node
end

local function is_one_of(word, words)
  for _, each in ipairs(words) do
    if each == word then return true end
  end
end

-- Adds what is printed to the statement that prints what comes before it.
local function add_output(body, item)
  local last = body[#body]
  if not last or last.kind ~= "Output" then
    last = {kind = "Output", line = item.line, items = {}}
    body[#body + 1] = last
  end
  last.items[#last.items + 1] = item
end

-- The statements up to one of the tags `ends`, or all there are.
function Parser:statements(ends)
  local stream, body = self.stream, {}
  if ends then self.ends[#self.ends + 1] = ends end
  while stream.current.type ~= "eof" do
    local token = stream:next()
    if token.type == "data" then
      add_output(body, {kind = "Data", line = token.line, text = token.value})
    elseif token.type == "variable_begin" then
      add_output(body, expression.tuple(stream))
      stream:expect("variable_end")
    else
      local word = stream.current.type == "name" and stream.current.value
      if ends and is_one_of(word, ends) then break end
      body[#body + 1] = self:statement()
      stream:expect("block_end")
    end
  end
  if ends then self.ends[#self.ends] = nil end
  return body
end

--- The statements of a template.
-- @tparam string source
-- @tparam string name of the template, for messages
-- @tparam table options as `genet.template.lexer` takes them
-- @treturn table
-- @raise when the source is broken, such as `page.html:3: unexpected '}'`
function parser.parse(source, name, options)
  local stream = Stream.new(source, name, options)
  local self = setmetatable({stream = stream, ends = {}, open = {}, tags = parse}, Parser)
  return self:statements()
end


return parser
