-- Whether a connection is kept, by version and by the tokens of Connection.
local words = require "tests.e2e.conformance.words"
local get, get10, gives, taken = words.get, words.get10, words.gives, words.taken

local function connection(...)
  local lines = {...}
  for i, value in ipairs(lines) do lines[i] = "Connection: " .. value end
  return get("/", table.unpack(lines))
end

local closed = gives(200, {body = "fine", headers = {connection = "^close$"}}, "closed")
local kept = taken "fine"
local kept10 = gives(200, {body = "fine", headers = {connection = "^[Kk]eep%-[Aa]live$"}})

-- Three requests on a connection, each sent when the one before is answered.
local function thrice(bytes, status)
  local one = words.answer(status or 200)
  return {bytes, bytes, bytes}, words.answers{one, one, one}
end

local three, three_answers = thrice(get "/")
local three_posts = thrice(words.post("/echo", "hello", "Content-Length: 5"))
local three_chunked = thrice(words.chunked("5\r\nhello\r\n0\r\n\r\n"))
local three_old = thrice(get10("/", "Connection: keep-alive"))
local three_lost, three_not_found = thrice(get "/nowhere", 404)
local three_broken, three_failures = thrice(get "/broken", 500)

return {
  about = "a connection",
  {"of 1.1 is kept", "9112 9.3", get "/", kept},
  {"of 1.1 carries one request after another", "9112 9.3", three, three_answers},
  {"of 1.1 carries one body after another", "9112 9.3", three_posts, three_answers},
  {"of 1.1 carries chunks after chunks", "9112 9.3", three_chunked, three_answers},
  {"of 1.1 is kept when no route is found", "9112 9.3", three_lost, three_not_found},
  {"of 1.1 is kept when a handler fails", "9112 9.3", three_broken, three_failures},
  {"of 1.1 takes an empty line between requests", "9112 2.2", {get "/", "\r\n" .. get "/"},
    words.answers{words.answer(200), words.answer(200)}},
  {"is closed by close", "9112 9.6", connection "close", closed},
  {"is closed by Close", "9110 7.6.1", connection "Close", closed},
  {"is closed by CLOSE", "9110 7.6.1", connection "CLOSE", closed},
  {"is closed by close without a blank before it", "9112 5", get("/", "Connection:close"), closed},
  {"is closed by close in a header of small letters", "9110 5.1", get("/", "connection: close"),
    closed},
  {"is closed by close with blanks around it", "9112 5.1", connection " \tclose\t ", closed},
  {"is closed by close before another token", "9110 7.6.1", connection "close, x", closed},
  {"is closed by close after another token", "9110 7.6.1", connection "x, close", closed},
  {"is closed by close without blanks between tokens", "9110 7.6.1", connection "x,close,y",
    closed},
  {"is closed by close among tabs", "9110 5.6.1", connection "x\t,\tclose\t,\ty", closed},
  {"is closed by close after empty elements", "9110 5.6.1", connection ", ,close", closed},
  {"is closed by close before a comma", "9110 5.6.1", connection "close,", closed},
  {"is closed by close and keep-alive", "9112 9.3", connection "close, keep-alive", closed},
  {"is closed by keep-alive and close", "9112 9.3", connection "keep-alive, close", closed},
  {"is closed by close in a second line", "9110 7.6.1", connection("keep-alive", "close"), closed},
  {"is closed by close in the first of two lines", "9110 7.6.1", connection("close", "x"),
    closed},
  {"is closed by close in a third line", "9110 7.6.1", connection("x", "y", "z, close"), closed},
  {"is closed by close among many tokens", "9110 7.6.1",
    connection(("x, "):rep(50) .. "close"), closed},
  {"is kept by keep-alive", "9112 9.3", connection "keep-alive", kept},
  {"is kept by an empty Connection", "9110 5.6.1", connection "", kept},
  {"is kept by tokens that are not known", "9110 7.6.1", connection "x, y", kept},
  {"is kept by closed, which is not close", "9110 7.6.1", connection "closed", kept},
  {"is kept by not-close, which is not close", "9110 7.6.1", connection "not-close", kept},
  {"is kept by clo, which is not close", "9110 7.6.1", connection "clo", kept},
  {"is kept by upgrade without Upgrade", "9110 7.8", connection "upgrade", kept},
  {"is kept by Proxy-Connection: close", "9112 C.2.2", get("/", "Proxy-Connection: close"), kept},
  {"is kept by Keep-Alive: timeout=0", "9112 C.2.2", get("/", "Keep-Alive: timeout=0"), kept},
  {"is kept by Upgrade to what is not known", "9110 7.8",
    get("/", "Upgrade: x", "Connection: upgrade"), kept},
  {"of 1.1 is closed when no route is found, if asked", "9112 9.6",
    get("/nowhere", "Connection: close"), gives(404, nil, "closed")},
  {"of 1.1 is closed when a handler fails, if asked", "9112 9.6",
    get("/broken", "Connection: close"), gives(500, nil, "closed")},
  {"of 1.1 is closed after a body, if asked", "9112 9.6",
    words.post("/echo", "hello", "Content-Length: 5", "Connection: close"),
    gives(200, {body = "POST hello"}, "closed")},
  {"of 1.1 is closed after a stream, if asked", "9112 9.6", get("/stream", "Connection: close"),
    gives(200, {body = "one two"}, "closed")},
  {"of 1.1 is closed after a body that nobody reads, if asked", "9112 9.6",
    words.post("/ignore", "hello", "Content-Length: 5", "Connection: close"),
    gives(200, {body = "ignored"}, "closed")},

  {"of 1.0 is closed", "9112 9.3", get10 "/", closed},
  {"of 1.0 is kept by keep-alive, and told so", "9112 9.3", get10("/", "Connection: keep-alive"),
    kept10},
  {"of 1.0 is kept by Keep-Alive", "9110 7.6.1", get10("/", "Connection: Keep-Alive"), kept10},
  {"of 1.0 is kept by keep-alive among tokens", "9110 7.6.1",
    get10("/", "Connection: x, keep-alive"), kept10},
  {"of 1.0 is kept by keep-alive in a second line", "9110 7.6.1",
    get10("/", "Connection: x", "Connection: keep-alive"), kept10},
  {"of 1.0 carries one request after another", "9112 9.3", three_old, three_answers},
  {"of 1.0 is closed by keep-alive and close", "9112 9.3",
    get10("/", "Connection: keep-alive, close"), closed},
  {"of 1.0 is closed by close and keep-alive in two lines", "9112 9.3",
    get10("/", "Connection: close", "Connection: keep-alive"), closed},
  {"of 1.0 is closed by close", "9112 9.6", get10("/", "Connection: close"), closed},
  {"of 1.0 is closed by Keep-Alive as a header", "9112 9.3", get10("/", "Keep-Alive: 300"),
    closed},
  {"of 1.0 is closed by Proxy-Connection: keep-alive", "9112 C.2.2",
    get10("/", "Proxy-Connection: keep-alive"), closed},
  {"of 1.0 is closed by keep-alives, which is not keep-alive", "9110 7.6.1",
    get10("/", "Connection: keep-alives"), closed},
  {"of 1.0 is kept when no route is found, if asked", "9112 9.3",
    get10("/nowhere", "Connection: keep-alive"), gives(404)},
  {"of 1.0 carries a body", "9112 6.3",
    words.raw({"POST /echo HTTP/1.0", "Content-Length: 5"}, "hello"),
    gives(200, {body = "POST hello"}, "closed")},
  {"of 1.0 carries a body and is kept, if asked", "9112 6.3",
    words.raw({"POST /echo HTTP/1.0", "Content-Length: 5", "Connection: keep-alive"}, "hello"),
    gives(200, {body = "POST hello"})},
  {"of 1.0 is given a stream without chunks", "9112 6.1", get10 "/stream",
    gives(200, {body = "one two", headers = {["transfer-encoding"] = false}}, "closed")},
  {"of 1.0 with keep-alive is given a stream without chunks", "9112 6.1",
    get10("/stream", "Connection: keep-alive"),
    gives(200, {body = "one two", headers = {["transfer-encoding"] = false}}, "any")},
}
