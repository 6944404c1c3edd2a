--- The heads of responses: read line by line, and what they say of the body that follows
-- (RFC 9112). What is broken is refused, never guessed at.
-- @module genet.http.message

local headers = require "genet.http.headers"

local message = {}

local FIELD = "^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*$"

-- Largest Content-Length, and digits of a chunk's size: 2^53 bytes and a little less.
local LENGTH_DIGITS = 15
local SIZE_DIGITS = 13

-- One line, taken off the budget of the head.
local function next_line(source, budget)
  local line, err = source:line(budget.left)
  if not line then
    return nil, err == "too long" and "bad response: its head is too large" or err
  end
  budget.left = budget.left - #line - 2
  if line:find("[%z\r\n]") then return nil, "bad response: a control character in its head" end
  return line
end

-- Adds a header line to `flat`; a folded one goes on with the value before it.
local function add_field(flat, line)
  if line:find("^[ \t]") and #flat > 0 then
    flat[#flat] = flat[#flat] .. " " .. line:match("^[ \t]*(.-)[ \t]*$")
    return true
  end
  local name, value = line:match(FIELD)
  if not name then return nil, ("bad response: %q is no header"):format(line:sub(1, 80)) end
  flat[#flat + 1], flat[#flat + 2] = name, value
  return true
end

--- Reads header lines up to the empty one. Waits.
-- @tparam table source with a method `line(limit)`: a line without its end, or nil and why
-- @tparam table budget `left`, how many bytes they may have; what they had is taken off
-- @treturn[1] {string,...} name, value, name, value ...
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @usage local trailers, err = message.read_fields(connection, {left = 8192})
function message.read_fields(source, budget)
  local flat = {}
  while true do
    local line, err = next_line(source, budget)
    if not line then return nil, err end
    if line == "" then return flat end
    local added, problem = add_field(flat, line)
    if not added then return nil, problem end
  end
end

local function read_one(source, budget)
  local line, err = next_line(source, budget)
  if not line then return nil, err end
  local minor, status, rest = line:match("^HTTP/1%.(%d) (%d%d%d)(.*)$")
  if not minor or not rest:find("^ ") and rest ~= "" then
    return nil, ("bad response: it begins with %q"):format(line:sub(1, 40))
  end
  local flat, problem = message.read_fields(source, budget)
  if not flat then return nil, problem end
  return {
    version = "1." .. minor,
    status = math.tointeger(tonumber(status)),
    reason = rest:sub(2),
    headers = headers.new(flat),
  }
end

--- Reads the head of a response. Those with a status of 1xx are skipped. Waits.
-- @tparam table source as for `message.read_fields`
-- @tparam integer limit how many bytes it may have
-- @treturn[1] table `version`, `status`, `reason`, `headers`
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @usage local head, err = message.read_head(connection, 65536)
function message.read_head(source, limit)
  local budget = {left = limit}
  while true do
    local head, err = read_one(source, budget)
    if not head then return nil, err end
    if head.status >= 200 then return head end
    if head.status < 100 or head.status == 101 then
      return nil, ("bad response: status %03d, which was not asked for"):format(head.status)
    end
  end
end

-- The tokens of all lines of a header, in lower case.
local function tokens(head, name)
  local list = {}
  for _, line in ipairs(head.headers:getlist(name)) do
    for token in line:gmatch("[^,]+") do
      list[#list + 1] = token:match("^%s*(.-)%s*$"):lower()
    end
  end
  return list
end

local function length_of(lengths)
  for _, length in ipairs(lengths) do
    if not length:find("^%d+$") or length:gsub("^0+", ""):len() > LENGTH_DIGITS then
      return nil, ("bad response: Content-Length %q"):format(length)
    end
    if length ~= lengths[1] then return nil, "bad response: two lengths that differ" end
  end
  return math.tointeger(tonumber(lengths[1]))
end

--- How the body of a response is framed (RFC 9112, 6.3).
-- @tparam table head of `message.read_head`
-- @tparam string method of the request
-- @treturn[1] string `none`, `chunked`, `length` or `close`
-- @treturn[1] ?integer the length
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @usage message.framing(head, "GET") --> "length", 5
function message.framing(head, method)
  if method == "HEAD" or head.status == 204 or head.status == 304 then return "none" end
  local codings = tokens(head, "transfer-encoding")
  if #codings > 0 then
    if #codings == 1 and codings[1] == "chunked" and head.version ~= "1.0" then return "chunked" end
    return nil, ("bad response: transfer coding %q"):format(table.concat(codings, ", "))
  end
  local lengths = tokens(head, "content-length")
  if #lengths == 0 then
    if #head.headers:getlist("content-length") > 0 then
      return nil, "bad response: an empty Content-Length"
    end
    return "close"
  end
  local length, problem = length_of(lengths)
  if not length then return nil, problem end
  return "length", length
end

--- Whether the connection may carry another request after this response, going by its head.
-- @tparam table head
-- @treturn boolean
-- @usage message.keeps_alive(head)
function message.keeps_alive(head)
  local wishes = {}
  for _, token in ipairs(tokens(head, "connection")) do wishes[token] = true end
  if wishes.close then return false end
  -- Both framings at once may be an attempt to smuggle a response.
  if head.headers.transfer_encoding and head.headers.content_length then return false end
  return head.version ~= "1.0" or wishes["keep-alive"] == true
end

--- How long the server says it keeps an idle connection.
-- @tparam table head
-- @treturn ?integer seconds
-- @usage message.idle_seconds(head) --> 5
function message.idle_seconds(head)
  for _, token in ipairs(tokens(head, "keep-alive")) do
    local seconds = token:match("^timeout=(%d+)$")
    if seconds then return tonumber(seconds) end
  end
end

--- The size a chunk begins with.
-- @tparam string line without its end; extensions are skipped
-- @treturn ?integer nil when it is none
-- @usage message.chunk_size("1f;name=value") --> 31
function message.chunk_size(line)
  local digits, rest = line:match("^(%x+)(.*)$")
  if not digits or not (rest == "" or rest:find("^[ \t]*;")) then return nil end
  if line:find("[%z\r\n]") or digits:gsub("^0+", ""):len() > SIZE_DIGITS then return nil end
  return tonumber(digits, 16)
end

return message
