-- scripts/notes.lua: each route, what is wrong with input, many at once, and a visit by browser.
local cjson = require "cjson"
local lfs = require "lfs"
local browser = require "tests.e2e.browser"
local picture = require "tests.e2e.picture"
local postgres = require "tests.e2e.postgres"
local support = require "tests.e2e.support"
local visitor = require "tests.e2e.visitor"

local API = "/notes/api/notes"
local JSON = {"Content-Type: application/json"}

local function small()
  return picture.png(4, 4, function(x, y) return 255 * x, 255 * y, 0 end)
end

local function hills(x, y)
  local near = y > 0.78 + 0.06 * math.sin(7 * x + 1)
  local far = y > 0.62 + 0.09 * math.sin(5 * x)
  if near then return 38, 84, 66 end
  if far then return 84, 132, 104 end
  if (x - 0.72) ^ 2 * 3 + (y - 0.3) ^ 2 < 0.012 then return 255, 226, 150 end
  return 150 + 90 * y, 186 + 30 * y, 220 - 30 * y
end

-- `after` is called once the server has stopped, whatever came of it.
local function cases(serve, after)
  local server, one

  setup(function() server = serve() end)
  teardown(function()
    local ok, problem = pcall(function() if server then server:stop() end end)
    if after then after() end
    if not ok then error(problem, 0) end
  end)
  before_each(function() one = visitor.new(server) end)

  local function api(method, target, given)
    local body = given ~= nil and (type(given) == "string" and given or cjson.encode(given)) or nil
    local answer = visitor.new(server):request(method, target, body and JSON, body)
    local ok, value = pcall(cjson.decode, answer.body)
    return answer.status, ok and value, answer.headers
  end

  local function uploads()
    local count = 0
    local ok, next_name, state = pcall(lfs.dir, server.scripts .. "/instance/uploads")
    if not ok then return 0 end
    for name in next_name, state do if name:sub(1, 1) ~= "." then count = count + 1 end end
    return count
  end

  local function list()
    return one:get("/notes/")
  end

  -- The number of a new note.
  local function add(title, fields)
    fields = fields or {}
    fields.title, fields.body = title, fields.body or "a body"
    local answer = one:post("/notes/new", fields)
    assert.equal(303, answer.status, answer.body)
    assert.equal("/notes/", answer.headers.location)
    return list().body:match('href="/notes/(%d+)"')
  end

  local function image_of(id)
    return one:get("/notes/" .. id).body:match('src="(/notes/images/[^"]+)"')
  end

  it("lists, adds, edits and deletes", function()
    local id = add("First", {body = "line one\nline two"})
    assert.truthy(list().body:find("<h2>First</h2>", 1, true))
    assert.truthy(one:get("/notes/" .. id).body:find("line one\nline two</textarea>", 1, true))
    assert.equal(303, one:post("/notes/" .. id, {title = "Changed", body = "x"}).status)
    assert.is_nil(list().body:find("<h2>First</h2>", 1, true))
    assert.equal(303, one:post(("/notes/%s/delete"):format(id), {}, "/notes/").status)
    assert.is_nil(list().body:find("Changed", 1, true))
    assert.equal(404, one:get("/notes/" .. id).status)
    assert.equal(404, one:post(("/notes/%s/delete"):format(id), {}, "/notes/new").status)
  end)

  it("searches titles and texts, whatever their case, and takes nothing for a pattern", function()
    add("Pears and 100% apples", {body = "a_b!"})
    local function finds(words)
      return one:get("/notes/?q=" .. words).body:find("Pears and", 1, true) ~= nil
    end
    for _, words in ipairs{"pears", "PEARS", "100%25", "a_b", "b!", "", "s+a"} do
      assert.is_true(finds(words), words)
    end
    for _, words in ipairs{"quinces", "100_", "axb", "%25x", "'", "%00", "%FF",
      ("x"):rep(1000)} do
      assert.is_false(finds(words), words)
    end
    assert.truthy(one:get("/notes/?q=%3Cb%3E").body:find("“&lt;b&gt;”", 1, true))
  end)

  for what, case in pairs{
    ["no title"] = {{title = "", body = "kept"}, "Title must not be empty."},
    ["a blank title"] = {{title = "  \r\n", body = "kept"}, "Title must not be empty."},
    ["a long title"] = {{title = ("ü"):rep(201), body = "kept"}, "at most 200 characters"},
    ["a long text"] = {{title = "t", body = "kept" .. ("x"):rep(20001)}, "at most 20000"},
    ["a title in another encoding"] = {{title = "\255", body = "kept"}, "Title must be UTF-8."},
    ["a NUL"] = {{title = "a\0b", body = "kept"}, "Title must be UTF-8."},
  } do
    it("shows the form again for " .. what, function()
      local answer = one:post("/notes/new", case[1])
      assert.equal(422, answer.status)
      assert.truthy(answer.body:find(case[2], 1, true))
      assert.truthy(answer.body:find("kept", 1, true))
    end)
  end

  it("escapes what people write", function()
    add("<script>1</script>", {body = "</textarea><img src=x onerror=1>\"'"})
    assert.is_nil(list().body:find("<script>1", 1, true))
    assert.is_nil(list().body:find("<img src=x", 1, true))
    assert.equal("default-src 'self'; frame-ancestors 'none'",
      list().headers["content-security-policy"])
  end)

  it("refuses forms from elsewhere", function()
    local id = add("Mine")
    for _, path in ipairs{"/notes/new", "/notes/" .. id, ("/notes/%s/delete"):format(id)} do
      assert.equal(400, one:post(path, {title = "forged"}, false).status)
      assert.equal(400, visitor.new(server):post(path, {title = "forged"}, false).status)
    end
    assert.is_nil(list().body:find("forged", 1, true))
  end)

  it("keeps a picture, and serves it as what it is", function()
    local data = small()
    local id = add("With a picture",
      {image = {filename = "../../evil.html", type = "text/html", data = data}})
    local path = image_of(id)
    assert.matches("^/notes/images/[%w_-]+%.png$", path)
    local answer = one:get(path)
    assert.equal(200, answer.status)
    assert.equal(data, answer.body)
    assert.equal("image/png", answer.headers["content-type"])
    assert.equal("nosniff", answer.headers["x-content-type-options"])
    assert.equal(303, one:post("/notes/" .. id, {title = "Same picture", body = ""}).status)
    assert.equal(path, image_of(id))
    local before = uploads()
    one:post("/notes/" .. id, {title = "t", image = {filename = "b.gif", type = "x",
      data = "GIF89a" .. ("y"):rep(50)}})
    assert.matches("%.gif$", image_of(id))
    assert.equal(404, one:get(path).status)
    assert.equal(before, uploads())
    one:post("/notes/" .. id, {title = "t", remove_image = "on"})
    assert.is_nil(image_of(id))
    assert.equal(before - 1, uploads())
  end)

  it("removes the picture of a note that is deleted", function()
    local before = uploads()
    local id = add("Short-lived", {image = {filename = "a.png", type = "x", data = small()}})
    assert.equal(before + 1, uploads())
    one:post(("/notes/%s/delete"):format(id), {}, "/notes/")
    assert.equal(before, uploads())
  end)

  for what, data in pairs{
    ["a page"] = "<html><script>alert(1)</script>",
    ["SVG"] = "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    ["a script"] = "#!/bin/sh\n",
    ["almost a PNG"] = "\137PNG\r\n\26",
    ["a PNG after something else"] = " " .. small(),
  } do
    it("takes no picture that is " .. what, function()
      local before = uploads()
      local answer = one:post("/notes/new", {title = "t", body = "kept",
        image = {filename = "a.png", type = "image/png", data = data}})
      assert.equal(422, answer.status)
      assert.truthy(answer.body:find("must be a PNG, JPEG, GIF or WebP", 1, true))
      assert.truthy(answer.body:find("kept", 1, true))
      assert.equal(before, uploads())
    end)
  end

  it("takes a picture of 5 MB, and none that is larger", function()
    local most = 5 << 20
    local data = small()
    data = data .. ("x"):rep(most - #data)
    local path = image_of(add("Large", {image = {filename = "a.png", type = "x", data = data}}))
    assert.equal(data, one:get(path).body)
    local answer = one:post("/notes/new",
      {title = "t", image = {filename = "a.png", type = "x", data = data .. "x"}})
    assert.equal(422, answer.status)
    assert.truthy(answer.body:find("at most 5 MB", 1, true))
    local client = server:connect()
    finally(function() client:close() end)
    client:send("POST /notes/new HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n"
      .. "Content-Type: multipart/form-data; boundary=x\r\n\r\n")
    assert.equal(413, client:response().status)
  end)

  it("takes an empty file for none", function()
    local id = add("No file", {image = {filename = "", type = "application/octet-stream",
      data = ""}})
    assert.is_nil(image_of(id))
  end)

  for _, path in ipairs{"../notes.db", "..%2fnotes.db", "%2e%2e/notes.db", "..%2f..%2fnotes.lua",
    "../secret", "..%2fsecret", "%2fetc%2fpasswd", "..%5c..%5csecret", ".png", "", "x.png",
    "....//secret", "%00", "..%00.png"} do
    it("gives nothing away for /images/" .. path, function()
      local answer = one:get("/notes/images/" .. path)
      assert.is_true(answer.status == 404 or answer.status == 400, tostring(answer.status))
    end)
  end

  it("speaks JSON", function()
    local status, note, headers = api("POST", API, {title = " By JSON ", body = "b"})
    assert.equal(201, status)
    assert.equal("By JSON", note.title)
    assert.equal(cjson.null, note.image)
    assert.equal(("%s/%d"):format(API, note.id), headers.location)
    assert.same(note, select(2, api("GET", headers.location)))
    local all
    status, all = api("GET", API .. "?q=by+json")
    assert.equal(200, status)
    assert.same({note}, all.notes)
    status, note = api("PUT", headers.location, {title = "Changed"})
    assert.equal(200, status)
    assert.equal("Changed", note.title)
    assert.equal("", note.body)
    assert.equal(204, (api("DELETE", headers.location)))
    assert.equal(404, (api("GET", headers.location)))
    assert.equal(404, (api("DELETE", headers.location)))
    assert.equal(404, (api("PUT", headers.location, {title = "x"})))
    assert.equal('{"notes":[]}', one:get(API .. "?q=nothing+like+it").body)
  end)

  for what, case in pairs{
    ["no title"] = {{}, 422, "problems"},
    ["a title that is a number"] = {{title = 5}, 422, "problems"},
    ["a text that is an object"] = {{title = "t", body = {a = 1}}, 422, "problems"},
    ["a null"] = {"null", 422, "problems"},
    ["an array"] = {"[1]", 422, "problems"},
    ["a title of null"] = {'{"title":null}', 422, "problems"},
    ["half of JSON"] = {'{"title":', 400, "error"},
    ["nothing"] = {"", 400, "error"},
    ["much depth"] = {('{"title":'):rep(2000), 400, "error"},
  } do
    it("answers by JSON what is wrong with " .. what, function()
      local status, value = api("POST", API, case[1])
      assert.equal(case[2], status)
      assert.truthy(value[case[3]])
    end)
  end

  it("answers by JSON that a body is none", function()
    local answer = visitor.new(server):request("POST", API, {"Content-Type: text/x"}, "x")
    assert.equal(415, answer.status)
    assert.truthy(cjson.decode(answer.body).error)
  end)

  it("keeps what 50 send at once", function()
    local size = support.crowd_size(50)
    local asked = {}
    for at = 1, size do
      asked[at] = server:connect()
      local body = cjson.encode{title = "crowd " .. at}
      asked[at]:send(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        .. "Content-Length: %d\r\n\r\n%s"):format(API, #body, body))
    end
    local seen = {}
    for _, client in ipairs(asked) do
      local answer = client:response()
      assert.equal(201, answer.status, answer.body)
      seen[cjson.decode(answer.body).id] = true
      client:close()
    end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.equal(size, count)
    assert.equal(size, #select(2, api("GET", API .. "?q=crowd")).notes)
  end)

  return function() return server end
end

describe("the notes", function()
  local get = cases(visitor.serve)

  it("tell every window of a change", function()
    local server = get()
    local news = server:ask("/notes/events")
    finally(function() news:close() end)
    assert.equal("text/event-stream", news:read_head().headers["content-type"])
    local answer = visitor.new(server):request("POST", API, JSON, '{"title":"news"}')
    local id = cjson.decode(answer.body).id
    local event = news:read_until("the event", function(buffer)
      return buffer:match("data: (%d+)")
    end)
    assert.equal(("%d"):format(id), event)
  end)

  it("keep a message for a page that is looked at", function()
    local one = visitor.new(get())
    one:post("/notes/new", {title = "flash", body = ""})
    assert.is_nil(one:get("/notes/", {"X-Refresh: 1"}).body:find("has been saved", 1, true))
    assert.truthy(one:get("/notes/").body:find("has been saved", 1, true))
    assert.is_nil(one:get("/notes/").body:find("has been saved", 1, true))
  end)

  it("are used by browser, in two windows", function()
    local server = visitor.serve()
    local picture_file = server.directory .. "/hills.png"
    support.write_file(picture_file, picture.png(640, 360, hills))
    local ann = browser.start()
    finally(function() ann:quit() server:stop() end)
    local bob = ann:another()
    local home = ("http://%s:%d/notes/"):format(server.host, server.port)
    bob:open(home)
    bob:wait_for_text("#notes", "There are no notes yet.")
    local function write(title, body, file)
      ann:open(home .. "new")
      ann:type("[name=title]", title)
      ann:type("[name=body]", body)
      if file then ann:type("[name=image]", file) end
      ann:click(".sheet .button")
      ann:wait_for_text("#notes", title)
    end
    write("Shopping", "Bread\nOlives\nA bicycle pump")
    bob:wait_for_text("#notes", "Shopping")
    write("Walk over the hills", "Start early, the last bus back leaves at seven.", picture_file)
    bob:wait_for_text("#notes", "Walk over the hills")
    write("Ideas", "A clock that is right twice a day, but chooses when.")
    write("Reading",
      "Sterne: Tristram Shandy\nPerec: Life, a User's Manual\nCalvino: Invisible Cities")
    write("Call the plumber", "The tap in the kitchen drips again.")
    ann:wait_until("the picture", function(window)
      return window:run("return document.querySelector('.note img').naturalWidth") == 640
    end)
    ann:resize(1000, 700)
    local shot = os.getenv("GENET_E2E_SCREENSHOT") or server.directory .. "/notes.png"
    ann:screenshot(shot)
    assert.truthy(support.read_file(shot):find("^\137PNG"))
    ann:click("[aria-label='Edit Ideas']")
    ann:type("[name=title]", ", two of them")
    ann:click(".sheet .button")
    bob:wait_for_text("#notes", "Ideas, two of them")
    ann:click("[aria-label='Delete Shopping']")
    bob:wait_until("Shopping to be gone", function(window)
      return not window:text("#notes"):find("Shopping", 1, true)
    end)
    bob:type("[name=q]", "tristram\n")
    bob:wait_until("one note", function(window) return window:count(".note") == 1 end)
    bob:wait_for_text("#notes", "Reading")
  end)
end)

describe("the notes on PostgreSQL", function()
  local database

  cases(function()
    database = postgres.start()
    support.write_file(database.directory .. "/suppressions", "leak:CRYPTO_zalloc\n")
    return visitor.serve{env = {
      GENET_NOTES_DATABASE = ("postgres://%s:in%%20the%%20test@127.0.0.1:%d/postgres")
        :format(database.user, database.port),
      LSAN_OPTIONS = "print_suppressions=0:suppressions=" .. database.directory .. "/suppressions",
    }}
  end, function() if database then database:stop() end end)
end)
