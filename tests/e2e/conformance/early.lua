-- What is wrong is refused where it stands: none of these clients sends the rest of its request.
local words = require "tests.e2e.conformance.words"
local refused = words.refused

-- The beginning of a request, up to and with this.
local function begun(text)
  return "GET / HTTP/1.1\r\nHost: a\r\n" .. text
end

local function posted(text)
  return words.chunked(text)
end

return {
  about = "a client that has more to send and",
  {"began with a NUL is refused", "9112 2.2", "\0", refused(400)},
  {"began with a line feed is refused", "9112 2.2", "\n", refused(400)},
  {"began with a blank is refused", "9112 2.2", " ", refused(400)},
  {"began with a byte beyond ASCII is refused", "9112 2.2", "\xFF", refused(400)},
  {"began with two bytes of TLS is refused", "9112 2.2", "\x16\x03", refused(400)},
  {"began with a broken method is refused", "9110 9.1", "G(T ", refused(400)},
  {"began with a line feed after the method is refused", "9112 3", "GET\n", refused(400)},
  {"began with a line feed after the target is refused", "9112 3", "GET /\n", refused(400)},
  {"began with two blanks is refused", "9112 3", "GET  / ", refused(400)},
  {"began with a relative target is refused", "9112 3.2", "GET a/b HTTP/1.1\r\n",
    refused(400)},
  {"began with a broken escape is refused", "3986 2.1", "GET /%zz ", refused(400)},
  {"began with a fragment is refused", "9112 3.2", "GET /#a ", refused(400)},
  {"began with a control byte in the target is refused", "9112 3.2", "GET /\1", refused(400)},
  {"began with HTTP/2.0 is refused", "9112 2.3", "GET / HTTP/2.0\r\n", refused(505)},
  {"began with another protocol is refused", "9112 2.3", "GET / SPDY/", refused(400)},
  {"ended its request line with LF is refused", "9112 2.2", "GET / HTTP/1.1\n", refused(400)},
  {"ended its request line with CR is refused", "9112 2.2", "GET / HTTP/1.1\rH", refused(400)},
  {"sent a blank before a colon is refused", "9112 5.1", begun "X :", refused(400)},
  {"sent a NUL in a value is refused", "9110 5.5", begun "X: a\0", refused(400)},
  {"sent a carriage return in a value is refused", "9110 5.5", begun "X: a\rb", refused(400)},
  {"ended a header line with LF is refused", "9112 2.2", begun "X: a\n", refused(400)},
  {"sent a line without a colon is refused", "9112 5", begun "X\r\n", refused(400)},
  {"began to fold a line is refused", "9112 5.2", begun "X: a\r\n b", refused(400)},
  {"sent a second Host is refused", "9112 3.2", begun "Host: b\r\nX", refused(400)},
  {"sent a broken length is refused", "9110 8.6", begun "Content-Length: 5x\r\nX", refused(400)},
  {"sent a second length is refused", "9112 6.3",
    begun "Content-Length: 5\r\nContent-Length: 5\r\nX", refused(400)},
  {"sent an unknown coding is refused", "9112 6.1", begun "Transfer-Encoding: gzip\r\nX",
    refused(400, 501)},
  {"expects a miracle is refused", "9110 10.1.1", begun "Expect: a-miracle\r\nX", refused(417)},
  {"sent a broken chunk size is refused", "9112 7.1", posted "g", refused(400)},
  {"sent a chunk size with a blank is refused", "9112 7.1", posted "5 5", refused(400)},
  {"ended a chunk size with LF is refused", "9112 7.1", posted "5\n", refused(400)},
  {"sent no end of a chunk is refused", "9112 7.1", posted "5\r\nhelloX", refused(400)},
  {"sent a line feed for the end of a chunk is refused", "9112 7.1", posted "5\r\nhello\n",
    refused(400)},
  {"sent a broken trailer is refused", "9112 7.1.2", posted "0\r\nX : a", refused(400)},
}
