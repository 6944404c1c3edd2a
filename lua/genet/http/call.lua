--- One call of a client: connections taken and made, requests sent, redirects followed.
-- @module genet.http.call

local address = require "genet.http.address"
local body = require "genet.http.body"
local connection = require "genet.http.connection"
local core = require "genet.core"
local message = require "genet.http.message"
local redirect = require "genet.http.redirect"
local response = require "genet.http.response"

local call = {}

-- Sends the request. True; or nil, why, and whether that is more than a connection that broke.
local function send(req, open)
  local head = req:head()
  local text = type(req.body) == "string" and req.body or ""
  local ok, why, sent = open:send(head .. text)
  open.sent = ok or sent > 0
  if not ok or type(req.body) ~= "function" then return ok, why, why == "timeout" end
  local all, problem, fault = body.send(open, req.body, req.length)
  return all, problem, fault or problem == "timeout"
end

-- What went wrong before a response had come, in a sentence.
local function explain(req, why)
  local place = address.authority(req.parts)
  if why == "timeout" then
    return ("timeout: no response from %s in time"):format(place)
  end
  if why == "closed" then return ("no response: %s closed the connection"):format(place) end
  return why:find("^bad response") and why or ("no response from %s: %s"):format(place, why)
end

-- Sends the request on an open connection and reads the head of the response. A server may answer,
-- and close, before it has read the whole request: its answer counts. Waits.
-- Returns the response; or nil, why, and whether the connection was broken before anything came.
local function talk(client, req, open)
  open.received = false
  local sent, why, final = send(req, open)
  if not sent and final then
    return nil, why == "timeout" and "timeout: the request could not be sent in time" or why
  end
  local head, problem = message.read_head(open, req.settings.max_head)
  if not head then
    local silent = problem ~= "timeout" and not open.received
    return nil, explain(req, sent and problem or why), silent
  end
  local keeps = sent and message.keeps_alive(head) and not req:closes()
  return response.new(req, head, open, keeps and function(free)
    client.pool:give(free, message.idle_seconds(head))
  end or nil)
end

-- Connects, and shakes hands where that is asked for. True, or nil and why not. Waits.
local function establish(client, req, open)
  local parts, settings = req.parts, req.settings
  if parts.scheme == "http" then return open:connect(parts) end
  local context, problem = client:_context(settings)
  if not context then return nil, problem end
  local ok, why = open:connect(parts)
  if not ok then return nil, why end
  return open:secure(parts, context, settings.verify)
end

-- Whether the request may go out again after a kept connection turned out to be dead.
local function may_repeat(req, open)
  return req:is_idempotent() or not open.sent
end

-- On a connection that was kept; nil without a reason when there is none, or it was dead. Waits.
local function talk_again(client, req, deadline, key)
  local kept <close> = client.pool:take(key)
  if not kept then return nil end
  kept.deadline = deadline
  local got, why, silent = talk(client, req, kept)
  if got or not (silent and may_repeat(req, kept)) then return got, why end
  return nil
end

-- One request and the head of its response. Waits.
local function exchange(client, req, deadline)
  local key = client:_key(req)
  local got, why = talk_again(client, req, deadline, key)
  if got or why then return got, why end
  local limit = core.now() + req.settings.connect_timeout
  local open <close> = connection.new(math.min(deadline, limit))
  local ok, problem = establish(client, req, open)
  if not ok then return nil, problem end
  open.key, open.deadline = key, deadline
  local first, last = talk(client, req, open)
  return first, last
end

-- The response after all redirects. Waits.
local function follow(client, req, deadline)
  local left = req.settings.redirects
  while true do
    local got, why = exchange(client, req, deadline)
    if not got then return nil, why end
    got:_settle()
    if req.settings.redirects == 0 or not redirect.is(got) then return got end
    if left == 0 then
      got:close()
      return nil, ("too many redirects: more than %d, the last to %q")
        :format(req.settings.redirects, got.headers.location:sub(1, 200))
    end
    left = left - 1
    got:_discard()
    local ok, problem = req:follow(got.status, got.headers.location)
    if not ok then return nil, problem end
  end
end

--- Makes a request, from the first byte sent to the last one read; a stream only to the head of
-- its response. Waits.
-- @tparam Client client see `genet.http`
-- @tparam Request req which it uses up
-- @treturn[1] Response
-- @treturn[2] nil
-- @treturn[2] string why there is none
-- @usage local got, err = call.run(client, request.new({}, {url = "http://127.0.0.1/"}))
function call.run(client, req)
  local deadline = core.now() + req.settings.timeout
  local got, why = follow(client, req, deadline)
  if not got then return nil, why end
  if req.settings.stream then return got end
  local guard <close> = got
  local loaded, problem = guard:_load()
  return loaded, problem
end

return call
