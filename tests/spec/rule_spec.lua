local rule = require "genet.rule"

describe("genet.rule", function()
  it("gives the names of the arguments in order", function()
    for _, case in ipairs{
      {"/", {}},
      {"/hello/", {}},
      {"/item/<int:id>", {"id"}},
      {"/v<int:major>.<int:minor>/<path:rest>", {"major", "minor", "rest"}},
      {"/:user/*rest", {"user", "rest"}},
      {"/<string(length=2):lang>/<any(a, b):kind>", {"lang", "kind"}},
    } do
      assert.same(case[2], rule.parse(case[1]).names)
    end
  end)

  it("gives rules of one shape the same shape", function()
    local function shape(text)
      local shapes = {}
      for at, part in ipairs(rule.parse(text).parts) do shapes[at] = part.shape or part.text end
      return table.concat(shapes, "/")
    end
    for _, case in ipairs{
      {"/u/<name>", "/u/:other"},
      {"/u/<name>", "/u/<string:x>"},
      {"/u/<name>", "/u/<default:x>"},
      {"/f/<path:p>", "/f/*rest"},
      {"/<int(min=1, max=2):a>", "/<int(min=1,max=2):b>"},
      {"/:name.json", "/<n>.json"},
    } do
      assert.equal(shape(case[1]), shape(case[2]))
    end
    assert.not_equal(shape("/<int:a>"), shape("/<a>"))
    assert.not_equal(shape("/<path:a>/"), shape("/<path:a>"))
  end)

  it("refuses bad rules, naming them", function()
    for _, case in ipairs{
      {"hello", "it does not begin with '/'"},
      {"", "it does not begin with '/'"},
      {"//a", "'//' leaves a segment empty"},
      {"/a//b", "'//' leaves a segment empty"},
      {"/a/<int:id", "'<' is not closed"},
      {"/<a<b>", "'<' is not closed"},
      {"/a>b", "'>' without a '<' before it"},
      {"/<>", "'<>' has no proper name"},
      {"/<int:>", "'<int:>' has no proper name"},
      {"/<1a>", "'<1a>' has no proper name"},
      {"/<int(min=1:id>", "'<int(min=1:id>' cannot be read"},
      {"/<integer:id>", "unknown converter 'integer'"},
      {"/<a>/<int:a>", "argument 'a' comes twice"},
      {"/<a>-<a>", "argument 'a' comes twice"},
      {"/:", "':' names no argument"},
      {"/files/*", "'*' names no argument"},
    } do
      local ok, problem = pcall(rule.parse, case[1])
      assert.is_false(ok, case[1])
      assert.equal(("bad rule '%s': %s"):format(case[1], case[2]), problem)
    end
    assert.error_matches(function() rule.parse(42) end, "bad rule '42': a string was expected")
  end)
end)
