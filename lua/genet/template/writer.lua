--- Writes the Lua source of a chunk so that each line holds what came from the same line of the
-- template.
-- @module genet.template.writer

local format, gsub = string.format, string.gsub

local Writer = {}
Writer.__index = Writer

--- An empty chunk.
-- @treturn Writer
function Writer.new()
  return setmetatable({
    pieces = {}, line = 1, used = {}, order = {}, constants = {}, last = 0,
  }, Writer)
end

--- A string as Lua source, on one line.
-- @tparam string text
-- @treturn string
function Writer.quote(text)
  return (gsub(gsub(format("%q", text), "\\\n", "\\n"), "\r", "\\r"))
end

--- Goes on to a line, unless the chunk is there or beyond.
-- @tparam ?integer line
function Writer:at(line)
  if not line or line <= self.line then return end
  self.pieces[#self.pieces + 1] = ("\n"):rep(line - self.line)
  self.line = line
end

--- Adds source without line ends.
-- @param ... strings
function Writer:put(...)
  local pieces = self.pieces
  for at = 1, select("#", ...) do pieces[#pieces + 1] = (select(at, ...)) end
end

--- Leaves a place that is filled later.
-- @treturn integer for `fill`
function Writer:slot()
  self.pieces[#self.pieces + 1] = ""
  return #self.pieces
end

--- Fills a place.
-- @tparam integer slot
-- @tparam string code without line ends
function Writer:fill(slot, code)
  self.pieces[slot] = code
end

--- The name of a function of the runtime, which becomes a local of the chunk.
-- @tparam string name
-- @treturn string the same
function Writer:use(name)
  if not self.used[name] then
    self.used[name] = true
    self.order[#self.order + 1] = name
  end
  return name
end

--- Source of a value that is made once for the chunk.
-- @tparam string code
-- @treturn string
function Writer:constant(code)
  self.constants[#self.constants + 1] = code
  return format("K[%d]", #self.constants)
end

--- A number that no other name of the chunk has.
-- @treturn integer
function Writer:unique()
  self.last = self.last + 1
  return self.last
end

--- The source, with what it uses made local on its first line.
-- @treturn string
function Writer:source()
  local head = "local RT, F, T, ON, OFF, U = ... "
  if #self.order > 0 then
    local names = table.concat(self.order, ", ")
    head = head .. format("local %s = RT.%s ", names, table.concat(self.order, ", RT."))
  end
  if #self.constants > 0 then
    head = head .. format("local K = {%s} ", table.concat(self.constants, ", "))
  end
  return head .. table.concat(self.pieces)
end

return Writer
