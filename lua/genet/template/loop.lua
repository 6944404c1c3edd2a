--- The `loop` of a for loop, where the compiler cannot do without one.
-- @module genet.template.loop

local operators = require "genet.template.operators"
local raise = require "genet.template.raise"
local value = require "genet.template.value"

local loop = {}

local Loop = {__template = "object", name = "LoopContext"}

--- A loop; its `at` is the number of the current item, set as the loop goes on.
-- @tparam table list
-- @tparam integer length
-- @tparam integer depth 0 for the outermost
-- @tparam ?function recurse renders the loop for other items: takes them and the depth
-- @treturn table
function loop.new(list, length, depth, recurse)
  return setmetatable({
    list = list, length = length, depth0 = depth, recurse = recurse, at = 0,
  }, Loop)
end

--- `loop.previtem`.
-- @tparam table list
-- @tparam integer at
-- @return the item, or an undefined
function loop.previous(list, at)
  if at == 1 then return value.undefined(nil, "there is no previous item") end
  return list[at - 1]
end

--- `loop.nextitem`.
-- @tparam table list
-- @tparam integer at
-- @return the item, or an undefined
function loop.following(list, at)
  local item = list[at + 1]
  if item == nil then return value.undefined(nil, "there is no next item") end
  return item
end

--- `loop.cycle(...)`.
-- @tparam integer at
-- @param ...
-- @return one of the arguments
function loop.cycle(at, ...)
  local count = select("#", ...)
  if count == 0 then raise.runtime("no items for cycling given") end
  return (select((at - 1) % count + 1, ...))
end

--- `loop.changed(...)`.
-- @tparam table memory holds what it was called with before
-- @param ...
-- @treturn boolean
function loop.changed(memory, ...)
  local values = value.tuple{...}
  local same = memory.values ~= nil and operators.eq(memory.values, values)
  memory.values = values
  return not same
end

local ATTRIBUTES = {
  index = function(self) return self.at end,
  index0 = function(self) return self.at - 1 end,
  revindex = function(self) return self.length - self.at + 1 end,
  revindex0 = function(self) return self.length - self.at end,
  first = function(self) return self.at == 1 end,
  last = function(self) return self.at == self.length end,
  length = function(self) return self.length end,
  depth = function(self) return self.depth0 + 1 end,
  depth0 = function(self) return self.depth0 end,
  previtem = function(self) return loop.previous(self.list, self.at) end,
  nextitem = function(self) return loop.following(self.list, self.at) end,
  cycle = function(self)
    return function(...) return loop.cycle(self.at, ...) end
  end,
  changed = function(self)
    self.memory = self.memory or {}
    return function(...) return loop.changed(self.memory, ...) end
  end,
}

function Loop.attr(self, name)
  local get = ATTRIBUTES[name]
  if get then return get(self) end
end

function Loop.call(self, _, _, items)
  if not self.recurse then
    raise.runtime("The loop must have the 'recursive' marker to be called recursively.")
  end
  raise.check_depth()
  return self.recurse(items, self.depth0 + 1)
end

function Loop.size(self)
  return self.length
end

function Loop.repr(self)
  return ("<LoopContext %d/%d>"):format(self.at, self.length)
end

return loop
