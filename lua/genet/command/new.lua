--- `genet new`: the beginnings of a site.
-- @module genet.command.new

local cli = require "genet.cli"
local lfs = require "lfs"

local new = {summary = "Make a directory with a new site: a script, a template, a spec."}

function new.define(command)
  command:argument("name", "The directory, which is not there yet, or empty.")
end

local FILES = {
  ["app.lua"] = [[
-- The routes of the site. `genet runserver -r` loads them again when this file changes.
local genet = require "genet"
local config = require "config"

local app = genet.app()

app:static("/static", "static")

app:get("/", function()
  return genet.render_template("index.html", {title = config.title})
end)

app:get("/hello/<name>", function(_, name)
  return {greeting = config.greeting .. ", " .. name .. "!"}
end)

app:command("greet", {help = "Greet somebody.", args = {"name"}}, function(args)
  print(config.greeting .. ", " .. args.name .. "!")
end)

return app
]],
  ["config/init.lua"] = [[
-- What differs between installations: `require "config"`.
return {
  title = os.getenv "SITE_TITLE" or "%s",
  greeting = "Hello",
}
]],
  ["templates/index.html"] = [[
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>{{ title }}</title>
  <link rel="stylesheet" href="/static/style.css">
</head>
<body>
  <h1>{{ title }}</h1>
  <p>This page is <code>templates/index.html</code>; its route is in <code>app.lua</code>.</p>
</body>
</html>
]],
  ["static/style.css"] = [[
body { font-family: sans-serif; margin: 4em auto; max-width: 40em; }
]],
  ["spec/app_spec.lua"] = [[
-- Run by `genet test`.
local test = require "genet.test"

describe("the site", function()
  it("has a page at /", function()
    local response = test.client():get("/")
    assert.equal(200, response.status)
    assert.truthy(response.text:find("<h1>", 1, true))
  end)

  it("greets by name", function()
    assert.same({greeting = "Hello, you!"}, test.client():get("/hello/you"):json())
  end)
end)
]],
}

local function is_empty(path)
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then return false end
  end
  return true
end

-- Makes a directory and those it lies in. Returns true, or nil and why not.
local function make(path)
  if lfs.attributes(path, "mode") == "directory" then return true end
  local above = path:match("^(.*[^/])/+[^/]+$")
  if above then
    local ok, problem = make(above)
    if not ok then return nil, problem end
  end
  local ok, problem = lfs.mkdir(path)
  return ok, problem and path .. ": " .. problem
end

local function write(path, text)
  local ok, problem = make(path:match("^(.*)/"))
  if not ok then return nil, problem end
  local file
  file, problem = io.open(path, "w")
  if not file then return nil, problem end
  file:write(text)
  return file:close()
end

function new.run(options)
  local root = options.name:gsub("(.)/+$", "%1")
  local mode = lfs.attributes(root, "mode")
  if mode and not (mode == "directory" and is_empty(root)) then
    cli.refuse(("'%s' is there already"):format(root))
  end
  local title = root:match("[^/]+$"):gsub("^%l", string.upper)
  local names = {}
  for name in pairs(FILES) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local text = FILES[name]
    if name == "config/init.lua" then text = text:format(title:gsub("[\"\\%c]", "")) end
    local ok, problem = write(root .. "/" .. name, text)
    if not ok then
      io.stderr:write("genet: ", problem, "\n")
      return 1
    end
    print(root .. "/" .. name)
  end
  print(("\nServe it with 'genet runserver -d %s', test it with 'genet test %s'.")
    :format(root, root))
  return 0
end

return new
