-- Waiting is legal everywhere Lua runs, and wherever one handler waits others are answered.
local support = require "tests.e2e.support"

local main = [[
local genet = require "genet"
local socket = require "socket"
local gate = require "lib.gate"
local places = require "lib.places"
local app = genet.app()

app:get("/at/<name>", function(req, name)
  return places[name](function() gate.wait(name) end) or "nothing"
end)

app:get("/waiting/<name>", function(_, name) return tostring(gate.waiting(name)) end)
app:get("/open/<name>", function(_, name) gate.open(name) return "open" end)

app:get("/finalizer", function()
  local slept
  setmetatable({}, {__gc = function()
    local start = socket.gettime()
    genet.sleep(0.1)
    slept = socket.gettime() - start
  end})
  collectgarbage()
  return slept and slept > 0.09 and "slept" or "slept " .. tostring(slept)
end)

app:get("/yields", function()
  for _ = 1, 1000 do coroutine.yield() end
  return "yielded"
end)

app:get("/yields-until-open", function()
  gate.enter "yield"
  while not gate.is_open "yield" do coroutine.yield() end
  return "yielded"
end)

return app
]]

local gate = [[
local genet = require "genet"
local open, waiting = genet.shared("open"), genet.shared("waiting")
local gate = {}

function gate.enter(name) waiting:incr(name, 1, 0) end
function gate.waiting(name) return waiting:get(name) or 0 end
function gate.open(name) open:set(name, true) end
function gate.is_open(name) return open:get(name) end

function gate.wait(name)
  gate.enter(name)
  while not gate.is_open(name) do genet.sleep(0.02) end
end

return gate
]]

local slow_module = [[
require("lib.gate").wait("module")
return "loaded"
]]

