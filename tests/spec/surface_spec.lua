-- The names that Flask's users reach for.
local support = require "support"
local config = require "genet.config"
local genet = require "genet"
local json = require "genet.json"

local SECRET = "0123456789abcdef"

describe("for Flask's users", function()
  local site

  before_each(function()
    config.load()
    site = genet.app()
  end)

  after_each(function()
    config.load()
    support.running = nil
  end)

  local function ask(method, path, headers)
    local x = support.exchange{headers = headers}
    support.running = x
    local result = table.pack(pcall(site.dispatch, site, x, method, path))
    if not result[1] then result = {true, site:failed(x, result[2])} end
    support.finish(x)
    return {status = result[2], head = result[3], body = result[4]}
  end

  it("hooks and rules have the names they know", function()
    local seen = {}
    site:before_request(function() seen[#seen + 1] = "before" end)
    site:after_request(function(_, answer) answer.headers["X-After"] = "1" end)
    site:teardown_request(function() seen[#seen + 1] = "teardown" end)
    site:errorhandler(404, function() return "lost" end)
    site:add_url_rule("/a/<int:n>", "a", function(_, n) return tostring(n) end, {methods = {"PUT"}})
    site:freeze()
    local answer = ask("PUT", "/a/7")
    assert.equal("7", answer.body)
    assert.matches("X%-After: 1", answer.head)
    assert.same({"before", "teardown"}, seen)
    assert.equal("/a/7", site:url_for("a", {n = 7}))
    assert.equal("lost", ask("GET", "/nowhere").body)
    assert.equal(genet.log, site.logger)
  end)

  it("make_response and jsonify make answers", function()
    site:get("/made", function() return genet.make_response("x", 201):set_cookie("a", "b") end)
    site:get("/code", function() return genet.make_response(404) end)
    site:get("/list", function() return genet.jsonify(json.array()) end)
    site:get("/text", function() return genet.jsonify("x") end)
    site:freeze()
    local made = ask("GET", "/made")
    assert.equal(201, made.status)
    assert.matches("Set%-Cookie: a=b; Path=/", made.head)
    assert.equal(404, ask("GET", "/code").status)
    assert.same({"[]", '"x"'}, {ask("GET", "/list").body, ask("GET", "/text").body})
    assert.matches("Content%-Type: application/json", ask("GET", "/text").head)
  end)

  it("a secret is all that sessions and flash need", function()
    config.load{"secret_key=" .. SECRET}
    site:get("/set", function(req)
      req.session.user = "ann"
      genet.flash("hello")
      return {user = req.session.user}
    end)
    site:get("/get", function(req)
      return ("%s %s"):format(req.session.user, req:flashed()[1])
    end)
    site:freeze()
    local first = ask("GET", "/set")
    assert.equal('{"user":"ann"}', first.body)
    local cookie = first.head:match("Set%-Cookie: ([^;]+)")
    assert.equal("ann hello", ask("GET", "/get", {"Cookie", cookie}).body)
    support.running = nil
    assert.equal("genet.flash: no request is being answered here",
      support.blamed(function() genet.flash("x") end))
  end)

  it("files have an address without a name given", function()
    site:static("/static", "/tmp")
    site:static("/more", "/tmp")
    site:group("/admin", {name = "admin"}, function(admin) admin:static("/static", "/tmp") end)
    assert.equal("/static/a.css", site:url_for("static", {filename = "a.css"}))
    assert.equal("/admin/static/a.css", site:url_for("admin.static", {filename = "a.css"}))
  end)

  it("a request has an app, and the address of others", function()
    site:group("/blog", {name = "blog"}, function(blog)
      blog:get("/", {name = "index"}, function(req)
        assert(req.app == site and genet.request() == req)
        return table.concat({req:url_for(".show", {id = 1}), genet.url_for("blog.index"),
          genet.url_for(".show", {id = 2, _external = true}), req.blueprint}, " ")
      end)
      blog:get("/<int:id>", {name = "show"}, function() return "" end)
    end)
    site:freeze()
    assert.equal("/blog/1 /blog/ http://h/blog/2 blog", ask("GET", "/blog/", {"Host", "h"}).body)
  end)
end)

describe("an answer of JSON", function()
  for _, case in ipairs{
    {{a = 1, b = "e+", c = {1, 2}}, nil},
    {{1 << 60}, "[1152921504606846976]"},
    {{100000000000000}, "[100000000000000]"},
    {{-(10 ^ 14 // 1 | 0)}, "[-100000000000000]"},
    {{"e+", 1}, '["e+",1]'},
    {{1e300}, "[1e+300]"},
    {{deep = {json.array()}}, '{"deep":[[]]}'},
    {{json.null}, "[null]"},
  } do
    it(("says %s"):format(case[2] or "what is plain"), function()
      local text = assert(json.try_encode(case[1]))
      if case[2] then assert.equal(case[2], text) end
      assert.same(case[1], json.decode(text))
    end)
  end

  it("names the route when there are no words for it", function()
    local site = genet.app()
    site:get("/f", function() return {print} end)
    local endless = {}
    endless.endless = endless
    site:get("/endless", function() return endless end)
    local function problem(path)
      return tostring(support.raised(site.dispatch, site, support.exchange(), "GET", path))
    end
    assert.matches("GET /f: Cannot serialise function", problem("/f"))
    assert.matches("GET /endless: Cannot serialise table: it is too deep", problem("/endless"))
  end)
end)
