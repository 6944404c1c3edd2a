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
app:get("/own/<name>", function(req, name)
  req.g.name = name
  return genet.render_template_string(
    "{{ g.name }} {{ wait(name) }}{{ request.path }} {{ g.name }}", {name = name, wait = function(n)
      gate.own = (gate.own or 0) + 1
      while not gate[n] do genet.sleep(0.02) end
      return ""
    end})
end)
app:get("/fails", function() error("oops") end)
app:error("oops", function() return genet.render_template_string("{{ request.path }} failed") end)
app:get("/own-waiting", function() return tostring(gate.own or 0) end)
app:get("/task/<name>", function(req)
  local task = genet.spawn(function()
    genet.sleep(0.01)
    return genet.render_template_string("{{ request.path }}")
  end)
  return select(2, task:wait())
end)
app:get("/coroutine", function(req)
  return coroutine.wrap(function() return genet.render_template_string("{{ request.path }}") end)()
end)
app:get("/later", function()
  genet.spawn(function()
    genet.sleep(0.05)
    gate.late = tostring(select(2, pcall(genet.render_template_string, "{{ request.path }}")))
  end)
  return "later"
end)
app:get("/late", function() return gate.late or "" end)
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
    support.only("default processes", "requests meet in one Lua state", pending)
    local first, second = server:ask("/page/a"), server:ask("/page/b")
    finally(function() first:close() second:close() end)
    support.wait_until("both to wait", function() return server:get("/waiting").body == "2" end)
    server:get("/open/b")
    assert.equal("<h1>bb1bb2</h1>", second:response().body)
    server:get("/open/a")
    assert.equal("<h1>aa1aa2</h1>", first:response().body)
  end)

  it("knows its own request, whoever else waits", function()
    support.only("default processes", "requests meet in one Lua state", pending)
    local first, second = server:ask("/own/c"), server:ask("/own/d")
    finally(function() first:close() second:close() end)
    support.wait_until("both to wait", function() return server:get("/own-waiting").body == "2" end)
    server:get("/open/d")
    assert.equal("d /own/d d", second:response().body)
    server:get("/open/c")
    assert.equal("c /own/c c", first:response().body)
  end)

  it("knows the request of the task, and of the coroutine", function()
    assert.equal("/task/x", server:get("/task/x").body)
    assert.equal("/coroutine", server:get("/coroutine").body)
    local failed = server:get("/fails")
    assert.same({500, "/fails failed"}, {failed.status, failed.body})
  end)

  it("says that a request has been answered", function()
    server:get("/later")
    local said = support.wait_until("the task", function()
      local text = server:get("/late").body
      return text ~= "" and text
    end)
    assert.matches("'request' is known while a request is answered only", said)
  end)

  it("reaches the client while it is rendered", function()
    support.only("default processes", "requests meet in one Lua state", pending)
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
