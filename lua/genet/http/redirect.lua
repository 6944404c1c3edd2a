--- Where a redirect leads, and with what (RFC 9110, 15.4).
-- @module genet.http.redirect

local address = require "genet.http.address"

local redirect = {}

local STATUSES = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}

--- The method of the request that follows a redirect.
-- @tparam integer status
-- @tparam string method of the request that was redirected
-- @treturn string
-- @usage redirect.method(303, "POST") --> "GET"
function redirect.method(status, method)
  if status == 303 and method ~= "HEAD" then return "GET" end
  if (status == 301 or status == 302) and method == "POST" then return "GET" end
  return method
end

--- Whether a response is a redirect that can be followed.
-- @tparam table response `status` and `headers`
-- @treturn boolean
-- @usage redirect.is(response)
function redirect.is(response)
  return STATUSES[response.status] == true and response.headers.location ~= nil
end

--- The address a redirect leads to.
-- @tparam table from parts of the address that was asked
-- @tparam string location the header
-- @tparam ?boolean downgrade whether it may lead from https to http
-- @treturn[1] table parts of the address
-- @treturn[2] nil
-- @treturn[2] string why it cannot be followed
-- @usage redirect.target(address.parse("https://a/"), "/b").target --> "/b"
function redirect.target(from, location, downgrade)
  local to, problem = address.parse(address.resolve(from, location))
  if not to then return nil, ("bad redirect to %q: %s"):format(location:sub(1, 200), problem) end
  if from.scheme == "https" and to.scheme == "http" and not downgrade then
    return nil, ("redirect from https to http refused: %s"):format(address.write(to))
  end
  to.user = nil
  return to
end

return redirect
