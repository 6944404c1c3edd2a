-- The demonstration this project began with: a request that sleeps ten seconds delays nobody.
local support = require "tests.e2e.support"

describe("the scripts that come with Genet", function()
  local server

  setup(function() server = support.serve{path = "scripts"} end)
  teardown(function() server:stop() end)

  it("answer /test/ while /asyn/1/ still sleeps", function()
    local sleeper = server:ask("/asyn/1/")
    finally(function() sleeper:close() end)
    assert.equal("hello test", server:get("/test/").body)
    assert.is_false(sleeper:has_news(), "/asyn/1/ should still sleep")
    assert.equal("hello asyn", sleeper:response().body)
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
