-- Requests sent together are answered in their order, each once.
local words = require "tests.e2e.conformance.words"
local get, post, answers, answer = words.get, words.post, words.answers, words.answer

local probe = get "/probe"
local probed = answer(200, {body = "probe"})
local fine = answer(200, {body = "fine"})
local bad = answer(400, {refusal = true})
local hello = post("/echo", "hello", "Content-Length: 5")
local hello_chunked = words.chunked("5\r\nhello\r\n0\r\n\r\n")
local said_hello = answer(200, {body = "POST hello"})

-- So many requests that each tell their number, and their answers.
local function many(count)
  local requests, expected = {}, {}
  for i = 1, count do
    requests[i] = get("/tell?" .. i)
    expected[i] = answer(200, {body = ("GET /tell ?%d @a"):format(i)})
  end
  return table.concat(requests), expected
end

local ten, ten_answers = many(10)
local hundred, hundred_answers = many(100)

return {
  about = "a row of requests",
  {"of two is answered in order", "9112 9.3.2", get "/" .. probe, answers{fine, probed}},
  {"of ten is answered in order", "9112 9.3.2", ten, answers(ten_answers)},
  {"of a hundred is answered in order", "9112 9.3.2", hundred, answers(hundred_answers)},
  {"of slow and quick ones is answered in order", "9112 9.3.2",
    get "/slow" .. probe .. get "/slow" .. get "/",
    answers{answer(200, {body = "slow"}), probed, answer(200, {body = "slow"}), fine}},
  {"of a body and none is answered in order", "9112 9.3.2", hello .. probe,
    answers{said_hello, probed}},
  {"of bodies is answered in order", "9112 9.3.2", hello .. hello .. hello,
    answers{said_hello, said_hello, said_hello}},
  {"of chunks and none is answered in order", "9112 9.3.2", hello_chunked .. probe,
    answers{said_hello, probed}},
  {"of both kinds of bodies is answered in order", "9112 9.3.2",
    hello_chunked .. hello .. hello_chunked .. probe,
    answers{said_hello, said_hello, said_hello, probed}},
  {"behind a body that nobody reads is answered", "9112 9.3",
    post("/ignore", "hello", "Content-Length: 5") .. probe,
    answers{answer(200, {body = "ignored"}), probed}},
  {"behind chunks that nobody reads is answered or cut off", "9112 9.3",
    post("/ignore", "5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked") .. probe,
    answers({answer(200, {body = "ignored"}), answer(200, {body = "probe", optional = true})},
      "any")},
  {"behind HEAD is answered", "9112 9.3.2", words.line "HEAD / HTTP/1.1" .. probe,
    answers{answer(200, {to_head = true}), probed}},
  {"behind a status without a body is answered", "9112 9.3.2", get "/status/204" .. probe,
    answers{answer(204), probed}},
  {"behind a stream is answered", "9112 9.3.2", get "/stream" .. probe,
    answers{answer(200, {body = "one two"}), probed}},
  {"behind one without a route is answered", "9112 9.3.2", get "/nowhere" .. probe,
    answers{answer(404), probed}},
  {"behind one that fails is answered", "9112 9.3.2", get "/broken" .. probe,
    answers{answer(500), probed}},
  {"with an empty line between is answered", "9112 2.2", get "/" .. "\r\n" .. probe,
    answers{fine, probed}},
  {"with an empty line after a body is answered", "9112 2.2", hello .. "\r\n" .. probe,
    answers{said_hello, probed}},

  {"ends with one that says close", "9112 9.3.2", get("/", "Connection: close") .. probe,
    answers({fine}, "closed")},
  {"ends with one that says close, whatever follows", "9112 9.3.2",
    get("/", "Connection: close") .. "nonsense\r\n\r\n" .. probe, answers({fine}, "closed")},
  {"ends with one of 1.0", "9112 9.3", words.get10 "/" .. probe, answers({fine}, "closed")},
  {"goes on after one of 1.0 that asks for it", "9112 9.3",
    words.get10("/", "Connection: keep-alive") .. probe, answers{fine, probed}},
  {"ends with one that is refused", "9112 9.3.2", words.line "GET /" .. probe,
    answers({bad}, "closed")},
  {"answers those before one that is refused", "9112 9.3.2",
    get "/" .. probe .. words.with "X : a" .. probe, answers({fine, probed, bad}, "closed")},
  {"answers those before garbage", "9112 9.3.2", get "/" .. "nonsense\r\n\r\n",
    answers({fine, bad}, "closed")},
  {"answers those before a version that is not spoken", "9112 9.3.2",
    get "/" .. words.line "GET / HTTP/2.0",
    answers({fine, answer(505, {refusal = true})}, "closed")},
  {"answers a slow one before one that is refused", "9112 9.3.2",
    get "/slow" .. words.line "GET", answers({answer(200, {body = "slow"}), bad}, "closed")},
  {"ends with chunks that are broken", "9112 9.3.2",
    get "/" .. words.chunked("5\r\nhello0\r\n\r\n") .. probe, answers({fine, bad}, "closed")},
  {"ends where a body is longer than it said", "9112 6.3",
    post("/echo", "hello world", "Content-Length: 5"), answers({said_hello, bad}, "closed")},
  {"before the end of the client's direction is answered", "9112 9.6", get "/" .. probe,
    answers({fine, probed}, "closed"), half_close = true},
  {"before the end of the client's direction is answered, slow ones, too", "9112 9.6",
    get "/slow" .. probe, answers({answer(200, {body = "slow"}), probed}, "closed"),
    half_close = true},
}
