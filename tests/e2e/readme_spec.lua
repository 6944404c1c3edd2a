-- What the README shows is true: each block of code in it is run here.
local cjson = require "cjson"
local lfs = require "lfs"
local support = require "tests.e2e.support"
local visitor = require "tests.e2e.visitor"
local ws_client = require "tests.e2e.websocket.client"

local README = support.read_file("README.md")

-- Every block of code, in order: `language`, `text`, `line`, and the `section` it is in.
local function read_blocks()
  local list, block, section, number = {}, nil, "", 0
  for line in README:gmatch("([^\n]*)\n") do
    number = number + 1
    local fence = line:match("^```(.*)$")
    if block and fence then
      block.text, block = table.concat(block, "\n") .. "\n", nil
    elseif fence then
      block = {language = fence, line = number, section = section}
      list[#list + 1] = block
    elseif block then
      block[#block + 1] = line
    else
      section = line:match("^## (.*)$") or section
    end
  end
  return list
end

local BLOCKS = read_blocks()

-- The text of the block that holds `mark`; it counts as shown to be true.
local function shown(mark)
  for _, block in ipairs(BLOCKS) do
    if block.text:find(mark, 1, true) then
      block.run = true
      return block.text
    end
  end
  error("no block in the README says: " .. mark, 2)
end

-- An app made of these pieces of code.
local function app_of(...)
  return table.concat({'local genet = require "genet"', "local app = genet.app()",
    table.concat({...}, "\n"), "return app"}, "\n")
end

-- The commands of a block of a terminal, each with the lines that it prints.
local function commands_of(text)
  local list = {}
  for line in text:gmatch("([^\n]*)\n") do
    local command = line:match("^%$ (.*)$")
    if command then list[#list + 1] = {command = command, output = ""}
    elseif #list > 0 and line ~= "" then list[#list].output = list[#list].output .. line .. "\n" end
  end
  return list
end

-- What a command of a shell prints in a directory; `server` is the one that it asks, if it does.
local function shell(command, directory, server)
  if server then command = command:gsub("localhost:5000", server.host .. ":" .. server.port) end
  local script = ('curl() { command curl -s "$@"; }; cd %s && PATH=%s:$PATH && { %s\n} 2>&1')
    :format(support.quote(directory), support.quote(directory .. "/.bin"), command)
  local pipe = assert(io.popen("exec timeout 60 bash -c " .. support.quote(script)))
  local output = pipe:read("a")
  pipe:close()
  return output
end

-- A directory that has the binary under its name in `.bin`.
local function workplace(files)
  local directory = support.directory(files)
  lfs.mkdir(directory .. "/.bin")
  local binary = support.binary
  if binary:sub(1, 1) ~= "/" then binary = lfs.currentdir() .. "/" .. binary end
  assert(lfs.link(binary, directory .. "/.bin/genet", true))
  return directory
end

-- What a command's output says: times differ, and the order of what JSON names.
local function meaning(text)
  if text:find("^{") then return cjson.decode(text) end
  return (text:gsub("%d+%.%d+ seconds", "SECONDS"):gsub("\n$", ""))
end

describe("the README", function()
  it("begins with an app that works", function()
    local script, terminal = shown("-- shout.lua"), shown("$ host/run shout.lua")
    support.only("default processes", "300 requests that ask the server itself hold every thread",
      pending)
    local directory = workplace{["shout.lua"] = script}
    local server = support.serve{path = directory .. "/shout.lua"}
    finally(function() server:stop() support.remove(directory) end)
    local asked = 0
    for _, step in ipairs(commands_of(terminal)) do
      if step.command:find("^curl") then
        asked = asked + 1
        assert.same(meaning(step.output), meaning(shell(step.command, directory, server)))
      end
    end
    assert.equal(2, asked)
  end)

  it("shows routes that work", function()
    local server = support.serve{script = app_of(shown('app:get("/item/<int:id>", function'))}
    finally(function() server:stop() end)
    assert.equal(7, cjson.decode(server:get("/item/7").body).id)
    local json = {"Content-Type: application/json"}
    assert.equal(201, server:request("POST", "/note", json, '{"text": "a"}').status)
    assert.equal(400, server:request("POST", "/note", json, "{}").status)
    assert.equal("1\n2\n3\n", server:get("/count").body)
  end)

  it("shows streams and WebSockets that work", function()
    local server = support.serve{scripts = {
      ["main.lua"] = app_of(shown('app:sse("/ticks"')),
      ["templates/page.html"] = "Hello {{ name }}",
    }}
    finally(function() server:stop() end)
    assert.equal("UPPER", server:request("POST", "/upper", nil, "upper").body)
    assert.equal("Hello &lt;b&gt;", server:get("/page/%3Cb%3E").body)
    local ws = ws_client.open(server, "/chat/here")
    ws:send("hi")
    assert.equal("hi", (ws:receive()))
    ws:close()
    local events = server:ask("/ticks")
    events:read_until("an event", function(bytes) return bytes:find('data: {"n":1}', 1, true) end)
    events:close()
  end)

  it("shows files and settings that work", function()
    local server = support.serve{scripts = {
      ["main.lua"] = app_of('app:sessions{secret = ("x"):rep(32)}', shown 'app:static("/static"',
        [[app:get("/", function()
          return genet.render_template_string("{{ 150 | euros }} {{ config.page_size }}{{ user }}")
        end)]]),
      ["static/a.css"] = "a {}",
      ["report.pdf"] = "%PDF",
    }, args = {"--set", "page_size=50"}}
    finally(function() server:stop() end)
    assert.equal("1.50 EUR 50", server:get("/").body)
    local caching = server:get("/static/a.css").headers["cache-control"]
    assert.truthy(caching:find("max-age=3600", 1, true), caching)
    assert.truthy(server:get("/report").headers["content-disposition"]:find("^attachment"))
  end)

  it("shows a login that works", function()
    local server = support.serve{script = app_of(
      "local users = {ann = {password = genet.password.hash('secret')}}",
      (shown 'app:post("/login", function(req)\n  local user':gsub('os.getenv "SECRET"',
        '("x"):rep(32)')),
      "app:get('/token', function(req) return req:csrf_token() end)")}
    finally(function() server:stop() end)
    local page = server:get("/token")
    local headers = {"Content-Type: application/x-www-form-urlencoded",
      "Cookie: " .. page.headers["set-cookie"]:match("^[^;]+")}
    local function login(password, token)
      local form = ("user=ann&password=%s&csrf_token=%s"):format(password, token)
      return server:request("POST", "/login", headers, form).status
    end
    local token = page.body:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)
    assert.equal(303, login("secret", token))
    assert.equal(403, login("wrong", token))
    assert.equal(400, login("secret", ""))
  end)

  it("shows a group that works", function()
    local server = support.serve{script = app_of('app:sessions{secret = ("x"):rep(32)}',
      shown 'app:group("/admin"')}
    finally(function() server:stop() end)
    assert.equal("/admin/user/7", server:get("/").body)
    assert.equal(403, server:get("/admin/user/7").status)
    assert.equal("there is no /x", server:get("/x").body)
  end)

  it("shows tasks that work", function()
    local text = shown("local A = genet.async"):gsub("genet.sleep%(10%)", "genet.sleep(0.01)")
    local directory = support.directory{["tasks.lua"] = table.concat({
      'local genet = require "genet"',
      "local function fetch(path) genet.sleep(0.01) return path end",
      text, "timer:stop() print(pages.front, pages.news, page, problem, #jobs)"}, "\n")}
    finally(function() support.remove(directory) end)
    local result = support.run{"run", directory .. "/tasks.lua"}
    assert.equal("", result.err)
    assert.truthy(result.out:find("true\ta function\n", 1, true), result.out)
    assert.truthy(result.out:find("/\t/news\t/slow\tnil\t1\n", 1, true), result.out)
  end)

  it("shows calls of other programs that work", function()
    local upstream = support.serve{script = app_of[[
      app:get("/items", function(req) return "b\na" .. req.args.page .. "\n" end)]]}
    local text = shown("local response = assert(genet.http.get"):gsub("https://api.test",
      "http://127.0.0.1:" .. upstream.port)
    local directory = support.directory{
      ["main.lua"] = text .. "print(how, code, sorted, digest)",
      ["lib/digest.lua"] = "return {sha512 = function(text) return #text end}",
    }
    finally(function() upstream:stop() support.remove(directory) end)
    local result = support.run{"run", directory .. "/main.lua"}
    assert.equal("", result.err)
    assert.equal("exit\t0\tb\na2\n\t5\n", result.out)
  end)

  it("shows what all workers share", function()
    local server = support.serve{script = app_of(shown 'local hits = genet.shared("hits")')}
    finally(function() server:stop() end)
    server:get("/")
    assert.equal("visitor 2", server:get("/").body)
    local headers = {"Content-Type: application/x-www-form-urlencoded"}
    server:request("POST", "/cart/7", headers, "item=a")
    assert.same({"a", "b"}, cjson.decode(server:request("POST", "/cart/7", headers, "item=b").body))
  end)

  it("shows an app that hands over what it has", function()
    local server = support.one_state().serve{script = app_of(shown 'app:persist("hits"',
      "app:get('/', function() hits.count = hits.count + 1 return tostring(hits.count) end)")}
    finally(function() server:stop() end)
    assert.equal("1", server:get("/").body)
    assert.equal(0, server:tell("reload").status)
    assert.equal("2", server:get("/").body)
    server:wait_for_log("generation 1 ends")
  end)

  it("shows a command, metrics and a line of the log that work", function()
    local script = app_of(shown 'app:command("seed"')
    if not support.run({"runserver", "--help"}).out:find("--access-log", 1, true) then
      pending("metrics are not there yet")
    end
    local server = support.serve{script = script}
    finally(function() server:stop() end)
    assert.equal("thanks", server:get("/order").body)
    server:wait_for_log("order taken from=127.0.0.1 kind=book")
    assert.truthy(server:get("/metrics").body:find('orders_total{kind="book"} 1', 1, true))
    assert.equal(200, server:get("/healthz").status)
    local result = support.run{"-C", server.scripts, "seed", "goods.csv", "-n", "3"}
    assert.equal("goods.csv\t3\n", result.out)
  end)

  it("shows sessions in Redis", function()
    local text = shown("genet.session.redis("):gsub('os.getenv "SECRET"', '("x"):rep(32)')
    local server = support.serve{script = app_of(text, 'app:get("/", function() return "up" end)')}
    finally(function() server:stop() end)
    assert.equal("up", server:get("/").body)
  end)

  it("shows commands that the program understands", function()
    local directory = workplace{["site.pem"] = "", ["site.key"] = "", ["parse.lua"] = [[
      assert(require("genet.cli").parse(arg).command == "runserver")]],
      ["scripts/cluster.lua"] = ""}
    finally(function() support.remove(directory) end)
    for _, mark in ipairs{"host/run -p 8443", "$ genet runserver scripts/cluster.lua"} do
      for line in shown(mark):gmatch("[^\n]+") do
        local options = line:gsub(" +# .*", ""):match("^host/run (.*)")
          or line:match("^%$ genet runserver (.*)")
        if options then
          local command = "REDIS=redis://x; genet run parse.lua runserver " .. options
          assert.equal("", shell(command, directory))
        end
      end
    end
  end)

  it("quotes the help that the program gives", function()
    local help = support.run({"runserver", "--help"}).out
    assert.truthy(shown("$ build/genet runserver --help"):find(help, 1, true), help)
  end)
end)

describe("the tutorial of the README", function()
  local directory, server

  -- Puts a block into the file that its first line names, where that says.
  local function write(block)
    local name, where = block.text:match("^[-{]%S+ ([%w/_.]+)[, ]*([^\n}#]*)")
    local path, text = directory .. "/" .. name, block.text
    local there = support.read_file(path)
    if where:find("^above") then
      text = there:gsub("return app\n$", function(last) return text .. "\n" .. last end)
    elseif where:find("^at its end") then
      text = there .. text
    end
    support.write_file(path, text)
  end

  local function ask(step)
    if step.command:find("^genet runserver %-d") then
      server = support.serve{path = directory, args = {"-d"}}
      assert.truthy(step.output:find("^genet: listening on http://"))
    elseif step.command:find("^genet runserver") then
      server:stop()
      server = support.serve{path = directory, args = {"--processes", "auto"}}
    elseif not step.command:find("^mkdir") then
      local output = shell(step.command, directory, server)
      assert.same(meaning(step.output), meaning(output), step.command)
    end
  end

  local function follow(block)
    if block.language == "" then
      for _, step in ipairs(commands_of(block.text)) do ask(step) end
      return
    end
    write(block)
    if block.text:find("templates/forms.html", 1, true) then -- which the text says to do
      local app = support.read_file(directory .. "/app.lua"):gsub('"index.html", {notes',
        '"forms.html", {notes')
      support.write_file(directory .. "/app.lua", app)
    end
    if server then
      local result = server:tell("reload")
      assert.equal(0, result.status, result.err)
    end
  end

  -- What a visitor does once all of it is there.
  local function visit()
    local ann, changes = visitor.new(server), server:ask("/changes")
    assert.equal(403, ann:post("/note", {text = "no"}, "/").status)
    assert.equal(303, ann:post("/login", {name = "Ann"}, "/").status)
    assert.equal(400, ann:post("/note", {text = ""}, "/").status)
    assert.equal(303, ann:post("/note", {text = "Buy <milk>"}, "/").status)
    assert.truthy(ann:get("/?q=milk").body:find("<b>Ann</b> Buy &lt;milk&gt;", 1, true))
    changes:read_until("a change", function(bytes) return bytes:find("data: Ann", 1, true) end)
    changes:close()
  end

  it("leads from an empty folder to notes", function()
    directory = workplace{["lib/.keep"] = "", ["templates/.keep"] = "", ["spec/.keep"] = ""}
    finally(function()
      if server then server:stop() end
      support.remove(directory)
    end)
    for _, block in ipairs(BLOCKS) do
      if block.section:find("^Tutorial") then
        block.run = true
        follow(block)
      end
    end
    visit()
  end)
end)

describe("what the README names", function()
  local FILES = {h = true, service = true, socket = true, conf = true}

  local CALLS = [[
    local genet = require "genet"
    local app = genet.app()
    local request, task = require "genet.request", require "genet.task"
    local of = {genet = genet, app = app, req = setmetatable({}, request)}
    local missing = {}
    for line in io.lines(arg[1]) do
      local owner, sign, name = line:match("^(%w+)([.:])([%w_.]+)$")
      local ok, value = pcall(function()
        local value = of[owner]
        for part in name:gmatch("[%w_]+") do value = value[part] end
        return value
      end)
      if owner ~= "req" and (not ok or value == nil) then missing[#missing + 1] = line end
      if owner == "req" and sign == ":" and (not ok or value == nil) then
        missing[#missing + 1] = line
      end
    end
    print(table.concat(missing, " "))
  ]]

  it("is there", function()
    local names = {}
    for code in README:gmatch("`([^`\n]+)`") do
      for owner, sign, name in code:gmatch("%f[%w_]([%a]+)([.:])([%a_][%w_.]*)") do
        local ours = owner == "genet" or owner == "req" or owner == "app" and sign == ":"
        if ours and not FILES[name] then
          names[owner .. sign .. name] = true
        end
      end
    end
    local lines = {}
    for name in pairs(names) do lines[#lines + 1] = name end
    assert.is_true(#lines > 60)
    local directory = support.directory{["names.lua"] = CALLS,
      names = table.concat(lines, "\n") .. "\n"}
    finally(function() support.remove(directory) end)
    local result = support.run{"run", directory .. "/names.lua", directory .. "/names"}
    assert.equal("\n", result.out, result.err)
  end)

  it("as a file or a directory of the sources is there", function()
    for path in README:gmatch("`([%w_]+/[%w_./]+)`") do
      local top = path:match("^[^/]+")
      if top == "host" or top == "lua" or top == "scripts" or top == "tests" then
        assert.truthy(lfs.attributes(path), path)
      end
    end
  end)

  it("has an example only if that is run", function()
    for _, block in ipairs(BLOCKS) do
      if block.language ~= "" or block.text:find("^%$") then
        assert.truthy(block.run, "the block in line " .. block.line)
      end
    end
  end)
end)
