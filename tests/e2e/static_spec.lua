-- Files on disk: what is sent of them, and what never is.
local certificates = require "tests.e2e.certificates"
local listening = require "tests.e2e.listening"
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local static = require "genet.static"
local app = genet.app()

app:gzip{min = 1000}
app:static("/s", "SITE", {max_age = 60})
app:static("/listed", "SITE/css", {list = true, index = false, precompressed = false})
app:static("/linked", "SITE", {follow_symlinks = true, hidden = true})
app:static("/current", "SITE/../current")
app:get("/report", function()
  return static.send_file("SITE/large.bin",
    {as_attachment = true, download_name = "r\u{e9}sum\u{e9}.bin"})
end)
app:get("/gone", function() return static.send_file("SITE/nonesuch") or 404 end)
app:get("/up/<path:name>", function(_, name) return static.send_from_directory("SITE", name) end)
app:get("/long", function() return ("a page, again and again\n"):rep(100000) end)
app:get("/hello", function() return "hello" end)
return app
]]

local LARGE = 3000000
local SECRET = "TOP SECRET"
local root, site, server, tls, made, large

local function run(...)
  for _, command in ipairs{...} do assert(os.execute(command), command) end
end

setup(function()
  root = support.directory{["secret.txt"] = SECRET, ["site/index.html"] = "<h1>home</h1>"}
  site = root .. "/site"
  run("mkdir -p " .. site .. "/css " .. site .. "/.git " .. site .. "/bare " .. root .. "/site2 "
    .. root .. "/v1 " .. root .. "/v2")
  for path, text in pairs{
    ["site/css/main.css"] = ("body {}\n"):rep(100), ["site/.git/config"] = SECRET,
    ["site/.htaccess"] = SECRET, ["site2/secret.txt"] = SECRET, ["site/css/<b>.txt"] = "b",
    ["site/small.txt"] = "0123456789", ["v1/a.txt"] = "one", ["v2/a.txt"] = "two",
    ["site/two words.txt"] = "two words",
  } do
    support.write_file(root .. "/" .. path, text)
  end
  local lines = {}
  for number = 1, LARGE // 10 do lines[number] = ("%09d\n"):format(number) end
  large = table.concat(lines)
  support.write_file(site .. "/large.bin", large)
  run("gzip -k " .. site .. "/css/main.css", "ln -s ../secret.txt " .. site .. "/out.txt",
    "ln -s " .. root .. "/secret.txt " .. site .. "/absolute.txt", "ln -s .. " .. site .. "/up",
    "ln -s /proc/self/root " .. site .. "/magic", "ln -s small.txt " .. site .. "/in.txt",
    "ln -s loop " .. site .. "/loop", "mkfifo " .. site .. "/fifo", "ln -s /dev/zero " .. site
    .. "/zero", "ln -sfn v1 " .. root .. "/current")
  local text = script:gsub("SITE", site)
  server = support.serve{script = text}
  made = certificates.new()
  local pair = made:pair("site", {subject = "/CN=site", names = {"localhost"}})
  tls = listening.serve{script = text, args = {"-p", "0", "--cert", pair.cert, "--key", pair.key}}
end)

teardown(function()
  local stopped = {pcall(server.stop, server)}
  tls:stop()
  support.remove(made.directory)
  support.remove(root)
  assert(table.unpack(stopped))
end)

-- What curl prints, asking the server that speaks TLS.
local function curl(target, words)
  local command = ("curl -sk --max-time %d %s %s")
    :format(support.patience, words or "", support.quote(tls.urls[1] .. target))
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  return text, pipe:close()
end

