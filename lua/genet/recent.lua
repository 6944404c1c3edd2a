--- What has been used lately, as much of it as fits a budget.
--
-- Values live in two generations. When the young one has half of the budget, the old one is
-- forgotten and the young one takes its place; what is used again becomes young again.
-- @module genet.recent

local Recent = {}
Recent.__index = Recent

local recent = {}

--- An empty store.
-- @tparam integer budget the most that the weights of all values may come to
-- @treturn Recent
-- @usage local pages = recent.new(1 << 20)
function recent.new(budget)
  return setmetatable({half = budget // 2, weight = 0, young = {}, old = {}}, Recent)
end

--- Keeps a value, unless it is too heavy to keep.
-- @param key
-- @tparam table value
-- @tparam integer weight
-- @usage pages:put("/", page, #page.text)
function Recent:put(key, value, weight)
  if weight > self.half then return end
  self:drop(key)
  if self.weight + weight > self.half then
    self.young, self.old, self.weight = {}, self.young, 0
  end
  self.young[key] = {value = value, weight = weight}
  self.weight = self.weight + weight
end

--- The value of a key, nil when it is not there or not any more.
-- @param key
-- @usage local page = pages:get("/")
function Recent:get(key)
  local item = self.young[key]
  if item then return item.value end
  item = self.old[key]
  if not item then return nil end
  self:put(key, item.value, item.weight)
  return item.value
end

--- Forgets a key.
-- @param key
-- @usage pages:drop("/")
function Recent:drop(key)
  local item = self.young[key]
  if item then self.weight = self.weight - item.weight end
  self.young[key], self.old[key] = nil, nil
end

return recent
