-- Host: exactly one in HTTP/1.1, and a valid one.
local words = require "tests.e2e.conformance.words"
local only, get10, raw, refused, gives = words.only, words.get10, words.raw, words.refused,
  words.gives

-- What /tell answers, to see which host the application is told.
local function tell(host)
  return raw{"GET /tell HTTP/1.1", "Host: " .. host}
end

local function told(host)
  return words.taken("GET /tell ? @" .. host)
end

local closed = gives(200, nil, "closed")

return {
  about = "Host",
  {"of a name is taken", "9110 7.2", tell "example.com", told "example.com"},
  {"with a port is taken", "9110 7.2", tell "example.com:8080", told "example.com:8080"},
  {"with an empty port is taken", "3986 3.2.3", only "Host: a:", words.taken()},
  {"of an IPv4 address is taken", "9110 7.2", tell "127.0.0.1", told "127.0.0.1"},
  {"of an IPv6 address is taken", "9110 7.2", tell "[::1]", told "[::1]"},
  {"of an IPv6 address and a port is taken", "9110 7.2", tell "[2001:db8::1]:443",
    told "[2001:db8::1]:443"},
  {"with a point at its end is taken", "9110 7.2", only "Host: a.", words.taken()},
  {"with an underscore is taken", "3986 3.2.2", only "Host: a_b", words.taken()},
  {"with a hyphen is taken", "9110 7.2", only "Host: a-b.c", words.taken()},
  {"in capitals is taken", "9110 4.2.3", only "HOST: EXAMPLE.COM", words.taken()},
  {"with blanks around it is taken", "9112 5.1", raw{"GET /tell HTTP/1.1", "Host: \t a \t"},
    told "a"},
  {"may come after other headers", "9112 3.2", only("X: a", "Host: a"), words.taken()},
  {"that is empty is taken", "9112 3.2", only "Host:", {words.taken(), refused(400)}},

  {"that is missing in 1.1 is refused", "9112 3.2", only(), refused(400)},
  {"that is missing in 1.1 is refused whatever else there is", "9112 3.2", only "X-Host: a",
    refused(400)},
  {"that is missing in 1.2 is refused", "9112 3.2", raw{"GET / HTTP/1.2"}, refused(400)},
  {"that is missing in 1.0 is taken", "9112 3.2", get10 "/", closed},
  {"that comes in 1.0 is taken", "9112 3.2", get10("/", "Host: a"), closed},
  {"that comes twice is refused", "9112 3.2", only("Host: a", "Host: b"), refused(400)},
  {"that comes twice the same is refused", "9112 3.2", only("Host: a", "Host: a"), refused(400)},
  {"that comes twice in other letters is refused", "9112 3.2", only("Host: a", "hOST: a"),
    refused(400)},
  {"that comes twice with headers between is refused", "9112 3.2",
    only("Host: a", "X: b", "Host: c"), refused(400)},
  {"that comes twice, empty first, is refused", "9112 3.2", only("Host:", "Host: a"),
    refused(400)},
  {"that comes twice in 1.0 is refused", "9112 3.2", get10("/", "Host: a", "Host: b"),
    refused(400)},
  {"that comes twice with an absolute target is refused", "9112 3.2",
    raw{"GET http://a/ HTTP/1.1", "Host: a", "Host: b"}, refused(400)},
  {"that is invalid is refused with an absolute target, too", "9112 3.2",
    raw{"GET http://a/ HTTP/1.1", "Host: a b"}, refused(400)},

  {"with a blank in it is refused", "9112 3.2", only "Host: a b", refused(400)},
  {"with a tab in it is refused", "9112 3.2", only "Host: a\tb", refused(400)},
  {"with a path is refused", "9112 3.2", only "Host: a/b", refused(400)},
  {"with a query is refused", "9112 3.2", only "Host: a?b", refused(400)},
  {"with a fragment is refused", "9112 3.2", only "Host: a#b", refused(400)},
  {"with a user is refused", "9112 3.2", only "Host: user@a", refused(400)},
  {"with a user and a password is refused", "9112 3.2", only "Host: user:word@a", refused(400)},
  {"of a URL is refused", "9112 3.2", only "Host: http://a", refused(400)},
  {"with a port of letters is refused", "9112 3.2", only "Host: a:b", refused(400)},
  {"with a negative port is refused", "9112 3.2", only "Host: a:-1", refused(400)},
  {"with two ports is refused", "9112 3.2", only "Host: a:80:80", refused(400)},
  {"of an IPv6 address without brackets is refused", "9112 3.2", only "Host: ::1", refused(400)},
  {"with a bracket open is refused", "9112 3.2", only "Host: [::1", refused(400)},
  {"with a bracket too many is refused", "9112 3.2", only "Host: [::1]]", refused(400)},
  {"of empty brackets is refused", "9112 3.2", only "Host: []", refused(400)},
  {"with letters after the brackets is refused", "9112 3.2", only "Host: [::1]a", refused(400)},
  {"with a bracket in a name is refused", "9112 3.2", only "Host: a[b", refused(400)},
  {"with letters in brackets that are no address is refused", "9112 3.2", only "Host: [::g]",
    refused(400)},
  {"with a broken escape is refused", "9112 3.2", only "Host: %zz", refused(400)},
  {"with angle brackets is refused", "9112 3.2", only "Host: <a>", refused(400)},
  {"with quotes is refused", "9112 3.2", only 'Host: "a"', refused(400)},
  {"with a backslash is refused", "9112 3.2", only "Host: a\\b", refused(400)},
  {"with a bar is refused", "9112 3.2", only "Host: a|b", refused(400)},
  {"with a byte beyond ASCII is refused", "9112 3.2", only "Host: caf\xC3\xA9", refused(400)},
  {"with a control byte is refused", "9112 3.2", only "Host: a\1", refused(400)},
  {"with a NUL is refused", "9110 5.5", only "Host: a\0", refused(400)},
  {"with a blank before its colon is refused", "9112 5.1", only "Host : a", refused(400)},
  {"folded is refused", "9112 5.2", only("Host:", " a"), refused(400)},
}
