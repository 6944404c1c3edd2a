require "support"
local peers = require "genet.debugpage.peers"
local render = require "genet.debugpage.render"
local repr = require "genet.debugpage.repr"
local secrets = require "genet.debugpage.secrets"
local source = require "genet.debugpage.source"
local support = require "support"

describe("genet.debugpage.repr", function()
  local itself = {1}
  itself.me = itself
  local forbidden = setmetatable({a = 1}, {
    __index = error, __tostring = error, __pairs = error, __len = error, __name = "thing",
    __eq = error, __metatable = "locked",
  })
  local cases = {
    {"nil", nil, "nil"},
    {"a boolean", true, "true"},
    {"numbers", {1, 2.5, -0.0}, "{1, 2.5, -0.0}"},
    {"a string", "a\n\"b\"\\", '"a\\n\\"b\\"\\\\"'},
    {"bytes", "\255\0\27", '"\\xff\\x00\\x1b"'},
    {"characters", "héllo", '"héllo"'},
    {"a list with names", {1, 2, b = 3, a = {}}, "{1, 2, a = {}, b = 3}"},
    {"odd keys", {[true] = 1, ["a b"] = 2, [0] = 3}, '{["a b"] = 2, [0] = 3, [true] = 1}'},
    {"a table that holds itself", itself, "{1, me = {(itself)}}"},
    {"what lies deep", {{{{}}, {{1}}}}, "{{{{}}, {{...}}}}"},
    {"an object, without asking it", forbidden, "thing {a = 1}"},
    {"secrets", {password = "x", user = "ann"}, '{password = ********, user = "ann"}'},
    {"a C function", print, "function: C"},
    {"a file", io.stdout, "FILE*: "},
    {"a coroutine", coroutine.create(print), "thread: suspended"},
    {"a module by its name", {repr, string}, "{module: genet.debugpage.repr, module: string}"},
  }
  for _, case in ipairs(cases) do
    it("shows " .. case[1], function()
      local text = repr.of(case[2])
      assert.equal(case[3], case[1] == "a file" and text:sub(1, #case[3]) or text)
    end)
  end

  it("is bounded", function()
    local wide, deep = {}, {}
    for at = 1, 100000 do wide["key" .. at] = ("x"):rep(1000) end
    for _ = 1, 1000 do deep = {deep, deep, deep} end
    assert.is_true(#repr.of(wide) < 6000)
    assert.is_true(#repr.of(deep) < 6000)
    assert.equal(('"%s"... (1000000 bytes)'):format(("é"):rep(100)), repr.of(("é"):rep(500000)))
    assert.equal("{" .. ("1, "):rep(20) .. "...}", repr.of({table.unpack((function()
      local list = {}
      for at = 1, 50 do list[at] = 1 end
      return list
    end)())}))
  end)

  it("masks a variable by its name", function()
    assert.equal("********", repr.of("x", "api_token"))
    assert.equal("nil", repr.of(nil, "api_token"))
  end)
end)

describe("genet.debugpage.secrets", function()
  for _, name in ipairs{"password", "DB_PASSWD", "X-Api-Key", "apiKey", "secret", "Authorization",
      "Proxy-Authorization", "Cookie", "Set-Cookie", "csrf_token", "private_key", "pwd"} do
    it("masks " .. name, function() assert.is_true(secrets.is(name)) end)
  end
  for _, name in ipairs{"key", "keys", "user", "monkey", "compass", "author", 1, true} do
    it("shows " .. tostring(name), function() assert.is_false(secrets.is(name)) end)
  end
end)

describe("genet.debugpage.source", function()
  local function numbers(lines)
    local list = {}
    for at, line in ipairs(lines) do list[at] = (line.marked and ">" or "") .. line.number end
    return table.concat(list, " ")
  end

  local text = ("line\n"):rep(12)
  for _, case in ipairs{{1, ">1 2 3 4 5"}, {6, "2 3 4 5 >6 7 8 9 10"}, {12, "8 9 10 11 >12"},
      {13, ""}} do
    it("gives the lines around line " .. case[1], function()
      assert.equal(case[2], numbers(source.of_text(text, case[1])))
    end)
  end

  it("gives nothing of what cannot be read", function()
    assert.same({}, source.of_file("/nowhere", 1))
    assert.same({}, source.of_file("/", 1))
    assert.same({}, source.of_template(nil, "page.html", 1))
  end)
end)

describe("genet.debugpage.peers", function()
  local exchange = require "genet.exchange"
  local addr = exchange.remote_addr
  after_each(function() exchange.remote_addr = addr end)

  for _, case in ipairs{
    {"127.0.0.1", nil, true}, {"127.8.9.1", nil, true}, {"::1", nil, true},
    {"::ffff:127.0.0.1", nil, true}, {"192.0.2.7", nil, false}, {"unix:", nil, false},
    {"unix:", "unix", true}, {"192.0.2.7", "192.0.2.0/24", true}, {"192.0.3.7", "any", true},
    {"192.0.3.7", "192.0.2.0/24,10.0.0.1", false}, {"10.0.0.1", "192.0.2.0/24,10.0.0.1", true},
  } do
    local peer, text, expected = table.unpack(case, 1, 3)
    it(("tells %s, with %s"):format(peer, tostring(text)), function()
      exchange.remote_addr = function() return peer, 1 end
      assert.equal(expected, peers.may_see(assert(peers.parse(text)), support.exchange()))
    end)
  end

  it("refuses what is no range", function()
    assert.same({nil, "'x' is not an address, ADDR/BITS, unix or any"}, {peers.parse("x")})
  end)
end)

describe("genet.debugpage.render", function()
  local function shown()
    return {
      type = "error", message = "<b>bad</b>", causes = {}, generation = 3, genet = "1", lua = "Lua",
      frames = {
        {kind = "c", title = "[C]: error"},
        {kind = "lua", title = "f", file = "a&b.lua", line = 2,
          lines = {{number = 2, text = "x < y", marked = true}},
          locals = {{name = "x", value = "'\""}}, upvalues = {}},
        {kind = "skipped", count = 7},
        {kind = "framework", title = "g", file = "g.lua", line = 1, lines = {}},
        {kind = "c", title = "[C]: pcall"},
        {kind = "framework", title = "h", file = "g.lua", line = 1, lines = {}},
      },
    }
  end

  it("makes a page of which all is escaped", function()
    local page = render.html(shown())
    for _, wanted in ipairs{"&lt;b&gt;bad&lt;/b&gt;", "a&amp;b.lua:2", "x &lt; y", "&#39;&#34;",
        "7 more levels", "3 in the framework"} do
      assert.truthy(page:find(wanted, 1, true), wanted .. " in " .. page)
    end
    assert.is_nil(page:find("<b>", 1, true))
  end)

  it("makes text and JSON", function()
    assert.truthy(render.text(shown()):find("a&b.lua:2: f\n  >    2 | x < y\n", 1, true))
    local decoded = require("genet.json").decode(render.json(shown()))
    assert.equal("<b>bad</b>", decoded.error.message)
    assert.equal(6, #decoded.frames)
  end)
end)
