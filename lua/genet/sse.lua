--- Server-sent events: answers in the event-stream format of the HTML standard, which browsers
-- read by `EventSource`.
--
--     app:sse("/clock", function(sse)
--       while true do
--         sse:send{event = "tick", data = {time = os.time()}}
--         genet.sleep(1)
--       end
--     end)
--
-- Fields of a stream: `last_event_id`, what the browser had received before it came back, or nil.
-- @module genet.sse

local check = require "genet.check"
local exchange = require "genet.exchange"
local json = require "genet.json"
local response = require "genet.response"
local sync = require "genet.sync"
local task = require "genet.task"

local concat, find, type = table.concat, string.find, type

local sse = {}

local HEARTBEAT = 15 -- seconds
local HEAD = response.head(nil, {["Content-Type"] = "text/event-stream"})
  .. response.head(nil, {["Cache-Control"] = "no-store"})
  .. response.head(nil, {["X-Accel-Buffering"] = "no"}) -- a proxy shall pass on each piece

-- Events --------------------------------------------------------------------------------------

local function refuse(field, problem)
  error(("sse:send: %s %s"):format(field, problem), 0)
end

local function line(field, value)
  if type(value) ~= "string" and type(value) ~= "number" then
    refuse(field, ("is a %s: a string was expected"):format(type(value)))
  end
  if find(value, "[\r\n\0]") then refuse(field, "has a line break or a NUL in it") end
  return field .. ": " .. value .. "\n"
end

-- The text with each of its lines after `prefix`. CR LF, LF and CR end a line.
local function lines(prefix, text)
  text = text:gsub("\r\n?", "\n"):gsub("\n", "\n" .. prefix)
  return prefix .. text .. "\n"
end

local function data_lines(value)
  local kind = type(value)
  if kind == "table" or kind == "boolean" then
    local ok, text = pcall(json.encode, value)
    if not ok then refuse("data", "is no JSON: " .. text) end
    value = text
  elseif kind ~= "string" and kind ~= "number" then
    refuse("data", ("is a %s: a string or a table was expected"):format(kind))
  end
  return lines("data: ", tostring(value))
end

local function retry_line(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < math.huge) then
    refuse("retry", "is no number of seconds")
  end
  return ("retry: %d\n"):format(math.floor(seconds * 1000 + 0.5))
end

local FIELDS = {event = true, data = true, id = true, retry = true}

local function encode(fields)
  for name in pairs(fields) do
    if not FIELDS[name] then
      refuse("unknown field '" .. tostring(name) .. "'", "(a table to send goes into 'data')")
    end
  end
  if fields.event ~= nil and fields.data == nil then
    refuse("event", "without data never reaches a script: say data = \"\"")
  end
  if next(fields) == nil then refuse("the event", "is empty") end
  return concat{
    fields.id ~= nil and line("id", fields.id) or "",
    fields.event ~= nil and line("event", fields.event) or "",
    fields.retry ~= nil and retry_line(fields.retry) or "",
    fields.data ~= nil and data_lines(fields.data) or "",
    "\n",
  }
end

--- An event as it goes over the wire.
-- @param event as of `sse:send`
-- @treturn string
-- @usage sse.encode{event = "note", data = "one\ntwo"}
--   --> "event: note\ndata: one\ndata: two\n\n"
function sse.encode(event)
  if type(event) == "table" then return encode(event) end
  return data_lines(event) .. "\n"
end

-- Streams -------------------------------------------------------------------------------------

local Stream = {__name = "genet.sse"}
Stream.__index = Stream

--- Sends an event. Waits when the client is slow. Any task may: each event goes out whole.
-- Raises when the client has gone, which ends a handler that has nobody left to send to.
-- @function sse:send
-- @param event the text of a message, or a table of its parts: `data`, a text of any number of
--   lines, or a table or boolean, which becomes JSON; `event`, its type; `id`, which the browser
--   tells when it comes back; `retry`, the seconds after which it does
-- @usage sse:send("hello")
-- sse:send{event = "price", id = 17, data = {euros = 12}}
function Stream:send(event)
  local ok, text = pcall(sse.encode, event)
  if not ok then error(text, 2) end
  self.req:write(text)
end

--- Sends a comment, which browsers pass over. Waits, and raises, as `sse:send` does.
-- @function sse:comment
-- @tparam[opt] string text
-- @usage sse:comment("still computing")
function Stream:comment(text)
  local kind = type(text)
  if text ~= nil and kind ~= "string" and kind ~= "number" then
    error(("sse:comment: a string was expected, not a %s"):format(kind), 2)
  end
  self.req:write(lines(": ", tostring(text or "")) .. "\n")
end

-- Comments keep proxies from ending a connection that is silent, and find out that a client is
-- gone that did not say so; then nobody needs the handler any more.
local function beat(self, seconds, over, handler)
  while not over:wait(seconds) do
    if not exchange.write(self.req._exchange, ": \n\n") then
      handler:cancel()
      return
    end
  end
end

local function serve(req, seconds, fn, ...)
  response.begin(req, 200, HEAD)
  if req.method == "HEAD" then return nil end
  exchange.endless(req._exchange)
  local self = setmetatable({req = req, last_event_id = req.headers["Last-Event-ID"]}, Stream)
  local over <close> = sync.event()
  task.spawn({name = "heartbeat"}, beat, self, seconds, over, task.current())
  fn(self, req, ...)
  return nil
end

-- Routes --------------------------------------------------------------------------------------

local function take_heartbeat(options)
  local rest = {}
  for key, value in pairs(options) do rest[key] = value end
  rest.heartbeat = nil
  local seconds = options.heartbeat or HEARTBEAT
  if type(seconds) ~= "number" or seconds ~= seconds or seconds <= 0 then
    error("option 'heartbeat' must be a number of seconds above 0", 0)
  end
  return rest, seconds
end

--- The options and the handler of a route that answers with events; see `app:sse`.
-- @tparam[opt] table options
-- @tparam function fn
-- @treturn table those that are the route's
-- @treturn function
-- @usage local options, handler = sse.route({heartbeat = 5}, fn)
function sse.route(options, fn)
  if fn == nil then options, fn = {}, options end
  local seconds
  if type(options) == "table" then options, seconds = take_heartbeat(options) end
  if not check.is_callable(fn) then return options, fn end
  return options, function(req, ...) return serve(req, seconds, fn, ...) end
end

return sse
