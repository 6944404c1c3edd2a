--- Forms with files (`multipart/form-data`, RFC 7578), read piece by piece.
--
-- Line ends are CR LF, as RFC 2046 has them. What stands before the first boundary and after the
-- last is left out. A body that ends before its last boundary, a part without a name, and a header
-- that is broken are a 400; whatever is over a limit is a 413. No more is kept in memory than a
-- piece of the body and the head of a part.
-- @module genet.multipart

local header = require "genet.header"
local http_error = require "genet.http_error"
local text = require "genet.text"

local concat, find, gsub, lower = table.concat, string.find, string.gsub, string.lower
local match, sub = string.match, string.sub

local multipart = {}

-- The most that is looked at after a boundary for the end of its line.
local MOST_PADDING = 256

local function refuse(problem, code)
  error(http_error.new(code or 400, "the form " .. problem), 0)
end

--- The boundary that a Content-Type tells.
-- @tparam string content_type
-- @treturn string
-- @raise a 400 when there is none, or a bad one
-- @usage multipart.boundary('multipart/form-data; boundary="a b"') --> "a b"
function multipart.boundary(content_type)
  local _, parameters = header.parse(content_type)
  local boundary = parameters and parameters.boundary
  if not boundary or #boundary > 70 or not find(boundary, "^[%w'()+_,./:=? -]*[%w'()+_,./:=?-]$")
  then
    refuse("has no boundary in its Content-Type, or a bad one")
  end
  return boundary
end

-- The stream ------------------------------------------------------------------------------------

local Stream = {}
Stream.__index = Stream

-- Appends the next piece to what is left of the buffer. Raises at the end of the body. Waits.
function Stream:fill()
  local piece = self.read()
  if not piece then refuse("ends before its last boundary") end
  self.buffer, self.at = sub(self.buffer, self.at) .. piece, 1
end

-- How many bytes of the buffer have not been taken.
function Stream:left()
  return #self.buffer - self.at + 1
end

-- Whether the boundary that comes next is one: "part", "last", or nil when it only looks like one.
-- Takes it, but for its line end, with which the head of a part begins. Waits.
function Stream:take_boundary()
  local size = #self.delimiter
  while self:left() < size + 2 do self:fill() end
  if sub(self.buffer, self.at + size, self.at + size + 1) == "--" then return "last" end
  local stop
  while true do
    stop = match(self.buffer, "^[ \t]*()", self.at + size)
    if stop < #self.buffer or stop - self.at - size > MOST_PADDING then break end
    self:fill()
  end
  if sub(self.buffer, stop, stop + 1) ~= "\r\n" then return nil end
  self.at = stop
  return "part"
end

