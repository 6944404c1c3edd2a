-- Debug mode's page about an error: what it shows, to whom, in what form, whatever was raised.
local browser = require "tests.e2e.browser"
local cjson = require "cjson"
local listening = require "tests.e2e.listening"
local support = require "tests.e2e.support"
local unix = require "socket.unix"

local main = [[
local genet = require "genet"
local app = genet.app()
app:sessions{secret = "0123456789abcdef0123"}

local shop = {rates = {1, 2, 3}, password = "hunter2"}
shop.itself = shop

local function total(cart, ...)
  local sum, label, api_token = 0, "<script>alert(1)</script>", "s3cret"
  for i, item in ipairs(cart) do
    sum = sum + item.price * shop.rates[i]
  end
  return sum, label, api_token, ...
end

app:get("/shop/<int:id>", function(req, id)
  req.session.user = "ann"
  local sum = total({{price = id}, {}}, "extra")
  return tostring(sum)
end)
app:post("/form", function(req) local form = req.form error("form of " .. form.name) end)
app:get("/template", function() return genet.render_template("page.html", {rows = {7}}) end)
app:get("/syntax", function() return genet.render_template("syntax.html") end)
app:get("/table", function() error({code = 7}) end)
app:get("/nil", function() error(nil) end)
app:get("/bytes", function() error("\255\0<b>") end)
app:get("/overflow", function() local function f(n) return f(n + 1) + 1 end return f(1) end)
app:get("/deep", function()
  local t = setmetatable({}, {__index = function(t, k) return t[k .. "x"] end})
  return t.a
end)
app:get("/memory", function()
  local held = {}
  for i = 1, 1e9 do held[i] = ("x"):rep(1 << 62) end
end)
app:get("/tostring", function()
  error(setmetatable({}, {__tostring = function() error("cannot be told") end}))
end)
app:get("/slow-tostring", function()
  error(setmetatable({}, {__tostring = function() genet.sleep(0.01) return "after a wait" end}))
end)
app:get("/coroutine", function()
  local next_one = coroutine.wrap(function()
    local inner = "inside"
    coroutine.yield()
    error("of a coroutine " .. #inner)
  end)
  next_one()
  next_one()
end)
app:get("/task", function()
  local deep = genet.spawn(function() local within = "a task" genet.sleep(0.01) error(within) end)
  assert(deep:wait())
end)
app:get("/timeout", function()
  genet.timeout(5, function() local within = "timeout" error("in a " .. within) end)
end)
app:get("/close", function()
  local _ <close> = setmetatable({}, {__close = function() genet.sleep(0.01) end})
  error("closing")
end)
app:get("/spin", function() local turns = 0 while true do turns = turns + 1 end end)
app:get("/nothing", function() end)
app:get("/chunk", function() return load("local a = 1\nlocal b = a.b.c")() end)
app:get("/abort", function() genet.abort(500, "meant") end)
app:get("/started", function(req) req:write("begun") error("too late") end)

app:group("/group", function(group)
  group:before(function(req) if req.args.before then error("in before") end end)
  group:after(function(req) if req.args.after then error("in after") end end)
  group:error("special", function() return "handled", 418 end)
  group:error(500, function() return "the app's own 500" end)
  group:get("/", function(req) if req.args.what then error(req.args.what) end return "fine" end)
end)
return app
]]

local files = {
  ["main.lua"] = main,
  ["templates/page.html"] = "<p>\n{% for row in rows %}\n{{ row.a.b }}\n{% endfor %}",
  ["templates/syntax.html"] = "one\ntwo\n{% if %}",
}

local HTML = {"Accept: text/html,application/xhtml+xml,*/*;q=0.8"}

describe("debug mode", function()
  local server

  setup(function()
    server = support.serve{scripts = files, args = {"-d", "--cpu-limit", "1"}}
  end)
  teardown(function() server:stop() end)

  local function assert_has(text, ...)
    for _, wanted in ipairs{...} do
      assert.truthy(text:find(wanted, 1, true), ("%q in\n%s"):format(wanted, text))
    end
  end

  describe("tells in text", function()
    local cases = {
      {"a template's line", "/template", "page.html:3: ", ">    3 | {{ row.a.b }}", "rows = {7}",
        "item = 7"},
      {"a template that cannot be compiled", "/syntax", "syntax.html:3: ", ">    3 | {% if %}"},
      {"a table", "/table", "error of type table: {code = 7}"},
      {"nil", "/nil", "error of type nil: nil"},
      {"bytes that are no text", "/bytes", "error: ", "\\xff\\x00<b>"},
      {"a stack that has overflown", "/overflow", "stack overflow", " levels\n", "function f(n)"},
      {"a C stack that has overflown", "/deep", "C stack overflow"},
      {"memory that is not there", "/memory", "string too large", "held = {}"},
      {"a __tostring that fails", "/tostring", "its __tostring fails: ", "cannot be told"},
      {"a __tostring that waits", "/slow-tostring", "after a wait"},
      {"what fails in a coroutine", "/coroutine", "of a coroutine 6", "It was raised here",
        'inner = "inside"'},
      {"what fails in a task", "/task", "It was raised here", 'within = "a task"'},
      {"what fails in a timeout", "/timeout", "in a timeout", 'within = "timeout"'},
      {"what fails while variables are to be closed", "/close", "closing"},
      {"a mistake in what was returned", "/nothing", "the handler returned nothing"},
      {"a chunk made of a string", "/chunk", ">    2 | local b = a.b.c", "a = 1"},
      {"what fails before a handler", "/group/?before=1", "in before"},
      {"what fails after a handler", "/group/?after=1", "in after"},
      {"what the app would answer with a 500", "/group/?what=usual", "usual"},
    }
    for _, case in ipairs(cases) do
      it(case[1], function()
        local answer = server:get(case[2])
        assert.equal(500, answer.status)
        assert.equal("text/plain; charset=utf-8", answer.headers["content-type"])
        assert.equal("no-store", answer.headers["cache-control"])
        assert_has(answer.body, table.unpack(case, 3))
        assert_has(answer.body, "Traceback (most recent call first):", "generation 1")
      end)
    end

    it("what was ended for its use of the processor", function()
      local answer = server:get("/spin")
      assert.equal(503, answer.status)
      assert_has(answer.body, "more than 1 s of processor time", "turns = ")
    end)
  end)

  it("shows each frame with its variables, and masks what is secret", function()
    local body = server:get("/shop/3?q=1&token=abc", {"Authorization: Basic eHl6",
      "Cookie: session_id=abc; theme=dark"}).body
    assert_has(body, "attempt to perform arithmetic on a nil value (field 'price')",
      "main.lua:11: total", ">   11 |     sum = sum + item.price * shop.rates[i]",
      'label = "<script>alert(1)</script>"', "api_token = ********", '...[1] = "extra"',
      "shop = {itself = {(itself)}, password = ********, rates = {1, 2, 3}}",
      "main.lua:18: handler", "/shop/3?q=1&token=******** from 127.0.0.1", "theme = dark",
      "Authorization = ********", "session_id = ********", "user = ann", "Route: /shop/<int:id>")
    assert.is_nil(body:find("eHl6", 1, true))
    assert.is_nil(body:find("=abc", 1, true))
  end)

  it("shows the form that the handler has read", function()
    local body = server:request("POST", "/form", {
      "Content-Type: application/x-www-form-urlencoded"}, "name=ann&passwd=secret1").body
    assert_has(body, "form of ann", "name = ann", "passwd = ********")
    assert.is_nil(body:find("secret1", 1, true))
  end)

  it("answers with a page to who asks for pages, all of it escaped", function()
    local answer = server:get("/shop/3?x=%3Cscript%3Ealert(2)", HTML)
    assert.equal(500, answer.status)
    assert.equal("text/html; charset=utf-8", answer.headers["content-type"])
    assert.equal("1", answer.headers["x-genet-generation"])
    assert_has(answer.body, "<!DOCTYPE html>", "&lt;script&gt;alert(1)&lt;/script&gt;",
      "/_genet/live?1")
    assert.is_nil(answer.body:find("<script>alert", 1, true))
  end)

  it("answers with JSON to who asks for that", function()
    local answer = server:get("/shop/3", {"Accept: application/json"})
    assert.equal(500, answer.status)
    assert.equal("application/json", answer.headers["content-type"])
    local shown = cjson.decode(answer.body)
    assert_has(shown.error.message, "field 'price'")
    assert.equal(11, shown.frames[1].line)
    assert.equal("total", shown.frames[1].title)
    assert.equal("/shop/<int:id>", shown.request.route)
  end)

  it("leaves alone what is answered on purpose", function()
    local cases = {
      {"/abort", 500, "500 Internal Server Error\nmeant\n"},
      {"/group/?what=special", 418, "handled"},
      {"/nowhere", 404, "404 Not Found\n"},
    }
    for _, case in ipairs(cases) do
      local answer = server:get(case[1])
      assert.equal(case[2], answer.status)
      assert.equal(case[3], answer.body)
    end
  end)

  it("only logs what fails after an answer has begun", function()
    local client = server:ask("/started")
    finally(function() client:close() end)
    local got = client:read_all()
    assert_has(got, "begun")
    assert.is_nil(got:find("Traceback", 1, true))
    server:wait_for_log("too late")
  end)
end)

describe("the page about an error", function()
  local failing = [[
    local app = require "genet".app()
    app:get("/", function() error("oops") end)
    return app]]

  local function serve(...)
    local server = support.serve{script = failing, args = {...}}
    finally(function() server:stop() end)
    return server
  end

  local PLAIN = "500 Internal Server Error\n"

  it("is not there without debug mode", function()
    local server = serve()
    assert.equal(PLAIN, server:get("/").body)
    assert.equal(404, server:get("/_genet/problem").status)
  end)

  it("is not for who comes through a trusted proxy from elsewhere", function()
    local server = serve("-d", "--trusted-proxy", "127.0.0.1")
    assert.equal(PLAIN, server:get("/", {"X-Forwarded-For: 203.0.113.9"}).body)
    assert.truthy(server:get("/", {"X-Forwarded-For: 127.0.0.1"}).body:find("Traceback"))
  end)

  it("is for whoever --debug-from names", function()
    local server = serve("-d", "--trusted-proxy", "127.0.0.1", "--debug-from", "203.0.113.0/24")
    assert.truthy(server:get("/", {"X-Forwarded-For: 203.0.113.9"}).body:find("Traceback"))
    assert.equal(PLAIN, server:get("/", {"X-Forwarded-For: 198.51.100.1"}).body)
  end)

  it("is for peers of a Unix socket when --debug-from says so", function()
    local directory = support.directory()
    finally(function() support.remove(directory) end)
    local function ask(...)
      local path = directory .. "/sock"
      local args = {"-d", "--listen", "unix:" .. path, ...}
      local server = listening.serve{script = failing, args = args}
      local client = assert(unix())
      client:settimeout(support.patience)
      assert(client:connect(path))
      client:send("GET / HTTP/1.0\r\n\r\n")
      local answer = client:receive("*a")
      client:close()
      server:stop()
      return answer
    end
    assert.truthy(ask():find("\r\n\r\n500 Internal Server Error\n$"))
    assert.truthy(ask("--debug-from", "unix"):find("Traceback", 1, true))
  end)

  for _, case in ipairs{
    {"--debug-from needs --debug", "--debug-from", "any"},
    {"option '--debug-from': 'x' is not an address, ADDR/BITS, unix or any", "-d",
      "--debug-from", "x"},
  } do
    it("is refused in one line: " .. case[1], function()
      local result = support.run{"runserver", "tests", table.unpack(case, 2)}
      assert.equal(2, result.status)
      assert.equal("genet: " .. case[1] .. "\n", result.err)
    end)
  end
end)

describe("the page about an error, in a browser,", function()
  local server, window

  setup(function()
    server = support.serve{scripts = files, args = {"-d"}}
    window = browser.start()
    window:resize(1100, 1000)
  end)
  teardown(function()
    if window then window:quit() end
    server:stop()
  end)

  local function at(path)
    return ("http://%s:%d%s"):format(server.host, server.port, path)
  end

  local function picture(name)
    local directory = os.getenv("GENET_E2E_PICTURES")
    if directory then window:screenshot(directory .. "/" .. name .. ".png") end
  end

  it("opens the innermost frame of the scripts, and all by a key", function()
    window:open(at "/shop/3")
    window:wait_for_text("h1", "field 'price'")
    window:wait_for_text("details[open] .marked", "item.price")
    picture "light"
    window:prefer "dark"
    picture "dark"
    local before = window:count("details[open]")
    window:type("#all", "\n")
    assert.is_true(window:count("details[open]") > before)
    window:run("window.scrollTo(0, 800)")
    picture "open"
    window:prefer "light"
  end)

  it("reloads itself when the script has been mended", function()
    window:open(at "/shop/3")
    window:wait_for_text("h1", "field 'price'")
    server:save("main.lua", (main:gsub("item%.price %*", "(item.price or 0) *")))
    window:wait_until("the mended page", function(w)
      return not w:run("return !!document.querySelector('h1')")
        and w:run("return document.body.innerText"):find("^3")
    end)
    server:save("main.lua", main)
    server:wait_for_log("generation 3 serves")
  end)

  it("shows why scripts cannot be loaded, and goes back once they can", function()
    window:open(at "/group/")
    server:wait_for_log("generation 3 serves")
    server:save("main.lua", "local x = {}\nlocal y = x.a.b\n")
    window:wait_for_text("#genet-problem", "main.lua:2:")
    picture "banner"
    window:click("#genet-problem a")
    window:wait_for_text("h1", "main.lua:2: attempt to index a nil value (field 'a')")
    window:wait_for_text(".marked", "local y = x.a.b")
    picture "problem"
    server:save("main.lua", "local x = = 1\n")
    window:wait_for_text(".marked", "local x = = 1")
    server:save("main.lua", main)
    window:wait_until("the page before", function(w)
      return w:run("return location.pathname"):find("^/group/")
    end)
    assert.equal(404, server:get("/_genet/problem").status)
  end)
end)
