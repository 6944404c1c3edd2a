local encodings = require "genet.encodings"

describe("encodings.choose", function()
  local cases = { -- Accept-Encoding, out of br and gzip, out of gzip
    {nil, nil, nil}, {"", nil, nil}, {"gzip", "gzip", "gzip"}, {"br", "br", nil},
    {"gzip, deflate, br", "br", "gzip"}, {"gzip;q=1, br;q=0.5", "gzip", "gzip"},
    {"br;q=0, gzip", "gzip", "gzip"}, {"gzip;q=0", nil, nil}, {"gzip;q=0.000", nil, nil},
    {"*", "br", "gzip"}, {"*;q=0", nil, nil}, {"gzip;q=0, *", "br", nil},
    {"identity", nil, nil}, {"identity;q=0, gzip;q=0.1", "gzip", "gzip"},
    {"identity, gzip;q=0.5", nil, nil}, {"identity;q=0.5, gzip", "gzip", "gzip"},
    {"GZIP", "gzip", "gzip"}, {"x-gzip", "gzip", "gzip"},
    {" gzip ;q=0.5 , br ;q=0.4", "gzip", "gzip"},
    {"gzip;Q=0.5", "gzip", "gzip"}, {"gzip;q=2", nil, nil}, {"gzip;q=x", nil, nil},
    {"gzip;level=1", nil, nil}, {"gzipped", nil, nil}, {"notgzip", nil, nil},
    {",,gzip,", "gzip", "gzip"},
  }
  for _, case in ipairs(cases) do
    it(("for %q"):format(tostring(case[1])), function()
      assert.equal(case[2], encodings.choose(case[1], {"br", "gzip"}))
      assert.equal(case[3], encodings.choose(case[1], {"gzip"}))
    end)
  end
end)
