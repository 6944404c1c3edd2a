-- The examples in the documentation of lua/ run, each module's in a process of its own; and every
-- function that scripts may call has one. See tests/usage.
local lfs = require "lfs"
local support = require "tests.e2e.support"

local function files(directory, list)
  list = list or {}
  for name in lfs.dir(directory) do
    local path = directory .. "/" .. name
    if name:find("%.lua$") then list[#list + 1] = path
    elseif not name:find("^%.") and lfs.attributes(path, "mode") == "directory" then
      files(path, list)
    end
  end
  table.sort(list)
  return list
end

local SOURCES = files("lua/genet")

-- The functions of a module that others may call, with what their comments say.
local function functions(path)
  local list, comment = {}, {}
  for line in io.lines(path) do
    local name = line:match("^function ([%w_.:]+)")
    if line:find("^%-%-") then comment[#comment + 1] = line
    else
      if name then list[#list + 1] = {name = name, comment = table.concat(comment, "\n")} end
      comment = {}
    end
  end
  return list
end

describe("the documentation", function()
  local site

  setup(function()
    site = support.directory()
    assert(os.execute(("cp -r tests/usage/. %s/"):format(site)))
  end)

  teardown(function() support.remove(site) end)

  for _, path in ipairs(SOURCES) do
    if support.read_file(path):find("@usage", 1, true) then
      it("of " .. path .. " has examples that run", function()
        local file = lfs.currentdir() .. "/" .. path
        local result = support.run({"-C", site, "examples", file}, 90)
        assert.equal(0, result.status, result.out .. result.err)
      end)
    end
  end

  it("has an example for each function that it describes outside of templates", function()
    local without = {}
    for _, path in ipairs(SOURCES) do
      for _, one in ipairs(path:find("/template/") and {} or functions(path)) do
        local described = one.comment:find("^%-%-%-") or one.comment:find("\n%-%-%-")
        local internal = one.name:find("__", 1, true) or path:find("/db/", 1, true)
          or one.comment:find("@local", 1, true)
        if described and not internal and not one.comment:find("@usage", 1, true) then
          without[#without + 1] = path .. ": " .. one.name
        end
      end
    end
    assert.same({}, without)
  end)
end)

describe("the reference", function()
  it("is made without a warning", function()
    local directory = support.directory()
    finally(function() support.remove(directory) end)
    local pipe = io.popen(("ldoc --fatalwarnings -c host/reference.ld -d %s lua 2>&1")
      :format(directory))
    local told = pipe:read("a")
    assert.is_true(pipe:close(), told)
    assert.is_nil(told:find("%.lua:%d+:"), told)
    local page = support.read_file(directory .. "/modules/genet.html")
    assert.truthy(page:find("genet.sleep", 1, true))
  end)
end)
