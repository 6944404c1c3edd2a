-- Content-Length: digits, once, and then that many bytes.
local words = require "tests.e2e.conformance.words"
local post, refused, taken = words.post, words.refused, words.taken

-- A POST of "hello" to /echo with this line for its length.
local function hello(...)
  return post("/echo", "hello", ...)
end

local function length(value)
  return hello("Content-Length: " .. value)
end

-- A number that no body can have: malformed to some, too large to others.
local huge = {refused(400), refused(413), words.gives(413, nil, "any")}

local two = words.answers{words.answer(200), words.answer(200, {body = "probe"})}

return {
  about = "Content-Length",
  {"says how long the body is", "9112 6.2", length "5", taken "POST hello"},
  {"of zero says that there is no body", "9112 6.2", post("/echo", "", "Content-Length: 0"),
    taken "POST "},
  {"that is missing says that there is no body", "9112 6.3", post("/echo", ""),
    {taken "POST ", words.gives(411, nil, "any")}},
  {"with blanks around it is taken", "9112 5.1", length " \t5 \t", taken "POST hello"},
  {"without a blank before it is taken", "9112 5", hello "Content-Length:5", taken "POST hello"},
  {"in small letters is taken", "9110 5.1", hello "content-length: 5", taken "POST hello"},
  {"with zeros in front is taken", "9110 8.6", length "0005", taken "POST hello"},
  {"with GET says how long its body is", "9110 9.3.1",
    words.get("/echo", "Content-Length: 5") .. "hello", taken "GET hello"},
  {"covers every byte that there is", "9112 6.2",
    post("/echo", "\0\r\n\r\n\xFFGET", "Content-Length: 9"), taken "POST \0\r\n\r\n\xFFGET"},
  {"ends the body, and the next request follows", "9112 6.3",
    length "5" .. words.get "/probe", two},
  {"ends a body that looks like a request", "9112 6.3",
    post("/echo", words.get "/broken", "Content-Length: " .. #words.get "/broken"),
    taken("POST " .. words.get "/broken")},
  {"ends a body that nobody reads", "9112 6.3",
    post("/ignore", words.get "/broken", "Content-Length: " .. #words.get "/broken"),
    taken "ignored"},
  {"ends the body of a request that finds no route", "9112 6.3",
    post("/nowhere", "hello", "Content-Length: 5"), words.gives(404)},
  {"ends the body of a request that fails", "9112 6.3",
    words.get("/broken", "Content-Length: 5") .. "hello", words.gives(500)},

  {"with a plus is refused", "9110 8.6", length "+5", refused(400)},
  {"with a minus is refused", "9110 8.6", length "-5", refused(400)},
  {"of minus zero is refused", "9110 8.6", length "-0", refused(400)},
  {"that is empty is refused", "9110 8.6", length "", refused(400)},
  {"of blanks is refused", "9110 8.6", length " \t", refused(400)},
  {"of letters is refused", "9110 8.6", length "five", refused(400)},
  {"with letters after it is refused", "9110 8.6", length "5abc", refused(400)},
  {"with letters before it is refused", "9110 8.6", length "a5", refused(400)},
  {"in hexadecimal is refused", "9110 8.6", length "0x5", refused(400)},
  {"in hexadecimal digits is refused", "9110 8.6", length "a", refused(400)},
  {"with a fraction is refused", "9110 8.6", length "5.0", refused(400)},
  {"with an exponent is refused", "9110 8.6", length "5e0", refused(400)},
  {"in quotes is refused", "9110 8.6", length '"5"', refused(400)},
  {"with a parameter is refused", "9110 8.6", length "5;a=b", refused(400)},
  {"with an underscore is refused", "9110 8.6", length "1_0", refused(400)},
  {"with a blank in it is refused", "9110 8.6", length "5 5", refused(400)},
  {"of a list of two numbers is refused", "9112 6.3", length "5, 6", refused(400)},
  {"of a list of the same number twice is refused", "9112 6.3", length "5, 5", refused(400)},
  {"of a list of one number is refused", "9110 8.6", length "5,", refused(400)},
  {"in digits of another script is refused", "9110 8.6", length "\xD9\xA5", refused(400)},
  {"in full-width digits is refused", "9110 8.6", length "\xEF\xBC\x95", refused(400)},
  {"with a NUL is refused", "9110 5.5", length "5\0", refused(400)},
  {"with a vertical tab is refused", "9110 8.6", length "5\v", refused(400)},
  {"with a form feed before it is refused", "9110 8.6", length "\f5", refused(400)},
  {"with a carriage return is refused", "9110 5.5", length "5\r", refused(400)},
  {"with a blank before its colon is refused", "9112 5.1", hello "Content-Length : 5",
    refused(400)},
  {"folded is refused", "9112 5.2", hello("Content-Length:", " 5"), refused(400)},
  {"that comes twice is refused", "9112 6.3", hello("Content-Length: 5", "Content-Length: 6"),
    refused(400)},
  {"that comes twice the same is refused", "9112 6.3",
    hello("Content-Length: 5", "Content-Length: 5"), refused(400)},
  {"that comes twice, zero first, is refused", "9112 6.3",
    hello("Content-Length: 0", "Content-Length: 5"), refused(400)},
  {"that comes twice, zero last, is refused", "9112 6.3",
    hello("Content-Length: 5", "X: a", "content-length: 0"), refused(400)},
  {"that is broken is refused with GET, too", "9110 8.6",
    words.get("/", "Content-Length: x"), refused(400)},
  {"that comes twice is refused in 1.0, too", "9112 6.3",
    words.get10("/", "Content-Length: 0", "Content-Length: 1") .. "x", refused(400)},
  {"of 2^63 is refused", "9112 6.3", length "9223372036854775808", huge},
  {"of 2^64 and the true length is refused", "9112 6.3", length "18446744073709551621", huge},
  {"of 2^32 and the true length is refused", "9112 6.3", length "4294967301", huge},
  {"of forty digits is refused", "9112 6.3", length(("9"):rep(40)), huge},
  {"of 300 digits is refused", "9112 6.3", length(("9"):rep(300)), huge},

  {"of more than comes is a request cut short", "9112 8", length "6",
    words.dropped(400), half_close = true},
  {"of more than comes is a request cut short, read in pieces", "9112 8",
    post("/pieces", "hello", "Content-Length: 6"), words.dropped(400), half_close = true},
}
