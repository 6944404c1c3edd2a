--- A list of tokens with a place in it: what the parsers read from.
-- @module genet.template.stream

local lexer = require "genet.template.lexer"
local raise = require "genet.template.raise"

local Stream = {}
Stream.__index = Stream

--- The tokens of a template, read from the first on.
-- @tparam string source
-- @tparam string name of the template
-- @tparam table options as `genet.template.lexer` takes them
-- @treturn Stream
function Stream.new(source, name, options)
  local tokens = lexer.tokens(source, name, options)
  return setmetatable({
    tokens = tokens, at = 1, name = name, depth = 0, current = tokens[1],
  }, Stream)
end

--- Moves on.
-- @treturn table the token that was the current one
function Stream:next()
  local token = self.current
  if token.type ~= "eof" then
    self.at = self.at + 1
    self.current = self.tokens[self.at]
  end
  return token
end

--- The token after the current one.
-- @treturn table
function Stream:look()
  return self.tokens[self.at + 1] or self.current
end

--- Whether the current token is the name `word`.
-- @tparam string word
-- @treturn boolean
function Stream:is_name(word)
  return self.current.type == "name" and self.current.value == word
end

--- Passes a token of this type, if it is the current one.
-- @tparam string kind
-- @treturn boolean whether it was
function Stream:skip(kind)
  local found = self.current.type == kind
  if found then self:next() end
  return found
end

--- Passes the name `word`, if it is the current token.
-- @tparam string word
-- @treturn boolean whether it was
function Stream:skip_name(word)
  local found = self:is_name(word)
  if found then self:next() end
  return found
end

--- Raises a sentence about the template.
-- @tparam string message
-- @tparam ?integer line that of the current token unless told
function Stream:fail(message, line)
  raise.syntax(self.name, line or self.current.line, message)
end

local function expected(self, what)
  if self.current.type == "eof" then
    self:fail(("unexpected end of template, expected '%s'."):format(what))
  end
  self:fail(("expected token '%s', got '%s'"):format(what, lexer.describe(self.current)))
end

--- Passes a token that must be of this type.
-- @tparam string kind
-- @treturn table the token
function Stream:expect(kind)
  if self.current.type ~= kind then expected(self, lexer.describe{type = kind, value = kind}) end
  return self:next()
end

--- Passes the name `word`, which must be there.
-- @tparam string word
-- @treturn table the token
function Stream:expect_name(word)
  if not self:is_name(word) then expected(self, word) end
  return self:next()
end

-- Lua's own compiler allows 200 levels for what is made of a template.
local DEEPEST = 60

--- Notes that a statement or an expression within another begins; `leave` that it ends.
-- @raise when too many are open
function Stream:enter()
  self.depth = self.depth + 1
  if self.depth > DEEPEST then self:fail("nested too deeply") end
end

--- Notes that what `enter` began has ended.
function Stream:leave()
  self.depth = self.depth - 1
end

return Stream
