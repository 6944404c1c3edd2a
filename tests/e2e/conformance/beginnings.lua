-- What may come before a request, what may end one early, and what is none.
local words = require "tests.e2e.conformance.words"
local get, line, refused, dropped, taken = words.get, words.line, words.refused, words.dropped,
  words.taken

local probe = get "/probe"
local probed = taken "probe"

-- A ClientHello of TLS 1.2 for the host "a", whole.
local client_hello = "\x16\x03\x01\x00\x3D\x01\x00\x00\x39\x03\x03" .. ("\x5A"):rep(32) ..
  "\x00\x00\x02\x13\x01\x01\x00\x00\x0E\x00\x00\x00\x06\x00\x04\x00\x00\x01a\x00\x2B\x00\x00"

local tls = words.answers({words.answer(400, {refusal = true, body_has = "TLS"})}, "closed")
local once = words.gives(200, {body = "probe"}, "closed")

return {
  about = "a connection that begins",
  {"with an empty line is served", "9112 2.2", "\r\n" .. probe, probed},
  {"with two empty lines is served", "9112 2.2", "\r\n\r\n" .. probe, probed},
  {"with eight empty lines is served", "9112 2.2", ("\r\n"):rep(8) .. probe, probed},
  {"with a hundred empty lines is refused", "9112 2.2", ("\r\n"):rep(100) .. probe, refused(400)},
  {"with empty lines and then garbage is refused", "9112 2.2", "\r\n\r\nnonsense\r\n\r\n",
    refused(400)},
  {"with a line feed is refused", "9112 2.2", "\n" .. probe, refused(400)},
  {"with a carriage return is refused", "9112 2.2", "\r" .. probe, refused(400)},
  {"with an empty line and a line feed is refused", "9112 2.2", "\r\n\n" .. probe, refused(400)},
  {"with a blank is refused", "9112 2.2", " " .. probe, refused(400)},
  {"with a blank on a line of its own is refused", "9112 2.2", " \r\n" .. probe, refused(400)},
  {"with a tab is refused", "9112 2.2", "\t" .. probe, refused(400)},
  {"with a NUL is refused", "9112 2.2", "\0" .. probe, refused(400)},
  {"with empty lines and no request is closed in silence", "9112 2.2", "\r\n\r\n", words.silence,
    half_close = true},
  {"with nothing is closed in silence", "9112 9.5", "", words.silence, half_close = true},

  {"and ends in its direction is answered", "9112 9.6", probe, once, half_close = true},
  {"with a body and ends in its direction is answered", "9112 9.6",
    words.post("/echo", "hello", "Content-Length: 5"),
    words.gives(200, {body = "POST hello"}, "closed"), half_close = true},
  {"with chunks and ends in its direction is answered", "9112 9.6",
    words.chunked("5\r\nhello\r\n0\r\n\r\n"), words.gives(200, {body = "POST hello"}, "closed"),
    half_close = true},
  {"and ends while a detached answer is made is answered", "9112 9.6", get "/slow",
    words.gives(200, {body = "slow"}, "closed"), half_close = true},
  {"and ends before a stream is answered", "9112 9.6", get "/stream",
    words.gives(200, {body = "one two"}, "closed"), half_close = true},
  {"and ends in a method is refused or dropped", "9112 8", "GE", dropped(400), half_close = true},
  {"and ends in a target is refused or dropped", "9112 8", "GET /pro", dropped(400),
    half_close = true},
  {"and ends after the request line is refused or dropped", "9112 8", "GET / HTTP/1.1\r\n",
    dropped(400), half_close = true},
  {"and ends in a header is refused or dropped", "9112 8", "GET / HTTP/1.1\r\nHost: a",
    dropped(400), half_close = true},
  {"and ends before the empty line is refused or dropped", "9112 8",
    "GET / HTTP/1.1\r\nHost: a\r\n", dropped(400), half_close = true},
  {"and ends in the empty line is refused or dropped", "9112 8",
    "GET / HTTP/1.1\r\nHost: a\r\n\r", dropped(400), half_close = true},
  {"and ends in a second request is answered once", "9112 8", probe .. "GET / HT",
    words.answers({words.answer(200, {body = "probe"}),
      words.answer(400, {refusal = true, optional = true})}, "closed"), half_close = true},

  {"with a ClientHello is told that TLS is not spoken", "9110 4.3.3", client_hello, tls},
  {"with a ClientHello cut short is told that TLS is not spoken", "9110 4.3.3",
    client_hello:sub(1, 6), tls},
  {"with an old ClientHello is refused", "9112 2.2",
    "\x80\x2E\x01\x03\x01\x00\x15\x00\x00\x00\x10" .. ("\0"):rep(37), refused(400)},
  {"with the preface of HTTP/2 is refused", "9113 3.4",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", refused(400, 505)},
  {"with an answer is refused", "9112 2.1", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    refused(400)},
  {"as SSH does is refused", "9112 3", "SSH-2.0-OpenSSH_9.2\r\n", refused(400)},
  {"as SMTP does is refused", "9112 3", "EHLO a\r\n", refused(400)},
  {"as IRC does is refused", "9112 3", "NICK a\r\nUSER a 0 * :a\r\n", refused(400)},
  {"as Redis does is refused", "9112 3", "*1\r\n$4\r\nPING\r\n", refused(400)},
  {"as memcached does is refused", "9112 3", "get a\r\n", refused(400)},
  {"as RTSP does is refused", "9112 2.3", "OPTIONS rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    refused(400)},
  {"as SIP does is refused", "9112 2.3", "OPTIONS sip:a SIP/2.0\r\nVia: a\r\n\r\n", refused(400)},
  {"as a proxy's PROXY line does is refused", "9112 3",
    "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" .. probe, refused(400)},
  {"as a proxy's binary PROXY header does is refused", "9112 2.2",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\x7F\0\0\1\x7F\0\0\1\0\1\0\2" .. probe, refused(400)},
  {"with JSON is refused", "9112 3", '{"method": "GET"}\r\n', refused(400)},
  {"with XML is refused", "9112 3", "<?xml version='1.0'?>\r\n", refused(400)},
  {"with UTF-16 is refused", "9112 2.2", "\xFE\xFF\0G\0E\0T\0 \0/", refused(400)},
  {"with bytes beyond ASCII is refused", "9112 2.2", ("\xFF"):rep(100), refused(400)},
  {"with control bytes is refused", "9112 2.2", "\1\2\3\4\r\n\r\n", refused(400)},
  {"with a telnet negotiation is refused", "9112 2.2", "\xFF\xFD\x03" .. probe, refused(400)},
  {"with a chunk is refused", "9112 3", "5\r\nhello\r\n0\r\n\r\n", refused(400)},
  {"with a header is refused", "9112 3", "Host: a\r\n\r\n", refused(400)},
  {"with a request in quotes is refused", "9112 3", '"' .. line "GET / HTTP/1.1", refused(400)},
  {"with a sentence is refused", "9112 3", "Good morning, may I have a page?\r\n", refused(400)},
}
