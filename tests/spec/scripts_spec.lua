local support = require "support"
local loader = require "genet.loader"

describe("the example scripts", function()
  local site, slept
  local args = arg
  local sleep = support.core.sleep

  setup(function()
    rawset(_G, "arg", nil) -- they are served, not run
    support.core.sleep = function(seconds) slept = seconds end
    package.loaded.genet = nil
    site = loader.load("scripts")
  end)

  teardown(function()
    rawset(_G, "arg", args)
    support.core.sleep = sleep
    package.loaded.genet = nil
  end)

  for path, expected in pairs{
    ["/hello"] = "hello test",
    ["/hello/Ann"] = "hello Ann",
    ["/hello/%3Cb%3E"] = "hello &lt;b&gt;",
    ["/sum/1/2"] = '{"a":1,"b":2,"sum":3}',
    ["/test/"] = "hello test",
    ["/asyn/1/"] = "hello asyn",
  } do
    it("answer " .. path, function()
      local status, head, body = site:dispatch(support.exchange(), "GET", path)
      assert.equal(200, status)
      if head:find("json", 1, true) then
        local json = require "genet.json"
        assert.same(json.decode(expected), json.decode(body))
      else
        assert.equal(expected, body)
      end
    end)
  end

  it("answer /chat with a page that needs nothing from elsewhere", function()
    local status, head, body = site:dispatch(support.exchange(), "GET", "/chat")
    assert.equal(200, status)
    assert.truthy(head:find("Content-Security-Policy: default-src 'none';", 1, true))
    assert.truthy(body:find("^<!doctype html>"))
    assert.is_nil(body:find("https?://"))
    assert.is_nil(body:find("innerHTML", 1, true))
  end)

  it("sleep ten seconds where they say so", function()
    slept = nil
    site:dispatch(support.exchange(), "GET", "/test/")
    assert.is_nil(slept)
    site:dispatch(support.exchange(), "GET", "/asyn/1/")
    assert.equal(10, slept)
  end)
end)