-- Where the next boundary may begin, or the buffer ends.
local function boundary_at(self)
  local buffer = self.buffer
  local at = find(buffer, self.delimiter, self.at, true)
  if at then return at, true end
  local from = math.max(self.at, #buffer - #self.delimiter + 2)
  return find(buffer, "\r", from, true) or #buffer + 1
end

-- Takes the next piece of what stands before the next boundary; nil at that, and then `self.ended`
-- tells which one it was. Waits.
function Stream:piece()
  while not self.ended do
    local from, stop, whole = self.at, boundary_at(self)
    if stop > from then
      self.at = stop
      return sub(self.buffer, from, stop - 1)
    elseif not whole then
      self:fill()
    else
      self.ended = self:take_boundary()
      if not self.ended then
        self.at = self.at + #self.delimiter
        return self.delimiter
      end
    end
  end
end

-- Takes the lines of the head of a part. Waits.
function Stream:head()
  local most, searched = self.limits.max_part_head, 0
  while true do
    local stop = find(self.buffer, "\r\n\r\n", self.at + searched, true)
    local size = stop and stop - self.at or self:left() - 4
    if size > most then refuse("has a part with too long a head", 413) end
    if stop then
      local head = sub(self.buffer, self.at + 2, stop - 1)
      self.at = stop + 4
      return head
    end
    searched = math.max(0, self:left() - 3)
    self:fill()
  end
end

-- Parts -----------------------------------------------------------------------------------------

local function read_headers(head)
  local headers = {}
  for line in gsub(head, "\r\n[ \t]+", " "):gmatch("[^\r\n]+") do
    local name, value = match(line, "^([%w!#$%%&'*+.^_`|~-]+):(.*)$")
    if not name or find(value, "[%z\1-\8\10-\31\127]") then refuse("has a broken header") end
    name = lower(name)
    if headers[name] then refuse(("has the header %s twice in a part"):format(name)) end
    headers[name] = text.trim(value)
  end
  return headers
end

-- The last component of a name that is a whole path of Windows, which some send.
local function without_drive(filename)
  if not filename or not find(filename, "^%a:\\") and not find(filename, "^\\\\") then
    return filename
  end
  return match(filename, "^.*\\(.*)$")
end

local Part = {__name = "genet.multipart.part"}
Part.__index = Part

local function new_part(stream, head)
  if find(gsub(head, "\r\n", ""), "[\r\n]") then refuse("has a broken header") end
  local headers = read_headers(head)
  local kind, parameters = header.parse(headers["content-disposition"] or "")
  if kind ~= "form-data" or not parameters.name then refuse("has a part without a name") end
  local filename = without_drive(parameters.filename)
  return setmetatable({
    name = gsub(parameters.name, "%%22", '"'),
    filename = filename and gsub(filename, "%%22", '"') or nil,
    headers = headers,
    content_type = headers["content-type"] or filename and "application/octet-stream"
      or "text/plain",
    stream = stream,
  }, Part)
end

--- The content of a part, piece by piece. Waits.
-- @function part:chunks
-- @treturn function an iterator
-- @usage for chunk in part:chunks() do file:write(chunk) end
function Part:chunks()
  return function()
    if self.stream.part ~= self then
      error("part:chunks: a later part has been asked for already", 2)
    end
    return self.stream:piece()
  end
end

--- The whole content of a part, or what is left of it. Waits.
-- @function part:read
-- @tparam ?integer most bytes it may have, 500000 unless told
-- @treturn string
-- @raise a 413 when it has more
-- @usage local title = part:read()
function Part:read(most)
  most = most or self.stream.limits.max_form_memory_size
  local pieces, size = {}, 0
  for piece in self:chunks() do
    size = size + #piece
    if size > most then refuse("has too large a field", 413) end
    pieces[#pieces + 1] = piece
  end
  return concat(pieces)
end

--- Writes the content of a part to a file. Waits.
-- @function part:save
-- @tparam string path is overwritten
-- @treturn[1] integer the bytes written
-- @treturn[2] nil
-- @treturn[2] string why the file cannot be written
-- @usage assert(part:save("uploads/" .. part:safe_name()))
function Part:save(path)
  local file <close>, problem = io.open(path, "wb")
  if not file then return nil, problem end
  local size = 0
  for piece in self:chunks() do
    local ok, why = file:write(piece)
    if not ok then return nil, why end
    size = size + #piece
  end
  local ok, why = file:close()
  if not ok then return nil, why end
  return size
end

--- A file name to save a part under: see `genet.upload`.
-- @function part:safe_name
-- @treturn string
-- @usage part:safe_name()
function Part:safe_name()
  return multipart.safe_name(self.filename or "")
end

local function next_part(stream)
  local last = stream.part
  if last then
    while not stream.ended and stream:piece() do end
  end
  if stream.ended == "last" then
    stream.part = nil
    return nil
  end
  stream.count = stream.count + 1
  if stream.count > stream.limits.max_form_parts then refuse("has too many parts", 413) end
  stream.part = new_part(stream, stream:head())
  stream.ended = nil
  return stream.part
end

--- The parts of a form, each of which must be read before the next is asked for; what is not read
-- is left out. Waits.
-- @tparam function read gives the next piece of the body, nil at its end; may wait
-- @tparam string boundary
-- @tparam table limits `max_form_parts`, `max_form_memory_size`, `max_part_head`
-- @treturn function an iterator of parts: `name`, `filename` (nil for a plain field),
--   `content_type`, `headers` (by name in lower case)
-- @usage for part in multipart.parts(read, "xyz", limits) do
--   for chunk in part:chunks() do print(part.name, #chunk) end
-- end
function multipart.parts(read, boundary, limits)
  local stream = setmetatable({
    read = read,
    limits = limits,
    delimiter = "\r\n--" .. boundary,
    at = 1,
    buffer = "\r\n", -- the first boundary has no line end before it
    count = 0,
  }, Stream)
  while stream:piece() do end
  return function() return next_part(stream) end
end

-- Names -----------------------------------------------------------------------------------------

local MOST_NAME = 200

-- What turns the direction of writing or cannot be seen, and C1 controls.
local function is_hidden(code)
  return code < 0xa0 or code >= 0x200b and code <= 0x200f or code >= 0x2028 and code <= 0x202e
    or code >= 0x2060 and code <= 0x206f or code == 0xfeff
end

local function visible(name)
  if not utf8.len(name) then return (gsub(name, "[\128-\255]", "_")) end
  return (gsub(name, "[\xc2-\xf4][\x80-\xbf]*", function(char)
    return is_hidden(utf8.codepoint(char)) and "" or char
  end))
end

-- Cut to so many bytes before its extension, between characters.
local function cut(name)
  if #name <= MOST_NAME then return name end
  local extension = match(name, "%.%w+$") or ""
  if #extension > 20 then extension = "" end
  local at = utf8.len(name) and utf8.offset(name, 0, MOST_NAME - #extension + 1)
    or MOST_NAME - #extension + 1
  return sub(name, 1, at - 1) .. extension
end

--- A file name that is safe to use in a directory: the last component, without control characters,
-- blanks, and what a shell or a page takes for something else. It begins with no dot and no dash.
-- @tparam string filename as the client sent it
-- @treturn string `"unnamed"` when nothing is left
-- @usage multipart.safe_name("../../etc/my pass?wd.txt") --> "my_pass_wd.txt"
function multipart.safe_name(filename)
  local name = match(filename, "^.*[/\\](.*)$") or filename
  name = gsub(visible(name), "[%z\1-\31\127]", "")
  name = gsub(name, "[^%w._\128-\255-]", "_")
  name = cut(gsub(name, "^[._-]+", ""))
  return name ~= "" and name or "unnamed"
end

return multipart
