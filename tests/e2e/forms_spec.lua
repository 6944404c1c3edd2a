-- Forms, files, sessions and what proxies tell, as curl sends them to the real binary.
local cjson = require "cjson"
local lfs = require "lfs"
local listening = require "tests.e2e.listening"
local support = require "tests.e2e.support"

local quote = support.quote

local script = [[
local genet = require "genet"
local json = require "genet.json"
local password = require "genet.password"
local app = genet.app()
local dir = os.getenv "FORMS_DIR"
local users = {ann = password.hash("correct horse", "scrypt:1024:8:1")}

app:sessions{secret = "a secret of the tests", max_age = 3600}
app:protect_forms{exempt = {"/upload", "/parts", "/form", "/json", "/keep", "/slow"}}

app:post("/form", function(req)
  local fields, files = {}, {}
  for name, value in pairs(req.form) do fields[name] = value end
  for name, file in pairs(req.files) do
    files[name] = {file.filename, file.content_type, file.size, file:safe_name(), file:read()}
  end
  return {fields = fields, files = files, tags = json.array(req.form:getlist("tag"))}
end)
app:post("/upload", {max_body = 1 << 31}, function(req)
  local file = req.files.file
  assert(file:save(dir .. "/saved"))
  return {size = file.size, path = file.path}
end)
app:post("/parts", {max_body = 1 << 31}, function(req)
  local sizes, largest = {}, 0
  for part in req:parts() do
    local size = 0
    for chunk in part:chunks() do
      size = size + #chunk
      largest = math.max(largest, #chunk)
    end
    sizes[part.name] = size
  end
  return {sizes = sizes, largest = largest}
end)
app:post("/keep", function(req)
  local tool <close> = assert(io.popen("wc -c <" .. req.files.file.path))
  return (tool:read("a"):gsub("%s", ""))
end)
app:post("/slow", {max_body = 1 << 31}, function(req) return tostring(req.files.file.size) end)
app:post("/json", function(req) return {got = req:json{max_size = 1000, max_depth = 5}} end)

app:get("/", function(req)
  local name = req.session.user
  return ("%s|%s"):format(name or "nobody", table.concat(req:flashed(), ","))
end)
app:get("/login", function(req) return req:csrf_token() end)
app:post("/login", function(req)
  if not password.verify(users[req.form.user], req.form.password or "") then
    req:flash("wrong")
    genet.abort(403, "wrong name or password")
  end
  req.session:regenerate()
  req.session.user = req.form.user
  req:flash("welcome")
  return genet.redirect("/", 303):set_cookie("theme", "dark blue", {max_age = 60})
end)
app:post("/logout", function(req)
  req.session:clear()
  return genet.redirect("/", 303)
end)
app:get("/forget", function() return genet.response{body = "gone"}:delete_cookie("theme") end)
app:get("/theme", function(req) return req.cookies.theme or "none" end)
app:get("/who", function(req)
  return ("%s %s %s"):format(req.remote_addr, req.scheme, req.host)
end)
return app
]]

-- Runs curl; returns the status and what it wrote.
local function curl(arguments)
  local pipe = assert(io.popen("curl -sS --max-time " .. support.patience
    .. " -w '\\n%{http_code}' " .. arguments .. " 2>&1"))
  local text = pipe:read("a")
  pipe:close()
  local body, status = text:match("^(.*)\n(%d+)$")
  return tonumber(status), body
end

describe("forms", function()
  local server, dir

  setup(function()
    dir = support.directory{small = "one\ntwo", ["quo te.txt"] = "q", empty = ""}
    lfs.mkdir(dir .. "/tmp")
    server = support.serve{script = script, args = {"--trusted-proxy", "127.0.0.0/8"}, env = {
      FORMS_DIR = dir,
      TMPDIR = dir .. "/tmp",
      ASAN_OPTIONS = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1",
    }}
  end)
  teardown(function()
    server:stop()
    support.remove(dir)
  end)

  local function url(path)
    return quote(("http://%s:%d%s"):format(server.host, server.port, path))
  end

  local function post(path, arguments)
    local status, body = curl(arguments .. " " .. url(path))
    if status == 200 and body:sub(1, 1) == "{" then return status, cjson.decode(body) end
    return status, body
  end

  describe("as curl sends them", function()
    it("have fields", function()
      local status, got = post("/form", "-d name=Ann+B -d tag=a --data-urlencode 'tag=b&c'")
      assert.equal(200, status)
      assert.same({name = "Ann B", tag = "a"}, got.fields)
      assert.same({"a", "b&c"}, got.tags)
    end)

    it("have files", function()
      local status, got = post("/form",
        ("-F name=Ann -F tag=a -F tag=b -F 'f=@%s/small;type=text/x'"):format(dir))
      assert.equal(200, status)
      assert.same({name = "Ann", tag = "a"}, got.fields)
      assert.same({"a", "b"}, got.tags)
      assert.same({f = {"small", "text/x", 7, "small", "one\ntwo"}}, got.files)
    end)

    it("have names with quotes, blanks, and paths", function()
      local names = {'a "quoted" name', "back\\slash", "../../etc/passwd", "na\xc3\xafve; x=y"}
      for _, flag in ipairs{"", "--form-escape"} do
        for _, name in ipairs(names) do
          local escaped = name:gsub('["\\]', "\\%0")
          local status, got = post("/form", ("%s -F %s"):format(flag,
            quote(('f=@%s/small;filename="%s"'):format(dir, escaped))))
          assert.equal(200, status)
          assert.equal(name, got.files.f[1])
          assert.is_nil(got.files.f[4]:find('["/\\ ]'))
        end
      end
    end)

    it("may be empty", function()
      local status, got = post("/form", ("-F 'f=@%s/empty'"):format(dir))
      assert.equal(200, status)
      assert.same({"empty", "application/octet-stream", 0, "empty", ""}, got.files.f)
    end)

    it("are refused when they are broken or too large", function()
      local head = "-H 'Content-Type: multipart/form-data; boundary=b' --data-binary "
      local part = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
      assert.equal(200, (post("/form", head .. quote(part .. "--b--"))))
      assert.equal(400, (post("/form", head .. quote(part))))
      assert.equal(400, (post("/form", head .. quote("--b\r\n\r\n1\r\n--b--"))))
      assert.equal(400, (post("/form", "-H 'Content-Type: multipart/form-data' -d x")))
      assert.equal(413, (post("/form", "-d " .. quote("a" .. ("&a"):rep(1000)))))
    end)

    it("leave nothing behind", function()
      local before = server:settled_descriptors()
      local many = {}
      for at = 1, 20 do many[at] = ("-F 'f%d=@%s/small'"):format(at, dir) end
      for _ = 1, 5 do assert.equal(200, (post("/form", table.concat(many, " ")))) end
      support.wait_until("the descriptors to close",
        function() return server:descriptors() <= before end)
    end)

    it("lend their files to other programs", function()
      assert.same({200, "7"}, {post("/keep", ("-F 'file=@%s/small'"):format(dir))})
    end)
  end)

  describe("with large files", function()
    local size = math.max(64, math.floor(200 * support.scale)) * 1024 * 1024

    local function high_water()
      local status = support.read_file("/proc/" .. server.pid .. "/status")
      return tonumber(status:match("VmHWM:%s*(%d+)")) * 1024
    end

    setup(function()
      local unit = ("some text\r\n--\r\n--b\r\n\0\255"):rep(50000):sub(1, 1024 * 1024 - 1) .. "\r"
      local file = assert(io.open(dir .. "/large", "wb"))
      for _ = 1, size // #unit do file:write(unit) end
      file:close()
    end)

    local function in_little_memory(fn)
      assert.equal(200, (post("/form", ("-F 'f=@%s/small'"):format(dir))))
      local before = high_water()
      fn()
      local grown = high_water() - before
      assert.is_true(grown < size / 4, grown .. " bytes")
    end

    it("keep them on disk", function()
      in_little_memory(function()
        local status, got = post("/upload", ("-F a=1 -F 'file=@%s/large'"):format(dir))
        assert.equal(200, status)
        assert.equal(size, got.size)
        assert.is_true(os.execute(("cmp -s %s/large %s/saved"):format(dir, dir)))
        assert.is_nil(lfs.attributes(got.path))
      end)
      os.remove(dir .. "/saved")
    end)

    it("hand them over chunk by chunk", function()
      in_little_memory(function()
        local status, got = post("/parts", ("-F 'file=@%s/large' -F b=12"):format(dir))
        assert.equal(200, status)
        assert.same({file = size, b = 2}, got.sizes)
        assert.is_true(got.largest <= 128 * 1024)
      end)
    end)

    it("refuse those over the limit", function()
      local status = post("/form", ("-H 'Expect:' -F 'file=@%s/large'"):format(dir))
      assert.equal(413, status)
    end)

    it("give everything back when the client goes away", function()
      local before = server:settled_descriptors()
      local clients = {}
      for at = 1, 5 do
        local client = server:connect()
        client:send(support.request_bytes("POST", "/slow", {"Content-Length: 100000000",
          "Content-Type: multipart/form-data; boundary=b"})
          .. '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
          .. ("x"):rep(200000))
        clients[at] = client
      end
      support.wait_until("the temporary files",
        function() return server:descriptors() >= before + 10 end)
      for _, client in ipairs(clients) do client:close() end
      support.wait_until("the descriptors to close",
        function() return server:descriptors() <= before end)
    end)

    it("have no name on the disk", function()
      for name in lfs.dir(dir .. "/tmp") do assert.truthy(name == "." or name == "..", name) end
    end)
  end)

  it("limit JSON", function()
    local json = "-H 'Content-Type: application/json' -d "
    assert.equal(200, (post("/json", json .. quote("[[[[1]]]]"))))
    assert.equal(400, (post("/json", json .. quote("[[[[[[1]]]]]]"))))
    assert.equal(413, (post("/json", json .. quote('"' .. ("x"):rep(1000) .. '"'))))
    assert.equal(400, (post("/json", json .. quote(("["):rep(900)))))
  end)

  describe("with a session", function()
    local jar

    before_each(function()
      jar = os.tmpname()
    end)
    after_each(function() os.remove(jar) end)

    local function browse(path, arguments)
      return curl(("-b %s -c %s %s %s"):format(jar, jar, arguments or "", url(path)))
    end

    local function log_in(token, secret)
      return browse("/login", ("-d user=ann --data-urlencode password=%s -d csrf_token=%s")
        :format(quote(secret or "correct horse"), token))
    end

    it("log in and out", function()
      assert.same({200, "nobody|"}, {browse("/")})
      local _, token = browse("/login")
      assert.equal(303, (log_in(token)))
      assert.same({200, "ann|welcome"}, {browse("/")})
      assert.same({200, "ann|"}, {browse("/")})
      assert.same({200, "dark blue"}, {browse("/theme")})
      assert.equal(400, (browse("/logout", "-X POST")))
      assert.equal(400, (browse("/logout", "-d csrf_token=" .. token)))
      local _, fresh = browse("/login")
      assert.equal(303, (browse("/logout", "-d csrf_token=" .. fresh)))
      assert.same({200, "nobody|"}, {browse("/")})
      browse("/forget")
      assert.same({200, "none"}, {browse("/theme")})
    end)

    it("keep a message when the login fails", function()
      local _, token = browse("/login")
      local status, body = log_in(token, "wrong")
      assert.same({403, "403 Forbidden\nwrong name or password\n"}, {status, body})
      assert.same({200, "nobody|wrong"}, {browse("/")})
    end)

    it("refuse forms without the token", function()
      assert.same({400, "400 Bad Request\nthe CSRF token is missing\n"}, {log_in("")})
      assert.same({400, "400 Bad Request\nthe session has no CSRF token\n"}, {log_in("x")})
      local _, token = browse("/login")
      assert.same({400, "400 Bad Request\nthe CSRF token does not match\n"}, {log_in("x")})
      os.remove(jar)
      assert.equal(400, (log_in(token)))
    end)

    it("keep it when the scripts are loaded again", function()
      local _, token = browse("/login")
      log_in(token)
      assert.equal(0, server:tell("reload").status)
      assert.same({200, "ann|welcome"}, {browse("/")})
    end)

    it("do not believe a changed cookie", function()
      local _, token = browse("/login")
      log_in(token)
      local text = support.read_file(jar)
      local value = text:match("session\t([^\n]*)")
      support.write_file(jar, (text:gsub("session\t[^\n]*", "session\t" .. value:sub(2))))
      assert.same({200, "nobody|"}, {browse("/")})
    end)
  end)

  describe("behind a proxy", function()
    it("tell who asked for what", function()
      local headers = {"X-Forwarded-For: 1.1.1.1, 203.0.113.9", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: site.example"}
      assert.equal("203.0.113.9 https site.example", server:get("/who", headers).body)
      assert.equal("203.0.113.9 https site.example",
        server:get("/who", {"Forwarded: for=203.0.113.9;proto=https;host=site.example"}).body)
      assert.equal(400, server:get("/who", {"Forwarded: for=1.1.1.1", headers[1]}).status)
    end)

    it("mark the cookie as secure", function()
      local secure = server:get("/login", {"X-Forwarded-Proto: https"})
      assert.matches("; Secure;", secure.headers["set-cookie"])
      assert.is_nil(server:get("/login").headers["set-cookie"]:find("Secure", 1, true))
    end)

    it("are not believed where nobody is trusted", function()
      local plain = support.serve{script = script, env = {FORMS_DIR = dir}}
      finally(function() plain:stop() end)
      local host = ("%s:%d"):format(plain.host, plain.port)
      assert.matches("^127.0.0.1 http ",
        plain:get("/who", {"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https"}).body)
      assert.is_nil(plain:get("/who", {"X-Forwarded-Host: evil"}).body:find("evil", 1, true), host)
    end)

    it("are believed on a Unix socket", function()
      local path = dir .. "/socket"
      local local_server = listening.serve{script = script, args = {"--listen", "127.0.0.1:0",
        "--listen", "unix:" .. path, "--trusted-proxy", "unix"}}
      finally(function() local_server:stop() end)
      local _, body = curl(("--unix-socket %s -H 'X-Forwarded-For: 203.0.113.9' http://x/who")
        :format(path))
      assert.equal("203.0.113.9 http x", body)
      _, body = curl("-H 'X-Forwarded-For: 203.0.113.9' " .. local_server.urls[1] .. "/who")
      assert.matches("^127.0.0.1 ", body)
    end)

    it("are refused with an option that is no address", function()
      local result = support.run{"runserver", dir, "--trusted-proxy", "localhost"}
      assert.equal(2, result.status)
      assert.matches("option '%-%-trusted%-proxy': 'localhost' is not an address", result.err)
    end)
  end)

  it("have a secret of the process when none is given, across loads of the scripts", function()
    local plain = support.serve{script = [[
      local app = require("genet").app()
      app:sessions()
      app:get("/set", function(req) req.session.a = 1 return "set" end)
      app:get("/get", function(req) return tostring(req.session.a) end)
      return app
    ]]}
    finally(function() plain:stop() end)
    local cookie = plain:get("/set").headers["set-cookie"]:match("^[^;]*")
    plain:wait_for_log("app:sessions has no secret")
    assert.equal(0, plain:tell("reload").status)
    assert.equal("1", plain:get("/get", {"Cookie: " .. cookie}).body)
  end)

  it("are told of a secret that is too short when the scripts load", function()
    local short = support.directory{["main.lua"] = [[
      local app = require("genet").app()
      app:sessions{secret = "short"}
      return app
    ]]}
    finally(function() support.remove(short) end)
    local result = support.run{"runserver", short, "-p", "0"}
    assert.equal(1, result.status)
    assert.matches("main.lua:2: app:sessions: a secret must be a string of 16 bytes", result.err)
  end)
end)
