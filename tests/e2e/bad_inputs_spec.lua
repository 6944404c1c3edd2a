-- What comes in broken, hostile or beyond all measure costs its own request a clear refusal: the
-- right status, a word about what was wrong, nothing about the inside, and the host serves on.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()

local function count(values)
  local n = 0
  for _ in pairs(values) do n = n + 1 end
  return tostring(n)
end

app:protect_forms{exempt = {"/form", "/parts", "/json"}}
app:static("/s", "files")
app:template_filter("broken", function() error("the filter's own fault") end)

app:get("/hello", function() return "hello" end)
app:post("/form", function(req) return count(req.form) end)
app:post("/parts", function(req)
  for part in req:parts() do part:read() end
  return "read"
end)
app:post("/json", function(req) return {got = req:json()} end)
app:get("/args", function(req) return count(req.args) end)
app:get("/echo", function(req) return {v = req.args.v} end)
app:get("/item/<name>", {name = "item"}, function(_, name) return name end)
app:get("/int/<int:n>", function(_, n) return tostring(n) end)
app:get("/cookies", function(req) return count(req.cookies) end)
app:get("/t/<name>", function(_, name) return genet.render_template(name .. ".html") end)
app:get("/who", function(req) return req.session.user or "nobody" end)
app:get("/login", function(req)
  req.session.user = "ann"
  return req:csrf_token()
end)
app:post("/act", function(req) return "acted " .. (req.session.user or "nobody") end)
app:get("/redirect", function(req) return genet.redirect(req.args.v) end)
app:get("/header", function(req) return "body", 200, {["X-Header"] = req.args.v} end)
app:get("/type", function(req) return "body", 200, {["Content-Type"] = req.args.v} end)
app:get("/name", function(req) return "body", 200, {[req.args.v] = "1"} end)
app:get("/cookie", function(req)
  return genet.make_response("body"):set_cookie("c", req.args.v, {path = req.args.path})
end)
app:get("/cookie-name", function(req)
  return genet.make_response("body"):set_cookie(req.args.v, "")
end)
app:get("/download", function(req)
  return genet.send_file("files/ten", {as_attachment = true, download_name = req.args.v})
end)
app:get("/url", function() return genet.url_for("item") end)
app:get("/required", function() return app.config:required("database") end)
app:get("/deep", function()
  local deep = {}
  for _ = 1, 5000 do deep = {deep} end
  return deep
end)
return app
]]

local templates = {
  includes = "{% include 'includes.html' %}",
  extends = "{% extends 'extends.html' %}",
  macro = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
  block = "{% block b %}{{ self.b() }}{% endblock %}",
  filter = "\n{{ 1 | nonesuch }}",
  test = "{{ 1 is nonesuch }}",
  syntax = "\n\n{% if %}",
  unclosed = "{{ 1",
  endless = "{% for i in range(10) %}",
  fault = "{{ 1 | broken }}",
  undefined = "{{ nobody.name }}",
  deep = ("("):rep(5000) .. "1" .. (")"):rep(5000),
}

local MULTIPART = "Content-Type: multipart/form-data; boundary=b"
local JSON = "Content-Type: application/json"
local FORM = "Content-Type: application/x-www-form-urlencoded"
local DISPOSITION = 'Content-Disposition: form-data; name="a"'

local function part(head, content)
  return ("--b\r\n%s\r\n\r\n%s\r\n--b--\r\n"):format(head, content or "x")
end

local function get(target, ...) return {"GET", target, {...}} end

local function post(target, header, body, ...) return {"POST", target, {header, ...}, body} end

