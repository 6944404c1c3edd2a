local support = require "support"
local address = require "genet.http.address"
local body = require "genet.http.body"
local headers = require "genet.http.headers"
local http = require "genet.http"
local identity = require "genet.http.identity"
local message = require "genet.http.message"
local pool = require "genet.http.pool"
local redirect = require "genet.http.redirect"
local request = require "genet.http.request"
local response = require "genet.http.response"

-- What a server sends, in these pieces, to be read as a connection is; then it closes.
local function transport(...)
  local from = {buffer = ""}
  local pieces = {...}

  local function fill()
    local piece = table.remove(pieces, 1)
    if not piece then return nil, from.ending or "closed" end
    from.buffer = from.buffer .. piece
    return true
  end

  function from:line(limit)
    while true do
      local line = self.buffer:match("^(.-)\r\n")
      if #(line or self.buffer) > limit + (line and 0 or 1) then return nil, "too long" end
      if line then
        self.buffer = self.buffer:sub(#line + 3)
        return line
      end
      local filled, why = fill()
      if not filled then return nil, why end
    end
  end

  function from:some(limit)
    if self.buffer == "" then
      local filled, why = fill()
      if not filled then return nil, why end
    end
    local piece = self.buffer:sub(1, limit)
    self.buffer = self.buffer:sub(limit + 1)
    return piece
  end

  function from:is_drained() return self.buffer == "" end
  function from:close() self.ended = "closed" end
  function from:abort() self.ended = "aborted" end
  return from
end

local function read_all(reader)
  local text = ""
  while true do
    local piece, err = reader:read(65536)
    if not piece then return text, err end
    text = text .. piece
  end
end

local function head_of(...)
  return message.read_head(transport(...), 65536)
end

describe("genet.http.identity", function()
  local cases = {
    -- presented, host, whether it stands for it
    {"example.com", "example.com", true},
    {"example.com", "EXAMPLE.com", true},
    {"Example.COM", "example.com", true},
    {"example.com.", "example.com", true},
    {"example.com", "example.com.", true},
    {"example.com", "www.example.com", false},
    {"www.example.com", "example.com", false},
    {"*.example.com", "www.example.com", true},
    {"*.example.com", "WWW.example.com", true},
    {"*.example.com", "a.www.example.com", false},
    {"*.example.com", "example.com", false},
    {"*.example.com", ".example.com", false},
    {"*.example.com", "*.example.com", false},
    {"*.com", "example.com", false},
    {"*", "example", false},
    {"*", "example.com", false},
    {"*.*.com", "a.b.com", false},
    {"www.*.com", "www.example.com", false},
    {"w*.example.com", "www.example.com", false},
    {"*w.example.com", "www.example.com", false},
    {"*.example.com", "wwwxexample.com", false},
    {"example.com\0.evil.test", "example.com", false},
    {"", "", false},
    {"127.0.0.1", "127.0.0.1", false},
    {"*.0.0.1", "127.0.0.1", false},
  }
  for _, case in ipairs(cases) do
    local presented, host, expected = table.unpack(case)
    it(("says %s for %q and the host %q"):format(expected, presented, host), function()
      assert.equal(expected, identity.covers({dNSName = {"other.test", presented}}, host))
    end)
  end

  it("compares addresses with addresses, whichever way they are written", function()
    local names = {iPAddress = {"192.0.2.1", "2001:db8:0:0:0:0:0:1"}, dNSName = {"192.0.2.9"}}
    assert.is_true(identity.covers(names, "192.0.2.1"))
    assert.is_true(identity.covers(names, "2001:DB8::1"))
    assert.is_false(identity.covers(names, "192.0.2.9"))
    assert.is_false(identity.covers(names, "2001:db8::2"))
    assert.is_false(identity.covers({}, "192.0.2.1"))
    assert.is_false(identity.covers({}, "example.com"))
  end)

  local addresses = {
    {"127.0.0.1", "7f000001"},
    {"255.255.255.255", "ffffffff"},
    {"::", ("00"):rep(16)},
    {"::1", ("00"):rep(15) .. "01"},
    {"1::", "0001" .. ("00"):rep(14)},
    {"1:2:3:4:5:6:7:8", "00010002000300040005000600070008"},
    {"::ffff:192.0.2.1", ("00"):rep(10) .. "ffffc0000201"},
    {"256.0.0.1"}, {"1.2.3"}, {"1.2.3.4.5"}, {"example.com"}, {""}, {":"}, {":::"}, {"1::2::3"},
    {"1:2:3:4:5:6:7"}, {"1:2:3:4:5:6:7:8:9"}, {"12345::"}, {"g::"}, {"1:2:3:4:5:6:7:8::"},
    {"::1.2.3"}, {"1:2:3:4:5:6:7:1.2.3.4"},
  }
  for _, case in ipairs(addresses) do
    it(("reads %q as %s"):format(case[1], case[2] or "no address"), function()
      local bytes = identity.ip(case[1])
      local shown = bytes and bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
      assert.equal(case[2], shown)
    end)
  end
end)

describe("genet.http.address", function()
  local good = {
    {"http://a", "http://a/", "a", 80, "/"},
    {"HTTP://A.B:80/x", "http://a.b/x", "a.b", 80, "/x"},
    {"https://a:443", "https://a/", "a", 443, "/"},
    {"https://a:80/", "https://a:80/", "a", 80, "/"},
    {"http://a:/x", "http://a/x", "a", 80, "/x"},
    {"http://a?q=1", "http://a/?q=1", "a", 80, "/?q=1"},
    {"http://a/b#c?d", "http://a/b", "a", 80, "/b"},
    {"http://a#c", "http://a/", "a", 80, "/"},
    {"http://a/two words/\xc3\xa9", "http://a/two%20words/%C3%A9", "a", 80, "/two%20words/%C3%A9"},
    {"http://[::1]:8080/", "http://[::1]:8080/", "::1", 8080, "/"},
    {"http://me:pw@a/@b", "http://a/@b", "a", 80, "/@b"},
  }
  for _, case in ipairs(good) do
    it("reads " .. case[1], function()
      local parts = assert(address.parse(case[1]))
      assert.equal(case[2], address.write(parts))
      assert.same({case[3], case[4], case[5]}, {parts.host, parts.port, parts.target})
    end)
  end

  local bad = {
    {"", "does not begin"}, {"/x", "does not begin"}, {"a.test", "does not begin"},
    {"http:/a", "does not begin"}, {"ftp://a/", "scheme 'ftp'"}, {"file:///etc/passwd", "scheme"},
    {"http://", "names no host"}, {"http:///x", "names no host"}, {"http://:80/", "names no host"},
    {"http://a:x/", "port is no number"}, {"http://a:0/", "not from 1"},
    {"http://a:65536/", "not from 1"}, {"http://a b/", "no host name has"},
    {"http://a\\@b/", "bad character"}, {"http://a@b@c/", "bad character"},
    {"http://caf\xc3\xa9/", "no host name has"}, {"http://::1/", "port is no number"},
    {"http://[::1/", "is no number"}, {"http://[1.2.3.4]/", "no IPv6"}, {"http://[]/", "no IPv6"},
    {"http://a/\r\nX: y", "control character"}, {"http://a\0b/", "control character"},
  }
  for _, case in ipairs(bad) do
    it(("refuses %q"):format(case[1]), function()
      local parts, problem = address.parse(case[1])
      assert.is_nil(parts)
      assert.truthy(problem:find(case[2], 1, true), problem)
    end)
  end

  -- RFC 3986, 5.4, without what is not http and without fragments.
  local references = {
    {"g", "/b/c/g"}, {"./g", "/b/c/g"}, {"g/", "/b/c/g/"}, {"/g", "/g"}, {"?y", "/b/c/d;p?y"},
    {"g?y", "/b/c/g?y"}, {"#s", "/b/c/d;p?q"}, {"g#s", "/b/c/g"}, {"g?y#s", "/b/c/g?y"},
    {";x", "/b/c/;x"}, {"g;x", "/b/c/g;x"}, {"", "/b/c/d;p?q"}, {".", "/b/c/"}, {"./", "/b/c/"},
    {"..", "/b/"}, {"../", "/b/"}, {"../g", "/b/g"}, {"../..", "/"}, {"../../", "/"},
    {"../../g", "/g"}, {"../../../g", "/g"}, {"../../../../g", "/g"}, {"/./g", "/g"},
    {"/../g", "/g"}, {"g.", "/b/c/g."}, {".g", "/b/c/.g"}, {"g..", "/b/c/g.."},
    {"..g", "/b/c/..g"}, {"./../g", "/b/g"}, {"./g/.", "/b/c/g/"}, {"g/./h", "/b/c/g/h"},
    {"g/../h", "/b/c/h"}, {"g;x=1/./y", "/b/c/g;x=1/y"}, {"g;x=1/../y", "/b/c/y"},
    {"g?y/./x", "/b/c/g?y/./x"}, {"g?y/../x", "/b/c/g?y/../x"}, {"/a?u=b/../c", "/a?u=b/../c"},
  }
  for _, case in ipairs(references) do
    it(("resolves %q"):format(case[1]), function()
      local base = address.parse("http://a/b/c/d;p?q")
      assert.equal("http://a" .. case[2], address.resolve(base, case[1]))
    end)
  end

  it("resolves references that change the host or everything", function()
    local base = address.parse("https://a:8443/b")
    assert.equal("https://g/x", address.resolve(base, "//g/x"))
    assert.equal("http://g", address.resolve(base, "http://g"))
    assert.equal("https://a:8443/x", address.resolve(base, "/x"))
  end)

  it("writes queries in the order of their names", function()
    assert.equal("a=1&q=a%20b%26c&tag=x&tag=y&z=true",
      address.query{q = "a b&c", tag = {"x", "y"}, a = 1, z = true})
    assert.equal("", address.query{})
    assert.equal("r%C3%A9=%0D%0A", address.query{["r\xc3\xa9"] = "\r\n"})
    assert.truthy(support.raised(address.query, {f = print}):find("'f' is a function", 1, true))
    assert.equal("a field has no name", support.raised(address.query, {"x"}))
  end)
end)

describe("genet.http.headers", function()
  local flat = headers.new{"Content-Type", "text/html", "Set-Cookie", "a=1", "set-cookie", "b=2"}

  it("reads a name in any case, with '_' for '-'", function()
    assert.equal("text/html", flat.content_type)
    assert.equal("text/html", flat["CONTENT-TYPE"])
    assert.equal("a=1", flat.set_cookie)
    assert.is_nil(flat.other)
    assert.is_nil(flat[1])
  end)

  it("keeps every line", function()
    assert.same({"a=1", "b=2"}, flat:getlist("Set-Cookie"))
    local lines = {}
    for name, value in pairs(flat) do lines[#lines + 1] = name .. "=" .. value end
    assert.equal("Content-Type=text/html Set-Cookie=a=1 set-cookie=b=2", table.concat(lines, " "))
  end)

  it("cannot be changed", function()
    assert.has_error(function() flat.x = 1 end, "the headers of a response cannot be changed")
  end)
end)

describe("a head of genet.http", function()
  it("is read however it comes", function()
    local text = "HTTP/1.1 200 All Right\r\nA:  b c \t\r\nE:\r\na: d\r\n\r\nbody"
    for size = 1, #text do
      local pieces = {}
      for at = 1, #text, size do pieces[#pieces + 1] = text:sub(at, at + size - 1) end
      local head = assert(head_of(table.unpack(pieces)))
      assert.same({"1.1", 200, "All Right"}, {head.version, head.status, head.reason})
      assert.same({"b c", "d"}, head.headers:getlist("a"))
      assert.equal("", head.headers.e)
    end
  end)

  it("may lack a reason, and may be folded", function()
    assert.equal("", head_of("HTTP/1.0 404\r\n\r\n").reason)
    assert.equal("a b c", head_of("HTTP/1.1 200 \r\nX: a\r\n b\r\n\t c \r\n\r\n").headers.x)
  end)

  it("comes after all those of 1xx", function()
    local early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    local head = head_of(early .. "HTTP/1.1 204 No Content\r\n\r\n")
    assert.equal(204, head.status)
    assert.is_nil(head.headers.link)
  end)

  local bad = {
    {"garbage\r\n\r\n", "begins with"},
    {"HTTP/2 200 OK\r\n\r\n", "begins with"},
    {"HTTP/1.1 20 OK\r\n\r\n", "begins with"},
    {"HTTP/1.1  200 OK\r\n\r\n", "begins with"},
    {"HTTP/1.1 2000 OK\r\n\r\n", "begins with"},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", "begins with"},
    {"HTTP/1.1 099 X\r\n\r\n", "status 099"},
    {"HTTP/1.1 101 X\r\n\r\n", "status 101"},
    {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "no header"},
    {"HTTP/1.1 200 OK\r\n: b\r\n\r\n", "no header"},
    {"HTTP/1.1 200 OK\r\nA\r\n\r\n", "no header"},
    {"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "no header"},
    {"HTTP/1.1 200 OK\nA: b\r\n\r\n", "control character"},
    {"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "control character"},
    {"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", "control character"},
    {"HTTP/1.1 200 OK\r\nA: " .. ("x"):rep(70000) .. "\r\n\r\n", "too large"},
    {"HTTP/1.1 200 OK\r\n" .. ("A: b\r\n"):rep(12000) .. "\r\n", "too large"},
    {("HTTP/1.1 100 Continue\r\n\r\n"):rep(3000), "too large"},
  }
  for _, case in ipairs(bad) do
    it(("is refused when it is %q"):format(case[1]:sub(1, 60)), function()
      local head, problem = head_of(case[1])
      assert.is_nil(head)
      assert.truthy(problem:find("^bad response: "), problem)
      assert.truthy(problem:find(case[2], 1, true), problem)
    end)
  end

  it("tells when it does not come to its end", function()
    assert.same({nil, "closed"}, {head_of("HTTP/1.1 200 OK\r\nA: b\r\n")})
  end)

  local framings = {
    -- status, header lines, method, framing (or what is wrong) and length
    {200, "Content-Length: 5", "GET", "length", 5},
    {200, "Content-Length: 0", "GET", "length", 0},
    {200, "Content-Length: 005", "GET", "length", 5},
    {200, "Content-Length: 5, 5", "GET", "length", 5},
    {200, "Content-Length: 5\r\nContent-Length: 5", "GET", "length", 5},
    {200, "Content-Length: 5\r\nContent-Length: 6", "GET", "bad"},
    {200, "Content-Length: -5", "GET", "bad"},
    {200, "Content-Length: +5", "GET", "bad"},
    {200, "Content-Length: 0x5", "GET", "bad"},
    {200, "Content-Length: 5 6", "GET", "bad"},
    {200, "Content-Length:", "GET", "bad"},
    {200, "Content-Length: 9999999999999999", "GET", "bad"},
    {200, "Transfer-Encoding: chunked", "GET", "chunked"},
    {200, "Transfer-Encoding: Chunked\r\nContent-Length: 5", "GET", "chunked"},
    {200, "Transfer-Encoding: gzip, chunked", "GET", "bad"},
    {200, "Transfer-Encoding: chunked, chunked", "GET", "bad"},
    {200, "Transfer-Encoding: identity", "GET", "bad"},
    {200, "A: b", "GET", "close"},
    {200, "Content-Length: 5", "HEAD", "none"},
    {204, "Content-Length: 5", "GET", "none"},
    {304, "Transfer-Encoding: chunked", "GET", "none"},
    {205, "Content-Length: 0", "GET", "length", 0},
  }
  for _, case in ipairs(framings) do
    local status, lines, method, expected, length = table.unpack(case)
    it(("says %s after %q to %s, %d"):format(expected, lines, method, status), function()
      local head = head_of(("HTTP/1.1 %d X\r\n%s\r\n\r\n"):format(status, lines))
      local framing, detail = message.framing(head, method)
      if expected == "bad" then
        assert.is_nil(framing)
        assert.truthy(detail:find("^bad response: "), detail)
      else
        assert.same({expected, length}, {framing, detail})
      end
    end)
  end

  it("of HTTP/1.0 has no chunks", function()
    local head = head_of("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert.is_nil(message.framing(head, "GET"))
  end)

  local lives = {
    {"1.1", "A: b", true}, {"1.1", "Connection: close", false}, {"1.0", "A: b", false},
    {"1.1", "Connection: x, Close", false}, {"1.0", "Connection: Keep-Alive", true},
    {"1.1", "Connection: keep-alive\r\nConnection: close", false},
    {"1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5", false},
  }
  for _, case in ipairs(lives) do
    it(("of %s with %q: reuse is %s"):format(case[1], case[2], case[3]), function()
      local head = head_of(("HTTP/%s 200 OK\r\n%s\r\n\r\n"):format(case[1], case[2]))
      assert.equal(case[3], message.keeps_alive(head))
    end)
  end

  it("may say how long the connection is kept", function()
    local head = head_of("HTTP/1.1 200 OK\r\nKeep-Alive: max=9, timeout=5\r\n\r\n")
    assert.equal(5, message.idle_seconds(head))
    assert.is_nil(message.idle_seconds(head_of("HTTP/1.1 200 OK\r\n\r\n")))
  end)
end)

describe("a body of genet.http", function()
  local function reader(framing, length, ...)
    local from = transport(...)
    return body.reader(from, framing, length), from
  end

  it("has the length it says, and no more", function()
    local made, from = reader("length", 5, "he", "llo, more")
    assert.equal("hello", (read_all(made)))
    assert.is_true(made.done)
    assert.equal(", more", from.buffer)
  end)

  it("is known to be cut short", function()
    local text, err = read_all((reader("length", 9, "abc")))
    assert.equal("abc", text)
    assert.equal("body cut short: closed after 3 of 9 bytes", err)
  end)

  it("reaches to the end of the connection, unless that breaks", function()
    assert.same({"abcdef"}, {read_all((reader("close", nil, "abc", "def")))})
    local made, from = reader("close", nil, "abc")
    from.ending = "connection reset by peer"
    assert.equal("body cut short: connection reset by peer after 3 bytes",
      select(2, read_all(made)))
  end)

  it("comes in chunks, however they are cut", function()
    local text = "5\r\nhello\r\n00a;x=y\r\n, worlds!!\r\n0\r\nX-Sum: 7\r\n\r\nnext"
    for size = 1, #text do
      local pieces = {}
      for at = 1, #text, size do pieces[#pieces + 1] = text:sub(at, at + size - 1) end
      local made = reader("chunked", nil, table.unpack(pieces))
      assert.same({"hello, worlds!!"}, {read_all(made)})
      assert.is_true(made.done)
      assert.same({"X-Sum", "7"}, made.trailers)
    end
  end)

  local broken = {
    {"5\r\nhel", "body cut short: closed after 3 bytes"},
    {"5\r\nhello", "body cut short"}, {"5\r\nhello\r\n", "body cut short: closed after 5 bytes"},
    {"5\r\nhello\r\n0\r\n", "body cut short"}, {"5\r\nhelloo\r\n", "longer than it says"},
    {"x\r\n", "a chunk begins with"}, {"\r\n", "a chunk begins with"},
    {"+5\r\n", "a chunk begins with"}, {"0x5\r\n", "a chunk begins with"},
    {"5 x\r\nhello\r\n", "a chunk begins with"}, {"5\nhello\r\n", "a chunk begins with"},
    {"-1\r\n", "a chunk begins with"}, {"ffffffffffffffff\r\n", "a chunk begins with"},
    {"0\r\nbad trailer\r\n\r\n", "is no header"},
  }
  for _, case in ipairs(broken) do
    it(("is refused when its chunks are %q"):format(case[1]), function()
      local made = reader("chunked", nil, case[1])
      local _, err = read_all(made)
      assert.truthy(err and err:find(case[2], 1, true), err)
      assert.is_false(made.done)
    end)
  end

  local function sent(source, length)
    local to = {text = ""}
    function to:send(data)
      self.text = self.text .. data
      return true
    end
    return to, body.send(to, source, length)
  end

  local function pieces(...)
    local list, at = {...}, 0
    return function()
      at = at + 1
      return list[at]
    end
  end

  it("is sent in chunks, without an empty one but the last", function()
    assert.equal("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", sent(pieces("ab", "", "c")).text)
    assert.equal("0\r\n\r\n", sent(pieces()).text)
  end)

  it("is sent as it is when its length is known", function()
    assert.equal("abc", sent(pieces("ab", "c"), 3).text)
    assert.truthy(support.raised(sent, pieces("ab", "c"), 2):find("more bytes", 1, true))
    assert.truthy(support.raised(sent, pieces("ab"), 3):find("fewer bytes", 1, true))
  end)

  it("fails with its function", function()
    local _, ok, why, fault = sent(function() return nil, "the disk is gone" end)
    assert.same({nil, "the body failed: the disk is gone", true}, {ok, why, fault})
    assert.truthy(support.raised(sent, function() return {} end):find("gave a table", 1, true))
  end)
end)

describe("a redirect of genet.http", function()
  local methods = {
    {301, "GET", "GET"}, {301, "HEAD", "HEAD"}, {301, "POST", "GET"}, {301, "PUT", "PUT"},
    {302, "GET", "GET"}, {302, "HEAD", "HEAD"}, {302, "POST", "GET"}, {302, "DELETE", "DELETE"},
    {303, "GET", "GET"}, {303, "HEAD", "HEAD"}, {303, "POST", "GET"}, {303, "PUT", "GET"},
    {307, "POST", "POST"}, {308, "POST", "POST"}, {307, "GET", "GET"}, {308, "PATCH", "PATCH"},
  }
  for _, case in ipairs(methods) do
    it(("by %d makes %s a %s"):format(table.unpack(case)), function()
      assert.equal(case[3], redirect.method(case[1], case[2]))
    end)
  end

  local function follow(status, location, options)
    options.url = options.url or "https://a.test/x/y?q"
    local req = request.new({}, options)
    local ok, err = req:follow(status, location)
    return ok and req, err
  end

  it("leads where it says", function()
    assert.equal("https://a.test/x/z", follow(302, "z", {}):url())
    assert.equal("https://b.test/", follow(302, "//b.test", {}):url())
    assert.equal("http://b.test/", follow(302, "http://b.test", {downgrade = true}):url())
    assert.equal("https://a.test/two%20words", follow(302, "/two words", {}):url())
  end)

  local refused = {
    {"http://a.test/", "redirect from https to http refused: http://a.test/"},
    {"ftp://a.test/", "scheme 'ftp'"}, {"https://", "names no host"},
    {"javascript:x", "bad redirect"},
  }
  for _, case in ipairs(refused) do
    it("does not lead to " .. case[1], function()
      local req, err = follow(302, case[1], {})
      assert.is_nil(req)
      assert.truthy(err:find(case[2], 1, true), err)
    end)
  end

  local given = {method = "POST", json = {a = 1}, auth = {"me", "pw"},
    headers = {Cookie = "c=1", ["Content-Language"] = "en", ["X-Own"] = "kept"}}

  it("takes the body away with the method", function()
    local head = follow(303, "/z", given):head()
    assert.truthy(head:find("^GET /z HTTP/1.1\r\n"))
    assert.is_nil(head:lower():find("content-", 1, true))
    assert.truthy(head:find("X-Own: kept", 1, true))
  end)

  it("keeps the body with the method", function()
    local req = follow(307, "/z", given)
    assert.equal("{\"a\":1}", req.body)
    assert.truthy(req:head():find("^POST /z HTTP/1.1\r\n"))
    assert.truthy(req:head():find("Content-Type: application/json\r\n", 1, true))
  end)

  it("tells secrets to nobody else", function()
    for _, location in ipairs{"https://b.test/", "https://a.test:444/", "//a.test.evil.test/"} do
      local head = follow(307, location, given):head()
      assert.is_nil(head:find("Authorization", 1, true))
      assert.is_nil(head:find("Cookie", 1, true))
    end
    local head = follow(307, "/z", given):head()
    assert.truthy(head:find("Authorization: Basic bWU6cHc=\r\n", 1, true))
    assert.truthy(head:find("Cookie: c=1\r\n", 1, true))
    assert.is_nil(follow(307, "https://x:y@b.test/", {}):head():find("Authorization", 1, true))
  end)

  it("cannot send a function's body again", function()
    local req, err = follow(307, "/z", {method = "POST", body = function() end})
    assert.is_nil(req)
    assert.equal("cannot follow a redirect: the body cannot be sent again", err)
    assert.truthy(follow(303, "/z", {method = "POST", body = function() end}))
  end)
end)

describe("a request of genet.http", function()
  local function head(options, defaults)
    options.url = options.url or "http://a.test/x"
    return request.new(request.defaults(defaults or {}), options):head()
  end

  it("has a head", function()
    local text = head{}
    assert.truthy(text:find("^GET /x HTTP/1.1\r\nHost: a.test\r\n"))
    assert.truthy(text:find("\r\nUser-Agent: genet/0.1.0\r\n", 1, true))
    assert.truthy(text:find("\r\n\r\n$"))
    assert.is_nil(text:find("Content-Length", 1, true))
  end)

  local lines = {
    {{method = "post"}, "^POST "}, {{method = "POST"}, "\r\nContent%-Length: 0\r\n"},
    {{body = "abc"}, "\r\nContent%-Length: 3\r\n"},
    {{json = {a = 1}}, "\r\nContent%-Type: application/json\r\n"},
    {{json = {a = 1}, headers = {["content-type"] = "x/y"}}, "\r\ncontent%-type: x/y\r\n"},
    {{form = {a = 1}}, "\r\nContent%-Type: application/x%-www%-form%-urlencoded\r\n"},
    {{body = print}, "\r\nTransfer%-Encoding: chunked\r\n"},
    {{body = print, headers = {["Content-Length"] = 9}}, "\r\nContent%-Length: 9\r\n"},
    {{query = {q = "a b"}}, "^GET /x%?q=a%%20b "},
    {{query = {q = 1}, url = "http://a.test/x?p=0"}, "^GET /x%?p=0&q=1 "},
    {{headers = {Host = "b.test"}}, "\r\nHost: b.test\r\n"},
    {{headers = {A = {"b", "c"}}}, "\r\nA: b\r\nA: c\r\n"},
    {{headers = {A = 5}}, "\r\nA: 5\r\n"},
    {{auth = {"me", "pw"}}, "\r\nAuthorization: Basic bWU6cHc=\r\n"},
    {{auth = {user = "me", password = "pw"}}, "\r\nAuthorization: Basic bWU6cHc=\r\n"},
    {{auth = {bearer = "token"}}, "\r\nAuthorization: Bearer token\r\n"},
    {{url = "http://me:p%77@a.test/"}, "\r\nAuthorization: Basic bWU6cHc=\r\n"},
    {{url = "http://a.test:81/"}, "\r\nHost: a.test:81\r\n"},
    {{url = "http://[::1]:81/"}, "\r\nHost: %[::1%]:81\r\n"},
  }
  for at, case in ipairs(lines) do
    it(("has %q (%d)"):format(case[2], at), function()
      local text = head(case[1])
      assert.truthy(text:find(case[2]), text)
    end)
  end

  it("takes from its client what it does not say", function()
    local defaults = {base_url = "http://b.test/v1/?x", timeout = 3, auth = {bearer = "t"},
      headers = {A = "1", B = "2"}}
    local req = request.new(request.defaults(defaults), {url = "items", headers = {a = "3"}})
    assert.equal("http://b.test/v1/items", req:url())
    assert.equal(3, req.settings.timeout)
    assert.equal(10, req.settings.connect_timeout)
    local text = req:head()
    assert.truthy(text:find("\r\na: 3\r\n", 1, true))
    assert.is_nil(text:find("A: 1", 1, true))
    assert.truthy(text:find("B: 2", 1, true))
    assert.truthy(text:find("Authorization: Bearer t", 1, true))
  end)

  it("knows whether it may be repeated", function()
    local methods = {GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true,
      POST = false, PATCH = false}
    for method, expected in pairs(methods) do
      local req = request.new({}, {url = "http://a/", method = method, body = "x"})
      assert.equal(expected, req:is_idempotent(), method)
    end
    assert.is_false(request.new({}, {url = "http://a/", method = "PUT", body = print})
      :is_idempotent())
  end)

  local mistakes = {
    {{url = 5}, "option 'url'"}, {{url = "http://a/\r\nX: y"}, "argument 'url'"},
    {{url = "nowhere"}, "argument 'url'"}, {{timeout = 0}, "option 'timeout'"},
    {{timeout = "5"}, "option 'timeout'"}, {{timeout = 0 / 0}, "option 'timeout'"},
    {{connect_timeout = -1}, "option 'connect_timeout'"}, {{redirects = -1}, "option 'redirects'"},
    {{redirects = true}, "option 'redirects'"}, {{verify = "no"}, "option 'verify'"},
    {{tiemout = 5}, "unknown option 'tiemout'"}, {{max_idle = 5}, "unknown option 'max_idle'"},
    {{method = "GET / HTTP/1.1\r\n"}, "option 'method'"}, {{method = "CONNECT"}, "option 'method'"},
    {{method = ""}, "option 'method'"}, {{body = 5}, "option 'body'"},
    {{body = "a", json = {}}, "option 'json'"}, {{json = {f = print}}, "option 'json'"},
    {{form = {f = print}}, "option 'form'"}, {{query = {f = {}, g = print}}, "option 'query'"},
    {{headers = {["A\r\nB"] = "c"}}, "option 'headers'"}, {{headers = {"A: b"}}, "'headers'"},
    {{headers = {A = "b\r\nC: d"}}, "option 'headers': A has a control character"},
    {{headers = {A = "b\nc"}}, "option 'headers'"}, {{headers = {A = "b\0c"}}, "option 'headers'"},
    {{headers = {A = {"b", "c\r"}}}, "option 'headers'"}, {{headers = {A = print}}, "'headers'"},
    {{headers = {["Transfer-Encoding"] = "x"}}, "option 'headers'"},
    {{headers = {Connection = "upgrade"}}, "option 'headers'"},
    {{headers = {["Content-Length"] = 2}, body = "abc"}, "option 'headers'"},
    {{headers = {["Content-Length"] = "x"}, body = print}, "option 'headers'"},
    {{auth = {"me"}}, "option 'auth'"}, {{auth = {"m:e", "pw"}}, "option 'auth'"},
    {{auth = {bearer = "a\r\nb"}}, "option 'auth'"}, {{auth = "me"}, "option 'auth'"},
    {{stream = 1}, "option 'stream'"}, {{ca = true}, "option 'ca'"},
  }
  for at, case in ipairs(mistakes) do
    it(("is refused: %s (%d)"):format(case[2], at), function()
      case[1].url = case[1].url or "http://a.test/"
      local err = support.raised(http.request, case[1])
      assert.truthy(tostring(err):find(case[2], 1, true), err)
    end)
  end

  it("blames the caller's line", function()
    local calls = {
      function() local r = http.get("nowhere") return r end,
      function() local r = http.request{url = "nowhere"} return r end,
      function() local c = http.client() local r = c:get("nowhere") return r end,
      function() local c = http.client{nonsense = 1} return c end,
      function() local r = http.get("http://a/", 5) return r end,
      function() local r = http.get() return r end,
    }
    for _, call in ipairs(calls) do
      local err = support.raised(call)
      assert.truthy(err:find("http_spec.lua:%d+: "), err)
    end
  end)
end)

describe("the pool of genet.http", function()
  local now, core_now

  setup(function() core_now = support.core.now end)
  teardown(function() support.core.now = core_now end)
  before_each(function()
    now = 1000
    support.core.now = function() return now end
  end)

  local function connection(key)
    local made = {key = key, alive = true}
    function made:is_idle() return self.alive end
    function made.rest() end
    function made:close() self.closed = true end
    return made
  end

  local function keep(limits, ...)
    local made = pool.new{
      max_idle = limits.max_idle or 9, max_idle_per_host = limits.max_idle_per_host or 9,
      idle_timeout = 30,
    }
    local given = {}
    for at, key in ipairs{...} do
      given[at] = connection(key)
      made:give(given[at])
    end
    return made, given
  end

  it("does not grow when one is used again and again", function()
    local made = keep({max_idle_per_host = 2}, "a")
    for _ = 1, 9 do made:give(made:take("a")) end
    assert.equal(1, made:count())
  end)

  it("gives back the one used last, to the same host only", function()
    local made, given = keep({}, "a", "b", "a")
    assert.equal(given[3], made:take("a"))
    assert.equal(given[1], made:take("a"))
    assert.is_nil(made:take("a"))
    assert.equal(given[2], made:take("b"))
    assert.equal(0, made:count())
  end)

  it("is bounded by host and in all, and closes the oldest", function()
    local made, given = keep({max_idle = 3, max_idle_per_host = 2}, "a", "a", "a", "b", "b")
    assert.equal(3, made:count())
    assert.is_true(given[1].closed)
    assert.is_true(given[2].closed)
    assert.is_nil(given[3].closed)
    assert.is_nil(given[5].closed)
  end)

  it("keeps none for longer than it may idle", function()
    local made, given = keep({}, "a", "b")
    made:give(connection("c"), 5)
    now = now + 4.5
    assert.is_nil(made:take("c"))
    now = now + 26
    assert.is_nil(made:take("a"))
    assert.is_true(given[1].closed and given[2].closed)
  end)

  it("passes over those that have died", function()
    local made, given = keep({}, "a", "a")
    given[2].alive = false
    assert.equal(given[1], made:take("a"))
    assert.is_true(given[2].closed)
  end)

  it("keeps nothing once it is closed", function()
    local made, given = keep({}, "a")
    made:close()
    assert.is_true(given[1].closed)
    local late = connection("a")
    made:give(late)
    assert.is_true(late.closed)
    assert.is_nil(made:take("a"))
  end)
end)

describe("a response of genet.http", function()
  local function answer(options, ...)
    local from = transport(...)
    options.url = "http://a.test/"
    local req = request.new({}, options)
    local kept
    local made = assert(response.new(req, assert(message.read_head(from, 65536)), from,
      function(free) kept = free end))
    return made, function() return kept == from, from.ended end
  end

  local function plain(text, size)
    return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(size or #text, text)
  end

  it("is read in pieces, and then frees its connection", function()
    local made, fate = answer({}, plain("abcdef"))
    assert.equal("ab", made:read(2))
    assert.is_false((fate()))
    assert.equal("cdef", made:read())
    assert.is_true((fate()))
    assert.same({}, {made:read()})
  end)

  it("gives its body whole, in pieces and as JSON", function()
    local made = answer({}, plain("[1,2]"))
    assert.same({1, 2}, made:json())
    local walked = answer({}, plain("abcde"))
    local pieces = {}
    for piece in walked:chunks(2) do pieces[#pieces + 1] = piece end
    assert.same({"ab", "cd", "e"}, pieces)
    local loaded = assert(answer({}, plain("abc")):_load())
    assert.equal("abc", loaded.body)
    assert.same({"ab", "c", ""}, {loaded:read(2), loaded:read("a"), loaded:read("a")})
    assert.is_nil(loaded:read())
  end)

  it("says what is wrong with its JSON", function()
    local value, err = answer({}, plain("{")):json()
    assert.is_nil(value)
    assert.truthy(err:find("^the body is not JSON: "), err)
  end)

  it("closes its connection when it is not read to its end", function()
    local made, fate = answer({}, plain("abcdef"))
    made:read(2)
    made:close()
    assert.same({false, "aborted"}, {fate()})
    assert.same({nil, "the response has been closed"}, {made:read()})
  end)

  it("closes its connection when more came than was asked for", function()
    local made, fate = answer({}, plain("abcdef", 3))
    assert.equal("abc", made:read())
    assert.same({false, "closed"}, {fate()})
  end)

  it("tells every time that its body was cut short", function()
    local made, fate = answer({}, plain("abc", 9))
    assert.equal("abc", made:read())
    for _ = 1, 2 do
      assert.same({nil, "body cut short: closed after 3 of 9 bytes"}, {made:read()})
    end
    assert.same({false, "aborted"}, {fate()})
    local walk = function() for _ in answer({}, plain("abc", 9)):chunks() do end end
    assert.truthy(support.raised(walk):find("body cut short", 1, true))
  end)

  it("limits what it keeps", function()
    local made, fate = answer({max_body = 5}, plain("abc", 9), "def", "ghi")
    assert.same({nil, "body too large: more than 5 bytes"}, {made:_load()})
    assert.same({false, "aborted"}, {fate()})
    assert.equal("abcde", answer({max_body = 5}, plain("abcde")):_load().body)
  end)

  it("has the trailers that came after its body", function()
    local made = answer({}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n")
    assert.equal("abc", made:read("a"))
    assert.equal("6", made.trailers.x_sum)
  end)

  it("names what is wrong with the size of a piece", function()
    local made = answer({}, plain("abc"))
    for _, n in ipairs{0, -1, 1.5, "b", {}} do
      assert.truthy(support.raised(made.read, made, n):find("argument 'n'", 1, true))
    end
  end)
end)
