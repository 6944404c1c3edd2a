-- `app:run{...}` at the end of a script: `genet run` then serves it as the command line would.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local app = genet.app()
local ticks = 0
genet.every(0.01, function() ticks = ticks + 1 end)
app:get("/", function() return "ran " .. tostring(arg ~= nil) end)
app:get("/ticks", function() return ticks > 0 and "yes" or "no" end)
app:get("/fail", function() error "shown" end)
]]

describe("app:run", function()
  local process, directory

  local function start(text, verb)
    directory = support.directory{["app.lua"] = text}
    process = support.start{verb or "run", directory .. "/app.lua", verb and "-p" or "one",
      verb and "0"}
  end

  after_each(function()
    if process then
      if not process:has_ended() then process:kill() end
      process:check_sanitizers()
      process:clean()
      support.remove(directory)
    end
    process = nil
  end)

  local function serve(text, verb)
    start(text, verb)
    return support.wait_until("the ready line", function()
      if process:has_ended() then error(process:stderr(), 0) end
      return process:stdout():match("genet: listening on (http://127%.0%.0%.1:%d+)\n")
    end)
  end

  local function get(url)
    local pipe = assert(io.popen(("curl -s -m %d '%s'"):format(support.patience, url)))
    local text = pipe:read("a")
    pipe:close()
    return text
  end

  it("serves, reloads and ends as the command line would", function()
    local url = serve(script .. "app:run{port = 0, debug = true, log_level = 'debug'}")
    assert.equal("ran false", get(url):match("^[^\n]*"))
    support.wait_until("the timer", function() return get(url .. "/ticks"):find("^yes") end)
    assert.truthy(get(url .. "/fail"):find("app.lua:7: shown", 1, true))
    process:wait_for_log("app:run changes nothing here: the host serves already")
    support.write_file(directory .. "/app.lua",
      (script:gsub("ran ", "again ")) .. "app:run{port = 0}\nreturn app")
    process:wait_for_log("generation 2 serves")
    assert.equal("again false", get(url):match("^[^\n]*"))
    process:signal("TERM")
    assert.equal(0, process:wait())
  end)

  for _, mode in ipairs{"threaded = true", "processes = 2"} do
    it("serves with " .. mode, function()
      local url = serve(script .. ("app:run{port = 0, %s}"):format(mode))
      for _ = 1, 10 do assert.equal("ran false", get(url)) end
      process:signal("TERM")
      assert.equal(0, process:wait())
    end)
  end

  it("changes nothing for genet runserver", function()
    local url = serve(script .. "app:run{port = 'nonsense'}", "runserver")
    assert.equal("ran false", get(url))
    process:signal("TERM")
    assert.equal(0, process:wait())
  end)

  for _, case in ipairs{
    {"an unknown option", "app:run{prot = 1}", 1, "app.lua:8: app:run: unknown option 'prot'\n"},
    {"a wrong one", "app:run{port = {}}", 1,
      "app.lua:8: app:run: option 'port': a string or a number was expected, not a table\n"},
    {"options that do not go together", "app:run{debug_from = 'any'}", 2,
      "genet: --debug-from needs --debug\n"},
    {"threads and processes at once", "app:run{threaded = true, processes = 2}", 2,
      "genet: --threaded and --processes exclude each other\n"},
    {"threads and debug", "app:run{threaded = 4, debug = true}", 2,
      "genet: --threaded does not go with --debug\n"},
    {"processes and debug", "app:run{processes = 2, debug = true}", 2,
      "genet: --processes does not go with --debug\n"},
    {"an address that cannot be listened on", "app:run{listen = 'nowhere'}", 1,
      "genet: cannot listen on nowhere: "},
    {"an error of the script", "app:run{port = 0} error 'late'", 1, "app.lua:8: late\n"},
  } do
    it("ends with a clear line and its status for " .. case[1], function()
      start(script .. case[2])
      assert.equal(case[3], process:wait())
      assert.truthy(process:stderr():find(case[4], 1, true), process:stderr())
      assert.equal("", process:stdout())
    end)
  end
end)
