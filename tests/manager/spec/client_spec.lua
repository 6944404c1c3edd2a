-- What the client of `genet.test` does; run by `genet test`, which tests/e2e/manager_spec.lua does.
local genet = require "genet"
local notes = require "notes"
local test = require "genet.test"

local client

before_each(function() client = test.client() end)

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return tostring(err)
end

describe("a request", function()
  it("is answered as over a socket", function()
    local response = client:get("/hello/you?mark=!")
    assert.equal(200, response.status)
    assert.is_true(response.ok)
    assert.equal("hello you!", response.text)
    assert.equal("hello you!", response.body)
    assert.equal("text/html; charset=utf-8", response.headers["content-TYPE"])
    assert.equal("10", response.headers.content_length)
    assert.equal("/hello/you", response.headers.x_path)
    assert.equal("/hello/you", notes.ended)
    assert.equal("http://localhost/hello/you?mark=!", response.url)
  end)

  it("takes a query, encoded paths and a URL", function()
    assert.equal("hello you&", client:get("/hello/you", {query = {mark = "&"}}).text)
    assert.equal("hello a b", client:get("/hello/a b").text)
    assert.equal("hello a b", client:get("http://localhost/hello/a%20b#part").text)
  end)

  it("carries JSON, forms, files and bytes", function()
    local response = client:post("/json", {json = {1, {a = true}}})
    assert.equal(201, response.status)
    assert.same({got = {1, {a = true}}}, response:json())
    assert.same({field = "a b&c"}, client:post("/form", {form = {field = "a b&c"}}):json())
    assert.same({field = "x", name = "a.txt", text = "\r\n\0--"}, client:post("/form", {
      form = {field = "x"},
      files = {file = {filename = "a.txt", content = "\r\n\0--"}},
    }):json())
    local pieces = {"one", "two"}
    assert.same({method = "PUT", body = "onetwo", type = "text/plain"}, client:put("/echo", {
      body = function() return table.remove(pieces, 1) end,
      headers = {content_type = "text/plain"},
    }):json())
  end)

  it("is the current one for its handler and for the tasks of that", function()
    assert.is_nil(genet.request())
    local answers = assert(genet.all{
      one = function() return client:get("/current/1"):json() end,
      two = function() return client:get("/current/2"):json() end,
    })
    assert.same({mine = true, path = "/current/1"}, answers.one)
    assert.same({mine = true, path = "/current/2"}, answers.two)
    assert.is_nil(genet.request())
  end)

  it("has any method", function()
    for _, verb in ipairs{"put", "patch", "delete"} do
      assert.equal(verb:upper(), client[verb](client, "/echo"):json().method)
    end
    assert.equal("", client:head("/hello/you").text)
    assert.equal("9", client:head("/hello/you").headers.content_length)
    assert.equal("GET, HEAD, OPTIONS", client:options("/hello/you").headers.allow)
    assert.equal(405, client:post("/hello/you").status)
    assert.equal(404, client:get("/nowhere").status)
  end)

  it("is bounded as by the host", function()
    assert.equal(413, client:post("/form", {form = {field = ("x"):rep(2000)}}).status)
  end)

  it("gets files, also parts of them", function()
    assert.equal("0123456789", client:get("/files/digits.txt").body)
    local part = client:get("/files/digits.txt", {headers = {Range = "bytes=2-4"}})
    assert.equal(206, part.status)
    assert.equal("234", part.body)
    local etag = part.headers.etag
    local headers = {If_None_Match = etag}
    assert.equal(304, client:get("/files/digits.txt", {headers = headers}).status)
  end)

  it("renders templates", function()
    assert.equal("Hello &lt;you&gt;", client:get("/page").text)
  end)

  it("passes the hooks of groups", function()
    assert.equal(401, client:get("/inner/").status)
    assert.equal("inside", client:get("/inner/?key=1").text)
  end)

  it("refuses options that make no sense", function()
    assert.truthy(raised(client.get, client, "/", {jsn = 1}):find("unknown option 'jsn'", 1, true))
    assert.truthy(raised(client.post, client, "/", {json = 1, body = ""}):find("one of", 1, true))
    assert.truthy(raised(client.get, client, "hello"):find("begins with '/'", 1, true))
  end)
end)

describe("an error", function()
  it("goes through to the test unless it is an answer", function()
    local err = raised(client.get, client, "/fails")
    assert.truthy(err:find("app.lua:%d+: it fails"), err)
    assert.truthy(err:find("stack traceback", 1, true), err)
    local _, value = pcall(client.get, client, "/handled")
    assert.same({kind = "handled"}, value)
    assert.truthy(raised(client.get, client, "/nothing"):find("returned nothing", 1, true))
    assert.equal(403, client:get("/forbidden").status)
    assert.equal(415, client:post("/json", {body = "{}"}).status)
  end)

  it("is answered where the app answers it, or on demand", function()
    local response = client:get("/inner/fails?key=1")
    assert.equal(500, response.status)
    assert.truthy(response.text:find("handled: .*deep"))
    assert.equal(500, client:get("/fails", {propagate = false}).status)
    assert.equal(500, test.client{propagate = false}:get("/fails").status)
  end)
end)

