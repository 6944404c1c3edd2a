local router = require "genet.router"

-- A router with routes, each given as "METHOD,METHOD rule" or as a rule for GET.
local function router_with(...)
  local routes = router.new()
  for at, text in ipairs{...} do
    local methods, rule = text:match("^(%S+) (.*)$")
    local set = {}
    for method in (methods or "GET"):gmatch("[^,]+") do set[method] = true end
    routes:add{rule = rule or text, methods = set, place = "app.lua:" .. at}
  end
  return routes
end

-- What a request leads to: the rule and its arguments, or the status and what goes with it.
local function outcome(routes, request)
  local method, path = request:match("^(%u+) (.*)$")
  local route, values, decoded = routes:match(method or "GET", path or request)
  if not route then return decoded and values .. " " .. decoded or tostring(values) end
  local texts = {route.rule}
  for at, name in ipairs(route.names) do
    texts[at + 1] = name .. "=" .. tostring(values[at])
  end
  return table.concat(texts, " ")
end

local function check(routes, cases)
  for _, case in ipairs(cases) do assert.equal(case[2], outcome(routes, case[1]), case[1]) end
end

describe("genet.router", function()
  it("finds fixed rules", function()
    check(router_with("/", "/hello", "/a/b/c", "/slash/", "/caf\xC3\xA9", "/100%"), {
      {"/", "/"},
      {"/hello", "/hello"},
      {"/a/b/c", "/a/b/c"},
      {"/slash/", "/slash/"},
      {"/caf%C3%A9", "/caf\xC3\xA9"},
      {"/h%65llo", "/hello"},
      {"/100%25", "/100%"},
      {"/100%", "400"},
      {"/Hello", "404"},
      {"/a/b", "404"},
      {"/hello/x", "404"},
    })
  end)

  it("fills in arguments", function()
    check(router_with("/hello/<name>", "/item/<int:id>", "/at/<float:x>/<float:y>", "/:a/x/:b",
      "/files/<path:rest>"), {
      {"/hello/bob", "/hello/<name> name=bob"},
      {"/hello/b%20b", "/hello/<name> name=b b"},
      {"/hello/", "404"},
      {"/hello/a/b", "404"},
      {"/hello/a%2Fb", "404"},
      {"/item/42", "/item/<int:id> id=42"},
      {"/item/x", "404"},
      {"/item/99999999999999999999", "404"},
      {"/at/1.5/2.0", "/at/<float:x>/<float:y> x=1.5 y=2.0"},
      {"/at/1/2", "404"},
      {"/1/x/2", "/:a/x/:b a=1 b=2"},
      {"/files/a", "/files/<path:rest> rest=a"},
      {"/files/a/b/c.txt", "/files/<path:rest> rest=a/b/c.txt"},
      {"/files/a/", "/files/<path:rest> rest=a/"},
      {"/files/", "404"},
      {"/hello/%00", "400"},
      {"/hello/%4", "400"},
    })
  end)

  it("reads segments with text between arguments", function()
    check(router_with("/v<int:major>.<int:minor>/<page>", "/<name>.<any(json,xml):kind>",
      "/<string(length=2):lang>-<rest>", "/:id.html"), {
      {"/v1.20/home", "/v<int:major>.<int:minor>/<page> major=1 minor=20 page=home"},
      {"/v1.x/home", "404"},
      {"/data.json", "/<name>.<any(json,xml):kind> name=data kind=json"},
      {"/a.b.xml", "/<name>.<any(json,xml):kind> name=a.b kind=xml"},
      {"/data.txt", "404"},
      {"/en-a-b", "/<string(length=2):lang>-<rest> lang=en rest=a-b"},
      {"/12.html", "/:id.html id=12"},
      {"/.html", "404"},
    })
  end)

  it("takes paths in the middle of a rule", function()
    check(router_with("/wiki/<path:page>/edit", "/wiki/<path:page>", "/<lang>/doc/*page"), {
      {"/wiki/a/b/edit", "/wiki/<path:page>/edit page=a/b"},
      {"/wiki/edit", "/wiki/<path:page> page=edit"},
      {"/wiki/a/b", "/wiki/<path:page> page=a/b"},
      {"/de/doc/x/y", "/<lang>/doc/*page lang=de page=x/y"},
    })
  end)

  it("tries fixed text first and the widest converter last, whatever the order", function()
    local rules = {
      "/<path:p>", "/<s>", "/<float:f>", "/<int:i>", "/<uuid:u>", "/<any(x,y):a>", "/fixed",
      "/<s>-end", "/<string(length=3):t>", "/doc-<path:d>", "/<path:p>/<x>/edit", "/<s>/<int:i>",
    }
    local cases = {
      {"/fixed", "/fixed"},
      {"/x", "/<any(x,y):a> a=x"},
      {"/12", "/<int:i> i=12"},
      {"/1.5", "/<float:f> f=1.5"},
      {"/abc", "/<string(length=3):t> t=abc"},
      {"/a-end", "/<s>-end s=a"},
      {"/other", "/<s> s=other"},
      {"/doc-a", "/doc-<path:d> d=a"},
      {"/a/b/edit", "/<path:p>/<x>/edit p=a x=b"},
      {"/a/1", "/<s>/<int:i> s=a i=1"},
      {"/a/b", "/<path:p> p=a/b"},
    }
    check(router_with(table.unpack(rules)), cases)
    local reversed = {}
    for at, rule in ipairs(rules) do reversed[#rules + 1 - at] = rule end
    check(router_with(table.unpack(reversed)), cases)
  end)

  it("goes back when a promising branch ends nowhere", function()
    check(router_with("/a/b/c", "/a/<x>/d", "/<y>/b/e", "/<int:n>/z", "/<s>/w"), {
      {"/a/b/c", "/a/b/c"},
      {"/a/b/d", "/a/<x>/d x=b"},
      {"/a/b/e", "/<y>/b/e y=a"},
      {"/1/w", "/<s>/w s=1"},
      {"/a/b/f", "404"},
    })
  end)

  it("tells the methods a path would take", function()
    check(router_with("/page", "POST /page", "PUT,DELETE /item/<id>", "POST /item/new",
      "OPTIONS /own"), {
      {"PUT /page", "405 GET, HEAD, OPTIONS, POST"},
      {"GET /item/1", "405 DELETE, OPTIONS, PUT"},
      {"GET /item/new", "405 DELETE, OPTIONS, POST, PUT"},
      {"PUT /item/new", "/item/<id> id=new"},
      {"OPTIONS /page", "200 GET, HEAD, OPTIONS, POST"},
      {"OPTIONS /own", "/own"},
      {"OPTIONS /nowhere", "404"},
      {"GET /own", "405 OPTIONS"},
      {"OPTIONS *", "200 DELETE, GET, HEAD, OPTIONS, POST, PUT"},
      {"GET *", "405 DELETE, GET, HEAD, OPTIONS, POST, PUT"},
    })
  end)

  it("answers HEAD from GET unless there is a route for it", function()
    local routes = router_with("GET /both", "HEAD /both", "/auto", "/auto/<x>", "HEAD /first",
      "GET /first")
    check(routes, {{"HEAD /auto", "/auto"}, {"HEAD /auto/1", "/auto/<x> x=1"}})
    for _, path in ipairs{"/both", "/first"} do
      assert.is_true(routes:match("HEAD", path).methods.HEAD)
      assert.is_true(routes:match("GET", path).methods.GET)
    end
  end)

  it("sends to the slash a rule ends with, and never away from it", function()
    check(router_with("/test/", "/user/<name>/", "/files/<path:p>/", "POST /form/", "/bare",
      "/both", "/both/", "/<any>", "/deep/<int:n>/", "/deep/<s>"), {
      {"/test", "308 /test/"},
      {"HEAD /test", "308 /test/"},
      {"OPTIONS /test", "308 /test/"},
      {"/t%65st", "308 /test/"},
      {"/user/bob", "308 /user/bob/"},
      {"/user/b%20b", "308 /user/b%20b/"},
      {"/user/bob/", "/user/<name>/ name=bob"},
      {"/files/a/b", "308 /files/a/b/"},
      {"/files/a/b/", "/files/<path:p>/ p=a/b"},
      {"POST /form", "308 /form/"},
      {"/bare/", "404"},
      {"/both", "/both"},
      {"/both/", "/both/"},
      {"/form", "/<any> any=form"},
      {"/deep/1", "308 /deep/1/"},
      {"/deep/a", "/deep/<s> s=a"},
    })
  end)

  it("sends doubled slashes to single ones where that leads somewhere", function()
    check(router_with("/a/b", "/user/<name>", "/dir/", "/files/<path:p>"), {
      {"//a///b", "308 /a/b"},
      {"/user//bob", "308 /user/bob"},
      {"//dir", "308 /dir/"},
      {"/files/a//b", "/files/<path:p> p=a//b"},
      {"/nowhere//x", "404"},
      {"//", "404"},
    })
  end)

  it("never sends to another host", function()
    local routes = router_with("/<name>/", "/<path:p>/")
    for _, path in ipairs{"//evil.test", "/%2Fevil.test", "/%5Cevil.test", "/%0D%0Aevil"} do
      local _, status, location = routes:match("GET", path)
      assert.equal(308, status)
      assert.matches("^/[%w%%]", location)
      assert.not_matches("[%c\\]", location)
    end
  end)

  it("refuses a second route for a method and a shape, naming the first", function()
    for _, case in ipairs{
      {"/a", "/a"},
      {"/u/<name>", "/u/:other"},
      {"GET,PUT /x", "PUT /x"},
      {"/f/<path:p>", "/f/*rest"},
      {"/100%", "/100%"},
    } do
      local ok, problem = pcall(router_with, case[1], case[2])
      assert.is_false(ok)
      assert.matches("the route %u+ %S+ is already defined at app.lua:1$", problem)
    end
  end)

  it("keeps routes apart that only look alike", function()
    assert.has_no_error(function()
      router_with("/a", "/a/", "POST /a", "/<int:x>", "/<x>", "/<int(min=1):x>", "HEAD /a")
    end)
  end)
end)
