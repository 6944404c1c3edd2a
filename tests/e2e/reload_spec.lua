-- Scripts are edited while they are served.
local support = require("tests.e2e.support").one_state()
local lfs = require "lfs"
local ws_client = require "tests.e2e.websocket.client"

-- A script whose every answer names `version`, before and after a wait.
local function site(version)
  return ([[
    local genet = require "genet"
    local app = genet.app()
    local version = %q
    app:get("/", function() return version end)
    app:get("/number", function() return tostring(genet.generation()) end)
    app:get("/slow", function()
      local before = version
      genet.sleep(0.3)
      return before .. " " .. version
    end)
    app:get("/stream", function()
      return function(write)
        for _ = 1, 5 do write(version) genet.sleep(0.05) end
      end
    end)
    app:websocket("/ws", {on_reload = "move"}, function(ws)
      for message in ws:messages() do ws:send(version .. message) end
    end)
    app:get("/forever", function() while true do genet.sleep(1) end end)
    app:get("/reload", function() return {serves = genet.reload()} end)
    return app
  ]]):format(version)
end

describe("a reload", function()
  local server

  local function serve(options)
    server = support.serve(options)
    return server
  end

  after_each(function()
    if server then server:stop() end
    server = nil
  end)

  -- What `genet status` says of the generation that serves, or of another.
  local function describe_generation(number)
    return server:tell("status").out:match("generation " .. (number or "%d+ serves") .. "[^\n]*")
  end

  local function wait_for_calls(count)
    support.wait_until(count .. " calls", function()
      return describe_generation():find(("running: %d calls"):format(count), 1, true)
    end)
  end

  local function wait_for_end_of(number)
    support.wait_until("the end of generation " .. number, function()
      return not describe_generation(number .. " retires")
    end)
  end

  local function body(target)
    return server:get(target or "/").body
  end

  local function wait_for(text, target)
    support.wait_until(("%q from %s"):format(text, target or "/"), function()
      return body(target) == text
    end)
  end

  describe("is triggered", function()
    local function replace(name, text)
      support.write_file(server.scripts .. "/.new", text)
      assert(os.rename(server.scripts .. "/.new", server.scripts .. "/" .. name))
    end

    local cases = {
      {"by a script saved in place", function() server:save("main.lua", site "two") end, "two"},
      {"by a script saved under another name and renamed",
        function() replace("main.lua", site "two") end, "two"},
      {"by a module it requires", function() server:save("lib/word.lua", "return 'module'") end,
        "module", "/word"},
      {"by a module that is replaced", function() replace("lib/word.lua", "return 'module'") end,
        "module", "/word"},
      {"by a script that comes", function()
        server:save("more.lua", "return function(app) app:get('/more', "
          .. "function() return 'more' end) end")
      end, "more", "/more"},
      {"by a script that goes", function() os.remove(server.scripts .. "/word.lua") end,
        "404 Not Found\n", "/word"},
      {"by a directory that goes and comes back", function()
        local moved = server.scripts .. ".moved"
        assert(os.rename(server.scripts, moved))
        support.write_file(moved .. "/main.lua", site "two")
        assert(os.rename(moved, server.scripts))
      end, "two"},
      {"by SIGHUP", function()
        server:save("main.lua", site "two")
        server:signal("HUP")
      end, "two", args = {}},
      {"by `genet reload`", function()
        server:save("main.lua", site "two")
        local result = server:tell("reload")
        assert.equal("generation 2 serves\n", result.out)
        assert.equal(0, result.status)
        assert.equal("two", body())
      end, "two", args = {}},
      {"by genet.reload()", function()
        server:save("main.lua", site "two")
        assert.equal('{"serves":2}', body("/reload"))
      end, "two", args = {}},
    }
    for _, case in ipairs(cases) do
      local what, edit, expected, target = table.unpack(case)
      it(what, function()
        serve{args = case.args or {"--reload"}, scripts = {
          ["main.lua"] = site "one",
          ["word.lua"] = "return function(app) local word = require 'lib.word' "
            .. "app:get('/word', function() return word end) end",
          ["lib/word.lua"] = "return 'word'",
        }}
        assert.equal("one", body())
        edit()
        wait_for(expected, target)
      end)
    end

    it("by --debug, and not with --no-reload", function()
      serve{args = {"--debug"}, scripts = {["main.lua"] = site "one"}}
      server:save("main.lua", site "two")
      support.wait_until("the second generation", function()
        return server:get("/").headers["x-genet-generation"] == "2"
      end)
      server:stop()
      serve{args = {"-d", "-R"}, scripts = {["main.lua"] = site "one"}}
      server:save("main.lua", site "two")
      server:save("main.lua", site "three")
      server:tell("reload") -- what had been watched for would come before this
      assert.equal("2", server:get("/number").body:match("%d+"))
    end)
  end)

  describe("that fails", function()
    -- What is saved, and what is said of it.
    local cases = {
      {"for a syntax error", "local x =\nreturn app", "main.lua:2: unexpected symbol", ">    2 |"},
      {"for an error", "local x\n\nx.y = 1", "main.lua:3: attempt to index", ">    3 | x.y = 1"},
      {"for a script that returns nothing", "print('no app')", "returned nothing"},
      {"for a rule defined twice", site("two"):gsub("return app",
        "app:get('/', function() end)\nreturn app"), "main.lua"},
      {"for a module that is not there", "require 'not_there'", "module 'not_there' not found"},
      {"for a module with an error", "require 'lib.bad'", "bad.lua:1:", ">    1 | return +"},
      {"for an error that is no string", "error({})", "table:"},
      {"when it waits too long", "require('genet').sleep(60)", "loading took more than 0.2 s"},
      {"when it computes too long", "while true do end", "loading took more than 0.2 s"},
    }
    for _, case in ipairs(cases) do
      local what, text, message, excerpt = table.unpack(case)
      it(what .. " changes nothing", function()
        serve{args = {"--load-timeout", "0.2"},
          scripts = {["main.lua"] = site "one", ["lib/bad.lua"] = "return +"}}
        server:save("main.lua", text)
        local result = server:tell("reload")
        assert.equal(1, result.status)
        assert.equal("", result.out)
        assert.truthy(result.err:find(message, 1, true), result.err)
        if excerpt then assert.truthy(result.err:find(excerpt, 1, true), result.err) end
        assert.equal("one", body())
        assert.truthy(server:stderr():find(message, 1, true), server:stderr())
        assert.truthy(server:tell("status").out:find(message, 1, true))

        server:save("main.lua", site "two")
        assert.equal(0, server:tell("reload").status)
        assert.equal("two", body())
        assert.is_nil(server:tell("status").out:find("failed", 1, true))
      end)
    end
  end)

  describe("lets go on", function()
    it("a request, on the generation it began on", function()
      support.only("default processes", "requests meet in one Lua state", pending)
      serve{scripts = {["main.lua"] = site "one"}}
      local slow, stream = server:ask("/slow"), server:ask("/stream")
      finally(function() slow:close() stream:close() end)
      wait_for_calls(2)
      server:save("main.lua", site "two")
      server:tell("reload")
      assert.equal("two", body())
      assert.equal("one one", slow:response().body)
      assert.equal(("one"):rep(5), stream:response().body)
    end)

    it("a connection, with the next generation", function()
      serve{scripts = {["main.lua"] = site "one"}}
      local connection = server:connect()
      finally(function() connection:close() end)
      assert.equal("one", connection:request("GET", "/").body)
      server:save("main.lua", site "two")
      server:tell("reload")
      assert.equal("two", connection:request("GET", "/").body)
    end)

    it("a task, which learns that it is to end", function()
      serve{script = [[
        local genet = require "genet"
        local app = genet.app()
        app:get("/start", function()
          genet.spawn(function()
            while not genet.retiring() do genet.sleep(0.01) end
            print("the task of " .. genet.generation() .. " has seen it")
          end)
          return "started"
        end)
        return app]]}
      body("/start")
      server:tell("reload")
      server:wait_for_log("the task of 1 has seen it")
      wait_for_end_of(1)
    end)
  end)

  describe("hands over", function()
    local script = [[
      local app = require("genet").app()
      local hits = app:persist("hits", {count = 0, seen = {}})
      app:get("/", function(req)
        hits.count = hits.count + 1
        hits.seen[#hits.seen + 1] = req.args.name
        return hits.count .. table.concat(hits.seen, " ")
      end)
      app:get("/spoil", function() hits.fn = print return "spoilt" end)
      return app]]

    it("what app:persist has given", function()
      serve{script = script}
      body("/?name=ann")
      assert.equal("2ann bob", body("/?name=bob"))
      server:tell("reload")
      assert.equal("3ann bob eve", body("/?name=eve"))
      server:save("main.lua", "local broken = = 1")
      server:tell("reload")
      server:save("main.lua", script)
      server:tell("reload")
      assert.equal("4ann bob eve joe", body("/?name=joe"))
    end)

    it("what it was before when it is no longer plain data, and says so", function()
      serve{script = script}
      body()
      server:tell("reload")
      body("/spoil")
      server:tell("reload")
      assert.equal("2", body())
      assert.truthy(server:stderr():find("'hits' cannot be kept: it.fn is a function", 1, true),
        server:stderr())
    end)
  end)

  describe("with open WebSockets", function()
    -- Each message is answered with the version, how many came, and the subprotocol.
    local function echo(version, policy)
      return ([[
        local app = require("genet").app()
        app:websocket("/ws", {on_reload = %q, subprotocols = {"count"}}, function(ws)
          ws.state = ws.state or {count = 0}
          ws:join("news")
          for message in ws:messages() do
            ws.state.count = ws.state.count + 1
            ws:send(("%s %%s %%d %%s"):format(message, ws.state.count, ws.subprotocol))
          end
        end)
        app:get("/publish", function()
          return tostring(require("genet").publish("news", "it rains"))
        end)
        return app
      ]]):format(policy, version)
    end

    local function open(policy, args)
      serve{args = args, scripts = {["main.lua"] = echo("one", policy)}}
      local ws = ws_client.open(server, "/ws", {"Sec-WebSocket-Protocol: count"})
      ws:send("a")
      assert.equal("one a 1 count", (ws:receive()))
      return ws
    end

    it("keeps them until the deadline of their generation", function()
      local ws = open("keep", {"--drain", "0.5"})
      finally(function() ws:vanish() end)
      server:save("main.lua", echo("two", "keep"))
      server:tell("reload")
      ws:send("b")
      assert.equal("one b 2 count", (ws:receive()))
      assert.equal(1012, select(2, ws:receive()))
      ws:vanish()
      wait_for_end_of(1)
    end)

    it("closes them at once", function()
      local ws = open("close")
      finally(function() ws:vanish() end)
      server:tell("reload")
      assert.equal(1012, select(2, ws:receive()))
      ws:vanish()
      wait_for_end_of(1)
    end)

    it("moves them to the next generation, with their state and topics", function()
      local ws = open("move")
      finally(function() ws:vanish() end)
      for turn, version in ipairs{"two", "three"} do
        server:save("main.lua", echo(version, "move"))
        server:tell("reload")
        ws:send("b")
        assert.equal(version .. " b " .. turn + 1 .. " count", (ws:receive()))
        assert.equal("1", body("/publish"))
        assert.equal("it rains", (ws:receive()))
        wait_for_end_of(turn)
      end
    end)

    it("closes those whose route is gone", function()
      local ws = open("move")
      finally(function() ws:vanish() end)
      server:save("main.lua", "local app = require('genet').app()\n"
        .. "app:get('/', function() return 'two' end)\nreturn app")
      server:tell("reload")
      assert.equal(1012, select(2, ws:receive()))
      ws:vanish()
      wait_for_end_of(1)
      assert.equal("two", body())
    end)
  end)

  describe("ends", function()
    it("timers and what runs in the background, and calls app:on_unload", function()
      serve{script = [[
        local genet = require "genet"
        local app = genet.app()
        local me = genet.generation()
        genet.every(0.01, function() print("tick " .. me) end)
        genet.spawn(function()
          local _ <close> = setmetatable({}, {__close = function() print("closed " .. me) end})
          while true do genet.sleep(1) end
        end)
        app:on_unload(function() print("unloaded first " .. me) end)
        app:on_unload(function() genet.sleep(0.01) print("unloaded last " .. me) end)
        return app]]}
      server:wait_for_log("tick 1")
      server:tell("reload")
      wait_for_end_of(1)
      local log = server:stderr()
      local order = {}
      for line in log:gmatch("%[1%] ([uc][^\n]+)") do order[#order + 1] = line end
      assert.same({"unloaded last 1", "unloaded first 1", "closed 1"}, order)
      local _, since = log:find("unloaded last 1", 1, true)
      assert.is_nil(log:find("tick 1", since, true))
      server:wait_for_log("tick 2")
    end)

    it("at the deadline what never ends by itself", function()
      support.only("default processes", "requests meet in one Lua state", pending)
      serve{args = {"--drain", "0.2"}, scripts = {["main.lua"] = site "one"}}
      local forever = server:ask("/forever")
      finally(function() forever:close() end)
      wait_for_calls(1)
      server:tell("reload")
      assert.equal(503, forever:response().status)
      wait_for_end_of(1)
    end)

    it("at the deadline a task in an endless loop", function()
      serve{args = {"--drain", "0.2"}, script = [[
        local genet = require "genet"
        local app = genet.app()
        app:get("/loop", function() genet.spawn(function() while true do end end) return "on" end)
        return app]]}
      body("/loop")
      server:tell("reload")
      wait_for_end_of(1)
    end)

    it("the oldest before there are three", function()
      support.only("default processes", "requests meet in one Lua state", pending)
      serve{args = {"--drain", "0.3"}, scripts = {["main.lua"] = site "one"}}
      local first = server:ask("/forever")
      finally(function() first:close() end)
      wait_for_calls(1)
      server:tell("reload")
      local second = server:ask("/forever")
      finally(function() second:close() end)
      wait_for_calls(1)
      assert.equal("generation 3 serves\n", server:tell("reload").out)
      assert.equal(503, first:response().status)
      local generations, count = {}, 0
      for number in server:tell("status").out:gmatch("generation (%d+)") do
        count = count + (generations[number] and 0 or 1)
        generations[number] = true
      end
      assert.is_true(count <= 2)
    end)

    it("without a trace in memory", function()
      serve{script = [[
        local genet = require "genet"
        local app = genet.app()
        local ballast = {}
        for i = 1, 20000 do ballast[i] = {i} end
        app:get("/", function() return tostring(#ballast) end)
        return app]]}
      for _ = 1, 10 do server:tell("reload") end
      wait_for_end_of(10)
      local before = server:resident()
      for _ = 1, 30 do server:tell("reload") end
      wait_for_end_of(40)
      local grown = server:resident() - before
      assert.is_true(support.scale < 1 or grown < 1024, ("grew by %d KB"):format(grown))
    end)
  end)

  it("while another is under way comes after it", function()
    serve{scripts = {["main.lua"] = "require('genet').sleep(0.2)\n" .. site "one"}}
    local first, second = server:ask("/reload"), server:ask("/reload")
    finally(function() first:close() second:close() end)
    assert.equal('{"serves":2}', first:response().body)
    assert.truthy(second:response().body:find('{"serves":[23]}'))
  end)

  describe("is told of", function()
    it("by `genet status`", function()
      support.only("default", "a host of several processes tells of each of them",
        pending)
      serve{scripts = {["main.lua"] = site "one"}}
      body()
      local text = server:tell("status").out
      assert.truthy(text:find(("pid %d, up %%d+ s, http://127%%.0%%.0%%.1:%d"):format(server.pid,
        server.port)), text)
      assert.truthy(text:find("generation 1 serves, loaded %d+ s ago: 1 requests"), text)
    end)

    it("to nobody but the user of the host", function()
      serve{scripts = {["main.lua"] = site "one"}}
      assert.equal("rwx------", lfs.attributes(server.directory .. "/genet", "permissions"))
      assert.equal("rw-------", lfs.attributes(server:control(), "permissions"))
    end)

    local commands = {
      {"where no host answers", {"reload", "--control", "/nowhere/genet.sock"}, 1,
        "no host answers at '/nowhere/genet.sock'"},
      {"where none runs", {"status"}, 1, "no host of this user runs"},
      {"with an option that is not there", {"status", "--what"}, 2, "unknown option '--what'"},
    }
    for _, case in ipairs(commands) do
      local what, arguments, status, message = table.unpack(case)
      it("by a clear error " .. what, function()
        local result = support.run(arguments)
        assert.equal(status, result.status)
        assert.truthy(result.err:find(message, 1, true), result.err)
      end)
    end
  end)

  describe("in debug mode", function()
    before_each(function() serve{args = {"-d"}, scripts = {["main.lua"] = site "one"}} end)

    it("shows in each answer who has made it", function()
      for _, target in ipairs{"/", "/stream", "/not/there"} do
        assert.equal("1", server:get(target).headers["x-genet-generation"], target)
      end
      local page = server:get("/", {"Accept: text/html,*/*"}).body
      assert.truthy(page:find("^one\n<script>.*/_genet/live%?1"))
      assert.equal("one", body(), "no script for who shows no pages")
      assert.is_nil(body("/reload"):find("script", 1, true), "no script in JSON")
    end)

    it("tells pages of errors and of the next generation", function()
      local page = server:ask("/_genet/live?1")
      finally(function() page:close() end)
      wait_for_calls(1)
      server:save("main.lua", "local x = = 1")
      server:wait_for_log("not reloaded")
      server:save("main.lua", site "two")
      local events = page:response().body
      assert.truthy(events:find("event: problem\ndata: \"[^\n]*main.lua:1: unexpected[^\n]*\n\n"),
        events)
      assert.truthy(events:find("event: reload\ndata:\n\n$"), events)
    end)
  end)

  it("adds nothing to answers otherwise", function()
    serve{args = {"-r"}, scripts = {["main.lua"] = site "one"}}
    local answer = server:get("/")
    assert.equal("one", answer.body)
    assert.is_nil(answer.headers["x-genet-generation"])
    assert.equal(404, server:get("/_genet/live?1").status)
  end)

  -- Connections that are kept ask for ever, while good and broken scripts are loaded.
  it("drops nothing and mixes nothing under load", function()
    serve{scripts = {["main.lua"] = site "v1"}}
    local finish = server:ask_for_versions({"/", "/slow", "/stream", "/ws"}, 8)
    for turn = 1, support.crowd_size(60) do
      local good = turn % 2 == 0
      server:save("main.lua", good and site("v" .. turn) or "local broken = = 1")
      local result = server:tell("reload")
      assert.equal(good and 0 or 1, result.status, result.err)
    end
    finish()
  end)
end)
