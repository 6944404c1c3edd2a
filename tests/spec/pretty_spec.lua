local pretty = require "genet.pretty"

describe("a value", function()
  local cycle = {1}
  cycle.self = cycle
  local deep = {{{{{}}}}}
  local cases = {
    {nil, "nil"},
    {1.5, "1.5"},
    {"a\n\"b\"\t\0", [["a\n\"b\"\t\0"]]},
    {{}, "{}"},
    {{1, 2, "x"}, '{1, 2, "x"}'},
    {{b = 1, a = {c = true}}, "{a = {c = true}, b = 1}"},
    {{[1] = 1, [3] = 3, ["end"] = 0}, '{1, [3] = 3, ["end"] = 0}'},
    {setmetatable({x = 1}, {__name = "point"}), "point {x = 1}"},
    {setmetatable({}, {__tostring = function() return "shown" end}), "shown"},
    {cycle, "{1, self = <above>}"},
    {deep, "{{{{{}}}}}"},
    {{{{{{1}}}}}, "{{{{{...}}}}}"},
  }
  for _, case in ipairs(cases) do
    it(("is shown as %s"):format(case[2]), function()
      assert.equal(case[2], pretty.text(case[1]))
    end)
  end

  it("that is long takes a line for each item", function()
    local long = ("x"):rep(50)
    assert.equal('{\n  "' .. long .. '",\n  "' .. long .. '"\n}', pretty.text{long, long})
  end)

  it("with many items is cut", function()
    local many = {}
    for i = 1, 150 do many[i] = i end
    assert.truthy(pretty.text(many):find("100,\n  ... 50 more\n}", 1, true))
  end)
end)
