-- What cannot be served is refused at once, with one clear message and the right exit status.
local socket = require "socket"
local support = require "tests.e2e.support"

local app = [[
local genet = require "genet"
local app = genet.app()
app:get("/", function() return "here" end)
return app
]]

-- Runs `genet runserver` on these scripts, which is expected to fail.
local function run_scripts(files, arguments)
  local directory = support.directory(files)
  local all = {"runserver", directory, "-p", "0", table.unpack(arguments or {})}
  local ok, result = pcall(support.run, all)
  support.remove(directory)
  return ok and result or error(result, 2)
end

local function is_one_line(text)
  return text:match("^[^\n]+\n$") ~= nil
end

describe("a script that does not load", function()
  local cases = {
    {"has a syntax error", "local a = 1\nlocal = 2\n", "broken%.lua:2:"},
    {"raises at its top level", "local a\n\nerror('at load')\n", "broken%.lua:3: at load"},
    {"requires what is not there", "require 'no.such.module'\n", "no%.such%.module"},
    {"returns no app", "return 42\n", "broken%.lua"},
    {"returns nothing", "local a = 1\n", "broken%.lua"},
    {"fails in the function that takes the app",
      "return function(app)\n  app:no_such_method()\nend\n", "broken%.lua:2:"},
    {"has a rule that makes no sense",
      "local app = require('genet').app()\napp:get('/<int:>', print)\nreturn app\n", "broken%.lua"},
  }
  for _, case in ipairs(cases) do
    local what, text, message = table.unpack(case)
    it(("because it %s ends the start with its file and line"):format(what), function()
      local result = run_scripts{["broken.lua"] = text, ["fine.lua"] = app}
      assert.equal(1, result.status)
      assert.equal("", result.out)
      assert.truthy(result.err:match(message), result.err)
    end)
  end

  it("because another has the same route names both places", function()
    local result = run_scripts{["one.lua"] = app, ["two.lua"] = app}
    assert.equal(1, result.status)
    assert.equal("", result.out)
    assert.truthy(result.err:match("one%.lua:3"), result.err)
    assert.truthy(result.err:match("two%.lua:3"), result.err)
  end)
end)

describe("a path", function()
  local directory

  setup(function()
    directory = support.directory{["readme.txt"] = "no script", ["bytes.lua"] = "\27Lua"}
    assert(os.execute("mkfifo " .. directory .. "/pipe"))
  end)
  teardown(function() support.remove(directory) end)

  local NONE = "%s: no such file or directory"
  local cases = {
    {"that is not there", "runserver", "/nowhere", 2, NONE},
    {"that is not there", "run", "/nowhere", 2, NONE},
    {"that is empty", "runserver", "", 2, NONE},
    {"that leads through a file", "runserver", "/readme.txt/x", 2, "%s: Not a directory"},
    {"that is a pipe", "runserver", "/pipe", 2, "%s is neither a file nor a directory"},
    {"that is a pipe", "run", "/pipe", 2, "%s is not a file"},
    {"that is a directory", "run", ".", 2, "%s is not a file"},
    {"that is no Lua", "runserver", "/bytes.lua", 1, "bad binary format"},
  }
  for _, case in ipairs(cases) do
    local what, verb, name, status, message = table.unpack(case)
    it(("%s ends genet %s with one clear line"):format(what, verb), function()
      local path = name == "." and directory .. "/empty" or name == "" and "" or directory .. name
      if name == "." then os.execute("mkdir -p " .. path) end
      local result = support.run{verb, path}
      assert.equal(status, result.status)
      assert.equal("", result.out)
      assert.truthy(is_one_line(result.err), result.err)
      assert.truthy(result.err:find(message:format("'" .. path .. "'"), 1, true), result.err)
    end)
  end
end)

it("a directory without scripts is served, with a warning that says so", function()
  local server = support.serve{scripts = {["readme.txt"] = "no script"}}
  finally(function() server:stop() end)
  assert.equal(404, server:get("/").status)
  server:wait_for_log(("warn  [1] '%s': there is no *.lua in it\n"):format(server.scripts))
end)

