-- Limits have statuses of their own. The server of these cases takes heads of 4 KiB and bodies of
-- 4 KiB.
local words = require "tests.e2e.conformance.words"
local get, post, with, refused, taken = words.get, words.post, words.with, words.refused,
  words.taken

-- As many header lines; Host is one more.
local function lines(count, text)
  local list = {}
  for i = 1, count do list[i] = text:format(i) end
  return table.unpack(list)
end

local x = ("x"):rep(10000)
local too_large = words.gives(413, nil, "any")

-- So many bytes in chunks of 100.
local function chunks(count)
  return ("64\r\n" .. x:sub(1, 100) .. "\r\n"):rep(count // 100) .. "0\r\n\r\n"
end

local function coded(target, count)
  return post(target, chunks(count), "Transfer-Encoding: chunked")
end

local function sized(target, count)
  return post(target, x:sub(1, count), "Content-Length: " .. count)
end

return {
  about = "a limit",
  args = {"--max-head", "4K", "--max-body", "4K"},
  {"of the head takes one of almost its size", "9110 5.4", with("X: " .. x:sub(1, 3900)), taken()},
  {"of the head takes many lines", "9110 5.4", with(lines(30, "X-%d: " .. x:sub(1, 100))),
    taken()},
  {"of the head refuses one line that is too long", "6585 5", with("X: " .. x:sub(1, 5000)),
    refused(431)},
  {"of the head refuses a name that is too long", "6585 5", with(x:sub(1, 5000) .. ": a"),
    refused(431)},
  {"of the head refuses many lines that are too long together", "6585 5",
    with(lines(60, "X-%d: " .. x:sub(1, 100))), refused(431)},
  {"of the head refuses blanks that are too many", "6585 5", with("X:" .. (" "):rep(5000)),
    refused(431)},
  {"of the head refuses one without end", "6585 5",
    "GET / HTTP/1.1\r\nHost: a\r\nX: " .. x:sub(1, 6000), refused(431)},
  {"of the head refuses one in a second request", "6585 5",
    {get "/probe", with("X: " .. x:sub(1, 5000))},
    words.answers({words.answer(200), words.answer(431, {refusal = true})}, "closed")},
  {"of the head refuses one behind a pipelined request", "6585 5",
    get "/probe" .. with("X: " .. x:sub(1, 5000)),
    words.answers({words.answer(200), words.answer(431, {refusal = true})}, "closed")},
  {"of the head counts each of two requests by itself", "6585 5",
    with("X: " .. x:sub(1, 3000)) .. with("X: " .. x:sub(1, 3000)),
    words.answers{words.answer(200), words.answer(200)}},

  {"of the target takes a long one", "9112 3", get("/tell?" .. x:sub(1, 2000)),
    taken("GET /tell ?" .. x:sub(1, 2000) .. " @a")},
  {"of the target refuses one beyond the head", "9110 15.5.15", get("/" .. x:sub(1, 6000)),
    refused(414)},
  {"of the target refuses a query beyond the head", "9110 15.5.15", get("/?" .. x:sub(1, 6000)),
    refused(414)},
  {"of the target refuses one without end", "9110 15.5.15", "GET /" .. x, refused(414)},
  {"of the target refuses an absolute one beyond the head", "9110 15.5.15",
    get("http://a/" .. x:sub(1, 6000)), refused(414)},
  {"of the method refuses one without end", "9112 3", x, refused(400, 414, 431, 501)},
  {"of the method refuses one beyond the head", "9112 3",
    words.line(x:sub(1, 6000) .. " / HTTP/1.1"), refused(400, 414, 431, 501)},
  {"of the version refuses one without end", "9112 2.3", "GET / HTTP/1." .. ("1"):rep(6000),
    refused(400, 414, 431, 505)},

  {"of lines takes 100", "6585 5", with(lines(99, "X-%d: a")), taken()},
  {"of lines refuses 101", "6585 5", with(lines(100, "X-%d: a")), refused(431)},
  {"of lines refuses 300", "6585 5", with(lines(300, "X: a")), refused(431)},
  {"of lines refuses 500 of one letter", "6585 5", with(lines(500, "X:")), refused(431)},

  {"of the body takes one of its size", "9110 15.5.14", sized("/echo", 4096),
    taken("POST " .. x:sub(1, 4096))},
  {"of the body refuses one byte more", "9110 15.5.14", sized("/echo", 4097), too_large},
  {"of the body refuses one byte more in pieces", "9110 15.5.14", sized("/pieces", 4097),
    too_large},
  {"of the body refuses a gigabyte before it comes", "9110 15.5.14",
    post("/echo", "", "Content-Length: 1000000000"), words.gives(413, nil, "closed")},
  {"of the body takes one of almost its size in chunks", "9110 15.5.14", coded("/echo", 4000),
    taken("POST " .. x:sub(1, 4000))},
  {"of the body counts no framing", "9112 7.1",
    words.chunked(("1;aaaaaaaa\r\nx\r\n"):rep(500) .. "0\r\n\r\n"),
    taken("POST " .. x:sub(1, 500))},
  {"of the body refuses more in chunks", "9110 15.5.14", coded("/echo", 4200), too_large},
  {"of the body refuses more in chunks read in pieces", "9110 15.5.14", coded("/pieces", 4200),
    too_large},
  {"of the body refuses one chunk of a gigabyte", "9110 15.5.14",
    words.chunked("40000000\r\n" .. x:sub(1, 5000)), words.gives(413, nil, "closed"),
    half_close = true},
  {"of the body leaves one that nobody reads alone or refuses it", "9110 15.5.14",
    sized("/ignore", 8000), words.gives({200, 413}, nil, "any")},
  {"of the body is told before a client that expects 100 sends it", "9110 10.1.1",
    post("/echo", "", "Expect: 100-continue", "Content-Length: 5000"),
    words.gives(413, nil, "closed")},
}
