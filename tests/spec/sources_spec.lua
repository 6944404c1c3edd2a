require "support"

describe("sources", function()
  local sources, recorded, watched

  before_each(function()
    recorded, watched = {}, {}
    package.loaded["genet.sources"] = nil
    local generations = require "genet.generations"
    generations.recall = function(name) return recorded[name] end
    generations.record = function(name, text) recorded[name] = text end
    generations.watch = function(path) watched[#watched + 1] = path end
    sources = require "genet.sources"
  end)

  local function write(text)
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    finally(function() os.remove(path) end)
    return path
  end

  it("reads a file once for a generation, and has it watched each time", function()
    local path = write "first"
    assert.equal("first", sources.read(path))
    local file = assert(io.open(path, "wb"))
    file:write("second")
    file:close()
    assert.equal("first", sources.read(path))
    assert.same({path, path}, watched)
  end)

  it("tells why a file cannot be read, and asks again the next time", function()
    local text, problem = sources.read("/no/such/file")
    assert.is_nil(text)
    assert.matches("/no/such/file: No such file", problem)
    assert.same({}, recorded)
  end)

  it("makes a text once", function()
    local calls = 0
    local function make()
      calls = calls + 1
      return "made"
    end
    assert.equal("made", sources.once("it", make))
    assert.equal("made", sources.once("it", make))
    assert.equal(1, calls)
  end)

  it("loads Lua as loadfile does", function()
    assert.equal(7, sources.load(write "return 7")())
    assert.equal(7, sources.load(write "#!/usr/bin/env genet\nreturn 7")())
    assert.equal(7, sources.load(write "\xEF\xBB\xBFreturn 7")())
    assert.equal(5, sources.load(write "return x", "t", {x = 5})())
    local path = write "#!x\nreturn ="
    local chunk, problem = sources.load(path)
    assert.is_nil(chunk)
    assert.equal(path .. ":2: unexpected symbol near '='", problem)
  end)
end)
