--- Starts a real redis-server for a test, from Debian's package: on 127.0.0.1, keeping nothing on
-- disk. It dies with the process that started it.
local socket = require "socket"
local support = require "tests.e2e.support"

local redis = {}

local Redis = {}
Redis.__index = Redis

--- A port that is free at present.
function redis.free_port()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return math.tointeger(port)
end

local function launch(self)
  local command = ("echo $$; exec setpriv --pdeathsig KILL env --default-signal redis-server "
    .. "--bind 127.0.0.1 --port %d --save '' --appendonly no --dir %s --unixsocket %s "
    .. "--requirepass '%s' </dev/null >%s/log 2>&1"):format(self.port, self.directory, self.path,
    self.password, self.directory)
  self.pipe = assert(io.popen(command))
  self.pid = math.tointeger(self.pipe:read("n"))
  support.wait_until("Redis", function()
    local connection = socket.connect("127.0.0.1", self.port)
    if connection then connection:close() end
    return connection
  end)
end

--- Starts a server and waits until it takes connections. `url` is how to reach it, by TCP; `path`
-- is its Unix socket.
-- @tparam[opt] string password
function redis.start(password)
  local self = setmetatable({
    directory = support.directory(),
    port = redis.free_port(),
    password = password or "",
  }, Redis)
  self.path = self.directory .. "/socket"
  self.url = ("redis://%s127.0.0.1:%d"):format(password and ":" .. password .. "@" or "", self.port)
  launch(self)
  return self
end

function Redis:signal(name)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
end

--- Ends it at once; `restart` starts it again on the same port.
function Redis:kill()
  if not self.pipe then return end
  self:signal("KILL")
  self.pipe:close()
  self.pipe = nil
end

function Redis:restart()
  self:kill()
  launch(self)
end

--- Runs redis-cli, without the password, and returns what it prints.
function Redis:cli(...)
  local words = {}
  for _, word in ipairs{...} do words[#words + 1] = support.quote(word) end
  local pipe = assert(io.popen(("redis-cli -p %d %s 2>&1"):format(self.port,
    table.concat(words, " "))))
  local text = pipe:read("a")
  pipe:close()
  return (text:gsub("\n$", ""))
end

function Redis:stop()
  self:kill()
  support.remove(self.directory)
end

return redis
