-- A console in a running host.
local socket = require "socket"
local unix = require "socket.unix"
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
local version = "one"
local function nap(name)
  local secret = {1}
  genet.sleep(600)
  return secret, name
end
app:get("/hello", function() return "hello test" end)
app:get("/nap/<name>", function(_, name) return (nap(name)) end)
app:get("/version", function() return version end)
function global_function() return "from the script" end
return app
]]

local function serve()
  support.only("default", "a console is of one worker; see workers_spec.lua", pending)
  return support.serve{script = script}
end

local function attach(server, ...)
  local arguments = {"attach", "--control", server:control()}
  for _, command in ipairs{...} do
    table.insert(arguments, "-e")
    table.insert(arguments, command)
  end
  return support.run(arguments)
end

-- What a command prints when all is well.
local function say(server, ...)
  local result = attach(server, ...)
  assert.equal("", result.err)
  assert.equal(0, result.status)
  return result.out
end

-- The id of the call whose line has this text.
local function id_of(server, text)
  return support.wait_until("the call " .. text, function()
    for line in say(server, "tasks"):gmatch("[^\n]+") do
      if line:find(text, 1, true) then return line:match("^%d+") end
    end
  end)
end

-- Python runs the client on a terminal of its own: what is typed is a list of what to wait for and
-- what to type then.
local TYPIST = [[
import os, pty, select, signal, sys, time
steps, command = eval(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0: os.execvp(command[0], command)
seen, at, end = b"", 0, time.time() + float(os.environ["PATIENCE"])
def read():
    global seen
    if not select.select([fd], [], [], 0.05)[0]: return True
    try: data = os.read(fd, 65536)
    except OSError: return False
    seen += data.replace(b"\r", b"")
    return bool(data)
open_ = True
for wanted, keys in steps:
    while open_ and wanted.encode() not in seen[at:] and time.time() < end: open_ = read()
    found = seen.find(wanted.encode(), at)
    if found < 0: break
    at = found + len(wanted)
    os.write(fd, keys.encode())
while open_ and time.time() < end: open_ = read()
if time.time() >= end: os.kill(pid, signal.SIGKILL)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
]]

-- Types at `genet attach`. Returns what stood on the terminal, and the exit status.
local function type_at(server, steps)
  local directory = support.directory{["typist.py"] = TYPIST}
  local words = {}
  for _, step in ipairs(steps) do
    words[#words + 1] = ("(%q, %q)"):format(step[1], step[2]):gsub("\\\n", "\\n"):gsub("\\9", "\\t")
  end
  -- Readline leaves its own memory behind.
  local command = ("ASAN_OPTIONS=detect_leaks=0 HOME=%s PATIENCE=%d GENET_HISTORY=%s/history "
    .. "INPUTRC=/dev/null TERM=dumb exec setpriv --pdeathsig KILL /usr/bin/python3 %s/typist.py "
    .. "%s %s attach --control %s")
    :format(directory, support.patience, directory, directory,
      support.quote("[" .. table.concat(words, ", ") .. "]"), support.binary, server:control())
  local pipe = io.popen(command)
  local text = pipe:read("a")
  local _, _, status = pipe:close()
  support.remove(directory)
  return text, status
end

describe("genet attach", function()
  it("lists a thousand parked requests with their Lua stacks, and cancels one", function()
    local server = serve()
    finally(function() server:stop() end)
    local count = support.crowd_size(1000)
    local crowd = server:crowd(count - 1, "/nap/many")
    crowd:wait_sent()
    local one = server:ask("/nap/one")
    local id = id_of(server, "GET /nap/one")
    local out
    support.wait_until("all of them", function()
      out = say(server, "tasks")
      return out:find(("\n%d calls\n"):format(count), 1, true)
    end)
    local _, heads = out:gsub("%f[^\n\0]%d+  GET /nap/%w+  generation 1, began [%d.]+ s ago, "
      .. "waits for [%d.]+ s in sleep, for [%d.]+ s more at most\n", "")
    local _, frames = out:gsub("main%.lua:6 in upvalue 'nap'\n", "")
    assert.equal(count, heads)
    assert.equal(count, frames)
    assert.equal("hello test", server:get("/hello").body)
    local full = say(server, "task " .. id)
    assert.truthy(full:find('name = "one"', 1, true), full)
    assert.truthy(full:find("secret = table: 0x", 1, true), full)
    assert.equal("", say(server, "cancel " .. id))
    assert.equal(503, one:response().status)
    support.wait_until("one call less", function()
      return say(server, "tasks"):find(("\n%d calls\n"):format(count - 1), 1, true)
    end)
    assert.equal("generation 2 serves\n", say(server, "reload"))
    assert.equal(tostring(count - 1) .. "\n", say(server, [[
      local n = 0
      for line in ("x"):rep(]] .. count - 1 .. [[):gmatch(".") do n = n + #line end
      return n]]))
    assert.truthy(say(server, "status"):find("generation 1 retires", 1, true))
    assert.equal("1\n2\n", say(server, "@1 genet.generation()", "eval @2 genet.generation()"))
    support.wait_until("its end", function() -- two signals that come together are one
      server:signal("TERM")
      return server:has_ended()
    end)
    server.status = 0
  end)

  -- Code, and what is printed.
  local cases = {
    {"1 + 1", "2\n"},
    {"= 1 + 1, nil, 'x'", '2\tnil\t"x"\n'},
    {"global_function()", '"from the script"\n'},
    {"print('a', nil, 1)", "a\tnil\t1\n"},
    {"genet.sleep(0.01) return 'waited'", '"waited"\n'},
    {"local t = genet.spawn(function() genet.sleep(0.01) return 7 end) return t:wait()",
      "true\t7\n"},
    {"eval tasks", "nil\n"},
    {"", ""},
    {"log", "the log has what is info and worse\n"},
    {"workers", "^0  pid %d+\n$"},
    {"memory", "^Lua memory of generation 1: %d+ KB\nresident memory: %d+ KB\nfibers: %d+\n$"},
    {"gc", "^%d+ KB were freed, %d+ KB are left\n$"},
  }
  it("runs Lua code, and its own commands", function()
    local server = serve()
    finally(function() server:stop() end)
    for _, case in ipairs(cases) do
      local out = say(server, case[1])
      assert.truthy(out == case[2] or case[2]:sub(1, 1) == "^" and out:find(case[2]),
        case[1] .. ": " .. out)
    end
    assert.equal("5\n", say(server, "x = 5", "x"))
    assert.equal("nil\n", say(server, "rawget(_G, 'x')"))
    say(server, "log error")
    assert.equal("the log has what is error and worse\n", say(server, "log"))
    assert.truthy(say(server, "help"):find("tasks .*lists what runs and waits"))
  end)

  it("tells what is wrong, and ends with 1", function()
    local server = serve()
    finally(function() server:stop() end)
    for _, case in ipairs{
      {"x = = 1", "console:1: unexpected symbol near '='"},
      {"error('boom')", ""},
      {"for i =", "the code is not complete"},
      {"cancel 999", "there is no such call"},
      {"task x", "there is no such call"},
      {"@9 1", "there is no such generation"},
      {"log loud", "a level is error, warn, info or debug"},
    } do
      local result = attach(server, case[1])
      assert.equal(1, result.status)
      local text = result.out .. result.err
      assert.truthy(text:find(case[2], 1, true), text)
    end
    assert.truthy(attach(server, "error('boom')").out:find("console:1: boom\nstack traceback:", 1,
      true))
    local result = support.run{"attach", "--control", server:control(), "--worker", "3", "-e", "1"}
    assert.equal(1, result.status)
    assert.truthy(result.err:find("there is no worker '3'", 1, true))
    result = support.run{"attach", "--control", "/nowhere", "-e", "1"}
    assert.equal(1, result.status)
    assert.truthy(result.err:find("no host answers at '/nowhere'", 1, true))
  end)

  it("is a prompt on a terminal, where Ctrl-C ends what runs", function()
    local server = serve()
    finally(function() server:stop() end)
    local text, status = type_at(server, {
      {"> ", "1 + 41\n"},
      {"42\n> ", "function f()\n"},
      {">> ", "return 'typed'\n"},
      {">> ", "end\n"},
      {"> ", "f()\n"},
      {'"typed"\n> ', "print('loops') while true do end\n"},
      {"\nloops", "\3"},
      {"cancelled", ""},
      {"\n> ", "'still ' .. 'here'\n"},
      {'"still here"\n> ', "stat\t\n"},
      {"generation 1 serves", ""},
      {"\n> ", "quit\n"},
    })
    assert.equal(0, status, text)
    assert.truthy(text:find("still here", 1, true), text)
  end)

  it("tells that the host has ended", function()
    local server = serve()
    finally(function() server:stop() end)
    local text, status
    local client = assert(io.popen(("exec setpriv --pdeathsig KILL %s attach --control %s -e "
      .. "'print(1) genet.sleep(60)' 2>&1"):format(support.binary, server:control())))
    assert.equal("1", client:read("l"))
    say(server, ("cancel %s"):format(id_of(server, "app:console  generation 1, began")))
    text = client:read("a")
    client:close()
    assert.truthy(text:find("cancelled", 1, true), text)
    text, status = type_at(server, {
      {"> ", ("require('genet.process').run{'kill', '-TERM', '%d'}\n"):format(server.pid)},
      {"> ", "1\n"},
      {"> ", "2\n"},
    })
    assert.equal(0, server:wait())
    assert.truthy(text:find("the host has ended the connection", 1, true), text)
    assert.equal(1, status)
  end)

  it("refuses another user", function()
    local pipe = io.popen("id -u")
    local uid = pipe:read("n")
    pipe:close()
    if uid ~= 0 then return pending("only root can become another user") end
    local server = serve()
    finally(function() server:stop() end)
    -- Even where the files would let him in.
    os.execute(("chmod 711 %s %s/genet; chmod 666 %s"):format(server.directory, server.directory,
      server:control()))
    local as = "setpriv --reuid nobody --regid nogroup --clear-groups "
    pipe = io.popen(as .. "/usr/bin/python3 -c '" .. [[
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("]] .. server:control() .. [[")
try:
    s.sendall(b"attach 0\nrun 1\n1")
    print(s.recv(100))
except (BrokenPipeError, ConnectionResetError): print(b"")']])
    assert.equal("b''", pipe:read("l"))
    pipe:close()
  end)

  -- What a client sends that keeps to no protocol.
  local broken = {"run x\n", "run 99999999999\n", "walk 1\nx", "run 1\n", "run 5\nx=1\nx",
    ("x"):rep(100), "run 3\n1+1run 3\n1+1", "interrupt 0\ninterrupt 0\n", "\0\0\n"}
  it("ends consoles that speak nonsense, and only those", function()
    local server = serve()
    finally(function() server:stop() end)
    server:get("/hello")
    local before = server:settled_descriptors()
    for _, bytes in ipairs(broken) do
      local client = assert(unix())
      assert(client:connect(server:control()))
      client:send("attach 0\n" .. bytes)
      socket.sleep(0.005)
      client:close()
    end
    local client = assert(unix()) -- starts something, and goes
    assert(client:connect(server:control()))
    client:send("attach 0\nrun 16\ngenet.sleep(600)")
    id_of(server, "app:console  generation 1, began")
    client:close()
    support.wait_until("its end", function()
      return say(server, "tasks"):find("^0 calls\n$")
    end)
    assert.equal("hello test", server:get("/hello").body)
    support.wait_until("the descriptors", function()
      return server:settled_descriptors() == before
    end)
  end)
end)
