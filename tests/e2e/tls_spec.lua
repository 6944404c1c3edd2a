-- HTTP over TLS: the same requests and answers, and what belongs to TLS itself.
local certificates = require "tests.e2e.certificates"
local cjson = require "cjson"
local client = require "tests.e2e.client"
local listening = require "tests.e2e.listening"
local support = require "tests.e2e.support"
local tls_client = require "tests.e2e.tls_client"

local script = [[
local genet = require "genet"
local app = genet.app()

app:get("/hello", function() return "hello" end)
app:get("/number/<int:n>", function(_, n) return tostring(n) end)
app:get("/scheme", function(req) return req.scheme .. " " .. tostring(req.tls ~= nil) end)
app:get("/url", function(req) return req.url end)
app:get("/tls", function(req) return req.tls end)
app:post("/echo", function(req) return req:body() end)
app:post("/ignore", function() return "ignored" end)
app:post("/count", function(req)
  local total = 0
  for piece in function() return req:read(5000) end do total = total + #piece end
  return tostring(total)
end)
app:get("/large/<int:n>", function(_, n) return ("0123456789abcdef"):rep(n // 16) end)
app:get("/head/<int:n>", function(_, n) return "", 204, {["X-Long"] = ("h"):rep(n)} end)
app:get("/stream", function()
  return function(write)
    for i = 1, 200 do write(("%05d"):format(i):rep(100)) end
  end
end)
app:get("/slow", function() genet.sleep(0.5) return "slow" end)

return app
]]

local made, pairs_of = nil, {}

setup(function()
  made = certificates.new()
  pairs_of.one = made:pair("one", {subject = "/CN=one.test", names = {"one.test", "localhost"}})
  pairs_of.two = made:pair("two", {subject = "/CN=two.test", names = {"two.test", "*.two.test"}})
  pairs_of.authority = made:pair("authority", {subject = "/CN=Authority", is_ca = true})
  pairs_of.anna = made:pair("anna", {subject = "/O=Guests/CN=anna", by = pairs_of.authority,
    usage = "clientAuth"})
  pairs_of.site = made:pair("site", {subject = "/CN=site", by = pairs_of.authority,
    usage = "serverAuth"})
  pairs_of.late = made:pair("late", {subject = "/CN=late", by = pairs_of.authority, days = -1})
  pairs_of.stranger = made:pair("stranger", {subject = "/CN=stranger"})
end)

teardown(function() support.remove(made.directory) end)

local function with(...)
  local arguments = {}
  for _, name in ipairs{...} do
    table.move({"--cert", pairs_of[name].cert, "--key", pairs_of[name].key}, 1, 4,
      #arguments + 1, arguments)
  end
  return arguments
end

-- Starts a server that speaks TLS at its first address; `more` are further arguments.
local function serve(names, more)
  local arguments = with(table.unpack(names))
  table.move({"-p", "0", table.unpack(more or {})}, 1, 2 + #(more or {}), #arguments + 1, arguments)
  local server = listening.serve{script = script, args = arguments}
  assert(server.urls[1]:match("^https://127%.0%.0%.1:%d+$"), server.urls[1])
  server.host, server.port = listening.host_port(server.urls[1])
  return server
end

local function connect(server, options)
  options = options or {}
  options.patience = support.patience
  return tls_client.connect(server.host, server.port, options)
end

local function connect_plainly(server)
  return client.connect(server.host, server.port, support.patience)
end

-- One request on a connection of its own.
local function get(server, target, options)
  local connection = connect(server, options)
  local response = connection:request("GET", target)
  connection:close()
  return response
end

-- What `openssl s_client` with these words says of the server, after a GET of this target.
local function s_client(server, target, words)
  local request = made:path("request")
  support.write_file(request, support.request_bytes("GET", target, {"Connection: close"}))
  local command = ("timeout %d openssl s_client -connect %s:%d -ign_eof %s <%s 2>&1")
    :format(support.patience, server.host, server.port, words, request)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  local ok, _, status = pipe:close()
  assert(status ~= 124, "waited in vain for openssl")
  return text, ok
end

local function random_text(length)
  local file = assert(io.open("/dev/urandom", "rb"))
  local text = file:read(length)
  file:close()
  return text
end

describe("a server that speaks TLS", function()
  local server
  setup(function()
    server = serve({"one", "two"}, {"--listen", "127.0.0.1:0", "--max-body", "64M",
      "--head-timeout", "60"})
  end)
  teardown(function() server:stop() end)

  -- Fails unless the server still answers, at both of its addresses.
  local function assert_alive()
    assert.equal("hello", get(server, "/hello").body)
    assert.equal("hello", (listening.ask(server.urls[2], "/hello")))
  end

  for protocol, version in pairs{tlsv1_2 = "TLSv1.2", tlsv1_3 = "TLSv1.3"} do
    it(("speaks %s"):format(version), function()
      local response = get(server, "/tls", {protocol = protocol})
      assert.equal(200, response.status)
      assert.equal(version, cjson.decode(response.body).version)
    end)
  end

  it("refuses TLS 1.1", function()
    local text, ok = s_client(server, "/hello", "-tls1_1 -cipher DEFAULT:@SECLEVEL=0")
    assert.falsy(ok)
    assert.truthy(text:find("alert protocol version", 1, true), text)
  end)

  it("agrees on http/1.1 with who offers it, whatever else they offer", function()
    for _, offer in ipairs{{"http/1.1"}, {"h2", "http/1.1"}, {"http/1.1", "h2"}} do
      local connection = connect(server, {alpn = offer})
      assert.equal("http/1.1", connection.session:getalpn())
      assert.equal("hello", connection:request("GET", "/hello").body)
      connection:close()
    end
  end)

  it("agrees on nothing with who offers only what it cannot speak", function()
    local connection = connect(server, {alpn = {"h2"}})
    finally(function() connection:close() end)
    assert.is_nil(connection.session:getalpn())
    assert.equal("hello", connection:request("GET", "/hello").body)
  end)

  local certificate_of = {
    ["one.test"] = "one.test", ["two.test"] = "two.test", ["www.two.test"] = "two.test",
    ["TWO.TEST"] = "two.test", ["a.b.two.test"] = "one.test", ["three.test"] = "one.test",
  }
  for name, expected in pairs(certificate_of) do
    it(("shows the certificate of %s to who asks for %s"):format(expected, name), function()
      local connection = connect(server, {name = name})
      finally(function() connection:close() end)
      local subject = connection.session:getpeercertificate():subject()
      assert.equal(expected, subject[1].value)
      assert.equal(name, cjson.decode(connection:request("GET", "/tls").body).server_name)
    end)
  end

  it("shows the first certificate to who asks for no name", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    assert.equal("one.test", connection.session:getpeercertificate():subject()[1].value)
    assert.equal("", cjson.decode(connection:request("GET", "/tls").body).server_name)
  end)

  for _, version in ipairs{"tls1_2", "tls1_3"} do
    for _, name in ipairs{"one.test", "two.test"} do
      it(("resumes a session of %s with %s"):format(version, name), function()
        local session = made:path("session")
        local words = ("-%s -servername %s"):format(version, name)
        local first = s_client(server, "/hello", words .. " -sess_out " .. session)
        assert.truthy(first:find("\nNew, TLSv1.", 1, true), first)
        assert.truthy(first:find("hello", 1, true), first)
        local second = s_client(server, "/hello", words .. " -sess_in " .. session)
        assert.truthy(second:find("\nReused, TLSv1.", 1, true), second)
        assert.truthy(second:find("hello", 1, true), second)
      end)
    end
  end

  it("tells a handler the scheme and the session", function()
    assert.equal("https true", get(server, "/scheme").body)
    assert.equal("http false", (listening.ask(server.urls[2], "/scheme")))
    assert.equal("https://127.0.0.1/url", get(server, "/url").body)
    local tls = cjson.decode(get(server, "/tls", {protocol = "tlsv1_2", name = "one.test"}).body)
    assert.equal("TLSv1.2", tls.version)
    assert.truthy(tls.cipher:match("^ECDHE%-ECDSA%-"), tls.cipher)
    assert.equal("one.test", tls.server_name)
    assert.equal("", tls.client)
  end)

  it("is understood by curl", function()
    local command = ("curl -sS --max-time %d --cacert %s --connect-to localhost:443:%s:%d %s 2>&1")
      :format(support.patience, pairs_of.one.cert, server.host, server.port,
        "-d some=body https://localhost/echo")
    local pipe = assert(io.popen(command))
    assert.equal("some=body", pipe:read("a"))
    assert.truthy(pipe:close())
  end)

  for _, protocol in ipairs{"tlsv1_2", "tlsv1_3"} do
    for _, size in ipairs{1, 16383, 16384, 16385, 100000, 20000000} do
      it(("takes and gives %d bytes unchanged over %s"):format(size, protocol), function()
        local body = random_text(size)
        local connection = connect(server, {protocol = protocol})
        finally(function() connection:close() end)
        local response = connection:request("POST", "/echo", nil, body)
        assert.equal(200, response.status)
        assert.equal(size, #response.body)
        assert.is_true(response.body == body)
        assert.equal("hello", connection:request("GET", "/hello").body)
      end)
    end
  end

  it("takes chunked bodies, in chunks of any size", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    local body = random_text(200000)
    for _, size in ipairs{100, 4096, 16384, 70000, 200000} do
      connection:send(support.request_bytes("POST", "/echo", {"Transfer-Encoding: chunked"})
        .. support.chunked(body, size))
      assert.is_true(connection:response().body == body)
    end
  end)

  it("gives chunked answers", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    for _ = 1, 3 do
      local response = connection:request("GET", "/stream")
      assert.equal("chunked", response.headers["transfer-encoding"])
      assert.equal(200 * 500, #response.body)
    end
  end)

  it("gives heads of any length without a body", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    for _, size in ipairs{1, 4000, 16000, 16384, 40000} do
      local response = connection:request("GET", "/head/" .. size)
      assert.equal(204, response.status)
      assert.equal(size, #response.headers["x-long"])
    end
  end)

  it("sends 100 Continue when the body is wanted", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    connection:send(support.request_bytes("POST", "/echo",
      {"Expect: 100-continue", "Content-Length: 4"}))
    assert.equal(100, connection:response().status)
    connection:send("body")
    assert.equal("body", connection:response().body)
  end)

  it("keeps a connection for many requests", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    for i = 1, 200 do
      assert.equal(tostring(i), connection:request("GET", "/number/" .. i).body)
    end
  end)

  it("answers requests sent together, in their order", function()
    local connection, bytes = connect(server), {}
    finally(function() connection:close() end)
    for i = 1, 300 do bytes[i] = support.request_bytes("GET", "/number/" .. i) end
    connection:send(table.concat(bytes))
    for i = 1, 300 do assert.equal(tostring(i), connection:response().body) end
  end)

  it("answers requests with bodies sent together", function()
    local connection, bytes = connect(server), {}
    finally(function() connection:close() end)
    for i = 1, 50 do bytes[i] = support.request_bytes("POST", "/echo", nil, ("x"):rep(i * 997)) end
    connection:send(table.concat(bytes))
    for i = 1, 50 do assert.equal(i * 997, #connection:response().body) end
  end)

  it("takes requests of one byte in each record", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    local bytes = support.request_bytes("POST", "/echo", nil, "in drops")
      .. support.request_bytes("GET", "/number/7")
    for i = 1, #bytes do assert(connection:send(bytes:sub(i, i))) end
    assert.equal("in drops", connection:response().body)
    assert.equal("7", connection:response().body)
  end)

  for _, protocol in ipairs{"tlsv1_2", "tlsv1_3"} do
    it(("takes a session of %s in segments of one byte"):format(protocol), function()
      local command = "exec setpriv --pdeathsig KILL lua5.4 tests/e2e/drip.lua %s %d %d"
      local pipe = assert(io.popen(command:format(server.host, server.port, support.patience)))
      local port = pipe:read("n")
      local connection = tls_client.connect("127.0.0.1", port,
        {protocol = protocol, patience = support.patience})
      finally(function()
        connection:close()
        pipe:close()
      end)
      local body = random_text(2000)
      assert.is_true(connection:request("POST", "/echo", nil, body).body == body)
      assert.equal("hello", connection:request("GET", "/hello").body)
    end)
  end

  it("answers an unread body's sender, and goes on or closes", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    assert.equal("ignored", connection:request("POST", "/ignore", nil, random_text(100000)).body)
    assert.equal("hello", connection:request("GET", "/hello").body)
    local response = connection:request("POST", "/ignore", nil, random_text(1000000))
    assert.equal("ignored", response.body)
    assert.equal("close", response.headers.connection)
    assert.truthy(connection:is_closed())
  end)

  it("refuses what is no request with a whole answer", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    connection:send("NONSENSE\r\n\r\n")
    local response = connection:response()
    assert.equal(400, response.status)
    assert.equal("close", response.headers.connection)
    assert.truthy(connection:is_closed())
  end)

  it("says goodbye before it closes", function()
    local text = s_client(server, "/hello", "-msg -tls1_2")
    assert.truthy(text:match("<<< TLS [^\n]*, Alert %[length 0002%], warning close_notify"), text)
  end)

  it("serves a crowd at once", function()
    local clients = {}
    for i = 1, support.crowd_size(100) do
      clients[i] = connect(server)
      clients[i]:ask(i % 2 == 0 and "/slow" or "/large/100000")
    end
    for i, each in ipairs(clients) do
      local body = each:response().body
      assert.equal(i % 2 == 0 and 4 or 100000, #body)
      each:close()
    end
  end)

  for _, method in ipairs{"GET", "POST", "PUT", "HEAD"} do
    it(("answers a plain %s with a 400 that says so"):format(method), function()
      local connection = connect_plainly(server)
      finally(function() connection:close() end)
      connection:send(support.request_bytes(method, "/hello"))
      local response = connection:response()
      assert.equal(400, response.status)
      assert.truthy(response.body:find("TLS", 1, true), response.body)
      assert.truthy(connection:is_closed())
      assert_alive()
    end)
  end

  it("answers a plain request in drops with a 400, too", function()
    local connection = connect_plainly(server)
    finally(function() connection:close() end)
    local bytes = support.request_bytes("GET", "/hello")
    for i = 1, #bytes do
      if not connection:send(bytes:sub(i, i)) then break end
    end
    assert.equal(400, connection:response().status)
  end)

  it("closes at garbage", function()
    local garbage = {"\0\0\0\0\0\0\0\0", ("\255"):rep(100), "\22\3\1\255\255" .. ("\1"):rep(70000),
      "\22\3\1\0\5\1\0\0\1\0", "SSH-2.0-OpenSSH_9.2\r\n", random_text(5000)}
    for _, bytes in ipairs(garbage) do
      local connection = connect_plainly(server)
      connection:send(bytes)
      connection.socket:shutdown("send")
      connection:read_all()
      connection:close()
    end
    assert_alive()
  end)

  it("closes at garbage in the middle of a session", function()
    for _, sent in ipairs{"", "GET /hel"} do
      local connection = connect(server)
      if sent ~= "" then connection:send(sent) end
      local under = connect_plainly(server).socket -- another way to the same descriptor
      under:close()
      under:setfd(connection.session:getfd())
      under:settimeout(support.patience)
      assert(under:send(("garbage"):rep(10)))
      assert.equal("", connection:read_all())
      under:setfd(-1)
      connection:close()
    end
    assert_alive()
  end)

  it("says on the plain port that TLS is spoken elsewhere", function()
    local host, port = listening.host_port(server.urls[2])
    local connection = client.connect(host, port, support.patience)
    finally(function() connection:close() end)
    connection:send("\22\3\1\2\0\1\0\1\252\3\3" .. random_text(32))
    local response = connection:response()
    assert.equal(400, response.status)
    assert.truthy(response.body:find("TLS", 1, true), response.body)
    assert.truthy(connection:is_closed())
    local _, problem = pcall(tls_client.connect, host, port, {patience = support.patience})
    assert.truthy(problem:find("handshake failed", 1, true), problem)
    assert_alive()
  end)

  it("forgets clients that vanish, at whatever point", function()
    assert_alive()
    local idle = server:settled_descriptors()
    local hello = "\22\3\1\2\0\1\0\1\252\3\3" .. random_text(32)
    for i = 1, 40 do
      local connection = connect_plainly(server)
      connection:send(({"", "\22", hello, hello:sub(1, 7)})[i % 4 + 1])
      connection:close(i % 8 < 4 and "reset" or nil)
    end
    for i = 1, 40 do
      local connection = connect(server)
      if i % 4 == 1 then connection:ask("/large/10000000") end
      if i % 4 == 2 then connection:ask("/slow") end
      if i % 4 == 3 then
        connection:send(support.request_bytes("POST", "/count", {"Content-Length: 100"}) .. "half")
      end
      connection:close()
    end
    support.wait_until("the connections to go", function() return server:descriptors() <= idle end)
    assert_alive()
  end)
end)

describe("a server that wants certificates of its clients", function()
  local server
  setup(function() server = serve({"one"}, {"--client-ca", pairs_of.authority.cert}) end)
  teardown(function() server:stop() end)

  -- In TLS 1.3 a client learns of its refusal only after its own end of the handshake.
  local function answer(protocol, pair)
    local ok, result = pcall(get, server, "/tls", {protocol = protocol, pair = pair})
    return ok and result or nil, result
  end

  for _, protocol in ipairs{"tlsv1_2", "tlsv1_3"} do
    it(("takes one of its authority over %s and names the subject"):format(protocol), function()
      local response = assert(answer(protocol, pairs_of.anna))
      assert.equal(200, response.status)
      local subject = cjson.decode(response.body).client
      assert.truthy(subject:find("O ?= ?Guests"), subject)
      assert.truthy(subject:find("CN ?= ?anna"), subject)
    end)

    for what, name in pairs{["no certificate"] = "none", ["one of its own making"] = "stranger",
        ["one that has expired"] = "late", ["one for servers"] = "site"} do
      it(("refuses a client with %s over %s"):format(what, protocol), function()
        local response = answer(protocol, pairs_of[name])
        assert.is_nil(response, response and response.body)
      end)
    end
  end

  local function subject_of(name, subject)
    local pair = made:pair(name, {subject = subject, by = pairs_of.authority})
    local response = assert(answer("tlsv1_3", pair))
    return cjson.decode(response.body).client
  end

  it("does not let one subject pass for another", function()
    local two_names = subject_of("both", "/CN=mallory/CN=admin")
    local one_name = subject_of("sly", "/CN=mallory\\/CN=admin")
    assert.not_equal(two_names, one_name)
    assert.is_nil(one_name:find("^/?CN ?= ?admin"), one_name)
  end)

  it("names a long subject to its end", function()
    local units = ("/OU=" .. ("u"):rep(60)):rep(8)
    local subject = subject_of("long", units .. "/CN=anna")
    assert.truthy(subject:find("CN ?= ?anna"), subject)
  end)

  for _, version in ipairs{"tls1_2", "tls1_3"} do
    it(("remembers the client of a resumed session of %s"):format(version), function()
      local session = made:path("session")
      local words = ("-%s -cert %s -key %s"):format(version, pairs_of.anna.cert, pairs_of.anna.key)
      local first = s_client(server, "/tls", words .. " -sess_out " .. session)
      assert.truthy(first:find("anna", 1, true), first)
      local second = s_client(server, "/tls", ("-%s -sess_in %s"):format(version, session))
      assert.truthy(second:find("\nReused, TLSv1.", 1, true), second)
      local answered = second:match("\r\n\r\n({.*})")
      assert.truthy(answered and answered:find("anna", 1, true), second)
    end)
  end

  it("tells a client why it is refused", function()
    local text = s_client(server, "/hello", "-tls1_3")
    assert.truthy(text:find("certificate required", 1, true), text)
  end)
end)

describe("a server at its start", function()
  local function refused(message, arguments)
    local result = listening.run(script, {"-p", "0", table.unpack(arguments)})
    assert.equal(1, result.status, result.err)
    assert.equal("", result.out)
    assert.truthy(result.err:match("^genet: [^\n]+\n$"), result.err)
    assert.truthy(result.err:find(message, 1, true), result.err)
    assert.is_nil(result.err:find("unknown error", 1, true), result.err)
  end

  local function file(name, text)
    support.write_file(made:path(name), text)
    return made:path(name)
  end

  it("refuses a certificate that is not there", function()
    refused("'/no/such.pem': No such file", {"--cert", "/no/such.pem", "--key", pairs_of.one.key})
  end)

  it("refuses a key that is not there", function()
    refused("'/no/such.key': No such file", {"--cert", pairs_of.one.cert, "--key", "/no/such.key"})
  end)

  it("refuses a directory as certificate or key", function()
    local directory = made.directory
    refused("'" .. directory .. "': ", {"--cert", directory, "--key", pairs_of.one.key})
    refused("'" .. directory .. "': ", {"--cert", pairs_of.one.cert, "--key", directory})
  end)

  it("refuses files that hold no certificate or key", function()
    for _, text in ipairs{"", "rubbish\n", "-----BEGIN CERTIFICATE-----\nrubbish\n"} do
      local rubbish = file("rubbish", text)
      refused("'" .. rubbish .. "': ", {"--cert", rubbish, "--key", pairs_of.one.key})
      refused("'" .. rubbish .. "': ", {"--cert", pairs_of.one.cert, "--key", rubbish})
    end
  end)

  it("refuses certificate and key given the wrong way round", function()
    local one = pairs_of.one
    refused("'" .. one.key .. "': ", {"--cert", one.key, "--key", one.cert})
  end)

  it("refuses a key of another certificate", function()
    refused("'" .. pairs_of.two.key .. "': ",
      {"--cert", pairs_of.one.cert, "--key", pairs_of.two.key})
  end)

  it("refuses a certificate that has expired", function()
    refused("'" .. pairs_of.late.cert .. "': it has expired", with("late"))
  end)

  it("refuses the one that is wrong of several", function()
    refused("'" .. pairs_of.late.cert .. "': it has expired", with("one", "late"))
  end)

  it("refuses an authority that is not there or is none", function()
    for _, path in ipairs{"/no/such.pem", made.directory, file("rubbish", "rubbish\n")} do
      refused("'" .. path .. "': ",
        {"--client-ca", path, "--cert", pairs_of.one.cert, "--key", pairs_of.one.key})
    end
  end)

  local misuses = {
    {"a certificate without a key", {"--cert", "a.pem"}, "--key"},
    {"a key without a certificate", {"--key", "a.key"}, "--cert"},
    {"more keys than certificates", {"--cert", "a", "--key", "b", "--key", "c"}, "--cert"},
    {"an authority without a certificate", {"--client-ca", "a.pem"}, "--cert"},
    {"a redirection without a certificate", {"--redirect-https"}, "--cert"},
  }
  for _, case in ipairs(misuses) do
    local what, arguments, message = table.unpack(case)
    it(("refuses %s as a mistake in the command"):format(what), function()
      local result = support.run{"runserver", ".", table.unpack(arguments)}
      assert.equal(2, result.status, result.err)
      assert.truthy(result.err:match("^genet: [^\n]+\n$"), result.err)
      assert.truthy(result.err:find(message, 1, true), result.err)
    end)
  end
end)

describe("a server that is told to read its certificates again", function()
  local server, site

  local function copy(pair)
    for kind, path in pairs(site) do
      support.write_file(path, support.read_file(pair[kind]))
    end
  end

  before_each(function()
    site = {cert = made:path("now.pem"), key = made:path("now.key")}
    copy(pairs_of.one)
    server = listening.serve{script = script,
      args = {"-p", "0", "--cert", site.cert, "--key", site.key},
      processes = 1} -- each says for itself what came of a signal
    server.host, server.port = listening.host_port(server.urls[1])
  end)
  after_each(function() server:stop() end)

  local function shown()
    local connection = connect(server)
    local name = connection.session:getpeercertificate():subject()[1].value
    connection:close()
    return name
  end

  -- Sends the signal and waits until the log says what came of it.
  local function reload(what)
    local from = #server:stderr() + 1
    server:signal("HUP")
    server:wait_for_log(what, from)
  end

  it("shows the new ones to new connections, and goes on with the old ones", function()
    assert.equal("one.test", shown())
    local old = connect(server)
    finally(function() old:close() end)
    assert.equal("hello", old:request("GET", "/hello").body)
    copy(pairs_of.two)
    assert.equal("one.test", shown())
    reload("loaded again")
    assert.equal("two.test", shown())
    assert.equal("hello", old:request("GET", "/hello").body)
  end)

  it("keeps the old ones when the new ones are no good, and says why", function()
    for _, spoil in ipairs{
      function() os.remove(site.cert) end,
      function() support.write_file(site.key, "rubbish") end,
      function() support.write_file(site.cert, support.read_file(pairs_of.two.cert)) end,
      function() copy(pairs_of.late) end,
    } do
      copy(pairs_of.one)
      spoil()
      reload("now.")
      assert.equal("one.test", shown())
    end
    copy(pairs_of.two)
    reload("loaded again")
    assert.equal("two.test", shown())
  end)

  it("goes on with handshakes that have begun", function()
    local plain = connect_plainly(server)
    finally(function() plain:close() end)
    assert.equal("hello", get(server, "/hello").body)
    for _ = 1, 20 do reload("loaded again") end
    plain:send(support.request_bytes("GET", "/hello"))
    assert.equal(400, plain:response().status)
    assert.equal("hello", get(server, "/hello").body)
  end)
end)

describe("a server that redirects to TLS", function()
  local server
  setup(function() server = serve({"one"}, {"--listen", "127.0.0.1:0", "--redirect-https"}) end)
  teardown(function() server:stop() end)

  local function redirected(bytes)
    local host, port = listening.host_port(server.urls[2])
    local connection = client.connect(host, port, support.patience)
    connection:send(bytes)
    local response = connection:response()
    connection:close()
    return response
  end

  it("sends plain requests to the same target there", function()
    local response = redirected("GET /number/7?x=%20y&z HTTP/1.1\r\nHost: one.test:80\r\n\r\n")
    assert.equal(308, response.status)
    assert.equal(("https://one.test:%d/number/7?x=%%20y&z"):format(server.port),
      response.headers.location)
  end)

  it("keeps a host of IPv6 in its brackets", function()
    for _, host in ipairs{"[::1]", "[::1]:80"} do
      local response = redirected(("GET / HTTP/1.1\r\nHost: %s\r\n\r\n"):format(host))
      assert.equal(("https://[::1]:%d/"):format(server.port), response.headers.location)
    end
  end)

  it("makes no location of what has none", function()
    local asterisk = redirected("OPTIONS * HTTP/1.1\r\nHost: one.test\r\n\r\n")
    local location = asterisk.headers.location
    assert.is_true(location == nil or location:match("^https://one%.test:%d+/?$") ~= nil, location)
    local connect_ = redirected("CONNECT one.test:443 HTTP/1.1\r\nHost: one.test:443\r\n\r\n")
    assert.is_nil(connect_.headers.location)
  end)

  it("answers those that come over TLS", function()
    assert.equal("hello", get(server, "/hello").body)
  end)
end)

describe("a server that speaks TLS and is told to stop", function()
  local server

  before_each(function()
    server = serve({"one"}, {"--head-timeout", "600", "--keep-alive", "600", "--drain", "600"})
  end)
  after_each(function()
    server:kill()
    server:clean()
  end)

  local function assert_ends_well()
    assert.equal(0, server:wait())
    server:check_sanitizers()
  end

  it("finishes its requests, and says goodbye", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    connection:ask("/slow")
    local large = connect(server)
    finally(function() large:close() end)
    large:ask("/large/10000000")
    assert.truthy(large:read_until("the answer to begin", function(buffer) return #buffer > 0 end))
    server:signal("TERM")
    local response = connection:response()
    assert.equal("slow", response.body)
    assert.truthy(connection:is_closed())
    assert.equal(10000000, #large:response().body)
    assert_ends_well()
  end)

  it("does not wait for idle connections", function()
    local connection = connect(server)
    finally(function() connection:close() end)
    assert.equal("hello", connection:request("GET", "/hello").body)
    server:signal("TERM")
    assert_ends_well()
    assert.truthy(connection:is_closed())
  end)

  it("does not wait for who has not shaken hands", function()
    local silent, halting = connect_plainly(server), connect_plainly(server)
    finally(function()
      silent:close()
      halting:close()
    end)
    halting:send("\22\3\1\2\0\1\0\1\252\3\3")
    assert.equal("hello", get(server, "/hello").body)
    server:signal("TERM")
    assert_ends_well()
  end)
end)
