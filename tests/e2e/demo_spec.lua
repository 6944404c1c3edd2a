-- The demonstrations this project began with: a function that sleeps ten seconds lets its caller go
-- on, and a request that does delays nobody.
local socket = require "socket"
local support = require "tests.e2e.support"

-- Runs scripts/decorator.lua on a terminal, where lines are written as they come.
local function start_decorator()
  local directory = support.directory()
  local command = ("exec setpriv --pdeathsig KILL script -qfec %s %s/out </dev/null >/dev/null")
    :format(support.quote(support.binary .. " run scripts/decorator.lua"), directory)
  local pipe = io.popen(command)
  local function lines()
    local text = support.read_file(directory .. "/out"):gsub("\r\n", "\n")
    return text:match("^Script started[^\n]*\n(.-)\nScript done") or text:match("\n(.*)$") or ""
  end
  support.wait_until("the line of B", function() return lines():find("b function", 1, true) end)
  return {start = socket.gettime(), lines = lines, pipe = pipe, directory = directory}
end

describe("the scripts that come with Genet", function()
  local server, decorator

  setup(function()
    decorator = start_decorator()
    server = support.serve{path = "scripts"}
  end)
  teardown(function()
    server:stop()
    support.remove(decorator.directory)
  end)

  it("let the caller of a slow function go on", function()
    assert.equal("b function\n", decorator.lines())
  end)

  it("answer /test/ while /asyn/1/ still sleeps", function()
    local sleeper = server:ask("/asyn/1/")
    finally(function() sleeper:close() end)
    assert.equal("hello test", server:get("/test/").body)
    assert.is_false(sleeper:has_news(), "/asyn/1/ should still sleep")
    assert.equal("hello asyn", sleeper:response().body)
  end)

  it("end when the slow function has ended", function()
    local lines = decorator.lines
    support.wait_until("the lines of A", function() return lines():find("a function", 1, true) end)
    assert.is_true(socket.gettime() - decorator.start > 9)
    local _, _, status = decorator.pipe:close()
    assert.equal(0, status)
    assert.equal("b function\n函数A睡了十秒钟。。。。。。\na function\n",
      (lines():gsub("\n*$", "\n")))
  end)

  -- One for each further route of scripts/.
  local cases = {
    {"/hello", "hello"},
    {"/hello/world", "hello world"},
    {"/sum/40/2", '"sum":42'},
    {"/chat", "<title>Chat</title>"},
    {"/", "It works"},
    {"/blog/", "Flaskr"},
    {"/notes/", "Notes"},
  }
  for _, case in ipairs(cases) do
    local target, text = table.unpack(case)
    it(("answer %s"):format(target), function()
      local response = server:get(target)
      assert.equal(200, response.status)
      assert.truthy(response.body:find(text, 1, true), response.body)
    end)
  end
end)
