local http_error = require "genet.http_error"

describe("genet.http_error", function()
  it("makes errors that know their status, message and headers", function()
    local err = http_error.new(403, "members only", {Vary = "Cookie"})
    assert.equal(403, err.status)
    assert.equal("members only", err.message)
    assert.same({Vary = "Cookie"}, err.headers)
  end)

  it("tells its own errors from others", function()
    assert.is_true(http_error.is(http_error.new(404)))
    for _, other in ipairs{"404", {status = 404}, 404} do assert.is_false(http_error.is(other)) end
  end)

  it("refuses a status that is no error", function()
    for _, code in ipairs{200, 302, 600} do
      assert.has_error(function() http_error.new(code) end)
    end
  end)

  it("is one line in the log", function()
    assert.equal("404 Not Found", tostring(http_error.new(404)))
    assert.equal("403 Forbidden: members only", tostring(http_error.new(403, "members only")))
    local fault = http_error.fault("it returned nothing", "secret")
    fault.place = "app.lua:3"
    assert.equal("app.lua:3: 500 Internal Server Error: it returned nothing (secret)",
      tostring(fault))
  end)

  it("makes small pages", function()
    assert.equal("404 Not Found\n", http_error.page(404))
    assert.equal("403 Forbidden\nmembers only\n", http_error.page(403, "members only"))
  end)
end)
