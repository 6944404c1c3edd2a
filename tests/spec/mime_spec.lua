local mime = require "genet.mime"
local support = require "support"

describe("mime.of", function()
  local cases = {
    {"a.html", "text/html; charset=utf-8"}, {"dir/app.JS", "text/javascript; charset=utf-8"},
    {"a.css", "text/css; charset=utf-8"}, {"a.json", "application/json"},
    {"a.svg", "image/svg+xml"},
    {"a.png", "image/png"}, {"a.wasm", "application/wasm"}, {"a.woff2", "font/woff2"},
    {"a.tar.gz", "application/gzip"}, {"README", mime.UNKNOWN}, {"a.unheard", mime.UNKNOWN},
    {"dir.css/file", mime.UNKNOWN}, {"a.", mime.UNKNOWN}, {".html", "text/html; charset=utf-8"},
  }
  for _, case in ipairs(cases) do
    it("is told for " .. case[1], function() assert.equal(case[2], mime.of(case[1])) end)
  end

  it("looks into the script's own first", function()
    assert.equal("model/x", mime.of("a.css", {css = "model/x"}))
    assert.equal("text/x; charset=utf-8", mime.of("a.x", {x = "text/x"}))
    assert.equal("text/x;charset=latin1", mime.of("a.x", {x = "text/x;charset=latin1"}))
  end)
end)

describe("mime.shrinks", function()
  local cases = {
    {"text/html; charset=utf-8", true}, {"TEXT/CSS", true}, {"application/json", true},
    {"application/geo+json", true}, {"image/svg+xml", true}, {"image/png", false},
    {"image/jpeg", false}, {"video/mp4", false}, {"application/zip", false}, {"font/woff2", false},
    {"application/octet-stream", false}, {"text/event-stream", false}, {"", false},
  }
  for _, case in ipairs(cases) do
    it("is told for " .. case[1], function() assert.equal(case[2], mime.shrinks(case[1])) end)
  end
end)

describe("mime.load", function()
  it("reads what Debian writes", function()
    local text = "# a comment\ntext/x\t\tx xx # more\napplication/none\n\nmodel/y Y\n"
    support.with_files({types = text}, function(dir)
      assert.same({x = "text/x", xx = "text/x", y = "model/y"}, mime.load(dir .. "/types"))
      assert.is_nil(mime.load(dir .. "/nonesuch"))
    end)
  end)
end)
