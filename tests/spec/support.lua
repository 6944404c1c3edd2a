--- What the specs use instead of the C host: a `genet.core`, a `genet.tasks` and a
-- `genet.exchange`.

local virtual = require "virtual"

local support = {}

--- The lines that went to the log, as `{level, text}`.
support.logged = virtual.logged

local core = {
  version = "0.1.0",
  current_level = "debug",
  sleep = virtual.sleep,
  yield = virtual.yield,
  now = virtual.now,
  generation = function() return 1 end,
  processors = function() return 2 end,
  loading = function() return false end,
  worker = function() return {mode = "single", index = 0, count = 1} end,
  environment = function() return support.environment end,
}

--- What the environment holds, as `NAME=value`.
support.environment = {}

function core.level()
  return core.current_level
end

function core.log(level, text, members)
  table.insert(support.logged, {level, text, members})
end

function core.structured()
  return core.is_structured or false
end

function core.is_terminal()
  return core.has_terminal or false
end

function core.worker()
  return core.role or {mode = "single", index = 0, count = 1}
end

function core.loading()
  return core.loads or false
end

function core.secret()
  return ("s"):rep(32)
end

function core.temporary_file()
  return io.tmpfile(), "/nowhere"
end

support.core = core
package.preload["genet.core"] = function() return core end

package.preload["genet.tasks"] = function() return virtual.tasks end

--- Offloaded calls are made at once, by `support.pool.run`.
support.pool = {}

function support.pool.run(fn, name, ...)
  if type(fn) == "string" then fn = name and require(fn)[name] or require(fn) end
  return pcall(fn, ...)
end

package.preload["genet.pool"] = function() return support.pool end

local function nothing() end

package.preload["genet.generations"] = function()
  return {
    watch = nothing, watch_scripts = nothing, debug = nothing, keep = nothing, kept = nothing,
    served = nothing, recall = nothing, record = nothing,
  }
end

--- The C module of statistics: one worker, whose requests a spec may put in.
support.stats = {all = {}, count = {}, requests_list = {}}

package.preload["genet.stats"] = function()
  local self, texts = support.stats, {}
  return {
    serves = function() return true end,
    enable = function(wanted) self.enabled = wanted end,
    route = function(rule) table.insert(self.count, rule) return #self.count end,
    series = function(list)
      if self.full then return nil end
      local numbers = {}
      for at, text in ipairs(list) do
        if not texts[text] then
          table.insert(texts, text)
          texts[text], self.all[text] = #texts, 0
        end
        numbers[at] = texts[text]
      end
      return numbers
    end,
    add = function(index, n) self.all[texts[index]] = self.all[texts[index]] + n end,
    set = function(index, n) self.all[texts[index]] = n end,
    refresh = nothing,
    workers = function() return #self.requests_list end,
    values = function()
      return {{family = "genet_fibers", type = "gauge", help = "Fibers.", labels = 'state="ready"',
        value = 3}}
    end,
    requests = function(worker) return self.requests_list[worker] end,
    all_series = function() return self.all end,
    bounds = function() return {0.1, 1} end,
    stopping = function() return self.is_stopping or false end,
  }
end

--- The C module of WebSockets: what specs need of it they put in.
support.sockets = {}

package.preload["genet.sockets"] = function() return support.sockets end

-- The host knows exchanges by number; here each is a table that its functions are given, and that
-- is its own place.
local Exchange = {}
local Number = {__band = function(x) return x end}

package.preload["genet.exchange"] = function() return Exchange end

--- An exchange.
-- @tparam ?table given `headers` (flat), `query`, `body` or `body_error`, `pieces`, `gone` (writes
--   fail after so many, or "at once" the start does)
function support.exchange(given)
  return setmetatable({given = given or {}, written = {}, pieces_read = 0}, Number)
end

--- The one that the running call is for, as a spec says: `support.running`.
function Exchange.current()
  return support.running
end

function Exchange:header(name)
  local flat = self.given.headers or {}
  for at = 1, #flat, 2 do
    if flat[at]:lower() == name:lower() then return flat[at + 1] end
  end