-- Each place calls wait() somewhere in its depths and returns a text.
local places = [[
local places = {}

function places.plain(wait)
  wait()
  return "plain"
end

function places.pcall(wait)
  local ok, err = pcall(function() wait() error("after waiting", 0) end)
  return tostring(ok) .. " " .. err
end

function places.xpcall(wait)
  return select(2, xpcall(function() wait() return "xpcall" end, debug.traceback))
end

function places.handler(wait)
  return select(2, xpcall(error, function(err) wait() return err .. " handled" end, "error"))
end

function places.index(wait)
  return setmetatable({}, {__index = function(_, key) wait() return key end}).found
end

function places.newindex(wait)
  local log = {}
  local function store(_, key, value)
    wait()
    log[key] = value
  end
  setmetatable({}, {__newindex = store}).key = "stored"
  return log.key
end

function places.arithmetic(wait)
  local object = setmetatable({}, {__add = function(_, n) wait() return n + 1 end})
  return tostring(object + 41)
end

function places.concat(wait)
  return setmetatable({}, {__concat = function(_, text) wait() return "con" .. text end}) .. "cat"
end

function places.comparison(wait)
  local meta = {__eq = function() wait() return true end, __lt = function() wait() return true end}
  local a, b = setmetatable({}, meta), setmetatable({}, meta)
  return tostring(a == b and a < b)
end

function places.length(wait)
  return tostring(#setmetatable({}, {__len = function() wait() return 3 end}))
end

function places.call(wait)
  return setmetatable({}, {__call = function() wait() return "called" end})()
end

function places.pairs(wait)
  local object = setmetatable({}, {__pairs = function() wait() return next, {a = 1}, nil end})
  for key in pairs(object) do return key end
end

function places.tostring(wait)
  local object = setmetatable({}, {__tostring = function() wait() return "object" end})
  return string.format("<%s>", object)
end

function places.close(wait)
  local text = "open"
  do
    local guard <close> = setmetatable({}, {__close = function() wait() text = "closed" end})
  end
  return text
end

function places.close_after_error(wait)
  local ok, err = pcall(function()
    local guard <close> = setmetatable({}, {__close = function() wait() end})
    error("raised", 0)
  end)
  return tostring(ok) .. " " .. err
end

function places.sort(wait)
  local list = {3, 1, 2}
  table.sort(list, function(a, b) wait() return a < b end)
  return table.concat(list, " ")
end

function places.gsub(wait)
  return (("abc"):gsub("%w", function(letter) wait() return letter:upper() end))
end

function places.nested_gsub(wait)
  local function wrap(text, depth)
    if depth == 0 then wait() return "x" end
    return (text:gsub(".", function(letter) return wrap(letter, depth - 1) end))
  end
  return wrap("o", 20)
end

function places.load(wait)
  local pieces = {"return ", "'rea", "der'"}
  return load(function() wait() return table.remove(pieces, 1) end)()
end

function places.module()
  return require "lib.slow"
end

function places.iterator(wait)
  local sum = 0
  for i in function(_, i) wait() return i < 3 and i + 1 or nil end, nil, 0 do sum = sum + i end
  return tostring(sum)
end

function places.wrap(wait)
  return coroutine.wrap(function() wait() return "wrapped" end)()
end

function places.generator(wait)
  local next_value = coroutine.wrap(function()
    for i = 1, 3 do
      wait()
      coroutine.yield(i)
    end
  end)
  return next_value() .. " " .. next_value() .. " " .. next_value()
end

function places.resume(wait)
  local inner = coroutine.create(function() wait() return "inner" end)
  local outer = coroutine.create(function() return select(2, coroutine.resume(inner)) end)
  return select(2, coroutine.resume(outer))
end

function places.coroutine_close(wait)
  local thread = coroutine.create(function()
    local guard <close> = setmetatable({}, {__close = function() wait() end})
    coroutine.yield()
  end)
  coroutine.resume(thread)
  return tostring(coroutine.close(thread))
end

return places
]]

local files = {
  ["main.lua"] = main,
  ["lib/gate.lua"] = gate,
  ["lib/slow.lua"] = slow_module,
  ["lib/places.lua"] = places,
}

describe("a handler", function()
  local server

  setup(function() server = support.serve{scripts = files} end)
  teardown(function() server:stop() end)

  local function waiting(name)
    return tonumber(server:get("/waiting/" .. name).body)
  end

  -- The place, and what it returns once its gate is open.
  local cases = {
    {"plain", "plain", "in a plain call"},
    {"pcall", "false after waiting", "under pcall"},
    {"xpcall", "xpcall", "under xpcall"},
    {"handler", "error handled", "in the handler of xpcall"},
    {"index", "found", "in __index"},
    {"newindex", "stored", "in __newindex"},
    {"arithmetic", "42", "in __add"},
    {"concat", "concat", "in __concat"},
    {"comparison", "true", "in __eq and __lt"},
    {"length", "3", "in __len"},
    {"call", "called", "in __call"},
    {"pairs", "a", "in __pairs"},
    {"tostring", "<object>", "in __tostring under string.format"},
    {"close", "closed", "in __close"},
    {"close_after_error", "false raised", "in __close after an error"},
    {"sort", "1 2 3", "in the comparator of table.sort"},
    {"gsub", "ABC", "in the callback of string.gsub"},
    {"nested_gsub", "x", "in twenty callbacks of string.gsub"},
    {"load", "reader", "in the reader of load"},
    {"module", "loaded", "at the top level of a required module"},
    {"iterator", "6", "in the iterator of a for loop"},
    {"wrap", "wrapped", "in a coroutine of its own"},
    {"generator", "1 2 3", "in a coroutine that yields values"},
    {"resume", "inner", "in a coroutine in a coroutine"},
    {"coroutine_close", "true", "in coroutine.close"},
  }
  for _, case in ipairs(cases) do
    local name, expected, where = table.unpack(case)
    it("may wait " .. where, function()
      local client = server:ask("/at/" .. name)
      finally(function() client:close() end)
      support.wait_until("the handler to wait", function() return waiting(name) > 0 end)
      assert.is_false(client:has_news())
      server:get("/open/" .. name)
      local response = client:response()
      assert.equal(expected, response.body)
      assert.equal(200, response.status)
    end)
  end

  it("gives way to others when it yields", function()
    local client = server:ask("/yields-until-open")
    finally(function() client:close() end)
    support.wait_until("the handler to yield", function() return waiting("yield") > 0 end)
    assert.is_false(client:has_news())
    server:get("/open/yield")
    assert.equal("yielded", client:response().body)
  end)

  it("goes on after a thousand yields", function()
    assert.equal("yielded", server:get("/yields").body)
  end)

  it("simply blocks in a finalizer", function()
    assert.equal("slept", server:get("/finalizer").body)
  end)
end)

describe("many handlers", function()
  local expected = {sort = "1 2 3", gsub = "ABC", wrap = "wrapped", close = "closed"}

  it("wait in the same place at once, each on a stack of its own", function()
    support.only("default processes", "there are more of them than threads", pending)
    local server = support.serve{scripts = files}
    finally(function() server:stop() end)
    local crowds = {}
    for name in pairs(expected) do crowds[name] = server:crowd(20, "/at/" .. name) end
    for name, crowd in pairs(crowds) do
      crowd:wait_sent()
      server:get("/open/" .. name)
    end
    for name, text in pairs(expected) do
      assert.same({["200 " .. text] = 20}, crowds[name]:answers())
    end
  end)
end)
