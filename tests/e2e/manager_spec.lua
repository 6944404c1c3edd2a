-- The verbs of the command line besides `runserver` and `run`, as somebody who types sees them.
local cjson = require "cjson"
local support = require "tests.e2e.support"
local terminal = require "tests.e2e.terminal"

local SITE = "tests/manager"

local function genet(...)
  return support.run{...}
end

-- Fails unless the program refused with one line that holds `text`.
local function assert_misuse(text, ...)
  local result = genet(...)
  assert.equal(2, result.status, result.err)
  assert.equal("", result.out)
  assert.truthy(result.err:find("^genet: [^\n]+\n$"), result.err)
  assert.truthy(result.err:find(text, 1, true), result.err)
end

describe("the command line", function()
  it("tells of every verb and refuses what none knows", function()
    for _, verb in ipairs{"runserver", "run", "patches", "reload", "status", "shell", "routes",
      "check", "test", "new"} do
      for _, help in ipairs{"-?", "--help"} do
        local result = genet(verb, help)
        assert.equal(0, result.status)
        assert.truthy(result.out:find("^Usage: genet " .. verb), result.out)
        assert.equal("", result.err)
      end
      assert_misuse("unknown option '--nonesuch'", verb, "--nonesuch")
    end
  end)

  it("guesses what was meant", function()
    assert_misuse("unknown command 'rotues'; Did you mean 'routes'?", "rotues")
    assert_misuse("unknown command 'sed'; Did you mean 'seed'?", "-C", SITE, "sed")
    assert_misuse("unknown command 'x'", "-C", SITE, "x")
    assert_misuse("'nowhere': no such file or directory", "-C", "nowhere", "seed")
    assert_misuse("a command is required")
  end)

  it("tells its version", function()
    assert.truthy(genet("--version").out:find("^genet %d+%.%d+%.%d+\n$"))
  end)
end)

describe("a command of a script", function()
  it("runs with the app loaded and gets its arguments", function()
    local result = genet("-C", SITE, "seed", "a.txt", "b", "c", "--count=3", "--dry-run")
    assert.equal("a.txt\t2\tinteger\t3\ttrue\n", result.out)
    assert.equal(0, result.status)
    assert.equal("a.txt\t0\tinteger\t10\tnil\n", genet("--site=" .. SITE, "seed", "a.txt").out)
  end)

  it("is told of, and refuses what it does not take", function()
    local help = genet("-C", SITE, "--help")
    assert.equal(0, help.status)
    assert.truthy(help.out:find("\n   seed +Fill the shop%.\n"), help.out)
    assert.truthy(genet("-C", SITE, "seed", "-?").out:find("-n <count>", 1, true))
    assert_misuse("missing argument 'file'", "-C", SITE, "seed")
    assert_misuse("'-n --count': 'x' is not a whole number", "-C", SITE, "seed", "a", "-n", "x")
    assert_misuse("unknown option '--dry'", "-C", SITE, "seed", "a", "--dry")
  end)

  it("decides the exit status", function()
    assert.equal(1, genet("-C", SITE, "fail").status)
    assert.equal(7, genet("-C", SITE, "fail", "--how", "number").status)
    local said = genet("-C", SITE, "fail", "--how", "say")
    assert.equal(1, said.status)
    assert.equal("genet: said so\n", said.err)
    local raised = genet("-C", SITE, "fail", "--how", "raise")
    assert.equal(1, raised.status)
    assert.truthy(raised.err:find("app.lua:%d+: raised\nstack traceback"), raised.err)
  end)

  it("ends with its tasks, and does not wait for timers", function()
    assert.equal("the task has ended\n", genet("-C", SITE, "spawn").out)
  end)

  it("is not run where the site does not load", function()
    local directory = support.directory{["app.lua"] = "local = 1\n"}
    finally(function() support.remove(directory) end)
    local result = genet("-C", directory, "seed")
    assert.equal(1, result.status)
    assert.truthy(result.err:find("app.lua:1:", 1, true), result.err)
    local help = genet("-C", directory, "--help")
    assert.equal(0, help.status)
    assert.truthy(help.err:find("app.lua:1:", 1, true), help.err)
  end)

  it("cannot have the name of a verb, nor of another command", function()
    local function problem_of(text)
      local directory = support.directory{["app.lua"] = 'local app = require("genet").app()\n'
        .. text .. "\nreturn app"}
      local result = genet("-C", directory, "anything")
      support.remove(directory)
      assert.equal(1, result.status)
      return result.err
    end
    assert.truthy(problem_of("app:command('run', print)")
      :find("app.lua:2: 'run' is a verb", 1, true))
    assert.truthy(problem_of("app:command('a', print) app:command('a', print)")
      :find("the command 'a' is defined at", 1, true))
    assert.truthy(problem_of("app:command('a', {args = {'-x'}}, print)")
      :find("app.lua:2: '-x': the name of an option", 1, true))
  end)
end)

