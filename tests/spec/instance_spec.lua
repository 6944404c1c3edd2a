local support = require "support"
local lfs = require "lfs"
local instance = require "genet.instance"
local loader = require "genet.loader"

describe("the instance", function()
  local directory_of, directory = loader.directory, nil

  before_each(function()
    directory = os.tmpname()
    os.remove(directory)
    lfs.mkdir(directory)
    loader.directory = function() return directory end
  end)

  after_each(function()
    loader.directory = directory_of
    os.execute("rm -rf " .. directory)
    for at = #support.logged, 1, -1 do support.logged[at] = nil end
  end)

  it("has paths whose directories are made", function()
    assert.equal(directory .. "/instance/a/b/c", instance.path("a/b/c"))
    assert.equal("directory", lfs.attributes(directory .. "/instance/a/b", "mode"))
    assert.is_nil(lfs.attributes(directory .. "/instance/a/b/c"))
    assert.equal("/tmp/x", instance.beside("/tmp/x"))
    assert.has_error(function() instance.path(nil) end,
      "genet.instance_path: a string was expected, not a nil")
  end)

  it("keeps a secret, which nobody else can read", function()
    local secret = instance.secret()
    assert.is_true(#secret >= 32)
    assert.equal(secret, instance.secret())
    assert.equal("rw-------", lfs.attributes(directory .. "/instance/secret", "permissions"))
    local count = 0
    for name in lfs.dir(directory .. "/instance") do
      if name:sub(1, 1) ~= "." then count = count + 1 end
    end
    assert.equal(1, count)
    assert.same({}, support.logged)
  end)

  it("has a secret of its own", function()
    local first = instance.secret()
    directory = directory .. "/other"
    lfs.mkdir(directory)
    assert.not_equal(first, instance.secret())
    directory = directory:match("^(.*)/")
  end)

  it("leaves a secret alone that somebody has put there", function()
    lfs.mkdir(directory .. "/instance")
    local file = assert(io.open(directory .. "/instance/secret", "w"))
    file:write(("k"):rep(40))
    file:close()
    assert.equal(("k"):rep(40), instance.secret())
  end)

  it("has one that ends with the process where it cannot be kept, and says so", function()
    io.open(directory .. "/instance", "w"):close()
    assert.equal(support.core.secret(), instance.secret())
    assert.equal("warn", support.logged[1][1])
    assert.truthy(support.logged[1][2]:find("cannot be written", 1, true))
  end)
end)
