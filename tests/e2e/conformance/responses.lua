-- What a script returns becomes a well-formed answer or a 500, and nothing else.
local words = require "tests.e2e.conformance.words"
local get, gives, answer = words.get, words.gives, words.answer

-- A script's bad header is a 500, and nothing of it is sent.
local failed = gives(500,
  {headers = {["x-name"] = false, ["x-injected"] = false, ["x name"] = false}}, "any")

local dated = {date = "^%a%a%a, %d%d %a%a%a 20%d%d %d%d:%d%d:%d%d GMT$"}

local function own(body)
  return gives(200, {body = body, headers = {["content-length"] = "^" .. #body .. "$"}})
end

return {
  about = "an answer",
  {"has its length", "9110 8.6", get "/", own "fine"},
  {"has a type", "9110 8.3", get "/",
    gives(200, {headers = {["content-type"] = "^text/html; charset=utf%-8$"}})},
  {"of 200 has a date", "9110 6.6.1", get "/", gives(200, {headers = dated})},
  {"of 404 has a date", "9110 6.6.1", get "/nowhere", gives(404, {headers = dated})},
  {"of 405 has a date, and Allow", "9110 15.5.6", words.line "DELETE / HTTP/1.1",
    gives(405, {headers = {date = dated.date, allow = "GET"}})},
  {"of 500 has a date", "9110 6.6.1", get "/broken", gives(500, {headers = dated})},
  {"of 500 tells nothing of the script", "9110 17.6", get "/broken",
    gives(500, {body = "500 Internal Server Error\n"})},
  {"of 302 has a date and a place to go", "9110 15.4.3", get "/jump/a",
    gives(302, {headers = {date = dated.date, location = "/a$"}})},
  {"that is a stream has a date", "9110 6.6.1", get "/stream", gives(200, {headers = dated})},
  {"that refuses has a date", "9110 6.6.1", words.line "GET",
    words.answers({answer(400, {refusal = true, headers = dated})}, "closed")},
  {"that is a stream comes in chunks to 1.1", "9112 7.1", get "/stream",
    gives(200, {body = "one two",
      headers = {["transfer-encoding"] = "^chunked$", ["content-length"] = false}})},
  {"that is a stream and fails breaks off", "9112 7.1", get "/stream-broken",
    gives(200, {body_has = "one ", cut = true}, "dropped")},
  {"that is a stream and fails ends the connection to 1.0, too", "9112 8",
    words.get10 "/stream-broken", gives(200, {body_has = "one "}, "dropped")},
  {"has each value of a header in a line of its own", "9110 5.3", get "/cookies",
    gives(200, {headers = {["set-cookie"] = "^a=1$", ["x-text"] = "^caf\xE9$"}})},
  {"to a row of requests has a date each", "9110 6.6.1", get "/" .. get "/nowhere",
    words.answers{answer(200, {headers = dated}), answer(404, {headers = dated})}},

  {"with CRLF in a header becomes a 500", "9110 5.5", get "/evil/crlf", failed},
  {"with an empty line in a header becomes a 500", "9112 11.1", get "/evil/body", failed},
  {"with a line feed in a header becomes a 500", "9110 5.5", get "/evil/lf", failed},
  {"with a carriage return in a header becomes a 500", "9110 5.5", get "/evil/cr", failed},
  {"with a NUL in a header becomes a 500", "9110 5.5", get "/evil/nul", failed},
  {"with CRLF in the name of a header becomes a 500", "9110 5.1", get "/evil/name", failed},
  {"with a colon in the name of a header becomes a 500", "9110 5.1", get "/evil/colon", failed},
  {"with a blank in the name of a header becomes a 500", "9110 5.1", get "/evil/blank", failed},
  {"with an empty name for a header becomes a 500", "9110 5.1", get "/evil/empty", failed},
  {"with CRLF in one of many values becomes a 500", "9110 5.5", get "/evil/array", failed},
  {"that is a stream with CRLF in a header becomes a 500", "9110 5.5", get "/evil-stream/crlf",
    failed},
  {"that is a stream with a NUL in a header becomes a 500", "9110 5.5", get "/evil-stream/nul",
    failed},
  {"with another length than its body has its true one or becomes a 500", "9110 8.6",
    get "/evil/length", {own "evil", gives(500, nil, "any")}},
  {"with two lengths has its true one or becomes a 500", "9110 8.6", get "/evil/lengths",
    {own "evil", gives(500, nil, "any")}},
  {"that is a stream with its true length has no other framing", "9112 6.2",
    get "/evil-stream/fits", gives(200, {body = "evil",
      headers = {["content-length"] = "^4$", ["transfer-encoding"] = false}})},
  {"that is a stream and shorter than its length breaks off", "9112 6.2",
    get "/evil-stream/short", gives(200, {cut = true}, "dropped")},
  {"that is a stream and longer than its length at once becomes a 500", "9112 6.2",
    get "/evil-stream/length", failed},
  {"that is a stream with two lengths becomes a 500", "9112 6.2", get "/evil-stream/lengths",
    gives(500, nil, "any")},
  {"with a coding of its own has its true framing or becomes a 500", "9112 6.1",
    get "/evil/coding", {own "evil", gives(500, nil, "any")}},
  {"with a Connection of its own leaves the connection alone or becomes a 500", "9110 7.6.1",
    get("/evil/connection", "Connection: close"),
    gives({200, 500}, {headers = {connection = "^close$"}}, "closed")},
  {"with a date of its own has one date", "9110 6.6.1", get "/evil/date",
    {gives(200, {headers = dated}), gives(500, nil, "any")}},
}
