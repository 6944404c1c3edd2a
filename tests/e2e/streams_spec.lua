-- Bodies of any size pass through a handler piece by piece, at the pace of the slower side.
local certificates = require "tests.e2e.certificates"
local listening = require "tests.e2e.listening"
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
local large = {max_body = 1 << 40}
local row = ("x"):rep(4096)
local d = genet.shared("notes")

local function note(text)
  d:update("noted", function(all) return (all or "") .. text .. ", " end)
end
app:get("/noted", function() return d:get("noted") or "" end)
app:get("/written", function() return tostring(d:get("written") or 0) end)
app:get("/open", function() d:set("open", true) return "open" end)

-- Answers
app:get("/endless", function()
  return function(write)
    while true do write(row:rep(16)) d:incr("written", 65536, 0) end
  end
end)
app:get("/out/<int:n>", function(_, n)
  return function(write)
    for _ = 1, n do write(row:rep(16)) end
  end
end)
app:get("/wait", function()
  return function(write)
    local _ <close> = setmetatable({}, {__close = function(_, err)
      note("wait: " .. tostring(err))
    end})
    write("first")
    genet.sleep(60)
  end
end)
app:get("/fails/at-once", function() return function() error("at once") end end)
app:get("/fails/after-a-wait", function()
  return function() genet.sleep(0) error("after a wait") end
end)
app:get("/fails/later", function() return function(write) write("some") error("later") end end)
app:get("/fails/short", function()
  return function(write) write("some") error("short") end, 200, {["Content-Length"] = 100}
end)
app:get("/fails/long", function()
  return function(write) write("some") write("more") end, 200, {["Content-Length"] = 6}
end)

