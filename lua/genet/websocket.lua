--- WebSockets (RFC 6455) and topics.
--
--     app:websocket("/chat/<room>", function(ws, room)
--       ws:join(room)
--       for message in ws:messages() do genet.publish(room, message) end
--     end)
--
-- A socket can be used from any task, and by its number: `genet.ws(ws.id)`. Its fields are `id`,
-- never given twice; `subprotocol`, the one that was agreed on, or nil; and `request`. One that has
-- ended, or is about to, answers `nil, "closed"` to everything.
-- @module genet.websocket

local check = require "genet.check"
local exchange = require "genet.exchange"
local http_error = require "genet.http_error"
local sockets = require "genet.sockets"

local websocket = {}

local MAX_MESSAGE = 1 << 20
local BACKLOG = 1024

local WebSocket = {__name = "genet.websocket"}
WebSocket.__index = WebSocket

-- The handlers hold them.
local live = setmetatable({}, {__mode = "v"})

-- Arguments -----------------------------------------------------------------------------------

-- What only the host can tell of an argument it says itself, in our words: it is always called
-- last, so that the place it names is that of our caller.

local function check_socket(ws, what)
  if getmetatable(ws) ~= WebSocket then
    error(("%s: a WebSocket was expected: call it with a colon"):format(what), 3)
  end
  return ws.id
end

local function check_string(value, what)
  if type(value) ~= "string" and type(value) ~= "number" then
    error(("%s was expected to be a string, not a %s"):format(what, type(value)), 3)
  end
  return value
end

local function check_kind(kind, what)
  if kind == nil or kind == "text" or kind == "binary" then return kind end
  error(("%s: the kind was expected to be \"text\" or \"binary\", not %s")
    :format(what, tostring(kind)), 3)
end

-- Sockets -------------------------------------------------------------------------------------

--- The next message. Waits. What has come before the end is given before the end is told.
-- @function ws:receive
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] string the message
-- @treturn[1] string `"text"`, which is UTF-8, or `"binary"`
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`
-- @treturn[3] nil
-- @treturn[3] string `"closed"`
-- @treturn[3] integer the code of who closed first; 1005 for a close without one, 1006 when the
--   client went away without a close
-- @treturn[3] string the reason that came with it
-- @treturn[4] nil
-- @treturn[4] string `"moved"`: the handler of the next generation goes on with the socket, once
--   this one returns
-- @raise `"cancelled"` when the task is cancelled
-- @usage local message, kind = ws:receive(10)
-- if not message and kind == "closed" then return end
function WebSocket:receive(timeout)
  local id = check_socket(self, "ws:receive")
  return sockets.receive(id, check.optional_seconds(timeout, "ws:receive"))
end

--- An iterator over the messages until the socket is closed. Each step waits.
-- @function ws:messages
-- @treturn function
-- @usage for message, kind in ws:messages() do ws:send(message, kind) end
function WebSocket:messages()
  local id = check_socket(self, "ws:messages")
  return function()
    local message, kind = sockets.receive(id)
    if message then return message, kind end
  end
end

--- Sends a message. Any task may. Waits while more than half of `--ws-queue` is waiting for a slow
-- client: who sends much is slowed down to what the client reads. (Only what is published closes
-- the socket of a slow client, with 1013; and only an answer to a ping is not waited for.)
-- @function ws:send
-- @tparam string data
-- @tparam[opt] string kind `"text"`, which must be UTF-8, or `"binary"`; text unless told
-- @treturn[1] boolean true, once it is queued or sent
-- @treturn[2] nil
-- @treturn[2] string `"closed"`
-- @raise when the text is not UTF-8; `"cancelled"` when the task is cancelled while it waits
-- @usage if not ws:send("hello") then return end
function WebSocket:send(data, kind)
  local id = check_socket(self, "ws:send")
  check_string(data, "ws:send: the message")
  return sockets.send(id, data, check_kind(kind, "ws:send"))
end

--- Sends a ping. The answer only keeps the socket alive; the host pings silent clients by itself
-- (`--ws-ping`).
-- @function ws:ping
-- @tparam[opt] string data at most 125 bytes
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"closed"`
-- @usage ws:ping()
function WebSocket:ping(data)
  local id = check_socket(self, "ws:ping")
  check_string(data or "", "ws:ping: the data")
  return sockets.ping(id, data)
