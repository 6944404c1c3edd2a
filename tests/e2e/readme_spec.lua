-- What the README shows is true.
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local README = read("README.md")

-- The first block of code after `from`, in the language given.
local function block(language, from)
  local at = README:find(from, 1, true)
  assert(at, "the README no longer says: " .. from)
  return (README:sub(at):match("```" .. language .. "\n(.-)```"))
end

describe("the README", function()
  it("begins with an app that works", function()
    local upstream = support.serve{script = [[
      local app = require("genet").app()
      app:get("/page", function() return "one two" end)
      return app
    ]]}
    finally(function() upstream:stop() end)
    local script = block("lua", "# Genet"):gsub("127%.0%.0%.1:8080", "127.0.0.1:" .. upstream.port)
    local server = support.serve{script = script}
    finally(function() upstream:stop() server:stop() end)
    assert.equal("ONE TWO", server:get("/mirror/page").body)
  end)

  it("shows routes that work", function()
    local server = support.serve{script = table.concat({
      'local genet = require "genet"', "local app = genet.app()",
      block("lua", "## Writing routes"), "return app"}, "\n")}
    finally(function() server:stop() end)
    assert.equal(7, require("cjson").decode(server:get("/item/7").body).id)
    local json = {"Content-Type: application/json"}
    assert.equal(201, server:request("POST", "/note", json, '{"text": "a"}').status)
    assert.equal(400, server:request("POST", "/note", json, "{}").status)
    assert.equal("1\n2\n3\n", server:get("/count").body)
  end)

  it("shows streams and WebSockets that work", function()
    local server = support.serve{scripts = {
      ["main.lua"] = table.concat({'local genet = require "genet"', "local app = genet.app()",
        block("lua", "A request has"), "return app"}, "\n"),
      ["templates/page.html"] = "Hello {{ name }}",
    }}
    finally(function() server:stop() end)
    assert.equal("UPPER", server:request("POST", "/upper", nil, "upper").body)
    assert.equal("Hello &lt;b&gt;", server:get("/page/%3Cb%3E").body)
    local ws = ws_client.open(server, "/chat/here")
    ws:send("hi")
    assert.equal("hi", (ws:receive()))
    ws:close()
    local events = server:ask("/ticks")
    events:read_until("an event", function(bytes) return bytes:find('data: {"n":1}', 1, true) end)
    events:close()
  end)

  it("shows a login that works", function()
    local server = support.serve{script = table.concat({
      'local genet = require "genet"', "local app = genet.app()",
      "local users = {ann = {password = genet.password.hash('secret')}}",
      (block("lua", "A WebSocket works from any task"):gsub('os.getenv "SECRET"', '("x"):rep(32)')),
      "app:get('/token', function(req) return req:csrf_token() end)", "return app"}, "\n")}
    finally(function() server:stop() end)
    local page = server:get("/token")
    local headers = {"Content-Type: application/x-www-form-urlencoded",
      "Cookie: " .. page.headers["set-cookie"]:match("^[^;]+")}
    local function login(password, token)
      local form = ("user=ann&password=%s&csrf_token=%s"):format(password, token)
      return server:request("POST", "/login", headers, form).status
    end
    local token = page.body:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)
    assert.equal(303, login("secret", token))
    assert.equal(403, login("wrong", token))
    assert.equal(400, login("secret", ""))
  end)

  it("shows a group that works", function()
    local server = support.serve{script = table.concat({
      'local genet = require "genet"', "local app = genet.app()",
      'app:sessions{secret = ("x"):rep(32)}', block("lua", 'return genet.redirect("/", 303)'),
      "return app"}, "\n")}
    finally(function() server:stop() end)
    assert.equal("/admin/user/7", server:get("/").body)
    assert.equal(403, server:get("/admin/user/7").status)
    assert.equal("there is no /x", server:get("/x").body)
  end)

  it("shows tasks that work", function()
    local shown = block("lua", "## Tasks"):gsub("genet.sleep%(10%)", "genet.sleep(0.01)")
    local directory = support.directory{["tasks.lua"] = table.concat({
      'local genet = require "genet"',
      "local function fetch(path) genet.sleep(0.01) return path end",
      shown, "timer:stop() print(pages.front, pages.news, page, problem, #jobs)"}, "\n")}
    finally(function() support.remove(directory) end)
    local result = support.run{"run", directory .. "/tasks.lua"}
    assert.equal("", result.err)
    assert.truthy(result.out:find("true\ta function\n", 1, true), result.out)
    assert.truthy(result.out:find("/\t/news\t/slow\tnil\t1\n", 1, true), result.out)
  end)

  it("shows an app that hands over what it has", function()
    local server = support.serve{script = table.concat({
      'local genet = require "genet"', "local app = genet.app()", block("lua", "## Reloading"),
      "app:get('/', function() hits.count = hits.count + 1 return tostring(hits.count) end)",
      "return app"}, "\n")}
    finally(function() server:stop() end)
    assert.equal("1", server:get("/").body)
    assert.equal(0, server:tell("reload").status)
    assert.equal("2", server:get("/").body)
    server:wait_for_log("generation 1 ends")
  end)

  it("quotes the help that the program gives", function()
    local help = support.run({"runserver", "--help"}).out
    assert.truthy(README:find(help, 1, true), help)
  end)
end)
