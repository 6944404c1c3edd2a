--- A strict WebSocket client for tests: it fails where the server breaks RFC 6455.
local client = require "tests.e2e.client"
local frames = require "tests.e2e.websocket.frames"

local ws_client = {}

local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" -- of the RFC

--- The lines of a handshake besides the request line and Host.
function ws_client.handshake(more)
  local lines = {"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " .. KEY}
  for _, line in ipairs(more or {}) do lines[#lines + 1] = line end
  return lines
end

local WebSocket = {}
WebSocket.__index = WebSocket

local function check_upgrade(response)
  assert(response.status == 101, "the handshake got " .. response.status)
  assert(response.headers.upgrade:lower() == "websocket")
  assert(response.headers.connection:lower() == "upgrade")
  assert(response.headers["sec-websocket-accept"] == ACCEPT, "a wrong Sec-WebSocket-Accept")
  assert(not response.headers["sec-websocket-extensions"], "an extension nobody asked for")
  assert(not response.headers["content-length"], "a 101 has no length")
end

--- Reads the answer to a handshake that has been sent.
function ws_client.take_over(connection)
  local response = connection:read_head()
  check_upgrade(response)
  return setmetatable({connection = connection, response = response}, WebSocket)
end

--- Shakes hands on a connection of tests/e2e/client.lua.
-- @tparam[opt] {string,...} headers more lines
function ws_client.upgrade(connection, target, headers)
  local bytes = client.request_bytes("GET", target, ws_client.handshake(headers))
  assert(connection:send(bytes))
  return ws_client.take_over(connection)
end

--- A WebSocket to a server of tests/e2e/support.lua.
function ws_client.open(server, target, headers)
  local connection = server:connect()
  local ok, ws = pcall(ws_client.upgrade, connection, target, headers)
  if ok then return ws end
  connection:close()
  error(ws, 2)
end

function WebSocket:send_bytes(bytes) return self.connection:send(bytes) end

local function sender(make)
  return function(self, ...) return assert(self.connection:send(make(...))) end
end

WebSocket.send, WebSocket.send_binary = sender(frames.text), sender(frames.binary)
WebSocket.ping, WebSocket.pong = sender(frames.ping), sender(frames.pong)
WebSocket.send_close = sender(frames.close)

-- A frame's length, which must be written as shortly as it can be.
local function read_length(connection, short)
  if short < 126 then return short end
  local long = short == 127
  local length = string.unpack(long and ">I8" or ">I2", connection:read_bytes(long and 8 or 2))
  assert(length >= (long and 65536 or 126), "a length with bytes too many")
  return length
end

local KINDS = {[1] = "text", [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong"}

--- The next frame: its kind and payload; nil when the server has closed the connection.
function WebSocket:read_frame()
  local head = self.connection:read_bytes(2)
  if #head == 0 then return nil end
  assert(#head == 2, "the connection ended in a frame")
  local first, second = head:byte(1, 2)
  assert(first & 0x80 ~= 0, "a fragment")
  assert(first & 0x70 == 0, "a reserved bit")
  assert(second & 0x80 == 0, "a mask")
  local kind = assert(KINDS[first & 15], "a reserved opcode")
  local length = read_length(self.connection, second)
  assert(first & 8 == 0 or length <= 125, "a control frame too long")
  local payload = self.connection:read_bytes(length)
  assert(#payload == length, "the connection ended in a frame")
  return kind, payload
end

--- The next message and its kind; pings are answered, pongs passed over. A close is nil, its code
-- (1005 when it has none) and reason; the end of the connection is nil, 1006.
function WebSocket:receive()
  while true do
    local kind, payload = self:read_frame()
    if not kind then return nil, 1006 end
    if kind == "text" or kind == "binary" then return payload, kind end
    if kind == "ping" then self:pong(payload) end
    if kind == "close" then
      assert(#payload ~= 1, "half a code")
      return nil, #payload == 0 and 1005 or string.unpack(">I2", payload), payload:sub(3)
    end
  end
end

--- Closes in good order, and fails if the server does not.
function WebSocket:close(code, reason)
  self:send_close(code or 1000, reason)
  local message, got
  repeat message, got = self:receive() until not message
  assert(got == (code or 1000), "the close was answered with " .. got)
  assert(self.connection:is_closed(), "the server did not close the connection")
  self.connection:close()
end

--- Goes away without a word.
function WebSocket:vanish(how)
  self.connection:close(how)
end

return ws_client
