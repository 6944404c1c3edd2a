local support = require "support"
local header = require "genet.header"
local multipart = require "genet.multipart"
local Request = require "genet.request"

local LIMITS = {max_form_parts = 100, max_form_memory_size = 10000, max_part_head = 500}

-- A source of the body in pieces of these sizes, the last of which goes on.
local function source(body, sizes)
  local at, count = 1, 0
  return function()
    if at > #body then return nil end
    count = count + 1
    local size = type(sizes) == "function" and sizes() or sizes[math.min(count, #sizes)]
    local piece = body:sub(at, at + size - 1)
    at = at + size
    return piece
  end
end

local function read(body, sizes, boundary, limits)
  local found = {}
  for part in multipart.parts(source(body, sizes or {#body + 1}), boundary or "b", limits or LIMITS)
  do
    found[#found + 1] = {part.name, part.filename or false, part:read()}
  end
  return found
end

local function field(name, value)
  return ('--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'):format(name, value)
end

local function file(disposition, value)
  return ("--b\r\nContent-Disposition: form-data; %s\r\nContent-Type: text/x\r\n\r\n%s\r\n")
    :format(disposition, value)
end

local END = "--b--\r\n"

local function status_of(fn, ...)
  local err = support.raised(fn, ...)
  return err.status, err.message
end

describe("genet.multipart", function()
  local good = {
    {"a field", field("a", "1") .. END, {{"a", false, "1"}}},
    {"an empty field", field("a", "") .. END, {{"a", false, ""}}},
    {"no part at all", END, {}},
    {"a last boundary without a line end", field("a", "1") .. "--b--", {{"a", false, "1"}}},
    {"a preamble and an epilogue", "one\r\ntwo\r\n" .. field("a", "1") .. END .. "--b\r\nmore",
      {{"a", false, "1"}}},
    {"a preamble that is a line end", "\r\n" .. field("a", "1") .. END, {{"a", false, "1"}}},
    {"duplicate names", field("a", "1") .. field("a", "2") .. END,
      {{"a", false, "1"}, {"a", false, "2"}}},
    {"line ends and dashes", field("a", "\r\n--\r\n-\r\r\n\n--\r\n") .. END,
      {{"a", false, "\r\n--\r\n-\r\r\n\n--\r\n"}}},
    {"what begins like the boundary", field("a", "\r\n--bb\r\n--b-\r\n--b x\r\n--B--") .. END,
      {{"a", false, "\r\n--bb\r\n--b-\r\n--b x\r\n--B--"}}},
    {"blanks after the boundary", field("a", "1") .. "--b \t \r\n"
      .. field("c", "2"):sub(6) .. "--b--  \r\n", {{"a", false, "1"}, {"c", false, "2"}}},
    {"a file", file('name="f"; filename="x.txt"', "\0\255") .. END, {{"f", "x.txt", "\0\255"}}},
    {"a file that was not chosen", file('name="f"; filename=""', "") .. END, {{"f", "", ""}}},
    {"a name without quotes", file("name=f; filename=x.txt", "1") .. END, {{"f", "x.txt", "1"}}},
    {"an escaped quote", file([[name="f"; filename="a\"b\\c.txt"]], "1") .. END,
      {{"f", [[a"b\c.txt]], "1"}}},
    {"a quote as browsers send it", file('name="%22f"; filename="a%22b%20.txt"', "1") .. END,
      {{'"f', 'a"b%20.txt', "1"}}},
    {"a semicolon in quotes", file('name="a;b"; filename="; name=x"', "1") .. END,
      {{"a;b", "; name=x", "1"}}},
    {"a path of Windows", file([[name="f"; filename="C:\Users\me\x.txt"]], "1") .. END,
      {{"f", "x.txt", "1"}}},
    {"a name that ends with a backslash", file([[name="f"; filename="x\"]], "1") .. END,
      {{"f", "x\\", "1"}}},
    {"an encoded name", file([[name="f"; filename="x"; filename*=UTF-8''na%C3%AFve.txt]], "1")
      .. END, {{"f", "na\xc3\xafve.txt", "1"}}},
    {"an encoded name of Latin 1", file([[name="f"; filename*=iso-8859-1'en'na%EFve.txt]], "1")
      .. END, {{"f", "na\xc3\xafve.txt", "1"}}},
    {"a name in UTF-8", file('name="f"; filename="\xe6\x96\x87.txt"', "1") .. END,
      {{"f", "\xe6\x96\x87.txt", "1"}}},
    {"names of headers in any case", "--b\r\ncontent-disposition:FORM-DATA;NAME=a\r\n\r\n1\r\n"
      .. END, {{"a", false, "1"}}},
    {"a folded header", "--b\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\n1\r\n" .. END,
      {{"a", false, "1"}}},
    {"a part in a part", field("a", "--c\r\nContent-Disposition: form-data; name=x\r\n\r\n2")
      .. END,
      {{"a", false, "--c\r\nContent-Disposition: form-data; name=x\r\n\r\n2"}}},
  }
  for _, case in ipairs(good) do
    local what, body, parts = table.unpack(case)
    it("reads " .. what, function()
      assert.same(parts, read(body))
    end)
    it("reads " .. what .. " in small pieces", function()
      for size = 1, 9 do assert.same(parts, read(body, {size})) end
    end)
    it("reads " .. what .. " cut anywhere", function()
      for at = 1, #body do assert.same(parts, read(body, {at, #body})) end
    end)
  end

  local bad = {
    {"nothing", "", "ends before"},
    {"no boundary", "hello", "ends before"},
    {"another boundary", "--c\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--c--",
      "ends before"},
    {"no last boundary", field("a", "1"), "ends before"},
    {"an end in the boundary", field("a", "1") .. "--b-", "ends before"},
    {"an end in the head", "--b\r\nContent-Disposition: form-data; name=a\r\n", "ends before"},
    {"an end in a value", field("a", "1"):sub(1, -3), "ends before"},
    {"line ends of Unix", (field("a", "1") .. END):gsub("\r", ""), "ends before"},
    {"a part without a head", "--b\r\n\r\n1\r\n" .. END, "without a name"},
    {"a part without a name", "--b\r\nContent-Type: text/x\r\n\r\n1\r\n" .. END, "without a name"},
    {"an attachment", "--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n" .. END,
      "without a name"},
    {"two names", file('name="a"; name="b"', "1") .. END, "without a name"},
    {"two file names", file('name=a; filename="a"; filename="b"', "1") .. END, "without a name"},
    {"an open quote", file('name=a; filename="b', "1") .. END, "without a name"},
    {"text after a quote", file('name="a"b', "1") .. END, "without a name"},
    {"a broken encoded name", file("name=a; filename*=UTF-8''%ZZ", "1") .. END, "without a name"},
    {"an encoded name with a line end", file("name=a; filename*=UTF-8''a%0D%0Ab", "1") .. END,
      "without a name"},
    {"an encoded name with a NUL", file("name=a; filename*=UTF-8''a%00b", "1") .. END,
      "without a name"},
    {"an encoded name that is no UTF-8", file("name=a; filename*=UTF-8''%FF", "1") .. END,
      "without a name"},
    {"an unknown charset", file("name=a; filename*=utf-16''a", "1") .. END, "without a name"},
    {"a header twice", "--b\r\nContent-Disposition: form-data; name=a\r\n"
      .. "Content-Disposition: form-data; name=b\r\n\r\n1\r\n" .. END, "twice"},
    {"a header without a colon", "--b\r\nContent-Disposition\r\n\r\n1\r\n" .. END, "broken header"},
    {"a NUL in a name", file('name="a\0b"', "1") .. END, "broken header"},
    {"a bare CR in a name", file('name="a\rb"', "1") .. END, "broken header"},
    {"a bare LF in a name", file('name="a\nb"', "1") .. END, "broken header"},
    {"a blank in a header's name", "--b\r\nContent-Disposition : form-data; name=a\r\n\r\n1\r\n"
      .. END, "broken header"},
  }
  for _, case in ipairs(bad) do
    local what, body, problem = table.unpack(case)
    it("refuses " .. what, function()
      for _, sizes in ipairs{{#body + 1}, {1}, {7}} do
        local status, message = status_of(read, body, sizes)
        assert.equal(400, status)
        assert.matches(problem, message)
      end
    end)
  end

  it("refuses what is over a limit", function()
    local many = field("a", "1"):rep(101) .. END
    assert.equal(413, (status_of(read, many)))
    assert.equal(100, #read(field("a", "1"):rep(100) .. END))
    assert.equal(413, (status_of(read, field("a", ("x"):rep(10001)) .. END)))
    assert.equal(1, #read(field("a", ("x"):rep(10000)) .. END))
    local head = "--b\r\nX-Long: " .. ("x"):rep(600) .. "\r\n\r\n1\r\n" .. END
    for _, sizes in ipairs{{#head}, {1}, {64}} do
      assert.equal(413, (status_of(read, head, sizes)))
    end
    local endless = "--b\r\n" .. ("X"):rep(1000)
    assert.equal(413, (status_of(read, endless, {1})))
  end)

  it("skips what is not read", function()
    local names = {}
    local body = field("a", ("x"):rep(50000)) .. field("b", "2") .. field("c", "3") .. END
    for part in multipart.parts(source(body, {1000}), "b", LIMITS) do
      names[#names + 1] = part.name
      if part.name == "b" then part:chunks()() end
    end
    assert.same({"a", "b", "c"}, names)
  end)

  it("does not read a part once a later one has been asked for", function()
    local iterate = multipart.parts(source(field("a", "1") .. field("b", "2") .. END, {9}), "b",
      LIMITS)
    local first = iterate()
    iterate()
    assert.error_matches(function() first:read() end, "a later part has been asked for")
  end)

  it("reads random content in random pieces", function()
    math.randomseed(8)
    local alphabet = {"\r", "\n", "-", "b", "--b", "\r\n", "\r\n-", "\r\n--", "\r\n--b", "x", " "}
    for _ = 1, 2000 do
      local content = {}
      for at = 1, math.random(0, 12) do content[at] = alphabet[math.random(#alphabet)] end
      local value = table.concat(content)
      -- A boundary of its own is one that the content does not have.
      local body = (field("a", value) .. field("c", "2") .. END):gsub("%-%-b\r\nC", "--b!\r\nC")
      body = body:gsub("%-%-b%-%-\r\n$", "--b!--\r\n")
      local sizes = function() return math.random(1, 6) end
      assert.same({{"a", false, value}, {"c", false, "2"}}, read(body, sizes, "b!"))
    end
  end)

  it("never fails but with an answer", function()
    math.randomseed(9)
    local whole = field("a", "1") .. file('name="f"; filename="x\\"y"', "data") .. END
    for _ = 1, 3000 do
      local bytes = {whole:byte(1, -1)}
      for _ = 1, math.random(1, 4) do bytes[math.random(#bytes)] = math.random(0, 255) end
      local ok, err = pcall(read, string.char(table.unpack(bytes)),
        function() return math.random(1, 20) end)
      assert.is_true(ok or err.status == 400 or err.status == 413, tostring(err))
    end
  end)

  -- What an evil sender makes the parser repeat; the limits on parts are out of the way.
  local repeated = {
    ["false boundaries"] = "\r\n--by",
    ["beginnings of boundaries"] = "\r\n--",
    ["line ends"] = "\r\n",
    ["carriage returns"] = "\r",
    ["boundaries with blanks"] = "\r\n--b    x",
    parts = "\r\n" .. field("a", ""):sub(1, -3),
  }
  for what, unit in pairs(repeated) do
    it("takes time in proportion to its size: " .. what, function()
      local limits = {max_form_parts = 1e9, max_form_memory_size = 1e9, max_part_head = 500}
      local function cost(count)
        local body = field("a", unit:rep(count // #unit)) .. END
        local start = os.clock()
        read(body, {65536}, "b", limits)
        return os.clock() - start
      end
      cost(1000)
      assert.is_true(cost(2 ^ 20) < 16 * 4 * (cost(2 ^ 16) + 0.005), what)
    end)
  end

  describe("boundary", function()
    local cases = {
      {"multipart/form-data; boundary=abc", "abc"},
      {'multipart/form-data; charset=utf-8; BOUNDARY="a b"', "a b"},
      {"multipart/form-data;boundary=----WebKitFormBoundaryX", "----WebKitFormBoundaryX"},
      {"multipart/form-data; boundary=" .. ("x"):rep(70), ("x"):rep(70)},
    }
    for _, case in ipairs(cases) do
      it("is read from " .. case[1], function()
        assert.equal(case[2], multipart.boundary(case[1]))
      end)
    end

    for _, text in ipairs{"multipart/form-data", "multipart/form-data; boundary=",
      "multipart/form-data; boundary=" .. ("x"):rep(71), 'multipart/form-data; boundary="a\\"',
      'multipart/form-data; boundary="a "', "multipart/form-data; boundary=a; boundary=b",
      "multipart/form-data; boundary=a<b", 'multipart/form-data; boundary="a', ""} do
      it("is refused in '" .. text .. "'", function()
        assert.equal(400, (status_of(multipart.boundary, text)))
      end)
    end
  end)

  describe("safe_name", function()
    local cases = {
      {"x.txt", "x.txt"},
      {"../../etc/passwd", "passwd"},
      {"..\\..\\boot.ini", "boot.ini"},
      {"C:\\dir\\a b.txt", "a_b.txt"},
      {"/etc/passwd", "passwd"},
      {"..", "unnamed"},
      {".", "unnamed"},
      {"", "unnamed"},
      {"dir/", "unnamed"},
      {".htaccess", "htaccess"},
      {"-rf", "rf"},
      {"a\0b\r\nc.txt", "abc.txt"},
      {"a;b|c&d$(e)`f`.sh", "a_b_c_d__e__f_.sh"},
      {"<script>.html", "script_.html"},
      {"na\xc3\xafve.txt", "na\xc3\xafve.txt"},
      {"\xe2\x80\xaetxt.exe", "txt.exe"},
      {"a\xe2\x80\x8b\xef\xbb\xbfb", "ab"},
      {"a\xffb.txt", "a_b.txt"},
      {"....txt", "txt"},
    }
    for _, case in ipairs(cases) do
      it(("makes %q of %q"):format(case[2], case[1]), function()
        assert.equal(case[2], multipart.safe_name(case[1]))
      end)
    end

    it("cuts long names between characters and keeps the extension", function()
      local name = multipart.safe_name(("\xc3\xa9"):rep(300) .. ".jpeg")
      assert.is_true(#name <= 200)
      assert.truthy(utf8.len(name))
      assert.matches("%.jpeg$", name)
      assert.equal(200, #multipart.safe_name(("x"):rep(5000)))
    end)
  end)

  it("reads headers with parameters", function()
    assert.same({"a/b", {c = "d", e = ""}}, {header.parse(' A/B ; C=d ; e=""; ')})
    assert.is_nil(header.parse(""))
    assert.is_nil(header.parse("a; b"))
  end)
end)

describe("a form of a request", function()
  local function request(body, given)
    given = given or {}
    given.body = body
    given.headers = {"Content-Type", 'multipart/form-data; boundary="b"'}
    return setmetatable({_exchange = support.exchange(given)}, Request)
  end

  local form = field("title", "a b") .. field("tag", "x") .. field("tag", "y")
    .. file('name="f"; filename="dir/x.txt"', "one\ntwo") .. file('name="f"; filename="y"', "")
    .. END

  it("has fields and files", function()
    local req = request(form)
    assert.equal("a b", req.form.title)
    assert.same({"x", "y"}, req.form:getlist("tag"))
    assert.is_nil(req.form.f)
    local one = req.files.f
    assert.same({"f", "dir/x.txt", "text/x", 7, "x.txt"},
      {one.name, one.filename, one.content_type, one.size, one:safe_name()})
    assert.equal("text/x", one.headers["content-type"])
    assert.equal("one\ntwo", one:read())
    assert.equal("", one:read())
    assert.is_nil(one:read(1))
    one:seek()
    assert.equal("one", one:read(3))
    one:seek(4)
    assert.equal("two", one:read(9))
    assert.equal(2, #req.files:getlist("f"))
    assert.equal(0, req.files:getlist("f")[2].size)
  end)

  it("is the same when files are asked for first", function()
    local req = request(form)
    assert.equal("x.txt", req.files.f:safe_name())
    assert.equal("a b", req.form.title)
  end)

  it("is read from a body that was read before", function()
    local req = request(form)
    assert.equal(form, req:body())
    assert.equal("a b", req.form.title)
  end)

  it("has no files unless it is one of files", function()
    local req = setmetatable({_exchange = support.exchange{}}, Request)
    assert.same({}, req.files)
  end)

  local large = ("line\n"):rep(40000)

  it("keeps large files on disk until the request ends", function()
    local req = request(file('name="f"; filename="x"', large) .. END)
    local f = req.files.f
    assert.equal(#large, f.size)
    assert.truthy(f.path)
    assert.equal("line\nli", f:read(7))
    assert.is_true(f:read() == large:sub(8))
    f:seek()
    local count = 0
    for line in f:lines() do
      assert.equal("line", line)
      count = count + 1
    end
    assert.equal(40000, count)
    for _, ending in ipairs(req._exchange.ended) do ending() end
    assert.error(function() f:read() end)
  end)

  it("gives a path also to small files", function()
    local f = request(form).files.f
    f:read(3)
    assert.truthy(f.path)
    assert.equal("\ntwo", f:read())
  end)

  it("has lines in memory as on disk", function()
    local cases = {{"", {}}, {"a", {"a"}}, {"a\n", {"a"}}, {"a\n\nb", {"a", "", "b"}}}
    for _, case in ipairs(cases) do
      for _, path in ipairs{false, true} do
        local f = request(file('name="f"; filename="x"', case[1]) .. END).files.f
        local _ = path and f.path
        local lines = {}
        for line in f:lines() do lines[#lines + 1] = line end
        assert.same(case[2], lines)
      end
    end
  end)

  it("saves files", function()
    support.with_files({}, function(dir)
      for _, content in ipairs{"small", large} do
        local f = request(file('name="f"; filename="x"', content) .. END).files.f
        f:read(2)
        assert(f:save(dir .. "/x"))
        local saved <close> = io.open(dir .. "/x", "rb")
        assert.is_true(saved:read("a") == content)
        local ok, problem = f:save(dir .. "/none/x")
        assert.is_nil(ok)
        assert.matches("No such file", problem)
      end
    end)
  end)

  it("gives temporary files back when it is broken", function()
    local opened
    local make = support.core.temporary_file
    support.core.temporary_file = function(...)
      local handle, path = make(...)
      opened = handle
      return handle, path
    end
    local req = request(file('name="f"; filename="x"', large) .. "--b")
    assert.equal(400, support.raised(function() return req.files end).status)
    assert.equal("closed file", io.type(opened))
    req = request(file('name="f"; filename="x"', large))
    assert.equal(400, support.raised(function() return req.form end).status)
    assert.equal("closed file", io.type(opened))
    support.core.temporary_file = make
  end)

  it("has limits that the handler may set", function()
    local function limited(name, value)
      local req = request(form)
      req[name] = value
      return select(2, pcall(function() return req.form.title end))
    end
    assert.equal("a b", limited("max_form_parts", 5))
    assert.equal(413, limited("max_form_parts", 4).status)
    assert.equal("a b", limited("max_form_files", 2))
    assert.equal(413, limited("max_form_files", 1).status)
    assert.equal("a b", limited("max_form_memory_size", 5))
    assert.equal(413, limited("max_form_memory_size", 4).status)
  end)

  it("has limits also where it is URL-encoded", function()
    local function encoded(body, name, value)
      local req = setmetatable({_exchange = support.exchange{
        body = body, headers = {"Content-Type", "application/x-www-form-urlencoded"}}}, Request)
      if name then req[name] = value end
      return select(2, pcall(function() return req.form.a end))
    end
    assert.equal("1", encoded("a=1&b=2", "max_form_parts", 2))
    assert.equal(413, encoded("a=1&b=2", "max_form_parts", 1).status)
    assert.equal("1", encoded("a=1&b=2", "max_form_memory_size", 7))
    assert.equal(413, encoded("a=1&b=2", "max_form_memory_size", 6).status)
    assert.equal(413, encoded(("a&"):rep(5000)).status)
  end)

  it("comes part by part", function()
    local req = request(form)
    local seen = {}
    for part in req:parts() do
      local pieces = {}
      for chunk in part:chunks() do pieces[#pieces + 1] = chunk end
      seen[#seen + 1] = part.name .. "=" .. table.concat(pieces)
    end
    assert.same({"title=a b", "tag=x", "tag=y", "f=one\ntwo", "f="}, seen)
  end)

  it("saves parts as they come", function()
    support.with_files({}, function(dir)
      for part in request(form):parts{max_part_head = 200} do
        if part.filename == "dir/x.txt" then
          assert.equal(7, part:save(dir .. "/" .. part:safe_name()))
        end
      end
      local saved <close> = io.open(dir .. "/x.txt", "rb")
      assert.equal("one\ntwo", saved:read("a"))
    end)
    assert.error_matches(function() request(form):parts{parts = 1} end, "unknown option 'parts'")
  end)
end)
