local complete = require "genet.complete"

-- The words for a line whose last word begins after its last blank or bracket, as readline has it.
local function words(line)
  local from = #line - #line:match("[^ (]*$") + 1
  return complete.words(line, from, #line)
end

describe("a word at the prompt", function()
  setup(function()
    local Shop = {open = function() end, opening = 8}
    Shop.__index = Shop
    _G.completed = setmetatable({orders = {}, _private = 1}, Shop) -- luacheck: ignore 122
  end)

  teardown(function() _G.completed = nil end) -- luacheck: ignore 122

  it("may be a global or a keyword", function()
    assert.same({"completed"}, words("complet"))
    assert.same({"repeat", "require", "return"}, words("x = re"))
  end)

  it("may be a field, also of the metatable", function()
    assert.same({"completed.open", "completed.opening", "completed.orders"}, words("completed.o"))
    assert.same({"string.format"}, words("print(string.form"))
    assert.same({"completed._private"}, words("completed._"))
    assert.same({}, words("nothing.at.all"))
  end)

  it("is a method after a colon", function()
    assert.same({"completed:open"}, words("completed:o"))
  end)
end)
