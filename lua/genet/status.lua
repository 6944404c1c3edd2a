--- The reason phrases of HTTP statuses (RFC 9110 and the registry it opens).
-- @module genet.status

local status = {
  [100] = "Continue",
  [101] = "Switching Protocols",
  [103] = "Early Hints",
  [200] = "OK",
  [201] = "Created",
  [202] = "Accepted",
  [203] = "Non-Authoritative Information",
  [204] = "No Content",
  [205] = "Reset Content",
  [206] = "Partial Content",
  [207] = "Multi-Status",
  [208] = "Already Reported",
  [226] = "IM Used",
  [300] = "Multiple Choices",
  [301] = "Moved Permanently",
  [302] = "Found",
  [303] = "See Other",
  [304] = "Not Modified",
  [305] = "Use Proxy",
  [307] = "Temporary Redirect",
  [308] = "Permanent Redirect",
  [400] = "Bad Request",
  [401] = "Unauthorized",
  [402] = "Payment Required",
  [403] = "Forbidden",
  [404] = "Not Found",
  [405] = "Method Not Allowed",
  [406] = "Not Acceptable",
  [407] = "Proxy Authentication Required",
  [408] = "Request Timeout",
  [409] = "Conflict",
  [410] = "Gone",
  [411] = "Length Required",
  [412] = "Precondition Failed",
  [413] = "Content Too Large",
  [414] = "URI Too Long",
  [415] = "Unsupported Media Type",
  [416] = "Range Not Satisfiable",
  [417] = "Expectation Failed",
  [418] = "I'm a Teapot",
  [421] = "Misdirected Request",
  [422] = "Unprocessable Content",
  [423] = "Locked",
  [424] = "Failed Dependency",
  [425] = "Too Early",
  [426] = "Upgrade Required",
  [428] = "Precondition Required",
  [429] = "Too Many Requests",
  [431] = "Request Header Fields Too Large",
  [451] = "Unavailable For Legal Reasons",
  [500] = "Internal Server Error",
  [501] = "Not Implemented",
  [502] = "Bad Gateway",
  [503] = "Service Unavailable",
  [504] = "Gateway Timeout",
  [505] = "HTTP Version Not Supported",
  [506] = "Variant Also Negotiates",
  [507] = "Insufficient Storage",
  [508] = "Loop Detected",
  [511] = "Network Authentication Required",
}

--- The line people read: `"404 Not Found"`, or the number alone when nobody named it.
-- @function status.line
-- @tparam integer code
-- @treturn string
-- @usage status.line(404) --> "404 Not Found"
function status.line(code)
  local reason = status[code]
  return reason and code .. " " .. reason or tostring(code)
end

--- The status as an integer; raises when it cannot be that of a finished answer.
-- (An answer of 1xx is never the last one: the client would wait for more.)
-- @function status.check
-- @param code what a script gave as a status
-- @tparam ?integer first the smallest status allowed, 200 unless told
-- @treturn integer
-- @usage status.check(204.0) --> 204
function status.check(code, first)
  first = first or 200
  local number = math.type(code) and math.tointeger(code)
  if not number or number < first or number > 599 then
    error(("bad status %s: an integer from %d to 599 was expected")
      :format(type(code) == "string" and ("%q"):format(code) or tostring(code), first), 0)
  end
  return number
end

return status
