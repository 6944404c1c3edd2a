--- A connection to a server and the HTTP on it, byte by byte where a test needs that.
-- Reaching the deadline of a wait is an error.
local socket = require "socket"

local client = {}

local Client = {}
Client.__index = Client

--- A new connection; `patience` is the deadline of every wait on it, in seconds.
function client.connect(host, port, patience)
  local connection = assert(socket.connect(host, port))
  connection:setoption("tcp-nodelay", true)
  return setmetatable({socket = connection, buffer = "", patience = patience}, Client)
end

function Client:send(bytes)
  self.socket:settimeout(self.patience)
  return self.socket:send(bytes)
end

--- Closes the connection, at once and rudely (with a reset) if so asked.
function Client:close(how)
  if how == "reset" then self.socket:setoption("linger", {on = true, timeout = 0}) end
  self.socket:close()
end

--- Reads what has come within `seconds` into the buffer; false, reason if nothing came.
function Client:fill(seconds)
  if #socket.select({self.socket}, nil, seconds) == 0 then return false, "timeout" end
  self.socket:settimeout(0)
  local data, err, partial = self.socket:receive(65536)
  data = data or partial
  self.buffer = self.buffer .. data
  if data == "" then return false, err end
  return true
end

-- Fills the buffer until `enough(buffer)` returns something true; nil at the end of the stream.
function Client:read_until(what, enough)
  local deadline = socket.gettime() + self.patience
  while true do
    local result = enough(self.buffer)
    if result then return result end
    local filled, err = self:fill(math.max(0, deadline - socket.gettime()))
    if not filled and err == "timeout" then error("waited in vain for " .. what, 0) end
    if not filled then return nil end
  end
end

local function take(self, length)
  local taken = self.buffer:sub(1, length)
  self.buffer = self.buffer:sub(length + 1)
  return taken
end

function Client:read_bytes(count)
  self:read_until(count .. " bytes", function(buffer) return #buffer >= count end)
  return take(self, count)
end

function Client:read_line()
  local stop = self:read_until("a line", function(buffer)
    local _, last = buffer:find("\r\n", 1, true)
    return last
  end)
  return stop and take(self, stop):sub(1, -3)
end

--- Everything until the server closes the connection.
function Client:read_all()
  self:read_until("the end of the connection", function() return nil end)
  return take(self, #self.buffer)
end

--- Whether the server closes the connection, with nothing more to read.
function Client:is_closed()
  return self:read_all() == ""
end

--- Whether something, or the end, came within `seconds`.
function Client:has_news(seconds)
  if #self.buffer > 0 then return true end
  local filled, err = self:fill(seconds or 0)
  return filled or err == "closed"
end

--- The next chunk of a chunked body, "" for the last one.
function Client:read_chunk()
  local line = assert(self:read_line(), "the connection ended between chunks")
  local size = tonumber(line:match("^%x+"), 16)
  local chunk = self:read_bytes(size)
  assert(#chunk == size, "the connection ended in a chunk")
  assert(self:read_line() == "", "a chunk without its end")
  return chunk
end

local function read_chunked(self)
  local chunks = {}
  repeat
    chunks[#chunks + 1] = self:read_chunk()
  until chunks[#chunks] == ""
  return table.concat(chunks)
end

local function has_no_body(status, method)
  return method == "HEAD" or status == 204 or status == 304 or status < 200
end

local function read_body(self, response, method)
  if has_no_body(response.status, method) then return "" end
  if response.headers["transfer-encoding"] == "chunked" then return read_chunked(self) end
  local length = tonumber(response.headers["content-length"])
  if not length then return self:read_all() end
  local body = self:read_bytes(length)
  assert(#body == length, "the connection ended in the body")
  return body
end

--- Status line and headers (by lower-case name) only.
function Client:read_head()
  local line = assert(self:read_line(), "the connection ended before a response")
  local version, status, reason = line:match("^HTTP/(%d%.%d) (%d%d%d) ?(.*)$")
  assert(version, "not a status line: " .. line)
  local response = {version = version, status = tonumber(status), reason = reason, headers = {}}
  for header in function() return self:read_line() end do
    if header == "" then return response end
    local name, value = header:match("^([^%s:]+):%s*(.-)%s*$")
    assert(name, "not a header: " .. header)
    response.headers[name:lower()] = value
  end
  error("the connection ended in a head", 0)
end

--- Reads one whole response.
-- @tparam[opt] string method of the request; after "HEAD" no body is expected
function Client:response(method)
  local response = self:read_head()
  response.body = read_body(self, response, method)
  return response
end

--- The bytes of a request: `headers` is a list of lines; `body` adds its Content-Length.
function client.request_bytes(method, target, headers, body)
  local lines = {method .. " " .. target .. " HTTP/1.1", "Host: 127.0.0.1"}
  for _, header in ipairs(headers or {}) do lines[#lines + 1] = header end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- Sends a request and reads its response, on this connection.
function Client:request(method, target, headers, body)
  assert(self:send(client.request_bytes(method, target, headers, body)))
  return self:response(method)
end

--- Sends a request and leaves its response for later.
function Client:ask(target)
  return assert(self:send(client.request_bytes("GET", target)))
end

return client
