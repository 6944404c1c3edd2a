local support = require "support"
local argparse = require "argparse"
local command = require "genet.command"
local genet = require "genet"

-- What the function of a command is given for these words.
local function given(options, ...)
  local app, args = genet.app(), nil
  app:command("go", options, function(found) args = found end)
  local parser = argparse("genet"):command_target("command")
  command.add_all(parser, app.commands, {})
  command.run(parser:parse{"go", ...})
  return args
end

local function status(...)
  local app, results = genet.app(), table.pack(...)
  app:command("go", function() return table.unpack(results, 1, results.n) end)
  local parser = argparse("genet"):command_target("command")
  command.add_all(parser, app.commands, {})
  return command.run(parser:parse{"go"})
end

describe("a command", function()
  it("gets its arguments and options by name", function()
    local options = {
      args = {"first", {"second", type = "number", default = 0.5}},
      options = {{"-l --long-name", type = "integer"}, {"-f", flag = true},
        {"--tag", many = true}, {"--upper", type = string.upper}},
    }
    assert.same({first = "a", second = 0.5, tag = {}}, given(options, "a"))
    assert.same({first = "a", second = 2.0, long_name = 7, f = true, tag = {"x", "y"}, upper = "U"},
      given(options, "a", "2", "-l", "7", "-f", "--tag", "x", "--tag", "y", "--upper", "u"))
  end)

  it("has a status by what it returns", function()
    assert.equal(0, status())
    assert.equal(0, status(true))
    assert.equal(1, status(false))
    assert.equal(3, status(3))
  end)

  it("is refused at its line when it makes no sense", function()
    local app = genet.app()
    for expected, wrong in pairs{
      ["made of letters"] = function() app:command("a b", print) end,
      ["a function was expected"] = function() app:command("a", {}) end,
      ["unknown option 'arg'"] = function() app:command("a", {arg = {}}, print) end,
      ["unknown field 'typ'"] = function() app:command("a", {args = {{"x", typ = 1}}}, print) end,
      ["the type is"] = function() app:command("a", {args = {{"x", type = "set"}}}, print) end,
      ["of an option begins"] = function() app:command("a", {options = {"x"}}, print) end,
    } do
      assert.truthy(support.blamed(wrong):find(expected, 1, true), expected)
    end
  end)

  it("comes along when its app is included, mounted or grouped", function()
    local shop, root = genet.app(), genet.app()
    shop:group("/x", function(group) group:command("inner", print) end)
    genet.manager(shop):command("outer", print)
    root:include(shop)
    assert.truthy(root.commands.inner and root.commands.outer)
    local other, mounted = genet.app(), genet.app()
    mounted:command("mounted", print)
    other:mount(mounted, "/shop")
    assert.truthy(other.commands.mounted)
  end)
end)
