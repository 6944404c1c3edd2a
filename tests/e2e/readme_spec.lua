-- What the README shows is true.
local support = require "tests.e2e.support"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local README = read("README.md")

-- The first block of code after `from`, in the language given.
local function block(language, from)
  local at = README:find(from, 1, true)
  assert(at, "the README no longer says: " .. from)
  return (README:sub(at):match("```" .. language .. "\n(.-)```"))
end

describe("the README", function()
  it("begins with an app that works", function()
    local upstream = support.serve{script = [[
      local app = require("genet").app()
      app:get("/page", function() return "one two" end)
      return app
    ]]}
    finally(function() upstream:stop() end)
    local script = block("lua", "# Genet"):gsub("127%.0%.0%.1:8080", "127.0.0.1:" .. upstream.port)
    local server = support.serve{script = script}
    finally(function() upstream:stop() server:stop() end)
    assert.equal("ONE TWO", server:get("/mirror/page").body)
  end)

  it("shows routes that work", function()
    local server = support.serve{script = table.concat({
      'local genet = require "genet"', "local app = genet.app()",
      block("lua", "## Writing routes"), "return app"}, "\n")}
    finally(function() server:stop() end)
    assert.equal(7, require("cjson").decode(server:get("/item/7").body).id)
    local json = {"Content-Type: application/json"}
    assert.equal(201, server:request("POST", "/note", json, '{"text": "a"}').status)
    assert.equal(400, server:request("POST", "/note", json, "{}").status)
    assert.equal("1\n2\n3\n", server:get("/count").body)
  end)

  it("quotes the help that the program gives", function()
    local help = support.run({"runserver", "--help"}).out
    assert.truthy(README:find(help, 1, true), help)
  end)
end)
