--- Sessions in Redis: what a client has on one host it has on all that use the same Redis.
--
--     app:sessions{secret = SECRET, store = genet.session.redis("redis://127.0.0.1:6379")}
--
-- A session is a string under `session:` and its number, which Redis itself forgets when its time
-- is over. The client library is Debian's `lua-redis`, over LuaSocket; it is not asked for until a
-- store is made. Each Lua state has a pool of connections. While Redis cannot be reached a request
-- that needs its session ends with a 500, and the log says why.
-- @module genet.store.redis

local check = require "genet.check"
local sync = require "genet.sync"

local redis = {}

-- Debian installs the library, which Lua 5.4 runs as it is, for the versions before.
local ELSEWHERE = "/usr/share/lua/5.3/?.lua;/usr/share/lua/5.1/?.lua"

local CONNECTIONS = 16
local TIMEOUT = 5
local PORT = 6379

-- The library ---------------------------------------------------------------------------------

local library

local function load_library()
  if library then return library end
  local file = package.searchpath("redis", package.path)
    or package.searchpath("redis", ELSEWHERE)
  if not file then
    error("genet.session.redis needs the package lua-redis, which is not installed", 0)
  end
  library = assert(loadfile(file))("redis")
  return library
end

-- URLs ----------------------------------------------------------------------------------------

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function read_secret(place, text)
  local user, password = text:match("^([^:]*):(.*)$")
  if not password then return nil, "a password is written ':PASSWORD@'" end
  place.user = user ~= "" and decode(user) or nil
  place.password = decode(password)
  return place
end

local function read_host(place, text)
  local address, database = text:match("^([^/]*)/?(%d*)$")
  local host, port = (address or ""):match("^%[([%x:.]+)%]:?(%d*)$")
  if not host then host, port = (address or ""):match("^([^:]+):?(%d*)$") end
  if not host then return nil, "HOST, HOST:PORT or HOST:PORT/DATABASE was expected" end
  place.host, place.port = host, tonumber(port) or PORT
  place.database = tonumber(database)
  if place.port < 1 or place.port > 65535 then return nil, "a port is a number from 1 to 65535" end
  return place
end

--- The parts of a URL of Redis.
-- @tparam string url `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or
--   `redis+unix://[[USER]:PASSWORD@]/PATH`
-- @treturn[1] table `host`, `port` and `database`, or `path`; `user`, `password`
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @usage redis.parse("redis://:secret@cache:6380/1").port --> 6380
function redis.parse(url)
  local scheme, rest = url:match("^([%w+]+)://(.*)$")
  if scheme == "rediss" then return nil, "TLS is not spoken to Redis: use a tunnel" end
  if scheme ~= "redis" and scheme ~= "redis+unix" then
    return nil, "it must begin with redis:// or redis+unix://"
  end
  local place, problem = {}, nil
  local secret, address = rest:match("^([^/@]*)@(.*)$")
  if secret then place, problem = read_secret(place, secret) end
  if not place then return nil, problem end
  rest = address or rest
  if scheme == "redis" then return read_host(place, rest) end
  if rest:sub(1, 1) ~= "/" then return nil, "the path must begin with '/'" end
  place.path = decode(rest)
  return place
end

-- Connections ---------------------------------------------------------------------------------

local Store = {__name = "genet.store.redis"}
Store.__index = Store

local function close(client)
  client.network.socket:close()
end

local function greet(self, client)
  local place = self.place
  if place.user then
    client:auth(place.user, place.password)
  elseif place.password then
    client:auth(place.password)
  end
  if place.database then client:select(place.database) end
end

local function connect(self)
  local place = self.place
  local client = load_library().connect{
    scheme = place.path and "unix" or nil,
    path = place.path,
    host = place.host,
    port = place.port,
    timeout = self.timeout,
  }
  client.network.socket:settimeout(self.timeout, "t")
  local ok, problem = pcall(greet, self, client)
  if ok then return client end
  close(client)
  error(problem, 0)
end

-- What the library raises, without the place in its own file.
local function sentence(problem)
  return (tostring(problem):gsub("^[^ ]*:%d+: ", ""))
end

local function use(self, client, name, ...)
  local ok, result = pcall(client[name], client, ...)
  if ok or tostring(result):find("redis error: ", 1, true) then
    table.insert(self.idle, client) -- it can be used again
  else
    close(client)
  end
  return ok, result
end

-- All connections are made to one server: when it has closed one, it has closed the others too.
local function forget_all(self)
  local idle = self.idle
  self.idle = {}
  for _, client in ipairs(idle) do close(client) end
end

-- With a connection that has been kept, and may have been closed meanwhile; else with a new one.
local function ask_redis(self, name, ...)
  local client = table.remove(self.idle)
  if client then
    local ok, result = use(self, client, name, ...)
    if ok or not tostring(result):find("connection error: closed", 1, true) then
      return ok, result
    end
    forget_all(self)
  end
  local ok, fresh = pcall(connect, self)
  if not ok then return false, fresh end
  return use(self, fresh, name, ...)
end

local function ask(self, name, ...)
  local place <close>, problem = self.places:acquire(self.timeout)
  if not place then return false, "no connection to Redis is free: " .. problem end
  return ask_redis(self, name, ...)
end

-- The store -----------------------------------------------------------------------------------

--- @local
function Store:load(id)
  local ok, text = ask(self, "get", self.prefix .. id)
  if not ok then return nil, sentence(text) end
  return text
end

--- @local
function Store:save(id, text, ttl)
  local ok, problem = ask(self, "setex", self.prefix .. id, ttl, text)
  if not ok then return nil, sentence(problem) end
  return true
end

--- @local
function Store:delete(id)
  local ok, problem = ask(self, "del", self.prefix .. id)
  if not ok then return nil, sentence(problem) end
  return true
end

local OPTIONS = {url = "string", prefix = "string", timeout = "number", connections = "number"}

--- A store of sessions; see `genet.session.redis`.
-- @tparam string|table options
-- @treturn table
-- @raise when an option is wrong, or lua-redis is not installed
-- @usage redis.new("redis://127.0.0.1:6379")
function redis.new(options)
  if type(options) == "string" then options = {url = options} end
  check.type(options, "genet.session.redis", "table")
  check.options(options, "genet.session.redis", OPTIONS)
  local place, problem = redis.parse(options.url or "")
  if not place then
    error(("genet.session.redis: option 'url': a URL such as redis://127.0.0.1:6379 was "
      .. "expected: %s"):format(problem), 2)
  end
  if options.connections then check.count(options.connections, "genet.session.redis", 1) end
  load_library()
  return setmetatable({
    place = place,
    prefix = options.prefix or "session:",
    timeout = check.optional_seconds(options.timeout, "genet.session.redis") or TIMEOUT,
    places = sync.semaphore(options.connections or CONNECTIONS),
    idle = {},
  }, Store)
end

return redis
