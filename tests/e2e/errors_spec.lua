-- A handler that fails costs its own request a 500, and the log tells where and why.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()

local function inner() error("the reason") end

app:get("/raises", function() inner() end)
app:get("/raises-table", function() error({code = 42}) end)
app:get("/raises-nil", function() error(nil) end)
app:get("/raises-object", function()
  error(setmetatable({}, {__tostring = function() return "an object's text" end}))
end)
app:get("/raises-after-waiting", function() genet.sleep(0.01) error("after waiting") end)
app:get("/calls-nil", function() return undefined_function() end)
app:get("/aborts", function() genet.abort(418, "I am a teapot") end)

app:get("/nothing", function() end)
app:get("/boolean", function() return true end)
app:get("/thread", function() return coroutine.create(print) end)
app:get("/status-text", function() return "body", "created" end)
app:get("/status-range", function() return "body", 1000 end)
app:get("/headers-text", function() return "body", 200, "X-Name: value" end)
app:get("/header-table", function() return "body", 200, {["X-Name"] = {{}}} end)
app:get("/header-injection", function() return "body", 200, {["X-Name"] = "a\r\nX-Evil: b"} end)

app:get("/streams-then-raises", function()
  return function(write)
    write("first")
    error("in mid-stream")
  end
end)

app:get("/writes-and-returns", function(req)
  req:write("first")
  return "second"
end)

app:get("/fine", function() return "fine" end)

return app
]]

describe("a handler that raises", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  local function log_of(target)
    local from = #server:stderr() + 1
    local response = server:get(target)
    return response, server:stderr():sub(from)
  end

  it("answers 500 without telling the client why", function()
    local response = server:get("/raises")
    assert.equal(500, response.status)
    assert.is_nil(response.body:find("the reason", 1, true))
    assert.is_nil(response.body:find("main.lua", 1, true))
  end)

  it("leaves a traceback in the log", function()
    local _, log = log_of("/raises")
    assert.truthy(log:match("%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ error "))
    assert.truthy(log:match("main%.lua:4: the reason"))
    assert.truthy(log:find("stack traceback:", 1, true))
    assert.truthy(log:match("main%.lua:6: in "))
  end)

  local cases = {
    {"a table", "/raises-table", "table"},
    {"nil", "/raises-nil", "nil"},
    {"an object with __tostring", "/raises-object", "an object's text"},
    {"after waiting", "/raises-after-waiting", "main.lua:12: after waiting"},
    {"by calling nil", "/calls-nil", "undefined_function"},
  }
  for _, case in ipairs(cases) do
    local what, target, text = table.unpack(case)
    it(("may raise %s"):format(what), function()
      local response, log = log_of(target)
      assert.equal(500, response.status)
      assert.truthy(log:find(text, 1, true), log)
    end)
  end

  it("may choose another status with genet.abort, which is no error to log", function()
    local response, log = log_of("/aborts")
    assert.equal(418, response.status)
    assert.truthy(response.body:find("I am a teapot", 1, true))
    assert.is_nil(log:find("traceback", 1, true))
  end)

  it("leaves the connection usable", function()
    local client = server:connect()
    finally(function() client:close() end)
    assert.equal(500, client:request("GET", "/raises").status)
    assert.equal("fine", client:request("GET", "/fine").body)
  end)

  it("in a stream that has begun cuts the answer short", function()
    local client = server:ask("/streams-then-raises")
    finally(function() client:close() end)
    assert.equal(200, client:read_head().status)
    assert.equal("first", client:read_chunk())
    assert.is_nil(client:read_all():find("0\r\n\r\n", 1, true))
    server:wait_for_log("in mid-stream")
  end)
end)

describe("a handler that writes an answer and returns one", function()
  it("has the answer cut short, and the log says why", function()
    local server = support.serve{script = script}
    finally(function() server:stop() end)
    local client = server:ask("/writes-and-returns")
    assert.equal(200, client:read_head().status)
    assert.equal("first", client:read_chunk())
    assert.equal("", client:read_all())
    server:wait_for_log("returned an answer after it had begun to write one")
    client:close()
  end)
end)

describe("a handler that returns nonsense", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  local cases = {
    {"nothing", "/nothing", "returned nothing"},
    {"a boolean", "/boolean", "boolean"},
    {"a thread", "/thread", "thread"},
    {"a status that is no number", "/status-text", "created"},
    {"a status that HTTP does not know", "/status-range", "1000"},
    {"headers that are no table", "/headers-text", "string"},
    {"a header that is no text", "/header-table", "table"},
    {"a header that would forge another", "/header-injection", "X-Name"},
  }
  for _, case in ipairs(cases) do
    local what, target, text = table.unpack(case)
    it(("such as %s gets a 500 that says what it returned"):format(what), function()
      local from = #server:stderr() + 1
      local response = server:get(target)
      assert.equal(500, response.status)
      assert.is_nil(response.headers["x-evil"])
      local told = response.body .. server:stderr():sub(from)
      assert.truthy(told:find(text, 1, true), told)
    end)
  end
end)
