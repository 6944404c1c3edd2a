local status = require "genet.status"

describe("genet.status", function()
  it("names what RFC 9110 names", function()
    for code, reason in pairs{[200] = "OK", [404] = "Not Found", [413] = "Content Too Large"} do
      assert.equal(reason, status[code])
    end
  end)

  it("gives the line people read", function()
    assert.equal("404 Not Found", status.line(404))
    assert.equal("299", status.line(299))
  end)

  it("takes what can be the status of a finished answer", function()
    for _, case in ipairs{{200, 200}, {599, 599}, {204.0, 204}} do
      assert.equal(case[2], status.check(case[1]))
      assert.equal("integer", math.type(status.check(case[1])))
    end
  end)

  it("refuses what cannot, and says what it was", function()
    for _, case in ipairs{
      {199, "199"}, {600, "600"}, {200.5, "200.5"}, {"200", '"200"'}, {true, "true"}, {-1, "-1"},
    } do
      local ok, problem = pcall(status.check, case[1])
      assert.is_false(ok)
      assert.equal("bad status " .. case[2] .. ": an integer from 200 to 599 was expected", problem)
    end
  end)
end)
