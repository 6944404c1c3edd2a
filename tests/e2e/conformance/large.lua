-- What is too large to be sent byte by byte.
local words = require "tests.e2e.conformance.words"

local function body(target, count)
  return words.post(target, ("y"):rep(count), "Content-Length: " .. count)
end

local function chunks(target, count, size)
  local chunk = ("%x\r\n%s\r\n"):format(size, ("y"):rep(size))
  return words.post(target, chunk:rep(count) .. "0\r\n\r\n", "Transfer-Encoding: chunked")
end

local ignored = words.gives(200, {body = "ignored"}, "any")

return {
  about = "much",
  mode = "at once",
  {"of a body is read", "9112 6.2", body("/pieces", 3000000), words.taken "3000000"},
  {"of a body in chunks is read", "9112 7.1", chunks("/pieces", 300, 10000),
    words.taken "3000000"},
  {"of a body in small chunks is read", "9112 7.1", chunks("/pieces", 50000, 3),
    words.taken "150000"},
  {"of a body that nobody reads lets the answer through", "9112 9.6", body("/ignore", 3000000),
    ignored},
  {"of a body in chunks that nobody reads lets the answer through", "9112 9.6",
    chunks("/ignore", 300, 10000), ignored},
  {"of a body without a route lets the answer through", "9112 9.6", body("/nowhere", 3000000),
    words.gives(404, nil, "any")},
  {"of a body over the limit lets the answer through", "9110 15.5.14", body("/echo", 9000000),
    words.gives(413, nil, "any")},
  {"behind a broken head lets the refusal through", "9112 9.6",
    words.with("X: a\0b") .. ("y"):rep(1000000), words.refused(400)},
  {"of a header line lets the refusal through", "9112 9.6", words.with("X: " .. ("y"):rep(1000000)),
    words.refused(431)},
  {"of a target lets the refusal through", "9112 9.6", words.get("/" .. ("y"):rep(1000000)),
    words.refused(414)},
  {"of nothing but letters is refused", "9112 3", ("A"):rep(1000000),
    words.refused(400, 414, 431, 501)},
  {"of nothing but NULs is refused", "9112 2.2", ("\0"):rep(1000000), words.refused(400)},
  {"of nothing but line breaks is refused", "9112 2.2", ("\r\n"):rep(500000),
    words.dropped(400)},
}