end

--- Closes the socket, after what has been sent. Does not wait for the client: its handler finds out
-- by `ws:receive`.
-- @function ws:close
-- @tparam[opt] integer code 1000 unless told; 1000 to 1003, 1007 to 1014, or 3000 to 4999
-- @tparam[opt] string reason at most 123 bytes of UTF-8
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `"closed"` already
-- @usage ws:close(4001, "bye")
function WebSocket:close(code, reason)
  local id = check_socket(self, "ws:close")
  if code ~= nil and math.type(code) ~= "integer" then
    error("ws:close: a code was expected, not a " .. type(code), 2)
  end
  check_string(reason or "", "ws:close: the reason")
  return sockets.close(id, code, reason)
end

--- Whether it is open.
-- @function ws:is_open
-- @treturn boolean
-- @usage if ws:is_open() then count = count + 1 end
function WebSocket:is_open()
  return sockets.is_open(check_socket(self, "ws:is_open"))
end

--- Gets what is published to a topic, from now on and until it leaves or ends. The client gets it,
-- that is: `ws:receive` does not.
-- @function ws:join
-- @tparam string topic
-- @treturn[1] boolean true, also when it had joined already
-- @treturn[2] nil
-- @treturn[2] string `"closed"`
-- @usage ws:join("news")
function WebSocket:join(topic)
  local id = check_socket(self, "ws:join")
  return sockets.join(id, check_string(topic, "ws:join: the topic"))
end

--- No longer gets what is published to a topic.
-- @function ws:leave
-- @tparam string topic
-- @treturn boolean whether it had joined
-- @usage ws:leave("news")
function WebSocket:leave(topic)
  local id = check_socket(self, "ws:leave")
  return sockets.leave(id, check_string(topic, "ws:leave: the topic"))
end

function WebSocket:__close()
  sockets.close(self.id)
end

function WebSocket:__tostring()
  return ("genet.websocket: %d"):format(self.id)
end

--- The open socket of a number.
-- @function genet.ws
-- @tparam integer id the `ws.id` of one of this server
-- @treturn ?WebSocket nil when it has ended, or there never was one
-- @usage local ws = genet.ws(id)
-- if ws then ws:send("hello from elsewhere") end
function websocket.find(id)
  if math.type(id) ~= "integer" then
    error("genet.ws: a number was expected, not a " .. type(id), 2)
  end
  return sockets.is_open(id) and live[id] or nil
end

--- Whether an exchange has become a WebSocket. For the app.
-- @tparam integer x the number of the exchange
-- @treturn boolean
-- @usage websocket.is(x)
function websocket.is(x)
  return sockets.is_socket(x)
end

-- Topics --------------------------------------------------------------------------------------

--- Sends a message to all who have joined a topic. It is built once and shared by all. Gives way to
-- others when they are many, but waits for nobody: a client whose queue (`--ws-queue`) has no room
-- for it reads too slowly and is closed with 1013.
--
-- It also reaches those who have joined in other threads and processes of the host and, with
-- `--bus`, on other hosts: in the order in which this one publishes, and at most once. They are not
-- counted. What cannot be passed on for long enough (Redis is away, a thread computes) is dropped,
-- which the log tells.
-- @function genet.publish
-- @tparam string topic
-- @tparam string message
-- @tparam[opt] string kind `"text"`, which must be UTF-8, or `"binary"`; text unless told
-- @treturn integer how many get it here, in this Lua state's own thread
-- @usage genet.publish("news", "it rains")
function websocket.publish(topic, message, kind)
  check_string(topic, "genet.publish: the topic")
  check_string(message, "genet.publish: the message")
  return sockets.publish(topic, message, check_kind(kind, "genet.publish"))
end

