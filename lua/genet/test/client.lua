--- A client for tests, which asks an app without a server or a socket in between:
--
--     local client = app:test_client()
--     local response = client:post("/note", {json = {text = "milk"}})
--     assert.equal(201, response.status)
--     assert.equal("milk", client:get("/note/1"):json().text)
--
-- Requests run as tasks, and all that an app does around its handlers is done. Works where there is
-- a host: in `genet test`, `genet shell`, `genet run`.
-- @module genet.test.client

local Jar = require "genet.test.jar"
local fake = require "genet.test.exchange"
local headers = require "genet.http.headers"
local json = require "genet.json"
local request = require "genet.test.request"
local response = require "genet.response"
local socket = require "genet.test.socket"
local task = require "genet.task"

local client = {}

local MOST_REDIRECTS = 20
local TIMEOUT = 60

-- Asking --------------------------------------------------------------------------------------

local function keep_traceback(x)
  return function(err)
    x.traceback = debug.traceback(nil, 2)
    return err
  end
end

-- What the test is told of an error that no handler of the app has answered; nil for those that
-- are answers themselves.
local function failure_of(x, err, code, body, logged)
  local plain_code, _, plain_body = response.failure(err)
  if not logged or code and (code ~= plain_code or body ~= plain_body) then return nil end
  if type(err) == "string" then return err .. "\n" .. x.traceback end
  return err
end

-- Lets the app answer what its handler has raised.
local function fail(app, x, err)
  local code, head, body, logged = app:failed(x.number, err, false)
  x.failure = failure_of(x, err, code, body, logged)
  if not x.started_with then x:answer(code, head, body) end
  x.broken = not x.complete
end

-- Runs on a task of its own, which stands for the request.
local function serve(app, x)
  x:begin()
  local given = x.request
  local ok, status, head, body = xpcall(app.dispatch, keep_traceback(x), app, x.number,
    given.method, given.path)
  if ok then ok, status = xpcall(x.answer, keep_traceback(x), x, status, head, body) end
  if not ok then fail(app, x, status) end
  if x.accepted then x.mine:close(ok and 1000 or 1011) end
  x:close()
end

-- Responses -----------------------------------------------------------------------------------

local Response = {__name = "genet.test.response"}