describe("cookies", function()
  it("are kept", function()
    assert.equal("1", client:get("/visits").text)
    assert.equal("2", client:get("/visits").text)
    assert.equal("1", test.client():get("/visits").text)
    assert.truthy(client.cookies:value("session"))
    client.cookies:clear()
    assert.equal("1", client:get("/visits").text)
  end)

  it("belong to a path, a host, a scheme and a time", function()
    local app = genet.app()
    local function set(name, line)
      app:get("/" .. name, function() return "", 200, {["Set-Cookie"] = line} end)
    end
    set("path", "path=1; Path=/deep")
    set("secure", "secure=1; Path=/; Secure")
    set("short", "short=1; Path=/; Max-Age=10")
    set("foreign", "foreign=1; Path=/; Domain=other.test")
    set("domain", "domain=1; Path=/; Domain=shop.test")
    app:get("/<path:any>", function(req) return req.headers.cookie or "" end)
    local own = app:test_client{base_url = "http://www.shop.test"}
    for _, name in ipairs{"path", "secure", "short", "foreign", "domain"} do
      own:get("/" .. name)
    end
    assert.equal("short=1; domain=1", own:get("/x").text)
    assert.equal("path=1; short=1; domain=1", own:get("/deep/x").text)
    assert.equal("domain=1", own:get("http://shop.test/x").text)
    assert.equal("", own:get("http://notshop.test/x").text)
    assert.equal("domain=1; more=2",
      own:get("http://shop.test/x", {cookies = {more = 2}}).text)
    test.clock:advance(11)
    assert.equal("domain=1", own:get("/x").text)
  end)
end)

describe("redirects", function()
  it("are followed on demand, with cookies", function()
    assert.equal(302, client:get("/away").status)
    local response = client:get("/away", {follow_redirects = true})
    assert.equal("1", response.text)
    assert.equal("http://localhost/visits", response.url)
    assert.equal(302, client:get("/elsewhere", {follow_redirects = true}).status)
    assert.same({got = 5}, client:post("/keep", {json = 5, follow_redirects = true}):json())
    assert.truthy(raised(client.get, client, "/loop", {follow_redirects = true})
      :find("more than 20 redirects", 1, true))
  end)
end)

describe("a stream", function()
  it("is read to its end, or piece by piece", function()
    assert.equal("1\n2\n3\n", client:get("/pieces").text)
    local response = client:get("/pieces", {stream = true})
    assert.equal("1\n", response:read())
    assert.equal("2\n", response:read())
    assert.equal("3\n", response.text)
  end)

  it("ends when the client goes", function()
    notes.left = nil
    do
      local response <close> = client:get("/endless", {stream = true})
      assert.equal("x", response:read())
    end
    assert.is_true(notes.left)
  end)

  it("that never ends is ended", function()
    assert.truthy(raised(client.get, client, "/endless")
      :find("has not been answered within 60 s", 1, true))
  end)

  it("of events gives events", function()
    local seen = {}
    for event in client:get("/ticks", {stream = true}):events() do seen[#seen + 1] = event end
    assert.same({id = "2", event = "tick", data = '{"n":2}'}, seen[2])
    assert.equal(3, #seen)
  end)
end)

describe("a WebSocket", function()
  it("sends and receives", function()
    local one <close> = client:websocket("/room/a", {subprotocols = {"other", "chat"}})
    local two <close> = client:websocket("/room/a")
    local other <close> = client:websocket("/room/b")
    assert.equal("chat", one.subprotocol)
    for _, ws in ipairs{one, two, other} do assert.equal("welcome", (ws:receive())) end
    one:send("hi")
    assert.same({"hi", "text"}, {one:receive()})
    assert.same({"hi", "text"}, {two:receive()})
    assert.same({nil, "timeout"}, {other:receive(1)})
  end)

  it("gets to tasks that have subscribed, too", function()
    local news <close> = genet.subscribe("c")
    local ws <close> = client:websocket("/room/c")
    ws:send("extra")
    assert.equal("extra", (news:receive(5)))
  end)

  it("is closed by either side", function()
    local ws = client:websocket("/room/a")
    ws:receive()
    ws:send("close")
    assert.same({nil, "closed", 4001, "bye"}, {ws:receive()})
    assert.same({nil, "closed"}, {ws:send("more")})
  end)

  it("raises what its handler raises", function()
    local ws = client:websocket("/room/a")
    ws:receive()
    ws:send("fail")
    assert.truthy(raised(ws.receive, ws):find("told to fail", 1, true))
  end)

  it("is refused where there is none", function()
    local ws, response = client:websocket("/hello/you")
    assert.is_nil(ws)
    assert.equal(200, response.status)
    assert.equal(426, client:get("/room/a").status)
  end)
end)

describe("time", function()
  it("is skipped where all sleep", function()
    local before, wall = test.clock:now(), os.time()
    assert.equal("at last", client:get("/slow").text)
    assert.is_true(test.clock:now() - before >= 10)
    assert.is_true(os.time() - wall >= 9)
  end)

  it("passes in order", function()
    local seen = {}
    local timer = genet.every(60, function() seen[#seen + 1] = "minute" end)
    genet.after(150, function() seen[#seen + 1] = "once" end)
    test.clock:advance(190)
    timer:stop()
    assert.same({"minute", "minute", "once", "minute"}, seen)
  end)

  it("passes as usual for what is outside", function()
    local socket = require "socket"
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local peer = assert(socket.connect("127.0.0.1", port))
    local accepted = assert(listener:accept())
    accepted:settimeout(600)
    genet.spawn(function() genet.process.run{"sleep", "0.1"} peer:send("late\n") end)
    local before = test.clock:now()
    assert.equal("late", accepted:receive())
    assert.is_true(test.clock:now() - before < 300)
    for _, one in ipairs{accepted, peer, listener} do one:close() end
  end)
end)
