local conditions = require "genet.conditions"

local OLD, THEN, LATER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:37 GMT",
  "Sun, 06 Nov 1994 08:49:38 GMT"
local WHAT = {etag = "\"a\"", modified = 784111777, size = 10}

local function getter(headers)
  return function(name) return headers[name] end
end

describe("conditions.matches", function()
  local cases = { -- list, etag, strongly, weakly
    {"\"a\"", "\"a\"", true, true},
    {"\"b\"", "\"a\"", false, false},
    {"\"b\", \"a\"", "\"a\"", true, true},
    {"\"b\" ,, \"a\"", "\"a\"", true, true},
    {"W/\"a\"", "\"a\"", false, true},
    {"\"a\"", "W/\"a\"", false, true},
    {"W/\"a\"", "W/\"a\"", false, true},
    {"*", "\"a\"", true, true},
    {" * ", "\"a\"", true, true},
    {"\"a,b\"", "\"a,b\"", true, true},
    {"\"a,b\"", "\"a\"", false, false},
    {"a", "\"a\"", false, false},
    {"a, \"a\"", "\"a\"", false, false},
    {"w/\"a\"", "\"a\"", false, false},
    {"/\"a\"", "\"a\"", false, false},
    {"\"a", "\"a\"", false, false},
    {"", "\"a\"", false, false},
    {"\"a\"", nil, false, false},
    {"*", nil, true, true},
  }
  for _, case in ipairs(cases) do
    it(("of %s and %s"):format(case[1], tostring(case[2])), function()
      assert.equal(case[3], conditions.matches(case[1], case[2], false))
      assert.equal(case[4], conditions.matches(case[1], case[2], true))
    end)
  end
end)

describe("conditions.check", function()
  local cases = { -- headers, for GET, for PUT
    {{}, nil, nil},
    {{["if-match"] = "\"a\""}, nil, nil},
    {{["if-match"] = "\"b\""}, 412, 412},
    {{["if-match"] = "W/\"a\""}, 412, 412},
    {{["if-match"] = "*"}, nil, nil},
    {{["if-match"] = "\"a\"", ["if-unmodified-since"] = OLD}, nil, nil},
    {{["if-unmodified-since"] = OLD}, 412, 412},
    {{["if-unmodified-since"] = THEN}, nil, nil},
    {{["if-unmodified-since"] = LATER}, nil, nil},
    {{["if-unmodified-since"] = "soon"}, nil, nil},
    {{["if-none-match"] = "\"a\""}, 304, 412},
    {{["if-none-match"] = "W/\"a\""}, 304, 412},
    {{["if-none-match"] = "\"b\", \"a\""}, 304, 412},
    {{["if-none-match"] = "*"}, 304, 412},
    {{["if-none-match"] = "\"b\""}, nil, nil},
    {{["if-none-match"] = "\"b\"", ["if-modified-since"] = LATER}, nil, nil},
    {{["if-none-match"] = "\"a\"", ["if-modified-since"] = OLD}, 304, 412},
    {{["if-modified-since"] = OLD}, nil, nil},
    {{["if-modified-since"] = THEN}, 304, nil},
    {{["if-modified-since"] = LATER}, 304, nil},
    {{["if-modified-since"] = "0"}, nil, nil},
    {{["if-match"] = "\"a\"", ["if-none-match"] = "\"a\""}, 304, 412},
    {{["if-match"] = "\"b\"", ["if-none-match"] = "\"a\""}, 412, 412},
    {{["if-unmodified-since"] = OLD, ["if-none-match"] = "\"a\""}, 412, 412},
    {{["if-unmodified-since"] = THEN, ["if-modified-since"] = THEN}, 304, nil},
  }
  for at, case in ipairs(cases) do
    it("case " .. at, function()
      assert.equal(case[2], conditions.check("GET", getter(case[1]), WHAT))
      assert.equal(case[2], conditions.check("HEAD", getter(case[1]), WHAT))
      assert.equal(case[3], conditions.check("PUT", getter(case[1]), WHAT))
    end)
  end

  it("ignores dates where there is none to compare with", function()
    local get = getter{["if-modified-since"] = LATER, ["if-unmodified-since"] = OLD}
    assert.is_nil(conditions.check("GET", get, {etag = "\"a\""}))
  end)
end)

