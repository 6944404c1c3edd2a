--- Answers: what a handler may return, turned into a status, a head and a body.
--
--     return "text"                            -- 200, text/html
--     return {id = 1}                          -- 200, JSON
--     return "made", 201, {Location = "/1"}    -- body, status, headers
--     return "text", {["X-Tag"] = "a"}         -- body, headers
--     return 404                               -- a status with its reason as a small page
--     return function(write) write("a") end    -- a streamed body
--     return genet.response{status = 204}      -- all by name
--
-- @module genet.response

local cookie = require "genet.cookie"
local exchange = require "genet.exchange"
local http_error = require "genet.http_error"
local json = require "genet.json"
local status = require "genet.status"
local url = require "genet.url"

local concat, find, lower = table.concat, string.find, string.lower
local rawget, type = rawget, type

local response = {}

--- The head of an answer that is a page and nothing special.
response.HTML = "Content-Type: text/html; charset=utf-8\r\n"
local HTML = response.HTML
local TEXT_TYPE = "text/plain; charset=utf-8"
local TEXT = "Content-Type: " .. TEXT_TYPE .. "\r\n"

--- The head of an answer that is JSON and nothing special.
response.JSON = "Content-Type: application/json\r\n"
local JSON = response.JSON

local methods = {}
local Response = {__name = "genet.response", __index = methods}

-- Heads ---------------------------------------------------------------------------------------

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"

-- Headers the host writes itself: it keeps to what a script says of the length, and to no date.
local HOSTS = {["content-length"] = true, date = true}

-- Headers that are about the connection, which is not the script's.
local REFUSED = {
  connection = true,
  ["keep-alive"] = true,
  ["proxy-connection"] = true,
  trailer = true,
  ["transfer-encoding"] = true,
  upgrade = true,
}

