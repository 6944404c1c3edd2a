-- Stock LuaSocket inside handlers parks the handler instead of blocking the server.
local support = require "tests.e2e.support"

local script = [[
local genet = require "genet"
local http = require "socket.http"
local socket = require "socket"
local app = genet.app()
local shared = genet.shared("luasocket")

-- A page that is there once so many wait for it at once.
app:get("/page/<int:crowd>", function(_, crowd)
  shared:incr("waiting", 1, 0)
  while shared:get("waiting") < crowd do genet.sleep(0.02) end
  return "a page"
end)

app:get("/fetch/<int:port>/<int:crowd>", function(_, port, crowd)
  local body, status = http.request(("http://127.0.0.1:%d/page/%d"):format(port, crowd))
  return ("%s %s"):format(status, body)
end)

app:get("/post/<int:port>", function(_, port)
  return (http.request(("http://127.0.0.1:%d/echo"):format(port), "a body"))
end)

app:get("/refused", function()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return tostring(select(2, http.request(("http://127.0.0.1:%d/"):format(port))))
end)

app:get("/by-name/<int:port>", function(_, port)
  return (http.request(("http://localhost:%d/fast"):format(port)))
end)

app:get("/timeout", function()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local client = assert(socket.connect("127.0.0.1", port))
  client:settimeout(0.2)
  local _, err = client:receive("*l")
  client:close()
  listener:close()
  return err
end)

app:get("/conversation", function()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local client = assert(socket.connect("127.0.0.1", port))
  local peer = assert(listener:accept())
  assert(client:send("question\n"))
  local question = peer:receive("*l")
  assert(peer:send("answer\n"))
  local answer = client:receive("*l")
  client:close()
  peer:close()
  listener:close()
  return question .. " " .. answer
end)

app:get("/select", function()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local readable, _, err = socket.select({listener}, nil, 0.2)
  listener:close()
  return #readable .. " " .. tostring(err)
end)

app:get("/socket-sleep", function()
  while not shared:get("open") do socket.sleep(0.05) end
  return "slept"
end)
app:get("/open", function() shared:set("open", true) return "open" end)
app:get("/fast", function() return "fast" end)
app:post("/echo", function(req) return req:body() end)

return app
]]

describe("LuaSocket in a handler", function()
  local server

  setup(function() server = support.serve{script = script} end)
  teardown(function() server:stop() end)

  it("fetches a page from the very server it runs in", function()
    assert.equal("200 a page", server:get(("/fetch/%d/1"):format(server.port)).body)
  end)

  it("fetches pages for a crowd that waits for them at once", function()
    local size = support.waiting_size(500, 2)
    local crowd = server:crowd(size, ("/fetch/%d/%d"):format(server.port, size))
    assert.same({["200 200 a page"] = size}, crowd:answers())
  end)

  local cases = {
    {"posts a body", "/post/%d", "a body"},
    {"resolves names", "/by-name/%d", "fast"},
    {"tells of a refused connection", "/refused", "connection refused"},
    {"keeps its timeouts", "/timeout", "timeout"},
    {"accepts, sends and receives", "/conversation", "question answer"},
    {"selects with a timeout", "/select", "0 timeout"},
  }
  for _, case in ipairs(cases) do
    local sentence, target, expected = table.unpack(case)
    it(sentence, function()
      assert.equal(expected, server:get(target:format(server.port)).body)
    end)
  end

  it("answers others while socket.sleep sleeps", function()
    local sleeper = server:ask("/socket-sleep")
    finally(function() sleeper:close() end)
    assert.equal("fast", server:get("/fast").body)
    assert.is_false(sleeper:has_news())
    server:get("/open")
    assert.equal("slept", sleeper:response().body)
  end)
end)
