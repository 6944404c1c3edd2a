local support = require "support"
local config = require "genet.config"
local genet = require "genet"
local loader = require "genet.loader"

local SCRIPT = [[
local genet = require "genet"
local app = genet.app()
app.config.secret_key = "0123456789abcdef"
app.config.title = "Shop"
app:template_filter("euros", function(cents) return ("%.2f"):format(cents / 100) end)
app:template_test("dear", function(cents) return cents > 1000 end)
app:template_global("year", function() return 2026 end)
app:context_processor(function(req) return {menu = "main", path = req.path} end)
app:static("/static", "DIR")
app:get("/item/<int:id>", {name = "item"}, function(req, id)
  req.g.user = "ann"
  req.session.n = 7
  return genet.render_template_string(req.args.t, {id = id})
end)
app:get("/explicit", function(req) return req:render("page.html", {g = "hidden"}) end)
app:get("/page", function() return genet.render_template("page.html") end)
app:get("/stream", function() return genet.stream_template("page.html") end)
app:get("/task", function()
  return select(2, genet.spawn(function() return genet.render_template("page.html") end):wait())
end)
app:get("/flash", function(req)
  req:flash("one") req:flash("two", "error")
  return genet.render_template_string(
    "{% for c, m in get_flashed_messages(with_categories=true) %}{{ c }}={{ m }};{% endfor %}"
    .. "{{ get_flashed_messages(category_filter=['error']) | join(',') }}")
end)
app:group("/admin", {name = "admin", template_folder = "admin_templates"}, function(admin)
  admin:context_processor(function() return {menu = "admin"} end)
  admin:get("/own", {name = "own"}, function()
    return genet.render_template("own.html", {path = "given"})
  end)
end)
app:error(404, function() return genet.render_template("page.html") end)
return app
]]

describe("templates", function()
  local site

  setup(function()
    support.with_files({
      ["main.lua"] = SCRIPT:gsub("DIR", "/tmp"),
      ["templates/page.html"] = "{{ request.path }}",
      ["admin_templates/own.html"] = "{{ menu }} {{ path }} {{ url_for('.own') }}"
        .. "{% include 'page.html' %}",
    }, function(dir)
      site = loader.load(dir .. "/main.lua")
      -- Compiled while the files are there.
      site.templates:get("page.html")
      site.templates:get("own.html")
    end)
  end)

  teardown(function() config.load() end)
  after_each(function() support.running = nil end)

  local function get(path, query)
    local x = support.exchange{query = query, headers = {"Host", "example.org"}}
    support.running = x
    local ok, status, head, body = pcall(site.dispatch, site, x, "GET", path)
    if not ok then error(status, 0) end
    return body or table.concat(x.written), head
  end

  local function render(text)
    return (get("/item/5", "t=" .. require("genet.url").encode_value(text)))
  end

  for _, case in ipairs{
    {"{{ request.method }} {{ request.path }} {{ request.args.t | length > 3 }}",
      "GET /item/5 True"},
    {"{{ g.user }} {{ session.n }} {{ session['n'] }}", "ann 7 7"},
    {"{{ g.get('user') }} {{ g.get('nobody', 'x') }} {{ session.get('n') }}", "ann x 7"},
    {"{{ request.args.get('n', 3) }} {{ request.headers.get('host') }}", "3 example.org"},
    {"{{ config.title }} {{ config['TITLE'] }} {{ config.get('title') }}", "Shop Shop Shop"},
    {"{{ url_for('item', id=id + 1, tag=['a', 'b'], page=none) }}", "/item/6?tag=a&amp;tag=b"},
    {"{{ url_for('static', filename='css/a b.css') }}", "/static/css/a%20b.css"},
    {"{{ url_for('item', id=1, _external=true) }}", "http://example.org/item/1"},
    {"{{ url_for('admin.own', _scheme='https', _anchor='a b') }}",
      "https://example.org/admin/own#a%20b"},
    {"{{ 1234 | euros }} {{ 1234 is dear }} {{ year() }} {{ menu }}", "12.34 True 2026 main"},
    {"{% macro m() %}{{ request.endpoint }}{% endmacro %}{{ m() }}", "item"},
    {"{{ csrf_token() | length }}", "43"},
  } do
    it("know " .. case[1], function() assert.equal(case[2], render(case[1])) end)
  end

  it("let what they are given come first", function()
    assert.equal("/explicit", (get("/explicit")))
    assert.equal("admin given /admin/own/admin/own", (get("/admin/own")))
  end)

  it("are rendered in streams, and by error handlers", function()
    assert.equal("/stream", (get("/stream")))
    assert.equal("/nowhere", (get("/nowhere")))
  end)

  it("have the messages of flash", function()
    assert.equal("message=one;error=two;two", (get("/flash")))
  end)

  it("say what needs a request where there is none", function()
    local function outside(text) return genet.render_template_string(text) end
    assert.equal("Shop 2", outside("{{ config.title }} {{ 1 + 1 }}"))
    assert.equal("/item/1", outside("{{ url_for('item', id=1) }}"))
    assert.matches("'request' is known while a request is answered only",
      support.raised(outside, "{{ request.path }}"))
    assert.matches("'csrf_token' is known while a request is answered only",
      support.raised(outside, "{{ csrf_token() }}"))
    assert.matches("url_for: a whole address needs a request, or server_name in the configuration",
      support.raised(outside, "{{ url_for('item', id=1, _external=true) }}"))
    site.config.server_name = "shop.test"
    assert.equal("http://shop.test/item/1", outside("{{ url_for('item', id=1, _external=true) }}"))
    site.config.server_name = nil
  end)

  it("forget a request that has been answered", function()
    get("/page")
    support.running = support.exchange()
    assert.is_nil(genet.request())
  end)
end)