local function flat_headers(x)
  local flat, start = {}, x.started_with
  for name, value in start.head:gmatch("([^:\r\n]+):[ \t]*([^\r\n]*)") do
    flat[#flat + 1], flat[#flat + 2] = name, value
  end
  local length = start.promised or start.length
  if length and not headers.new(flat).content_length and start.status ~= 204 then
    flat[#flat + 1], flat[#flat + 2] = "Content-Length", tostring(length)
  end
  return flat
end

local methods = {}

--- The next piece of a streamed answer (`stream = true`). Waits.
-- @function response:read
-- @treturn ?string nil at its end
-- @raise what the handler has raised
-- @usage local first = response:read()
function methods:read()
  local piece = self._x:take()
  if not piece and self._x.failure and self._propagate then error(self._x.failure, 0) end
  return piece
end

--- An iterator over the pieces of an answer.
-- @function response:chunks
-- @treturn function
-- @usage for piece in response:chunks() do print(piece) end
function methods:chunks()
  return function() return self:read() end
end

local function event_of(block)
  local event, data = {}, {}
  for line in (block .. "\n"):gmatch("([^\n]*)\n") do
    local name, value = line:match("^([^:]+):? ?(.*)$")
    if name == "data" then
      data[#data + 1] = value
    elseif name then
      event[name] = value
    end
  end
  if not data[1] then return nil end
  event.data = table.concat(data, "\n")
  return event
end

--- An iterator over server-sent events of a streamed answer: tables with `data`, `event`, `id` and
-- `retry`, as texts. Each step waits. Comments are passed over.
-- @function response:events
-- @treturn function
-- @usage local response <close> = client:get("/ticks", {stream = true})
-- local first = response:events()()
-- assert.equal("tick", first.event)
function methods:events()
  return function()
    while true do
      local at, last = (self._rest or ""):find("\n\n", 1, true)
      if at then
        local event = event_of(self._rest:sub(1, at - 1))
        self._rest = self._rest:sub(last + 1)
        if event then return event end
      else
        local piece = self:read()
        if not piece then return nil end
        self._rest = (self._rest or "") .. piece:gsub("\r\n", "\n")
      end
    end
  end
end

--- The body as JSON. Raises when it is none.
-- @function response:json
-- @return the value
-- @usage assert.same({id = 7}, client:get("/item/7"):json())
function methods:json()
  local value, problem = json.decode(self.body)
  if value == nil then error("the body is not JSON: " .. problem .. "\n" .. self.body, 2) end
  return value
end

--- Goes away in the middle of a streamed answer: the handler is cancelled, as the host would.
-- @function response:close
-- @usage response:close()
function methods:close()
  if self._x.ended then return end
  self._x:abandon()
  if not self._x.detached then self._task:cancel() end
  self._task:wait()
end

Response.__close = methods.close

function Response:__index(name)
  if methods[name] then return methods[name] end
  if name ~= "body" and name ~= "text" then return nil end
  local pieces = {}
  for piece in self:chunks() do pieces[#pieces + 1] = piece end
  self.body = table.concat(pieces)
  self.text = self.body
  return self.body
end

local function new_response(x, running, propagate)
  local flat = flat_headers(x)
  return setmetatable({
    status = x.started_with.status,
    ok = x.started_with.status < 300,
    headers = headers.new(flat),
    url = ("%s://%s%s%s"):format(x.request.scheme, x.request.host, x.request.path,
      x.request.query and "?" .. x.request.query or ""),
    broken = x.broken,
    _x = x,
    _task = running,
    _propagate = propagate,
  }, Response)
end

-- The client ----------------------------------------------------------------------------------

local Client = {__name = "genet.test.client"}
Client.__index = Client

--- A client of an app.
-- @function app:test_client
-- @tparam[opt] table options `base_url` (`"http://localhost"`); `headers`, for every request;
--   `remote_addr` (`"127.0.0.1"`); `propagate`, whether an error that no handler of errors answers
--   is raised in the test (true), or answered with 500; `timeout` of each request in seconds (60)
-- @treturn Client its `cookies` are a `genet.test.jar`
-- @usage local client = app:test_client{base_url = "https://shop.test"}
function client.new(app, options)
  options = options or {}
  local scheme, host = (options.base_url or "http://localhost"):match("^(https?)://([^/]+)/?$")
  if not scheme then
    error("app:test_client: option 'base_url' is like \"http://localhost\"", 3)
  end
  return setmetatable({
    app = app,
    scheme = scheme,
    host = host,
    headers = options.headers or {},
    remote_addr = options.remote_addr or "127.0.0.1",
    propagate = options.propagate ~= false,
    timeout = options.timeout or TIMEOUT,
    cookies = Jar.new(),
  }, Client)
end

local function keep_cookies(self, x, flat)
  for at = 1, #flat, 2 do
    if flat[at]:lower() == "set-cookie" then self.cookies:set(flat[at + 1], x.request) end
  end
end

-- Begins a request; returns its exchange and the task it runs on.
local function begin(self, method, target, options, streamed)
  self.app:freeze()
  local x = fake.open(request.new(self, method, target, options), streamed)
  local running = task.spawn({detach = true, name = method .. " " .. target}, serve, self.app, x)
  return x, running
end

-- Waits for what `ready` waits for; ends a request that takes too long.
local function await(self, x, running, options, ready)
  local seconds = options.timeout or self.timeout
  local ok = task.timeout(seconds, function()
    ready()
    return true
  end)
  if ok then return end
  x:abandon()
  running:cancel()
  running:wait()
  error(("%s %s has not been answered within %s s"):format(x.request.method, x.request.path,
    seconds), 0)
end

local function propagates(self, options)
  if options.propagate == nil then return self.propagate end
  return options.propagate
end

local function ask(self, method, target, options)
  local x, running = begin(self, method, target, options, options.stream)
  await(self, x, running, options, function()
    x:await_start()
    if not options.stream then running:wait() end
  end)
  local propagate = propagates(self, options)
  if x.ended and x.failure and propagate and not options.stream then error(x.failure, 0) end
  if not x.started_with then
    if x.failure and propagate then error(x.failure, 0) end
    error(("%s %s: the handler has answered nothing"):format(method, target), 0)
  end
  keep_cookies(self, x, flat_headers(x))
  return new_response(x, running, propagate)
end

local REDIRECTS = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}

-- Where a redirect leads, and by which method; nil when it is none of this server.
local function next_target(answer, method)
  local location = REDIRECTS[answer.status] and answer.headers.location
  if not location then return nil end
  local keeps = answer.status > 303 or method == "GET" or method == "HEAD"
  if location:find("^//") then location = answer.url:match("^%a+:") .. location end
  if location:find("^%a[%w+.-]*:") then return location, keeps and method or "GET" end
  local origin, path = answer.url:match("^(%a+://[^/]+)([^?]*)")
  if location:sub(1, 1) == "?" then return origin .. path .. location, keeps and method or "GET" end
  if location:sub(1, 1) ~= "/" then location = path:match("^.*/") .. location end
  return origin .. location, keeps and method or "GET"
end

-- A copy of what may be nil.
local function copied(options)
  local copy = {}
  for name, value in pairs(options or {}) do copy[name] = value end
  return copy
end

local function without_body(options)
  local rest = copied(options)
  rest.json, rest.form, rest.files, rest.body = nil, nil, nil, nil
  return rest
end

local function follow(self, answer, method, options)
  for _ = 1, MOST_REDIRECTS do
    local target, by = next_target(answer, method)
    local host = target and target:match("^%a+://([^/?#]+)")
    if not target or host ~= answer.url:match("^%a+://([^/?#]+)") then return answer end
    if by ~= method then options = without_body(options) end
    options.query = nil
    method = by
    local url_before = answer.url
    answer = ask(self, method, target, options)
    answer.redirected_from = url_before
  end
  error(("more than %d redirects"):format(MOST_REDIRECTS), 0)
end

local function upgrade_headers(options)
  local all = copied(options.headers)
  all.Upgrade, all.Connection = "websocket", "Upgrade"
  all["Sec-WebSocket-Version"] = "13"
  all["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
  if options.subprotocols then
    all["Sec-WebSocket-Protocol"] = table.concat(options.subprotocols, ", ")
  end
  return all
end

--- Sends a request, by any method. Waits until it is answered.
-- @function client:request
-- @tparam string method
-- @tparam string target a path, or a URL
-- @tparam[opt] table options `headers`; `json`, any value; `form`, fields; `files`, by field: a
--   string or `{filename =, content =, content_type =}`, of which a list gives several; `body`, a
--   string or a function that gives its pieces; `query`, a string or fields; `cookies`, beside
--   those kept; `follow_redirects`, of the same host; `stream`, to return as soon as the answer has
--   begun: see `response:read`, `response:events`; `timeout`, seconds; `remote_addr`; `propagate`
-- @treturn Response `status`, `ok`, `headers` (see `genet.http.headers`), `body` or `text`, `url`;
--   `broken` when the handler failed in the middle of its answer
-- @raise what the handler raises, unless the app answers it: an abort is answered; options that
--   make no sense
-- @usage local response = client:request("GET", "/items", {query = {page = 2}})
function Client:request(method, target, options)
  local ok, problem = pcall(request.check, options)
  if not ok then error("client:request: " .. problem, 2) end
  if type(target) ~= "string" then error("client:request: a path was expected", 2) end
  options = copied(options)
  local answer = ask(self, method:upper(), target, options)
  if options.follow_redirects then answer = follow(self, answer, method:upper(), options) end
  if not options.stream then local _ = answer.body end
  return answer
end

for _, verb in ipairs{"get", "post", "put", "patch", "delete", "head", "options"} do
  Client[verb] = function(self, target, options)
    return self:request(verb, target, options)
  end
end

--- Opens a WebSocket. Waits until the handler has accepted it.
-- @function client:websocket
-- @tparam string target
-- @tparam[opt] table options `subprotocols`, a list; `headers`, `query`, `cookies`, `timeout`
-- @treturn[1] WebSocket see `genet.test.socket`
-- @treturn[2] nil
-- @treturn[2] Response why not
-- @usage local ws <close> = client:websocket("/chat/room")
-- ws:send("hello")
-- assert.equal("hello", ws:receive())
function Client:websocket(target, options)
  local ok, problem = pcall(request.check, options)
  if not ok then error("client:websocket: " .. problem, 2) end
  options = copied(options)
  options.headers = upgrade_headers(options)
  local x, running = begin(self, "GET", target, options, true)
  await(self, x, running, options, function() x:await_start() end)
  if x.accepted then
    return socket.new(x, x.accepted_head:match("Sec%-WebSocket%-Protocol: ([^\r\n]*)"))
  end
  running:wait()
  if x.failure and propagates(self, options) then error(x.failure, 0) end
  return nil, new_response(x, running, false)
end

return client
