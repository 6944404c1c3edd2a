-- Templates in the real host: they wait, stream, fail and change.
local support = require("tests.e2e.support").one_state()

local main = [[
local genet = require "genet"
local template = require "genet.template"
local app = genet.app()
local here = (...):match("^(.*)/")
local env = template.new{path = here .. "/templates"}
local gate = {}

env:global("wait", function(name)
  gate.waiting = (gate.waiting or 0) + 1
  while not gate[name] do genet.sleep(0.02) end
  return ""
end)

app:get("/page/<name>", function(_, name) return env:render("page.html", {name = name}) end)
app:get("/plain", function() return env:render("plain.html") end)
app:get("/open/<name>", function(_, name) gate[name] = true return "open" end)
app:get("/waiting", function() return tostring(gate.waiting or 0) end)
app:get("/broken", function() return env:render("broken.html", {user = {}}) end)
app:get("/stream", function()
  return function(write) env:stream("stream.html", {}, write) end
end)

return app
]]

local files = {
  ["main.lua"] = main,
  ["templates/layout.html"] = "<h1>{% block title %}{% endblock %}</h1>",
  ["templates/macros.html"] = "{% macro slow(x) %}{{ x }}{{ wait(x) }}{{ x }}{% endmacro %}",
  ["templates/page.html"] = "{% extends 'layout.html' %}{% from 'macros.html' import slow %}"
    .. "{% block title %}{% for i in [1, 2] %}{{ slow(name) }}{{ loop.index }}{% endfor %}"
    .. "{% endblock %}",
  ["templates/plain.html"] = "before",
  ["templates/broken.html"] = "\n{{ user.address.city }}",
  ["templates/stream.html"] = "{{ 'x' * 10000 }}{{ wait('stream') }}end",
}

describe("a template", function()
  local server

  setup(function() server = support.serve{scripts = files, args = {"-r"}} end)
  teardown(function() server:stop() end)

  it("may wait in a macro, while others are rendered", function()
    local first, second = server:ask("/page/a"), server:ask("/page/b")
    finally(function() first:close() second:close() end)
    support.wait_until("both to wait", function() return server:get("/waiting").body == "2" end)
    server:get("/open/b")
    assert.equal("<h1>bb1bb2</h1>", second:response().body)
    server:get("/open/a")
    assert.equal("<h1>aa1aa2</h1>", first:response().body)
  end)

  it("reaches the client while it is rendered", function()
    local client = server:ask("/stream")
    finally(function() client:close() end)
    client:read_head()
    assert.equal(("x"):rep(10000), client:read_chunk())
    server:get("/open/stream")
    assert.equal("end", client:read_chunk())
    assert.equal("", client:read_chunk())
  end)

  it("that fails is told with its name and line", function()
    assert.equal(500, server:get("/broken").status)
    server:wait_for_log("broken.html:2: 'dict object' has no attribute 'address'")
  end)

  it("is read again when it changes", function()
    assert.equal("before", server:get("/plain").body)
    server:save("templates/plain.html", "after")
    support.wait_until("the new text", function() return server:get("/plain").body == "after" end)
  end)
end)
