local support = require "support"
local genet = require "genet"

describe("genet", function()
  it("has the words of the host", function()
    assert.equal("0.1.0", genet.version)
    assert.equal(1, genet.generation())
    assert.equal(support.core.sleep, genet.sleep)
  end)

  it("makes apps that know nothing of each other", function()
    local one, two = genet.app(), genet.app()
    one:get("/x", function() return "x" end)
    assert.equal(200, (one:dispatch(support.exchange(), "GET", "/x")))
    assert.equal(404, (two:dispatch(support.exchange(), "GET", "/x")))
  end)

  it("aborts with a status, a message and headers", function()
    local err = support.raised(genet.abort, 401, "who are you?", {["WWW-Authenticate"] = "Basic"})
    assert.equal(401, err.status)
    assert.equal("who are you?", err.message)
    assert.same({["WWW-Authenticate"] = "Basic"}, err.headers)
    assert.matches("bad status 200", support.raised(genet.abort, 200))
  end)

  it("redirects", function()
    local site = genet.app()
    site:get("/old", function() return genet.redirect("/new", 301) end)
    local status, head = site:dispatch(support.exchange(), "GET", "/old")
    assert.equal(301, status)
    assert.matches("Location: /new\r\n", head, 1, true)
  end)

  it("makes text safe for a page", function()
    assert.equal("&lt;a href=&quot;x&quot;&gt;&amp;&#39;", genet.html_escape([[<a href="x">&']]))
    assert.equal("42", genet.html_escape(42))
  end)
end)
