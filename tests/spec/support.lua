--- What the specs use instead of the C host: a `genet.core` and a `genet.exchange`.

local support = {}

--- The lines that went to the log, as `{level, text}`.
support.logged = {}

local core = {
  version = "0.1.0",
  current_level = "debug",
  sleep = function() end,
  yield = function() end,
  now = os.clock,
  generation = function() return 1 end,
}

function core.level()
  return core.current_level
end

function core.log(level, text)
  table.insert(support.logged, {level, text})
end

support.core = core
package.preload["genet.core"] = function() return core end

package.preload["genet.tasks"] = function() return {on_end = function() end} end

--- The C module of WebSockets: what specs need of it they put in.
support.sockets = {}

package.preload["genet.sockets"] = function() return support.sockets end

-- The host knows exchanges by number; here each is a table that its functions are given.
local Exchange = {}

package.preload["genet.exchange"] = function() return Exchange end

--- An exchange.
-- @tparam ?table given `headers` (flat), `query`, `body` or `body_error`, `pieces`, `gone` (writes
--   fail after so many, or "at once" the start does)
function support.exchange(given)
  return {given = given or {}, written = {}, pieces_read = 0}
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

function Exchange:limit(bytes)
  self.max_body = bytes
end

function Exchange:endless()
  self.is_endless = true
end

function Exchange:read(n)
  if self.given.body_error then return nil, self.given.body_error end
  self.pieces_read = self.pieces_read + 1
  local piece = (self.given.pieces or {})[self.pieces_read]
  return piece and piece:sub(1, n)
end

function Exchange:start(status, head)
  assert(not self.begun, "started twice")
  if self.given.gone == "at once" then return nil, "closed" end
  self.begun = {status = status, head = head}
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

--- The error value that a function raises; fails when it raises none.
function support.raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "nothing was raised")
  return err
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
