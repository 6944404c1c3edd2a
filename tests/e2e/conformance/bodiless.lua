-- Answers that have no body whatever the handler returns.
local words = require "tests.e2e.conformance.words"
local line, get, gives, answer, answers = words.line, words.get, words.gives, words.answer,
  words.answers

local function head(target)
  return line("HEAD " .. target .. " HTTP/1.1")
end

-- A HEAD is answered like this, without a body, and the connection is kept.
local function bare(status, headers)
  return gives(status, {to_head = true, headers = headers})
end

local function refused_head(...)
  return answers({answer({...}, {to_head = true, refusal = true})}, "closed")
end

local no_length = {["content-length"] = false, ["transfer-encoding"] = false}

return {
  about = "an answer without a body",
  {"to HEAD has the length that GET would have", "9110 9.3.2", head "/",
    bare(200, {["content-length"] = "^4$", ["content-type"] = "text/html"})},
  {"to HEAD for a stream is a head alone", "9110 9.3.2", head "/stream", bare(200)},
  {"to HEAD for a stream that writes nothing is a head alone", "9110 9.3.2",
    head "/stream-nothing", bare(200)},
  {"to HEAD without a route is a head alone", "9110 9.3.2", head "/nowhere", bare(404)},
  {"to HEAD when the handler fails is a head alone", "9110 9.3.2", head "/broken", bare(500)},
  {"to HEAD for a redirect is a head alone", "9110 9.3.2", head "/jump/a",
    bare(302, {location = "/a$"})},
  {"to HEAD for a status of 201 is a head alone", "9110 9.3.2", head "/status/201", bare(201)},
  {"to HEAD for a status of 204 is a head alone", "9110 9.3.2", head "/status/204",
    bare(204, no_length)},
  {"to HEAD for a status of 304 is a head alone", "9110 9.3.2", head "/status/304", bare(304)},
  {"to HEAD in 1.0 is a head alone", "9110 9.3.2", line "HEAD / HTTP/1.0",
    gives(200, {to_head = true, headers = {["content-length"] = "^4$"}}, "closed")},
  {"to HEAD in 1.0 for a stream is a head alone", "9110 9.3.2", line "HEAD /stream HTTP/1.0",
    gives(200, {to_head = true}, "closed")},
  {"to HEAD with Connection: close is a head alone", "9110 9.3.2",
    words.raw{"HEAD / HTTP/1.1", "Host: a", "Connection: close"},
    gives(200, {to_head = true}, "closed")},
  {"to a row of HEADs is a row of heads", "9110 9.3.2", head "/" .. head "/stream" .. head "/",
    answers{answer(200, {to_head = true}), answer(200, {to_head = true}),
      answer(200, {to_head = true})}},
  {"to HEAD with a body that nobody reads is a head alone", "9110 9.3.2",
    words.raw({"HEAD / HTTP/1.1", "Host: a", "Content-Length: 5"}, "hello"), bare(200)},
  {"to HEAD that is refused for a header is a head alone", "9110 9.3.2",
    words.raw{"HEAD / HTTP/1.1", "Host: a", "X : a"}, refused_head(400)},
  {"to HEAD that is refused for its Host is a head alone", "9110 9.3.2",
    words.raw{"HEAD / HTTP/1.1"}, refused_head(400)},
  {"to HEAD that is refused for its expectation is a head alone", "9110 9.3.2",
    words.raw{"HEAD / HTTP/1.1", "Host: a", "Expect: a-miracle"}, refused_head(417)},

  {"of 204 has no length either", "9110 8.6", get "/status/204", gives(204, {headers = no_length})},
  {"of 204 to POST has no length either", "9110 8.6",
    words.post("/status/204", "hello", "Content-Length: 5"), gives(204, {headers = no_length})},
  {"of 204 in 1.0 closes the connection", "9112 6.3", words.get10 "/status/204",
    gives(204, {headers = no_length}, "closed")},
  {"of 205 says that it is empty", "9110 15.3.6", get "/status/205",
    {gives(205, {body = ""}), gives(500)}},
  {"of 304 is a head alone", "9110 15.4.5", get "/status/304", gives(304)},
  {"of 304 in 1.0 is a head alone", "9110 15.4.5", words.get10 "/status/304",
    gives(304, nil, "closed")},
  {"of a stream that writes nothing is empty", "9112 7.1", get "/stream-nothing",
    gives(200, {body = ""})},
  {"of 200 is empty if its handler says so", "9110 9.3.7", line "OPTIONS / HTTP/1.1",
    gives({200, 204}, {body = ""})},
}
