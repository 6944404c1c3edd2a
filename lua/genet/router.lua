--- Finds the route of a request.
--
-- Rules without arguments are found with one look into a table, whatever their number. The others
-- hang in a tree, one level for each segment of the path; at each level the fixed text is tried
-- first, then the arguments from the narrowest to the widest, as Werkzeug does.
-- @module genet.router

local rule = require "genet.rule"
local url = require "genet.url"

local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub

local Router = {}
Router.__index = Router

-- What a search gives when only the slash at the end of the path is missing.
local SLASH = {}

local router = {}

local function new_node()
  return {static = {}, dynamic = {}}
end

--- An empty router.
-- @treturn Router
-- @usage local routes = router.new()
function router.new()
  return setmetatable({
    exact = {},      -- path -> {METHOD = route}, for rules without arguments
    unslashed = {},  -- the path without its last slash -> the same, for those that end with one
    root = new_node(),
    methods = {},    -- every method that any route takes
  }, Router)
end

-- Adding ------------------------------------------------------------------------------------

-- More fixed text first, then the narrower converter, then the earlier definition.
local function goes_before(a, b)
  if a.static ~= b.static then return a.static > b.static end
  if a.weight ~= b.weight then return a.weight < b.weight end
  return a.order < b.order
end

local function dynamic_edge(node, part)
  for _, edge in ipairs(node.dynamic) do
    if edge.shape == part.shape then return edge end
  end
  local edge = {
    shape = part.shape,
    pattern = part.pattern,
    converters = part.converters,
    read = part.converters[1].read,
    whole = #part.converters == 1 and part.static == 0,
    rest = part.rest or false,
    slash = part.slash,
    static = part.static,
    weight = part.weight,
    order = #node.dynamic,
    node = new_node(),
  }
  table.insert(node.dynamic, edge)
  table.sort(node.dynamic, goes_before)
  return edge
end

local function node_of(root, parts)
  local node = root
  for _, part in ipairs(parts) do
    if part.text then
      node.static[part.text] = node.static[part.text] or new_node()
      node = node.static[part.text]
    else
      node = dynamic_edge(node, part).node
    end
  end
  return node
end

-- The table of methods a rule leads to. A fixed rule with a '%' in it is found in the tree, since
-- `exact` is looked into before the path is decoded.
function Router:entry_of(route, parsed)
  local text = route.rule
  if #parsed.names > 0 or find(text, "%", 1, true) then
    local node = node_of(self.root, parsed.parts)
    node.entry = node.entry or {}
    return node.entry
  end
  local entry = self.exact[text] or {}
  self.exact[text] = entry
  local short = match(text, "^(.+)/$")
  if short then self.unslashed[short] = entry end
  return entry
end

local function check_free(entry, route)
  for method in pairs(route.methods) do
    local other = entry[method]
    if other and other.methods[method] then
      error(("the route %s %s is already defined at %s")
        :format(method, route.rule, other.place), 0)
    end
  end
end

--- Adds a route. Raises when its rule cannot be read, or when a route with the same shape already
-- takes one of its methods.
-- @tparam table route with `rule`, `methods` (a set), `place` (`file:line`); `names`, those of the
--   rule's arguments, is added to it
-- @usage routes:add{rule = "/item/<id>", methods = {GET = true}, place = "app.lua:3"}
function Router:add(route)
  local parsed = rule.parse(route.rule)
  local entry = self:entry_of(route, parsed)
  check_free(entry, route)
  route.names = parsed.names
  for method in pairs(route.methods) do
    entry[method] = route
    self.methods[method] = true
  end
  if route.methods.GET and not entry.HEAD then
    entry.HEAD = route
    self.methods.HEAD = true
  end
end

-- Searching -----------------------------------------------------------------------------------

-- A search is a table with `path` and `method`, the arguments found so far as its array, and in
-- `allowed` the methods of the routes that fit but for theirs.

local walk

local function accepts(entry, method)
  return entry[method] ~= nil or method == "OPTIONS"
end

local function allow(search, entry)
  local allowed = search.allowed or {}
  search.allowed = allowed
  for method in pairs(entry) do allowed[method] = true end
end

local function choose(search, entry)
  local route = entry[search.method]
  if not route then allow(search, entry) end
  return route