-- Bodies
app:post("/in", large, function(req)
  local total = 0
  for chunk in req:chunks() do total = total + #chunk end
  return tostring(total)
end)
app:post("/pieces", large, function(req)
  local most, count = 0, 0
  for chunk in req:chunks(1000) do most, count = math.max(most, #chunk), count + 1 end
  return most .. " " .. tostring(count > 1)
end)
app:post("/later", large, function(req)
  while not d:get("open") do genet.sleep(0.02) end
  return tostring(#req:body())
end)

-- Both at once
app:post("/echo", large, function(req)
  req:start()
  for chunk in req:chunks() do req:write(chunk) end
end)
app:post("/both", large, function(req)
  local reader = genet.spawn(function()
    local total = 0
    for chunk in req:chunks() do total = total + #chunk end
    return total
  end)
  for _ = 1, 128 do req:write(row:rep(16)) end
  local _, total = assert(reader:wait())
  req:write(tostring(total))
end)
app:get("/writers", function(req)
  local function writer(letter)
    return function() for i = 1, 20 do req:write(letter:rep(i * 9973)) end end
  end
  assert(genet.all{writer "a", writer "b", writer "c"})
end)
app:post("/readers", large, function(req)
  local other = genet.spawn(function() return #req:body() end)
  genet.yield()
  local ok, problem = pcall(req.body, req)
  local _, length = assert(other:wait())
  return ("%s %s %d"):format(ok, problem, length)
end)
app:get("/leaves-a-writer", function(req)
  req:start()
  genet.spawn(function()
    local _ <close> = setmetatable({}, {__close = function() note("writer ended") end})
    while true do req:write(row:rep(16)) end
  end)
  genet.sleep(0.05)
  error("the handler fails")
end)
app:post("/leaves-a-reader", large, function(req)
  genet.spawn(function()
    local _ <close> = setmetatable({}, {__close = function(_, err)
      note("reader ended: " .. tostring(err))
    end})
    req:body()
  end)
  genet.sleep(0.05)
  return "left"
end)
app:get("/hands-over", function(req)
  genet.spawn(function() req:write(row:rep(1000)) end)
  genet.yield()
end)

return app
]]

local MB = 1 << 20

describe("a stream", function()
  local server, made, secure, files
  local megabytes = math.max(8, math.floor(64 * support.scale))

  setup(function()
    made = certificates.new()
    local pair = made:pair("one", {names = {"localhost"}})
    server = support.serve{script = script}
    secure = listening.serve{script = script,
      args = {"-p", "0", "--cert", pair.cert, "--key", pair.key}}
    files = support.directory{["body"] = ("0123456789abcdef"):rep(megabytes * MB // 16)}
  end)

  teardown(function()
    server:stop()
    secure:stop()
    support.remove(made.directory)
    support.remove(files)
  end)

  local function url(path) return ("http://%s:%d%s"):format(server.host, server.port, path) end

  -- What curl prints, and its exit status.
  local function curl(...)
    local words = {}
    for i, word in ipairs{"-sSk", "--max-time", support.patience, ...} do
      words[i] = support.quote(tostring(word))
    end
    local pipe = io.popen("curl " .. table.concat(words, " ") .. " 2>/dev/null")
    local text = pipe:read("a")
    local _, _, status = pipe:close()
    return text, status
  end

  local function noted(text)
    return support.wait_until(("%q to be noted"):format(text), function()
      return server:get("/noted").body:find(text, 1, true)
    end)
  end

  -- Memory means little where freed blocks are kept to find their misuse.
  local function is_sanitized()
    return support.read_file("/proc/" .. server.pid .. "/maps"):find("libasan", 1, true) ~= nil
  end

  -- The most resident memory while `fn` runs, in KB above what it was before.
  local function growth(fn, of)
    local process = of or server
    local before = process:resident()
    support.write_file("/proc/" .. process.pid .. "/clear_refs", "5")
    fn()
    local status = support.read_file("/proc/" .. process.pid .. "/status")
    return tonumber(status:match("VmHWM:%s*(%d+)")) - before
  end

  local function settled(what, probe)
    local last, since = probe(), 0
    support.wait_until(what, function()
      local current = probe()
      last, since = current, current == last and since + 1 or 0
      return since == 30
    end)
    return last
  end

  -- ------------------------------------------------------------ out

  it("waits for a client that does not read", function()
    local client = server:ask("/endless")
    finally(function() client:close("reset") end)
    local total = settled("the writer to wait", function()
      return tonumber(server:get("/written").body)
    end)
    assert.is_true(total < 64 * MB, "it wrote " .. total)
    client:read_bytes(16 * MB)
    support.wait_until("the writer to go on", function()
      return tonumber(server:get("/written").body) > total
    end)
  end)

  it("out costs no memory, however long", function()
    support.only("default", "each worker has buffers of its own", pending)
    local reader = ("curl -sS --limit-rate %dM %s | wc -c"):format(megabytes, url("/out/%d"))
    local function read(chunks)
      local pipe = io.popen(reader:format(chunks))
      local total = pipe:read("n")
      pipe:close()
      return total
    end
    read(64)
    local more = growth(function() assert.equal(megabytes * MB, read(megabytes * 16)) end)
    assert.is_true(more < 1024 or is_sanitized(), ("%d KB more"):format(more))
  end)

  it("of one large string is not copied", function()
    support.only("default", "each worker has buffers of its own", pending)
    local size = megabytes * MB
    local other = support.serve{script = ([[
      local huge = ("y"):rep(%d)
      local app = require("genet").app()
      app:get("/", function() return function(write) write(huge) end end)
      return app
    ]]):format(size)}
    finally(function() other:stop() end)
    local at = ("http://%s:%d/"):format(other.host, other.port)
    assert.equal(size, #curl(at))
    local more = growth(function() assert.equal(size, #curl(at)) end, other)
    assert.is_true(more < 1024 or is_sanitized(), ("%d KB more"):format(more))
  end)

  it("ends its producer's wait when the client goes", function()
    local client = server:ask("/wait")
    client:read_head()
    assert.equal("first", client:read_chunk())
    client:close()
    noted("wait: cancelled")
  end)

  it("that fails before anything has left is a 500", function()
    local from = #server:stderr() + 1
    local client = server:connect()
    finally(function() client:close() end)
    assert.equal(500, client:request("GET", "/fails/at-once").status)
    assert.equal(500, client:request("GET", "/fails/at-once").status)
    server:wait_for_log("at once", from)
  end)

  -- path, HTTP version, what arrives, how curl puts it: 18 is a partial body, 56 a reset
  local failures = {
    {"/fails/later", "--http1.1", "some", 18},
    {"/fails/later", "--http1.0", "some", 56},
    {"/fails/after-a-wait", "--http1.1", "", 18},
    {"/fails/after-a-wait", "--http1.0", "", 56},
    {"/fails/long", "--http1.1", "some", 18},
    {"/fails/short", "--http1.1", "some", 18},
    {"/fails/short", "--http1.0", "some", 18},
  }
  for _, case in ipairs(failures) do
    local path, version, arrives, status = table.unpack(case)
    it(("from %s is seen to be cut with %s, and logged"):format(path, version), function()
      local from = #server:stderr() + 1
      local text, how = curl(version, url(path))
      assert.equal(status, how)
      assert.equal(arrives, status == 56 and arrives or text)
      server:wait_for_log("error [1] GET " .. path, from)
    end)
  end

  -- ------------------------------------------------------------ in

  for _, how in ipairs{{"of a known length"}, {"in chunks", "Transfer-Encoding: chunked"}} do
    it(("in, %s, costs no memory, however long"):format(how[1]), function()
      support.only("default", "each worker has buffers of its own", pending)
      local function send()
        return curl("-T", files .. "/body", "-X", "POST", "-H", how[2] or "X-None: 1", url("/in"))
      end
      send()
      local more = growth(function() assert.equal(tostring(megabytes * MB), send()) end)
      assert.is_true(more < 1024 or is_sanitized(), ("%d KB more"):format(more))
    end)
  end

  it("in comes in pieces of at most the size asked for", function()
    local response = server:request("POST", "/pieces", nil, ("x"):rep(50000))
    assert.equal("1000 true", response.body)
  end)

  it("in waits with the client until the handler reads", function()
    local client = server:connect()
    finally(function() client:close() end)
    client:send(("POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"):format(64 * MB))
    client.socket:settimeout(0)
    local piece, sent = ("x"):rep(MB), 0
    local function push()
      local last, _, partial = client.socket:send(piece, 1, math.min(#piece, 64 * MB - sent))
      sent = sent + (last or partial)
      return sent
    end
    settled("the client to wait", push)
    assert.is_true(sent < 32 * MB, "it took " .. sent)
    server:get("/open")
    support.wait_until("the rest to go", function() return push() == 64 * MB end)
    assert.equal(tostring(64 * MB), client:response().body)
  end)

  it("in has a wrong size of pieces refused", function()
    local bad = support.serve{script = [[
      local app = require("genet").app()
      app:post("/", function(req) for _ in req:chunks(0) do end end)
      return app
    ]]}
    finally(function() bad:stop() end)
    assert.equal(500, bad:request("POST", "/", nil, "x").status)
    bad:wait_for_log("req:chunks: a whole number from 1 was expected, not 0")
  end)

  -- ------------------------------------------------------------ both ways

  local schemes = {
    http = function(path) return url(path) end,
    https = function(path) return secure.urls[1] .. path end,
  }
  for scheme, at in pairs(schemes) do
    it(("over %s goes in and out at once"):format(scheme), function()
      local _, status = curl("-T", files .. "/body", "-X", "POST", "-H", "Expect:",
        "-o", files .. "/echo", at("/echo"))
      assert.equal(0, status)
      assert.is_true(support.read_file(files .. "/echo") == support.read_file(files .. "/body"))
    end)

    it(("over %s has no body for HEAD, nor trouble with it"):format(scheme), function()
      local text = curl("--head", "-w", "%{http_code} new %{num_connects}\\n", at("/out/1"),
        at("/out/1"))
      assert.truthy(text:find("200 new 1\n.*200 new 0\n"), text)
    end)

    it(("over %s may be read by one task while another writes"):format(scheme), function()
      local text = curl("-T", files .. "/body", "-X", "POST", "-H", "Expect:", at("/both"))
      assert.equal(128 * 65536 + #tostring(megabytes * MB), #text)
      assert.equal(tostring(megabytes * MB), text:sub(128 * 65536 + 1))
    end)

    it(("over %s gets whole pieces of each task that writes"):format(scheme), function()
      local text, status = curl("--limit-rate", "3M", at("/writers"))
      assert.equal(0, status)
      local counts = {}
      for letter in text:gmatch("%a") do counts[letter] = (counts[letter] or 0) + 1 end
      assert.same({a = 210 * 9973, b = 210 * 9973, c = 210 * 9973}, counts)
    end)
  end

  it("by several tasks never mixes their pieces", function()
    local client = server:ask("/writers")
    finally(function() client:close() end)
    client:read_head()
    local count = 0
    for chunk in function() return client:read_chunk() end do
      if chunk == "" then break end
      count = count + 1
      assert.is_true(chunk == chunk:sub(1, 1):rep(#chunk), "a chunk of two tasks")
    end
    assert.equal(60, count)
  end)

  it("in has one reader at a time", function()
    local client = server:connect()
    finally(function() client:close() end)
    client:send("POST /readers HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
    assert.is_false(client:has_news(0.1))
    client:send("world")
    local body = client:response().body
    assert.truthy(body:find("another task is reading the body", 1, true), body)
    assert.truthy(body:find(" 10$"), body)
  end)

  it("that begins before the body has been read still tells the client to send it", function()
    local client = server:connect()
    finally(function() client:close() end)
    client:send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
      .. "Expect: 100-continue\r\n\r\n")
    assert.equal(100, client:read_head().status)
    assert.equal(200, client:read_head().status)
    client:send("hello")
    assert.equal("hello", client:read_chunk())
    assert.equal("", client:read_chunk())
  end)

  it("whose handler fails takes the task along that still writes it", function()
    local client = server:ask("/leaves-a-writer")
    finally(function() client:close() end)
    assert.equal(200, client:read_head().status)
    noted("writer ended")
  end)

  it("whose handler returns is not read any further", function()
    local client = server:connect()
    finally(function() client:close() end)
    client:send("POST /leaves-a-reader HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhello")
    assert.equal("left", client:response().body)
    noted("reader ended: ")
  end)

  it("whose handler returns while a task writes ends after that", function()
    assert.equal(4096000, #server:get("/hands-over").body)
  end)
end)