end

function Exchange:headers()
  return self.given.headers or {}
end

function Exchange:query()
  return self.given.query
end

function Exchange.version()
  return "1.1"
end

function Exchange.remote_addr()
  return "192.0.2.7", 40000
end

function Exchange:host()
  return Exchange.header(self, "Host")
end

function Exchange.scheme()
  return "http"
end

function Exchange.tls()
  return nil
end

function Exchange.id()
  return "request-1"
end

function Exchange:body()
  if self.given.body_error then return nil, self.given.body_error end
  self.bodies_read = (self.bodies_read or 0) + 1
  return self.given.body or ""
end

--- What was given to `on_end` waits in `ended` for the spec to call it.
function Exchange:on_end(fn)
  self.ended = self.ended or {}
  table.insert(self.ended, fn)
end

--- Calls what waits in `ended`, as the host does after the answer.
function support.finish(x)
  for _, fn in ipairs(x.ended or {}) do fn() end
end

function Exchange:limit(bytes)
  self.max_body = bytes
end

function Exchange:endless()
  self.is_endless = true
end

function Exchange:read(n)
  if self.given.body_error then return nil, self.given.body_error end
  local pieces = self.given.pieces or {}
  if self.pieces_read == 0 and self.given.body then pieces = {self.given.body} end
  if not self.rest then
    self.pieces_read = self.pieces_read + 1
    self.rest = pieces[self.pieces_read]
  end
  local piece = self.rest and self.rest:sub(1, n)
  self.rest = piece and #self.rest > n and self.rest:sub(n + 1) or nil
  return piece
end

function Exchange:start(status, head, length)
  assert(not self.begun, "started twice")
  if self.given.gone == "at once" then return nil, "closed" end
  self.begun, self.length = {status = status, head = head}, length
  return true
end

function Exchange:started()
  return self.begun ~= nil
end

function Exchange:write(data)
  assert(self.begun, "written before start")
  if self.given.gone and #self.written >= self.given.gone then return nil, "closed" end
  table.insert(self.written, data)
  return true
end

function Exchange:finish()
  assert(self.begun, "finished before start")
  assert(not self.finished, "finished twice")
  self.finished = true
  return true
end

