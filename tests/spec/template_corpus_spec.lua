-- The corpus is rendered as Jinja2 renders it.
local corpus = require "template.corpus"
local template = require "genet.template"

local function environment(case)
  local options = {loader = function(name) return case.files[name] end}
  for name, option in pairs(case.options) do options[name] = option end
  return template.new(options)
end

local function render(case)
  return pcall(function() return environment(case):render(case.main, case.vars) end)
end

local function check_error(case, problem)
  local expected = case.expected
  if expected.line then
    assert.truthy(problem:find("^[^:]*:" .. expected.line .. ": "), problem)
  else
    assert.truthy(problem:find("^[^:]*:%d+: "), problem)
  end
  if not case.words_differ then
    local found = problem:find(expected.error, 1, true)
    assert.truthy(found, problem .. "\nexpected: " .. expected.error)
  end
end

describe("a template that Jinja2 knows:", function()
  local cases = corpus.cases()

  it("there are at least 150", function()
    assert.is_true(#cases >= 150)
  end)

  for _, case in ipairs(cases) do
    it(case.name, function()
      local ok, result = render(case)
      if case.expected.output then
        assert.is_true(ok, result)
        assert.equal(case.expected.output, result)
      else
        assert.is_false(ok, "it is rendered as " .. tostring(result))
        check_error(case, result)
      end
    end)
  end
end)
