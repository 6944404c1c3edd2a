-- Two hosts behind nginx share sessions and topics through Redis, and data in PostgreSQL: what
-- scripts/cluster.lua and scripts/cluster.conf show.
local cjson = require "cjson"
local client = require "tests.e2e.client"
local postgres = require "tests.e2e.postgres"
local redis = require "tests.e2e.redis"
local socket = require "socket"
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

-- nginx ---------------------------------------------------------------------------------------

local MAIN = [[
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/nginx.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  include DIR/cluster.conf;
}
]]

local Nginx = {}
Nginx.__index = Nginx

-- The file of the README, with the ports of this test.
local function start_nginx(ports)
  local self = setmetatable({directory = support.directory(), port = redis.free_port()}, Nginx)
  local text, count = support.read_file("scripts/cluster.conf")
    :gsub("%f[%d]5001%f[%D]", ports[1]):gsub("%f[%d]5002%f[%D]", ports[2])
    :gsub("listen 8080", "listen 127.0.0.1:" .. self.port)
  assert(count == 1, "cluster.conf listens elsewhere")
  support.write_file(self.directory .. "/cluster.conf", text)
  support.write_file(self.directory .. "/nginx.conf", (MAIN:gsub("DIR", self.directory)))
  self.pipe = assert(io.popen(("echo $$; exec setpriv --pdeathsig KILL env --default-signal "
    .. "/usr/sbin/nginx -p %s -c nginx.conf -e %s/nginx.log </dev/null >%s/out 2>&1")
    :format(self.directory, self.directory, self.directory)))
  self.pid = math.tointeger(self.pipe:read("n"))
  support.wait_until("nginx", function()
    local connection = socket.connect("127.0.0.1", self.port)
    if connection then connection:close() end
    return connection
  end)
  return self
end

function Nginx:connect()
  return client.connect("127.0.0.1", self.port, support.patience)
end

function Nginx:request(...)
  local connection = self:connect()
  local response = connection:request(...)
  connection:close()
  return response
end

function Nginx:stop()
  os.execute(("kill -KILL %d"):format(self.pid))
  self.pipe:close()
  support.remove(self.directory)
end

-- The site ------------------------------------------------------------------------------------

local FORM = "Content-Type: application/x-www-form-urlencoded"

local function serve(name, services)
  local server = support.serve{
    path = "scripts/cluster.lua",
    port = redis.free_port(),
    args = {"--bus", services.redis.url, "--trusted-proxy", "127.0.0.1"},
    env = {
      SECRET = ("s"):rep(32),
      REDIS = services.redis.url,
      DATABASE = services.postgres:conninfo(),
      HOST = name,
    },
  }
  server:wait_for_log("the bus has Redis at")
  return server
end

describe("two hosts behind nginx", function()
  local services, a, b, nginx = {}, nil, nil, nil

  setup(function()
    services.redis = redis.start()
    services.postgres = postgres.start()
    a, b = serve("a", services), serve("b", services)
    nginx = start_nginx{a.port, b.port}
  end)

  teardown(function()
    if nginx then nginx:stop() end
    if a then a:kill() a:clean() end
    if b then b:stop() end
    services.postgres:stop()
    services.redis:stop()
  end)

  local function me(cookie)
    local response = nginx:request("GET", "/me", {cookie and "Cookie: " .. cookie or "X-None: 0"})
    assert.equal(200, response.status)
    return cjson.decode(response.body)
  end

  local function hosts_of(n, cookie)
    local seen = {}
    for _ = 1, n do seen[me(cookie).host] = true end
    return seen
  end

  local function note(server, text)
    local response = server:request("POST", "/notes", {FORM}, "text=" .. text)
    assert.equal(201, response.status)
  end

  local function notes(server)
    return server:request("GET", "/notes").body
  end

  local function assert_hears(ws, text)
    local kind, payload, heard
    repeat -- of what was published before, Redis may still bring some
      kind, payload = ws:read_frame()
      heard = cjson.decode(payload).text
    until heard ~= "signed"
    assert.equal("text", kind)
    assert.equal(text, heard)
  end

  local function listen(server)
    local ws = ws_client.upgrade(server:connect(), "/notes/live")
    finally(function() ws:vanish() end)
    ws:ping("there?") -- is answered after the handler, which waits for nothing before, has joined
    assert.equal("pong", (ws:read_frame()))
    return ws
  end

  it("take turns", function()
    assert.same({a = true, b = true}, hosts_of(8))
  end)

  it("know each other's sessions", function()
    local response = nginx:request("POST", "/login", {FORM}, "name=Ann")
    local cookie = response.headers["set-cookie"]:match("^(session=[^;]+)")
    for _ = 1, 8 do assert.equal("Ann", me(cookie).name) end
    assert.same({a = true, b = true}, hosts_of(8, cookie))
    nginx:request("POST", "/notes", {FORM, "Cookie: " .. cookie}, "text=signed")
    assert.matches('"author":"Ann"', notes(a))
  end)

  it("pass on what is published, and share what is written", function()
    local at_a, at_b, somewhere = listen(a), listen(b), listen(nginx)
    note(a, "first")
    for _, ws in ipairs{at_a, at_b, somewhere} do assert_hears(ws, "first") end
    note(b, "second")
    for _, ws in ipairs{at_a, at_b, somewhere} do assert_hears(ws, "second") end
    assert.same(cjson.decode(notes(a)), cjson.decode(notes(b)))
    assert.matches("second", notes(a))
  end)

  it("find Redis again when it has been away", function()
    local from_a, from_b = #a:stderr() + 1, #b:stderr() + 1
    services.redis:restart()
    a:wait_for_log("the bus has Redis at", from_a)
    b:wait_for_log("the bus has Redis at", from_b)
    assert.matches("the bus has no Redis at 127.0.0.1:%d+: [^\n]+; trying again", a:stderr())
    local at_b = listen(b)
    note(a, "after")
    assert_hears(at_b, "after")
  end)

  it("do without one that has died", function()
    a:kill()
    for i = 1, 10 do
      assert.equal("b", me().host)
      note(nginx, "alone" .. i)
    end
    assert.matches("alone10", notes(nginx))
  end)
end)
