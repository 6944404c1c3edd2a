local support = require "support"
local app = require "genet.app"
local cookie = require "genet.cookie"

local SECRET = "a secret of the specs"
local FORM = "application/x-www-form-urlencoded"
local MULTIPART = "multipart/form-data; boundary=b"

-- An app with protected routes; `given` sets up the protection.
local function site(given)
  local site_app = app.new()
  site_app:sessions{secret = SECRET}
  site_app:protect_forms(given)
  site_app:get("/token", function(req) return req:csrf_token() end)
  site_app:get("/renew", function(req) req.session:regenerate() return req:csrf_token() end)
  site_app:route("/act", {methods = {"POST", "PUT", "PATCH", "DELETE", "GET"}}, function(req)
    return req.method == "GET" and "read" or "done"
  end)
  site_app:post("/hook/<name>", function() return "hooked" end)
  site_app:post("/named", {name = "named"}, function(req)
    req:check_csrf(req.args.token)
    return "checked"
  end)
  site_app:freeze()
  return site_app
end

local function send(of, method, path, headers, body, query)
  local flat = {"Host", "site.example"}
  for name, value in pairs(headers or {}) do
    flat[#flat + 1], flat[#flat + 2] = name, value
  end
  local x = support.exchange{headers = flat, body = body, query = query}
  local ok, status, head, text = pcall(of.dispatch, of, x, method, path)
  if not ok then status, head, text = of:failed(x, status) end
  return status, text, head
end

-- A token and the cookie that goes with it.
local function token_of(of, path, jar)
  local _, token, head = send(of, "GET", path or "/token", {Cookie = jar})
  local set = head:match("Set%-Cookie: ([^;]*)")
  return token, set or jar
end

describe("group:protect_forms", function()
  it("is for the routes of the group, and of the groups in it", function()
    local site_app = app.new()
    site_app:sessions{secret = SECRET}
    site_app:post("/free", function() return "done" end)
    site_app:group("/shop", function(shop)
      shop:protect_forms{exempt = {"/shop/hook"}}
      shop:post("/act", function() return "done" end)
      shop:post("/hook", function() return "done" end)
      shop:group("/till", function(till) till:post("/act", function() return "done" end) end)
    end)
    site_app:freeze()
    for path, expected in pairs{["/free"] = 200, ["/shop/act"] = 400, ["/shop/hook"] = 200,
      ["/shop/till/act"] = 400} do
      assert.equal(expected, (send(site_app, "POST", path, {["Content-Type"] = FORM}, "")), path)
    end
  end)
end)

describe("app:protect_forms", function()
  local protected, token, jar

  before_each(function()
    protected = site()
    token, jar = token_of(protected)
  end)

  local function post(headers, body)
    headers.Cookie = headers.Cookie or jar
    local status, text = send(protected, "POST", "/act", headers, body)
    return status, text:match("\n(.*)\n$") or text
  end

  it("takes a form with the token in a field", function()
    assert.same({200, "done"}, {post({["Content-Type"] = FORM}, "a=1&csrf_token=" .. token)})
    local body = '--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' .. token
      .. "\r\n--b--\r\n"
    assert.same({200, "done"}, {post({["Content-Type"] = MULTIPART}, body)})
  end)

  it("takes a request with the token in a header", function()
    assert.equal(200, (post{["X-CSRF-Token"] = token}))
    assert.equal(200, (post{["X-CSRFToken"] = token}))
    local json = {["X-CSRF-Token"] = token, ["Content-Type"] = "application/json"}
    assert.equal(200, (post(json, "{}")))
  end)

  it("gives tokens that look different and are worth the same", function()
    local other = token_of(protected, "/token", jar)
    assert.not_equal(token, other)
    assert.equal(200, (post{["X-CSRF-Token"] = other}))
    assert.equal(200, (post{["X-CSRF-Token"] = token}))
  end)

  it("does not look at what only reads", function()
    assert.equal("read", select(2, send(protected, "GET", "/act", {Cookie = jar})))
    assert.equal(405, (send(protected, "POST", "/token", {Cookie = jar})))
  end)

  it("refuses requests without the token", function()
    for _, method in ipairs{"POST", "PUT", "PATCH", "DELETE"} do
      local status, text = send(protected, method, "/act", {Cookie = jar})
      assert.equal(400, status)
      assert.equal("400 Bad Request\nthe CSRF token is missing\n", text)
    end
    assert.same({400, "the CSRF token is missing"}, {post({["Content-Type"] = FORM}, "a=1")})
    assert.same({400, "the CSRF token is missing"},
      {post({["Content-Type"] = FORM}, "csrf_token=")})
    assert.same({400, "the CSRF token is missing"},
      {post({["Content-Type"] = "application/json"}, '{"csrf_token":"' .. token .. '"}')})
  end)

  it("refuses tokens that are wrong", function()
    local theirs = token_of(protected)
    local wrong = {theirs, token:sub(2), token .. "A", "x", ("A"):rep(43), ("x"):rep(100000),
      token:reverse(), token:upper(), " " .. token, "\0"}
    for _, text in ipairs(wrong) do
      assert.same({400, "the CSRF token does not match"}, {post{["X-CSRF-Token"] = text}})
    end
  end)

  it("refuses a token without its session", function()
    local none = {post{["X-CSRF-Token"] = token, Cookie = "session=x"}}
    assert.same({400, "the session has no CSRF token"}, none)
    assert.equal(400, (send(protected, "POST", "/act", {["Content-Type"] = FORM},
      "csrf_token=" .. token)))
    local _, theirs = token_of(protected)
    assert.equal(400, (post{["X-CSRF-Token"] = token, Cookie = theirs}))
  end)

  it("refuses tokens of before a regeneration", function()
    local new, renewed = token_of(protected, "/renew", jar)
    assert.equal(400, (post{["X-CSRF-Token"] = token, Cookie = renewed}))
    assert.equal(200, (post{["X-CSRF-Token"] = new, Cookie = renewed}))
  end)

  it("looks at forms also where there is no cookie", function()
    for _, content_type in ipairs{FORM, "Multipart/Form-Data; boundary=b", "text/plain"} do
      local body = content_type == FORM and "a=1" or "--b--"
      assert.equal(400, (send(protected, "POST", "/act", {["Content-Type"] = content_type}, body)))
    end
  end)

  it("leaves requests alone that a browser cannot have sent by itself", function()
    assert.equal(200, (send(protected, "DELETE", "/act")))
    assert.equal(200, (send(protected, "POST", "/act", {["Content-Type"] = "application/json"})))
    assert.equal(200, (send(protected, "POST", "/act", {Authorization = "Bearer x"})))
    assert.equal(400, (send(protected, "POST", "/act", {Authorization = "Basic x"})))
  end)

  it("refuses other origins in spite of a token", function()
    local cases = {
      ["https://site.example"] = 200, ["http://site.example"] = 200, ["HTTPS://SITE.EXAMPLE"] = 200,
      ["null"] = 200, ["https://evil.example"] = 400, ["https://site.example.evil.example"] = 400,
      ["https://site.example:8443"] = 400, ["https://evil.site.example"] = 400, ["x"] = 400,
    }
    for origin, status in pairs(cases) do
      assert.equal(status, (post{["X-CSRF-Token"] = token, Origin = origin}), origin)
    end
    local _, text = post{["X-CSRF-Token"] = token, Origin = "https://evil.example"}
    assert.equal("the request comes from another origin", text)
    protected = site{origins = {"https://partner.example"}}
    assert.equal(200, (post{["X-CSRF-Token"] = token, Origin = "https://partner.example"}))
  end)

  it("asks for a token also from the same site, unless told otherwise", function()
    assert.equal(400, (post{["Sec-Fetch-Site"] = "same-origin"}))
    protected = site{fetch_metadata = true}
    assert.equal(200, (post{["Sec-Fetch-Site"] = "same-origin"}))
    for _, other in ipairs{"same-site", "cross-site", "none", ""} do
      assert.equal(400, (post{["Sec-Fetch-Site"] = other}))
    end
    assert.equal(400, (post{["Sec-Fetch-Site"] = "same-origin", Origin = "https://evil.example"}))
  end)

  it("spares routes that are exempt", function()
    protected = site{exempt = {"/hook/<name>", "named"}}
    assert.equal(200, (send(protected, "POST", "/hook/a", {Cookie = jar})))
    assert.equal(400, (send(protected, "POST", "/act", {Cookie = jar})))
    assert.equal(400, (send(protected, "POST", "/named", {Cookie = jar})))
    assert.equal(200, (send(protected, "POST", "/named", {Cookie = jar}, nil, "token=" .. token)))
  end)

  it("is refused where it is set up wrongly", function()
    assert.error_matches(function() site{exempt = {"/nothing"}} end,
      "no route has the rule or the name '/nothing'")
    assert.matches("csrf_spec.lua:%d+: app:protect_forms: unknown option 'except'",
      support.raised(site, {except = {}}))
    local bare = app.new()
    bare:protect_forms()
    assert.matches("csrf_spec.lua:%d+: app:protect_forms needs app:sessions",
      support.raised(bare.freeze, bare))
  end)

  it("keeps its token in the session alone", function()
    assert.is_nil(jar:find(token, 1, true))
    assert.equal(1, #cookie.parse{jar} / 2)
  end)
end)
