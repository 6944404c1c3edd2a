--- Sessions: what is kept for a client from one request to the next. `app:sessions` sets them up,
-- `req.session` is one:
--
--     app:sessions{secret = os.getenv "SECRET"}
--     app:post("/login", function(req)
--       req.session:regenerate()
--       req.session.user = req.form.user
--       return genet.redirect("/", 303)
--     end)
--
-- It is read and changed as a table is; its keys are strings, its values what JSON has. A change,
-- also one deep inside, is kept when the answer begins; from then on a session cannot be changed.
-- Unless something has changed no cookie is sent. An answer whose handler has read the session says
-- `Vary: Cookie`.
--
-- The content is the cookie itself, signed (HMAC-SHA256) with the time: a client can read it, but
-- not change it, and can go back to an older one until that expires. A cookie that is not right, or
-- too old, is an empty session. With a `store` the cookie holds a random number only.
--
-- A store is a table or object with `store:load(id)`, which gives the text saved, or nil;
-- `store:save(id, text, ttl)`, to be kept for so many seconds; and `store:delete(id)`. They may
-- wait. For failures of the world they return nil and a sentence, which ends the request with a
-- 500. Where two requests change one session at once, the later answer wins.
-- `genet.shared("sessions")` is one, for all processes of the host and, with `--state`, its next
-- life.
-- @module genet.session

local check = require "genet.check"
local cookie = require "genet.cookie"
local core = require "genet.core"
local crypto = require "genet.crypto"
local exchange = require "genet.exchange"
local json = require "genet.json"
local log = require "genet.log"
local task = require "genet.task"

local session = {}

local SHORTEST_SECRET = 16
local MONTH = 31 * 86400

-- What two clocks may differ by.
local SKEW = 60

-- The session as it is used -------------------------------------------------------------------

local methods = {}

local function state_of(object)
  return getmetatable(object).state
end

local function changing(state)
  if state.sealed then
    error("the session cannot be changed: the answer has been started", 3)
  end
  state.changed = true
end

--- Forgets everything that is in the session. The cookie goes, unless something is put in later.
-- @function session:clear
-- @usage req.session:clear()
function methods:clear()
  local state = state_of(self)
  changing(state)
  state.data = {}
end

--- Gives the session another number and another CSRF token, and keeps what is in it. To be called
-- when somebody logs in, so that a number that was slipped to them before is worth nothing.
-- @function session:regenerate
-- @usage req.session:regenerate()
function methods:regenerate()
  local state = state_of(self)
  changing(state)
  state.data._csrf_token = nil
  state.old_id, state.id = state.old_id or state.id, nil
end

local function read(self, key)
  local method = methods[key]
  if method then return method end
  local state = state_of(self)
  local value = state.data[key]
  if type(value) == "table" then state.nested = true end
  return value
end

local KEEPABLE = {["nil"] = true, string = true, number = true, boolean = true, table = true}

local function write(self, key, value)
  if type(key) ~= "string" then
    error(("a key of the session must be a string, not a %s"):format(type(key)), 2)
  elseif methods[key] then
    error(("the session has a method '%s': choose another key"):format(key), 2)
  elseif not KEEPABLE[type(value)] and value ~= json.null then
    error(("session.%s: a session cannot keep a %s"):format(key, type(value)), 2)
  end
  local state = state_of(self)
  if value == nil and state.data[key] == nil then return end
  changing(state)
  state.data[key] = value
end

local function each(self)
  local state = state_of(self)
  state.nested = true
  return next, state.data, nil
end

local function object(state)
  return setmetatable({}, {
    __name = "genet.session",
    __index = read,
    __newindex = write,
    __pairs = each,
    state = state,
  })
end

-- Cookies that are signed ---------------------------------------------------------------------

local Sessions = {}
Sessions.__index = Sessions

local function sign(self, key, body)
  return crypto.encode64(crypto.hmac(key, self.name .. "=" .. body))
end

local function pack(self, text)
  local body = crypto.encode64(text) .. "." .. os.time()
  return body .. "." .. sign(self, self.keys[1], body)
end

local function is_signed(self, body, signature)
  for _, key in ipairs(self.keys) do
    if crypto.equal(sign(self, key, body), signature) then return true end
  end
  return false
end

-- The text in a cookie and its age; nil when the cookie is not ours, or not any more.
local function unpack_cookie(self, value)
  local body, signature = value:match("^([%w_-]*%.%d+)%.([%w_-]+)$")
  if not body or not is_signed(self, body, signature) then return nil end
  local text, time = body:match("^(.*)%.(%d+)$")
  local age = os.time() - tonumber(time)
  if age > self.lifetime or age < -SKEW then return nil end
  return crypto.decode64(text), age