describe("the way out of a directory", function()
  local attempts = {
    "/../secret.txt", "/../../secret.txt", "/css/../../secret.txt", "/./../secret.txt",
    "/css/./../../secret.txt", "/../site2/secret.txt", "/..", "/../", "/css/..", "/css/../..",
    "/%2e%2e/secret.txt", "/%2E%2E/secret.txt", "/.%2e/secret.txt", "/%2e./secret.txt",
    "/%2e%2e%2fsecret.txt", "/..%2fsecret.txt", "/..%2Fsecret.txt", "/css%2f..%2f..%2fsecret.txt",
    "/css/%2e%2e/%2e%2e/secret.txt", "/%252e%252e/secret.txt", "/%252e%252e%252fsecret.txt",
    "/..%5csecret.txt", "/..\\secret.txt", "/%5c..%5csecret.txt", "/css\\..\\..\\secret.txt",
    "/..%00/secret.txt", "/small.txt%00", "/%00../secret.txt", "/small.txt%00../../secret.txt",
    "/..%c0%afsecret.txt", "/%c0%ae%c0%ae/secret.txt", "/..%e0%80%afsecret.txt",
    "/..%u2215secret.txt", "/%uff0e%uff0e/secret.txt", "/..;/secret.txt", "/..%3b/secret.txt",
    "/....//secret.txt", "/...//secret.txt", "/..../secret.txt", "/.../secret.txt",
    "//secret.txt", "//../secret.txt", "/css//../../secret.txt", "///etc/passwd", "//etc/passwd",
    "/%2fetc/passwd", "/%2f%2fetc%2fpasswd", "/..?/secret.txt", "/..%3f/secret.txt",
    "/.%00./secret.txt", "/..%0d%0a/secret.txt", "/..%20/secret.txt", "/%20../secret.txt",
    "/out.txt", "/absolute.txt", "/up/secret.txt", "/up/site/small.txt", "/magic/etc/passwd",
    "/loop", "/fifo", "/zero", "/.git/config", "/.git", "/.git/", "/%2egit/config", "/.htaccess",
    "/css/../.git/config", "/" .. ("../"):rep(20) .. "etc/passwd", "/" .. ("a/"):rep(2000),
    "/" .. ("a"):rep(300), "/small.txt/", "/small.txt/../../secret.txt",
  }

  local function try(prefix, attempt)
    local response = server:get(prefix .. attempt)
    assert.is_nil(response.body:find(SECRET, 1, true))
    assert.is_nil(response.body:find("root:", 1, true))
    local refused = response.status >= 400 and response.status < 500
    assert.is_true(refused or response.status == 308, attempt .. " " .. response.status)
    if response.status == 308 then
      assert.is_nil(response.headers.location:find("//", 1, true))
    end
  end

  for _, attempt in ipairs(attempts) do
    it(("is closed to %q"):format(attempt:sub(1, 60)), function()
      try("/s", attempt)
      try("/up", attempt)
    end)
  end

  it("is closed when the kernel has no say either", function()
    for _, target in ipairs{"/linked/../secret.txt", "/linked/%2e%2e/secret.txt", "/linked/fifo",
      "/linked/zero", "/linked/loop"} do
      assert.equal(404, server:get(target).status)
    end
  end)

  it("is open by links, when asked for, and inside", function()
    assert.equal("0123456789", server:get("/s/in.txt").body)
    assert.equal(SECRET, server:get("/linked/out.txt").body)
    assert.equal(SECRET, server:get("/linked/absolute.txt").body)
    assert.equal(SECRET, server:get("/linked/.git/config").body)
  end)
end)