local function header_line(name, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then
    error(("the header %s is a %s: a string or a number was expected"):format(name, kind), 0)
  end
  if find(value, "[%z\1-\8\10-\31\127]") then
    error(("the header %s has a control character in its value"):format(name), 0)
  end
  return name .. ": " .. value .. "\r\n"
end

local function add_header(lines, name, value)
  if type(name) ~= "string" or not find(name, TOKEN) then
    error(("bad header name %q"):format(tostring(name)), 0)
  end
  local key = lower(name)
  if REFUSED[key] then error(("the header %s is the host's to send"):format(name), 0) end
  if HOSTS[key] then return key end
  if type(value) ~= "table" then
    lines[#lines + 1] = header_line(name, value)
  else
    for _, item in ipairs(value) do lines[#lines + 1] = header_line(name, item) end
  end
  return key
end

local function check_length(value)
  local length = math.tointeger(tonumber(value))
  if length and length >= 0 then return length end
  error(("bad Content-Length: a %s"):format(type(value)), 0)
end

--- The header lines of an answer.
-- @tparam ?string default the line with its type, for when the headers name none
-- @tparam ?table headers values by name; an array gives several lines
-- @treturn string
-- @treturn ?integer the Content-Length, which is no part of the string, if the headers have one
-- @usage response.head(nil, {["Set-Cookie"] = {"a=1", "b=2"}})
--   --> "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
function response.head(default, headers)
  if headers == nil then return default or "" end
  if type(headers) ~= "table" then
    error(("the headers are a %s: a table was expected"):format(type(headers)), 0)
  end
  local lines = {default}
  local first = #lines
  local length
  for name, value in pairs(headers) do
    local key = add_header(lines, name, value)
    if key == "content-type" and default then lines[first] = "" end
    if key == "content-length" then length = check_length(value) end
  end
  return concat(lines), length
end

-- Results -------------------------------------------------------------------------------------

local FIELDS = {status = true, headers = true, body = true}

--- An answer by the names of its parts.
-- @tparam table parts `status` (200), `headers`, `body`: a string, a table (JSON) or a function
-- @treturn Response to return from a handler
-- @usage return genet.response{status = 201, headers = {Location = "/item/1"}, body = "made"}
function response.new(parts)
  for key in pairs(parts) do
    if not FIELDS[key] then error(("unknown part '%s' of a response"):format(key), 2) end
  end
  return setmetatable({
    status = parts.status,
    headers = parts.headers,
    body = parts.body == nil and "" or parts.body,
  }, Response)
end

-- The headers with one more `Set-Cookie`; those that came from the script stay as they are.
local function with_cookie(headers, line)
  local copy, lines = {}, {}
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or lower(name) ~= "set-cookie" then
      copy[name] = value
    elseif type(value) == "table" then
      table.move(value, 1, #value, #lines + 1, lines)
    else
      lines[#lines + 1] = value
    end
  end
  lines[#lines + 1] = line
  copy["Set-Cookie"] = lines
  return copy
end

local function add_cookie(self, write, ...)
  local ok, line = pcall(write, ...)
  if not ok then error(line, 2) end -- its caller was a tail call
  self.headers = with_cookie(self.headers, line)
  return self
end

--- Gives the client a cookie.
-- @function response:set_cookie
-- @tparam string name
-- @param value `tostring` makes it a text
-- @tparam[opt] table options `max_age`, seconds; `expires`, seconds since 1970; `path` (`"/"`);
--   `domain`; `secure`; `httponly`; `samesite`, `"Lax"` unless told; see `genet.cookie`
-- @treturn Response the same
-- @usage return genet.redirect("/"):set_cookie("theme", "dark", {max_age = 86400})
function methods:set_cookie(name, value, options)
  return add_cookie(self, cookie.format, name, value, options)
end

--- Takes a cookie from the client.
-- @function response:delete_cookie
-- @tparam string name
-- @tparam[opt] table options `path`, `domain`, `secure`, as it was set with
-- @treturn Response the same
-- @usage return genet.redirect("/"):delete_cookie("theme")
function methods:delete_cookie(name, options)
  return add_cookie(self, cookie.expire, name, options)
end

--- An answer that sends itself.
-- @tparam table parts whatever `send` needs
-- @tparam function send called with the answer and the request when the handler has returned; gives
--   what `response.answer` does, and minds the `headers` that a script may add to the answer
-- @treturn Response
-- @usage return response.later({}, function(self, req) return 200, response.HTML, req.id end)
function response.later(parts, send)
  parts.headers, parts.send = parts.headers or {}, send
  return setmetatable(parts, Response)
end

--- Whether a value is a response.
-- @param value
-- @treturn boolean
-- @usage response.is(genet.redirect("/")) --> true
function response.is(value)
  return getmetatable(value) == Response
end

--- What a handler may return, as a response.
-- @param body not nil
-- @param code
-- @param headers
-- @treturn Response
-- @usage local answer = response.of("made", 201)
function response.of(body, code, headers)
  if response.is(body) and code == nil and headers == nil then
    body.headers = body.headers or {}
    return body
  end
  if type(code) == "table" then code, headers = nil, code end
  if type(body) == "number" and code == nil then
    code, body = body, http_error.page(body)
    headers = headers or {["Content-Type"] = TEXT_TYPE}
  end
  return response.new{status = code, headers = headers or {}, body = body}
end

local REDIRECTS = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}

--- An answer that sends the client elsewhere. Whatever a location may not hold is encoded.
-- @tparam string location
-- @tparam ?integer code 301, 302 (unless told), 303, 307 or 308
-- @treturn Response
-- @usage return genet.redirect("/login", 303)
function response.redirect(location, code)
  code = code or 302
  if not REDIRECTS[code] then error(("%s is not a redirect"):format(tostring(code)), 2) end
  return response.new{
    status = code,
    headers = {Location = url.encode_reference(location), ["Content-Type"] = TEXT_TYPE},
    body = http_error.page(code),
  }
end

-- The type a body has unless its headers say otherwise, and the body as a string or a function.
local function render(body)
  local kind = type(body)
  if kind == "string" or kind == "function" then return HTML, body end
  if kind == "table" then
    local ok, text = pcall(json.encode, body)
    if not ok then error("the handler returned a table that is no JSON. " .. text, 0) end
    return JSON, text
  end
  local shown = kind == "boolean" or kind == "number"
  error(("the handler returned a %s"):format(kind) .. (shown and ", " .. tostring(body) or ""), 0)
end

local function finished(body, code, headers)
  local default, content = render(body)
  local head, length = response.head(default, headers)
  return status.check(code or 200), head, content, length
end

local function without_body(code, headers)
  if code == nil then error("the handler returned nothing", 0) end
  if type(code) == "string" then
    error(http_error.fault("the handler returned nil and a string", code), 0)
  end
  local head, length = response.head(nil, headers)
  return status.check(code), head, "", length
end

-- The status, head and body for what a handler returned; raises a sentence when it is nonsense.
local function normalise(body, code, headers)
  if type(code) == "table" and headers == nil then code, headers = nil, code end
  if getmetatable(body) == Response then
    if headers ~= nil then error("the handler returned headers beside a response", 0) end
    if body.send then error("the handler returned a status beside a file", 0) end
    return finished(body.body, code or body.status, body.headers)
  end
  if body == nil then return without_body(code, headers) end
  if type(body) == "number" and code == nil then
    return response.plain(status.check(body), nil, headers)
  end
  return finished(body, code, headers)
end

-- What the client reads names the route, what the log says also where it was defined.
local function explain(req, problem)
  local route = req.route
  local err = http_error.is(problem) and problem or http_error.fault(problem)
  err.message = ("%s %s: %s"):format(req.method, route.rule, err.message)
  err.place = route.place
  return err
end

--- The body of an answer that is a table.
-- @tparam Request req
-- @tparam table body
-- @treturn string
-- @raise a 500 that names the route, for a table that JSON has no words for
-- @usage return 200, response.JSON, response.json_of(req, {id = 1})
function response.json_of(req, body)
  local text, problem = json.try_encode(body)
  return text or error(explain(req, problem), 0)
end

-- The head with what the request adds to it: see `genet.session`.
local function complete(req, head)
  local finish = rawget(req, "_finish")
  return finish and head .. finish(req) or head
end

--- Begins an answer that is written piece by piece. To HEAD and for 204 and 304 it has no body:
-- the host drops what is written. Waits.
-- @tparam Request req
-- @tparam integer code
-- @tparam string head
-- @tparam ?integer length of the body; the host refuses to write more, or to end with less
-- @usage response.begin(req, 200, response.HTML)
function response.begin(req, code, head, length)
  local ok, reason = exchange.start(req._exchange, code, complete(req, head), length)
  if not ok then http_error.raise(reason) end
end

-- Waits.
local function stream(req, code, head, producer, length)
  response.begin(req, code, head, length)
  local silent = req.method == "HEAD" or code == 204 or code == 304
  if not silent then producer(function(data) req:write(data) end) end
  exchange.finish(req._exchange)
  return nil
end

--- Answers a request with what its handler returned. Waits when that is a stream.
-- @tparam Request req
-- @param body
-- @param code
-- @param headers
-- @treturn[1] integer the status
-- @treturn[1] string the head
-- @treturn[1] string the body
-- @treturn[2] nil when the answer has been written
-- @usage return response.answer(req, route.handler(req))
function response.answer(req, body, code, headers)
  if exchange.started(req._exchange) then
    if body ~= nil then error(explain(req, "the handler wrote a body and returned one"), 0) end
    exchange.finish(req._exchange)
    return nil
  end
  if getmetatable(body) == Response and body.send and code == nil and headers == nil then
    local final, head, content = body:send(req)
    return final, final and complete(req, head), content
  end
  local ok, final, head, content, length = pcall(normalise, body, code, headers)
  if not ok then error(explain(req, final), 0) end
  if type(content) == "function" then return stream(req, final, head, content, length) end
  if length and length ~= #content and req.method ~= "HEAD" and final ~= 304 then
    local problem = ("Content-Length says %d, the body has %d bytes"):format(length, #content)
    error(explain(req, problem), 0)
  end
  head = complete(req, head)
  local compress = req.route.compress
  if compress then return compress(req, final, head, content) end
  return final, head, content
end

--- The small answer that has nothing but its status to tell.
-- @tparam integer code
-- @tparam ?string message
-- @tparam ?table headers
-- @treturn integer the status
-- @treturn string the head
-- @treturn string the body
-- @usage return response.plain(404)
function response.plain(code, message, headers)
  local head = response.head(TEXT, headers)
  return code, head, http_error.page(code, message)
end

--- The answer to an error.
-- @param err any error value; only one of `genet.http_error` is told to the client, and
--   `"cancelled"`, which a wait raises when the request is
-- @tparam ?integer other the status for any other error value, 500 unless told
-- @treturn integer the status
-- @treturn string the head
-- @treturn string the body
-- @treturn boolean whether the error belongs in the log
-- @usage response.failure(http_error.new(404)) --> 404, head, "404 Not Found\n", false
function response.failure(err, other)
  if http_error.is(err) then
    local ok, code, head, body = pcall(response.plain, err.status, err.message, err.headers)
    if ok then return code, head, body, err.fault == true end
  end
  if err == "cancelled" then return 503, TEXT, http_error.page(503), false end
  other = other or 500
  return other, TEXT, http_error.page(other), true
end

return response
