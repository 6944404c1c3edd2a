-- In a served app print and genet.log write to the log, a line at a time.
local support = require("tests.e2e.support").one_state()

local script = [[
local genet = require "genet"
local app = genet.app()

print("while loading")

app:get("/print", function() print("printed", 1, nil, true) return "" end)
app:get("/log", function()
  genet.log("plain %d", 1)
  genet.log.info("info %s", "text")
  genet.log.error("error %s", "text")
  genet.log.warn("warn %s", "text")
  genet.log.debug("debug %s", "text")
  genet.log("100% as it is")
  return ""
end)
app:get("/crowd", function()
  for i = 1, 20 do
    print(("a line of a crowd %02d "):format(i) .. ("x"):rep(300) .. " end")
    genet.sleep(0.001)
  end
  return ""
end)

return app
]]

local stamp = "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ "

local function lines_with(log, text)
  local lines = {}
  for line in log:gmatch("[^\n]+") do
    if line:find(text, 1, true) then lines[#lines + 1] = line end
  end
  return lines
end

describe("the log", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  -- Target, what stands in the line, and the level it has.
  local cases = {
    {"print", "/print", "printed\t1\tnil\ttrue", "info "},
    {"genet.log", "/log", "plain 1", "info "},
    {"genet.log.info", "/log", "info text", "info "},
    {"genet.log.error", "/log", "error text", "error"},
    {"genet.log.warn", "/log", "warn text", "warn "},
    {"genet.log with a per cent sign", "/log", "100% as it is", "info "},
  }
  for _, case in ipairs(cases) do
    local what, target, text, level = table.unpack(case)
    it(("takes what %s writes as one line with its time and level"):format(what), function()
      server:get(target)
      server:wait_for_log(text)
      local line = lines_with(server:stderr(), text)[1]
      assert.truthy(line:match(stamp .. level .. " "), line)
      assert.equal(text, line:sub(-#text))
    end)
  end

  it("takes what scripts print while they load", function()
    support.only("default", "each state loads the scripts, and so prints", pending)
    assert.equal(1, #lines_with(server:stderr(), "while loading"))
  end)

  it("leaves standard output to the ready line", function()
    server:get("/print")
    assert.truthy(server:stdout():match("^genet: listening on http://127%.0%.0%.1:%d+\n$"))
  end)

  it("holds nothing below its level", function()
    server:get("/log")
    assert.is_nil(server:stderr():find("debug text", 1, true))
  end)

  it("keeps the lines of many requests apart", function()
    assert.same({["200 "] = 20}, server:crowd(20, "/crowd"):answers())
    local lines = lines_with(server:stderr(), "a line of a crowd")
    assert.equal(400, #lines)
    for _, line in ipairs(lines) do
      assert.truthy(line:match(stamp .. "info  %[1%] a line of a crowd %d%d x+ end$"), line)
    end
  end)

  local levels = {error = {"error"}, warn = {"error", "warn"}, debug = {"error", "warn", "debug"}}
  for level, present in pairs(levels) do
    it(("at level %s holds that and what is worse"):format(level), function()
      local other = support.serve{script = script, args = {"--log-level", level}}
      finally(function() other:stop() end)
      other:get("/log")
      local seen = {}
      for _, name in ipairs{"error", "warn", "debug"} do
        local line = other:stderr():find(name .. " text", 1, true)
        if line then seen[#seen + 1] = name end
      end
      assert.same(present, seen)
    end)
  end
end)