describe("conditions.ranges", function()
  local function text(ranges)
    if not ranges then return "all" end
    local parts = {}
    for at, range in ipairs(ranges) do parts[at] = range.first .. "-" .. range.last end
    return table.concat(parts, " ")
  end

  local cases = { -- header, of 10 bytes ("" when none can be satisfied)
    {"bytes=0-4", "0-4"}, {"bytes=5-", "5-9"}, {"bytes=-3", "7-9"}, {"bytes=9-9", "9-9"},
    {"bytes=0-0", "0-0"}, {"bytes=0-", "0-9"}, {"bytes=0-99", "0-9"}, {"bytes=-99", "0-9"},
    {"Bytes=0-4", "0-4"}, {"BYTES=0-4", "0-4"}, {" bytes=0-4", "0-4"},
    {"bytes=10-", ""}, {"bytes=10-20", ""}, {"bytes=-0", ""},
    {"bytes=99999999999999999999999-", ""},
    {"bytes=0-99999999999999999999999", "0-9"}, {"bytes=-99999999999999999999999", "0-9"},
    {"bytes=00000000000000000000000-0", "0-0"},
    {"bytes=0-1,3-4", "0-1 3-4"}, {"bytes=0-1, 3-4", "0-1 3-4"}, {"bytes=0-1 ,\t3-4", "0-1 3-4"},
    {"bytes=,0-1,,3-4,", "0-1 3-4"}, {"bytes=8-,0-1", "8-9 0-1"}, {"bytes=0-1,20-", "0-1"},
    {"bytes=20-,30-", ""}, {"bytes=0-4,3-6", "0-4 3-6"},
    -- none, or broken: ignored as a whole
    {"bytes", "all"}, {"bytes=", "all"}, {"bytes=,", "all"}, {"bytes=-", "all"},
    {"bytes=a-b", "all"}, {"bytes=4-2", "all"}, {"bytes=0-1,4-2", "all"}, {"bytes=1", "all"},
    {"bytes=0x1-2", "all"}, {"bytes=1.0-2", "all"}, {"bytes=--1", "all"}, {"bytes=+1-2", "all"},
    {"bytes=0-1;3-4", "all"}, {"bytes=0 - 1", "all"}, {"items=0-4", "all"}, {"0-4", "all"},
    {"bytes =0-4", "all"}, {"", "all"},
    -- silly: all is sent
    {"bytes=0-9,0-9", "all"}, {"bytes=0-3,1-3,2-3", "all"}, {"bytes=0-,-1", "all"},
    {"bytes=" .. ("0-0,"):rep(17), "all"}, {"bytes=" .. ("50-60,"):rep(17), "all"},
  }
  for _, case in ipairs(cases) do
    it(("of %q"):format(case[1]:sub(1, 40)), function()
      assert.equal(case[2], text(conditions.ranges(case[1], 10)))
    end)
  end

  it("finds nothing in an empty file", function()
    for _, header in ipairs{"bytes=0-", "bytes=-5", "bytes=0-0"} do
      assert.same({}, conditions.ranges(header, 0))
    end
  end)
end)

describe("conditions.wanted", function()
  local now = WHAT.modified + 100
  local cases = { -- If-Range, whether the range counts
    {nil, true}, {"\"a\"", true}, {" \"a\" ", true}, {"\"b\"", false}, {"W/\"a\"", false},
    {THEN, true}, {OLD, false}, {LATER, false}, {"rubbish", false}, {"\"a\", \"b\"", false},
  }
  for _, case in ipairs(cases) do
    it("minds If-Range: " .. tostring(case[1]), function()
      local get = getter{range = "bytes=0-1", ["if-range"] = case[1]}
      assert.equal(case[2], conditions.wanted("GET", get, WHAT, now) ~= nil)
    end)
  end

  it("trusts no date of the running second", function()
    local get = getter{range = "bytes=0-1", ["if-range"] = THEN}
    assert.is_nil(conditions.wanted("GET", get, WHAT, WHAT.modified))
  end)

  it("knows ranges for GET alone", function()
    assert.is_nil(conditions.wanted("HEAD", getter{range = "bytes=0-1"}, WHAT, now))
    assert.is_nil(conditions.wanted("GET", getter{}, WHAT, now))
  end)
end)
