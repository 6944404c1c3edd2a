local support = require "support"
local patch = require "genet.patch"

describe("genet.patch", function()
  local popen, execute, open = io.popen, os.execute, io.open

  after_each(patch.undo_all)

  it("puts every patch in place, once", function()
    patch.patch_all()
    patch.patch_all()
    assert.equal(support.stdio.popen, io.popen)
    assert.equal(support.stdio.execute, os.execute)
    assert.equal(support.stdio.lines, io.lines)
    patch.undo_all()
    assert.equal(popen, io.popen)
    assert.equal(execute, os.execute)
    assert.equal(open, io.open)
  end)

  it("changes what it is told to, and nothing else", function()
    patch.patch{popen = true}
    assert.equal(support.stdio.popen, io.popen)
    assert.equal(execute, os.execute)
    patch.patch{execute = true, popen = false}
    assert.equal(popen, io.popen)
    assert.equal(support.stdio.execute, os.execute)
  end)

  it("leaves alone what somebody else has replaced since", function()
    local function another() end
    patch.patch{popen = true}
    rawset(io, "popen", another)
    patch.patch{popen = false}
    assert.equal(another, io.popen)
    rawset(io, "popen", popen)
  end)

  it("leaves standard files that cannot wait as they are", function()
    local stdout, own = io.stdout, print
    patch.patch_all()
    assert.equal(stdout, io.stdout)
    assert.equal(own, print)
  end)

  it("refuses mistakes, and names them", function()
    local cases = {
      {{popn = true}, "genet.patch: there is no patch 'popn'"},
      {{popen = "on"}, "genet.patch: 'popen': true or false was expected, not a string"},
      {"popen", "genet.patch: a table was expected, not a string"},
    }
    for _, case in ipairs(cases) do
      assert.truthy(support.raised(patch.patch, case[1]):find(case[2], 1, true))
      assert.equal(popen, io.popen)
    end
  end)

  it("lists what it does, and what blocks", function()
    patch.patch{popen = true}
    local rows = {}
    for _, row in ipairs(patch.list()) do rows[row.name] = row end
    assert.same({name = "popen", how = "cooperative", what = "io.popen", on = true}, rows.popen)
    assert.is_false(rows.execute.on)
    assert.equal("blocks", rows.files.how)
  end)
end)
