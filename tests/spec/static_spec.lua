local support = require "support"

local app = require "genet.app"
local http_error = require "genet.http_error"
local response = require "genet.response"
local static = require "genet.static"

describe("static.clean", function()
  local good = { -- path, what is opened, whether a directory is meant
    {"a", "a", false}, {"a/b.css", "a/b.css", false}, {"a/", "a", true}, {"", "", true},
    {"a.b.c", "a.b.c", false}, {"a..b", "a..b", false}, {"a...", "a...", false},
    {"a./b", "a./b", false},
    {"~a", "~a", false}, {"a b", "a b", false}, {"caf\xC3\xA9", "caf\xC3\xA9", false},
    {"%2e%2e", "%2e%2e", false}, {"..a", nil}, {"a:b", "a:b", false}, {"-", "-", false},
  }
  for _, case in ipairs(good) do
    it(("of %q"):format(case[1]), function()
      local path, slash = static.clean(case[1])
      assert.equal(case[2], path)
      if path then assert.equal(case[3], slash) end
    end)
  end

  local bad = {
    "..", "../", "../a", "a/..", "a/../", "a/../b", "a/../../b", ".", "./", "./a", "a/.", "a/./b",
    "/", "/a", "//a", "a//b", "a//", "//", "...", "a/...", "..\\a", "a\\b", "\\", "\\\\host\\share",
    "a\0", "a\0.css", "\0", "..\0", ".git", ".git/config", "a/.git/config", ".htaccess", "a/.b",
    "../../../../etc/passwd", "a/b/c/../../../../etc/passwd", "..//..//etc/passwd",
    "....//....//etc/passwd", "..;/a", ".. /a", "../\0a",
  }
  for _, path in ipairs(bad) do
    it(("refuses %q"):format(path), function() assert.is_nil((static.clean(path))) end)
  end

  it("allows hidden parts when asked, but never a way up", function()
    assert.equal(".git/config", static.clean(".git/config", true))
    assert.equal("a/.b", static.clean("a/.b", true))
    assert.equal("...", static.clean("...", true))
    for _, path in ipairs{"..", "../a", "a/..", "a/../b", ".", "a/./b"} do
      assert.is_nil((static.clean(path, true)))
    end
  end)
end)

