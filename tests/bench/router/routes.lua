-- Measures how long it takes to find a route: `genet run routes.lua [SECONDS]`. Prints for 10 to
-- 10,000 routes the nanoseconds of processor time for a path without arguments and for one with
-- two, spread over all routes, and beside it what trying one pattern after the other takes.
local router = require "genet.router"

local seconds = tonumber(arg[1]) or 0.5

-- What an API has: of each resource its list, one of it, and a part of that.
local function rules(count)
  local list = {}
  for n = 1, count // 2 do
    list[#list + 1] = ("/api/resource%d/list"):format(n)
    list[#list + 1] = ("/api/resource%d/<int:id>/part/<name>"):format(n)
  end
  return list
end

local function paths(count, with_arguments)
  local list = {}
  for n = 1, count // 2 do
    list[n] = with_arguments and ("/api/resource%d/%d/part/name%d"):format(n, n, n)
      or ("/api/resource%d/list"):format(n)
  end
  return list
end

-- Nanoseconds for a call of find(path) with every path in turn, the least of five rounds.
local function measure(find, list)
  local best = math.huge
  for _ = 1, 5 do
    local calls, start = 0, os.clock()
    repeat
      for at = 1, 200 do find(list[1 + (at * 7919) % #list]) end
      calls = calls + 200
    until os.clock() - start > seconds / 5
    best = math.min(best, (os.clock() - start) / calls * 1e9)
  end
  return best
end

local function tree(list)
  local routes = router.new()
  for _, rule in ipairs(list) do
    routes:add{rule = rule, methods = {GET = true}, place = "routes.lua"}
  end
  return function(path)
    local entry = routes.exact[path] -- as App:dispatch does
    local route = entry and entry.GET or routes:match("GET", path)
    assert(route)
  end
end

local function scan(list)
  local patterns = {}
  for at, rule in ipairs(list) do
    patterns[at] = "^" .. rule:gsub("<int:id>", "(%%d+)"):gsub("<name>", "([^/]+)") .. "$"
  end
  return function(path)
    for at = 1, #patterns do
      if path:find(patterns[at]) then return at end
    end
    error("no route")
  end
end

for _, count in ipairs{10, 100, 1000, 10000} do
  local list = rules(count)
  local find, linear = tree(list), scan(list)
  for _, kind in ipairs{"plain", "arguments"} do
    local asked = paths(count, kind == "arguments")
    print(("genet\t%s\t%d\t%.0f"):format(kind, count, measure(find, asked)))
    if count <= 1000 then
      print(("scan\t%s\t%d\t%.0f"):format(kind, count, measure(linear, asked)))
    end
  end
end
