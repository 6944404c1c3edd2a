--- Bodies on a connection: those of responses, read piece by piece, and those of requests, sent.
-- @module genet.http.body

local message = require "genet.http.message"

local format, min = string.format, math.min

local body = {}

-- The longest line before a chunk, and the largest trailers.
local CHUNK_LINE = 4096
local TRAILERS = 16384

-- Reading -------------------------------------------------------------------------------------

--- What reads a body: `read(limit)` gives the next piece, nil at the end, or nil and why. `done`
-- is set once the end has been reached, `trailers` when some came after it.
local Reader = {__name = "genet.http.body"}
Reader.__index = Reader

local function cut_short(why, got, of)
  local how_much = of and format("%d of %d bytes", got, of) or format("%d bytes", got)
  if why == "timeout" then return "timeout: the body stopped after " .. how_much end
  return format("body cut short: %s after %s", why, how_much)
end

function Reader:fail(why)
  return nil, cut_short(why, self.got, self.length)
end

local function finish(reader)
  reader.done = true
  return nil
end

local function read_length(self, limit)
  local left = self.length - self.got
  if left == 0 then return finish(self) end
  local piece, why = self.connection:some(min(left, limit))
  if not piece then return self:fail(why) end
  self.got = self.got + #piece
  self.done = self.got == self.length
  return piece
end

local function read_close(self, limit)
  local piece, why = self.connection:some(limit)
  if not piece and why == "closed" then return finish(self) end
  if not piece then return self:fail(why) end
  self.got = self.got + #piece
  return piece
end

-- Reads the line with the size of the next chunk, and the trailers after the last one.
local function begin_chunk(self)
  local line, why = self.connection:line(CHUNK_LINE)
  if not line then return self:fail(why) end
  self.left = message.chunk_size(line)
  if not self.left then
    return nil, format("bad response: a chunk begins with %q", line:sub(1, 40))
  end
  if self.left > 0 then return true end
  local trailers, problem = message.read_fields(self.connection, {left = TRAILERS})
  if trailers then
    self.trailers = trailers
    return finish(self)
  end
  if problem:find("^bad response") then return nil, problem end
  return self:fail(problem)
end

local function end_chunk(self)
  local line, why = self.connection:line(0)
  if line then return true end
  if why == "too long" then return nil, "bad response: a chunk is longer than it says" end
  return self:fail(why)
end

local function read_chunked(self, limit)
  if self.left == 0 then
    local begun, why = begin_chunk(self)
    if not begun then return nil, why end
  end
  local piece, why = self.connection:some(min(self.left, limit))
  if not piece then return self:fail(why) end
  self.got, self.left = self.got + #piece, self.left - #piece
  if self.left > 0 then return piece end
  local ended, problem = end_chunk(self)
  if not ended then return nil, problem end
  return piece
end

local READ = {none = finish, length = read_length, chunked = read_chunked, close = read_close}

--- The reader of a body.
-- @tparam Connection connection which it borrows
-- @tparam string framing `none`, `length`, `chunked` or `close`
-- @tparam ?integer length
-- @treturn Reader
-- @usage local piece, err = body.reader(connection, "length", 5):read(65536)
function body.reader(connection, framing, length)
  return setmetatable({
    connection = connection,
    read = READ[framing],
    length = length,
    got = 0,
    left = 0,
    done = framing == "none" or length == 0,
  }, Reader)
end

-- Sending -------------------------------------------------------------------------------------

-- The next piece of a body that a function gives: nil at its end, or nil and why there is none.
local function next_piece(source)
  local piece, problem
  repeat piece, problem = source() until piece ~= ""
  if piece == nil then return nil, problem and "the body failed: " .. tostring(problem) end
  if type(piece) ~= "string" then
    error(format("option 'body': the function gave a %s, a string was expected", type(piece)), 0)
  end
  return piece
end

local function send_chunked(connection, source)
  while true do
    local piece, problem = next_piece(source)
    if problem then return nil, problem, true end
    local chunk = piece and format("%x\r\n%s\r\n", #piece, piece) or "0\r\n\r\n"
    local ok, why = connection:send(chunk)
    if not ok then return nil, why end
    if not piece then return true end
  end
end

local function send_length(connection, source, length)
  local sent = 0
  while true do
    local piece, problem = next_piece(source)
    if problem then return nil, problem, true end
    sent = sent + #(piece or "")
    if sent > length or not piece and sent < length then
      error(format("option 'body': the function gave %s bytes than its Content-Length, %d",
        sent > length and "more" or "fewer", length), 0)
    end
    if not piece then return true end
    local ok, why = connection:send(piece)
    if not ok then return nil, why end
  end
end

--- Sends a body that a function gives piece by piece. Waits.
-- @tparam Connection connection
-- @tparam function source each call gives a string; nil ends the body, nil and a reason fails it
-- @tparam ?integer length chunked when there is none
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why not
-- @treturn[2] ?boolean whether that is the fault of the function
-- @usage body.send(connection, io.lines("upload.bin", 65536))
function body.send(connection, source, length)
  if length then return send_length(connection, source, length) end
  return send_chunked(connection, source)
end

return body