describe("app:static", function()
  local site, x

  local function serve(options)
    site = app.new()
    site:static("/s", "/site", options)
  end

  local function get(path, headers, method)
    x = support.exchange{headers = headers}
    local ok, code, head, body = pcall(site.dispatch, site, x, method or "GET", path)
    if ok then return code, head, body end
    assert(http_error.is(code), code)
    return code.status
  end

  before_each(function()
    support.disk.opened = 0
    support.disk.files = {
      ["/site/index.html"] = {content = "home"},
      ["/site/a.css"] = {content = "body {}"},
      ["/site/sub"] = "directory",
      ["/site/sub/index.html"] = {content = "sub"},
      ["/site/bare"] = "directory",
      ["/site/secret"] = "denied",
      ["/site/out"] = "outside",
      ["/site/many"] = "busy",
      ["/site/bad"] = "broken",
      ["/site/.hidden"] = {content = "hidden"},
      ["/site/big.bin"] = {content = ("0123456789"):rep(20000)},
    }
    serve()
  end)

  local cases = {
    {"/s/a.css", 200, "body {}"}, {"/s/", 200, "home"}, {"/s/sub/", 200, "sub"}, {"/s/sub", 308},
    {"/s/bare", 308}, {"/s/bare/", 404}, {"/s/nope", 404}, {"/s/a.css/", 404}, {"/s/secret", 403},
    {"/s/out", 404}, {"/s/many", 503}, {"/s/bad", 500}, {"/s/.hidden", 404},
    {"/s/%2e%2e/site/a.css", 404}, {"/s/%2Ehidden", 404}, {"/s/a.css%00", 400}, {"/s", 308},
  }
  for _, case in ipairs(cases) do
    it("answers to " .. case[1], function()
      local code, _, body = get(case[1])
      assert.equal(case[2], code)
      if case[3] then assert.equal(case[3], body) end
    end)
  end

  it("tells what a file is", function()
    local _, head = get("/s/a.css")
    assert.equal("Content-Type: text/css; charset=utf-8\r\n"
      .. "Last-Modified: Thu, 01 Jan 1970 00:16:40 GMT\r\n"
      .. "Accept-Ranges: bytes\r\nETag: \"3e8.5-7-7\"\r\n", head)
  end)

  it("sends a directory to its slash, query and all", function()
    x = support.exchange{query = "a=b"}
    local _, head = site:dispatch(x, "GET", "/s/sub")
    assert.truthy(head:find("Location: /s/sub/?a=b\r\n", 1, true))
  end)

  it("answers what it knows from memory, as long as it is the same", function()
    for _ = 1, 3 do get("/s/a.css") end
    assert.equal(1, support.disk.opened)
    support.disk.files["/site/a.css"] = {content = "other"}
    assert.equal("other", select(3, get("/s/a.css")))
    support.disk.files["/site/a.css"] = nil
    assert.equal(404, get("/s/a.css"))
    serve{cache = 0}
    support.disk.files["/site/a.css"] = {content = "other"}
    support.disk.opened = 0
    for _ = 1, 3 do get("/s/a.css") end
    assert.equal(3, support.disk.opened)
  end)

  it("does not trust what was changed just now", function()
    support.disk.files["/site/a.css"] = {content = "new", time = os.time()}
    for _ = 1, 3 do get("/s/a.css") end
    assert.equal(3, support.disk.opened)
  end)

  it("sends a 304 with what a client keeps", function()
    serve{max_age = 60}
    local code, head, body = get("/s/a.css",
      {"If-None-Match", "\"x\"", "If-None-Match", "\"3e8.5-7-7\""})
    assert.same({304, "ETag: \"3e8.5-7-7\"\r\nCache-Control: public, max-age=60\r\n", ""},
      {code, head, body})
  end)

  it("sends parts", function()
    local code, head, body = get("/s/a.css", {"Range", "bytes=1-2"})
    assert.same({206, "od"}, {code, body})
    assert.truthy(head:find("Content-Range: bytes 1-2/7\r\n", 1, true))
    code, head = get("/s/a.css", {"Range", "bytes=7-"})
    assert.equal(416, code)
    assert.truthy(head:find("Content-Range: bytes */7\r\n", 1, true))
    assert.equal(412, get("/s/a.css", {"If-Match", "\"x\"", "Range", "bytes=1-2"}))
    assert.equal(200, (get("/s/a.css", {"Range", "bytes=1-2"}, "HEAD")))
  end)

  it("sends several parts", function()
    for path, text in pairs{["/s/a.css"] = "body {}", ["/s/big.bin"] = ("0123456789"):rep(20000)} do
      get(path, {"Range", "bytes=1-2,-3"})
      local head, sent = x.begun.head, table.concat(x.written)
      local boundary = head:match("Content%-Type: multipart/byteranges; boundary=(%x+)\r\n")
      assert.equal(206, x.begun.status)
      assert.is_nil(head:find("Content-Range", 1, true))
      local media = path:find("css") and "text/css; charset=utf-8" or "application/octet-stream"
      local function part(first, last)
        return ("--%s\r\nContent-Type: %s\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%s\r\n")
          :format(boundary, media, first, last, #text, text:sub(first + 1, last + 1))
      end
      local expected = part(1, 2) .. part(#text - 3, #text - 1) .. "--" .. boundary .. "--\r\n"
      assert.equal(expected, sent)
      assert.equal(#expected, x.length)
    end
  end)

  it("streams what is large, and closes it", function()
    get("/s/big.bin")
    assert.same({200, 200000, 200000}, {x.begun.status, x.length, #x.written[1]})
    assert.is_true(x.finished)
    get("/s/big.bin", nil, "HEAD")
    assert.same({200, 200000, 0}, {x.begun.status, x.length, #x.written})
    assert.equal(2, support.disk.opened)
  end)

  describe("with compressed twins", function()
    local GZIP = {"Accept-Encoding", "gzip, br"}

    before_each(function()
      support.disk.files["/site/a.css.gz"] = {content = "small", inode = 8}
      support.disk.files["/site/big.bin.gz"] = {content = "small"}
    end)

    it("sends them to those who take them", function()
      local code, head, body = get("/s/a.css", GZIP)
      assert.same({200, "small"}, {code, body})
      assert.truthy(head:find("Content-Type: text/css; charset=utf-8\r\n", 1, true))
      assert.truthy(head:find("Content-Encoding: gzip\r\n", 1, true))
      assert.truthy(head:find("Vary: Accept-Encoding\r\n", 1, true))
      assert.truthy(head:find("ETag: \"3e8.5-5-8-gzip\"\r\n", 1, true))
    end)

    it("tells the others", function()
      local _, head, body = get("/s/a.css")
      assert.equal("body {}", body)
      assert.truthy(head:find("Vary: Accept-Encoding\r\n", 1, true))
      assert.is_nil(head:find("Content-Encoding", 1, true))
    end)

    it("says in a 304 that it varies", function()
      local code, head = get("/s/a.css", {GZIP[1], GZIP[2], "If-None-Match", "\"3e8.5-5-8-gzip\""})
      assert.equal(304, code)
      assert.truthy(head:find("Vary: Accept-Encoding\r\n", 1, true))
      assert.equal(200, (get("/s/a.css", {GZIP[1], GZIP[2], "If-None-Match", "\"3e8.5-7-7\""})))
    end)

    it("passes over one that is older", function()
      support.disk.files["/site/a.css.gz"].time = 999
      assert.equal("body {}", select(3, get("/s/a.css", GZIP)))
    end)

    it("looks for none of what does not shrink", function()
      get("/s/big.bin", GZIP)
      assert.is_nil(x.begun.head:find("Vary", 1, true))
    end)

    it("looks for none when told so, and for others when asked", function()
      serve{precompressed = false}
      assert.equal("body {}", select(3, get("/s/a.css", GZIP)))
      serve{precompressed = {"br", "gzip"}}
      assert.equal("small", select(3, get("/s/a.css", GZIP)))
      support.disk.files["/site/a.css.br"] = {content = "tiny"}
      assert.equal("tiny", select(3, get("/s/a.css", GZIP)))
    end)
  end)

  it("lists when asked", function()
    serve{list = true}
    support.disk.files["/site/bare/"] =
      {["<b>.txt"] = false, z = true, [".x"] = false, ["a:b"] = false}
    local code, _, page = get("/s/bare/")
    assert.equal(200, code)
    assert.truthy(page:find('<li><a href="./z/">z/</a></li>\n'
      .. '<li><a href="./%3Cb%3E.txt">&lt;b&gt;.txt</a></li>\n'
      .. '<li><a href="./a:b">a:b</a></li>\n</ul>', 1, true))
    assert.equal("sub", select(3, get("/s/sub/")))
  end)

  it("has headers of the script's own, which come first", function()
    serve{headers = {["Cache-Control"] = "no-store", ["X-A"] = "b", Vary = "Cookie"}, max_age = 5}
    support.disk.files["/site/a.css.gz"] = {content = "small"}
    local _, head = get("/s/a.css")
    for _, line in ipairs{"Cache-Control: no-store\r\n", "X-A: b\r\n", "Vary: Cookie\r\n",
      "Vary: Accept-Encoding\r\n"} do
      assert.truthy(head:find(line, 1, true))
    end
    assert.is_nil(head:find("max-age", 1, true))
  end)

  it("refuses nonsense", function()
    site = app.new()
    local bad = {
      {"s", "/site"}, {nil, "/site"}, {"/s", nil}, {"/s", "/nonesuch"},
      {"/s", "/site", {sort = true}}, {"/s", "/site", {max_age = -1}},
      {"/s", "/site", {max_age = 1.5}}, {"/s", "/site", {list = 1}},
      {"/s", "/site", {index = true}}, {"/s", "/site", {precompressed = {"rar"}}},
      {"/s", "/site", 1}, {"/s", "/site", {headers = {["Bad Name"] = "x"}}},
    }
    for _, arguments in ipairs(bad) do
      local problem = support.raised(function()
        site:static(arguments[1], arguments[2], arguments[3])
      end)
      assert.truthy(problem:find("static_spec.lua:%d+: "))
    end
  end)
end)

describe("genet.send_file", function()
  local function send(path, options, headers)
    local x = support.exchange{headers = headers}
    local req = {_exchange = x, method = "GET", route = {}}
    return response.answer(req, assert(static.send_file(path, options)))
  end

  before_each(function()
    support.disk.files =
      {["/r.pdf"] = {content = "pdf"}, ["/fifo"] = "special", ["/d"] = "directory"}
  end)

  it("sends a file", function()
    local code, head, body = send("/r.pdf")
    assert.same({200, "pdf"}, {code, body})
    assert.truthy(head:find("^Content%-Type: application/pdf\r\n"))
    assert.is_nil(head:find("Content-Disposition", 1, true))
  end)

  local names = {
    {{as_attachment = true}, 'attachment; filename="r.pdf"'},
    {{as_attachment = true, download_name = "a b.pdf"}, 'attachment; filename="a b.pdf"'},
    {{download_name = "x.pdf"}, 'inline; filename="x.pdf"'},
    {{as_attachment = true, download_name = "\xC3\xBC.pdf"},
      "attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%BC.pdf"},
    {{as_attachment = true, download_name = 'a"b\\c%d\r\nX: y'},
      "attachment; filename=\"a_b_c_d__X: y\"; filename*=UTF-8''a%22b%5Cc%25d%0D%0AX%3A%20y"},
  }
  for _, case in ipairs(names) do
    it("as " .. case[2], function()
      local _, head = send("/r.pdf", case[1])
      assert.truthy(head:find("Content-Disposition: " .. case[2] .. "\r\n", 1, true))
    end)
  end

  it("has the tag, the date and the type that it is given", function()
    local _, head = send("/r.pdf", {etag = "v1", last_modified = 0, mimetype = "text/x",
      max_age = 1, immutable = true, headers = {["X-A"] = "b"}})
    assert.equal("Content-Type: text/x\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
      .. "Accept-Ranges: bytes\r\nETag: \"v1\"\r\nCache-Control: public, max-age=1, immutable\r\n"
      .. "X-A: b\r\n", head)
    _, head = send("/r.pdf", {etag = false, last_modified = false})
    assert.equal("Content-Type: application/pdf\r\nAccept-Ranges: bytes\r\n", head)
  end)

  it("takes headers until it is sent", function()
    local answer = static.send_file("/r.pdf")
    answer.headers["X-A"] = "b"
    local req = {_exchange = support.exchange{}, method = "GET", route = {}}
    assert.truthy(select(2, response.answer(req, answer)):find("X-A: b\r\n", 1, true))
  end)

  it("says why there is no file", function()
    for _, path in ipairs{"/nope", "/fifo", "/d"} do
      local answer, problem = static.send_file(path)
      assert.is_nil(answer)
      assert.truthy(problem:find(path, 1, true))
    end
  end)

  it("refuses nonsense", function()
    for _, arguments in ipairs{
      {nil}, {"/r.pdf", 1}, {"/r.pdf", {name = "x"}}, {"/r.pdf", {max_age = -1}},
    } do
      local problem = support.raised(function()
        return (static.send_file(arguments[1], arguments[2]))
      end)
      assert.truthy(problem:find("^[^:]*static_spec.lua:%d+: genet.send_file: "))
    end
  end)
end)

describe("genet.send_from_directory", function()
  it("finds a file, and nothing else", function()
    support.disk.files =
      {["/up/a"] = {content = "a"}, ["/a"] = {content = "no"}, ["/up/.x"] = {content = "x"}}
    assert.equal("a", static.send_from_directory("/up", "a").doc.content)
    for _, name in ipairs{"../a", "b", "", "a/", ".x", "/a", "..", "x\0"} do
      assert.equal(404, support.raised(static.send_from_directory, "/up", name).status)
    end
  end)
end)