describe("url_for", function()
  local site = genet.app()
  site:get("/", {name = "index"}, function() return "" end)
  site:get("/page/<int:n>", {name = "page"}, function() return "" end)
  site:get("/page", {name = "page"}, function() return "" end)
  site:get("/by/<string:tag>/<int:n>", {name = "by"}, function() return "" end)
  site:converter("even", {
    pattern = "%d+",
    read = function(text) return tonumber(text) % 2 == 0 and tonumber(text) or nil end,
    write = function(n) return ("%03d"):format(n) end,
  })
  site:get("/even/<even:n>", {name = "even"}, function(_, n) return tostring(n) end)
  local inner
  local group = site:group("/a", {name = "a"}, function(a)
    a:get("/x", {name = "x"}, function() return "" end)
    inner = a:group("/b", {name = "b"}, function(b)
      b:get("/x", {name = "x"}, function() return "" end)
    end)
  end)

  for _, case in ipairs{
    {site, "index", nil, "/"},
    {site, "page", {n = 3}, "/page/3"},
    {site, "page", {q = "a&b"}, "/page?q=a%26b"},
    {site, "page", {q = {1, "b"}, a = true}, "/page?a=true&q=1&q=b"},
    {site, "page", {_anchor = "top"}, "/page#top"},
    {site, "even", {n = 2}, "/even/002"},
    {group, ".x", nil, "/a/x"},
    {inner, ".x", nil, "/a/b/x"},
    {site, "a.b.x", nil, "/a/b/x"},
    {site, ".index", nil, "/"},
    {site, "index", {_external = true, _host = "h", _scheme = "wss"}, "wss://h/"},
  } do
    it("gives " .. case[4], function() assert.equal(case[4], case[1]:url_for(case[2], case[3])) end)
  end

  for _, case in ipairs{
    {"by", {tag = "x"}, "url_for: route 'by': rule '/by/<string:tag>/<int:n>': the argument 'n' is "
      .. "missing"},
    {"by", {tag = "x", n = -1}, "url_for: route 'by': rule '/by/<string:tag>/<int:n>': '-1' does "
      .. "not fit the argument 'n'"},
    {"even", {n = 3}, "url_for: route 'even': rule '/even/<even:n>': '003' does not fit the "
      .. "argument 'n'"},
    {"nowhere", nil, "url_for: there is no route of the name 'nowhere'"},
    {"index", 7, "url_for: the arguments are a number"},
  } do
    it("says: " .. case[3], function()
      assert.equal(case[3], support.blamed(function() site:url_for(case[1], case[2]) end))
    end)
  end

  it("goes with the converter's reading", function()
    local function get(path)
      local x = support.exchange()
      return select(2, pcall(function() return select(3, site:dispatch(x, "GET", path)) end))
    end
    assert.equal("4", get("/even/4"))
    assert.matches("404", get("/even/5"))
    assert.equal("app:converter: there is a converter 'int' already",
      support.blamed(function() site:converter("int", {}) end))
  end)
end)
