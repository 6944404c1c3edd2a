--- `genet routes`: what a site answers to.
-- @module genet.command.routes

local cli = require "genet.cli"
local lfs = require "lfs"

local routes = {summary = "List the routes of a site, or tell which one takes a URL."}

function routes.define(command)
  command:argument("path", "The script or the directory. (default: scripts)"):args("?")
  command:argument("url", "Tell which route takes this path or URL; exits with 1 when none does.")
    :args("?")
  command:option("-m --method", "The method it is asked for with."):default("GET")
  command:flag("--json", "Print JSON.")
end

-- A single argument is a URL when it looks like one and is no file.
function routes.site(options)
  local only = not options.url and options.path
  if only and only:find("^/") and not lfs.attributes(only) or only and only:find("^https?://") then
    options.path, options.url = options.site, only
  end
  return cli.site(options.path)
end

local function method_line(route)
  if route.websocket then return "WEBSOCKET" end
  local names = {}
  for method in pairs(route.methods) do names[#names + 1] = method end
  table.sort(names)
  return table.concat(names, ",")
end

local function described(route)
  return {
    methods = method_line(route),
    path = route.rule,
    name = route.name,
    place = route.place,
  }
end

local function sorted(app)
  local list = require("genet.json").array()
  for at, route in ipairs(app.routes) do list[at] = described(route) end
  table.sort(list, function(a, b)
    if a.path ~= b.path then return a.path < b.path end
    return a.methods < b.methods
  end)
  return list
end

local COLUMNS = {"methods", "path", "name", "place"}
local HEADS = {methods = "METHODS", path = "PATH", name = "NAME", place = "DEFINED AT"}

-- The last column is not filled up.
local function print_table(list)
  local width = {}
  table.insert(list, 1, HEADS)
  for _, column in ipairs(COLUMNS) do
    width[column] = 0
    for _, row in ipairs(list) do width[column] = math.max(width[column], #(row[column] or "-")) end
  end
  for _, row in ipairs(list) do
    local cells = {}
    for at, column in ipairs(COLUMNS) do
      local text = row[column] or "-"
      cells[at] = at < #COLUMNS and text .. (" "):rep(width[column] - #text) or text
    end
    print(table.concat(cells, "  "))
  end
end

local function path_of(text)
  local path = text:gsub("^https?://[^/?#]*", ""):gsub("[?#].*$", "")
  return path == "" and "/" or path
end

-- What becomes of a request: `status`, and the route and its arguments or what a refusal tells.
local function answer_to(app, method, path)
  local route, values, detail = app.router:match(method, path)
  if not route then return {status = values, detail = detail} end
  local result = described(route)
  result.arguments = require("genet.json").array()
  for at, name in ipairs(route.names) do
    result.arguments[at] = {name = name, value = values[at]}
  end
  return result
end

local REFUSALS = {
  [200] = "no route, but the answer is a list of methods: %s",
  [308] = "308 Permanent Redirect to %s",
  [400] = "400 Bad Request: the path is not well encoded",
  [404] = "404 Not Found",
  [405] = "405 Method Not Allowed; allowed: %s",
}

local function print_answer(found)
  if not found.path then
    print((REFUSALS[found.status]:format(found.detail)))
    return
  end
  print(("%s %s at %s"):format(found.methods, found.path, found.place))
  for _, argument in ipairs(found.arguments) do
    local value = argument.value
    print(("  %s = %s"):format(argument.name,
      type(value) == "string" and ("%q"):format(value) or tostring(value)))
  end
end

local function print_json(value)
  print(require("genet.json").encode(value))
end

local function show(options, value, print_plain)
  local shown = options.json and print_json or print_plain
  shown(value)
end

function routes.run(options, app)
  if not options.url then
    show(options, sorted(app), print_table)
    return 0
  end
  local found = answer_to(app, options.method:upper(), path_of(options.url))
  show(options, found, print_answer)
  return found.path and 0 or 1
end

return routes
