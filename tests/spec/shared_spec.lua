local support = require "support"
local virtual = require "virtual"
local genet = require "genet"
local session = require "genet.session"

describe("genet.shared", function()
  local dict, number = nil, 0

  before_each(function()
    number = number + 1
    support.shared.opened, support.shared.problem = {}, nil
    dict = genet.shared("dict" .. number)
  end)

  it("gives the same dictionary for the same name", function()
    assert.equal(dict, genet.shared("dict" .. number))
    assert.same({{"dict" .. number, false}}, support.shared.opened)
  end)

  it("tells the store what is to be done when memory is full", function()
    genet.shared("strict", {eviction = "error"})
    genet.shared("strict", {eviction = "lru"})
    assert.same({"strict", true}, support.shared.opened[2])
    assert.same({"strict", false}, support.shared.opened[3])
  end)

  it("names the argument that is wrong", function()
    assert.equal("genet.shared: argument 'name': a string was expected, not 7",
      support.blamed(function() genet.shared(7) end))
    assert.equal("genet.shared: argument 'name': at most 100 bytes",
      support.blamed(function() genet.shared(("x"):rep(101)) end))
    assert.equal("genet.shared: option 'eviction': \"lru\" or \"error\" was expected, not \"no\"",
      support.blamed(function() genet.shared("x", {eviction = "no"}) end))
    assert.matches("unknown option 'size'", support.raised(genet.shared, "x", {size = 1}))
    assert.equal("shared:update: argument 'fn': a function was expected, not nothing",
      support.blamed(function() dict:update("a") end))
  end)

  it("raises when the store cannot be opened", function()
    support.shared.problem = "no place"
    assert.equal("genet.shared: no place", support.blamed(function() genet.shared("new") end))
  end)

  describe("update", function()
    it("sets what the function makes of the value", virtual.test(function()
      assert.equal(1, dict:update("a", function(value) return (value or 0) + 1 end))
      assert.equal(2, dict:update("a", function(value) return (value or 0) + 1 end, 60))
      assert.equal(2, dict:get("a"))
      assert.equal(60, dict.ttls.a)
      assert.is_nil(dict:update("a", function() end))
      assert.is_nil(dict:get("a"))
    end))


    it("calls it again when the value has changed meanwhile", function()
      local seen = {}
      virtual.run(function()
        dict:set("a", 1)
        dict:update("a", function(value)
          seen[#seen + 1] = value
          if #seen < 3 then dict:set("a", value * 10) end
          return value + 1
        end)
      end)
      assert.same({1, 10, 100}, seen)
      assert.equal(101, dict:get("a"))
    end)

    it("gives up at last", function()
      local calls = 0
      virtual.run(function()
        local value, problem = dict:update("a", function()
          calls = calls + 1
          dict:set("a", calls)
        end)
        assert.is_nil(value)
        assert.equal("changed", problem)
      end)
      assert.equal(1000, calls)
    end)

    it("lets one at a time make its turn", function()
      local calls = 0
      virtual.run(function()
        for _ = 1, 20 do
          genet.spawn(function()
            dict:update("a", function(value)
              calls = calls + 1
              genet.sleep(0.1)
              return (value or 0) + 1
            end)
          end)
        end
      end)
      assert.equal(20, calls)
      assert.equal(20, dict:get("a"))
    end)

    it("changes nothing when the function fails, and is ready for the next", virtual.test(function()
      dict:set("a", 1)
      assert.matches("oops", support.raised(dict.update, dict, "a", function() error("oops") end))
      assert.equal(1, dict:get("a"))
      assert.equal(2, dict:update("a", function() return 2 end))
    end))


    it("tells failures of the store", virtual.test(function()
      dict.full = true
      assert.same({nil, "no memory"}, {dict:update("a", function() return 1 end)})
      dict.broken = "key too long"
      assert.same({nil, "key too long"}, {dict:update("a", function() return 1 end)})
    end))

  end)

  it("is a store of sessions", function()
    assert.has_no.errors(function() session.new{secret = ("x"):rep(32), store = dict} end)
    dict:save("id", "text", 60)
    assert.equal("text", dict:load("id"))
    assert.equal(60, dict.ttls.id)
    assert.is_nil(dict:load("other"))
  end)
end)
