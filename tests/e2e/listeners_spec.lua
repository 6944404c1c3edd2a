-- The server listens wherever it is told, several places at once, and knows who asks.
local lfs = require "lfs"
local listening = require "tests.e2e.listening"
local socket = require "socket"
local support = require "tests.e2e.support"
local unix = require "socket.unix"

local script = [[
local genet = require "genet"
local app = genet.app()
app:get("/hello", function() return "hello" end)
app:get("/peer", function(req) return req.remote_addr .. " " .. req.remote_port end)
app:get("/sleep", function() genet.sleep(0.5) return "slept" end)
return app
]]

-- A machine may have been set up without IPv6; then what needs it is pending.
local has_ipv6 = (function()
  local listener = socket.bind("::1", 0)
  if listener then listener:close() end
  return listener ~= nil
end)()

local function with_ipv6(name, test)
  it(name, has_ipv6 and test or function() pending("no IPv6 here") end)
end

local function serve(...)
  return listening.serve{script = script, args = {...}}
end

local function is_one_line(text)
  return text:match("^genet: [^\n]+\n$") ~= nil
end

local function refused(message, ...)
  local result = listening.run(script, {...})
  assert.equal(1, result.status, result.err)
  assert.equal("", result.out)
  assert.truthy(is_one_line(result.err), result.err)
  assert.truthy(result.err:find(message, 1, true), result.err)
  return result.err
end

