local support = require "support"
local config = require "genet.config"
local loader = require "genet.loader"

local SECRET = "0123456789abcdef"

-- The configuration of a site of one script.
local function load(script, lines, files)
  local site
  files = files or {}
  files["main.lua"] = script or "return function() end"
  support.with_files(files, function(dir)
    for at, line in ipairs(lines or {}) do lines[at] = line:gsub("DIR", dir) end
    loader.load(dir .. "/main.lua", lines)
    site = config.site()
  end)
  return site
end

local function problem(...)
  return tostring(support.raised(load, ...)):gsub("^/tmp/[^/]*/", "")
end

local function warnings()
  local found = {}
  for _, entry in ipairs(support.logged) do
    if entry[1] == "warn" then found[#found + 1] = entry[2] end
  end
  return found
end

describe("genet.config", function()
  local path = package.path

  before_each(function()
    support.environment = {}
    for at in ipairs(support.logged) do support.logged[at] = nil end
  end)

  after_each(function()
    support.environment = {}
    package.path = path
    config.load()
  end)

  it("has defaults", function()
    local site = config.new()
    assert.equal(1000, site.max_form_parts)
    assert.equal("session", site.session_cookie_name)
    assert.is_nil(site.secret_key)
  end)

  it("knows names in any case, and Flask's", function()
    local site = config.new()
    site.PERMANENT_SESSION_LIFETIME = 60
    site.Page_Size = 20
    assert.equal(60, site.session_lifetime)
    assert.equal(20, site.PAGE_SIZE)
    assert.equal(20, site.page_size)
  end)

  it("lets the later place win, in whatever order they are read", function()
    local SCRIPT = [[
      local app = require("genet").app()
      %s
      app.config:from_table{a = "table", b = "table", c = "table", d = "table", e = "table"}
      return app
    ]]
    support.environment = {"GENET_C=env", "GENET_D=env", "GENET_E=env", "OTHER=1", "GENET_="}
    local site = load(SCRIPT:format("app.config.e = 'script'"),
      {"config_file=DIR/conf", "d=line", "e=line"}, {
        conf = "B = 'file' C = 'file' D = 'file' E = 'file'",
      })
    assert.same({"table", "file", "env", "line", "script"},
      {site.a, site.b, site.c, site.d, site.e})
    assert.is_nil(site.other)
  end)

  it("is one for all apps", function()
    local site = load([[
      local genet = require "genet"
      genet.app().config.answer = 42
      assert(genet.app().config.answer == 42)
      return function(app) app.config.answer = app.config.answer + 1 end
    ]])
    assert.equal(43, site.answer)
  end)

  for _, case in ipairs{
    {"n=1", "n", 1}, {"n=1.5", "n", 1.5}, {"n=true", "n", true}, {"n=text", "n", "text"},
    {"n=", "n", ""}, {'n=[1,"a"]', "n", {1, "a"}}, {'n="1"', "n", "1"}, {"n=a=b", "n", "a=b"},
    {"secret_key=1234567890123456", "secret_key", "1234567890123456"},
    {('SECRET_KEY=["%s","b%s"]'):format(SECRET, SECRET), "secret_key", {SECRET, "b" .. SECRET}},
    {"max_body=8M", "max_body", 8 << 20}, {"max_body=100", "max_body", 100},
    {"session_lifetime=60", "session_lifetime", 60},
    {"session_cookie_secure=yes", "session_cookie_secure", true},
    {"session_cookie_secure=0", "session_cookie_secure", false},
    {"trusted_proxies=10.0.0.0/8, unix", "trusted_proxies", {"10.0.0.0/8", "unix"}},
    {"db__host=h", "db", {host = "h"}}, {"db__pool__size=3", "db", {pool = {size = 3}}},
  } do
    it("reads " .. case[1], function()
      assert.same(case[3], load(nil, {case[1]})[case[2]])
      support.environment = {"GENET_" .. case[1]:gsub("^[^=]*", string.upper)}
      assert.same(case[3], load()[case[2]])
    end)
  end

  it("puts nested values together", function()
    support.environment = {"GENET_DB__HOST=h", "GENET_DB__PORT=5"}
    local site = load("return function(app) app.config:from_table{db = {user = 'u'}} end",
      {"db__port=6"})
    assert.same({host = "h", port = 6}, site.db)
  end)

  for _, case in ipairs{
    {{"x"}, "'x' is no NAME=VALUE"},
    {{"session_lifetime=soon"}, "--set session_lifetime: a number was expected, not 'soon'"},
    {{"max_body=8Q"}, "--set max_body: a number of bytes such as 500K or 8M was expected, not "
      .. "'8Q'"},
    {{"debug=maybe"}, "--set debug: true or false was expected, not 'maybe'"},
    {{"required=1"}, "--set required: the configuration has a method 'required': choose another "
      .. "name"},
    {{"config_file=/nonesuch/x"}, "the file of the configuration '/nonesuch/x' cannot be read"},
    {{"config_file=DIR/conf"}, "conf:2: unexpected symbol near '='", "a = 1\n= 2"},
    {{"config_file=DIR/conf"}, "conf:1: oh", "error('oh')"},
    {{"config_file=DIR/conf"}, "conf: the file returned a number: a table, or nothing, was "
      .. "expected", "return 1"},
    {{"config_file=DIR/conf"}, "conf: 'session_lifetime': a number was expected, not a string",
      "return {session_lifetime = 'x'}"},
  } do
    it("refuses: " .. case[2], function()
      assert.equal(case[2], (problem(nil, case[1], {conf = case[3]})))
    end)
  end

  it("names the variable of the environment that is wrong", function()
    support.environment = {"GENET_MAX_FORM_PARTS=many"}
    assert.equal("GENET_MAX_FORM_PARTS: a whole number was expected, not 'many'", (problem()))
  end)

  it("reads files beside the scripts", function()
    local site = load([[
      return function(app)
        assert(app.config:from_file("one.lua"))
        assert(app.config:from_file("two.json"))
        assert(not app.config:from_file("none.lua", {silent = true}))
      end
    ]], nil, {["one.lua"] = "return {one = 1, deep = {a = 1}}", ["two.json"] = '{"two": 2}'})
    assert.same({1, 2, {a = 1}}, {site.one, site.two, site.deep})
  end)

  it("refuses a file that is not there", function()
    assert.matches("main.lua:1: the file of the configuration '.*/none.lua' cannot be read",
      problem([[return function(app) app.config:from_file("none.lua") end]]))
  end)

  it("reads other variables of the environment", function()
    support.environment = {"SHOP_PAGE_SIZE=7"}
    assert.equal(7, load([[return function(app) app.config:from_env("SHOP_") end]]).page_size)
  end)

  it("tells how to set what must be there", function()
    assert.matches("main.lua:1: the configuration has no 'database': set it in a file given by "
      .. "--config, by GENET_DATABASE in the environment, or by --set database=...",
      problem([[return function(app) app.config:required("database") end]]), 1, true)
    assert.equal(1, load(nil, {"database=1"}):required("DATABASE"))
  end)

  it("warns of a name that is almost one of Genet's", function()
    support.environment = {"GENET_SESION_LIFETIME=1"}
    load("return function(app) app.config:from_table{max_bodi = 1, own_name = 1} end")
    assert.same({
      "GENET_SESION_LIFETIME: Genet knows no 'sesion_lifetime': is 'session_lifetime' meant?",
      "app.config:from_table: Genet knows no 'max_bodi': is 'max_body' meant?",
    }, warnings())
  end)

  it("says what is wrong where a script sets it", function()
    local site = config.new()
    assert.equal("app.config: 'secret_key': a string was expected, not a number",
      support.blamed(function() site.secret_key = 1 end))
    assert.equal("app.config:from_table: 'debug': true or false was expected, not a string",
      support.blamed(function() site:from_table{debug = "x"} end))
    assert.equal("the configuration was expected: write app.config:from_file, with a colon",
      support.blamed(function() site.from_file("x") end))
  end)

  it("is gone through by its names", function()
    local site, names = config.new(), {}
    site.X = 1
    for name in pairs(site) do names[name] = true end
    assert.is_true(names.x and names.max_form_parts)
  end)

  describe("is what Genet goes by:", function()
    local function route(site, target, exchange)
      return pcall(site.dispatch, site, exchange, "GET", target)
    end

    it("sessions", function()
      local site
      support.with_files({["main.lua"] = [[
        local app = require("genet").app()
        app:get("/", function(req) req.session.a = 1 return "x" end)
        return app
      ]]}, function(dir)
        site = loader.load(dir .. "/main.lua", {"secret_key=" .. SECRET, "session_cookie_name=s",
          "session_lifetime=60", "session_cookie_secure=true", "session_cookie_samesite=strict"})
      end)
      local _, status, head = route(site, "/", support.exchange())
      assert.equal(200, status)
      assert.matches("Set%-Cookie: s=.*; Max%-Age=60; Secure; HttpOnly; Path=/; SameSite=Strict",
        head)
    end)

    it("limits", function()
      local site
      support.with_files({["main.lua"] = [[
        local app = require("genet").app()
        app:get("/", function(req) return req:json() end)
        app:get("/large", {max_body = 7}, function(req) return "x" end)
        return app
      ]]}, function(dir)
        site = loader.load(dir .. "/main.lua", {"max_body=1M", "max_json_depth=2",
          "max_json_size=10"})
      end)
      local function json(body)
        local x = support.exchange{headers = {"Content-Type", "application/json"}, pieces = {body}}
        local ok, err = route(site, "/", x)
        assert.equal(1 << 20, x.max_body)
        return ok or err.status
      end
      assert.is_true(json "[[1]]")
      assert.equal(400, json "[[[1]]]")
      assert.equal(413, json '["123456789"]')
      local x = support.exchange()
      route(site, "/large", x)
      assert.equal(7, x.max_body)
    end)
  end)
end)
