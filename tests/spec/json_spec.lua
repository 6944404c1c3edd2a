local json = require "genet.json"

describe("genet.json", function()
  it("writes values", function()
    for _, case in ipairs{
      {{1, 2, 3}, "[1,2,3]"},
      {{name = "a\"b\n"}, '{"name":"a\\"b\\n"}'},
      {{}, "{}"},
      {{1.5, 9.95, 2.0}, "[1.5,9.95,2]"},
      {{json.null, true, false}, "[null,true,false]"},
      {{[3] = "c"}, '{"3":"c"}'},
      {"text", '"text"'},
      {42, "42"},
    } do
      assert.equal(case[2], json.encode(case[1]))
    end
  end)

  it("keeps all digits of integers", function()
    for _, value in ipairs{math.maxinteger, math.mininteger, 1234567890123456789} do
      assert.equal("[" .. value .. "]", json.encode{value})
      assert.equal(tostring(value), json.encode(value))
    end
  end)

  it("writes an empty table as an array where it is marked as one", function()
    assert.equal("[]", json.encode(json.array()))
    assert.equal('{"found":[]}', json.encode{found = json.array{}})
    assert.equal('[[],{"a":[1,"x",null]}]',
      json.encode{json.array(), {a = json.array{1, "x", json.null}}})
  end)

  it("writes the same whether cjson does all of it or not", function()
    for _, value in ipairs{
      {1, {2, {}}, "a/b"}, {a = {b = {1.5}}}, {[1] = 1, [3] = 3}, {{}}, {[10] = true},
    } do
      local plain = json.encode{value}
      assert.equal("[" .. plain:sub(2, -2) .. ",[]]", json.encode{value, json.array()})
    end
  end)

  it("raises for what JSON has no word for", function()
    local endless = {}
    endless.again = endless
    local marked = {json.array()}
    marked[2] = marked
    for _, value in ipairs{print, {print}, {0 / 0}, {[{}] = 1}, endless, marked} do
      assert.error_matches(function() json.encode(value) end, "Cannot serialise")
    end
  end)

  it("reads values, whole numbers as integers", function()
    assert.same({id = 1, sizes = {1, 2.5}}, json.decode('{"id": 1, "sizes": [1.0, 2.5]}'))
    assert.equal("integer", math.type(json.decode("[7]")[1]))
    assert.equal("integer", math.type(json.decode("7")))
    assert.equal("float", math.type(json.decode("[1e300]")[1]))
    assert.equal(json.null, json.decode('{"a": null}').a)
    assert.is_false(json.decode("false"))
  end)

  it("says what is wrong with broken text", function()
    for _, text in ipairs{"{bad", "[1]x", "", "NaN", "0x10", '{"a":}'} do
      local value, problem = json.decode(text)
      assert.is_nil(value)
      assert.matches("^Expected ", problem)
    end
  end)
end)