end

-- Stores --------------------------------------------------------------------------------------

local function ask(store, name, ...)
  local value, problem = store[name](store, ...)
  if value == nil and problem ~= nil then
    error(("the session store cannot %s: %s"):format(name, tostring(problem)), 0)
  end
  return value
end

local function new_id()
  return crypto.encode64(crypto.random(16))
end

local Memory = {}
Memory.__index = Memory

--- @local
function Memory:load(id)
  local entry = self.entries[id]
  if entry and entry.expires > os.time() then return entry.text end
  if entry then self:delete(id) end
end

-- Makes room for one more: the entries that were made first go.
local function evict(self)
  while self.last - self.first + 1 >= self.most do
    local entry = self.order[self.first]
    self.order[self.first], self.first = nil, self.first + 1
    if self.entries[entry.id] == entry then self.entries[entry.id] = nil end
  end
end

local function new_entry(self, id)
  evict(self)
  local entry = {id = id}
  self.last = self.last + 1
  self.order[self.last], self.entries[id] = entry, entry
  return entry
end

--- @local
function Memory:save(id, text, ttl)
  local entry = self.entries[id] or task.uninterrupted(new_entry, self, id)
  entry.text, entry.expires = text, os.time() + ttl
  return true
end

--- @local
function Memory:delete(id)
  self.entries[id] = nil
  return true
end

--- A store in the memory of one Lua state, for tests and as an example: what is in it is lost when
-- the scripts are loaded again, and is not shared between processes.
-- @tparam[opt] integer most sessions to keep, 10000 unless told; the oldest go
-- @treturn table
-- @usage app:sessions{store = genet.session.memory()}
function session.memory(most)
  most = check.count(most or 10000, "genet.session.memory", 1)
  return setmetatable({entries = {}, order = {}, first = 1, last = 0, most = most}, Memory)
end

--- A store in Redis, for several processes and machines. Needs the package `lua-redis`.
-- @tparam string|table options a URL, `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` or
--   `redis+unix://[[USER]:PASSWORD@]/PATH`; or a table with it as `url`, and `prefix` of the keys,
--   `"session:"` unless told; `timeout`, seconds that Redis has to answer, 5 unless told;
--   `connections`, the most of each Lua state, 16 unless told
-- @treturn table
-- @usage app:sessions{secret = SECRET, store = genet.session.redis("redis://127.0.0.1:6379")}
function session.redis(options)
  return require("genet.store.redis").new(options)
end

-- Opening -------------------------------------------------------------------------------------

local function found_in_cookie(self, values)
  for _, value in ipairs(values) do -- a subdomain may have set one more of the name
    local text, age = unpack_cookie(self, value)
    if text then return text, age end
  end
end

local function found_in_store(self, values)
  for _, id in ipairs(values) do
    local text = #id == 22 and not id:find("[^%w_-]") and ask(self.store, "load", id)
    if text then return text, 0, id end
  end
end

--- The session of a request. Waits where the store does.
-- @local
function Sessions:open(req)
  local values = req.cookies:getlist(self.name)
  local find = self.store and found_in_store or found_in_cookie
  local text, age, id = find(self, values)
  local data = text and json.decode(text)
  local known = type(data) == "table"
  local state = {
    sessions = self,
    data = known and data or {},
    text = known and text or nil,
    age = age,
    id = id,
    was_sent = #values > 0,
    sealed = exchange.started(req._exchange),
  }
  rawset(req, "_finish", session.finish)
  return object(state)
end

-- Keeping -------------------------------------------------------------------------------------

local function same(one, other)
  if type(one) ~= "table" or type(other) ~= "table" then return one == other end
  for key, value in next, one do
    if not same(value, other[key]) then return false end
  end
  for key in next, other do
    if one[key] == nil then return false end
  end
  return true
end

local function has_changed(state)
  if state.changed then return true end
  if state.nested then return not same(state.data, state.text and json.decode(state.text) or {}) end
  return false
end

local function is_due(state)
  local self = state.sessions
  return self.refresh and state.text ~= nil and state.age > self.lifetime / 2
end

local function options_for(self, req)
  local secure = self.secure
  if secure == nil then secure = req.scheme == "https" end
  return {
    path = self.path,
    domain = self.domain,
    samesite = self.samesite,
    httponly = true,
    secure = secure,
    max_age = self.max_age,
  }
