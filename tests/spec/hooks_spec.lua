local support = require "support"
local app = require "genet.app"
local genet = require "genet"

-- Answers as the host does: what a handler raises goes to app:failed.
local function dispatch(site, request)
  local method, path = request:match("^(%S+) (%S+)$")
  local x = support.exchange()
  local result = table.pack(pcall(site.dispatch, site, x, method, path))
  if not result[1] then result = {true, site:failed(x, result[2])} end
  support.finish(x)
  return {status = result[2], head = result[3], body = result[4], logged = result[5]}
end

describe("hooks", function()
  local site, seen

  local function note(text)
    return function() seen[#seen + 1] = text end
  end

  before_each(function()
    site, seen = app.new(), {}
  end)

  it("run around a handler, the outermost first before it and last after it", function()
    site:before(note "before app")
    site:after(note "after app")
    site:teardown(note "teardown app")
    site:group("/a", function(a)
      a:before(note "before a")
      a:after(note "after a")
      a:teardown(note "teardown a")
      a:get("/x", function() seen[#seen + 1] = "handler" return "x" end)
    end)
    site:freeze()
    assert.equal("x", dispatch(site, "GET /a/x").body)
    assert.same({"before app", "before a", "handler", "after a", "after app", "teardown a",
      "teardown app"}, seen)
  end)

  it("of a group are for its routes only", function()
    site:group("/a", function(a)
      a:before(note "before a")
      a:get("/x", function() return "x" end)
    end)
    site:get("/y", function() return "y" end)
    site:freeze()
    assert.equal("y", dispatch(site, "GET /y").body)
    assert.same({}, seen)
  end)

  it("leave a route alone that has none", function()
    local function handler() return "y" end
    site:get("/y", handler)
    site:freeze()
    assert.equal(handler, site.routes[1].handler)
  end)

  it("may answer before the handler", function()
    site:before(function(req) if req.path == "/no" then return "stop", 403 end end)
    site:get("/no", note "handler")
    site:get("/yes", function() return "yes" end)
    site:freeze()
    local answer = dispatch(site, "GET /no")
    assert.equal(403, answer.status)
    assert.equal("stop", answer.body)
    assert.same({}, seen)
    assert.equal(200, dispatch(site, "GET /yes").status)
  end)

  it("may change what the handler returns, in every form", function()
    site:after(function(req, answer)
      answer.headers["X-Path"] = req.path
      return answer
    end)
    site:get("/text", function() return "text" end)
    site:get("/table", function() return {a = 1} end)
    site:get("/status", function() return 404 end)
    site:get("/made", function() return "made", 201, {["X-A"] = "a"} end)
    site:get("/response", function() return genet.redirect("/text") end)
    site:freeze()
    for path, status in pairs{text = 200, table = 200, status = 404, made = 201, response = 302} do
      local answer = dispatch(site, "GET /" .. path)
      assert.equal(status, answer.status, path)
      assert.truthy(answer.head:find("X-Path: /" .. path, 1, true), answer.head)
    end
  end)

  describe("of errors", function()
    it("answer by status, by text, or for any", function()
      site:error(404, function(req) return "no " .. req.path end)
      site:error("database", function(_, err) return "sorry: " .. err, 503 end)
      site:error(function() return "something else" end)
      site:get("/abort", function() genet.abort(404) end)
      site:get("/db", function() error("no database", 0) end)
      site:get("/bug", function() error("bug") end)
      site:freeze()
      local answer = dispatch(site, "GET /abort")
      assert.same({404, "no /abort"}, {answer.status, answer.body})
      answer = dispatch(site, "GET /db")
      assert.same({503, "sorry: no database", true}, {answer.status, answer.body, answer.logged})
      answer = dispatch(site, "GET /bug")
      assert.same({500, "something else", true}, {answer.status, answer.body, answer.logged})
    end)

    it("are asked from the inside out", function()
      site:error(404, function() return "app" end)
      site:group("/a", function(a)
        a:error(404, function() return "group" end)
        a:get("/x", function() genet.abort(404) end)
      end)
      site:get("/y", function() genet.abort(404) end)
      site:freeze()
      assert.equal("group", dispatch(site, "GET /a/x").body)
      assert.equal("app", dispatch(site, "GET /y").body)
    end)

    it("answer where no route is", function()
      local script = app.new()
      script:error(404, function(req) return "nothing at " .. req.path end)
      script:get("/y", function() return "y" end)
      site:include(script)
      site:freeze()
      local answer = dispatch(site, "GET /no%20where")
      assert.same({404, "nothing at /no where"}, {answer.status, answer.body})
      assert.equal(405, dispatch(site, "POST /y").status)
    end)

    it("that fail are logged, and the answer is the plain one", function()
      site:error(404, function() error("broken handler") end)
      site:get("/y", function() genet.abort(404) end)
      site:freeze()
      local answer = dispatch(site, "GET /y")
      assert.same({404, "404 Not Found\n"}, {answer.status, answer.body})
      local line = table.remove(support.logged)
      assert.truthy(line[2]:find("broken handler", 1, true))
    end)

    it("are told at the teardown", function()
      site:teardown(function(_, err) seen[#seen + 1] = tostring(err) end)
      site:get("/bug", function() error("bug", 0) end)
      site:get("/fine", function() return "fine" end)
      site:freeze()
      dispatch(site, "GET /bug")
      dispatch(site, "GET /fine")
      assert.same({"bug", "nil"}, seen)
    end)
  end)

  it("of a mounted app come with it", function()
    local shop = app.new()
    shop:before(note "before shop")
    shop:get("/item/<int:id>", {name = "item"}, function(_, id) return "item " .. id end)
    site:before(note "before site")
    site:mount(shop, "/shop")
    site:freeze()
    assert.equal("item 7", dispatch(site, "GET /shop/item/7").body)
    assert.same({"before site", "before shop"}, seen)
    assert.equal("/shop/item/7", site:url_for("item", {id = 7}))
  end)

  describe("url_for", function()
    before_each(function()
      site:get("/item/<int:id>", {name = "item"}, function() end)
      site:get("/file/<path:rest>", {name = "file"}, function() end)
      site:get("/user/<name>", {name = "user"}, function() end)
      site:group("/blog", {name = "blog"}, function(blog)
        blog:get("/", {name = "index"}, function() end)
      end)
    end)

    local cases = {
      {"item", {id = 7}, "/item/7"},
      {"item", {id = 7, page = 2, ["a b"] = "&"}, "/item/7?a%20b=%26&page=2"},
      {"file", {rest = "a/b c"}, "/file/a/b%20c"},
      {"user", {name = "a/b"}, "/user/a%2Fb"},
      {"blog.index", nil, "/blog/"},
    }
    for _, case in ipairs(cases) do
      it("gives " .. case[3], function()
        assert.equal(case[3], site:url_for(case[1], case[2]))
      end)
    end

    local mistakes = {
      {{"nobody"}, "there is no route of the name 'nobody'"},
      {{"item"}, "the argument 'id' is missing"},
      {{"item", {id = "x"}}, "'x' does not fit the argument 'id'"},
      {{7}, "url_for: the name is a number: a string was expected"},
    }
    for _, case in ipairs(mistakes) do
      it("refuses where " .. case[2], function()
        local problem = support.raised(site.url_for, site, table.unpack(case[1]))
        assert.truthy(problem:find(case[2], 1, true), problem)
      end)
    end
  end)

  local mistakes = {
    {"a prefix without a slash", function(it) it:group("a", print) end, "begins with '/'"},
    {"a group without a function", function(it) it:group("/a") end, "a function was expected"},
    {"a hook that is none", function(it) it:before(7) end, "app:before: a function was expected"},
    {"a status that is no error", function(it) it:error(200, print) end, "from 400"},
    {"mounting twice", function(it)
      local other = app.new()
      it:mount(other, "/a")
      it:mount(other, "/b")
    end, "mounted already"},
  }
  for _, case in ipairs(mistakes) do
    it("refuse " .. case[1], function()
      local problem = support.raised(case[2], site)
      assert.truthy(problem:find(case[3], 1, true), problem)
    end)
  end
end)
