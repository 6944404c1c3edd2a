--- WebSockets without a connection: the two ends of those that the client of `genet.test` opens.
-- @module genet.test.socket

local fake = require "genet.test.exchange"
local sockets = require "genet.sockets"
local tasks = require "genet.tasks"

local socket = {}

local joined = {} -- topic -> set of ends of handlers

-- An end ----------------------------------------------------------------------------------------

local End = {}
End.__index = End

local function new_end()
  return setmetatable({letters = {}, changed = tasks.waits(), topics = {}}, End)
end

-- Two ends of which each gets what the other sends.
local function pair()
  local a, b = new_end(), new_end()
  a.peer, b.peer = b, a
  return a, b
end

function End:send(data, kind)
  if self.code or self.peer.code then return nil, "closed" end
  kind = kind or "text"
  if kind == "text" and not utf8.len(data) then error("the text is not UTF-8", 3) end
  table.insert(self.peer.letters, {data = data, kind = kind})
  self.peer.changed:wake()
  return true
end

function End:receive(timeout)
  while not self.letters[1] and not self.code do
    if not self.changed:wait(timeout) then return nil, "timeout" end
  end
  local letter = table.remove(self.letters, 1)
  if letter then return letter.data, letter.kind end
  return nil, "closed", self.code, self.reason
end

function End:leave_all()
  for topic in pairs(self.topics) do joined[topic][self] = nil end
  self.topics = {}
end

function End:close(code, reason)
  if self.code then return nil, "closed" end
  for _, which in ipairs{self, self.peer} do
    which.code, which.reason = code or 1000, reason or ""
    which:leave_all()
    which.changed:wake(math.maxinteger)
  end
  return true
end

function End:is_open()
  return self.code == nil
end

-- What the app does: the functions of genet.sockets ----------------------------------------------

local functions = {}

function functions:accept(_, head, max_message)
  self.mine, self.accepted = pair()
  self.max_message, self.accepted_head = max_message, head
  self.started_with = {status = 101, head = head}
  self:wake()
  return true
end

function functions:is_socket() return self.accepted ~= nil end
function functions:is_open() return self.mine ~= nil and self.mine:is_open() end
function functions:receive(timeout) return self.mine:receive(timeout) end
function functions:send(data, kind) return self.mine:send(data, kind) end
function functions:close(code, reason) return self.mine:close(code, reason) end
function functions:ping() return self.mine:is_open() or nil, "closed" end
function functions.move() end
function functions.moving() return false end
function functions.resume() end

function functions:join(topic)
  if not self.mine:is_open() then return nil, "closed" end
  joined[topic] = joined[topic] or {}
  joined[topic][self.mine], self.mine.topics[topic] = true, true
  return true
end

function functions:leave(topic)
  local had = self.mine.topics[topic] ~= nil
  self.mine.topics[topic] = nil
  if had then joined[topic][self.mine] = nil end
  return had
end

fake.install(sockets, functions)

local publish = sockets.publish

function sockets.publish(topic, message, kind)
  local count = publish(topic, message, kind)
  for which in pairs(joined[topic] or {}) do
    if which:send(message, kind) then count = count + 1 end
  end
  return count
end

-- The client's end --------------------------------------------------------------------------------

--- The WebSocket as a client has it: what `client:websocket` returns.
local Client = {__name = "genet.test.websocket"}
Client.__index = Client

--- For `genet.test.client`: the client's end of an exchange that has become a WebSocket.
-- @usage local ws <close> = socket.new(x, nil)
function socket.new(x, subprotocol)
  return setmetatable({x = x, subprotocol = subprotocol}, Client)
end

--- Sends a message to the handler.
-- @function socket:send
-- @tparam string data
-- @tparam[opt] string kind `"text"` or `"binary"`
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"closed"`
-- @usage ws:send("hello")
function Client:send(data, kind)
  if #data > self.x.max_message then
    self.x.accepted:close(1009, "message too big")
    return nil, "closed"
  end
  return self.x.accepted:send(data, kind)
end

--- The next message of the handler. Waits. Raises what the handler has raised.
-- @function socket:receive
-- @tparam[opt=60] number timeout seconds
-- @treturn[1] string the message
-- @treturn[1] string `"text"` or `"binary"`
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`
-- @treturn[3] nil
-- @treturn[3] string `"closed"`
-- @treturn[3] integer the code
-- @treturn[3] string the reason
-- @usage assert.equal("welcome", ws:receive())
function Client:receive(timeout)
  local data, kind, code, reason = self.x.accepted:receive(timeout or 60)
  if kind == "closed" and self.x.failure then
    local failure = self.x.failure
    self.x.failure = nil
    error(failure, 0)
  end
  return data, kind, code, reason
end

--- Closes it.
-- @function socket:close
-- @tparam[opt=1000] integer code
-- @tparam[opt] string reason
-- @usage ws:close()
function Client:close(code, reason)
  return self.x.accepted:close(code, reason)
end

Client.__close = function(self) self:close() end

return socket
