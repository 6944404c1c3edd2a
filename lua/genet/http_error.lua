--- Errors that are answers: what `genet.abort` raises and the host turns into a status.
-- @module genet.http_error

local status = require "genet.status"

local http_error = {}

local HttpError = {__name = "genet.http_error"}
HttpError.__index = HttpError

--- The error as one line, as a log wants it.
-- @treturn string
function HttpError:__tostring()
  local line = status.line(self.status)
  if self.message then line = line .. ": " .. self.message end
  if self.detail then line = line .. " (" .. self.detail .. ")" end
  return self.place and self.place .. ": " .. line or line
end

--- An error object that becomes an answer when it is raised in a handler.
-- @tparam integer code the status, 400 to 599
-- @tparam ?string message a sentence the client may read
-- @tparam ?table headers more headers for the answer
-- @treturn table with `status`, `message` and `headers`
-- @usage error(http_error.new(403, "members only"))
function http_error.new(code, message, headers)
  return setmetatable({
    status = status.check(code, 400),
    message = message,
    headers = headers,
  }, HttpError)
end

--- The error for a handler that broke the rules: a 500 that says so, and is logged.
-- @tparam string message what was wrong, without secrets: the client reads it
-- @tparam ?string detail more of it, for the log only
-- @treturn table an error object with `fault` set; its `place`, a `file:line` that begins its line
--   in the log, is left to the caller
-- @usage error(http_error.fault("GET /item: the handler returned nothing"))
function http_error.fault(message, detail)
  local err = http_error.new(500, message)
  err.fault, err.detail = true, detail
  return err
end

-- What the exchange says when it cannot read or write, and what becomes of it.
local REASONS = {
  ["too large"] = {413, "the body is over the limit"},
  timeout = {408, "the body did not arrive in time"},
  closed = {400, "the client closed the connection"},
  cancelled = {503, "the request was cancelled"},
}

--- Raises the error for what an exchange could not do.
-- @tparam string reason `too large`, `timeout`, `closed` or `cancelled`
-- @raise always
-- @usage local body, reason = exchange.body(x)
-- if not body then http_error.raise(reason) end
function http_error.raise(reason)
  local known = REASONS[reason] or {400, reason}
  error(http_error.new(known[1], known[2]), 0)
end

--- Whether an error value is one of these objects.
-- @param err any error value
-- @treturn boolean
-- @usage http_error.is(http_error.new(404)) --> true
function http_error.is(err)
  return getmetatable(err) == HttpError
end

--- The small page for a status: its line and, under it, what there is to say.
-- @tparam integer code
-- @tparam ?string message
-- @treturn string
-- @usage http_error.page(404) --> "404 Not Found\n"
function http_error.page(code, message)
  local page = status.line(code) .. "\n"
  return message and page .. message .. "\n" or page
end

return http_error