describe("a file", function()
  it("is told of, with what the client keeps", function()
    local response = server:get("/s/small.txt")
    assert.equal(200, response.status)
    assert.equal("0123456789", response.body)
    assert.equal("text/plain; charset=utf-8", response.headers["content-type"])
    assert.equal("bytes", response.headers["accept-ranges"])
    assert.equal("public, max-age=60", response.headers["cache-control"])
    local again = server:get("/s/small.txt", {"If-None-Match: " .. response.headers.etag})
    assert.same({304, ""}, {again.status, again.body})
    assert.equal(response.headers.etag, again.headers.etag)
    assert.is_nil(again.headers["content-length"])
    again = server:get("/s/small.txt", {"If-Modified-Since: " .. response.headers["last-modified"]})
    assert.equal(304, again.status)
    again = server:get("/s/small.txt", {"If-None-Match: \"other\"",
      "If-Modified-Since: " .. response.headers["last-modified"]})
    assert.equal(200, again.status)
    assert.equal(412, server:get("/s/small.txt", {"If-Match: \"other\""}).status)
    local lines = {}
    for i = 1, 60 do lines[i] = ("If-None-Match: \"%d\""):format(i) end
    assert.equal(200, server:get("/s/small.txt", lines).status)
    lines[61] = "If-None-Match: " .. response.headers.etag
    assert.equal(304, server:get("/s/small.txt", lines).status)
  end)

  it("is read by GET and HEAD alone", function()
    for _, path in ipairs{"/s/small.txt", "/s/large.bin"} do
      local whole = server:get(path)
      local response = server:request("HEAD", path)
      assert.same({200, ""}, {response.status, response.body})
      assert.equal(whole.headers["content-length"], response.headers["content-length"])
      response = server:request("POST", path, {}, "x")
      assert.same({405, "GET, HEAD, OPTIONS"}, {response.status, response.headers.allow})
    end
  end)

  it("of any size arrives whole, in the clear and through TLS", function()
    for path, name in pairs{
      ["/s/small.txt"] = "/small.txt", ["/s/css/main.css"] = "/css/main.css",
      ["/s/two%20words.txt"] = "/two words.txt", ["/s/large.bin"] = "/large.bin",
    } do
      local expected = support.read_file(site .. name)
      assert.is_true(server:get(path).body == expected)
      assert.is_true(curl(path) == expected)
    end
  end)

  it("that the cache has forgotten arrives whole", function()
    for _ = 1, 3 do
      run("dd if=" .. site .. "/large.bin iflag=nocache count=0 status=none")
      assert.is_true(server:get("/s/large.bin").body == large)
      run("dd if=" .. site .. "/large.bin iflag=nocache count=0 status=none")
      assert.is_true(curl("/s/large.bin") == large)
    end
  end)

  it("is sent in parts", function()
    for _, path in ipairs{"/s/small.txt", "/s/large.bin"} do
      local text = support.read_file(site .. path:gsub("^/s", ""))
      local response = server:get(path, {"Range: bytes=2-5"})
      assert.same({206, text:sub(3, 6)}, {response.status, response.body})
      assert.equal(("bytes 2-5/%d"):format(#text), response.headers["content-range"])
      response = server:get(path, {"Range: bytes=-4"})
      assert.same({206, text:sub(-4)}, {response.status, response.body})
      response = server:get(path, {"Range: bytes=" .. #text .. "-"})
      assert.equal(416, response.status)
      assert.equal("bytes */" .. #text, response.headers["content-range"])
      response = server:get(path, {"Range: bytes=2-5", "If-Range: \"other\""})
      assert.equal(200, response.status)
      assert.is_true(response.body == text)
    end
  end)

  it("minds what comes before a range", function()
    for _, path in ipairs{"/s/small.txt", "/s/large.bin"} do
      local whole = server:get(path)
      local etag, date = whole.headers.etag, whole.headers["last-modified"]
      for _, case in ipairs{ -- RFC 9110, sections 13.2.2 and 14.2
        {"GET", {"If-Range: " .. etag}, 206},
        {"GET", {"If-Range: W/" .. etag}, 200},
        {"GET", {"If-Range: soon"}, 200},
        {"GET", {"If-Range: Sun, 06 Nov 1994 08:49:37 GMT"}, 200},
        {"GET", {"If-None-Match: " .. etag}, 304},
        {"GET", {"If-None-Match: W/" .. etag}, 304},
        {"GET", {"If-None-Match: \"other\""}, 206},
        {"GET", {"If-Match: " .. etag}, 206},
        {"GET", {"If-Match: \"other\""}, 412},
        {"GET", {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"}, 412},
        {"GET", {"If-Modified-Since: " .. date}, 304},
        {"HEAD", {}, 200},
        {"HEAD", {"If-None-Match: " .. etag}, 304},
      } do
        local headers = {"Range: bytes=1-2", table.unpack(case[2])}
        local response = server:request(case[1], path, headers)
        assert.equal(case[3], response.status, case[1] .. " " .. table.concat(headers, ", "))
        if case[3] == 304 then assert.equal(etag, response.headers.etag) end
        if case[3] == 206 then assert.equal(whole.body:sub(2, 3), response.body) end
        assert.equal(case[3] == 206, response.headers["content-range"] ~= nil)
      end
    end
  end)

  it("is sent in several parts, on a connection that goes on", function()
    local connection = server:connect()
    for _, path in ipairs{"/s/small.txt", "/s/large.bin", "/s/small.txt"} do
      local text = support.read_file(site .. path:gsub("^/s", ""))
      local response = connection:request("GET", path, {"Range: bytes=0-1,-3"})
      local boundary = response.headers["content-type"]
        :match("^multipart/byteranges; boundary=(%x+)$")
      local pattern = "Content%-Range: bytes ([^\r]+)\r\n\r\n(.-)\r\n%-%-" .. boundary
      local parts = {}
      for range, body in response.body:gmatch(pattern) do
        parts[#parts + 1] = range .. " " .. body
      end
      local first = ("0-1/%d %s"):format(#text, text:sub(1, 2))
      local last = ("%d-%d/%d %s"):format(#text - 3, #text - 1, #text, text:sub(-3))
      assert.same({206, first, last}, {response.status, parts[1], parts[2]})
    end
    connection:close()
  end)

  it("is sent as its compressed twin", function()
    local plain = support.read_file(site .. "/css/main.css")
    assert.equal(plain, (curl("/s/css/main.css", "--compressed")))
    local response = server:get("/s/css/main.css", {"Accept-Encoding: gzip"})
    assert.equal("gzip", response.headers["content-encoding"])
    assert.equal("Accept-Encoding", response.headers.vary)
    assert.equal("text/css; charset=utf-8", response.headers["content-type"])
    local other = server:get("/s/css/main.css")
    assert.equal(plain, other.body)
    assert.equal("Accept-Encoding", other.headers.vary)
    assert.are_not.equal(other.headers.etag, response.headers.etag)
  end)

  it("is what is on disk at the moment", function()
    local path = site .. "/changing.txt"
    for round = 1, 20 do
      support.write_file(path .. ".new", "round " .. round)
      os.rename(path .. ".new", path)
      assert.equal("round " .. round, server:get("/s/changing.txt").body)
    end
    for round = 1, 20 do
      support.write_file(path, "again " .. round)
      assert.equal("again " .. round, server:get("/s/changing.txt").body)
    end
    os.remove(path)
    assert.equal(404, server:get("/s/changing.txt").status)
  end)

  it("is found in the directory that bears the name at the moment", function()
    for round = 1, 6 do
      local version = round % 2 + 1
      run(("ln -sfn v%d %s/next && mv -T %s/next %s/current"):format(version, root, root, root))
      assert.equal(version == 1 and "one" or "two", server:get("/current/a.txt").body)
    end
  end)

  it("is sent by name", function()
    local response = server:get("/report")
    assert.is_true(response.body == large)
    assert.equal("attachment; filename=\"r_sum_.bin\"; filename*=UTF-8''r%C3%A9sum%C3%A9.bin",
      response.headers["content-disposition"])
    assert.equal(404, server:get("/gone").status)
    assert.equal("0123456789", server:get("/up/small.txt").body)
  end)
end)

describe("a directory", function()
  it("is its index, behind a slash", function()
    assert.equal("<h1>home</h1>", server:get("/s/").body)
    local response = server:get("/s/css?a=b")
    assert.same({308, "/s/css/?a=b"}, {response.status, response.headers.location})
    assert.equal(404, server:get("/s/bare/").status)
    assert.equal("/s/", server:get("/s").headers.location)
  end)

  it("is listed when asked for", function()
    local page = server:get("/listed/").body
    assert.truthy(page:find('<a href="./main.css">main.css</a>', 1, true))
    assert.truthy(page:find('<a href="./%3Cb%3E.txt">&lt;b&gt;.txt</a>', 1, true))
    assert.equal("b", server:get("/listed/%3Cb%3E.txt").body)
  end)
end)

describe("a dynamic answer", function()
  it("is compressed for those who take it", function()
    local expected = ("a page, again and again\n"):rep(100000)
    assert.is_true(curl("/long", "--compressed") == expected)
    local response = server:get("/long", {"Accept-Encoding: gzip"})
    assert.equal("gzip", response.headers["content-encoding"])
    assert.is_true(#response.body < #expected / 10)
    response = server:get("/long")
    assert.equal("Accept-Encoding", response.headers.vary)
    assert.is_true(response.body == expected)
    assert.is_nil(server:get("/hello", {"Accept-Encoding: gzip"}).headers.vary)
  end)
end)

describe("a client of a large file", function()
  local many = support.crowd_size(200)

  -- A file of zeros that takes no room on disk.
  local function sparse(name, size)
    run(("truncate -s %s %s/%s"):format(size, site, name))
  end

  it("may be slow, at no cost in memory", function()
    support.only("default processes", "slow clients hold all threads", pending)
    sparse("huge.bin", "200M")
    local before, connections = server:resident(), {}
    for i = 1, many do
      connections[i] = server:ask("/s/huge.bin")
      assert(connections[i]:read_head())
    end
    assert.equal("hello", server:get("/hello").body)
    local after = server:resident()
    for i = 1, many do connections[i]:close() end
    -- A fiber's stack and Lua thread for each, and nothing like a buffer of the file.
    assert.is_true(after - before < 8192 + many * 256, ("%d KB, then %d"):format(before, after))
    local length = server:request("HEAD", "/s/huge.bin").headers["content-length"]
    assert.equal(200 << 20, tonumber(length))
  end)

  it("may go, and leaves nothing behind", function()
    support.only("default processes", "slow clients hold all threads", pending)
    server:get("/s/large.bin")
    local idle = server:settled_descriptors()
    for _, how in ipairs{"reset", "politely"} do
      local connections = {}
      for i = 1, many do connections[i] = server:ask("/s/huge.bin") end
      for i = 1, many do
        assert(connections[i]:read_bytes(1000))
        connections[i]:close(how)
      end
      support.wait_until("the descriptors to be closed", function()
        return server:descriptors() <= idle
      end)
    end
    assert.equal("hello", server:get("/hello").body)
  end)

  -- Asks for a file, changes it after the first bytes have come, and reads on.
  local function meanwhile(name, change)
    sparse(name, "64M")
    local connection = server:ask("/s/" .. name)
    local head = connection:read_head()
    connection:read_bytes(1000)
    change()
    local count = 1000
    while true do
      local piece = #connection.buffer
      connection.buffer = ""
      count = count + piece
      if count >= tonumber(head.headers["content-length"]) then break end
      local filled, reason = connection:fill(support.patience)
      if not filled then
        assert.equal("closed", reason)
        break
      end
    end
    return connection, count, tonumber(head.headers["content-length"])
  end

  it("is cut off when the file becomes shorter", function()
    local connection, count, length = meanwhile("shrinks.bin", function()
      sparse("shrinks.bin", "16M")
    end)
    assert.is_true(count < length)
    connection:close()
    server:wait_for_log("a file became shorter while it was sent")
  end)

  it("gets what it was told when the file grows", function()
    local connection, count, length = meanwhile("grows.bin", function()
      sparse("grows.bin", "80M")
    end)
    assert.equal(length, count)
    connection:ask("/hello")
    assert.equal("hello", connection:response().body)
    connection:close()
  end)

  it("is one of very many", function()
    local crowd = server:crowd(support.crowd_size(10000), "/s/css/main.css")
    crowd:wait_sent()
    local body = ("body {} "):rep(100)
    assert.same({["200 " .. body] = support.crowd_size(10000)}, crowd:answers())
    support.write_file(site .. "/middle.bin", ("m"):rep(300000))
    crowd = server:crowd(support.crowd_size(1000), "/s/middle.bin")
    crowd:wait_sent()
    assert.same({["200 " .. ("m"):rep(300000)] = support.crowd_size(1000)}, crowd:answers())
  end)
end)

describe("the host", function()
  it("stops while files are sent", function()
    local other = support.serve{script = script:gsub("SITE", site), args = {"--drain", "0.2"}}
    local connection = other:ask("/s/huge.bin")
    assert(connection:read_head())
    other:stop()
    connection:close()
  end)

  -- Of its threads one that waits for a busy processor looks as if it were blocked.
  it("logs nothing else", function()
    for line in (server:stderr() .. tls:stderr()):gmatch("[^\n]+") do
      local known = line:find("became shorter", 1, true) or line:find("leads out of", 1, true)
        or line:find("^%s") or line:find("stack traceback", 1, true) or line:find(" info ", 1, true)
        or support.mode == "threaded" and line:find("has blocked the thread", 1, true)
      assert.truthy(known, line)
    end
  end)
end)
