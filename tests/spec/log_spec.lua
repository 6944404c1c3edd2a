local support = require "support"
local log = require "genet.log"

describe("genet.log", function()
  local function logged(level, fn)
    local before = support.core.current_level
    support.core.current_level = level
    for at = #support.logged, 1, -1 do support.logged[at] = nil end
    local ok, problem = pcall(fn)
    support.core.current_level = before
    assert(ok, problem)
    return support.logged
  end

  it("writes at the level asked for, info when called", function()
    assert.same({{"info", "a"}, {"info", "b"}, {"debug", "c"}, {"warn", "d"}, {"error", "e"}},
      logged("debug", function()
        log("a")
        log.info("b")
        log.debug("c")
        log.warn("d")
        log.error("e")
      end))
  end)

  it("leaves out what is below the level of the host", function()
    assert.same({{"warn", "b"}, {"error", "c"}}, logged("warn", function()
      log("a")
      log.warn("b")
      log.error("c")
      log.debug("d")
    end))
  end)

  it("formats, or joins as print does", function()
    local thing = setmetatable({}, {__tostring = function() return "a thing" end})
    for _, case in ipairs{
      {{"%d of %s", 1, "x"}, "1 of x"},
      {{"%s", thing}, "a thing"},
      {{"100%"}, "100%"},
      {{"100% sure", 1}, "100% sure\t1"},
      {{"%d", "x"}, "%d\tx"},
      {{"a", 1, true}, "a\t1\ttrue"},
      {{thing, "%s"}, "a thing\t%s"},
      {{"a", nil, n = 2}, "a\tnil"},
      {{n = 1}, "nil"},
    } do
      local lines = logged("debug", function()
        log(table.unpack(case[1], 1, case[1].n or #case[1]))
      end)
      assert.same({{"info", case[2]}}, lines)
    end
  end)

  it("can take over print", function()
    local original = print
    finally(function() _G.print = original end)
    log.capture_print()
    assert.same({{"info", "a\t%d\tnil"}, {"info", ""}}, logged("info", function()
      print("a", "%d", nil)
      print()
    end))
    assert.same({}, logged("warn", function() print("a") end))
  end)

  it("writes fields in their order, quoted where need be", function()
    for _, case in ipairs{
      {{"saved", {id = 7, user = "x"}}, "saved id=7 user=x"},
      {{"saved", {b = 'a "b"', a = "one two"}}, [[saved a="one two" b="a \"b\""]]},
      {{"saved", {name = "a\nb\tc\\"}}, [[saved name="a\nb\x09c\\"]]},
      {{"saved", {["a b"] = "", on = true}}, [[saved "a b"="" on=true]]},
      {{"saved %d", {id = 1}}, "saved %d id=1"},
      {{"saved", {name = "Zoë"}}, [[saved name="Zoë"]]},
    } do
      assert.equal(case[2], logged("info", function() log(table.unpack(case[1])) end)[1][2])
    end
  end)

  it("hands fields to a log of objects as their members", function()
    support.core.is_structured = true
    finally(function() support.core.is_structured = nil end)
    local fields = {id = 7, user = 'a "b"\n', message = "x", fn = print, list = {1, 2}}
    local line = logged("info", function() log.info("saved", fields) end)[1]
    assert.equal("saved", line[2])
    local read = require("cjson").decode("{" .. line[3] .. "}")
    assert.same({1, 2}, read.list)
    assert.equal('a "b"\n', read.user)
    assert.equal("x", read.message_)
    assert.equal(tostring(print), read.fn)
  end)
end)
