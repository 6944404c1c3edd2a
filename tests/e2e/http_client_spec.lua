-- `genet.http`: handlers that ask the server they run in, one that misbehaves, and those of TLS.
local certificates = require "tests.e2e.certificates"
local listening = require "tests.e2e.listening"
local support = require "tests.e2e.support"

-- Runs what is posted to /run, with what it needs at hand; its result is the answer.
local script = [==[
local genet = require "genet"
local http = require "genet.http"
local app = genet.app()

local tools = setmetatable({genet = genet, http = http}, {__index = _G})

function tools.wait_for(what)
  while not what() do genet.sleep(0.01) end
end
function tools.show(response, err)
  return response and ("%d %s"):format(response.status, response.body) or "nil " .. tostring(err)
end

app:post("/run", {max_body = 1 << 20}, function(req)
  tools.base = "http://127.0.0.1:" .. req.args.port
  local chunk, problem = load(req:body(), "=posted", "t", tools)
  if not chunk then return problem end
  local _, result = xpcall(chunk, debug.traceback)
  return tostring(result)
end)

app:get("/hello", function() return "hello" end)
app:get("/peer", function(req) return tostring(req.remote_port) end)
-- Answers once so many have asked.
app:get("/meet/<int:count>", function(req, count)
  local met, key = genet.shared("met"), tostring(count)
  met:incr(key, 1, 0)
  while met:get(key) < count do genet.sleep(0.02) end
  return tostring(req.remote_port)
end)
app:route("/echo", {methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}}, function(req)
  local headers = req.headers
  return {method = req.method, body = req:body(), query = req.query, host = req.host,
    type = headers.content_type, auth = headers.authorization, own = headers.x_own}
end)
app:get("/down/<int:megabytes>", function(_, megabytes)
  return function(write)
    local piece = ("x"):rep(65536)
    for _ = 1, megabytes * 16 do write(piece) end
  end
end)
app:post("/up", {max_body = 1 << 30}, function(req)
  local size = 0
  for piece in function() return req:read(65536) end do size = size + #piece end
  return tostring(size)
end)
app:get("/status/<int:code>", function(_, code) return "", code end)
app:route("/to", {methods = {"GET", "POST"}}, function(req)
  return genet.redirect(req.args.url, math.tointeger(tonumber(req.args.status)))
end)
app:get("/loop", function() return genet.redirect("/loop") end)

return app
]==]

local server, rogue

-- A misbehaving server, with its `port` and what it got, as lines "NUMBER METHOD NAME".
local function start_rogue(...)
  local process = support.start{"run", "tests/e2e/misbehaving.lua", ...}
  process.port = support.wait_until("the port of a server", function()
    if process:has_ended() then error(process:stderr(), 0) end
    return process:stdout():match("port (%d+)\n")
  end)
  return process
end

local function stop_rogue(process)
  process:kill()
  process:check_sanitizers()
  process:clean()
end

setup(function()
  server = support.serve{script = script}
  rogue = start_rogue()
end)
teardown(function()
  stop_rogue(rogue)
  server:stop()
end)

-- Runs code in the server; `rogue` in it is the URL of the misbehaving one.
local function run(code, ...)
  code = ("local rogue = 'http://127.0.0.1:%d'\n"):format(rogue.port) .. code:format(...)
  local response = server:request("POST", "/run?port=" .. server.port, nil, code)
  assert.equal(200, response.status)
  return response.body
end

