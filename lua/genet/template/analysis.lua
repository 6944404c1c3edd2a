--- What the compiler needs to know of a tree before it writes code for it.
-- @module genet.template.analysis

local analysis = {}

--- Visits a node and all below it.
-- @tparam table node or a list of nodes
-- @tparam function visit takes a node; when it returns true, nothing below that node is visited
function analysis.walk(node, visit)
  if node.kind and visit(node) then return end
  for _, child in pairs(node) do
    if type(child) == "table" then analysis.walk(child, visit) end
  end
end

--- Whether a name is read anywhere below, but in blocks.
-- @tparam table nodes
-- @tparam string name
-- @treturn boolean
function analysis.mentions(nodes, name)
  local found = false
  analysis.walk(nodes, function(node)
    if node.kind == "Name" and node.name == name then found = true end
    return node.kind == "Block"
  end)
  return found
end

local function add_target(target, names)
  if target.kind == "Name" then
    names[target.name] = true
  elseif target.kind == "Tuple" then
    for _, item in ipairs(target.items) do add_target(item, names) end
  end
end

local STORES = {}

function STORES.Set(node, names)
  add_target(node.target, names)
end

STORES.SetBlock = STORES.Set

function STORES.Macro(node, names)
  names[node.name] = true
end

function STORES.Import(node, names)
  names[node.target] = true
end

function STORES.From(node, names)
  for _, pair in ipairs(node.names) do names[pair[2]] = true end
end

function STORES.If(node, names)
  for _, branch in ipairs(node.branches) do analysis.add_stores(branch.body, names) end
  if node.otherwise then analysis.add_stores(node.otherwise, names) end
end

--- Adds the names that statements assign to in their own scope.
-- @tparam table body
-- @tparam table names a set
function analysis.add_stores(body, names)
  for _, node in ipairs(body) do
    local store = STORES[node.kind]
    if store then store(node, names) end
  end
end

--- The names that statements assign to in their own scope, sorted.
-- @tparam table body
-- @treturn table a list
function analysis.stores(body)
  local names, list = {}, {}
  analysis.add_stores(body, names)
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- What the attributes of `loop` need: the length of the list, or nothing.
local ATTRIBUTES = {
  index = "", index0 = "", first = "", depth = "", depth0 = "", previtem = "",
  last = "length", length = "length", revindex = "length", revindex0 = "length",
  nextitem = "length", cycle = "", changed = "changed",
}

local function is_loop(node)
  return node.kind == "Name" and node.name == "loop"
end

local TAKES_CONTEXT = {Include = true, Import = true, From = true}

-- How a node uses the loop around it; true when nothing below is to be looked at.
local function note_use(node, use)
  if node.kind == "For" then
    analysis.walk(node.iter, use.visit)
    if node.test then analysis.walk(node.test, use.visit) end
    if node.otherwise then analysis.walk(node.otherwise, use.visit) end
    return true
  end
  if node.kind == "Block" then
    use.shared = use.shared or node.scoped
    use.object = use.object or node.scoped
    return true
  end
  if TAKES_CONTEXT[node.kind] and node.with_context then use.shared = true end
  if is_loop(node) then
    use.used, use.object = true, true
  elseif node.kind == "Attr" and is_loop(node.node) and ATTRIBUTES[node.name] then
    use.used = true
    use[ATTRIBUTES[node.name]] = true
    return true
  end
end

--- How the body of a for loop uses `loop`: `used`; `object` when it must be a value; `length` when
-- the number of items must be known; `changed`.
-- @tparam table node a `For`
-- @treturn table
function analysis.loop_use(node)
  local use = {}
  function use.visit(each) return note_use(each, use) end
  analysis.walk(node.body, use.visit)
  use.object = node.recursive or use.object or use.used and use.shared
  use.length = use.length or use.object
  return use
end

--- Every block of a template by name.
-- @tparam table nodes
-- @tparam function twice called with a block whose name is taken
-- @treturn table blocks in their order
function analysis.blocks(nodes, twice)
  local list, names = {}, {}
  analysis.walk(nodes, function(node)
    if node.kind ~= "Block" then return end
    if names[node.name] then twice(node) end
    names[node.name] = true
    list[#list + 1] = node
  end)
  table.sort(list, function(a, b)
    return a.line < b.line or a.line == b.line and a.name < b.name
  end)
  return list
end

--- Whether a template extends another one.
-- @tparam table nodes
-- @treturn boolean
function analysis.extends(nodes)
  local found = false
  analysis.walk(nodes, function(node)
    found = found or node.kind == "Extends"
  end)
  return found
end

local BOOLEAN = {Compare = true, Test = true, Not = true}

--- Whether an expression is true or false and nothing else.
-- @tparam table node
-- @treturn boolean
function analysis.is_boolean(node)
  if node.kind == "And" or node.kind == "Or" then
    return analysis.is_boolean(node.left) and analysis.is_boolean(node.right)
  end
  if node.kind == "Const" then return type(node.value) == "boolean" end
  return BOOLEAN[node.kind] or false
end

return analysis
