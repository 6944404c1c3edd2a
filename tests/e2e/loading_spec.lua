-- A file or a directory of scripts becomes one application.
local support = require "tests.e2e.support"

local returns_app = [[
local app = require("genet").app()
app:get("/app", function() return "from an app" end)
return app
]]

local takes_app = [[
local helper = require "lib.helper"
return function(app)
  app:get("/function", function() return "from a function" end)
  app:get("/helper", function() return helper.text end)
end
]]

local waits_at_load = [[
local genet = require "genet"
local socket = require "socket"
local start = socket.gettime()
genet.sleep(0.1)
local elapsed = socket.gettime() - start
return function(app)
  app:get("/waited", function() return elapsed > 0.09 and "waited" or "did not wait" end)
end
]]

describe("a directory of scripts", function()
  local server

  setup(function()
    local files = {
      ["a.lua"] = returns_app,
      ["b.lua"] = takes_app,
      ["c.lua"] = waits_at_load,
      ["notes.txt"] = "no script",
      ["lib/helper.lua"] = "return {text = 'from a helper'}",
    }
    server = support.serve{scripts = files}
  end)
  teardown(function() server:stop() end)

  local cases = {
    {"scripts that return an app", "/app", "from an app"},
    {"scripts that return a function", "/function", "from a function"},
    {"modules beside the scripts", "/helper", "from a helper"},
    {"scripts that wait while they load", "/waited", "waited"},
  }
  for _, case in ipairs(cases) do
    local what, target, expected = table.unpack(case)
    it("may hold " .. what, function()
      assert.equal(expected, server:get(target).body)
    end)
  end

  it("may hold nothing yet", function()
    local empty = support.serve{scripts = {}}
    finally(function() empty:stop() end)
    assert.equal(404, empty:get("/").status)
  end)
end)

describe("a single script", function()
  it("is served by its file name", function()
    local directory = support.directory{["one.lua"] = returns_app}
    local server = support.serve{path = directory .. "/one.lua"}
    finally(function()
      support.remove(directory)
      server:stop()
    end)
    assert.equal("from an app", server:get("/app").body)
  end)
end)
