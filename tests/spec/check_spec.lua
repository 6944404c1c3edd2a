local support = require "support"
local check = require "genet.check"

local callable = setmetatable({}, {__call = function() end})

describe("genet.check", function()
  -- The function with which a user of the library is at fault.
  local function api(name, ...)
    check[name](...)
  end

  -- The check, what it passes, and what it refuses with the end of the message.
  local cases = {
    {
      name = "callable",
      passes = {print, callable},
      refuses = {{nil, "a function was expected, not nothing"}, {"x", "not a string"},
        {{}, "not a table"}, {3, "not 3"}, {setmetatable({}, {__metatable = 0}), "not a table"},
        {setmetatable({}, {__name = "genet.task"}), "not a genet.task"}},
    },
    {
      name = "seconds",
      passes = {0, 0.0, 1.5, 7, math.huge},
      refuses = {{nil, "a number of seconds from 0 was expected, not nothing"}, {-1, "not %-1"},
        {-0.1, "not %-0.1"}, {0 / 0, "not %-?nan"}, {"1", "not a string"}, {true, "not a boolean"}},
    },
    {
      name = "optional_seconds",
      passes = {0, 2, math.huge},
      refuses = {{-1, "a number of seconds from 0 was expected, not %-1"}, {"1", "not a string"},
        {false, "not a boolean"}},
    },
  }
  for _, case in ipairs(cases) do
    it(case.name .. " passes what fits", function()
      for _, value in ipairs(case.passes) do
        assert.equal(value, check[case.name](value, "f"))
      end
    end)

    it(case.name .. " names the argument and blames the line of the caller", function()
      for _, refused in ipairs(case.refuses) do
        local value, text = refused[1], refused[2]
        local message = support.blamed(function() api(case.name, value, "f: x") end)
        assert.matches("^f: x: .*" .. text .. "$", message)
      end
    end)
  end

  it("lets seconds that may be left out be left out", function()
    assert.is_nil(check.optional_seconds(nil, "f"))
  end)

  it("takes a whole number that is large enough", function()
    assert.equal(1, check.count(1, "f", 1))
    assert.equal("integer", math.type(check.count(2.0, "f", 1)))
    for _, value in ipairs{0, -1, 1.5, math.huge, "1", false} do
      local message = support.blamed(function() api("count", value, "f", 1) end)
      assert.matches("^f: a whole number from 1 was expected, not ", message)
    end
    assert.matches("not nothing$", support.blamed(function() api("count", nil, "f", 1) end))
  end)

  it("tells a method that was called with a dot", function()
    local class = {}
    check.object(setmetatable({}, class), class, "lock:acquire")
    for _, value in ipairs{{}, 1, false} do
      assert.equal("lock:acquire: a lock was expected: write lock:acquire, not lock.acquire",
        support.blamed(function() api("object", value, class, "lock:acquire") end))
    end
  end)

  it("takes options of the right names and types", function()
    local options = {name = "x", detach = false}
    local types = {name = "string", detach = "boolean"}
    assert.equal(options, check.options(options, "f", types))
    assert.same({}, check.options(nil, "f", types))
    local cases_of_options = {
      {{nam = "x"}, "f: unknown option 'nam'"},
      {{"x"}, "f: unknown option '1'"},
      {{name = 1}, "f: option 'name': a string was expected, not 1"},
      {{detach = "yes"}, "f: option 'detach': a boolean was expected, not a string"},
      {"x", "f: a table of options was expected, not a string"},
    }
    for _, case in ipairs(cases_of_options) do
      assert.equal(case[2], support.blamed(function() api("options", case[1], "f", types) end))
    end
  end)
end)