-- What, request, status, what the answer says, what the log says beside the access (none unless
-- told).
local cases = {
  {"a form without a boundary", post("/form", "Content-Type: multipart/form-data", "x"), 400,
    "the form has no boundary"},
  {"a boundary of 71 bytes", post("/form", "Content-Type: multipart/form-data; boundary="
    .. ("b"):rep(71), "x"), 400, "or a bad one"},
  {"a boundary with a quote", post("/form", 'Content-Type: multipart/form-data; boundary="a',
    "x"), 400, "boundary"},
  {"an empty form of parts", post("/form", MULTIPART, ""), 400, "ends before its last boundary"},
  {"a form that ends early", post("/form", MULTIPART, "--b\r\n" .. DISPOSITION .. "\r\n\r\nx"),
    400, "ends before its last boundary"},
  {"a part that ends in its head", post("/form", MULTIPART, "--b\r\nContent-Dis"), 400,
    "ends before its last boundary"},
  {"a part without a name", post("/form", MULTIPART, part "Content-Disposition: form-data"), 400,
    "a part without a name"},
  {"a part without a disposition", post("/form", MULTIPART, part "X: y"), 400,
    "a part without a name"},
  {"a part with a broken header", post("/form", MULTIPART, part(DISPOSITION .. "\r\nno colon")),
    400, "a broken header"},
  {"a part with a NUL in its head", post("/form", MULTIPART, part(DISPOSITION .. "\r\nX: a\0b")),
    400, "a broken header"},
  {"a part with a bare line feed in its head", post("/form", MULTIPART, part(DISPOSITION
    .. "\nX: y")), 400, "a broken header"},
  {"a part with a header twice", post("/form", MULTIPART, part("X: y\r\nX: y")), 400,
    "the header x twice"},
  {"a part with a head of 9 KB", post("/form", MULTIPART, part(DISPOSITION .. "\r\nX: "
    .. ("x"):rep(9000))), 413, "too long a head"},
  {"a field of 600 KB", post("/form", MULTIPART, part(DISPOSITION, ("x"):rep(600000))), 413,
    "too large a field"},
  {"1,001 parts", post("/form", MULTIPART, ("--b\r\n" .. DISPOSITION .. "\r\n\r\nx\r\n"):rep(1001)
    .. "--b--\r\n"), 413, "too many parts"},
  {"101 files", post("/form", MULTIPART, ("--b\r\n" .. DISPOSITION .. '; filename="f"\r\n\r\nx\r\n')
    :rep(101) .. "--b--\r\n"), 413, "too many files"},
  {"parts that are asked for one by one and broken", post("/parts", MULTIPART, part "X: y"), 400,
    "a part without a name"},
  {"1,001 fields", post("/form", FORM, ("a=1&"):rep(1001)), 413, "too many fields"},
  {"a form of 600 KB", post("/form", FORM, ("x"):rep(600000)), 413, "over the limit"},
  {"a bad percent code in a form", post("/form", FORM, "a=%zz&%=1"), 200, "2"},
  {"a body over the limit", post("/form", FORM, ("x"):rep(1100000)), 413, "limit"},

  {"a bad percent code in the path", get "/item/%zz", 400, "Bad Request"},
  {"half a percent code in the path", get "/item/%4", 400, "Bad Request"},
  {"a NUL in the path", get "/item/a%00b", 400, "Bad Request"},
  {"an overlong slash in the path", get "/item/a%c0%afb", 200, "a\xc0\xafb"},
  {"a bad percent code in the query", get "/echo?v=%zz", 400, "two hexadecimal digits"},
  {"a NUL in the query", get "/echo?v=%00", 400, "it says NUL"},
  {"overlong UTF-8 in the query", get "/args?v=%c0%af", 200, "1"},
  {"a number beyond all integers", get("/int/" .. ("9"):rep(100)), 404, "Not Found"},
  {"1,900 arguments", get("/args?" .. ("a=1&"):rep(1900)), 200, "1"},
  {"an argument of 7 KB", get("/args?a=" .. ("x"):rep(7000)), 200, "1"},
  {"a target of 20 KB", get("/args?a=" .. ("x"):rep(20000)), 414, "URI Too Long"},

  {"2,000 cookies", get("/cookies", "Cookie: " .. ("a=1; "):rep(2000)), 200, "1"},
  {"a cookie of 14 KB", get("/cookies", "Cookie: a=" .. ("x"):rep(14000)), 200, "1"},
  {"a cookie of 20 KB", get("/cookies", "Cookie: a=" .. ("x"):rep(20000)), 431, "Too Large"},
  {"broken cookies", get("/cookies", 'Cookie: =; ;;; a; "=1; b="\\9; c=\\'), 200, ""},

  {"JSON of 10,000 levels", post("/json", JSON, ("["):rep(10000) .. ("]"):rep(10000)), 400,
    "the body is not JSON"},
  {"JSON that is cut off", post("/json", JSON, '{"a": [1, '), 400, "the body is not JSON"},
  {"JSON that is empty", post("/json", JSON, ""), 400, "the body is not JSON"},
  {"JSON with a NUL", post("/json", JSON, "[1,\0 2]"), 400, "the body is not JSON"},
  {"JSON with half a surrogate", post("/json", JSON, '"\\ud800"'), 400, "the body is not JSON"},
  {"JSON that is no number", post("/json", JSON, "NaN"), 400, "the body is not JSON"},
  {"JSON that is no JSON", post("/json", "Content-Type: text/plain", "{}"), 415,
    "the body is not application/json"},

  {"a template that includes itself", get "/t/includes", 500, nil,
    "includes.html:1: .*'includes.html' include or extend itself"},
  {"a template that extends itself", get "/t/extends", 500, nil, "'extends.html' extend itself"},
  {"a macro that calls itself", get "/t/macro", 500, nil, "macro.html:1: "},
  {"a block that calls itself", get "/t/block", 500, nil, "block.html:1: "},
  {"an unknown filter", get "/t/filter", 500, nil, "filter.html:2: .*nonesuch"},
  {"an unknown test", get "/t/test", 500, nil, "test.html:1: .*nonesuch"},
  {"a template with bad syntax", get "/t/syntax", 500, nil, "syntax.html:3: "},
  {"a template that is not closed", get "/t/unclosed", 500, nil, "unclosed.html:1: "},
  {"a loop that is not closed", get "/t/endless", 500, nil, "endless.html:1: "},
  {"a filter that fails", get "/t/fault", 500, nil, "main.lua:%d+: the filter's own fault"},
  {"a template that needs what is not there", get "/t/undefined", 500, nil,
    "undefined.html:1: 'nobody' is undefined"},
  {"a template that is not there", get "/t/nonesuch", 500, nil, "no template 'nonesuch.html'"},
  {"a template outside the directory", get "/t/..%5c..%5cetc%5cpasswd", 500, nil,
    "holds a backslash"},

  {"a session that is not signed", get("/who", "Cookie: session=e30.1.xxxx"), 200, "nobody"},
  {"a session that is no session", get("/who", "Cookie: session=" .. ("."):rep(1000)), 200,
    "nobody"},
  {"a form without a token", post("/act", FORM, "a=1"), 400, "the CSRF token is missing"},
  {"a form with a wrong token", post("/act", FORM, "csrf_token=" .. ("A"):rep(43)), 400, "CSRF"},
  {"a form with no token at all", post("/act", FORM, "csrf_token=%00%ff"), 400, "CSRF"},
  {"a form of another origin", post("/act", FORM, "a=1", "Origin: http://evil.test"), 400,
    "another origin"},

  {"a redirection with a line break", get "/redirect?v=/a%0d%0aX-Evil:%201", 302, ""},
  {"a header with a line break", get "/header?v=a%0d%0aX-Evil:%201", 500,
    "the header X%-Header has a control character", "X%-Header has a control character"},
  {"a header with a control character", get "/header?v=a%01", 500, "control character",
    "control character"},
  {"a type with a line break", get "/type?v=a/b%0aX-Evil:1", 500, "Content%-Type has a control",
    "Content%-Type has a control character"},
  {"a bad name of a header", get "/name?v=X-Evil:%201%0d%0aA", 500, "bad header name",
    "bad header name"},
  {"the name of a header that is the host's", get "/name?v=Transfer-Encoding", 500,
    "the host's to send", "the host's to send"},
  {"a cookie with a line break", get "/cookie?v=a%0d%0aX-Evil:%201", 200, "body"},
  {"a cookie's path with a line break", get "/cookie?v=a&path=/%0d%0aX-Evil:%201", 500, nil,
    "option 'path' has a character"},
  {"a bad name of a cookie", get "/cookie-name?v=a%0d%0ab", 500, nil, "bad cookie name"},
  {"a cookie of 5 KB", get("/cookie?v=" .. ("x"):rep(5000)), 500, nil, "browsers keep no more"},
  {"a file's name with a line break", get "/download?v=a%0d%0aX-Evil:%201", 200, "0123456789"},

  {"a range beyond the end", get("/s/ten", "Range: bytes=10-"), 416, ""},
  {"a range that ends before it begins", get("/s/ten", "Range: bytes=5-2"), 200, "0123456789"},
  {"a range of another unit", get("/s/ten", "Range: lines=1-2"), 200, "0123456789"},
  {"a range of huge numbers", get("/s/ten", "Range: bytes=0-" .. ("9"):rep(30)), 206, "0123456789"},
  {"a thousand ranges", get("/s/ten", "Range: bytes=" .. ("0-0,"):rep(1000) .. "1-1"), 200,
    "0123456789"},
  {"no range at all", get("/s/ten", "Range: bytes=-"), 200, "0123456789"},
  {"a date that is none", get("/s/ten", "If-Modified-Since: yesterday"), 200, "0123456789"},
  {"a date of another age", get("/s/ten", "If-Modified-Since: Mon, 99 Jan 9999 99:99:99 GMT"), 200,
    "0123456789"},
  {"a date that is none, for a change", get("/s/ten", "If-Unmodified-Since: never"), 200,
    "0123456789"},
  {"a tag that is none", get("/s/ten", "If-None-Match: ten"), 200, "0123456789"},
  {"10,000 tags", get("/s/ten", "If-None-Match: " .. ('"a",'):rep(3000)), 200, "0123456789"},
  {"a file outside", get "/s/..%2f..%2fetc/passwd", 404, "Not Found"},

  {"an address that lacks an argument", get "/url", 500, nil, "route 'item': .*argument 'name'"},
  {"a configuration that lacks a value", get "/required", 500, nil, "has no 'database'"},
  {"an answer that is too deep", get "/deep", 500, nil, "too deep"},
}