describe("the addresses of a server", function()
  local server, directory

  before_each(function() directory = support.directory() end)
  after_each(function()
    if server then server:stop() end
    server = nil
    support.remove(directory)
  end)

  with_ipv6("may be of every kind at once, all named by the ready line", function()
    local path = directory .. "/site.sock"
    server = serve("--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", "unix:" .. path)
    assert.equal(3, #server.urls)
    assert.truthy(server.urls[1]:match("^http://127%.0%.0%.1:%d+$"), server.urls[1])
    assert.truthy(server.urls[2]:match("^http://%[::1%]:%d+$"), server.urls[2])
    assert.equal("unix:" .. path, server.urls[3])
    for _, url in ipairs(server.urls) do
      for _ = 1, 10 do assert.equal("hello", (listening.ask(url, "/hello"))) end
    end
  end)

  it("add to that of -h and -p", function()
    server = serve("-p", "0", "--listen", "localhost:0")
    assert.equal(2, #server.urls)
    assert.truthy(server.urls[1]:match("^http://127%.0%.0%.1:%d+$"), server.urls[1])
    assert.truthy(server.urls[2]:match("^http://localhost:%d+$"), server.urls[2])
    for _, url in ipairs(server.urls) do
      assert.equal("hello", (listening.ask(url, "/hello")))
    end
  end)

  it("with port 0 get free ports, each its own", function()
    server = serve("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
    local _, first = listening.host_port(server.urls[1])
    local _, second = listening.host_port(server.urls[2])
    assert.is_true(first > 0 and second > 0 and first ~= second)
  end)

  it("may be given with http:// before them", function()
    server = serve("--listen", "http://127.0.0.1:0")
    assert.truthy(server.urls[1]:match("^http://127%.0%.0%.1:%d+$"), server.urls[1])
    assert.equal("hello", (listening.ask(server.urls[1], "/hello")))
  end)

  it("may be a name", function()
    server = serve("-h", "localhost", "-p", "0")
    assert.truthy(server.urls[1]:match("^http://localhost:%d+$"), server.urls[1])
    assert.equal("hello", (listening.ask(server.urls[1], "/hello")))
  end)

  with_ipv6("may be a bare IPv6 address after -h", function()
    server = serve("-h", "::1", "-p", "0")
    assert.truthy(server.urls[1]:match("^http://%[::1%]:%d+$"), server.urls[1])
    assert.equal("hello", (listening.ask(server.urls[1], "/hello")))
  end)

  it("may be sixteen, all named by the ready line, however long", function()
    local arguments, expected = {}, {}
    for i = 1, 16 do
      local path = ("%s/%s-%02d"):format(directory, ("x"):rep(98 - #directory), i)
      arguments[#arguments + 1] = "--listen"
      arguments[#arguments + 1] = "unix:" .. path
      expected[i] = "unix:" .. path
    end
    server = serve(table.unpack(arguments))
    assert.same(expected, server.urls)
    for _, url in ipairs(expected) do assert.equal("hello", (listening.ask(url, "/hello"))) end
  end)

  it("may not be more than sixteen", function()
    local arguments = {}
    for _ = 1, 17 do
      arguments[#arguments + 1] = "--listen"
      arguments[#arguments + 1] = "127.0.0.1:0"
    end
    refused("16", table.unpack(arguments))
  end)

  it("take connections in turn, so that none starves", function()
    server = serve("--listen", "127.0.0.1:0", "--listen", "unix:" .. directory .. "/s")
    local crowd = {}
    for i = 1, 50 do
      crowd[i] = assert(socket.connect(listening.host_port(server.urls[1])))
      assert(crowd[i]:send(support.request_bytes("GET", "/sleep")))
    end
    assert.equal("hello", (listening.ask(server.urls[2], "/hello")))
    for _, client in ipairs(crowd) do
      client:settimeout(support.patience)
      assert.equal("HTTP/1.1 200 OK", (client:receive("*l")))
      client:close()
    end
  end)

  it("are all deaf once the server is told to stop, while requests go on", function()
    local path = directory .. "/s"
    server = serve("--listen", "127.0.0.1:0", "--listen", "unix:" .. path, "--drain", "60")
    local client = assert(socket.connect(listening.host_port(server.urls[1])))
    finally(function() client:close() end)
    assert(client:send(support.request_bytes("GET", "/sleep") ..
      support.request_bytes("GET", "/sleep")))
    server:signal("TERM")
    for _, url in ipairs(server.urls) do
      support.wait_until(url .. " to be deaf", function()
        local ok, result = pcall(listening.ask, url, "/hello")
        return ok and result == nil
      end)
    end
    assert.equal(0, server:wait())
  end)
end)

describe("the address of a peer", function()
  local server, directory

  setup(function()
    directory = support.directory()
    local arguments = {"--listen", "127.0.0.1:0", "--listen", "unix:" .. directory .. "/s"}
    local more = has_ipv6 and {"--listen", "[::1]:0", "--listen", "[::]:0"} or {}
    table.move(more, 1, #more, #arguments + 1, arguments)
    server = serve(table.unpack(arguments))
  end)
  teardown(function()
    server:stop()
    support.remove(directory)
  end)

  -- Asks from an address of ours; returns the peer that the server sees and our port.
  local function peer(connection)
    connection:settimeout(support.patience)
    assert(connection:send(support.request_bytes("GET", "/peer", {"Connection: close"})))
    local text = assert(connection:receive("*a"))
    local _, port = connection:getsockname()
    connection:close()
    return text:match("\r\n\r\n(.*)$"), port
  end

  it("is its IPv4 address and port", function()
    local seen, port = peer(assert(socket.connect(listening.host_port(server.urls[1]))))
    assert.equal("127.0.0.1 " .. port, seen)
  end)

  it("is another one of IPv4, when it asks from another", function()
    local client = assert(socket.tcp4())
    assert(client:bind("127.0.0.77", 0))
    assert(client:connect(listening.host_port(server.urls[1])))
    local seen, port = peer(client)
    assert.equal("127.0.0.77 " .. port, seen)
  end)

  with_ipv6("is its IPv6 address and port", function()
    local seen, port = peer(assert(socket.connect(listening.host_port(server.urls[3]))))
    assert.equal("::1 " .. port, seen)
  end)

  with_ipv6("is that of IPv6 at the address of all", function()
    local _, port_of_all = listening.host_port(server.urls[4])
    local seen, port = peer(assert(socket.connect("::1", port_of_all)))
    assert.equal("::1 " .. port, seen)
  end)

  with_ipv6("is never an IPv4 address in the clothes of IPv6", function()
    local _, port_of_all = listening.host_port(server.urls[4])
    local client = socket.connect("127.0.0.1", port_of_all)
    if not client then return end -- only IPv6 is taken there
    local seen, port = peer(client)
    assert.equal("127.0.0.1 " .. port, seen)
  end)

  it("is \"unix:\" for a Unix socket", function()
    assert.equal("unix: 0", (listening.ask("unix:" .. directory .. "/s", "/peer")))
  end)
end)

describe("a Unix socket", function()
  local server, directory, path

  before_each(function()
    directory = support.directory()
    path = directory .. "/site.sock"
  end)
  after_each(function()
    if server then server:stop() end
    server = nil
    support.remove(directory)
  end)

  local function mode_of(file)
    return lfs.attributes(file, "permissions")
  end

  for mode, permissions in pairs{["0600"] = "rw-------", ["0660"] = "rw-rw----",
      ["0666"] = "rw-rw-rw-"} do
    it(("has the mode %s when told so, whatever the umask"):format(mode), function()
      server = serve("--listen", "unix:" .. path .. "?mode=" .. mode)
      assert.same({"unix:" .. path}, server.urls)
      assert.equal("socket", lfs.attributes(path, "mode"))
      assert.equal(permissions, mode_of(path))
      assert.equal("hello", (listening.ask("unix:" .. path, "/hello")))
    end)
  end

  for _, mode in ipairs{"rw", "", "8", "0999", "-1"} do
    it(("with the mode %q is refused"):format(mode), function()
      refused("unix:" .. path, "--listen", "unix:" .. path .. "?mode=" .. mode)
      assert.is_nil(lfs.attributes(path))
    end)
  end

  it("is removed when the server ends", function()
    server = serve("--listen", "unix:" .. path)
    assert.equal("socket", lfs.attributes(path, "mode"))
    server:stop()
    server = nil
    assert.is_nil(lfs.attributes(path))
  end)

  it("that was left behind is replaced", function()
    local killed = serve("--listen", "unix:" .. path)
    killed:kill()
    killed:clean()
    assert.equal("socket", lfs.attributes(path, "mode"))
    server = serve("--listen", "unix:" .. path)
    assert.equal("hello", (listening.ask("unix:" .. path, "/hello")))
  end)

  it("that somebody listens on is refused, and stays", function()
    server = serve("--listen", "unix:" .. path)
    refused(path, "--listen", "unix:" .. path)
    assert.equal("hello", (listening.ask("unix:" .. path, "/hello")))
  end)

  it("whose place a file of another kind has is refused, and the file stays", function()
    support.write_file(path, "precious")
    refused(path, "--listen", "unix:" .. path)
    assert.equal("precious", support.read_file(path))
  end)

  it("whose place another file has taken meanwhile leaves that alone at the end", function()
    server = serve("--listen", "unix:" .. path)
    assert(os.remove(path))
    support.write_file(path, "precious")
    server:stop()
    server = nil
    assert.equal("precious", support.read_file(path))
  end)

  it("of a server that cannot start is removed", function()
    refused("nonsense", "--listen", "unix:" .. path, "--listen", "nonsense")
    assert.is_nil(lfs.attributes(path))
  end)

  it("carries many requests on a connection", function()
    server = serve("--listen", "unix:" .. path)
    local client = assert(unix.stream())
    finally(function() client:close() end)
    client:settimeout(support.patience)
    assert(client:connect(path))
    for _ = 1, 50 do
      assert(client:send(support.request_bytes("GET", "/hello")))
      local length
      for line in function() return client:receive("*l") end do
        length = tonumber(line:match("^Content%-Length: (%d+)$")) or length
        if line == "" then break end
      end
      assert.equal("hello", (client:receive(length)))
    end
  end)
end)

describe("an inherited socket", function()
  local server

  after_each(function()
    if server then server:stop() end
    server = nil
  end)

  -- LuaSocket's sockets stay open in a process that we start, under the same number.
  local function listener(bind)
    local inherited = assert(bind())
    finally(function() inherited:close() end)
    return inherited, "fd:" .. math.tointeger(inherited:getfd())
  end

  it("is listened on", function()
    local inherited, name = listener(function() return socket.bind("127.0.0.1", 0) end)
    server = serve("--listen", name)
    assert.same({name}, server.urls)
    local _, port = inherited:getsockname()
    assert.equal("hello", (listening.ask("http://127.0.0.1:" .. port, "/hello")))
  end)

  it("keeps who came before the server was there", function()
    local inherited, name = listener(function() return socket.bind("127.0.0.1", 0) end)
    local _, port = inherited:getsockname()
    local client = assert(socket.connect("127.0.0.1", port))
    finally(function() client:close() end)
    assert(client:send(support.request_bytes("GET", "/hello", {"Connection: close"})))
    server = serve("--listen", name)
    client:settimeout(support.patience)
    assert.truthy(client:receive("*a"):find("hello", 1, true))
  end)

  it("may be a Unix socket, whose file stays at the end", function()
    local directory = support.directory()
    finally(function() support.remove(directory) end)
    local path = directory .. "/s"
    local _, name = listener(function()
      local made = assert(unix.stream())
      assert(made:bind(path))
      assert(made:listen(32))
      return made
    end)
    server = serve("--listen", name)
    assert.equal("unix: 0", (listening.ask("unix:" .. path, "/peer")))
    server:stop()
    server = nil
    assert.equal("socket", lfs.attributes(path, "mode"))
  end)

  with_ipv6("of both families names peers of IPv4 as such", function()
    local inherited, name = listener(function()
      local both = assert(socket.tcp6())
      assert(both:setoption("ipv6-v6only", false))
      assert(both:bind("::", 0))
      assert(both:listen(32))
      return both
    end)
    server = serve("--listen", name)
    local _, port = inherited:getsockname()
    local body = listening.ask("http://127.0.0.1:" .. port, "/peer")
    assert.truthy(body:match("^127%.0%.0%.1 %d+$"), body)
    body = listening.ask("http://[::1]:" .. port, "/peer")
    assert.truthy(body:match("^::1 %d+$"), body)
  end)

  it("that is given twice is refused", function()
    local _, name = listener(function() return socket.bind("127.0.0.1", 0) end)
    refused(name, "--listen", name, "--listen", name)
  end)

  it("that does not listen is refused", function()
    local _, name = listener(function()
      local idle = assert(socket.tcp4())
      assert(idle:bind("127.0.0.1", 0))
      return idle
    end)
    refused(name, "--listen", name)
  end)

  it("that is no stream is refused", function()
    local _, name = listener(function()
      local datagrams = assert(socket.udp4())
      assert(datagrams:setsockname("127.0.0.1", 0))
      return datagrams
    end)
    refused(name, "--listen", name)
  end)
end)

describe("an address", function()
  local long = "/tmp/" .. ("x"):rep(120)
  local cases = {
    {"that is none", "nonsense"},
    {"that is empty", ""},
    {"without a port", "127.0.0.1:"},
    {"without a host", ":5000"},
    {"whose port is too large", "localhost:99999"},
    {"whose port wraps around", "localhost:18446744073709551617"},
    {"whose port is a word", "localhost:http"},
    {"whose port is negative", "localhost:-1"},
    {"whose bracket is not closed", "[::1"},
    {"whose bracket is empty", "[]:5000"},
    {"of IPv6 without brackets", "::1:5000"},
    {"with something behind its bracket", "[::1]x:5000"},
    {"that is a descriptor which is not open", "fd:99"},
    {"that is a descriptor which is a file", "fd:2"},
    {"that is no descriptor", "fd:three"},
    {"that is a negative descriptor", "fd:-1"},
    {"that is an empty descriptor", "fd:"},
    {"that is a path which is too long", "unix:" .. long},
    {"that is an empty path", "unix:"},
    {"in a directory that is not there", "unix:/no/such/directory/s"},
    {"whose name does not resolve", "no-such-host.invalid:5000"},
    {"that is not of this machine", "192.0.2.1:5000"},
    {"of TLS without a certificate", "https://127.0.0.1:0"},
    {"of another scheme", "ftp://127.0.0.1:0"},
  }
  for _, case in ipairs(cases) do
    local what, address = table.unpack(case)
    it(("%s is refused in one clear line that names it"):format(what), function()
      local line = refused("", "--listen", address)
      assert.truthy(line:find(address:sub(1, 100), 1, true), line)
    end)
  end

  it("that is refused is refused before the server takes anybody at another", function()
    refused("nonsense", "--listen", "127.0.0.1:0", "--listen", "nonsense")
  end)

  it("that is taken is refused", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    finally(function() listener:close() end)
    local _, port = listener:getsockname()
    refused("127.0.0.1:" .. port, "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:" .. port)
  end)
end)
