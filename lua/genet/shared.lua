--- Dictionaries for all threads, processes and generations of a host: `genet.shared(name)`.
--
--     local hits = genet.shared("hits")
--     app:get("/", function(req) return "you are visitor " .. hits:incr("all", 1, 0) end)
--
-- Keys are strings of 499 bytes at most. Values are what `genet.offload` carries: booleans,
-- numbers, strings, `genet.json.null`, and tables of these, which are copied. An entry may live for
-- a time only (`ttl`, in seconds, of the wall clock; nil or infinity: for ever); an expired one is
-- not there.
--
-- Every method is atomic, and what it has acknowledged is seen by everybody at once. None but those
-- that say so waits for anybody, and none holds a lock while it waits. A get takes well below a
-- microsecond, a change about one in memory and five on disk. For failures of the world they return
-- nil and a word: `"not found"`, `"exists"`, `"no memory"`, `"not a number"`, `"out of range"`,
-- `"is a list"`, `"not a list"`, `"key too long"`, `"changed"`, `"timeout"`.
--
-- They live in memory, in a directory of `/dev/shm` that goes with the host; or, with
-- `--state DIR`, on disk, where they survive. Then what was acknowledged survives the end of any
-- process, by `kill -9` too. A power cut loses what was written since the last checkpoint, which is
-- made every ten seconds while there are changes, and at an orderly end. Several hosts may use one
-- directory, where they see each other's entries.
--
-- All of them together have `--shared-memory` for their entries. When that is full those go that
-- have not been used for long; a dictionary with `eviction = "error"` loses none, and says
-- `"no memory"` when there is nothing else to go.
--
-- Work that is offloaded has none of this: asking for a dictionary is an error there.
-- @module genet.shared

local check = require "genet.check"
local core = require "genet.core"
local store = require "genet.shared_store"
local sync = require "genet.sync"

local Shared = store.methods

local MOST_TRIES = 1000
local LONGEST_NAME = 100

--- The value of a key.
-- @function shared:get
-- @tparam string key
-- @return[1] the value
-- @treturn[2] nil when there is none
-- @treturn[3] nil
-- @treturn[3] string `"is a list"`, `"key too long"`
-- @usage local name = users:get("7")

--- The value of a key and its version, which is another one after each change; 0 where there is
-- none. For `shared:swap` and `shared:watch`.
-- @function shared:entry
-- @tparam string key
-- @return the value, or nil
-- @treturn integer
-- @usage local value, version = users:entry("7")

--- Sets a value, whether there is one or not; nil removes it.
-- @function shared:set
-- @tparam string key
-- @param value
-- @tparam ?number ttl seconds
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"no memory"`, `"key too long"`
-- @usage users:set("7", {name = "Ann"}, 3600)

--- Sets a value where there is none.
-- @function shared:add
-- @tparam string key
-- @param value
-- @tparam ?number ttl seconds
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"exists"`, and as `shared:set`
-- @usage if locks:add("job", true, 30) then work() end

--- Sets a value where there is one.
-- @function shared:replace
-- @tparam string key
-- @param value
-- @tparam ?number ttl seconds
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"not found"`, and as `shared:set`
-- @usage users:replace("7", {name = "Bob"})

--- Sets a value if nobody has changed it since. What is left of its ttl stays.
-- @function shared:swap
-- @tparam string key
-- @tparam integer version as `shared:entry` gave it
-- @param value nil removes it
-- @tparam ?number ttl seconds
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"changed"`, and as `shared:set`
-- @usage users:swap("7", version, {name = "Bob"})

--- Adds to a number. What is left of its ttl stays.
-- @function shared:incr
-- @tparam string key
-- @tparam[opt=1] number by
-- @tparam ?number init what to add to where there is none; unless told that is an error
-- @tparam ?number ttl seconds, where there was none
-- @treturn[1] number the sum
-- @treturn[2] nil
-- @treturn[2] string `"not found"`, `"not a number"`, `"out of range"`, and as `shared:set`
-- @usage if calls:incr(req.remote_addr, 1, 0, 60) > 100 then genet.abort(429) end

--- Removes a value or list.
-- @function shared:delete
-- @tparam string key
-- @treturn boolean whether there was one
-- @usage users:delete("7")

