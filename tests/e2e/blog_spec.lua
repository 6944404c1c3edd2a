-- scripts/blog.lua: the tests of Flask's tutorial application, and a visit by browser.
local browser = require "tests.e2e.browser"
local support = require "tests.e2e.support"
local visitor = require "tests.e2e.visitor"

describe("the blog", function()
  local server, users = nil, 0

  setup(function() server = visitor.serve() end)
  teardown(function() if server then server:stop() end end)

  local function has(answer, text)
    assert.equal(200, answer.status)
    assert.truthy(answer.body:find(text, 1, true), text .. " is missing in " .. answer.body)
  end

  local function lacks(answer, text)
    assert.is_nil(answer.body:find(text, 1, true))
  end

  local function leads_to(answer, target)
    assert.equal(303, answer.status, answer.body)
    assert.equal(target, answer.headers.location)
  end

  -- Somebody who has registered and logged in.
  local function user()
    users = users + 1
    local one = visitor.new(server)
    one.name = "user" .. users
    local fields = {username = one.name, password = "secret"}
    leads_to(one:post("/blog/auth/register", fields), "/blog/auth/login")
    leads_to(one:post("/blog/auth/login", fields), "/blog/")
    return one
  end

  -- The number of a new post of somebody.
  local function post_of(one, title, body)
    leads_to(one:post("/blog/create", {title = title, body = body or "a body"}), "/blog/")
    return one:get("/blog/").body:match('href="/blog/(%d+)/update"')
  end

  it("registers somebody", function()
    local one = visitor.new(server)
    has(one:get("/blog/auth/register"), "<title>Register - Flaskr</title>")
    leads_to(one:post("/blog/auth/register", {username = "a", password = "a"}), "/blog/auth/login")
  end)

  for _, case in ipairs{
    {"", "", "Username is required."},
    {"", "a", "Username is required."},
    {"b", "", "Password is required."},
    {"taken", "test", "User taken is already registered."},
  } do
    it(("does not register '%s' with '%s'"):format(case[1], case[2]), function()
      visitor.new(server):post("/blog/auth/register", {username = "taken", password = "x"})
      has(visitor.new(server):post("/blog/auth/register",
        {username = case[1], password = case[2]}), case[3])
    end)
  end

  it("keeps no password as it is", function()
    visitor.new(server):post("/blog/auth/register", {username = "c", password = "PLAINLY"})
    local kept = support.read_file(server.scripts .. "/instance/blog.db")
      .. support.read_file(server.scripts .. "/instance/blog.db-wal")
    assert.truthy(kept:find("scrypt:", 1, true))
    assert.is_nil(kept:find("PLAINLY", 1, true))
  end)

  it("logs somebody in, and out", function()
    local one = user()
    has(one:get("/blog/"), one.name)
    has(one:get("/blog/"), "Log Out")
    leads_to(one:post("/blog/auth/logout", {}, "/blog/"), "/blog/")
    lacks(one:get("/blog/"), "Log Out")
  end)

  for _, case in ipairs{{"nobody", "test"}, {"known", "wrong"}, {"known", ""}} do
    it(("does not log '%s' in with '%s'"):format(case[1], case[2]), function()
      visitor.new(server):post("/blog/auth/register", {username = "known", password = "test"})
      local one = visitor.new(server)
      has(one:post("/blog/auth/login", {username = case[1], password = case[2]}),
        "Incorrect username or password.")
      lacks(one:get("/blog/"), "Log Out")
    end)
  end

  it("shows everybody the posts, and their authors where to edit them", function()
    local one, other = user(), visitor.new(server)
    has(other:get("/blog/"), "Log In")
    has(other:get("/blog/"), "Register")
    local id = post_of(one, "test title", "test\nbody")
    has(one:get("/blog/"), "by " .. one.name .. " on " .. os.date("!%Y-"))
    has(one:get("/blog/"), "test\nbody")
    has(one:get("/blog/"), ('href="/blog/%s/update"'):format(id))
    has(other:get("/blog/"), "test title")
    lacks(other:get("/blog/"), ('href="/blog/%s/update"'):format(id))
  end)

  it("asks strangers to log in", function()
    local id = post_of(user(), "a post")
    for _, name in ipairs{"create", id .. "/update", id .. "/delete"} do
      local path = "/blog/" .. name
      leads_to(visitor.new(server):post(path, {title = "mine"}, "/blog/auth/login"),
        "/blog/auth/login")
    end
    leads_to(visitor.new(server):get("/blog/create"), "/blog/auth/login")
  end)

  it("lets nobody touch what others have written", function()
    local id = post_of(user(), "untouched")
    local other = user()
    for _, verb in ipairs{"update", "delete"} do
      local answer = other:post(("/blog/%s/%s"):format(id, verb), {title = "mine"}, "/blog/create")
      assert.equal(403, answer.status)
    end
    assert.equal(403, other:get(("/blog/%s/update"):format(id)).status)
    lacks(other:get("/blog/"), ('href="/blog/%s/update"'):format(id))
    has(other:get("/blog/"), "untouched")
  end)

  for _, path in ipairs{"/blog/999999/update", "/blog/999999/delete",
    "/blog/9223372036854775807/update"} do
    it("knows no " .. path, function()
      assert.equal(404, user():post(path, {title = "x"}, "/blog/create").status)
    end)
  end

  it("creates, updates and deletes", function()
    local one = user()
    has(one:get("/blog/create"), "New Post")
    local id = post_of(one, "created")
    local update = ("/blog/%s/update"):format(id)
    has(one:get(update), "created")
    leads_to(one:post(update, {title = "updated", body = ""}), "/blog/")
    has(one:get("/blog/"), "updated")
    leads_to(one:post(("/blog/%s/delete"):format(id), {}, update), "/blog/")
    assert.equal(404, one:get(update).status)
  end)

  it("wants a title", function()
    local one = user()
    has(one:post("/blog/create", {title = "", body = "kept"}), "Title is required.")
    has(one:post("/blog/create", {title = "", body = "kept"}), "kept</textarea>")
    local id = post_of(one, "with a title")
    has(one:post(("/blog/%s/update"):format(id), {title = "", body = ""}), "Title is required.")
  end)

  it("escapes what people write", function()
    local one = user()
    post_of(one, "<script>alert(1)</script>", "</textarea><b>'\"&")
    local page = one:get("/blog/")
    lacks(page, "<script>")
    has(page, "&lt;script&gt;alert(1)&lt;/script&gt;")
    lacks(page, "<b>")
  end)

  it("takes odd bytes, and statements, as texts", function()
    local one = user()
    for _, title in ipairs{"'; drop table post; --", "a\0b", "\255\254", ("x"):rep(100000)} do
      leads_to(one:post("/blog/create", {title = title, body = title}), "/blog/")
    end
    assert.equal(200, one:get("/blog/").status)
  end)

  it("refuses forms from elsewhere", function()
    local one = user()
    assert.equal(400, one:post("/blog/create", {title = "forged"}, false).status)
    assert.equal(400, one:post("/blog/auth/logout", {}, false).status)
    lacks(one:get("/blog/"), "forged")
    assert.equal(405, one:get("/blog/auth/logout").status)
  end)

  it("keeps everything when it starts again", function()
    local again = visitor.serve()
    finally(function() again:stop() end)
    local one = visitor.new(again)
    one:post("/blog/auth/register", {username = "lasting", password = "x"})
    one:post("/blog/auth/login", {username = "lasting", password = "x"})
    again:signal("TERM")
    assert.equal(0, again:wait())
    local later = support.serve{path = again.scripts}
    finally(function() later:stop() end)
    one.server = later
    has(one:get("/blog/"), "lasting")
  end)

  it("is used by browser", function()
    local window = browser.start()
    finally(function() window:quit() end)
    local function press() window:click(".content input[type=submit]") end
    window:open(("http://%s:%d/blog/"):format(server.host, server.port))
    window:click("a[href$=register]")
    window:type("#username", "Grace")
    window:type("#password", "a long secret")
    press()
    window:wait_for_text(".content > header", "Log In")
    window:type("#username", "Grace")
    window:type("#password", "a long secret")
    press()
    window:wait_for_text("nav", "Grace")
    window:click("a[href$=create]")
    window:type("#title", "First words")
    window:type("#body", "Written by hand.\nTwo lines.")
    press()
    window:wait_for_text(".post", "First words")
    assert.truthy(window:text(".body"):find("Written by hand.\nTwo lines.", 1, true))
    window:click(".post .action")
    window:wait_for_text(".content > header", "Edit")
    assert.equal("Written by hand.\nTwo lines.",
      window:run("return document.querySelector('#body').value"))
    window:type("#title", ", and more")
    press()
    window:wait_for_text(".post", "First words, and more")
    window:click(".post .action")
    window:click(".danger")
    window:wait_for_text(".content > header", "Posts")
    assert.is_nil(window:text("body"):find("First words", 1, true))
    window:click("button.link")
    window:wait_for_text("nav", "Log In")
  end)
end)
