local date = require "genet.date"

describe("date.parse", function()
  local cases = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"Sun Nov  6 08:49:37 1994", 784111777},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Tue, 29 Feb 2028 23:59:59 GMT", 1835481599},
    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800}, -- a leap second
  }
  for _, case in ipairs(cases) do
    it("reads " .. case[1], function() assert.equal(case[2], date.parse(case[1])) end)
  end

  local broken = {
    "", "0", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET",
    "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 32 Oct 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "784111777",
    "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
  }
  for _, text in ipairs(broken) do
    it(("refuses %q"):format(text), function() assert.is_nil(date.parse(text)) end)
  end

  it("takes a year of two digits for the nearest", function()
    local year = os.date("!*t").year
    local function named(y)
      return date.parse(("Sunday, 01-Jan-%02d 00:00:00 GMT"):format(y % 100))
    end
    assert.equal(year + 10, os.date("!*t", named(year + 10)).year)
    assert.equal(year - 40, os.date("!*t", named(year - 40)).year)
  end)
end)

describe("date.format", function()
  it("is what date.parse reads", function()
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", date.format(784111777))
    for time = 0, 4e9, 86400 * 17 + 3677 do assert.equal(time, date.parse(date.format(time))) end
  end)
end)
