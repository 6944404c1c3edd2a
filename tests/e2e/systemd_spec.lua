-- What passes between systemd and the host: sockets, and how things go.
local certificates = require "tests.e2e.certificates"
local listening = require "tests.e2e.listening"
local socket = require "socket"
local support = require "tests.e2e.support"
local unix = require "socket.unix"

local script = [[
local genet = require "genet"
local app = genet.app()
app:get("/hello", function() return "hello" end)
app:get("/slow", function() genet.log("slow") genet.sleep(0.3) return "slow" end)
app:get("/stall", function() genet.uninterrupted(function() while true do end end) end)
return app
]]

-- A socket such as systemd listens on, and what has come there so far.
local Manager = {}
Manager.__index = Manager

local function new_manager()
  local directory = support.directory()
  local path = directory .. "/notify"
  local made = setmetatable({path = path, directory = directory, got = ""}, Manager)
  made.socket = assert(unix.dgram())
  assert(made.socket:bind(made.path))
  made.socket:settimeout(0)
  return made
end

function Manager:read()
  local text = self.socket:receive()
  while text do
    self.got = self.got .. text .. "\n--\n"
    text = self.socket:receive()
  end
  return self.got
end

-- Waits until this has come; what came before it, and it, is forgotten.
function Manager:expect(wanted)
  local ok = pcall(support.wait_until, wanted, function()
    local _, last = self:read():find(wanted, 1, true)
    if last then self.got = self.got:sub(last + 1) end
    return last
  end)
  if not ok then error(("waited in vain for %q; there was %q"):format(wanted, self.got), 2) end
end

function Manager:close()
  self.socket:close()
  support.remove(self.directory)
end

describe("systemd", function()
  local manager, server

  before_each(function() manager = new_manager() end)
  after_each(function()
    if server then server:stop() end
    server = nil
    manager:close()
  end)

  local function serve(options)
    options.script = script
    options.env = options.env or {}
    options.env.NOTIFY_SOCKET = manager.path
    server = support.serve(options)
  end

  for _, mode in ipairs{"", "--threaded=2", "--processes=2"} do
    it("hears when the host serves, loads, and ends " .. mode, function()
      serve{args = {"--drain", "5", mode ~= "" and mode or nil}}
      manager:expect(("READY=1\nSTATUS=Listening on http://127.0.0.1:%d\n"):format(server.port))
      assert.equal(0, server:tell("reload").status)
      manager:expect("RELOADING=1\nMONOTONIC_USEC=")
      manager:expect("READY=1\nSTATUS=Generation 2 serves\n")
      server:save("main.lua", "local x = = 1")
      server:signal("HUP")
      manager:expect("RELOADING=1\n")
      manager:expect("READY=1\nSTATUS=Generation 2 serves, the scripts cannot be loaded: ")
      manager:expect("unexpected symbol")
      local slow = server:ask("/slow")
      finally(function() slow:close() end)
      server:wait_for_log("slow")
      server:signal("TERM")
      manager:expect("STOPPING=1\nSTATUS=Ending what goes on\nEXTEND_TIMEOUT_USEC=13000000\n")
      assert.equal("slow", slow:response().body)
      assert.equal(0, server:wait())
      assert.is_nil(manager:read():find("READY", 1, true))
    end)
  end

  it("does not hear of a host that cannot load its scripts that it serves", function()
    local directory = support.directory{["main.lua"] = "error 'no'"}
    finally(function() support.remove(directory) end)
    local process = support.start({"runserver", directory, "-p", "0"},
      {NOTIFY_SOCKET = manager.path})
    assert.equal(1, process:wait())
    process:clean()
    assert.equal("", manager:read())
  end)

  it("need not be there", function()
    serve{}
    manager:expect("READY=1")
    manager.socket:close()
    os.remove(manager.path)
    assert.equal(0, server:tell("reload").status)
    server:wait_for_log("systemd does not hear: ")
    assert.equal("hello", server:get("/hello").body)
  end)

  it("gets pings for as long as the loop comes round", function()
    serve{env = {WATCHDOG_USEC = "200000"}, args = {"--cpu-limit", "0", "--slice-ms", "0"}}
    for _ = 1, 3 do manager:expect("WATCHDOG=1\n") end
    local stalled = server:ask("/stall")
    finally(function() stalled:close() end)
    support.wait_until("silence", function()
      manager.got = ""
      socket.sleep(0.5)
      return manager:read() == ""
    end)
    server:kill()
    server:clean()
    server = nil
  end)

  it("gets no pings that are meant for another process", function()
    serve{env = {WATCHDOG_USEC = "20000", WATCHDOG_PID = "1"}}
    manager:expect("READY=1")
    for _ = 1, 5 do server:get("/slow?short") end
    assert.is_nil(manager:read():find("WATCHDOG", 1, true))
  end)
end)

