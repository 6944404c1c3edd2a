--- Reads answers strictly, as a client must that trusts nothing, and says what is wrong with them.
local answer = {}

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"

local function fail(...)
  error(select("#", ...) > 1 and string.format(...) or ..., 0)
end

local function read_line(client, where)
  local line = client:read_line()
  if not line then fail("the connection ended in %s, after %q", where, client.buffer) end
  if line:find("[%z\r\n]") then fail("a control byte in %s: %q", where, line) end
  return line
end

local function read_status(client)
  local line = read_line(client, "a status line")
  local version, status = line:match("^HTTP/(1%.1) (%d%d%d) [\t\32-\126\128-\255]*$")
  if not version then fail("not a status line: %q", line) end
  return tonumber(status)
end

local function read_headers(client)
  local headers = {}
  for line in function() return read_line(client, "the headers") end do
    if line == "" then return headers end
    local name, value = line:match("^([^:]*): ?(.-)[ \t]*$")
    if not name or not name:find(TOKEN) then fail("not a header: %q", line) end
    headers[#headers + 1] = {name = name:lower(), value = value}
  end
end

--- All values of a header, by lower-case name.
function answer.values(it, name)
  local values = {}
  for _, header in ipairs(it.headers) do
    if header.name == name then values[#values + 1] = header.value end
  end
  return values
end

-- The only value of a header, nil when there is none.
local function only(it, name)
  local values = answer.values(it, name)
  if #values > 1 then fail("%d headers %s", #values, name) end
  return values[1]
end

--- Whether the answer says that the connection ends with it.
function answer.says_close(it)
  return (only(it, "connection") or ""):lower() == "close"
end

local function read_chunks(client, it)
  local chunks = {}
  while true do
    local line = client:read_line()
    if not line then return table.concat(chunks), true end
    local size = line:match("^%x+$")
    if not size then fail("not a chunk size: %q", line) end
    size = tonumber(size, 16)
    if size == 0 then break end
    local chunk = client:read_bytes(size + 2)
    if #chunk < size + 2 then return table.concat(chunks) .. chunk, true end
    if chunk:sub(-2) ~= "\r\n" then fail("a chunk is longer than it says") end
    chunks[#chunks + 1] = chunk:sub(1, -3)
  end
  if read_line(client, "the trailers") ~= "" then fail("trailers in %d", it.status) end
  return table.concat(chunks), false
end

local function is_bodiless(it, to_head)
  return to_head or it.status < 200 or it.status == 204 or it.status == 304
end

-- The body, and whether it broke off.
local function read_body(client, it, to_head)
  if is_bodiless(it, to_head) then return "", false end
  local length = only(it, "content-length")
  if only(it, "transfer-encoding") then return read_chunks(client, it) end
  if not length then
    it.until_close = true
    return client:read_all(), false
  end
  local body = client:read_bytes(tonumber(length))
  return body, #body < tonumber(length)
end

local function check_framing(it)
  local coding, length = only(it, "transfer-encoding"), only(it, "content-length")
  if coding and coding:lower() ~= "chunked" then fail("Transfer-Encoding: %s", coding) end
  if coding and length then fail("both Transfer-Encoding and Content-Length") end
  if length and not length:find("^%d+$") then fail("Content-Length: %s", length) end
  if it.status < 200 or it.status == 204 then
    if coding or length then fail("a length or coding in an answer of %d", it.status) end
  end
end

local DATE = "^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$"

local function check_date(it)
  local date = only(it, "date")
  if it.status < 200 then return end
  if not date then fail("no Date in an answer of %d", it.status) end
  if not date:find(DATE) then fail("Date: %s", date) end
end

--- Reads one whole answer; nil when the connection ended instead.
-- @tparam boolean to_head whether it answers a HEAD
-- @treturn table `status`, `headers` (a list of `name`, in lower case, and `value`), `body`, `cut`
--   when the body broke off, `until_close` when only the end of the connection ends it
function answer.read(client, to_head)
  if not client:read_until("an answer", function(buffer) return #buffer > 0 end) then return nil end
  local it = {status = read_status(client)}
  it.headers = read_headers(client)
  check_framing(it)
  check_date(it)
  it.body, it.cut = read_body(client, it, to_head)
  return it
end

return answer
