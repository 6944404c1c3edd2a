-- A client that vanishes, at whatever point, costs nothing but a line in the debug log.
local support = require("tests.e2e.support").one_state()

local script = [[
local genet = require "genet"
local app = genet.app()
local ended = 0

-- Notes the end of a call, however it ends.
local function noted(fn)
  return function(...)
    local guard <close> = setmetatable({}, {__close = function() ended = ended + 1 end})
    return fn(...)
  end
end

app:post("/read", noted(function(req) return req:body() end))
app:get("/sleep", noted(function() genet.sleep(0.3) return "slept" end))
app:get("/large", noted(function() return ("x"):rep(20000000) end))

app:get("/stream", function()
  return noted(function(write)
    while true do write(("y"):rep(100000)) end
  end)
end)

app:get("/ended", function() return tostring(ended) end)

return app
]]

describe("a client that vanishes", function()
  local server, idle

  setup(function()
    server = support.serve{script = script, args = {"--log-level", "debug"}}
    server:get("/ended")
    idle = server:settled_descriptors()
  end)
  teardown(function() server:stop() end)

  local function ended()
    return tonumber(server:get("/ended").body)
  end

  local function get(target) return support.request_bytes("GET", target) end
  local function post(header) return support.request_bytes("POST", "/read", {header}) end

  local head, chunked = post("Content-Length: 1000"), post("Transfer-Encoding: chunked")

  -- What it sent before. `answered`: it saw an answer begin; `handled`: a handler ran;
  -- `unseen`: there is nothing about it that the server must notice.
  local cases = {
    {where = "before it says anything", sent = "", unseen = true},
    {where = "in the middle of a request line", sent = "GET /sle"},
    {where = "in the middle of a head", sent = "GET /sleep HTTP/1.1\r\nHost: 127.0"},
    {where = "before the body", sent = head, handled = true},
    {where = "in the middle of a body", sent = head .. "half of", handled = true},
    {where = "in the middle of a chunk", sent = chunked .. "64\r\nhalf of", handled = true},
    {where = "while its handler sleeps", sent = get("/sleep"), handled = true, unseen = true},
    {where = "in the middle of a large answer", sent = get("/large"), answered = true,
      handled = true},
    {where = "in the middle of a stream", sent = get("/stream"), answered = true,
      handled = true},
  }

  local function vanish(case, how)
    local client = server:connect()
    assert(client:send(case.sent))
    if case.answered then assert.equal(200, client:read_head().status) end
    client:close(how)
  end

  for _, how in ipairs{"politely", "reset"} do
    for _, case in ipairs(cases) do
      it(("%s (%s) leaves nothing behind"):format(case.where, how), function()
        local before, from = ended(), #server:stderr() + 1
        vanish(case, how)
        support.wait_until("the handler to end", function()
          return not case.handled or ended() > before
        end)
        support.wait_until("the connection to go", function()
          return server:descriptors() <= idle
        end)
        if not case.unseen then server:wait_for_log(" debug ", from) end
        local log = server:stderr():sub(from)
        assert.is_nil(log:find(" error ", 1, true), log)
      end)
    end
  end

  it("in a crowd leaves nothing behind", function()
    support.only("default processes", "a thread opens files when it first serves", pending)
    local clients = {}
    for i = 1, 100 do
      clients[i] = server:connect()
      clients[i]:send(i % 2 == 0 and support.request_bytes("GET", "/large") or head .. "half of")
    end
    for _, client in ipairs(clients) do client:close("reset") end
    support.wait_until("the connections to go", function() return server:descriptors() <= idle end)
    assert.truthy(ended())
  end)
end)
