--- Responses: what a call of `genet.http` returns.
--
-- Fields: `status`, `reason`, `version`, `headers` (see `genet.http.headers`), `url` (the last one,
-- after redirects), `ok` (whether the status is 200 to 299), `body` (a string; nil when the request
-- asked for a stream), `trailers` (headers that came after the body, if any did).
--
-- A response that is a stream holds its connection until its end has been read or it is closed:
-- have it in a `<close>` variable.
-- @module genet.http.response

local body = require "genet.http.body"
local core = require "genet.core"
local headers = require "genet.http.headers"
local json = require "genet.json"
local message = require "genet.http.message"

local response = {}

local Response = {__name = "genet.http.response"}
Response.__index = Response

local PIECE = 65536

-- What a response that nobody wants may still have to say for its connection to be worth keeping.
local WORTH_READING = 65536

--- A response whose body is still to be read.
-- @tparam Request req as it was sent last
-- @tparam table head of `genet.http.message`
-- @tparam Connection connection
-- @tparam ?function keep called with the connection when it can carry another request
-- @treturn[1] Response takes the connection
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the head
-- @usage local made, err = response.new(req, head, connection, keep)
function response.new(req, head, connection, keep)
  local framing, length = message.framing(head, req.method)
  if not framing then return nil, length end
  connection.held = true
  return setmetatable({
    status = head.status,
    reason = head.reason,
    version = head.version,
    headers = head.headers,
    url = req:url(),
    ok = head.status <= 299,
    _settings = req.settings,
    _connection = connection,
    _reader = body.reader(connection, framing, length),
    _keep = framing ~= "close" and keep or nil,
  }, Response)
end

-- The body has been read: its connection is free.
function Response:_finish()
  local connection, reader = self._connection, self._reader
  self._connection, self._reader = nil, nil
  if reader.trailers and #reader.trailers > 0 then
    self.trailers = headers.new(reader.trailers)
  end
  if self._keep and connection:is_drained() then
    self._keep(connection)
  else
    connection:close()
  end
end

-- Frees the connection of a response that has no body.
function Response:_settle()
  if self._reader and self._reader.done then self:_finish() end
end

-- A piece of a body that has been read already.
local function take(self, n)
  local at = self._at or 1
  local limit = n == "a" and #self.body or n
  if n == "a" and at > #self.body then return "" end
  if at > #self.body then return nil end
  self._at = at + limit
  return self.body:sub(at, at + limit - 1)
end

local function read_piece(self, limit)
  local reader = self._reader
  if not reader then return nil, self._problem end
  local piece, problem = reader:read(limit)
  if problem then
    self:close()
    self._problem = problem
  elseif reader.done then
    self:_finish()
  end
  return piece, problem
end

local function read_all(self)
  local pieces, size, limit = {}, 0, self._settings.max_body
  while true do
    local piece, problem = read_piece(self, PIECE)
    if problem then return nil, problem end
    if not piece then return table.concat(pieces) end
    size = size + #piece
    if size > limit then
      self:close()
      self._problem = ("body too large: more than %d bytes"):format(limit)
      return nil, self._problem
    end
    pieces[#pieces + 1] = piece
  end
end

-- Keeps the whole body, by the deadline of the request.
function Response:_load()
  local text, problem = read_all(self)
  if not text then return nil, problem end
  self.body = text
  return self
end

-- Reads what little may be left, so that the connection can be used again.
function Response:_discard()
  local size = 0
  while self._reader and size <= WORTH_READING do
    size = size + #(read_piece(self, PIECE) or "")
  end
  self:close()
end

--- The next piece of the body. Waits, as long as the `timeout` of the request for each piece.
-- @function response:read
-- @tparam[opt=65536] integer|string n the most bytes to read, or `"a"` for all that is left
-- @treturn[1] string at least one byte, except for `"a"`
-- @treturn[2] nil at the end of the body
-- @treturn[3] nil
-- @treturn[3] string why it cannot be read, such as `body cut short: closed after 3 of 9 bytes`
-- @usage local piece, err = response:read(4096)
function Response:read(n)
  if n ~= "a" and n ~= nil and not (math.type(n) == "integer" and n > 0) then
    error("argument 'n': an integer above 0 or \"a\" was expected", 2)
  end
  if self.body then return take(self, n or PIECE) end
  if self._connection then
    self._connection.deadline = core.now() + self._settings.timeout
  end
  if n == "a" then return read_all(self) end
  return read_piece(self, n or PIECE)
end

--- Walks over the body piece by piece. Waits. Raises when the body cannot be read to its end.
-- @function response:chunks
-- @tparam[opt=65536] integer n the most bytes of a piece
-- @treturn function an iterator
-- @usage for piece in response:chunks() do file:write(piece) end
function Response:chunks(n)
  return function()
    local piece, problem = self:read(n)
    if problem then error(problem, 2) end
    return piece
  end
end

--- The body as JSON. Waits when the response is a stream.
-- @function response:json
-- @return[1] the value; `genet.json.null` for `null`
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @usage local item = assert(response:json())
function Response:json()
  local text, problem = self.body, nil
  if not text then text, problem = self:read("a") end
  if not text then return nil, problem end
  local value, wrong = json.decode(text)
  if value == nil then return nil, "the body is not JSON: " .. wrong end
  return value
end

--- Ends a stream: its connection is closed unless the body has been read to its end. Harmless when
-- that has been done already.
-- @function response:close
-- @usage response:close()
function Response:close()
  local connection = self._connection
  if not connection then return end
  self._connection, self._reader, self._problem = nil, nil, "the response has been closed"
  connection:abort()
end

Response.__close = Response.close

return response