function Exchange:lines(name)
  local flat, values = self.given.headers or {}, {}
  for at = 1, #flat, 2 do
    if flat[at]:lower() == name then values[#values + 1] = flat[at + 1] end
  end
  return values[1] and table.concat(values, ", ")
end

function Exchange:is_plain()
  for at = 1, #(self.given.headers or {}), 2 do
    local name = self.given.headers[at]:lower()
    if name == "range" or name:find("^if%-") then return false end
  end
  return true
end

function Exchange:write_file(file, at, n)
  return Exchange.write(self, file.content:sub(at + 1, at + n))
end

package.preload["genet.zlib"] = function()
  return {gzip = function(text, level) return ("gzip %d of %d"):format(level, #text) end}
end

--- Files as genet.disk would find them, by path: each has `content`, `time` and `inode`; or is a
-- word for why it cannot be opened. `opened` counts.
support.disk = {files = {}, opened = 0}

local DiskFile = {}
DiskFile.__index = DiskFile

function DiskFile:stat() return #self.content, self.time, 5, self.inode, self.time end
function DiskFile:read(n) return self.content:sub(1, n) end
function DiskFile:close() self.closed = true end

local Disk = {__close = nothing}
Disk.__index = Disk

function Disk:path(name)
  return self.root and self.root .. "/" .. name or name
end

function Disk:open(name)
  local file = support.disk.files[self:path(name)]
  if type(file) ~= "table" then return nil, file or "missing", "why not" end
  support.disk.opened = support.disk.opened + 1
  return setmetatable({content = file.content, time = file.time or 1000, inode = file.inode or 7},
    DiskFile)
end

function Disk:same(name, file)
  local there = support.disk.files[self:path(name)]
  return type(there) == "table" and there.content == file.content
end

function Disk:reopen(name, file)
  support.disk.opened = support.disk.opened + 1
  file.closed = not self:same(name, file)
  return not file.closed
end

function Disk:has(name) return support.disk.files[self:path(name)] ~= nil end
function Disk:list(name) return support.disk.files[self:path(name) .. "/"], "missing" end

package.preload["genet.disk"] = function()
  return {directory = function(root)
    if root and root:find("nonesuch") then return nil, "missing", "No such file or directory" end
    return setmetatable({root = root}, Disk)
  end}
end

-- Dictionaries as the C module has them, as far as Lua builds on them.
local Shared = {}
Shared.__index = Shared
Shared.__tostring = function(self) return "genet.shared: " .. self.name end

--- What the store was asked for, `{name, strict}`; `problem` makes it fail.
support.shared = {opened = {}}

function Shared:entry(key)
  if self.broken then return nil, self.broken end
  return self.values[key], self.versions[key] or 0
end

function Shared:get(key) return self.values[key] end

function Shared:set(key, value, ttl)
  self.values[key], self.ttls[key] = value, ttl
  self.versions[key] = (self.versions[key] or 0) + 1
  return true
end

function Shared:swap(key, version, value, ttl)
  if (self.versions[key] or 0) ~= version then return nil, "changed" end
  if self.full then return nil, "no memory" end
  return self:set(key, value, ttl)
end

function Shared:delete(key)
  local there = self.values[key] ~= nil
  self.values[key] = nil
  return there
end

package.preload["genet.shared_store"] = function()
  return {methods = Shared, open = function(name, strict)
    table.insert(support.shared.opened, {name, strict})
    if support.shared.problem then return nil, support.shared.problem end
    return setmetatable({name = name, values = {}, versions = {}, ttls = {}}, Shared)
  end}
end

-- A child of genet.subprocess, which has ended well.
local Child = {}
Child.__index = Child

function Child.pid() return 4711 end
function Child.wait() return true end
function Child.result() return true, "exit", 0 end
function Child:limit(seconds, grace) self.limits = {seconds, grace} end
function Child:kill(signal) self.killed = signal return true end
function Child:finish(grace) self.finished = grace end

--- What genet.subprocess was told to start last, and the child it gave.
support.subprocess = {}

package.preload["genet.subprocess"] = function()
  local function start(plan)
    local child = setmetatable({}, Child)
    support.subprocess.plan, support.subprocess.child = plan, child
    if plan.argv[1] == "nonesuch" then return nil, "nonesuch: No such file or directory" end
    return child
  end
  local signals = {TERM = 15, KILL = 9}
  return {start = start, release = function() end, signal = function(name) return signals[name] end}
end

--- What stands in for io and os: Lua's own functions, each under another identity.
support.stdio = {standard = function() end, set_default = function() end}

for name, fn in pairs{
  popen = io.popen, open = io.open, lines = io.lines, input = io.input, output = io.output,
  read = io.read, write = io.write, flush = io.flush, close = io.close, execute = os.execute,
} do
  support.stdio[name] = function(...) return fn(...) end
end

package.preload["genet.stdio"] = function() return support.stdio end

--- The error value that a function raises; fails when it raises none.
function support.raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "nothing was raised")
  return err
end

--- The message of the error that a function of one line raises; fails unless the error names that
-- very line.
function support.blamed(fn)
  local err = support.raised(fn)
  local info = debug.getinfo(fn, "S")
  local place = ("%s:%d: "):format(info.short_src, info.linedefined)
  assert(type(err) == "string" and err:sub(1, #place) == place,
    ("expected an error at %s, not: %s"):format(place, tostring(err)))
  return err:sub(#place + 1)
end

--- Runs a function with a new directory that holds the files given; the directory goes afterwards.
function support.with_files(files, fn)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  for name, text in pairs(files) do
    local sub = name:match("^(.*)/")
    if sub then assert(os.execute("mkdir -p " .. dir .. "/" .. sub)) end
    local file = assert(io.open(dir .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  local ok, problem = pcall(fn, dir)
  os.execute("rm -r " .. dir)
  if not ok then error(problem, 0) end
end

return support