--- Says how long an entry is to live from now on.
-- @function shared:expire
-- @tparam string key
-- @tparam ?number ttl seconds; nil: for ever
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"not found"`
-- @usage users:expire("7", 60)

--- How long an entry has to live.
-- @function shared:ttl
-- @tparam string key
-- @treturn[1] number seconds; `math.huge` when it does not expire
-- @treturn[2] nil
-- @treturn[2] string `"not found"`
-- @usage local seconds = users:ttl("7")

--- Adds an element in front of a list, which it makes where there is nothing.
-- @function shared:lpush
-- @tparam string key
-- @param value not nil
-- @treturn[1] integer how many elements it has
-- @treturn[2] nil
-- @treturn[2] string `"not a list"`, and as `shared:set`
-- @usage jobs:lpush("urgent", {id = 1})

--- Adds an element at the end of a list, which it makes where there is nothing.
-- @function shared:rpush
-- @tparam string key
-- @param value not nil
-- @treturn[1] integer how many elements it has
-- @treturn[2] nil
-- @treturn[2] string `"not a list"`, and as `shared:set`
-- @usage jobs:rpush("mail", {to = "ann"})

--- Takes the first element of a list.
-- @function shared:lpop
-- @tparam string key
-- @return[1] the element
-- @treturn[2] nil when there is none
-- @treturn[3] nil
-- @treturn[3] string `"not a list"`
-- @usage local job = jobs:lpop("mail")

--- Takes the last element of a list.
-- @function shared:rpop
-- @tparam string key
-- @return[1] the element
-- @treturn[2] nil when there is none
-- @treturn[3] nil
-- @treturn[3] string `"not a list"`
-- @usage local job = jobs:rpop("mail")

--- How many elements a list has; 0 where there is none.
-- @function shared:llen
-- @tparam string key
-- @treturn[1] integer
-- @treturn[2] nil
-- @treturn[2] string `"not a list"`
-- @usage local waiting = jobs:llen("mail")

--- The keys that there are, in no order; some that come or go meanwhile are among them or not.
-- Lets others run when there are many.
-- @function shared:keys
-- @tparam[opt=""] string prefix only those that begin so
-- @tparam ?integer most no more than so many
-- @treturn {string,...}
-- @usage for _, key in ipairs(users:keys("admin:")) do print(key) end

--- Removes what is there as it begins; what is set meanwhile stays. Lets others run when there is
-- much.
-- @function shared:flush
-- @treturn boolean true
-- @usage users:flush()

--- What is used of it: `entries`; `bytes` that they take, and `used` by all dictionaries, of at
-- most `limit`; how many were `evicted`, and have `expired` and been removed; `eviction`.
-- @function shared:stats
-- @treturn table
-- @usage print(users:stats().entries)

--- Waits for a change of an entry, whoever makes it; its expiry is one. Of changes that follow each
-- other closely the last is told. Waits.
-- @function shared:watch
-- @tparam string key
-- @tparam ?number timeout seconds; nil: for ever
-- @tparam ?integer version wait only while this is the version; that of the moment unless told
-- @treturn[1] boolean true
-- @return[1] the value, nil when there is none any more, or a list
-- @treturn[1] integer its version
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`
-- @raise when the task is cancelled
-- @usage local value, version = config:entry("limits")
-- while true do
--   local _
--   _, value, version = config:watch("limits", nil, version)
-- end

-- Locks of this Lua state, by dictionary and key, while somebody updates.
local updating = {}

local function locked(name, fn)
  local entry = updating[name] or {lock = sync.lock(), users = 0}
  updating[name], entry.users = entry, entry.users + 1
  local leave <close> = setmetatable({}, {__close = function() -- luacheck: ignore 211
    entry.users = entry.users - 1
    if entry.users == 0 then updating[name] = nil end
  end})
  local held <close> = entry.lock:acquire() -- luacheck: ignore 211
  return fn()
end

local function try(self, key, fn, ttl)
  for tries = 1, MOST_TRIES do
    local value, version = self:entry(key)
    if type(version) ~= "number" then return nil, version end
    value = fn(value)
    local ok, problem = self:swap(key, version, value, ttl)
    if ok then return value end
    if problem ~= "changed" then return nil, problem end
    core.sleep(math.random() * math.min(tries, 10) / 1000)
  end
  return nil, "changed"
end

--- Sets a value to what a function makes of it. No lock is held while the function runs, which may
-- wait: when somebody else has changed the value meanwhile it is called again, with the value as it
-- is then; so it should do nothing else. Updates of one key by one Lua state take turns. After a
-- thousand tries it gives up: a function that takes longer than others leave the value alone is not
-- for this. Waits.
-- @function shared:update
-- @tparam string key
-- @tparam function fn is given the value, or nil, and returns the new one; nil removes it
-- @tparam ?number ttl seconds; what is left of its ttl stays unless told
-- @return[1] the new value
-- @treturn[2] nil
-- @treturn[2] string `"changed"`, and as `shared:set`
-- @raise what the function raises; nothing is changed then
-- @usage carts:update(id, function(cart)
--   cart = cart or {}
--   cart[#cart + 1] = item
--   return cart
-- end)
function Shared:update(key, fn, ttl)
  if not check.is_callable(fn) then
    check.refuse("shared:update: argument 'fn'", "a function", fn, 2)
  end
  return locked(tostring(self) .. "\0" .. tostring(key), function()
    return try(self, key, fn, ttl)
  end)
end

-- A dictionary is a store of sessions: see `genet.session`.

--- @local
function Shared:load(id)
  return self:get(id)
end

--- @local
function Shared:save(id, text, ttl)
  return self:set(id, text, ttl)
end

local shared = {}

local OPTIONS = {eviction = "string"}

local function check_name(name)
  if type(name) ~= "string" then
    check.refuse("genet.shared: argument 'name'", "a string", name, 3)
  elseif #name > LONGEST_NAME then
    error(("genet.shared: argument 'name': at most %d bytes"):format(LONGEST_NAME), 3)
  end
end

local function is_strict(options)
  if options == nil then return false end
  check.plain_options(options, "genet.shared", OPTIONS)
  local eviction = options.eviction or "lru"
  if eviction ~= "lru" and eviction ~= "error" then
    error(("genet.shared: option 'eviction': \"lru\" or \"error\" was expected, not %q")
      :format(eviction), 3)
  end
  return eviction == "error"
end

local known = {} -- those that were asked for without options

--- The dictionary of a name; there are 1024 at most.
-- @function genet.shared
-- @tparam string name
-- @tparam ?table options `eviction`: what happens when memory is full, `"lru"` (entries go that
--   have not been used for long) or `"error"`; the last one told holds for everybody
-- @treturn Shared see `genet.shared`
-- @raise when an argument is wrong, and when the store cannot be opened
-- @usage local users = genet.shared("users", {eviction = "error"})
function shared.open(name, options)
  check_name(name)
  local strict = is_strict(options)
  if known[name] and options == nil then return known[name] end
  local dict, problem = store.open(name, strict)
  if not dict then error("genet.shared: " .. problem, 2) end
  known[name] = dict
  return dict
end

return shared