--- Lets a task have what is published to a topic. It queues up to `limit` messages; with one more
-- the subscription ends, so that nothing is missing between what it gives: after the last of them
-- `receive` says `"overflow"`.
-- @function genet.subscribe
-- @tparam string topic
-- @tparam[opt] integer limit messages, 1024 unless told
-- @treturn Subscription `#subscription` says how many it holds. `subscription:close()`, and a
--   `<close>` variable, end it; what it holds can still be taken.
-- @usage local news <close> = genet.subscribe("news")
-- local message, kind, topic = news:receive(60)
function websocket.subscribe(topic, limit)
  check_string(topic, "genet.subscribe: the topic")
  if limit ~= nil then check.count(limit, "genet.subscribe", 1) end
  return sockets.subscribe(topic, limit or BACKLOG)
end

--- The next message of the topic. Waits.
-- @function subscription:receive
-- @tparam[opt] number timeout seconds; 0 does not wait
-- @treturn[1] string the message
-- @treturn[1] string `"text"` or `"binary"`
-- @treturn[1] string the topic
-- @treturn[2] nil
-- @treturn[2] string `"timeout"`, `"closed"` or `"overflow"`
-- @usage for message in function() return (news:receive()) end do print(message) end

-- The handshake -------------------------------------------------------------------------------

-- The values of some headers; of those that came in several lines, joined by commas.
local function gather(x)
  local flat, found = exchange.headers(x), {}
  for at = 1, #flat, 2 do
    local name = flat[at]:lower()
    found[name] = found[name] and found[name] .. "," .. flat[at + 1] or flat[at + 1]
  end
  return found
end

-- Whether a list of tokens has one, whatever its case.
local function has_token(list, wanted)
  for token in (list or ""):gmatch("[^,]+") do
    if token:match("^%s*(.-)%s*$"):lower() == wanted then return true end
  end
  return false
end

local function refuse(status, why, headers)
  error(http_error.new(status, why, headers), 0)
end

-- Only a GET of HTTP/1.1 that wishes to become a WebSocket goes on.
local function check_wish(req, found)
  if req.method ~= "GET" or exchange.version(req._exchange) ~= "1.1"
    or not has_token(found.upgrade, "websocket") or not has_token(found.connection, "upgrade")
  then
    refuse(426, "This address speaks WebSocket only.")
  end
  if found["sec-websocket-version"] ~= "13" then
    refuse(426, "Only version 13 of WebSocket is spoken.", {["Sec-WebSocket-Version"] = "13"})
  end
  -- The last character of 16 bytes in base64 stands for two bits.
  if not (found["sec-websocket-key"] or ""):find("^[%w+/]+[AQgw]==$")
    or #found["sec-websocket-key"] ~= 24
  then
    refuse(400, "Sec-WebSocket-Key is not 16 bytes in base64.")
  end
  if (found["content-length"] or "0") ~= "0" or found["transfer-encoding"] then
    refuse(400, "A handshake has no body.")
  end
end

local function is_same_host(origin, host)
  return origin:match("^https?://(.+)$") == (host or ""):lower()
end

local function check_origin(x, origin, origins)
  if not origin then return end
  origin = origin:lower()
  if origins and (origins["*"] or origins[origin]) then return end
  if not origins and is_same_host(origin, exchange.host(x)) then return end
  refuse(403, "Pages of this origin may not connect.")
end

-- The first of ours that the client offers.
local function choose(ours, offered)
  for _, name in ipairs(ours) do
    for token in (offered or ""):gmatch("[^,%s]+") do
      if token == name then return name end
    end
  end
end

-- What an offer of permessage-deflate may ask for and still be taken (RFC 7692, section 7.1). We
-- take over no context and inflate with the largest window, so that most of it is granted anyway.
local DEFLATE = {
  server_no_context_takeover = "^$",
  client_no_context_takeover = "^$",
  client_max_window_bits = "^%d*$",
  server_max_window_bits = "^15$",
}

local function is_good_offer(offer)
  local name, rest = offer:match("^%s*([^;%s]*)%s*(.*)$")
  local seen = {}
  if name ~= "permessage-deflate" then return false end
  for parameter in rest:gmatch("[^;]+") do
    local key, value = parameter:match("^%s*([%w_]*)%s*=?%s*\"?(%d*)\"?%s*$")
    local pattern = key and DEFLATE[key]
    if not pattern or seen[key] or not value:find(pattern) then return false end
    seen[key] = true
  end
  return true
end

-- Whether one of the offers can be taken, in a list of extensions that may be nil.
local function may_deflate(offers)
  for offer in (offers or ""):gmatch("[^,]+") do
    if is_good_offer(offer) then return true end
  end
  return false
