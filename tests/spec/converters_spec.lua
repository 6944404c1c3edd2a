local converters = require "genet.converters"

local UUID = "01234567-89ab-cdef-0123-456789abcdef"

describe("genet.converters", function()
  for _, case in ipairs{
    {"int", "", "42", 42},
    {"int", "", "007", 7},
    {"int", "", "0", 0},
    {"int", "", "9223372036854775807", math.maxinteger},
    {"int", "", "9223372036854775808", nil},
    {"int", "", "-1", nil},
    {"int", "", "1.0", nil},
    {"int", "", "0x10", nil},
    {"int", "", "", nil},
    {"int", "signed=true", "-1", -1},
    {"int", "signed=True", "-9223372036854775808", math.mininteger},
    {"int", "signed=True", "-9223372036854775809", nil},
    {"int", "min=1, max=9", "0", nil},
    {"int", "min=1, max=9", "9", 9},
    {"int", "min=1, max=9", "10", nil},
    {"float", "", "1.5", 1.5},
    {"float", "", "0.0", 0.0},
    {"float", "", "1", nil},
    {"float", "", "1.", nil},
    {"float", "", "-1.5", nil},
    {"float", "", ("9"):rep(400) .. ".0", nil},
    {"float", "signed=true", "-1.5", -1.5},
    {"float", "min=0.5", "0.25", nil},
    {"string", "length=2", "de", "de"},
    {"string", "length=2", "éé", "éé"},
    {"string", "length=2", "deu", nil},
    {"string", "minlength=2", "d", nil},
    {"string", "maxlength=2", "deu", nil},
    {"string", "maxlength=2", "", nil},
    {"any", "a, 'b c'", "a", "a"},
    {"any", "a, 'b c'", "b c", "b c"},
    {"any", "a, 'b c'", "d", nil},
    {"uuid", "", UUID, UUID},
    {"uuid", "", UUID:upper(), UUID},
    {"uuid", "", UUID .. "0", nil},
    {"uuid", "", UUID:gsub("-", ""), nil},
    {"path", "", "a/b", "a/b"},
    {"path", "", "/a", nil},
    {"path", "", "", nil},
  } do
    local kind, options, text, expected = case[1], case[2], case[3], case[4]
    it(("reads %q as %s(%s): %s"):format(text:sub(1, 40), kind, options, expected), function()
      local value = converters.new(kind, converters.options(options)).read(text)
      assert.equal(expected, value)
      assert.equal(math.type(expected), math.type(value))
    end)
  end

  it("refuses what it does not know", function()
    for _, case in ipairs{
      {"integer", "", "unknown converter 'integer'"},
      {"int", "size=2", "int knows no option 'size'"},
      {"int", "min=x", "min must be a whole number"},
      {"int", "a", "int takes no list of texts"},
      {"string", "length=1.5", "length must be a whole number"},
      {"any", "", "any(...) needs the texts it takes"},
    } do
      local ok, problem = pcall(converters.new, case[1], converters.options(case[2]))
      assert.is_false(ok)
      assert.equal(case[3], problem)
    end
  end)
end)
