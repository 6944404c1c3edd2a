local support = require "support"
local loader = require "genet.loader"

local ROUTE = [[
local app = require("genet").app()
app:get("/%s", function() return "%s" end)
return app
]]

local function route(name)
  return ROUTE:format(name, name)
end

local function get(site, path)
  return select(3, site:dispatch(support.exchange(), "GET", path))
end

describe("genet.loader", function()
  local path = package.path

  after_each(function()
    package.path = path
    package.loaded["shared.words"] = nil
  end)

  it("trusts the proxies of the configuration", function()
    local proxy = require "genet.proxy"
    support.with_files({["one.lua"] = route "one"}, function(dir)
      loader.load(dir .. "/one.lua", {"trusted_proxies=10.0.0.0/8,unix"})
      assert.is_true(proxy.active)
      loader.load(dir .. "/one.lua")
      assert.is_false(proxy.active)
      assert.error_matches(function() loader.load(dir .. "/one.lua", {"x"}) end,
        "'x' is no NAME=VALUE")
      assert.error_matches(function()
        loader.load(dir .. "/one.lua", {"trusted_proxies=x"})
      end, "trusted_proxies: 'x' is not an address")
    end)
  end)

  it("loads a script", function()
    support.with_files({["one.lua"] = route "one"}, function(dir)
      assert.equal("one", get(loader.load(dir .. "/one.lua"), "/one"))
    end)
  end)

  it("loads the scripts of a directory", function()
    support.with_files({
      ["b.lua"] = route "b",
      ["a.lua"] = "return function(app) app:get('/a', function() return 'a' end) end",
      ["notes.txt"] = "not Lua",
      [".hidden.lua"] = "not Lua either",
      ["deeper/c.lua"] = "error('not to be loaded')",
    }, function(dir)
      local site = loader.load(dir .. "/")
      assert.equal("a", get(site, "/a"))
      assert.equal("b", get(site, "/b"))
      assert.equal(2, #site.routes)
    end)
  end)

  it("loads them in the order of their names", function()
    local files, names = {}, {"k", "c", "z", "a", "q", "f", "t", "m"}
    for _, name in ipairs(names) do files[name .. ".lua"] = route(name) end
    support.with_files(files, function(dir)
      table.sort(names)
      for at, loaded in ipairs(loader.load(dir).routes) do
        assert.equal("/" .. names[at], loaded.rule)
      end
    end)
  end)

  it("lets a script require what lies beside it", function()
    support.with_files({
      ["main.lua"] = [[
        local words = require "shared.words"
        return function(app) app:get("/x", function() return words.hello end) end
      ]],
      ["shared/words.lua"] = "return {hello = 'hello'}",
    }, function(dir)
      for _, given in ipairs{dir, dir .. "/main.lua"} do
        package.path, package.loaded["shared.words"] = path, nil
        assert.equal("hello", get(loader.load(given), "/x"))
      end
    end)
  end)

  it("lets any file require what lies beside it", function()
    support.with_files({["shared/words.lua"] = "return 'hello'"}, function(dir)
      loader.search_beside(dir .. "/job.lua")
      assert.equal("hello", require "shared.words")
    end)
    loader.search_beside("job.lua")
    assert.matches("^%./%?%.lua;", package.path)
  end)

  it("loads an empty directory as an app without routes", function()
    support.with_files({}, function(dir)
      assert.same({}, loader.load(dir).routes)
    end)
  end)

  it("ends the definition of routes", function()
    support.with_files({["a.lua"] = "return function(app) kept_app = app end"}, function(dir)
      local site = loader.load(dir)
      assert.equal(site, _G.kept_app)
      assert.error_matches(function() site:get("/late", print) end, "while the scripts load")
    end)
    _G.kept_app = nil
  end)

  describe("says what is wrong, and where", function()
    for name, case in pairs{
      ["with the syntax"] = {"local x =\n= 1", "DIR/a.lua:2: unexpected symbol near '='"},
      ["when a script fails"] = {"local x\nerror('oops')", "DIR/a.lua:2: oops"},
      ["when it returns nothing"] = {"local x", "DIR/a.lua: the script returned nothing; it should "
        .. "end with 'return app', or return a function that takes an app"},
      ["when it returns something else"] = {"return 42", "DIR/a.lua: the script returned a number; "
        .. "it should end with 'return app', or return a function that takes an app"},
      ["with a rule"] = {"return function(app)\napp:get('x', print)\nend",
        "DIR/a.lua:2: bad rule 'x': it does not begin with '/'"},
    } do
      it(name, function()
        support.with_files({["a.lua"] = case[1]}, function(dir)
          assert.equal(case[2], (support.raised(loader.load, dir):gsub(dir, "DIR", nil, true)))
        end)
      end)
    end

    it("when two scripts define the same route", function()
      support.with_files({["a.lua"] = route "x", ["b.lua"] = "\n" .. route "x"}, function(dir)
        assert.equal("DIR/b.lua:3: the route GET /x is already defined at DIR/a.lua:2",
          (support.raised(loader.load, dir):gsub(dir, "DIR")))
      end)
    end)

    it("when there is nothing to load", function()
      assert.matches("nowhere", support.raised(loader.load, "/nowhere"))
    end)
  end)
end)
