--- A file as an answer: its headers, and the sending of all or a part of it.
--
-- A document that is small carries its content. The others keep their file open as long as somebody
-- uses them; it is read at offsets, so that many requests share one descriptor.
-- @module genet.document

local conditions = require "genet.conditions"
local date = require "genet.date"
local exchange = require "genet.exchange"
local http_error = require "genet.http_error"
local mime = require "genet.mime"
local response = require "genet.response"

local type = type

local document = {}

--- Files of at most so many bytes are read as a whole: beyond, to read and write costs more than
-- sendfile(2).
document.SMALL = 128 * 1024

local Document = {__name = "genet.document"}
Document.__index = Document

-- Heads -----------------------------------------------------------------------------------------

local function line(name, value)
  return value and name .. ": " .. value .. "\r\n" or ""
end

-- Header lines without those that `headers` brings others for, and with these. What an answer
-- varies with adds up.
local function override(lines, headers)
  local brought = {}
  for name in pairs(headers) do brought[tostring(name):lower()] = true end
  brought.vary = nil
  local kept = lines:gsub("([^:\r\n]+):[^\r\n]*\r\n", function(name)
    return brought[name:lower()] and "" or nil
  end)
  return kept .. response.head(nil, headers)
end

-- Nanoseconds tell two writes within a second apart, the inode two files of the same build.
local function entity_tag(size, seconds, nanoseconds, inode, coding)
  return ("\"%x.%x-%x-%x%s\""):format(seconds, nanoseconds, size, inode,
    coding and "-" .. coding or "")
end

-- What a client keeps beside the content, which a 304 tells it again.
local function kept_lines(self, options)
  return line("ETag", self.etag) .. line("Cache-Control", options.cache_control)
end

local function content_lines(self, options, coding)
  return line("Content-Type", self.media) .. line("Content-Encoding", coding)
    .. line("Content-Disposition", options.disposition)
    .. line("Last-Modified", self.modified and date.format(self.modified))
    .. "Accept-Ranges: bytes\r\n"
end

--- A document of an open file, which it takes. Waits.
-- @tparam userdata file of `genet.disk`
-- @tparam string media its type
-- @tparam table options `cache_control` and `disposition`, values of headers; `headers`, more of
--   them; `etag`, false for none or a tag to use; `modified`, false for none or seconds since 1970
-- @tparam ?string coding its Content-Encoding
-- @treturn[1] Document
-- @treturn[2] nil
-- @treturn[2] string why its content cannot be read
-- @usage local doc = document.new(assert(directory:open("a.css")), "text/css", {})
function document.new(file, media, options, coding)
  local size, seconds, nanoseconds, inode, changed = file:stat()
  local now = os.time()
  local self = setmetatable({file = file, media = media, size = size, users = 0}, Document)
  if options.etag ~= false then
    self.etag = options.etag or entity_tag(size, seconds, nanoseconds, inode, coding)
  end
  -- A date in the future would make the next change look older (RFC 9110, section 8.8.2.1).
  if options.modified ~= false then self.modified = options.modified or math.min(seconds, now) end
  self.written, self.shrinks = seconds, mime.shrinks(media)
  self.settled = changed + 2 < now -- a later write would show in its times
  self.kept = kept_lines(self, options)
  self.head = content_lines(self, options, coding) .. self.kept
  if options.headers then
    self.head = override(self.head, options.headers)
    self.kept = override(self.kept, options.headers)
  end
  if size > document.SMALL then return self end
  local content, _, problem = file:read(size)
  file:close()
  if content and #content < size then problem = "it became shorter while it was read" end
  if problem then return nil, problem end
  self.content = content
  return self
end

--- Notes that somebody uses the document's file, until `release`.
-- @usage doc:retain()
-- doc:release()
function Document:retain()
  self.users = self.users + 1
end

--- Closes the file when nobody uses it any more.
-- @usage doc:retain()
-- doc:release()
function Document:release()
  self.users = self.users - 1
  if self.users == 0 then self.file:close() end
end

Document.__close = Document.release

-- Sending -----------------------------------------------------------------------------------------

local FAULTS = {
  ["file ended"] = "a file became shorter while it was sent",
  ["file unreadable"] = "a file could not be read while it was sent",
}

