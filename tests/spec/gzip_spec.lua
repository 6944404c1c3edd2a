require "support"
local gzip = require "genet.gzip"

local PAGE = "Content-Type: text/html; charset=utf-8\r\n"
local BODY = ("x"):rep(2000)
local SETTINGS = {min = 1400, level = 5}

local function answer(accepted, head, body, status)
  return gzip.answer(SETTINGS, accepted, status or 200, head, body or BODY)
end

describe("gzip.answer", function()
  it("compresses a long text for those who take it", function()
    local status, head, body = answer("gzip", PAGE)
    assert.equal(200, status)
    assert.equal("gzip 5 of 2000", body)
    assert.equal(PAGE .. "Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n", head)
  end)

  it("tells the others that it might have", function()
    local _, head, body = answer(nil, PAGE)
    assert.equal(BODY, body)
    assert.equal(PAGE .. "Vary: Accept-Encoding\r\n", head)
  end)

  it("weakens the tag", function()
    local _, head = answer("gzip", "ETag: \"a\"\r\n" .. PAGE)
    assert.truthy(head:find("^ETag: W/\"a\"\r\n"))
    _, head = answer("gzip", PAGE .. "etag: W/\"a\"\r\n")
    assert.truthy(head:find("\netag: W/\"a\"\r\n"))
  end)

  it("says only once that it varies", function()
    for _, line in ipairs{
      "Vary: Accept-Encoding\r\n", "vary: Cookie, accept-encoding\r\n", "Vary: *\r\n",
    } do
      local _, head = answer("gzip", PAGE .. line)
      assert.equal(PAGE .. line .. "Content-Encoding: gzip\r\n", head)
    end
  end)

  local left = {
    short = {PAGE, ("x"):rep(1399)},
    encoded = {PAGE .. "Content-Encoding: br\r\n"},
    ["not to be transformed"] = {PAGE .. "Cache-Control: public, no-transform\r\n"},
    ["an image"] = {"Content-Type: image/png\r\n"},
    ["of no type"] = {"X-A: b\r\n"},
    ["a part"] = {PAGE, BODY, 206},
    ["an event stream"] = {"Content-Type: text/event-stream\r\n"},
  }
  for what, case in pairs(left) do
    it("leaves alone what is " .. what, function()
      local status, head, body = answer("gzip", case[1], case[2], case[3])
      assert.same({case[3] or 200, case[1], case[2] or BODY}, {status, head, body})
    end)
  end
end)

describe("app:gzip", function()
  local app = require "genet.app"
  local support = require "support"

  local function get(site, path)
    local x = support.exchange{headers = {"Accept-Encoding", "gzip"}}
    return select(3, site:dispatch(x, "GET", path))
  end

  it("counts for the routes of its app, before and after it, wherever they are included", function()
    local site, root = app.new(), app.new()
    site:get("/before", function() return BODY end)
    site:gzip{min = 100, level = 9}
    site:get("/after", function() return {text = BODY} end)
    root:get("/other", function() return BODY end)
    root:include(site)
    assert.truthy(get(root, "/before"):find("^gzip 9 of 2000"))
    assert.truthy(get(root, "/after"):find("^gzip 9 of 20"))
    assert.equal(BODY, get(root, "/other"))
  end)

  it("refuses nonsense", function()
    local site = app.new()
    for _, options in ipairs{{level = 0}, {level = 10}, {min = -1}, {min = "x"}, {size = 1}} do
      assert.has_error(function() site:gzip(options) end)
    end
  end)
end)