end

local function arrive(search, node)
  local route = node.entry and choose(search, node.entry)
  if route then return route end
  local slashed = node.static[""]
  if slashed and slashed.entry and accepts(slashed.entry, search.method) then return SLASH end
end

local function go_on(search, node, slash, count)
  if slash then return walk(search, node, slash + 1, count) end
  return arrive(search, node)
end

-- Reads the texts that the pattern of an edge found into the search.
local function read_all(search, edge, count, ...)
  if not ... then return nil end
  for at, converter in ipairs(edge.converters) do
    local text = select(at, ...)
    local value = text
    if converter.read then value = converter.read(text) end
    if value == nil then return nil end
    search[count + at] = value
  end
  return count + #edge.converters, (select(#edge.converters + 1, ...))
end

local function follow_rest(search, edge, at, count)
  local filled, slash = read_all(search, edge, count, match(search.path, edge.pattern, at))
  if not filled then return nil end
  if not edge.slash then return arrive(search, edge.node) end
  if slash == "/" then return choose(search, edge.node.entry) end
  return accepts(edge.node.entry, search.method) and SLASH or nil
end

-- Follows the part of a rule that is one argument and nothing else, the usual case.
local function follow_whole(search, edge, segment, slash, count)
  local value = segment
  if edge.read then value = edge.read(segment) elseif segment == "" then return nil end
  if value == nil then return nil end
  search[count + 1] = value
  return go_on(search, edge.node, slash, count + 1)
end

local function follow_mixed(search, edge, segment, slash, count)
  local filled = read_all(search, edge, count, match(segment, edge.pattern))
  return filled and go_on(search, edge.node, slash, filled)
end

function walk(search, node, at, count)
  local slash = find(search.path, "/", at, true)
  local segment = sub(search.path, at, slash and slash - 1)
  local static = node.static[segment]
  local found = static and go_on(search, static, slash, count)
  if found then return found end
  local dynamic = node.dynamic
  for index = 1, #dynamic do
    local edge = dynamic[index]
    if edge.rest then
      found = follow_rest(search, edge, at, count)
    elseif edge.whole then
      found = follow_whole(search, edge, segment, slash, count)
    else
      found = follow_mixed(search, edge, segment, slash, count)
    end
    if found then return found end
  end
end

function Router:search(search)
  local path = search.path
  local entry = self.exact[path]
  local route = entry and choose(search, entry)
  if route then return route end
  local slashed = self.unslashed[path]
  if slashed and accepts(slashed, search.method) then return SLASH end
  return walk(search, self.root, 2, 0)
end

local function allow_line(allowed)
  local names = {"OPTIONS"}
  for method in pairs(allowed) do
    if method ~= "OPTIONS" then names[#names + 1] = method end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

-- A path with a doubled slash that fits a rule with single ones is sent to its plain form.
function Router:merged(method, path)
  if not find(path, "//", 1, true) then return nil end
  local search = {path = gsub(path, "//+", "/"), method = method}
  local found = self:search(search)
  return found and url.encode_path(found == SLASH and search.path .. "/" or search.path)
end

local function refusal(method, allowed)
  if not allowed then return nil, 404 end
  return nil, method == "OPTIONS" and 200 or 405, allow_line(allowed)
end

--- Finds the route for a request.
-- @tparam string method
-- @tparam string target the path as it came, percent-encoded, or `*`
-- @treturn[1] table the route
-- @treturn[1] table the values of its arguments, in order
-- @treturn[1] string the decoded path
-- @treturn[2] nil
-- @treturn[2] integer the status to answer: 400, 404, 405, 308, or 200 to OPTIONS
-- @treturn[2] ?string the methods allowed (405, 200) or the path to go to (308)
-- @usage local route, values = routes:match("GET", "/item/42")
function Router:match(method, target)
  if target == "*" then return refusal(method, self.methods) end
  local path = url.decode_path(target)
  if not path then return nil, 400 end
  local search = {false, false, path = path, method = method} -- with room for arguments
  local found = self:search(search)
  if found == SLASH then return nil, 308, url.encode_path(path .. "/") end
  if found then return found, search, path end
  local merged = self:merged(method, path)
  if merged then return nil, 308, merged end
  return refusal(method, search.allowed)
end

return router