-- Waits.
local function send_piece(x, doc, first, last)
  local ok, reason = exchange.write_file(x, doc.file, first, last - first + 1)
  if ok then return end
  if FAULTS[reason] then error(http_error.fault(FAULTS[reason]), 0) end
  http_error.raise(reason)
end

-- Waits.
local function send_text(x, text)
  local ok, reason = exchange.write(x, text)
  if not ok then http_error.raise(reason) end
end

-- Waits.
local function whole(req, doc, head)
  if doc.content then return 200, head, doc.content end
  local x = req._exchange
  response.begin(req, 200, head, doc.size)
  if req.method ~= "HEAD" then send_piece(x, doc, 0, doc.size - 1) end
  exchange.finish(x)
  return nil
end

local function content_range(doc, range)
  return ("Content-Range: bytes %d-%d/%d\r\n"):format(range.first, range.last, doc.size)
end

-- Waits.
local function one_part(req, doc, head, range)
  head = head .. content_range(doc, range)
  if doc.content then return 206, head, doc.content:sub(range.first + 1, range.last + 1) end
  local x = req._exchange
  response.begin(req, 206, head, range.last - range.first + 1)
  send_piece(x, doc, range.first, range.last)
  exchange.finish(x)
  return nil
end

-- What comes before the parts of a multipart/byteranges answer and after the last, and the length
-- of all.
local function separators(doc, ranges, boundary)
  local texts, length = {}, 0
  for at, range in ipairs(ranges) do
    texts[at] = ("%s--%s\r\n%s%s\r\n"):format(at > 1 and "\r\n" or "", boundary,
      line("Content-Type", doc.media), content_range(doc, range))
    length = length + #texts[at] + range.last - range.first + 1
  end
  local last = ("\r\n--%s--\r\n"):format(boundary)
  texts[#texts + 1] = last
  return texts, length + #last
end

-- Waits.
local function many_parts(req, doc, head, ranges)
  local boundary = ("%016x%016x"):format(math.random(0), math.random(0))
  local texts, length = separators(doc, ranges, boundary)
  local x = req._exchange
  head = override(head, {["Content-Type"] = "multipart/byteranges; boundary=" .. boundary})
  response.begin(req, 206, head, length)
  for at, range in ipairs(ranges) do
    send_text(x, texts[at])
    if doc.content then
      send_text(x, doc.content:sub(range.first + 1, range.last + 1))
    else
      send_piece(x, doc, range.first, range.last)
    end
  end
  send_text(x, texts[#texts])
  exchange.finish(x)
  return nil
end

-- Waits.
local function on_conditions(req, doc, head, kept)
  local x = req._exchange
  local function get(name) return exchange.lines(x, name) end
  local code = conditions.check(req.method, get, doc)
  if code == 304 then return 304, kept, "" end
  if code then return response.plain(code) end
  local ranges = conditions.wanted(req.method, get, doc, os.time())
  if not ranges then return whole(req, doc, head) end
  if #ranges == 0 then
    return response.plain(416, nil, {["Content-Range"] = "bytes */" .. doc.size})
  end
  if #ranges == 1 then return one_part(req, doc, head, ranges[1]) end
  return many_parts(req, doc, head, ranges)
end

--- Answers a request with a document: with all of it, a part, or a 304, 412 or 416. Preconditions
-- and ranges count for GET and HEAD only. Waits.
-- @tparam Request req
-- @tparam Document doc
-- @tparam ?table options `vary`, whether there are other encodings of it; `conditional`, false to
--   send all in any case; `headers` that come in the place of the document's own
-- @treturn[1] integer the status
-- @treturn[1] string the head
-- @treturn[1] string the body
-- @treturn[2] nil when the answer has been written
-- @usage return document.answer(req, doc)
function document.answer(req, doc, options)
  local head, kept = doc.head, doc.kept
  if options and options.vary then
    head, kept = head .. "Vary: Accept-Encoding\r\n", kept .. "Vary: Accept-Encoding\r\n"
  end
  if options and type(options.headers) == "table" and next(options.headers) then
    head, kept = override(head, options.headers), override(kept, options.headers)
  end
  local reads = req.method == "GET" or req.method == "HEAD"
  local conditional = not options or options.conditional ~= false
  if not reads or not conditional or exchange.is_plain(req._exchange) then
    return whole(req, doc, head)
  end
  return on_conditions(req, doc, head, kept)
end

return document
