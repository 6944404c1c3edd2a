-- The configuration of a site: from a file, the environment and the command line.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
app.config:from_table{a = "script", b = "script", c = "script", d = "script"}
app:get("/", function()
  local c = app.config
  return ("%s %s %s %s"):format(c.a, c.b, c.c, c.d)
end)
app:get("/who", function(req)
  req.session.n = (req.session.n or 0) + 1
  return tostring(req.session.n)
end)
app:post("/", function(req) return tostring(#req:body()) end)
app:get("/page", {name = "page"}, function()
  genet.sleep(0.001)
  return genet.render_template_string(
    "{{ config.b }} {{ request.args.n }} {{ url_for('page', _external=true) }}")
end)
return app
]]

describe("the configuration", function()
  local directory

  before_each(function()
    directory = support.directory{
      ["site/main.lua"] = script,
      ["site.conf"] = "b = 'file' c = 'file' d = 'file'",
    }
  end)
  after_each(function() support.remove(directory) end)

  local function serve(...)
    return support.serve{
      path = directory .. "/site",
      args = {"--config", directory .. "/site.conf", ...},
      env = {GENET_C = "environment", GENET_D = "environment", GENET_SECRET_KEY = ("s"):rep(16)},
    }
  end

  it("is what the last of its places says", function()
    local server = serve("-D", "d=line", "--set", "max_body=10")
    assert.equal("script file environment line", server:get("/").body)
    assert.equal("1", server:get("/who").body)
    assert.equal(("file 7 http://127.0.0.1/page"), server:get("/page?n=7").body)
    assert.equal("10", server:request("POST", "/", {}, "0123456789").body)
    assert.equal(413, server:request("POST", "/", {}, "0123456789a").status)
    server:stop()
  end)

  it("is read again when its file has changed", function()
    local server = serve("-r")
    assert.equal("script file environment environment", server:get("/").body)
    support.write_file(directory .. "/site.conf", "b = 'changed'")
    support.wait_until("the new value", function()
      return server:get("/").body == "script changed environment environment"
    end)
    local from = #server:stderr() + 1
    support.write_file(directory .. "/site.conf", "b = \n=")
    server:wait_for_log("site.conf:2: unexpected symbol", from)
    assert.equal("script changed environment environment", server:get("/").body)
    server:stop()
  end)

  it("stays what it was when it cannot be read", function()
    local server = serve()
    os.remove(directory .. "/site.conf")
    local result = server:tell "reload"
    assert.equal(1, result.status)
    assert.matches("the file of the configuration '.*/site.conf' cannot be read", result.err
      .. result.out)
    assert.equal("script file environment environment", server:get("/").body)
    server:stop()
  end)

  for _, case in ipairs{
    {{"--config", "/nonesuch"}, 2, "'/nonesuch': no such file"},
    {{"--set", "x"}, 2, "option '%-%-set': 'x' is no NAME=VALUE"},
    {{"--set", "session_lifetime=x"}, 1, "%-%-set session_lifetime: a number was expected"},
    {{"--set", "secret_key=short"}, 1, "a secret must be a string of 16 bytes at least"},
  } do
    it("is refused with " .. table.concat(case[1], " "), function()
      local result = support.run{"runserver", directory .. "/site", "-p", "0",
        table.unpack(case[1])}
      assert.equal(case[2], result.status)
      assert.matches(case[3], result.err)
    end)
  end
end)