end

local function forget(state, req)
  local self = state.sessions
  local id = state.old_id or state.id
  if self.store and id then ask(self.store, "delete", id) end
  if not state.was_sent then return nil end
  return cookie.expire(self.name, options_for(self, req))
end

local function kept(state, text)
  local self = state.sessions
  if not self.store then return pack(self, text) end
  if state.old_id then ask(self.store, "delete", state.old_id) end
  state.id = state.id or new_id()
  ask(self.store, "save", state.id, text, self.lifetime)
  return state.id
end

local function keep(state, req)
  if next(state.data) == nil then return forget(state, req) end
  local self = state.sessions
  local ok, text = pcall(json.encode, state.data)
  if not ok then error("the session cannot be kept: " .. text, 0) end
  local value = kept(state, text)
  if #self.name + 1 + #value > 4096 then
    error(("the session takes %d bytes as a cookie, of which browsers keep 4096: put less into it, "
      .. "or give app:sessions a store"):format(#self.name + 1 + #value), 0)
  end
  return cookie.format(self.name, value, options_for(self, req))
end

--- What the session of a request adds to the head of its answer; it cannot be changed afterwards.
-- Waits where the store does.
-- @tparam Request req one that has a session
-- @treturn string header lines
-- @usage head = head .. session.finish(req)
function session.finish(req)
  local state = state_of(req.session)
  if state.sealed then return "" end
  state.sealed = true
  local set = (has_changed(state) or is_due(state)) and keep(state, req)
  return "Vary: Cookie\r\n" .. (set and "Set-Cookie: " .. set .. "\r\n" or "")
end

-- Setting up ----------------------------------------------------------------------------------

local OPTIONS = {
  name = "string",
  max_age = "number",
  refresh = "boolean",
  secure = "boolean",
  path = "string",
  domain = "string",
  samesite = "string",
}

local function check_secrets(secrets)
  if type(secrets) == "string" then secrets = {secrets} end
  if type(secrets) ~= "table" or #secrets == 0 then
    error("app:sessions: option 'secret' must be a string, or a list of them", 0)
  end
  for _, secret in ipairs(secrets) do
    if type(secret) ~= "string" or #secret < SHORTEST_SECRET then
      error(("app:sessions: a secret must be a string of %d bytes at least")
        :format(SHORTEST_SECRET), 0)
    end
  end
  return secrets
end

local function check_store(store)
  if type(store) ~= "table" and type(store) ~= "userdata" then
    error(("app:sessions: option 'store' must be a store, not a %s"):format(type(store)), 0)
  end
  for _, name in ipairs{"load", "save", "delete"} do
    if not check.is_callable(store[name]) then
      error(("app:sessions: the store has no method '%s'"):format(name), 0)
    end
  end
end

local function check_options(options)
  local plain = {}
  for key, value in pairs(options) do
    if key ~= "secret" and key ~= "store" then plain[key] = value end
  end
  check.plain_options(plain, "app:sessions", OPTIONS)
  local max_age = plain.max_age
  if max_age and not (math.tointeger(max_age) and max_age >= 1) then
    error(("app:sessions: option 'max_age': a whole number from 1 was expected, not %s")
      :format(max_age), 0)
  end
  if options.store ~= nil then check_store(options.store) end
end

-- Told once that sessions end with the process.
local function own_secret(store)
  if not store then
    log.warn("app:sessions has no secret: with a random one, sessions end with this process")
  end
  return core.secret()
end

--- The sessions of an app.
-- @tparam table options see `app:sessions`
-- @tparam ?string|{string,...} secret for when the options have none
-- @treturn Sessions
-- @raise when an option is wrong
-- @usage session.new{secret = ("x"):rep(32)}
function session.new(options, secret)
  check_options(options)
  secret = options.secret or secret or own_secret(options.store)
  local self = setmetatable({
    name = options.name or "session",
    max_age = options.max_age,
    lifetime = options.max_age or MONTH,
    refresh = options.refresh,
    secure = options.secure,
    path = options.path or "/",
    domain = options.domain,
    samesite = options.samesite or "Lax",
    store = options.store,
    keys = {},
  }, Sessions)
  if self.secure == nil and self.name:lower():find("^__%l+%-") then self.secure = true end
  for at, text in ipairs(check_secrets(secret)) do
    self.keys[at] = crypto.hmac(text, "genet.session")
  end
  cookie.format(self.name, "", options_for(self, {scheme = "https"})) -- raises what is wrong
  return self
end

return session
