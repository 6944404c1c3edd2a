local support = require "support"
local app = require "genet.app"
local cli = require "genet.cli"
local generations = require "genet.generations"
local loader = require "genet.loader"

describe("cli.run_arguments", function()
  for _, case in ipairs{
    {"nothing", {}, ""},
    {"flags", {debug = true, reload = false, redirect_https = false}, "--debug --no-reload"},
    {"flags without a positive name", {patch = false}, "--no-patch"},
    {"a flag that is so anyway", {patch = true}, ""},
    {"numbers", {port = 8000.0, head_timeout = 0.5}, "--head-timeout=0.500000000 --port=8000"},
    {"texts", {host = "::1", max_body = "8M", drain = "3"}, "--drain=3 --host=::1 --max-body=8M"},
    {"lists", {listen = {"fd:3", "unix:/a b"}}, "--listen=fd:3 --listen=unix:/a b"},
    {"modes", {threaded = true, processes = false}, "--threaded=32"},
    {"a mode and its number", {threaded = 4, debug = true}, "--debug --threaded=4"},
    {"processes", {processes = "auto"}, "--processes=auto"},
    {"one of a list", {listen = "fd:3"}, "--listen=fd:3"},
  } do
    it("makes words of " .. case[1], function()
      assert.equal(case[3], table.concat(cli.run_arguments(case[2]), " "))
    end)
  end

  for _, case in ipairs{
    {{prot = 1}, "unknown option 'prot'"},
    {{help = true}, "unknown option 'help'"},
    {{path = "x"}, "unknown option 'path'"},
    {{"x"}, "unknown option '1'"},
    {{port = "x"}, "option 'port': 'x' is not a number from 0 to 65535"},
    {{port = true}, "option 'port': a string or a number was expected, not a boolean"},
    {{debug = "yes"}, "option 'debug': true or false was expected, not a string"},
    {{patch = 1}, "option 'patch': true or false was expected, not a number"},
    {{host = {"a"}}, "option 'host': a string or a number was expected, not a table"},
    {{listen = {true}}, "option 'listen': a string or a number was expected, not a boolean"},
    {{slice_ms = -1}, "option 'slice_ms': '-1' is not a number from 0 to 3600000"},
  } do
    it("refuses: " .. case[2], function()
      assert.same({false, case[2]}, {pcall(cli.run_arguments, case[1])})
    end)
  end
end)

describe("app:run", function()
  local served = generations.served
  before_each(function()
    package.loaded["genet.runner"] = nil
    generations.served = function() return false end
  end)
  after_each(function()
    package.loaded["genet.runner"] = nil
    generations.served = served
  end)

  it("keeps the options for the host", function()
    app.new():run{port = 8000}
    assert.same({"--port=8000"}, require("genet.runner").arguments())
  end)

  it("needs none", function()
    app.new():run()
    assert.same({}, require("genet.runner").arguments())
  end)

  it("raises at its caller", function()
    local ok, problem = pcall(function() app.new():run{prot = 1} end)
    assert.is_false(ok)
    assert.truthy(problem:find("^[^\n]*runner_spec.lua:%d+: app:run: unknown option 'prot'$"),
      problem)
    assert.has_error(function() app.new():run(8000) end)
    assert.has_error(function() app.new().run{} end)
  end)

  it("is called once", function()
    app.new():run()
    assert.error_matches(function() app.new():run() end, "app:run: it has been called before")
  end)

  local text = [[
    local app = require "genet.app".new()
    app:get("/", function() return "served" end)
    app:run{port = 1}
  ]]

  for what, ending in pairs{["returns nothing"] = "", ["returns its app"] = "return app"} do
    it("changes nothing where the host serves a script that " .. what, function()
      generations.served = function() return true end
      package.loaded["genet.loader"] = nil
      support.with_files({["main.lua"] = text .. ending}, function(dir)
        local site = require("genet.loader").load(dir .. "/main.lua")
        local _, _, body = site:dispatch(support.exchange(), "GET", "/")
        assert.equal("served", body)
      end)
      assert.is_nil(require("genet.runner").arguments())
    end)
  end

  it("does not make an app of a script that has not called it", function()
    support.with_files({["main.lua"] = "local _"}, function(dir)
      assert.error_matches(function() loader.load(dir) end, "the script returned nothing")
    end)
  end)
end)