end

local function answer_lines(subprotocol, deflate)
  return (subprotocol and "Sec-WebSocket-Protocol: " .. subprotocol .. "\r\n" or "")
    .. (deflate and "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
      .. "client_no_context_takeover\r\n" or "")
end

local function shake_hands(req, options)
  local x = req._exchange
  local found = gather(x)
  check_wish(req, found)
  check_origin(x, found.origin, options.origins)
  local subprotocol = choose(options.subprotocols, found["sec-websocket-protocol"])
  local deflate = options.compress and may_deflate(found["sec-websocket-extensions"])
  local ok, why = sockets.accept(x, found["sec-websocket-key"],
    answer_lines(subprotocol, deflate), options.max_message, deflate)
  if not ok then refuse(503, why) end
  local ws = setmetatable({id = x, subprotocol = subprotocol, request = req}, WebSocket)
  live[x] = ws
  return ws
end

-- From one generation to the next -----------------------------------------------------------

local POLICIES = {keep = true, move = true, close = true}

local function check_policy(policy)
  if policy == nil or POLICIES[policy] then return policy or "keep" end
  error(("option 'on_reload' is \"keep\", \"move\" or \"close\", not %q"):format(policy), 0)
end

-- An open socket that the generation before has left to this one.
local function take_over(req)
  local left = sockets.resume(req._exchange) or {}
  local ws = setmetatable({
    id = req._exchange,
    subprotocol = left.subprotocol,
    request = req,
    state = left.state,
  }, WebSocket)
  live[ws.id] = ws
  return ws
end

local function hand_over(ws)
  if not sockets.moving(ws.id) then return end
  sockets.keep(ws.id, {subprotocol = ws.subprotocol, state = ws.state})
end

-- Options -------------------------------------------------------------------------------------

local OPTIONS = {
  on_reload = "string",
  subprotocols = "table",
  origins = "table",
  max_message = "number",
  name = "string",
  compress = "boolean",
}

local function check_strings(list, what, pattern)
  for _, value in ipairs(list) do
    if type(value) ~= "string" or not value:find(pattern) then
      error(("option '%s': %s does not belong there"):format(what, tostring(value)), 0)
    end
  end
  return list
end

local function check_options(options)
  check.route_options(options, OPTIONS)
  local most = options.max_message or MAX_MESSAGE
  if not math.tointeger(most) or most < 1 then
    error(("option 'max_message' must be a whole number of bytes, not %s"):format(most), 0)
  end
  return math.tointeger(most)
end

local function origin_set(origins)
  if not origins then return nil end
  local set = {}
  for _, origin in ipairs(check_strings(origins, "origins", "^[^%s/]+:?/?/?[^%s/]*$")) do
    set[origin:lower()] = true
  end
  return set
end

--- The handler of a route of WebSockets, which shakes hands and then calls the script's. For the
-- app.
-- @tparam table options see `App:websocket`
-- @tparam function fn
-- @treturn function
-- @usage route.handler = websocket.handler({}, function(ws) ws:send("hello") end)
function websocket.handler(options, fn)
  local max_message = check_options(options)
  if not check.is_callable(fn) then
    error(("a function was expected as the handler, not a %s"):format(type(fn)), 0)
  end
  local agreed = {
    max_message = max_message,
    compress = options.compress,
    subprotocols = check_strings(options.subprotocols or {}, "subprotocols",
      "^[%w!#$%%&'*+.^_`|~-]+$"),
    origins = origin_set(options.origins),
  }
  local policy = check_policy(options.on_reload)
  return function(req, ...)
    local ws = sockets.is_socket(req._exchange) and take_over(req) or shake_hands(req, agreed)
    ws.on_reload = policy
    fn(ws, ...)
    hand_over(ws)
  end
end

--- Does to the open sockets of this state what their routes say of a reload: the host calls it,
-- through the app, when a later generation serves.
-- @usage websocket.retire()
function websocket.retire()
  for id, ws in pairs(live) do
    if ws.on_reload == "close" then sockets.close(id, 1012, "reloaded") end
    if ws.on_reload == "move" then sockets.move(id) end
  end
end

return websocket
