local support = require "support"
local app = require "genet.app"
local crypto = require "genet.crypto"
local http_error = require "genet.http_error"
local json = require "genet.json"
local response = require "genet.response"
local session = require "genet.session"

local SECRET = "a secret of the specs"

-- A browser with a jar of cookies, and an app whose handlers are told by path.
local function site(options, handlers)
  local self = {jar = {}, app = app.new()}
  if options then self.app:sessions(options) end
  for path, handler in pairs(handlers) do self.app:get(path, handler) end
  self.app:freeze()
  return self
end

local function keep_cookies(self, head)
  for name, value, rest in head:gmatch("Set%-Cookie: ([^=]+)=([^;\r]*)([^\r]*)\r\n") do
    self.jar[name] = not rest:find("Max-Age=0", 1, true) and value or nil
  end
end

-- The status, head and body of a request with the cookies of the jar.
local function get(self, path, cookies)
  local list = {}
  for name, value in pairs(self.jar) do list[#list + 1] = name .. "=" .. value end
  cookies = cookies or table.concat(list, "; ")
  local x = support.exchange{headers = cookies ~= "" and {"Cookie", cookies} or {}}
  local ok, status, head, body = pcall(self.app.dispatch, self.app, x, "GET", path)
  if not ok then
    self.raised = status
    status, head, body = self.app:failed(x, status)
  elseif not status then
    status, head, body = x.begun.status, x.begun.head, table.concat(x.written)
  end
  keep_cookies(self, head)
  assert.is_nil(self.app.unfinished and next(self.app.unfinished))
  return status, head, body
end

local function set_cookies(head)
  return select(2, head:gsub("Set%-Cookie: ", ""))
end

local handlers = {
  ["/plain"] = function() return "plain" end,
  ["/get"] = function(req) return tostring(req.session.user) end,
  ["/set/<name>"] = function(req, name) req.session.user = name return "set" end,
  ["/same"] = function(req) req.session.user = req.session.user return "same" end,
  ["/json"] = function(req) req.session.count = (req.session.count or 0) + 1
    return {count = req.session.count} end,
  ["/clear"] = function(req) req.session:clear() return "clear" end,
  ["/new"] = function(req) req.session:regenerate() return "new" end,
  ["/push"] = function(req)
    local list = req.session.list or {}
    list[#list + 1] = #list + 1
    if not req.session.list then req.session.list = list end
    return tostring(#list)
  end,
  ["/list"] = function(req) return tostring(#(req.session.list or {})) end,
  ["/pairs"] = function(req)
    local keys = {}
    for key, value in pairs(req.session) do keys[#keys + 1] = key .. "=" .. tostring(value) end
    table.sort(keys)
    return table.concat(keys, " ")
  end,
  ["/abort"] = function(req)
    req.session.user = "aborted"
    error(http_error.new(403), 0)
  end,
  ["/fail"] = function(req)
    req.session.user = "failed"
    error("broken")
  end,
  ["/bad"] = function(req)
    req.session.user = "bad"
    return true
  end,
  ["/large"] = function(req) req.session.text = ("x"):rep(5000) return "large" end,
  ["/stream"] = function(req)
    req.session.user = "streamed"
    return function(write)
      write("a")
      local ok, problem = pcall(function() req.session.user = "late" end)
      write(ok and "?" or problem)
    end
  end,
  ["/start"] = function(req)
    req.session.user = "started"
    req:write("by hand")
  end,
  ["/both"] = function(req)
    req.session.user = "both"
    return response.redirect("/"):set_cookie("other", "1")
  end,
}

describe("genet.session", function()
  local time = os.time
  local client

  before_each(function()
    client = site({secret = SECRET}, handlers)
    support.logged = {}
  end)
  after_each(function() os.time = time end) -- luacheck: ignore 122

  local function travel(seconds)
    os.time = function(...) -- luacheck: ignore 122
      return select("#", ...) > 0 and time(...) or time() + seconds
    end
  end

  it("keeps what is set", function()
    local _, head = get(client, "/set/ann")
    assert.matches("Set%-Cookie: session=[%w_-]+%.%d+%.[%w_-]+; HttpOnly; Path=/; SameSite=Lax\r\n",
      head)
    assert.matches("Vary: Cookie\r\n", head)
    assert.equal("ann", select(3, get(client, "/get")))
  end)

  it("costs nothing where it is not used", function()
    local status, head, body = get(client, "/plain")
    assert.equal(200, status)
    assert.equal(response.HTML, head)
    assert.equal("plain", body)
  end)

  it("sends no cookie unless something has changed", function()
    get(client, "/set/ann")
    for _, path in ipairs{"/get", "/pairs", "/list"} do
      local _, head = get(client, path)
      assert.equal(0, set_cookies(head))
      assert.matches("Vary: Cookie", head)
    end
    assert.equal(1, set_cookies(select(2, get(client, "/same"))))
  end)

  it("sends no cookie for an empty session", function()
    assert.equal(0, set_cookies(select(2, get(client, "/get"))))
    assert.equal(0, set_cookies(select(2, get(client, "/clear"))))
  end)

  it("notices changes in tables", function()
    assert.equal("1", select(3, get(client, "/push")))
    assert.equal("2", select(3, get(client, "/push")))
    assert.equal("2", select(3, get(client, "/list")))
    assert.equal(0, set_cookies(select(2, get(client, "/list"))))
  end)

  it("is kept with answers of every kind", function()
    for count = 1, 3 do assert.equal(count, json.decode(select(3, get(client, "/json"))).count) end
    local cases = {["/abort"] = "aborted", ["/fail"] = "failed", ["/stream"] = "streamed",
      ["/start"] = "started", ["/both"] = "both"}
    for path, user in pairs(cases) do
      get(client, path)
      assert.equal(user, select(3, get(client, "/get")))
    end
    assert.equal("1", client.jar.other)
  end)

  it("does not hide what is wrong with an answer", function()
    assert.equal(500, (get(client, "/bad")))
    assert.matches("returned a boolean", tostring(client.raised))
  end)

  it("cannot be changed once the answer has begun", function()
    local _, _, body = get(client, "/stream")
    assert.matches("^a.*the session cannot be changed: the answer has been started$", body)
  end)

  it("can be read once the answer has begun", function()
    local late = site({secret = SECRET}, {["/"] = function(req)
      req:start()
      req:write(tostring(req.session.user))
      req.session.user = "late"
    end})
    get(client, "/set/ann")
    late.jar = client.jar
    local x = support.exchange{headers = {"Cookie", "session=" .. client.jar.session}}
    local err = support.raised(late.app.dispatch, late.app, x, "GET", "/")
    assert.matches("session_spec.lua:%d+: the session cannot be changed", err)
    assert.same({"ann"}, x.written)
    assert.is_nil((late.app:failed(x, err)))
  end)

  it("is cleared, and its cookie goes", function()
    get(client, "/set/ann")
    local _, head = get(client, "/clear")
    assert.matches("Set%-Cookie: session=; Expires=Thu, 01 Jan 1970 [%d:]+ GMT; Max%-Age=0", head)
    assert.same({}, client.jar)
  end)

  it("lists its keys", function()
    get(client, "/set/ann")
    assert.equal("user=ann", select(3, get(client, "/pairs")))
  end)

  it("refuses what it cannot keep", function()
    local cases = {
      [function(s) s[1] = 2 end] = "a key of the session must be a string, not a number",
      [function(s) s.f = print end] = "session.f: a session cannot keep a function",
      [function(s) s.clear = 1 end] = "the session has a method 'clear'",
    }
    for change, problem in pairs(cases) do
      local mine = site({secret = SECRET}, {["/"] = function(req) change(req.session) end})
      assert.equal(500, (get(mine, "/")))
      assert.matches("session_spec.lua:%d+: " .. problem, mine.raised)
    end
    local mine = site({secret = SECRET}, {["/"] = function(req)
      req.session.a = {f = print}
      return "x"
    end})
    local status, head = get(mine, "/")
    assert.equal(500, status)
    assert.equal(0, set_cookies(head))
    assert.matches("the session cannot be kept: ", mine.raised)
  end)

  it("has a limit that is told", function()
    local status, head = get(client, "/large")
    assert.equal(500, status)
    assert.equal(0, set_cookies(head))
    assert.matches("the session takes %d+ bytes as a cookie, of which browsers keep 4096",
      client.raised)
  end)

  describe("of a cookie that is not right", function()
    local good, other

    before_each(function()
      get(client, "/set/ann")
      good = client.jar.session
      local second = site({secret = "another secret of the specs"}, handlers)
      get(second, "/set/eve")
      other = second.jar.session
    end)

    local function user_of(cookies)
      local status, head, body = get(client, "/get", cookies)
      assert.equal(200, status)
      assert.equal(0, set_cookies(head))
      return body
    end

    it("is empty, whichever byte was changed", function()
      assert.equal("ann", user_of("session=" .. good))
      for at = 1, #good do
        local byte = good:byte(at)
        for _, new in ipairs{byte ~ 1, byte ~ 32, 65, 46, 48, 33} do
          local text = good:sub(1, at - 1) .. string.char(new) .. good:sub(at + 1)
          if new ~= byte then assert.equal("nil", user_of("session=" .. text), text) end
        end
      end
    end)

    it("is empty, wherever it was cut or made longer", function()
      for at = 0, #good - 1 do assert.equal("nil", user_of("session=" .. good:sub(1, at))) end
      for at = 2, #good do assert.equal("nil", user_of("session=" .. good:sub(at))) end
      for _, more in ipairs{"A", ".", "=", "..", ".A"} do
        assert.equal("nil", user_of("session=" .. good .. more))
        assert.equal("nil", user_of("session=" .. more .. good))
      end
    end)

    it("is empty when its parts are of others", function()
      local payload, stamp, signature = good:match("^(.*)%.(.*)%.(.*)$")
      local theirs, their_stamp, their_signature = other:match("^(.*)%.(.*)%.(.*)$")
      local cases = {
        other,
        theirs .. "." .. stamp .. "." .. signature,
        payload .. "." .. their_stamp .. "." .. their_signature,
        payload .. "." .. tostring(tonumber(stamp) + 1) .. "." .. signature,
        payload .. ".0" .. stamp .. "." .. signature,
        payload .. "." .. ("9"):rep(400) .. "." .. signature,
        payload .. ".." .. signature,
        ("."):rep(4000),
        ("A"):rep(8000),
        "null", "e30", "e30.0.", "\0\0.0.A", '"' .. good,
      }
      for _, text in ipairs(cases) do assert.equal("nil", user_of("session=" .. text)) end
    end)

    it("is empty when it was signed for another name", function()
      local named = site({secret = SECRET, name = "other"}, handlers)
      get(named, "/set/eve")
      assert.equal("nil", user_of("session=" .. named.jar.other))
    end)

    it("is empty when it is signed by the secret itself", function()
      local body = crypto.encode64('{"user":"eve"}') .. "." .. os.time()
      for _, key in ipairs{SECRET, ""} do
        for _, text in ipairs{body, "session=" .. body} do
          local signature = crypto.encode64(crypto.hmac(key, text))
          assert.equal("nil", user_of("session=" .. body .. "." .. signature))
        end
      end
    end)

    it("is that of the right one beside it", function()
      assert.equal("ann", user_of("session=x; session=" .. other .. "; session=" .. good))
    end)

    it("is replaced by the next change", function()
      client.jar.session = "garbage"
      get(client, "/set/bob")
      assert.equal("bob", select(3, get(client, "/get")))
    end)

    it("is empty after its time", function()
      travel(31 * 86400)
      assert.equal("ann", user_of("session=" .. good))
      travel(31 * 86400 + 1)
      assert.equal("nil", user_of("session=" .. good))
    end)

    it("is empty before its time", function()
      travel(-60)
      assert.equal("ann", user_of("session=" .. good))
      travel(-61)
      assert.equal("nil", user_of("session=" .. good))
    end)
  end)

  it("ends max_age seconds after its last change", function()
    client = site({secret = SECRET, max_age = 100}, handlers)
    assert.matches("Max%-Age=100;", select(2, get(client, "/set/ann")))
    travel(90)
    assert.equal(0, set_cookies(select(2, get(client, "/get"))))
    get(client, "/json")
    travel(190)
    assert.equal("ann", select(3, get(client, "/get")))
    travel(191)
    assert.equal("nil", select(3, get(client, "/get")))
  end)

  it("goes on while it is used, if asked to", function()
    client = site({secret = SECRET, max_age = 100, refresh = true}, handlers)
    get(client, "/set/ann")
    travel(50)
    assert.equal(0, set_cookies(select(2, get(client, "/get"))))
    travel(51)
    assert.equal(1, set_cookies(select(2, get(client, "/get"))))
    travel(151)
    assert.equal("ann", select(3, get(client, "/get")))
  end)

  it("believes old secrets and signs with the first", function()
    get(client, "/set/ann")
    local old = client.jar
    client = site({secret = {"the next secret of all", SECRET}}, handlers)
    client.jar = old
    assert.equal("ann", select(3, get(client, "/get")))
    get(client, "/same")
    local jar = client.jar
    client = site({secret = "the next secret of all"}, handlers)
    client.jar = jar
    assert.equal("ann", select(3, get(client, "/get")))
  end)

  describe("set up", function()
    local refused = {
      {{secret = "short"}, "a secret must be a string of 16 bytes at least"},
      {{secret = {SECRET, "short"}}, "a secret must be a string of 16 bytes at least"},
      {{secret = {}}, "option 'secret' must be a string, or a list of them"},
      {{secret = 1}, "option 'secret' must be a string, or a list of them"},
      {{secret = SECRET, max_age = 0}, "option 'max_age'"},
      {{secret = SECRET, max_age = 1.5}, "option 'max_age'"},
      {{secret = SECRET, name = "a b"}, "bad cookie name"},
      {{secret = SECRET, domain = "a;b"}, "option 'domain'"},
      {{secret = SECRET, samesite = "x"}, "samesite must be"},
      {{secret = SECRET, samesite = "None", secure = false}, "samesite 'None' needs"},
      {{secret = SECRET, name = "__Host-s", secure = false}, "__Host%- needs"},
      {{secret = SECRET, store = {}}, "the store has no method 'load'"},
      {{secret = SECRET, secrets = {}}, "unknown option 'secrets'"},
    }
    for at, case in ipairs(refused) do
      it(("is refused %d: %s"):format(at, case[2]), function()
        local err = support.raised(site, case[1], {})
        assert.matches("session_spec.lua:%d+: .*" .. case[2], err)
      end)
    end

    it("is done once", function()
      local err = support.raised(function()
        local twice = app.new()
        twice:sessions{secret = SECRET}
        twice:sessions{secret = SECRET}
      end)
      assert.matches("session_spec.lua:%d+: this has been called already, at .*:%d+", err)
    end)

    it("is for all apps that are included", function()
      local root, shop, blog = app.new(), app.new(), app.new()
      shop:sessions{secret = SECRET}
      shop:get("/set", handlers["/set/<name>"])
      blog:get("/get", handlers["/get"])
      root:include(shop)
      root:include(shop)
      root:include(blog)
      root:freeze()
      local mine = {jar = {}, app = root}
      get(mine, "/set")
      assert.equal("nil", select(3, get(mine, "/get")))
      local other = app.new()
      other:sessions{}
      assert.error_matches(function() root:include(other) end, "have been set up at .*session_spec")
    end)

    it("is missed where it is missing", function()
      local mine = site(nil, handlers)
      assert.equal(500, (get(mine, "/get")))
      assert.equal("this app has no sessions: call app:sessions", mine.raised)
      assert.same({200, response.HTML, "plain"}, {get(mine, "/plain")})
    end)

    it("has a secret of the process without one, and says so", function()
      local mine = site({}, handlers)
      get(mine, "/set/ann")
      assert.equal("ann", select(3, get(mine, "/get")))
      assert.same({"warn"}, {support.logged[1][1]})
      assert.matches("app:sessions has no secret", support.logged[1][2])
    end)

    it("marks cookies as secure where that is needed", function()
      local cases = {{{}, false}, {{secure = true}, true}, {{name = "__Host-s"}, true}}
      for _, case in ipairs(cases) do
        case[1].secret = SECRET
        local _, head = get(site(case[1], handlers), "/set/ann")
        assert.equal(case[2], head:find("; Secure;", 1, true) ~= nil)
      end
    end)
  end)

  describe("with a store", function()
    local store

    before_each(function()
      store = session.memory(3)
      client = site({store = store}, handlers)
    end)

    local function count()
      local n = 0
      for _ in pairs(store.entries) do n = n + 1 end
      return n
    end

    it("keeps a number in the cookie only", function()
      get(client, "/set/ann")
      assert.equal(22, #client.jar.session)
      assert.equal("ann", select(3, get(client, "/get")))
      assert.equal("ann", json.decode(store:load(client.jar.session)).user)
      assert.same({}, support.logged)
    end)

    it("takes what is too large for a cookie", function()
      assert.equal(200, (get(client, "/large")))
    end)

    it("keeps its number until it is to have another", function()
      get(client, "/set/ann")
      local first = client.jar.session
      get(client, "/set/bob")
      assert.equal(first, client.jar.session)
      get(client, "/new")
      assert.not_equal(first, client.jar.session)
      assert.equal("bob", select(3, get(client, "/get")))
      assert.equal("nil", select(3, get(client, "/get", "session=" .. first)))
      assert.equal(1, count())
    end)

    it("does not take over a number that somebody made up", function()
      for _, id in ipairs{("A"):rep(22), "x", ("A"):rep(5000), "../../etc", ""} do
        client.jar.session = id
        get(client, "/set/ann")
        assert.not_equal(id, client.jar.session)
        assert.is_nil(store:load(id))
      end
    end)

    it("forgets what is cleared", function()
      get(client, "/set/ann")
      local id = client.jar.session
      get(client, "/clear")
      assert.is_nil(store:load(id))
      assert.same({}, client.jar)
    end)

    it("ends after its time", function()
      client = site({store = store, max_age = 100}, handlers)
      get(client, "/set/ann")
      travel(99)
      assert.equal("ann", select(3, get(client, "/get")))
      travel(100)
      assert.equal("nil", select(3, get(client, "/get")))
      assert.equal(0, count())
    end)

    it("has room for so many, the oldest of which go", function()
      local jars = {}
      for at = 1, 5 do
        client.jar = {}
        get(client, "/set/u" .. at)
        jars[at] = client.jar
      end
      assert.is_true(count() <= 3)
      client.jar = jars[5]
      assert.equal("u5", select(3, get(client, "/get")))
      client.jar = jars[1]
      assert.equal("nil", select(3, get(client, "/get")))
      for _ = 1, 100 do get(client, "/json") get(client, "/clear") end
      assert.is_true(store.last - store.first < 3)
    end)

    it("ends a request whose store fails", function()
      for _, name in ipairs{"load", "save"} do
        local broken = setmetatable({[name] = function() return nil, "no connection" end},
          {__index = store})
        local mine = site({store = broken}, handlers)
        mine.jar.session = ("A"):rep(22)
        assert.equal(500, (get(mine, "/set/ann")))
        assert.equal(("the session store cannot %s: no connection"):format(name), mine.raised)
      end
    end)
  end)

  describe("flash", function()
    local function flashing(options)
      return site({secret = SECRET}, {
        ["/flash"] = function(req)
          req:flash("saved")
          req:flash("oh no", "error")
          return "flash"
        end,
        ["/show"] = function(req)
          assert.same(req:flashed(options), req:flashed(options))
          return {shown = json.array(req:flashed(options))}
        end,
        ["/now"] = function(req) req:flash("now") return req:flashed()[1] end,
        ["/wrong"] = function(req) req:flash(nil) end,
      })
    end

    local function shown(client_)
      return json.decode(select(3, get(client_, "/show"))).shown
    end

    it("shows messages once", function()
      local mine = flashing()
      get(mine, "/flash")
      get(mine, "/flash")
      assert.same({"saved", "oh no", "saved", "oh no"}, shown(mine))
      assert.same({}, shown(mine))
      assert.equal(0, set_cookies(select(2, get(mine, "/show"))))
    end)

    it("shows them by category", function()
      local mine = flashing{with_categories = true}
      get(mine, "/flash")
      assert.same({{"message", "saved"}, {"error", "oh no"}}, shown(mine))
      mine = flashing{category_filter = {"error"}}
      get(mine, "/flash")
      assert.same({"oh no"}, shown(mine))
    end)

    it("shows those of the same request", function()
      local mine = flashing()
      assert.equal("now", select(3, get(mine, "/now")))
      assert.same({}, shown(mine))
    end)

    it("takes texts only", function()
      local mine = flashing()
      get(mine, "/wrong")
      assert.matches("session_spec.lua:%d+: req:flash: a string was expected, not a nil",
        mine.raised)
    end)
  end)
end)

describe("genet.crypto", function()
  it("encodes for URLs", function()
    for size = 0, 40 do
      local bytes = crypto.random(size)
      local text = crypto.encode64(bytes)
      assert.is_nil(text:find("[^%w_-]"))
      assert.equal(bytes, crypto.decode64(text))
    end
    for _, bad in ipairs{"A", "AAAAA", "A+", "A=", "A A", "A/"} do
      assert.is_nil(crypto.decode64(bad))
    end
  end)

  it("signs as RFC 4231 has it", function()
    local hex = crypto.hmac("Jefe", "what do ya want for nothing?"):gsub(".", function(char)
      return ("%02x"):format(char:byte())
    end)
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", hex)
  end)

  it("compares", function()
    assert.is_true(crypto.equal("", ""))
    assert.is_true(crypto.equal("ab", "ab"))
    assert.is_false(crypto.equal("ab", "ac"))
    assert.is_false(crypto.equal("ab", "abc"))
    local long = ("x"):rep(1000)
    assert.is_true(crypto.equal(long, ("x"):rep(1000)))
    for at = 1, 1000 do
      assert.is_false(crypto.equal(long, ("x"):rep(at - 1) .. "y" .. ("x"):rep(1000 - at)))
    end
  end)
end)
