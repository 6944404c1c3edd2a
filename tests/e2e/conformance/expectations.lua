-- Expect: 100-continue is answered when the body is wanted, and other expectations are refused.
local words = require "tests.e2e.conformance.words"
local post, answer, answers, refused = words.post, words.answer, words.answers, words.refused

local continue = answer(100)
local maybe_continue = answer(100, {optional = true})
local hello = answer(200, {body = "POST hello"})
local fine = answer(200, {body = "fine"})

-- The head of a POST that waits for leave to send five bytes, or others by these lines.
local function expect(target, ...)
  local lines = {...}
  if #lines == 0 then lines = {"Content-Length: 5"} end
  return post(target, "", "Expect: 100-continue", table.unpack(lines))
end

local function expecting(...)
  return post("/echo", "hello", "Content-Length: 5", ...)
end

return {
  about = "an expectation",
  {"of 100 is met before the body comes", "9110 10.1.1", {expect "/echo", "hello"},
    answers{continue, hello}},
  {"of 100 is met once for a body read in pieces", "9110 10.1.1", {expect "/pieces", "hello"},
    answers{continue, answer(200, {body = "5"})}},
  {"of 100 is met before chunks come", "9110 10.1.1",
    {expect("/echo", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n"},
    answers{continue, hello}},
  {"of 100 in capitals is met", "9110 10.1.1",
    {post("/echo", "", "EXPECT: 100-CONTINUE", "Content-Length: 5"), "hello"},
    answers{continue, hello}},
  {"of 100 with blanks around it is met", "9110 10.1.1",
    {post("/echo", "", "Expect: \t100-continue \t", "Content-Length: 5"), "hello"},
    answers{continue, hello}},
  {"of 100 is met on a kept connection", "9110 10.1.1",
    {words.get "/", expect "/echo", "hello"}, answers{fine, continue, hello}},
  {"of 100 is met twice on a connection", "9110 10.1.1",
    {expect "/echo", "hello", expect "/echo", "hello"},
    answers{continue, hello, continue, hello}},
  {"of 100 is met when the connection is to be closed", "9110 10.1.1",
    {expect("/echo", "Content-Length: 5", "Connection: close"), "hello"},
    answers({continue, hello}, "closed")},
  {"of 100 may be passed over when the body comes at once", "9110 10.1.1",
    expect "/echo" .. "hello", answers{maybe_continue, hello}},
  {"of 100 in a row of requests may be passed over", "9110 10.1.1",
    expect "/echo" .. "hello" .. words.get "/", answers{maybe_continue, hello, fine}},
  {"of 100 with a handler that reads nothing is not met", "9110 10.1.1", expect "/ignore",
    words.gives(200, {body = "ignored"}, "closed")},
  {"of 100 with a handler that reads nothing disturbs no later request", "9110 10.1.1",
    {expect "/ignore", "hello"}, words.gives(200, {body = "ignored"}, "any")},
  {"of 100 without a route is not met", "9110 10.1.1", expect "/nowhere",
    words.gives(404, nil, "closed")},
  {"of 100 with a method that is not allowed is not met", "9110 10.1.1", expect "/",
    words.gives(405, nil, "closed")},
  {"of 100 with a handler that fails is not met", "9110 10.1.1",
    words.get("/broken", "Expect: 100-continue", "Content-Length: 5"),
    words.gives(500, nil, "closed")},
  {"of 100 with a body over the limit is not met", "9110 10.1.1",
    expect("/echo", "Content-Length: 1000000000"), words.gives(413, nil, "closed")},
  {"of 100 without a body is nothing to wait for", "9110 10.1.1",
    words.get("/", "Expect: 100-continue"), answers{maybe_continue, fine}},
  {"of 100 with an empty body is nothing to wait for", "9110 10.1.1",
    expect("/echo", "Content-Length: 0"),
    answers{maybe_continue, answer(200, {body = "POST "})}},
  {"of 100 with chunks that are broken is met and then refused", "9110 10.1.1",
    {expect("/echo", "Transfer-Encoding: chunked"), "x\r\nhello\r\n0\r\n\r\n"},
    answers({continue, answer(400, {refusal = true})}, "closed")},
  {"of 100 in 1.0 is ignored", "9110 10.1.1",
    words.raw({"POST /echo HTTP/1.0", "Expect: 100-continue", "Content-Length: 5"}, "hello"),
    words.gives(200, {body = "POST hello"}, "closed")},
  {"of 100 with a broken length is refused and not met", "9110 10.1.1",
    expect("/echo", "Content-Length: x"), refused(400)},

  {"of something else is refused", "9110 10.1.1", expecting "Expect: a-miracle", refused(417)},
  {"of something else is refused without a body, too", "9110 10.1.1",
    words.with "Expect: a-miracle", refused(417)},
  {"of 100 and something else is refused", "9110 10.1.1",
    expecting "Expect: 100-continue, a-miracle", refused(417)},
  {"of 100 and, in a second line, something else is refused", "9110 10.1.1",
    expecting("Expect: 100-continue", "Expect: a-miracle"), refused(417)},
  {"of 200 is refused", "9110 10.1.1", expecting "Expect: 200-ok", refused(417)},
  {"of 100 alone, without continue, is refused", "9110 10.1.1", expecting "Expect: 100",
    refused(417)},
  {"of 100 with a parameter is refused", "9110 10.1.1", expecting "Expect: 100-continue; q=1",
    refused(417)},
  {"of something else in 1.0 is refused or ignored", "9110 10.1.1",
    words.get10("/", "Expect: a-miracle"), {words.gives(200, nil, "closed"), refused(417)}},
}
