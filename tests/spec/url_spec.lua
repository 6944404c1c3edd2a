local url = require "genet.url"

describe("genet.url", function()
  it("decodes paths", function()
    for _, case in ipairs{
      {"/plain", "/plain"},
      {"/two%20words", "/two words"},
      {"/caf%C3%A9", "/café"},
      {"/a%2fb%2Fc", "/a/b/c"},
      {"/100%25", "/100%"},
      {"/%2541", "/%41"},
      {"/a+b", "/a+b"},
    } do
      assert.equal(case[2], url.decode_path(case[1]))
    end
  end)

  it("refuses paths with a broken escape or a NUL", function()
    for _, path in ipairs{"/%", "/%4", "/%zz", "/%%41", "/a%00b", "/%41%"} do
      assert.is_nil(url.decode_path(path), path)
    end
  end)

  it("encodes what a path may not hold", function()
    for _, case in ipairs{
      {"/a/b-c_d.e~f", "/a/b-c_d.e~f"},
      {"/two words?", "/two%20words%3F"},
      {"/é", "/%C3%A9"},
      {"/\r\n%\\", "/%0D%0A%25%5C"},
    } do
      assert.equal(case[2], url.encode_path(case[1]))
      assert.equal(case[1], url.decode_path(case[2]))
    end
  end)

  it("makes a reference safe and leaves the rest of it alone", function()
    assert.equal("/a?b=%20c#d", url.encode_reference("/a?b=%20c#d"))
    assert.equal("/a%20b%0D%0A%C3%A9", url.encode_reference("/a b\r\né"))
  end)

  it("decodes values, leaving broken escapes as they are", function()
    for _, case in ipairs{{"a+b%21", "a b!"}, {"100%", "100%"}, {"%zz%41", "%zzA"}, {"", ""}} do
      assert.equal(case[2], url.decode_value(case[1]))
    end
  end)

  it("reads query strings in order", function()
    for _, case in ipairs{
      {"", {}},
      {"a=1", {"a", "1"}},
      {"tag=a&tag=b", {"tag", "a", "tag", "b"}},
      {"flag&&x=", {"flag", "", "x", ""}},
      {"q=a%3Db=c&%26=+", {"q", "a=b=c", "&", " "}},
    } do
      assert.same(case[2], url.parse_query(case[1]))
    end
  end)
end)
