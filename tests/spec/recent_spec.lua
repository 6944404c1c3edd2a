local recent = require "genet.recent"

describe("recent", function()
  it("keeps what fits, and what is used", function()
    local store = recent.new(200)
    store:put("used", "u", 30)
    for i = 1, 50 do
      store:put(i, i, 30)
      assert.equal("u", store:get("used"))
    end
    assert.equal(50, store:get(50))
    assert.is_nil(store:get(1))
  end)

  it("never holds more than its budget", function()
    local store = recent.new(1000)
    for i = 1, 500 do
      store:put(i % 70, i, 10 + i % 90)
      local weight = 0
      for _, generation in ipairs{store.young, store.old} do
        for _, item in pairs(generation) do weight = weight + item.weight end
      end
      assert.is_true(weight <= 1000)
    end
  end)

  it("keeps nothing too heavy, and forgets when told", function()
    local store = recent.new(100)
    store:put("heavy", 1, 51)
    store:put("light", 2, 50)
    assert.is_nil(store:get("heavy"))
    store:drop("light")
    assert.is_nil(store:get("light"))
    assert.equal(0, store.weight)
  end)
end)
