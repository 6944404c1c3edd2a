-- Sessions in Redis, by the stock client library, are those of every host that uses it.
local redis = require "tests.e2e.redis"
local support = require "tests.e2e.support"

local SCRIPT = [[
  local genet = require "genet"
  local app = genet.app()
  app:sessions{
    secret = ("s"):rep(32),
    max_age = 1000,
    store = genet.session.redis{url = os.getenv "REDIS", timeout = 2, connections = 4},
  }
  app:get("/set/<value>", function(req, value) req.session.value = value return "set" end)
  app:get("/get", function(req) return req.session.value or "none" end)
  app:get("/login", function(req) req.session:regenerate() return "in" end)
  app:get("/clear", function(req) req.session:clear() return "cleared" end)
  app:get("/plain", function() return "plain" end)
  return app
]]

local function serve(url)
  return support.serve{script = SCRIPT, env = {REDIS = url}}
end

local function cookie_of(response)
  return (response.headers["set-cookie"]:match("^(session=[^;]+)"))
end

local function get(server, target, cookie)
  return server:get(target, {"Cookie: " .. cookie})
end

describe("a session in Redis", function()
  local server, a, b

  setup(function()
    server = redis.start()
    a, b = serve(server.url), serve(server.url)
  end)

  teardown(function()
    if a then a:stop() end
    if b then b:stop() end
    server:stop()
  end)

  it("is known to every host, and ends everywhere", function()
    local cookie = cookie_of(a:get("/set/apple"))
    assert.equal("apple", get(b, "/get", cookie).body)
    get(b, "/set/pear", cookie)
    assert.equal("pear", get(a, "/get", cookie).body)
    get(a, "/clear", cookie)
    assert.equal("none", get(b, "/get", cookie).body)
  end)

  it("is forgotten by Redis itself when its time is over", function()
    local cookie = cookie_of(a:get("/set/apple"))
    local key = "session:" .. cookie:match("=(.*)$")
    local seconds = tonumber(server:cli("TTL", key))
    assert.is_true(seconds > 900 and seconds <= 1000)
    server:cli("DEL", key)
    assert.equal("none", get(a, "/get", cookie).body)
  end)

  it("has another number, and no longer the old one, after a login", function()
    local old = cookie_of(a:get("/set/apple"))
    local new = cookie_of(get(b, "/login", old))
    assert.equal("none", get(a, "/get", old).body)
    assert.equal("apple", get(a, "/get", new).body)
  end)

  it("needs few connections for many requests", function()
    local cookie = cookie_of(a:get("/set/apple"))
    local asked = {}
    for i = 1, 50 do
      asked[i] = a:connect()
      asked[i]:send(("GET /get HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n"):format(cookie))
    end
    for _, connection in ipairs(asked) do
      assert.equal("apple", connection:response("GET").body)
      connection:close()
    end
    local clients = select(2, server:cli("CLIENT", "LIST", "TYPE", "normal"):gsub("id=", ""))
    assert.is_true(clients <= 4 + 4 + 1) -- of a, of b, and this
  end)

  it("is not to be had while Redis is away, which nothing else minds", function()
    local cookie = cookie_of(a:get("/set/apple"))
    server:kill()
    assert.equal(500, get(a, "/get", cookie).status)
    assert.equal("plain", get(a, "/plain", cookie).body)
    a:wait_for_log("the session store cannot load: could not connect to 127.0.0.1:")
    server:restart()
    assert.equal("none", get(a, "/get", cookie).body)
    cookie = cookie_of(a:get("/set/pear"))
    assert.equal("pear", get(b, "/get", cookie).body) -- b had connections of the time before
  end)

  it("is not waited for for ever", function()
    local cookie = cookie_of(a:get("/set/apple"))
    server:signal("STOP")
    finally(function() server:signal("CONT") end)
    assert.equal(500, get(a, "/get", cookie).status)
    a:wait_for_log("the session store cannot load: connection error: timeout")
    server:signal("CONT")
    assert.equal("apple", get(a, "/get", cookie).body)
  end)
end)

describe("a session in Redis", function()
  it("may lie behind a password, in another database, and at a Unix socket", function()
    local server = redis.start("sesame")
    local a = serve(server.url .. "/3")
    local b = serve(("redis+unix://default:sesame@%s"):format(server.path))
    finally(function() a:stop() b:stop() server:stop() end)
    local cookie = cookie_of(a:get("/set/apple"))
    assert.equal("apple", get(a, "/get", cookie).body)
    assert.equal("none", get(b, "/get", cookie).body) -- that is another database
    cookie = cookie_of(b:get("/set/pear"))
    assert.equal("pear", get(b, "/get", cookie).body)
  end)

  it("is refused with a wrong password, for a reason in the log", function()
    local server = redis.start("sesame")
    local a = serve((server.url:gsub("sesame", "wrong")))
    finally(function() a:stop() server:stop() end)
    assert.equal(500, a:get("/set/apple").status)
    a:wait_for_log("WRONGPASS")
  end)
end)
