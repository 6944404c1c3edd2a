-- Code that nests without end gets a Lua error, and the server lives on.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
local bombs = {}

function bombs.gsub()
  local function bomb(text) return (text:gsub(".", bomb)) end
  return bomb("x")
end

function bombs.recursion()
  local function deeper(n) return 1 + deeper(n + 1) end
  return tostring(deeper(0))
end

function bombs.captures()
  return tostring(("x"):find(string.rep("(", 1e6)))
end

function bombs.pattern()
  return tostring(string.rep("a", 200000):match(string.rep(".?", 200000)))
end

function bombs.source()
  return assert(load("return " .. string.rep("(", 1e6)))()
end

function bombs.index()
  local object = setmetatable({}, {__index = function(self, key) return self[key] end})
  return object.key
end

function bombs.tostring()
  local meta = {__tostring = function(self) return string.format("%s", self) end}
  return tostring(setmetatable({}, meta))
end

function bombs.sort()
  local function bomb() return table.sort({2, 1}, bomb) end
  return bomb()
end

function bombs.load()
  local function bomb() return load(bomb) and nil or error("nested too deep") end
  return bomb()
end

function bombs.coroutines()
  local function nest() return coroutine.wrap(nest)() end
  return nest()
end

function bombs.handler()
  local function handler(err) error(err) end
  local ok, err = xpcall(error, handler, "boom")
  error(ok and "no error" or err)
end

function bombs.unpack()
  return table.unpack({}, 1, 1e7)
end

function bombs.json()
  local cycle = {}
  cycle.self = cycle
  return cycle
end

app:get("/bomb/<name>", function(_, name) return bombs[name]() end)

app:get("/pcall", function()
  local depth = 0
  local function nest()
    depth = depth + 1
    return pcall(nest)
  end
  nest()
  return depth > 100 and "deep" or "shallow"
end)

app:get("/waiting-at-depth", function()
  local function nest(text, depth)
    if depth == 0 then genet.sleep(0.01) return "x" end
    return (text:gsub(".", function(letter) return nest(letter, depth - 1) end))
  end
  return nest("x", 150)
end)

app:get("/fine", function() return "fine" end)

return app
]]

describe("a handler", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  local cases = {
    {"gsub", "calls string.gsub within string.gsub"},
    {"recursion", "calls itself"},
    {"captures", "matches a pattern of a million captures"},
    {"pattern", "matches a pattern of 200,000 optional characters"},
    {"source", "loads a million parentheses"},
    {"index", "asks __index within __index"},
    {"tostring", "asks __tostring within __tostring"},
    {"sort", "sorts in a comparator"},
    {"load", "loads in a reader of load"},
    {"coroutines", "nests coroutines"},
    {"handler", "raises errors in the error handler"},
    {"unpack", "unpacks ten million values"},
    {"json", "answers with a table that holds itself"},
  }
  for _, case in ipairs(cases) do
    local name, what = table.unpack(case)
    it(("that %s without end fails alone"):format(what), function()
      assert.equal(500, server:get("/bomb/" .. name).status)
      assert.equal("fine", server:get("/fine").body)
    end)
  end

  it("that nests pcall without end comes back", function()
    assert.equal("deep", server:get("/pcall").body)
  end)

  it("may wait at a depth of 150 callbacks", function()
    assert.equal("x", server:get("/waiting-at-depth").body)
  end)

  it("that fails deep down does so for a crowd at once", function()
    local answers = server:crowd(20, "/bomb/gsub"):answers()
    local count = 0
    for answer, times in pairs(answers) do
      assert.equal("500", answer:sub(1, 3))
      count = count + times
    end
    assert.equal(20, count)
    assert.equal("fine", server:get("/fine").body)
  end)
end)