describe("sockets that systemd passes on", function()
  local process, scripts, made
  local open = {}

  setup(function() made = certificates.new() end)
  teardown(function() support.remove(made.directory) end)

  after_each(function()
    if process then
      process:signal("TERM")
      assert.equal(0, process:wait())
      process:check_sanitizers()
      process:clean()
      support.remove(scripts)
    end
    process = nil
    for _, listener in ipairs(open) do listener:close() end
    open = {}
  end)

  local function listener()
    local bound = assert(socket.bind("127.0.0.1", 0))
    open[#open + 1] = bound
    local _, port = bound:getsockname()
    return math.tointeger(bound:getfd()), math.tointeger(tonumber(port))
  end

  -- As systemd does: they are 3, 4 ..., and the variables say so to this process.
  local function start(names, arguments)
    local moves, ports = {}, {}
    for at = 1, #names do
      local fd, port = listener()
      ports[at] = port
      moves[at] = ("%d<&%d"):format(20 + at, fd)
    end
    for at = 1, #names do moves[#moves + 1] = ("%d<&%d"):format(2 + at, 20 + at) end
    scripts = support.directory{["main.lua"] = script}
    local shell = ("exec %s; LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec \"$0\" \"$@\"")
      :format(table.concat(moves, " "), #names, table.concat(names, ":"))
    local binary = support.binary
    support.binary = "bash"
    process = support.start{"-c", shell, binary, "runserver", scripts,
      table.unpack(arguments or {})}
    support.binary = binary
    return ports
  end

  local function await_ready()
    return support.wait_until("the ready line", function()
      local urls = process:stdout():match("genet: listening on ([^\n]+)\n")
      if not urls and process:has_ended() then error(process:stderr(), 0) end
      return urls
    end)
  end

  local function ask(port, scheme)
    local pipe = assert(io.popen(("curl -sk -m %d %s://127.0.0.1:%d/hello"):format(
      support.patience, scheme or "http", port)))
    local text = pipe:read("a")
    pipe:close()
    return text
  end

  it("are listened on instead of the addresses of the options", function()
    local ports = start({"genet.socket", "genet.socket"}, {"--port", "5999"})
    assert.equal("fd:3 fd:4", await_ready())
    assert.equal("hello", ask(ports[1]))
    assert.equal("hello", ask(ports[2]))
    assert.truthy(process:stderr():find("listening on the sockets of systemd alone", 1, true))
  end)

  it("speak TLS when their names say so", function()
    local pair = made:pair("localhost", {names = {"localhost"}})
    local ports = start({"http", "https"}, {"--cert", pair.cert, "--key", pair.key,
      "--redirect-https"})
    await_ready()
    assert.equal("hello", ask(ports[2], "https"))
    local _, head = listening.ask("http://127.0.0.1:" .. ports[1], "/hello")
    assert.truthy(head:find("[Ll]ocation: https://127.0.0.1:" .. ports[2] .. "/hello\r\n"), head)
  end)

  it("are listened on by their names, beside other addresses", function()
    local ports = start({"one", "two", "two"}, {"--listen", "fd:two", "--listen", "127.0.0.1:0"})
    local urls = await_ready()
    assert.truthy(urls:find("^fd:4 fd:5 http://127%.0%.0%.1:%d+$"), urls)
    assert.equal("hello", ask(ports[2]))
    assert.equal("hello", ask(ports[3]))
  end)

  for _, case in ipairs{
    {"a name that is not among them", {"one"}, {"--listen", "fd:two"},
      "cannot listen on fd:two: systemd has passed no socket of that name"},
    {"TLS without a certificate", {"https"}, {}, "https://fd:3: TLS needs a certificate and a key"},
  } do
    it("end it with a clear line: " .. case[1], function()
      start(case[2], case[3])
      assert.equal(1, process:wait())
      assert.equal("genet: " .. case[4] .. "\n", process:stderr():match("genet: [^\n]*\n$"))
      process:clean()
      process = nil
      support.remove(scripts)
    end)
  end
end)

describe("the unit files", function()
  it("please systemd-analyze", function()
    local unit = support.directory()
    finally(function() support.remove(unit) end)
    local text = support.read_file("host/units/genet.service.in")
    support.write_file(unit .. "/genet.service",
      (text:gsub("@CMAKE_INSTALL_FULL_BINDIR@/genet", "/bin/true")))
    support.write_file(unit .. "/genet.socket", support.read_file("host/units/genet.socket"))
    local pipe = assert(io.popen(("systemd-analyze verify %s/genet.service %s/genet.socket 2>&1")
      :format(unit, unit)))
    local said = pipe:read("a")
    pipe:close()
    assert.is_nil(said:find("genet.s", 1, true), said)
  end)
end)
