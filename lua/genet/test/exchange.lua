--- Exchanges without a connection, which the functions of `genet.exchange` take like those of the
-- host: what the client of `genet.test` asks an app with. Their numbers are negative.
-- @module genet.test.exchange

local exchange = require "genet.exchange"
local task = require "genet.task"
local tasks = require "genet.tasks"

local fake = {}

local Exchange = {}
Exchange.__index = Exchange

local open = {} -- by number
local serving = setmetatable({}, {__mode = "k"}) -- exchanges by the task that answers
local last = 0

local MAX_BODY = 8 << 20
local ROOM = 64 -- pieces of an answer that a client reads by and by may be behind by

--- An exchange.
-- @tparam table request `method`, `path`, `query`, `headers` (flat), `body` (a string or a function
--   that gives its pieces), `scheme`, `host`, `remote_addr`
-- @tparam boolean streamed whether somebody reads the answer while it is written: a writer that is
--   ahead waits
-- @treturn Exchange its `number` is what an app is called with
-- @usage local x = fake.open({method = "GET", path = "/", headers = {}}, false)
function fake.open(request, streamed)
  last = last - 1
  local self = setmetatable({
    number = last,
    request = request,
    streamed = streamed,
    max_body = MAX_BODY,
    taken = 0,
    pieces = {},
    size = 0,
    endings = {},
    changed = tasks.waits(),
  }, Exchange)
  open[last] = self
  return self
end

-- What the client does ------------------------------------------------------------------------

-- Notes an answer that was returned, unless one was written.
function Exchange:answer(status, head, body)
  if not status then return end
  if self.started_with then
    error("the handler returned an answer after it had begun to write one", 0)
  end
  self.started_with = {status = status, head = head, length = #body}
  if not self:is_silent() then self.pieces[1] = body ~= "" and body or nil end
  self.complete = true
  self:wake()
end

-- The running task, and those that it starts, are for this exchange.
function Exchange:begin()
  serving[task.current()] = self
end

-- Nothing more will come: calls what waits for that.
function Exchange:close()
  for at = #self.endings, 1, -1 do self.endings[at]() end
  open[self.number] = nil
  self.ended = true
  self:wake()
end

-- The client has gone: writing fails from now on.
function Exchange:abandon()
  self.gone = true
  self:wake()
end

-- Lets everybody see what has changed.
function Exchange:wake()
  self.changed:wake(math.maxinteger)
end

-- The next piece of the answer; nil at its end. Waits.
function Exchange:take()
  while not self.pieces[1] and not self.ended and not self.complete do self.changed:wait() end
  local piece = table.remove(self.pieces, 1)
  self:wake()
  return piece
end

-- Waits until there is an answer, or will be none.
function Exchange:await_start()
  while not self.started_with and not self.ended and not self.accepted do self.changed:wait() end
end

-- To HEAD and with some statuses there is no body.
function Exchange:is_silent()
  local status = self.started_with.status
  return self.request.method == "HEAD" or status == 204 or status == 304
end

-- What the app does: the functions of genet.exchange ------------------------------------------

local functions = {}

-- Calls `fn(value)` for each value of a header.
local function each_value(self, name, fn)
  local flat = self.request.headers
  name = name:lower()
  for at = 1, #flat, 2 do
    if flat[at]:lower() == name then fn(flat[at + 1]) end
  end
end

function functions:header(name)
  local found
  each_value(self, name, function(value) found = found or value end)
  return found
end

function functions:lines(name)
  local values = {}
  each_value(self, name, function(value) values[#values + 1] = value end)
  return values[1] and table.concat(values, ", ")
end

function functions:headers()
  return table.move(self.request.headers, 1, #self.request.headers, 1, {})
end

function functions:is_plain()
  local flat = self.request.headers
  for at = 1, #flat, 2 do
    local name = flat[at]:lower()
    if name == "range" or name:find("^if%-") then return false end
  end
  return true
end

function functions:query() return self.request.query end
function functions.version() return "1.1" end
function functions:remote_addr() return self.request.remote_addr, 40000 end
function functions:host() return self.request.host end
function functions:scheme() return self.request.scheme end
function functions:id() return "test-" .. -self.number end
function functions.tls() return nil end
function functions:detach() self.detached = true end
function functions.endless() end
function functions.observed() return false end
function functions.count_as() end
function functions.identify() end
function functions:limit(bytes) self.max_body = bytes end
function functions:on_end(fn) table.insert(self.endings, fn) end

-- The next piece that there is of the body; nil at its end.
local function more(self)
  local body = self.request.body
  if type(body) == "function" then return body() end
  self.request.body = nil
  return body
end

function functions:read(n)
  while not self.rest or self.rest == "" do
    self.rest = more(self)
    if not self.rest then return nil end
    self.taken = self.taken + #self.rest
    if self.taken > self.max_body then return nil, "too large" end
  end
  local piece = self.rest:sub(1, n)
  self.rest = self.rest:sub(n + 1)
  return piece
end

function functions:body()
  local pieces = {}
  while true do
    local piece, problem = functions.read(self, 65536)
    if problem then return nil, problem end
    if not piece then return table.concat(pieces) end
    pieces[#pieces + 1] = piece
  end
end

function functions:start(status, head, length)
  if self.started_with then error("the answer has already been started", 2) end
  if self.gone then return nil, "closed" end
  self.started_with = {status = status, head = head, promised = length}
  self:wake()
  return true
end

function functions:started()
  return self.started_with ~= nil
end

local function check_room(self, n)
  local promised = self.started_with.promised
  self.size = self.size + n
  if promised and self.size > promised then
    error(("the handler writes more than its Content-Length of %d bytes"):format(promised), 3)
  end
end

function functions:write(data)
  if not self.started_with then error("the answer has not been started", 2) end
  if self.complete then error("the answer has ended", 2) end
  data = tostring(data)
  while self.streamed and #self.pieces >= ROOM and not self.gone do self.changed:wait() end
  if self.gone then return nil, "closed" end
  if self:is_silent() then return true end
  check_room(self, #data)
  if data ~= "" then self.pieces[#self.pieces + 1] = data end
  self:wake()
  return true
end

function functions:write_file(file, at, n)
  while n > 0 do
    local piece = file:read(math.min(n, 65536), at)
    if not piece or piece == "" then return nil, piece and "file ended" or "file unreadable" end
    local ok, problem = functions.write(self, piece)
    if not ok then return nil, problem end
    at, n = at + #piece, n - #piece
  end
  return true
end

function functions:finish()
  local start = self.started_with
  if start.promised and self.size < start.promised and not self:is_silent() then
    error(("the handler wrote %d bytes where its Content-Length says %d"):format(self.size,
      start.promised), 2)
  end
  self.complete = true
  self:wake()
  return not self.gone or nil, self.gone and "closed" or nil
end

-- Joining the two -----------------------------------------------------------------------------

--- Puts functions in front of those of a module of the host, for exchanges of this kind.
-- @tparam table module whose functions take the number of an exchange first
-- @tparam table own by the same names; they take the Exchange
-- @usage fake.install(require "genet.exchange", functions)
function fake.install(module, own)
  for name, theirs in pairs(module) do
    local mine = own[name]
    module[name] = mine and function(number, ...)
      local self = open[number]
      if self then return mine(self, ...) end
      return theirs(number, ...)
    end or theirs
  end
end

fake.install(exchange, functions)

local current = exchange.current

-- The exchange that the running task, or one that it descends from, answers.
function exchange.current()
  local at = tasks.current()
  while at do
    local self = serving[at]
    if self and not self.ended then return self.number end
    at = at.parent
  end
  return current()
end

return fake
