-- A line for each request, wherever it is wanted, that no client can forge.
local cjson = require "cjson"
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local script = [[
local genet = require "genet"
local app = genet.app()
app:get("/hello", function() return "hello test" end)
app:get("/sleep", function() genet.sleep(0.05) return "slept" end)
app:get("/long", function() genet.sleep(60) end)
app:get("/id", function(req) genet.log.info("noted", {user = "x y"}) return req.id end)
app:get("/stream", function() return function(write) write("one") write("two") end end)
app:get("/err", function() error("boom") end)
app:websocket("/ws", function(ws) ws:receive() end)
app:post("/echo", function(req) return req:body() end)
return app
]]

local function serve(...)
  return support.serve{script = script, args = {...}}
end

-- The line that has this text, once it is there.
local function line_with(text, read)
  return support.wait_until(("a line with %q"):format(text), function()
    for line in read():gmatch("[^\n]+") do
      if line:find(text, 1, true) then return line end
    end
  end)
end

describe("the access log", function()
  it("is not written unless asked for", function()
    local server = serve()
    finally(function() server:stop() end)
    server:get("/hello")
    server:get("/err")
    server:wait_for_log("boom")
    assert.is_nil(server:stderr():find("GET /hello", 1, true))
  end)

  it("has the lines that every tool reads", function()
    local server = serve("--access-log", "-")
    finally(function() server:stop() end)
    local function stderr() return server:stderr() end
    server:get("/hello?a=1", {"User-Agent: curl/8", "Referer: http://a/"})
    local line = line_with("/hello", stderr)
    assert.truthy(line:match("^127%.0%.0%.1 %- %- "
      .. "%[%d%d/%u%l%l/%d%d%d%d:%d%d:%d%d:%d%d [+-]%d%d%d%d%] "
      .. '"GET /hello%?a=1 HTTP/1%.1" 200 10 "http://a/" "curl/8"$'), line)
    server:get("/stream")
    assert.truthy(line_with("/stream", stderr):find('" 200 6 "-" "-"', 1, true))
    server:get("/err")
    assert.truthy(line_with('"GET /err', stderr):find('" 500 ', 1, true))
    server:get("/nowhere")
    assert.truthy(line_with('"GET /nowhere', stderr):find('" 404 ', 1, true))
  end)

  it("keeps hostile bytes in their place", function()
    local server = serve("--access-log", "-", "--log-format", "combined")
    finally(function() server:stop() end)
    server:get('/a"b\\c', {'User-Agent: "\\ \255 \tx'})
    local line = line_with("/a", function() return server:stderr() end)
    assert.truthy(line:find([["GET /a\x22b\x5Cc HTTP/1.1" 404]], 1, true), line)
    assert.is_nil(line:find("[%c\127-\255]"), line)
  end)

  it("keeps hostile bytes in their place in JSON", function()
    local server = serve("--access-log", "-", "--log-format", "json")
    finally(function() server:stop() end)
    server:get('/a"b\\c?q=1', {'User-Agent: "\\ \195\169 \255 x', "Referer: http://a/"})
    local line = cjson.decode(line_with("/a", function() return server:stderr() end))
    assert.equal('/a"b\\c', line.path)
    assert.equal("q=1", line.query)
    assert.equal('"\\ \195\169 \195\191 x', line.user_agent)
    assert.equal("http://a/", line.referer)
    assert.equal(404, line.status)
    assert.equal("127.0.0.1", line.remote_addr)
    assert.equal(1, line.generation)
  end)

  it("tells for how long a request waited, and for how long it ran", function()
    local server = serve("--access-log", "-", "--log-format",
      "$request_uri $request_time $time_parked $time_run.")
    finally(function() server:stop() end)
    server:get("/sleep")
    local line = line_with("/sleep", function() return server:stderr() end)
    local total, parked, run = line:match("^/sleep ([%d.]+) ([%d.]+) ([%d.]+)%.$")
    total, parked, run = tonumber(total), tonumber(parked), tonumber(run)
    assert.truthy(parked >= 0.045 and run > 0 and run < total, line)
    assert.truthy(math.abs(total - parked - run) < 0.00001, line)
  end)

  it("has refused heads, clients that went away, and WebSockets when they end", function()
    local server = serve("--access-log", "-", "--log-format", "$request|$status|$body_bytes_sent|")
    finally(function() server:stop() end)
    local function stderr() return server:stderr() end
    local bad = server:connect()
    assert(bad:send("GET /bad HTTP/1.1\r\nHost: a\r\nBad header\r\n\r\n"))
    assert.truthy(line_with("|400|", stderr))
    bad:close()
    local gone = server:ask("/long")
    server:get("/hello")
    gone:close()
    assert.equal("GET /long HTTP/1.1|499|", line_with("/long", stderr):sub(1, 23))
    local ws = ws_client.open(server, "/ws")
    server:get("/id")
    line_with("/id", stderr)
    assert.is_nil(stderr():find("/ws", 1, true))
    ws:send("bye")
    ws:close()
    assert.truthy(line_with("/ws", stderr):find("|101|", 1, true))
  end)

  it("gives requests ids that answers and log lines tell", function()
    local server = serve("--access-log", "-", "--log-format", "json", "--request-id")
    finally(function() server:stop() end)
    local answer = server:get("/id", {"X-Request-Id: forged"})
    assert.truthy(answer.body:find("^%x+$") and #answer.body == 32, answer.body)
    assert.equal(answer.body, answer.headers["x-request-id"])
    local function stderr() return server:stderr() end
    assert.equal(answer.body, cjson.decode(line_with('"path":"/id"', stderr)).request_id)
    local line = cjson.decode(line_with('"noted"', stderr))
    assert.equal(answer.body, line.request_id)
    assert.equal("x y", line.user)
    assert.not_equal(answer.body, server:get("/id").body)
    assert.truthy(server:get("/hello").headers["x-request-id"])
    assert.truthy(server:get("/nowhere").headers["x-request-id"])
  end)

  it("believes the id and the address that a trusted proxy tells", function()
    local server = serve("--access-log", "-", "--log-format", "$remote_addr $request_id $uri",
      "--trusted-proxy", "127.0.0.1")
    finally(function() server:stop() end)
    local function stderr() return server:stderr() end
    local answer = server:get("/id", {"X-Request-Id: abc-1", "X-Forwarded-For: 192.0.2.7"})
    assert.equal("abc-1", answer.body)
    assert.equal("192.0.2.7 abc-1 /id", line_with(" /id", stderr))
    assert.truthy(line_with("noted", stderr):find("[1 abc-1]", 1, true))
    server:get("/hello", {'X-Request-Id: a"b'})
    assert.truthy(line_with("/hello", stderr):find("^127%.0%.0%.1 %x+ /hello$"))
  end)

  it("opens a file anew that was moved, at once when told", function()
    local directory = support.directory()
    local file, log = directory .. "/access", directory .. "/log"
    local server = serve("--access-log", file, "--log-file", log, "--log-format", "$uri")
    finally(function() server:stop() support.remove(directory) end)
    server:get("/hello")
    server:get("/id")
    line_with("/hello", function() return support.read_file(file) end)
    os.rename(file, file .. ".1")
    os.rename(log, log .. ".1")
    server:signal("USR1")
    support.wait_until("the new files", function()
      server:get("/id")
      return support.read_file(file):find("/id", 1, true)
        and support.read_file(log):find("noted", 1, true)
    end)
    os.rename(file, file .. ".2") -- and nobody tells
    support.wait_until("another file", function()
      server:get("/sleep")
      return support.read_file(file):find("/sleep", 1, true)
    end)
    assert.truthy(support.read_file(file .. ".1"):find("/hello", 1, true))
  end)

  it("holds nobody up when its reader sleeps, and tells what was dropped", function()
    local directory = support.directory()
    local fifo = directory .. "/fifo"
    os.execute("mkfifo " .. fifo)
    local keeper = assert(io.open(fifo, "r+")) -- has it open, and does not read
    local server = serve("--access-log", fifo, "--log-format", "$args")
    local reader
    finally(function()
      server:stop()
      keeper:close()
      if reader then reader:close() end
      support.remove(directory)
    end)
    local long = ("x"):rep(7000)
    local connection = server:connect()
    for _ = 1, 200 do connection:request("GET", "/hello?" .. long) end
    assert.equal("hello test", connection:request("GET", "/hello").body)
    connection:close()
    reader = io.popen(("exec setpriv --pdeathsig KILL sed '/^end$/q' %s >%s/read")
      :format(fifo, directory), "w")
    support.wait_until("the last line", function()
      server:get("/hello?end")
      return support.read_file(directory .. "/read"):find("\nend\n", 1, true)
    end)
    local _, whole = support.read_file(directory .. "/read"):gsub("%f[x]" .. long .. "\n", "")
    assert.truthy(whole > 100 and whole < 200, whole)
    server:wait_for_log("lines have been dropped")
  end)

  it("loses nothing when the host stops", function()
    local directory = support.directory()
    local file = directory .. "/access"
    local server = serve("--access-log", file, "--log-format", "$uri")
    finally(function() support.remove(directory) end)
    local connection = server:connect()
    for _ = 1, 500 do connection:request("GET", "/hello") end
    connection:close()
    server:stop()
    local _, count = support.read_file(file):gsub("/hello\n", "")
    assert.equal(500, count)
  end)

  it("is for people with --debug, without colours outside of a terminal", function()
    local server = serve("--debug", "--no-reload")
    finally(function() server:stop() end)
    server:get("/sleep")
    local line = line_with("/sleep", function() return server:stderr() end)
    assert.truthy(line:find("^%d%d:%d%d:%d%d GET /sleep 200 %d+%.%d ms, %d[%d.]* K?B$"), line)
  end)

  -- Serves on a terminal; gives what stands there once a request has been answered.
  local function on_terminal(environment)
    local directory = support.directory{["main.lua"] = script}
    local inner = ("exec setpriv --pdeathsig KILL %s runserver -p 0 %s/main.lua")
      :format(support.binary, directory)
    local command = ("echo $$; XDG_RUNTIME_DIR=%s TERM=xterm %s exec setpriv --pdeathsig KILL "
      .. "script -qfc %s %s/typescript >%s/out 2>&1 </dev/null")
    local pipe = io.popen(command:format(directory, environment, support.quote(inner), directory,
      directory))
    local pid = math.tointeger(pipe:read("n"))
    finally(function()
      os.execute(("kill -KILL %d"):format(pid))
      pipe:close()
      support.remove(directory)
    end)
    local function text() return support.read_file(directory .. "/out") end
    local port = support.wait_until("the ready line", function()
      return text():match("genet: listening on http://127%.0%.0%.1:(%d+)")
    end)
    local connection = require("tests.e2e.client").connect("127.0.0.1", tonumber(port), 10)
    connection:request("GET", "/hello")
    connection:close()
    return (line_with("/hello", text):gsub("\r", ""))
  end

  it("is there, in colour, on a terminal", function()
    assert.truthy(on_terminal(""):find("^\27%[2m%d%d:%d%d:%d%d\27%[0;1m GET\27%[0m /hello "
      .. "\27%[32m200\27%[0;2m [%d.]+ ms, 10 B\27%[0m$"))
  end)

  it("is without colours where nobody wants them", function()
    assert.truthy(on_terminal("NO_COLOR=1"):find("^%d%d:%d%d:%d%d GET /hello 200 [%d.]+ ms, 10 B$"))
  end)

  local refusals = {
    {{"--log-format", "fancy"}, 2, "option '--log-format': 'fancy' is not common"},
    {{"--access-log", "-", "--log-format", "$nothing"}, 1, "has no variable '$nothing'"},
    {{"--access-log", "/nowhere/log"}, 1, "log '/nowhere/log': No such file or directory"},
    {{"--access-log", "syslog:kitchen"}, 1, "there is no syslog facility 'kitchen'"},
    {{"--log-file", "/nowhere/log"}, 1, "log '/nowhere/log': No such file or directory"},
  }
  for _, case in ipairs(refusals) do
    it("refuses " .. table.concat(case[1], " "), function()
      local result = support.run{"runserver", "-p", "0", "scripts", table.unpack(case[1])}
      assert.equal(case[2], result.status)
      assert.truthy(result.err:find(case[3], 1, true), result.err)
    end)
  end
end)
