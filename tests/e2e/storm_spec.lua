-- Processes are killed at random, under load: only what they were doing at that moment is lost.
local storm = require "tests.e2e.storm"
local support = require "tests.e2e.support"

describe("a storm of kill -9", function()
  local report

  setup(function()
    report = storm.run{seconds = math.max(3, 10 * support.scale), every = 0.2, processes = 3}
  end)

  it("cuts only requests in flight; every other answer is right", function()
    assert.is_true(report.kills >= 5, "too few kills")
    assert.is_true(report.answers > 100, report.text)
    assert.equal(0, report.wrong, report.text)
    assert.equal(0, report.refused, report.text)
    assert.is_true(report.cut <= report.kills * report.connections, report.text)
    assert.equal(report.sent, report.answers + report.cut, report.text)
  end)

  it("loses no write that was acknowledged", function()
    assert.is_true(report.acknowledged > 100, report.text)
    assert.equal(0, report.lost)
  end)

  it("counts each write once", function()
    assert.is_true(report.acknowledged <= report.count and report.count <= report.attempted,
      ("%d acknowledged, %d counted, %d attempted"):format(report.acknowledged, report.count,
        report.attempted))
  end)

  it("leaves no process, no descriptor and no shared memory", function()
    assert.is_true(report.after <= report.before)
    assert.same({}, report.left)
  end)
end)