describe("an address", function()
  local cases = {
    {"of another machine", "192.0.2.1:0", "Cannot assign requested address"},
    {"of a name that is none", "no-such-host.invalid:0", ""},
    {"without a port", "127.0.0.1", "HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N was expected"},
    {"of a directory that is not there", "unix:/nowhere/x", "No such file or directory"},
  }
  for _, case in ipairs(cases) do
    it(case[1] .. " ends the start with one line that names it", function()
      local result = run_scripts({["main.lua"] = app}, {"--listen", case[2]})
      assert.equal(1, result.status)
      assert.truthy(is_one_line(result.err), result.err)
      assert.truthy(result.err:find(("cannot listen on %s: %s"):format(case[2], case[3]), 1, true),
        result.err)
    end)
  end
end)

describe("a port", function()
  it("that is taken ends the start with one clear line", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    finally(function() listener:close() end)
    local _, port = listener:getsockname()
    local result = run_scripts({["main.lua"] = app}, {"-p", tostring(port)})
    assert.equal(1, result.status)
    assert.equal("", result.out)
    assert.truthy(is_one_line(result.err), result.err)
    assert.truthy(result.err:find(tostring(port), 1, true), result.err)
  end)

  it("that another server has just left is free at once", function()
    local server = support.serve{script = app}
    local port = server.port
    assert.equal("here", server:get("/").body)
    server:stop()
    local second = support.serve{script = app, port = port}
    finally(function() second:stop() end)
    assert.equal(port, second.port)
    assert.equal("here", second:get("/").body)
  end)
end)

describe("a command line", function()
  local cases = {
    {"an unknown option", {"runserver", "--no-such-option"}, "%-%-no%-such%-option"},
    {"an unknown command", {"fly"}, "fly"},
    {"a path that is not there", {"runserver", "/no/such/path"}, "/no/such/path"},
    {"a port that is no number", {"runserver", ".", "-p", "http"}, "http"},
    {"a port that is too large", {"runserver", ".", "-p", "65536"}, "65536"},
    {"a port that is negative", {"runserver", ".", "-p", "-1"}, "%-1"},
    {"an option without its value", {"runserver", ".", "-p"}, "%-p"},
    {"a size that is none", {"runserver", ".", "--max-body", "8X"}, "8X"},
    {"a level that is none", {"runserver", ".", "--log-level", "loud"}, "loud"},
    {"no connections at all", {"runserver", ".", "--max-connections", "0"}, "0"},
    {"a drain that is no time", {"runserver", ".", "--drain", "soon"}, "soon"},
    {"two paths", {"runserver", ".", ".."}, "argument"},
    {"a file to run that is not there", {"run", "/no/such/file.lua"}, "/no/such/file%.lua"},
    {"no file to run", {"run"}, "."},
  }
  for _, case in ipairs(cases) do
    local what, arguments, message = table.unpack(case)
    it(("with %s is refused in one clear line"):format(what), function()
      local result = support.run(arguments)
      assert.equal(2, result.status, result.err)
      assert.equal("", result.out)
      assert.truthy(is_one_line(result.err), result.err)
      assert.truthy(result.err:match("^genet: .*" .. message), result.err)
    end)
  end

  it("with a host that is not of this machine is refused in one clear line", function()
    local result = run_scripts({["main.lua"] = app}, {"-h", "192.0.2.1"})
    assert.equal(1, result.status)
    assert.truthy(is_one_line(result.err), result.err)
    assert.truthy(result.err:find("192.0.2.1", 1, true), result.err)
  end)

  for _, arguments in ipairs{{"--help"}, {"-?"}, {"runserver", "--help"}, {"runserver", "-?"}} do
    it(("%q prints help"):format(table.concat(arguments, " ")), function()
      local result = support.run(arguments)
      assert.equal(0, result.status)
      assert.equal("", result.err)
      assert.truthy(result.out:match("^Usage: genet"), result.out)
    end)
  end

  it("\"--help\" names the options of the server", function()
    local help = support.run({"runserver", "--help"}).out
    local options = {"-h", "-p", "--max-connections", "--max-body", "--drain", "--log-level"}
    for _, option in ipairs(options) do
      assert.truthy(help:find(option, 1, true), option)
    end
  end)

  it("\"patches\" lists the cooperative names, each with what it does", function()
    local result = support.run({"patches"})
    assert.equal(0, result.status)
    for name, how in pairs{recv = "parks", getaddrinfo = "offloaded", __read_chk = "as read"} do
      assert.truthy(result.out:find("\n" .. name .. " +" .. how), name)
    end
  end)

  it("\"--version\" prints the version", function()
    local result = support.run({"--version"})
    assert.equal(0, result.status)
    assert.truthy(result.out:match("%d+%.%d+%.%d+"), result.out)
  end)
end)