describe("genet routes", function()
  it("lists methods, paths, names and places, sorted", function()
    local result = genet("routes", SITE)
    assert.equal(0, result.status)
    assert.truthy(result.out:find("\nGET +/hello/<name> +hello +tests/manager/app.lua:%d+\n"))
    assert.truthy(result.out:find("\nDELETE,PATCH,PUT +/echo "))
    assert.truthy(result.out:find("\nWEBSOCKET +/room/<name> "))
    local listed = cjson.decode(genet("routes", SITE, "--json").out)
    local paths = {}
    for at, route in ipairs(listed) do paths[at] = route.path end
    local sorted = table.move(paths, 1, #paths, 1, {})
    table.sort(sorted)
    assert.same(sorted, paths)
  end)

  it("tells which one takes a URL", function()
    local result = genet("routes", SITE, "http://localhost/hello/you?a=1")
    assert.equal(0, result.status)
    assert.truthy(result.out:find('^GET /hello/<name> at tests/manager/app.lua:%d+\n'
      .. '  name = "you"\n$'), result.out)
    local found = cjson.decode(genet("-C", SITE, "routes", "/hello/you", "--json").out)
    assert.same({{name = "name", value = "you"}}, found.arguments)
  end)

  it("tells why none does", function()
    local cases = {
      {"/nowhere", "GET", "404 Not Found\n"},
      {"/hello/you", "POST", "405 Method Not Allowed; allowed: GET, HEAD, OPTIONS\n"},
      {"/inner", "GET", "308 Permanent Redirect to /inner/\n"},
      {"/%zz", "GET", "400 Bad Request: the path is not well encoded\n"},
    }
    for _, case in ipairs(cases) do
      local result = genet("routes", SITE, case[1], "-m", case[2])
      assert.equal(case[3], result.out)
      assert.equal(1, result.status)
    end
  end)
end)

describe("genet check", function()
  it("finds nothing in what is well", function()
    local result = genet("check", SITE)
    assert.equal("", result.err)
    assert.equal(0, result.status)
    assert.truthy(result.out:find("1 template: no problem", 1, true), result.out)
  end)

  it("reports every problem with its place", function()
    local directory = support.directory{
      ["a.lua"] = "local x = = 1\n",
      ["b.lua"] = "\nerror('b fails')\n",
      ["c.lua"] = "local app = require('genet').app()\napp:get('/<bad', print)\nreturn app\n",
      ["lib/later.lua"] = "\n\nreturn )\n",
      ["templates/page.html"] = "fine\n{% if %}\n",
    }
    finally(function() support.remove(directory) end)
    local result = genet("check", directory)
    assert.equal(1, result.status)
    assert.equal("", result.out)
    for _, place in ipairs{"a.lua:1:", "b.lua:2: b fails", "c.lua:2:", "lib/later.lua:3:",
      "templates/page.html:2:"} do
      assert.truthy(result.err:find(directory .. "/" .. place, 1, true), place .. result.err)
    end
    assert.truthy(result.err:find("genet: 5 problems\n", 1, true), result.err)
  end)
end)

describe("genet test", function()
  it("runs the specs of the client, and skips time", function()
    local result = genet("test", SITE)
    assert.equal(0, result.status, result.out .. result.err)
    assert.truthy(result.out:find(" 0 failures / 0 errors", 1, true), result.out)
    assert.truthy(tonumber(result.out:match("(%d+) successes")) > 25)
  end)

  it("takes the options of busted, and the time there is", function()
    local result = genet("-C", SITE, "test", SITE .. "/spec", "--", "-o", "TAP", "--filter",
      "goes through to the test")
    assert.equal("ok 1 - an error goes through to the test unless it is an answer\n1..1\n",
      result.out)
    local directory = support.directory{
      ["app.lua"] = "return require('genet').app()",
      ["spec/time_spec.lua"] = [[it("passes", function()
        local before = os.time()
        for _ = 1, 60 do require("genet").sleep(0.01) end
        assert.is_true(os.time() - before < 3600)
        require("genet").sleep(tonumber(os.getenv "SECONDS" or 7200))
        assert.equal(os.getenv "SECONDS" == nil, os.time() - before >= 7199)
      end)]],
    }
    finally(function() support.remove(directory) end)
    assert.equal(0, genet("test", directory).status)
    local real = support.start({"test", "--real-time", directory}, {SECONDS = "0"})
    finally(function() real:clean() support.remove(directory) end)
    assert.equal(0, real:wait())
  end)

  it("ends with 1 when a spec fails, and with 2 when there is none of the name", function()
    local directory = support.directory{
      ["app.lua"] = "return require('genet').app()",
      ["spec/bad_spec.lua"] = "it('fails', function() assert.equal(1, 2) end)",
    }
    finally(function() support.remove(directory) end)
    assert.equal(1, genet("test", directory).status)
    assert_misuse("'nowhere': no such file or directory", "test", "nowhere")
  end)
end)

describe("genet new", function()
  it("makes a site that can be tested and served at once", function()
    local parent = support.directory()
    finally(function() support.remove(parent) end)
    local site = parent .. "/my shop"
    local made = genet("new", site)
    assert.equal(0, made.status, made.err)
    assert.equal(0, genet("check", site).status)
    local tested = genet("test", site)
    assert.equal(0, tested.status, tested.out .. tested.err)
    assert.truthy(tested.out:find("2 successes / 0 failures", 1, true), tested.out)
    assert.equal("Hello, you!\n", genet("-C", site, "greet", "you").out)
    local server = support.serve{path = site}
    finally(function() server:stop() support.remove(parent) end)
    assert.truthy(server:get("/").body:find("<h1>My shop</h1>", 1, true))
    assert.equal(200, server:get("/static/style.css").status)
    assert_misuse("is there already", "new", site)
    assert_misuse("missing argument 'name'", "new")
  end)
end)

describe("genet shell", function()
  it("evaluates, completes, waits, and can be interrupted", function()
    local shell = terminal.start({"shell", SITE},
      {LSAN_OPTIONS = "suppressions=tests/e2e/readline.supp:print_suppressions=0"})
    shell:type("1 + 1\n")
    shell:wait_for("\n2\r\n")
    shell:type("= {2, a = 'x'}\n")
    shell:wait_for('{2, a = "x"}')
    shell:type("for i = 1, 2 do\n")
    shell:type("print('line', i) end\n", ">> ")
    shell:wait_for("line\t2")
    shell:type("genet.slee\t(0.01)\n")
    shell:wait_for("genet.sleep")
    shell:type("c:get('/hello/prompt').text\n")
    shell:wait_for('"hello prompt"')
    shell:type("n = 0 genet.spawn({detach = true}, function() genet.sleep(0.05) n = 'later' end)\n")
    shell:wait_for("> ")
    support.wait_until("the task", function()
      shell.pipe:write("n\n")
      shell:wait_for("> ")
      return shell:shown():find('"later"', 1, true)
    end)
    shell.pipe:write("print 'busy' while true do end\n")
    shell:wait_for("busy\r\n")
    shell.pipe:write("\3")
    shell:wait_for("cancelled")
    shell:type("genet.sleep(1000)\n")
    shell:wait_for("genet.sleep(1000)\r\n")
    shell.pipe:write("\3")
    shell:wait_for("cancelled")
    shell:type("error 'on purpose'\n")
    shell:wait_for("stdin:1: on purpose")
    shell:wait_for("stack traceback")
    shell:type("half a line\3")
    shell:wait_for("^C")
    shell:type("'whole'\n")
    shell:wait_for('"whole"')
    shell:type("genet.spawn({detach = true}, function() genet.sleep(100000) end)\n")
    shell:wait_for("task: ")
    shell:type("\4")
    local status, history = shell:finish()
    assert.equal(0, status)
    assert.truthy(history:find("c:get('/hello/prompt').text", 1, true), history)
  end)

  it("runs what is piped in", function()
    local function run(text)
      local directory = support.directory{["in"] = text}
      local command = ("%s shell %s <%s/in >%s/out 2>&1"):format(support.binary, SITE, directory,
        directory)
      local _, _, status = os.execute(command)
      local out = support.read_file(directory .. "/out")
      support.remove(directory)
      return status, out
    end
    local status, out = run("local r = c:get('/hello/pipe')\ngenet.sleep(0.01)\nprint(r.text)\n")
    assert.equal("hello pipe\n", out)
    assert.equal(0, status)
    status, out = run("\nerror('no')")
    assert.equal(1, status)
    assert.truthy(out:find("stdin:2: no", 1, true), out)
    assert.equal(1, (run("local =")))
  end)
end)

describe("what is installed with it", function()
  local build = support.binary:match("^(.*)/")

  it("is a manual page with every verb and option", function()
    local page = support.read_file(build .. "/genet.1"):gsub("\\%-", "-")
    assert.truthy(page:find("^%.TH GENET 1"))
    local help = genet("--help").out
    for verb in help:match("Commands:\n(.*)$"):gmatch("\n?   (%l+) ") do
      local section = page:match("%.SS genet " .. verb .. "\n(.-)\n%.S[SH]")
      assert.truthy(section, verb)
      for option in genet(verb, "--help").out:match("\nOptions:\n.*$"):gmatch("%-%-[%w-]+") do
        assert.truthy(section:find("\n%.B [^\n]*" .. option:gsub("%-", "%%-")), verb .. option)
      end
    end
  end)

  it("completes words in a shell", function()
    local function complete(words)
      local script = (". %s/genet.bash; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); "
        .. "_genet; echo ${COMPREPLY[@]}"):format(build, words)
      local pipe = assert(io.popen("bash -c " .. support.quote(script)))
      local out = pipe:read("a")
      pipe:close()
      return out
    end
    assert.equal("routes\n", complete("genet ro"))
    assert.equal("--ws-queue --ws-ping\n", complete("genet runserver --ws"))
    assert.truthy(os.execute("zsh -n " .. build .. "/_genet"))
    local pipe = assert(io.popen(("fish -c %s"):format(
      support.quote(("source %s/genet.fish; complete -C 'genet ro'"):format(build)))))
    assert.truthy(pipe:read("a"):find("^routes\t"))
    pipe:close()
  end)
end)
