local support = require "support"
local tasks = require "genet.tasks"
local offload = require "genet.offload"

describe("genet.offload", function()
  it("calls a function, or that of a module, and returns its results", function()
    assert.same({5, nil, "x"}, {offload.run(function(...) return ... end, 5, nil, "x")})
    assert.equal("ABAB", offload.run("string", "rep", "AB", 2))
    package.loaded["spec.twice"] = function(n) return 2 * n end
    assert.equal(8, offload.run("spec.twice", nil, 4))
  end)

  it("raises the error of the function, and keeps both tracebacks of it", function()
    local kept
    tasks.keep_traceback = function(...) kept = {...} end
    local run = support.pool.run
    finally(function() support.pool.run, tasks.keep_traceback = run, nil end)
    support.pool.run = function() return false, "boom", "stack traceback:\n\tthere" end
    assert.equal("boom", support.raised(offload.run, print))
    assert.equal("boom", kept[1])
    assert.truthy(kept[2]:find("^stack traceback:\n\tthere\noffloaded by:\n\t.*offload_spec"))
  end)

  local misuses = {
    {{}, "genet.offload: a function or the name of a module was expected, not nothing"},
    {{{}}, "genet.offload: a function or the name of a module was expected, not a table"},
    {{"string", 3}, "genet.offload: the name of a function of module 'string' was expected"},
  }
  for _, case in ipairs(misuses) do
    local arguments, expected = table.unpack(case)
    it(("raises '%s'"):format(expected), function()
      local err = support.raised(function() offload.run(table.unpack(arguments)) end)
      assert.truthy(err:find("offload_spec.lua:%d+: ") and err:find(expected, 1, true))
    end)
  end

  it("raises from its caller what the pool refuses", function()
    local run = support.pool.run
    finally(function() support.pool.run = run end)
    support.pool.run = function() return nil, "nothing may wait here" end
    local err = support.raised(function()
      local value = offload.run(print)
      return value
    end)
    assert.truthy(err:find("offload_spec.lua:%d+: genet.offload: nothing may wait here"))
  end)
end)
