local support = require "support"

-- Runs the command line in a process of its own, which prints the options it ends up with.
local PROGRAM = [[
package.preload["genet.core"] = function()
  return {version = "0.1.0", processors = function() return 3 end,
    is_terminal = function() return false end}
end
package.path = %q
local cli = require "genet.cli"
local options = cli.parse(arg)
if not options.command then options = cli.parse(arg, {commands = {}}) end -- there is no site
for _, name in ipairs{"command", "path", "max_connections", "max_per_ip", "max_body", "max_head",
  "head_timeout", "keep_alive", "drain", "log_level", "slice_ms", "cpu_limit",
  "redirect_https", "client_ca", "file", "state", "shared_memory", "threads", "processes",
  "access_log", "access_format", "log_json", "request_id", "target", "worker"} do
  local value = options[name]
  if value ~= nil then print(name, math.type(value) or type(value), value) end
end
for _, name in ipairs{"listen", "cert", "key", "config"} do
  if options[name] then print(name, "table", table.concat(options[name], "|")) end
end
print("args", "table", table.concat(options.args or {}, "|"))
]]

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function slurp(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function genet(...)
  local result = {}
  local words = {}
  for at, word in ipairs{...} do words[at] = quoted(word) end
  support.with_files({["main.lua"] = PROGRAM:format(package.path)}, function(dir)
    local _, _, code = os.execute(("lua5.4 %s/main.lua %s >%s/out 2>%s/err")
      :format(dir, table.concat(words, " "), dir, dir))
    result = {code = code, out = slurp(dir .. "/out"), err = slurp(dir .. "/err")}
  end)
  return result
end

local function options(...)
  local result = genet(...)
  assert.equal("", result.err)
  assert.equal(0, result.code)
  local found = {}
  for name, kind, value in result.out:gmatch("(%S+)\t(%S+)\t([^\n]*)\n") do
    found[name] = kind == "integer" and math.tointeger(value) or tonumber(value) or value
    assert(kind ~= "integer" or math.type(found[name]) == "integer")
  end
  return found
end

describe("genet runserver", function()
  it("has defaults", function()
    assert.same({
      command = "runserver",
      access_format = "combined",
      log_json = "false",
      path = "scripts",
      listen = "127.0.0.1:5000",
      config = "",
      cert = "",
      key = "",
      max_connections = 10000,
      max_per_ip = 0,
      max_body = 8 * 1024 * 1024,
      max_head = 16 * 1024,
      head_timeout = 10,
      keep_alive = 15,
      shared_memory = 64 << 20,
      drain = 30,
      slice_ms = 50,
      cpu_limit = 30,
      log_level = "info",
      threads = 0,
      processes = 0,
      args = "",
    }, options("runserver"))
  end)

  it("takes its options, long and short", function()
    local short = options("runserver", "scripts/hello.lua", "-h", "0.0.0.0", "-p", "0")
    assert.equal("scripts/hello.lua", short.path)
    assert.equal("0.0.0.0:0", short.listen)
    local long = options("runserver", "--host", "::1", "--port=65535", "--max-connections", "5",
      "--max-body", "500K", "--drain", "0.5", "--log-level", "debug")
    assert.equal("[::1]:65535", long.listen)
    assert.equal(5, long.max_connections)
    assert.equal(500 * 1024, long.max_body)
    assert.equal(0.5, long.drain)
    assert.equal("debug", long.log_level)
  end)

  it("serves by threads or by processes", function()
    assert.equal(32, options("runserver", "--threaded", "scripts").threads)
    assert.equal(7, options("runserver", "--threaded=7").threads)
    assert.equal(2, options("runserver", "--processes", "2").processes)
    assert.equal(3, options("runserver", "--processes=auto").processes)
  end)

  it("listens on every address it is given", function()
    local both = {"--listen", "unix:/tmp/a.sock", "--listen", "[::1]:80"}
    for expected, more in pairs{
      ["unix:/tmp/a.sock|[::1]:80"] = {},
      ["127.0.0.1:81|unix:/tmp/a.sock|[::1]:80"] = {"-p", "81"},
      ["localhost:5000|unix:/tmp/a.sock|[::1]:80"] = {"-h", "localhost"},
    } do
      assert.equal(expected, options("runserver", table.unpack(table.move(more, 1, #more, 5,
        table.move(both, 1, 4, 1, {})))).listen)
    end
  end)

  it("tells the app whom to believe", function()
    assert.equal("trusted_proxies=10.0.0.0/8,unix,::1",
      options("runserver", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "unix",
        "--trusted-proxy", "::1").config)
    local wrong = genet("runserver", "--trusted-proxy", "10.0.0.0/33")
    assert.equal(2, wrong.code)
    assert.equal("genet: option '--trusted-proxy': '10.0.0.0/33' is not an address, ADDR/BITS or "
      .. "unix\n", wrong.err)
  end)

  it("speaks TLS on its address when there is a certificate", function()
    local found = options("runserver", "--cert", "a.pem", "--key", "a.key", "--cert", "b.pem",
      "--key", "b.key", "--redirect-https", "--client-ca", "ca.pem")
    assert.equal("https://127.0.0.1:5000", found.listen)
    assert.equal("a.pem|b.pem", found.cert)
    assert.equal("a.key|b.key", found.key)
    assert.equal("ca.pem", found.client_ca)
    assert.equal("true", found.redirect_https)
  end)

  it("reads sizes", function()
    for text, bytes in pairs{["0"] = 0, ["100"] = 100, ["1M"] = 1048576, ["2G"] = 2147483648} do
      assert.equal(bytes, options("runserver", "--max-body", text).max_body)
    end
  end)
end)

describe("genet run", function()
  it("takes limits for a plain script in front of its name", function()
    local found = options("run", "--slice-ms", "20", "--cpu-limit=1.5", "scripts/hello.lua", "-x")
    assert.equal("scripts/hello.lua", found.file)
    assert.equal("-x", found.args)
    assert.equal(20, found.slice_ms)
    assert.equal(1.5, found.cpu_limit)
  end)

  it("knows where genet.shared is kept", function()
    local found = options("run", "--state", "scripts", "--shared-memory", "8M", "scripts/hello.lua")
    assert.equal("scripts", found.state)
    assert.equal(8 << 20, found.shared_memory)
    found = options("runserver")
    assert.equal(os.getenv("GENET_STATE"), found.state)
    assert.equal(64 << 20, found.shared_memory)
  end)

  it("leaves to the script what follows its name", function()
    local found = options("run", "scripts/hello.lua", "-x", "--help", "a b", "run")
    assert.equal("run", found.command)
    assert.equal("scripts/hello.lua", found.file)
    assert.equal("-x|--help|a b|run", found.args)
  end)
end)

describe("genet", function()
  it("refuses misuse with one clear line and exit code 2", function()
    for _, case in ipairs{
      {{}, "a command is required"},
      {{"frob"}, "unknown command 'frob'"},
      {{"runserver", "--bogus"}, "unknown option '--bogus'"},
      {{"runserver", "-p", "x"}, "option '--port': 'x' is not a number from 0 to 65535"},
      {{"runserver", "-p", "65536"}, "option '--port': '65536' is not a number from 0 to 65535"},
      {{"runserver", "-p", "1.5"}, "option '--port': '1.5' is not a number from 0 to 65535"},
      {{"runserver", "-p"}, "option '-p' requires an argument"},
      {{"runserver", "--cert", "a.pem"}, "each --cert needs a --key, and each --key a --cert"},
      {{"runserver", "--max-connections", "0"},
        "option '--max-connections': '0' is not a number from 1 to 65536"},
      {{"runserver", "--max-body", "8X"},
        "option '--max-body': '8X' is not a size such as 500K, 8M or 1G"},
      {{"runserver", "--max-body", "99999999999G"},
        "option '--max-body': '99999999999G' is not a size such as 500K, 8M or 1G"},
      {{"runserver", "--drain", "soon"}, "option '--drain': 'soon' is not a number of seconds"},
      {{"runserver", "--drain", "."}, "option '--drain': '.' is not a number of seconds"},
      {{"runserver", "--log-level", "loud"},
        "option '--log-level': 'loud' is not error, warn, info or debug"},
      {{"runserver", "--processes", "0"},
        "option '--processes': '0' is not a number from 1 to 1024, nor 'auto'"},
      {{"runserver", "--threaded=1025"},
        "option '--threaded': '1025' is not a number from 1 to 1024"},
      {{"runserver", "--threaded", "--processes", "2"},
        "--threaded and --processes exclude each other"},
      {{"runserver", "--threaded", "-d"}, "--threaded does not go with --debug"},
      {{"runserver", "--processes", "2", "-d"}, "--processes does not go with --debug"},
      {{"runserver", "nowhere"}, "'nowhere': no such file or directory"},
      {{"runserver", "scripts", "more"}, "too many arguments"},
      {{"run"}, "missing argument 'file'"},
      {{"runserver", "--state", "nowhere"}, "'nowhere': no such file or directory"},
      {{"run", "nowhere.lua"}, "'nowhere.lua': no such file or directory"},
      {{"run", "scripts"}, "'scripts' is not a file"},
    } do
      local result = genet(table.unpack(case[1]))
      assert.equal("genet: " .. case[2] .. "\n", result.err)
      assert.equal("", result.out)
      assert.equal(2, result.code)
    end
  end)

  it("keeps what it has to say on one line", function()
    local result = genet("runserver", "--prot", "80")
    assert.equal(2, result.code)
    assert.matches("^genet: unknown option '%-%-prot'[^\n]*\n$", result.err)
  end)

  it("shows help and its version", function()
    for _, case in ipairs{
      {{"-?"}, "^Usage: genet .*runserver.*run "},
      {{"--help"}, "^Usage: genet "},
      {{"runserver", "-?"}, "^Usage: genet runserver .*%-%-max%-body <size>.*default: 8M"},
      {{"run", "--help"}, "^Usage: genet run "},
      {{"--version"}, "^genet 0%.1%.0\n$"},
    } do
      local result = genet(table.unpack(case[1]))
      assert.equal(0, result.code)
      assert.equal("", result.err)
      assert.matches(case[2], result.out)
    end
  end)

  it("writes an access log for tools, and for people one that they can read", function()
    for _, case in ipairs{
      {{}, nil, "combined"},
      {{"--debug"}, "-", "dev"},
      {{"--debug", "--access-log", "off"}, nil, "combined"},
      {{"--access-log", "-"}, "-", "combined"},
      {{"--access-log", "a.log", "--log-format", "json"}, "a.log", "json"},
      {{"--access-log", "a.log", "--log-format", "$status"}, "a.log", "$status"},
    } do
      local read = options("runserver", "lua", table.unpack(case[1]))
      assert.equal(case[2], read.access_log)
      assert.equal(case[3], read.access_format)
      assert.equal(tostring(case[3] == "json"), read.log_json)
    end
  end)
end)
