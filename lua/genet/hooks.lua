--- What an app or a group does around the handlers of its routes: `app:before`, `app:after`,
-- `app:teardown` and `app:error`. A route without any has nothing of this in its way.
--
-- Those of the outermost app are called first before a handler, and last after it; of the handlers
-- of errors the innermost that fits is asked.
-- @module genet.hooks

local Request = require "genet.request"
local exchange = require "genet.exchange"
local http_error = require "genet.http_error"
local log = require "genet.log"
local response = require "genet.response"

local hooks = {}

-- Chains: the hooks of a route, gathered from the groups and apps it is in ---------------------

local function push_all(list, more)
  for _, fn in ipairs(more or {}) do list[#list + 1] = fn end
end

local function scopes_of(route)
  local scopes, scope = {}, route.scope
  while scope do
    table.insert(scopes, scope)
    scope = scope.outer
  end
  return scopes
end

-- nil when nobody wants to be called.
local function chain_of(scopes)
  local chain = {before = {}, after = {}, teardown = {}, errors = {}}
  local wanted = false
  for at, scope in ipairs(scopes) do
    push_all(chain.before, (scopes[#scopes + 1 - at].hooks or {}).before)
    local own = scope.hooks or {}
    for _, kind in ipairs{"after", "teardown", "errors"} do push_all(chain[kind], own[kind]) end
    wanted = wanted or scope.hooks ~= nil
  end
  return wanted and chain
end

-- Around a handler ----------------------------------------------------------------------------

local function run_teardown(chain, req)
  for _, fn in ipairs(chain.teardown) do
    local ok, problem = xpcall(fn, debug.traceback, req, chain.failures[req._exchange])
    if not ok then log.error("app:teardown: %s", problem) end
  end
  chain.failures[req._exchange] = nil
end

-- The first answer that one of them gives.
local function ask_before(chain, req)
  for _, fn in ipairs(chain.before) do
    local body, code, headers = fn(req)
    if body ~= nil then return body, code, headers end
  end
end

local function run_after(chain, req, body, code, headers)
  if #chain.after == 0 or body == nil or exchange.started(req._exchange) then
    return body, code, headers
  end
  local answer = response.of(body, code, headers)
  for _, fn in ipairs(chain.after) do answer = fn(req, answer) or answer end
  return answer
end

local function wrap(handler, chain)
  return function(req, ...)
    local x = req._exchange
    chain.pending[x] = {req = req, chain = chain}
    if chain.teardown[1] then exchange.on_end(x, function() run_teardown(chain, req) end) end
    local body, code, headers = ask_before(chain, req)
    if body == nil then body, code, headers = handler(req, ...) end
    body, code, headers = run_after(chain, req, body, code, headers)
    chain.pending[x] = nil
    return body, code, headers
  end
end

-- Errors --------------------------------------------------------------------------------------

local function fits(wanted, code, err)
  if wanted == nil then return true end
  if type(wanted) == "number" then return wanted == code end
  return tostring(err):find(wanted) ~= nil
end

local function find_handler(errors, code, err)
  for _, entry in ipairs(errors) do
    if fits(entry.wanted, code, err) then return entry.fn end
  end
end

-- Answers with what the handler of an error returns; its status is that of the error unless told.
local function answer_error(chain, req, fn, code, err)
  local body, status, headers = fn(req, err)
  if type(status) == "table" then status, headers = nil, status end
  if not response.is(body) and type(body) ~= "number" then status = status or code end
  return response.answer(req, run_after(chain, req, body, status, headers))
end

local function protect(fn, ...)
  local result = table.pack(xpcall(fn, debug.traceback, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  log.error("app:error: %s", result[2])
end

--- The answer that a handler of errors gives to a failed request. Waits when it does.
-- @tparam App app
-- @tparam integer x the number of the exchange
-- @param err
-- @tparam integer code the status it would have
-- @treturn[1] integer the status
-- @treturn[1] string the head
-- @treturn[1] string the body
-- @treturn[2] nil when there is no handler for it, or it fails too
-- @usage local code, head, body = hooks.failed(app, x, err, 500)
function hooks.failed(app, x, err, code)
  local waiting = app.pending[x]
  if not waiting then return nil end
  app.pending[x] = nil
  local chain, req = waiting.chain, waiting.req
  if chain.teardown[1] then chain.failures[x] = err end
  local fn = find_handler(chain.errors, code, err)
  if not fn or exchange.started(x) then return nil end
  return protect(answer_error, chain, req, fn, code, err)
end

local NOBODY = {rule = "", names = {}}

--- The answer to a request that no route takes, when a handler of errors has one.
-- @tparam App app
-- @tparam integer x the number of the exchange
-- @tparam string method
-- @tparam string path
-- @tparam integer code 400 to 599
-- @treturn[1] integer the status
-- @treturn[1] string the head
-- @treturn[1] string the body
-- @treturn[2] nil
-- @usage local code, head, body = hooks.refuse(app, x, "GET", "/nowhere", 404)
function hooks.refuse(app, x, method, path, code)
  local err = http_error.new(code)
  local fn = find_handler(app.strays.errors, code, err)
  if not fn then return nil end
  local fields = {_exchange = x, method = method, path = path, route = NOBODY}
  local req = setmetatable(fields, Request)
  Request.live[x & Request.SLOT] = req
  return protect(answer_error, app.strays, req, fn, code, err)
end

-- Installing ----------------------------------------------------------------------------------

--- Puts itself around the handlers of an app whose routes are complete.
-- @tparam App app
-- @usage hooks.install(app)
function hooks.install(app)
  local pending, failures = {}, {}
  for _, route in ipairs(app.routes) do
    local chain = chain_of(scopes_of(route))
    if chain then
      chain.pending, chain.failures = pending, failures
      route.handler = wrap(route.handler, chain)
      app.pending = pending
    end
  end
  local strays = chain_of(app.included or {app})
  if strays and #strays.errors > 0 then app.strays = strays end
end

return hooks