describe("genet.http", function()
  it("gets a page", function()
    assert.equal("200 hello", run"return show(http.get(base .. '/hello'))")
    assert.equal("200 hello", run[[
      local by_name = base:gsub("127.0.0.1", "localhost")
      return show(http.get(by_name .. "/hello"))
    ]])
    assert.equal("200 ", run"return show(http.head(base .. '/hello'))")
  end)

  local echoes = {
    {"http.get(base .. '/echo', {query = {q = 'a b', p = {1, 2}}})", "query", "p=1&p=2&q=a%20b"},
    {"http.post(base .. '/echo', {body = 'text'})", "body", "text"},
    {"http.post(base .. '/echo', {json = {a = 1}})", "body", "{\"a\":1}"},
    {"http.post(base .. '/echo', {json = {a = 1}})", "type", "application/json"},
    {"http.post(base .. '/echo', {form = {a = 'x y'}})", "body", "a=x%20y"},
    {"http.put(base .. '/echo', {body = ''})", "method", "PUT"},
    {"http.patch(base .. '/echo', {body = 'p'})", "body", "p"},
    {"http.delete(base .. '/echo')", "method", "DELETE"},
    {"http.request{url = base .. '/echo', method = 'post'}", "method", "POST"},
    {"http.get(base .. '/echo', {auth = {'me', 'pw'}})", "auth", "Basic bWU6cHc="},
    {"http.get(base .. '/echo', {headers = {['X-Own'] = 'mine'}})", "own", "mine"},
    {"http.get(base .. '/echo', {headers = {Host = 'a.test'}})", "host", "a.test"},
    {"http.client{base_url = base .. '/x/'}:get('../echo')", "method", "GET"},
    {"http.post(base .. '/echo', {body = io.lines('/proc/self/comm', 2)})", "body", "genet\n"},
  }
  for _, case in ipairs(echoes) do
    local call, field, expected = table.unpack(case)
    it("sends what is asked for: " .. call, function()
      assert.equal(expected, run("return assert(%s):json().%s", call, field))
    end)
  end

  it("tells everything about a response", function()
    assert.equal("404 Not Found false 1.1 text/plain; charset=utf-8", run[[
      local r = assert(http.get(base .. "/nowhere"))
      local ok, media = tostring(r.ok), r.headers.content_type
      return table.concat({r.status, r.reason, ok, r.version, media}, " ")
    ]])
    assert.equal("a=1|b=2", run[[
      return table.concat(http.get(rogue .. "/cookies").headers:getlist("set-cookie"), "|")
    ]])
    for _, code in ipairs{204, 304, 205} do
      assert.equal(code .. " ", run("return show(http.get(base .. '/status/%d'))", code))
    end
  end)

  it("names the argument that is wrong, and sends nothing", function()
    local from = #rogue:stdout()
    assert.truthy(run"http.get(rogue .. '/hello\\r\\nX: y')":find("argument 'url'", 1, true))
    assert.truthy(run"http.get(rogue .. '/hello', {headers = {A = 'b\\r\\nC: d'}})"
      :find("option 'headers': A has a control character", 1, true))
    assert.equal(from, #rogue:stdout())
  end)
end)

describe("the connections of genet.http", function()
  it("are kept and used again", function()
    assert.equal("1 port", run[[
      local client <close> = http.client()
      local ports, count = {}, 0
      for _ = 1, 20 do
        local port = assert(client:get(base .. "/peer")).body
        if not ports[port] then ports[port], count = true, count + 1 end
        assert(client:get(base .. "/status/204"))
        assert(client:head(base .. "/hello"))
        assert(client:post(base .. "/echo", {body = function() end}))
      end
      return count .. " port"
    ]])
  end)

  it("are shared by a crowd, each by one at a time, and kept within bounds", function()
    local size = support.waiting_size(200)
    assert.equal(("%d at once, 7 kept, 7 of them good"):format(size), run([[
      local client <close> = http.client{max_idle_per_host = 7}
      -- Asks so often at once; returns the ports that the requests came from.
      local function meet(count)
        local tasks, ports = {}, {}
        for i = 1, count do
          tasks[i] = function() return client:get(base .. "/meet/" .. count).body end
        end
        for i, port in ipairs(assert(genet.all(tasks))) do ports[port] = i end
        return ports
      end
      local first, kept = meet(%d), client.pool:count()
      local all, good = 0, 0
      for _ in pairs(first) do all = all + 1 end
      for port in pairs(meet(kept)) do good = good + (first[port] and 1 or 0) end
      return ("%%d at once, %%d kept, %%d of them good"):format(all, kept, good)
    ]], size))
  end)

  -- What a rogue has got during a test, as "METHOD NAME (connection)" with connections from 1.
  local function requests(code)
    local from = #rogue:stdout() + 1
    local result = run(code)
    local numbers, count, list = {}, 0, {}
    for number, method, name in rogue:stdout():sub(from):gmatch("(%d+)\t(%u+)\t(%w+)\n") do
      if not numbers[number] then
        count = count + 1
        numbers[number] = count
      end
      list[#list + 1] = ("%s %s (%d)"):format(method, name, numbers[number])
    end
    return result, table.concat(list, ", ")
  end

  it("are tried again once when they turn out to be dead, if that is harmless", function()
    local result, got = requests[[
      local client <close> = http.client()
      assert(client:get(rogue .. "/hello"))
      return show(client:get(rogue .. "/fickle"))
    ]]
    assert.equal("200 hello", result)
    assert.equal("GET hello (1), GET fickle (1), GET fickle (2)", got)
  end)

  it("are not tried again when the request may have been done", function()
    local cases = {"'POST', body = 'x'", "'PUT', body = io.lines('/proc/self/comm', 2)"}
    for _, options in ipairs(cases) do
      local result, got = requests(([[
        local client <close> = http.client()
        assert(client:get(rogue .. "/hello"))
        return show(client:request{url = rogue .. "/fickle", method = %s})
      ]]):format(options))
      assert.truthy(result:find("^nil no response: 127.0.0.1:%d+ closed the connection$"), result)
      assert.truthy(got:find("^GET hello %(1%), %u+ fickle %(1%)$"), got)
    end
  end)

  it("are not tried again when they are new", function()
    local result, got = requests[[return show(http.client():get(rogue .. "/nothing"))]]
    assert.truthy(result:find("^nil no response: "), result)
    assert.equal("GET nothing (1)", got)
  end)

  it("are left when the server has closed them meanwhile", function()
    local result, got = requests[[
      local client <close> = http.client()
      assert(client:get(rogue .. "/bye"))
      wait_for(function() return not client.pool.idle[1][1]:is_idle() end)
      return show(client:post(rogue .. "/hello", {body = "x"}))
    ]]
    assert.equal("200 hello", result)
    assert.equal("GET bye (1), POST hello (2)", got)
  end)

  it("are not used again after more than was asked for, or less than all was read", function()
    for _, first in ipairs{
      "client:get(rogue .. '/extra')", "client:get(rogue .. '/old')",
      "client:get(rogue .. '/hello', {stream = true}):close()",
      "client:get(rogue .. '/hello', {headers = {Connection = 'close'}})",
      "client:get(rogue .. '/short')",
    } do
      local result, got = requests("local client <close> = http.client()\n" .. first
        .. "\nreturn show(client:get(rogue .. '/hello'))")
      assert.equal("200 hello", result)
      assert.truthy(got:find("GET hello (2)", 1, true), got)
    end
  end)
end)

describe("genet.http and the failures of the world", function()
  local failures = {
    {"http.get('http://no-such-host.invalid/')", "cannot resolve no%-such%-host.invalid: "},
    {"http.get('http://127.0.0.1:1/')", "cannot connect to 127.0.0.1:1: connection refused"},
    {"http.get('http://[::1]:1/')", "cannot connect to ::1:1: "},
    {"http.get(rogue .. '/nothing')", "no response: 127.0.0.1:%d+ closed the connection"},
    {"http.get(rogue .. '/half')", "no response: 127.0.0.1:%d+ closed the connection"},
    {"http.get(rogue .. '/garbage')", "bad response: it begins with \"SSH%-2.0%-OpenSSH_9.2\""},
    {"http.get(rogue .. '/huge')", "bad response: its head is too large"},
    {"http.get(rogue .. '/lengths')", "bad response: two lengths that differ"},
    {"http.get(rogue .. '/badchunk')", "bad response: a chunk begins with \"xyz\""},
    {"http.get(rogue .. '/short')", "body cut short: closed after 3 of 9 bytes"},
    {"http.get(rogue .. '/chunk')", "body cut short: closed after 3 bytes"},
    {"http.get(rogue .. '/flood', {max_body = 100000})", "body too large: more than 100000 bytes"},
    {"http.get(rogue .. '/silent', {timeout = 0.1})",
      "timeout: no response from 127.0.0.1:%d+ in time"},
    {"http.get(rogue .. '/drip', {timeout = 0.3})",
      "timeout: the body stopped after %d+ of 1000000 bytes"},
    {"http.get(rogue .. '/stop', {timeout = 0.3})", "timeout: the body stopped after 3 of 9 bytes"},
    {"http.post(rogue .. '/silent', {body = ('x'):rep(1 << 26), timeout = 0.3})",
      "timeout: the request could not be sent in time"},
    {"http.post(base .. '/up', {body = function() return nil, 'the disk is gone' end})",
      "the body failed: the disk is gone"},
    {"http.get(base .. '/loop')", "too many redirects: more than 10, the last to \"/loop\""},
    {"http.get(base .. '/loop', {redirects = 3})", "too many redirects: more than 3, "},
    {"http.get(rogue .. '/to/ftp://a.test/')", "bad redirect to \"ftp://a.test/\": its scheme"},
    {"http.get(rogue .. '/to/http://a\\\\@b/')", "bad redirect to "},
    {"http.get(rogue:gsub('http', 'https') .. '/', {connect_timeout = 0.3})",
      "TLS handshake with 127.0.0.1:%d+ failed: timeout"},
    {"http.get(base:gsub('http', 'https') .. '/')",
      "TLS handshake with 127.0.0.1:%d+ failed: "},
  }
  for _, case in ipairs(failures) do
    local call, expected = table.unpack(case)
    it(("says of %s: %s"):format(call, expected), function()
      local result = run("return show(%s)", (call:gsub("%%%%", "%%")))
      assert.truthy(result:find("^nil " .. expected), result)
    end)
  end

  it("reads bodies that end with the connection, and passes over early responses", function()
    assert.equal("200 to the end", run"return show(http.get(rogue .. '/close'))")
    assert.equal("200 old", run"return show(http.get(rogue .. '/old'))")
    assert.equal("200 x", run"return show(http.get(rogue .. '/early'))")
    assert.equal("200 hello", run"return show(http.get(rogue .. '/hints'))")
  end)

  it("takes the answer of a server that does not read the request", function()
    assert.equal("413 no", run[[
      return show(http.post(rogue .. "/refuse", {body = ("x"):rep(1 << 26)}))
    ]])
  end)

  it("lets a stream take its time, as long as something comes", function()
    assert.equal("10", run[[
      local response <close> = assert(http.get(rogue .. "/drip", {timeout = 10, stream = true}))
      local size = 0
      while size < 10 do size = size + #assert(response:read(1)) end
      return size
    ]])
    assert.equal("timeout: the body stopped after 3 of 9 bytes", run[[
      local response <close> = assert(http.get(rogue .. "/stop", {timeout = 0.2, stream = true}))
      response:read()
      return select(2, response:read())
    ]])
  end)
end)

describe("a redirect followed by genet.http", function()
  it("leads to the last page, by GET or by what it was", function()
    assert.equal("200 hello", run"return show(http.get(rogue .. '/to//hello'))")
    for status, method in pairs{[301] = "GET", [302] = "GET", [303] = "GET", [307] = "POST",
      [308] = "POST"} do
      assert.equal(method .. " /echo", run([[
        local query = {url = "/echo?x", status = %d}
        local r = assert(http.post(base .. "/to", {query = query, body = "b"}))
        assert(r:json().body == (r:json().method == "POST" and "b" or ""))
        return r:json().method .. " " .. r.url:match("^http://[^/]+(/%%w+)%%?x$")
      ]], status))
    end
  end)

  it("is given as it is when that is asked for", function()
    assert.equal("302", run"return http.get(base .. '/loop', {redirects = 0}).status")
    assert.equal("302", run"return http.get(base .. '/loop', {redirects = false}).status")
  end)

  it("tells no secrets to another origin", function()
    assert.equal("Bearer t, nil", run[[
      local auth = {bearer = "t"}
      local same = http.get(base .. "/to", {query = {url = "/echo", status = 302}, auth = auth})
      local other = http.get(rogue .. "/to/" .. base .. "/echo", {auth = auth})
      return tostring(same:json().auth) .. ", " .. tostring(other:json().auth)
    ]])
  end)
end)

describe("genet.http over TLS", function()
  local made, secure, expired, authority, bundle

  local tls_script = [[
    local genet = require "genet"
    local app = genet.app()
    app:get("/hello", function() return "hello" end)
    app:get("/peer", function(req) return tostring(req.remote_port) end)
    app:get("/down", function()
      return function(write) for _ = 1, 100 do write(("x"):rep(10000)) end end
    end)
    app:get("/to", function() return genet.redirect("http://127.0.0.1:1/") end)
    app:post("/up", function(req) return tostring(#req:body()) end)
    return app
  ]]

  setup(function()
    made = certificates.new()
    authority = made:pair("authority", {is_ca = true})
    bundle = made:pair("stranger", {is_ca = true})
    secure = {}
    for name, options in pairs{
      good = {names = {"localhost"}}, address = {address = "127.0.0.1"},
      other = {names = {"other.test", "*.localhost"}}, common = {subject = "/CN=localhost"},
    } do
      options.by = authority
      local pair = made:pair(name, options)
      secure[name] = listening.serve{script = tls_script,
        args = {"-p", "0", "--cert", pair.cert, "--key", pair.key}}
    end
    local pair = made:pair("late", {names = {"localhost"}, by = authority, days = -1})
    expired = start_rogue(pair.cert, pair.key)
  end)
  teardown(function()
    for _, one in pairs(secure) do one:stop() end
    stop_rogue(expired)
    support.remove(made.directory)
  end)

  local function port_of(name)
    if name == "expired" then return math.tointeger(tonumber(expired.port)) end
    return (select(2, listening.host_port(secure[name].urls[1])))
  end

  local function ask(name, host, options, path)
    return run("return show(http.get('https://%s:%d/%s', {%s}))", host, port_of(name),
      path or "hello", options:gsub("AUTHORITY", authority.cert):gsub("STRANGER", bundle.cert))
  end

  it("gets a page from a server whose certificate is good", function()
    assert.equal("200 hello", ask("good", "localhost", "ca = 'AUTHORITY'"))
    assert.equal("200 hello", ask("good", "LOCALHOST", "ca = 'AUTHORITY'"))
    assert.equal("200 hello", ask("address", "127.0.0.1", "ca = 'AUTHORITY'"))
    assert.equal("200 " .. ("x"):rep(1000000), ask("good", "localhost", "ca = 'AUTHORITY'", "down"))
  end)

  local refused = {
    {"good", "127.0.0.1", "ca = 'AUTHORITY'", "it is not for 127.0.0.1, but for localhost"},
    {"address", "localhost", "ca = 'AUTHORITY'", "it is not for localhost, but for 127.0.0.1"},
    {"other", "localhost", "ca = 'AUTHORITY'",
      "it is not for localhost, but for other.test, *.localhost"},
    {"common", "localhost", "ca = 'AUTHORITY'", "it is not for localhost, but for no host"},
    {"good", "localhost", "ca = 'STRANGER'", "unable to get local issuer certificate"},
    {"good", "localhost", "", "unable to get local issuer certificate"},
    {"expired", "localhost", "ca = 'AUTHORITY'", "certificate has expired"},
  }
  for _, case in ipairs(refused) do
    local name, host, options, why = table.unpack(case)
    it(("refuses the certificate '%s' for %s with %s"):format(name, host, options), function()
      local result = ask(name, host, options)
      assert.truthy(result:find("nil certificate verify failed: ", 1, true), result)
      assert.truthy(result:find(why, 1, true), result)
    end)
  end

  it("sends a server that it does not trust nothing", function()
    ask("expired", "localhost", "ca = 'AUTHORITY'")
    assert.is_nil(expired:stdout():find("GET", 1, true))
  end)

  it("takes any certificate when it is told to", function()
    for name in pairs(secure) do
      assert.equal("200 hello", ask(name, "127.0.0.1", "verify = false"))
    end
    assert.equal("200 hello", ask("expired", "127.0.0.1", "verify = false"))
  end)

  it("does not use a connection that was not verified where it should be", function()
    assert.truthy(run([[
      local client <close> = http.client()
      local url = "https://localhost:%d/hello"
      assert(client:get(url, {verify = false}))
      return show(client:get(url))
    ]], port_of("good")):find("certificate verify failed", 1, true))
  end)

  it("keeps connections too", function()
    assert.equal("true", run([[
      local client <close> = http.client{ca = %q, base_url = "https://localhost:%d"}
      local first = client:get("/peer").body
      for _ = 1, 5 do assert(client:get("/peer").body == first) end
      return true
    ]], authority.cert, port_of("good")))
  end)

  it("sends large bodies", function()
    assert.equal("200 5000000", run([[
      return show(http.post("https://localhost:%d/up", {ca = %q, body = ("x"):rep(5000000)}))
    ]], port_of("good"), authority.cert))
  end)

  it("does not go from https to http unless it is told to", function()
    local result = ask("good", "localhost", "ca = 'AUTHORITY'", "to")
    assert.equal("nil redirect from https to http refused: http://127.0.0.1:1/", result)
    result = ask("good", "localhost", "ca = 'AUTHORITY', downgrade = true", "to")
    assert.equal("nil cannot connect to 127.0.0.1:1: connection refused", result)
  end)

  it("knows a body that was cut short, and one that was not", function()
    assert.truthy(ask("expired", "localhost", "verify = false", "short")
      :find("^nil body cut short: "))
    assert.equal("200 to the end", ask("expired", "localhost", "verify = false", "close"))
  end)

  it("gives up on a server that does not read, in time", function()
    local result = run([[
      return show(http.post("https://localhost:%d/silent",
        {verify = false, body = ("x"):rep(1 << 26), timeout = 0.5}))
    ]], port_of("expired"))
    assert.equal("nil timeout: the request could not be sent in time", result)
  end)

  it("says what is wrong with files", function()
    assert.truthy(ask("good", "localhost", "ca = '/nowhere.pem'")
      :find("cannot read the authorities in /nowhere.pem: no such file", 1, true))
    assert.truthy(ask("good", "localhost", "cert = '/nowhere.pem', ca = 'AUTHORITY'")
      :find("cannot set up TLS with /nowhere.pem: ", 1, true))
  end)
end)

describe("a stream of genet.http", function()
  -- Runs a script on its own against the server; it prints how far its memory has grown, in KB.
  local function growth(code)
    local megabytes = support.scale < 1 and 10 or 50
    local directory = support.directory{["stream.lua"] = ([[
      local http = require "genet.http"
      local base = "http://127.0.0.1:%d"
      local function peak()
        for line in io.lines("/proc/self/status") do
          if line:find("^VmHWM") then return tonumber(line:match("%%d+")) end
        end
      end
      local function move(megabytes)
        %s
      end
      move(2)
      local before = peak()
      move(%d)
      print(peak() - before)
    ]]):format(server.port, code, megabytes)}
    local process = support.start({"run", directory .. "/stream.lua"},
      {ASAN_OPTIONS = (os.getenv("ASAN_OPTIONS") or "detect_leaks=1") .. ":quarantine_size_mb=1"})
    local status, out, err = process:wait(), process:stdout(), process:stderr()
    process:check_sanitizers()
    process:clean()
    support.remove(directory)
    assert.equal(0, status, err)
    return tonumber(out), megabytes * 1024
  end

  it("comes down in little memory", function()
    local grown, size = growth[[
      local response <close> = assert(http.get(base .. "/down/" .. megabytes, {stream = true}))
      local size = 0
      for piece in response:chunks() do size = size + #piece end
      assert(size == megabytes << 20)
    ]]
    assert.is_true(grown < size / 4, grown .. " KB")
  end)

  it("goes up in little memory", function()
    local grown, size = growth[[
      local left, piece = megabytes * 16, ("x"):rep(65536)
      local response = assert(http.post(base .. "/up", {body = function()
        left = left - 1
        return left >= 0 and piece or nil
      end}))
      assert(response.body == tostring(megabytes << 20), response.body)
    ]]
    assert.is_true(grown < size / 4, grown .. " KB")
  end)
end)

describe("a task of genet.http that is cancelled", function()
  local calls = {
    {"while it waits for a response", "http.get(rogue .. '/silent')"},
    {"in the middle of a body", "http.get(rogue .. '/drip')"},
    {"in the middle of a stream",
      "for _ in http.get(rogue .. '/drip', {stream = true}):chunks() do end"},
    {"while it sends",
      "http.post(rogue .. '/silent', {body = function() return ('x'):rep(65536) end})"},
    {"in its own function", "http.post(base .. '/up', {body = function() genet.sleep(600) end})"},
    {"while it shakes hands", "http.get(rogue:gsub('http', 'https') .. '/')"},
  }
  for _, case in ipairs(calls) do
    local when, call = table.unpack(case)
    it("leaves nothing open: " .. when, function()
      run(("pcall(genet.timeout, 0.02, function() %s end)"):format(call))
      local before = server:settled_descriptors()
      assert.equal("all ended", run([[
        for round = 1, %d do
          local task <close> = genet.spawn(function() %s end)
          genet.sleep(0.002 * (round %% 5))
        end
        return "all ended"
      ]], support.crowd_size(200), (call:gsub("%%", "%%%%"))))
      local after = server:settled_descriptors()
      assert.is_true(after <= before + 2, ("%d descriptors, then %d"):format(before, after))
    end)
  end

  it("is told by an error, and a deadline by nil", function()
    assert.equal("cancelled", run[[
      local seen
      local task = genet.spawn(function() seen = select(2, pcall(http.get, rogue .. "/silent")) end)
      genet.sleep(0.05)
      task:cancel()
      task:wait()
      return seen
    ]])
    assert.equal("nil timeout", run[[
      return show(genet.timeout(0.05, http.get, rogue .. "/silent"))
    ]])
  end)
end)
