-- Percent encoding in targets.
local words = require "tests.e2e.conformance.words"
local get, refused, taken, gives = words.get, words.refused, words.taken, words.gives

local function told(path, query)
  return taken(("GET /tell/%s ?%s @a"):format(path, query or ""))
end

return {
  about = "an escape",
  {"is decoded", "3986 2.1", get "/tell/a%20b", told "a b"},
  {"in small letters is decoded", "3986 2.1", get "/tell/%c3%a9", told "\xC3\xA9"},
  {"in capitals is decoded", "3986 2.1", get "/tell/%C3%A9", told "\xC3\xA9"},
  {"in mixed letters is decoded", "3986 2.1", get "/tell/a%2fb%2Fc", told "a/b/c"},
  {"of a letter is that letter", "3986 2.4", get "/%74ell/a", told "a"},
  {"of a percent sign is decoded once", "3986 2.4", get "/tell/%2541", told "%41"},
  {"of a question mark begins no query", "3986 2.4", get "/tell/a%3Fb", told "a?b"},
  {"of a number sign begins no fragment", "3986 2.4", get "/tell/a%23b", told "a#b"},
  {"of a plus is a plus, and a plus is one too", "3986 2.4", get "/tell/a%2Bb+c", told "a+b+c"},
  {"of a byte that is no UTF-8 is passed on", "3986 2.5", get "/tell/%FF%FE", told "\xFF\xFE"},
  {"of a line break is passed on and splits nothing", "9112 11.1",
    get "/tell/a%0D%0AX-Injected:%20b", {told "a\r\nX-Injected: b", gives(400)}},
  {"of a line break in a Location splits nothing", "9112 11.1",
    get "/jump/a%0D%0AX-Injected:%20b",
    gives({302, 400, 404, 500}, {headers = {["x-injected"] = false}}, "any")},
  {"of a blank in a Location stays one word", "9110 10.2.2", get "/jump/a%20b",
    gives(302, {headers = {location = "/a%%20b$"}})},
  {"in a query is left to the application", "3986 3.4", get "/tell/a?b=%41%26",
    told("a", "b=%41%26")},
  {"of two points does not leave the root", "3986 6.2.2.3", get "/%2e%2e/%2e%2e/etc/passwd",
    gives({400, 404}, nil, "any")},
  {"is not needed for two points to stay in the root", "3986 6.2.2.3", get "/../../etc/passwd",
    gives({400, 404}, nil, "any")},

  {"that is cut is refused", "3986 2.1", get "/tell/%", refused(400)},
  {"that is cut after a digit is refused", "3986 2.1", get "/tell/%4", refused(400)},
  {"that is cut by a slash is refused", "3986 2.1", get "/tell/%4/a", refused(400)},
  {"that is cut by the query is refused", "3986 2.1", get "/tell/%4?a", refused(400)},
  {"of letters that are no digits is refused", "3986 2.1", get "/tell/%zz", refused(400)},
  {"of one letter that is no digit is refused", "3986 2.1", get "/tell/%4g", refused(400)},
  {"of two percent signs is refused", "3986 2.1", get "/tell/%%41", refused(400)},
  {"with a sign is refused", "3986 2.1", get "/tell/%+1", refused(400)},
  {"with 0x is refused", "3986 2.1", get "/tell/%0x41", refused(400)},
  {"of Unicode is refused", "3986 2.1", get "/tell/%u0041", refused(400)},
  {"that is broken is refused without a route, too", "3986 2.1", get "/nowhere/%zz",
    refused(400)},
  {"that is broken is refused in an absolute target, too", "3986 2.1",
    get "http://a/tell/%zz", refused(400)},
  {"of NUL is refused", "3986 7.3", get "/tell/a%00b", refused(400)},
  {"of NUL at the end is refused", "3986 7.3", get "/tell/a%00", refused(400)},
  {"that is broken in a query is refused or left to the application", "3986 2.1",
    get "/tell/a?b=%zz", {told("a", "b=%zz"), refused(400)}},
  {"that is cut in a query is refused or left to the application", "3986 2.1",
    get "/tell/a?b=100%", {told("a", "b=100%"), refused(400)}},
}