-- What no answer may tell: where the scripts are, and how the error came about.
local SECRETS = {"/tmp/", "stack traceback", "%.lua", "0123456789abcdef", "genet/"}

describe("of bad inputs", function()
  local server

  setup(function()
    local files = {["main.lua"] = script, ["files/ten"] = "0123456789"}
    for name, text in pairs(templates) do files["templates/" .. name .. ".html"] = text end
    server = support.serve{
      scripts = files,
      args = {"--max-body", "1M", "--set", "secret_key=0123456789abcdef"},
      env = {ASAN_OPTIONS = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1"},
    }
  end)
  teardown(function() server:stop() end)

  local function ask(request)
    return server:request(table.unpack(request, 1, 4))
  end

  for _, case in ipairs(cases) do
    local what, request, status, says, logs = table.unpack(case, 1, 5)
    it(what .. " is answered by " .. status, function()
      local from = #server:stderr() + 1
      local response = ask(request)
      assert.equal(status, response.status, response.body)
      if says then assert.matches(says, response.body) end
      for _, secret in ipairs(status >= 400 and SECRETS or {}) do
        assert.not_matches(secret, response.body)
      end
      assert.is_nil(response.headers["x-evil"])
      if logs then
        support.wait_until("the log", function()
          return server:stderr():find(logs, from)
        end)
      end
      assert.equal("hello", server:get("/hello").body)
      if not logs then assert.equal("", server:stderr():sub(from)) end
    end)
  end

  it("a session that was changed is nobody's", function()
    local response = server:get("/login")
    local name, value = response.headers["set-cookie"]:match("^(%w+)=([^;]+)")
    local function who(cookie)
      return server:get("/who", {("Cookie: %s=%s"):format(name, cookie)}).body
    end
    assert.equal("ann", who(value))
    for at = 1, #value, 7 do
      local byte = value:sub(at, at) == "A" and "B" or "A"
      assert.equal("nobody", who(value:sub(1, at - 1) .. byte .. value:sub(at + 1)))
    end
    assert.equal("nobody", who(value .. "A"))
    assert.equal("nobody", who(value:sub(1, -2)))
  end)

  it("none is the memory of the host", function()
    support.only("default", "each state grows to its own size", pending)
    local function round(times)
      for _ = 1, times do
        for _, case in ipairs(cases) do
          if #(case[2][4] or "") < 100000 then ask(case[2]) end
        end
      end
    end
    round(support.crowd_size(20))
    local before = server:resident()
    round(support.crowd_size(80)) -- GENET_E2E_SCALE=12 makes it a thousand
    assert.is_true(server:resident() - before < 16384)
  end)
end)

describe("a site without a secret", function()
  it("says so once, and its sessions end with the process", function()
    local server = support.serve{script = script:gsub('app:static[^\n]*\n', "app:sessions()\n")}
    server:wait_for_log("app:sessions has no secret")
    assert.equal("nobody", server:get("/who").body)
    server:stop()
  end)

  it("without sessions does not start when it protects forms", function()
    local directory = support.directory{["main.lua"] = script:gsub('app:static[^\n]*\n', "")}
    local result = support.run{"runserver", directory, "-p", "0"}
    support.remove(directory)
    assert.equal(1, result.status)
    assert.matches("main.lua:%d+: app:protect_forms needs app:sessions", result.err)
  end)
end)
