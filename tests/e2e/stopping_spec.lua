-- A server that is asked to stop lets the requests in flight finish.
local socket = require "socket"
local support = require "tests.e2e.support"

-- Handlers wait for a file to appear, since a server that stops takes no request to wake them.
local script = [[
local genet = require "genet"
local lfs = require "lfs"
local app = genet.app()
local gate = os.getenv("GATE")
local notes = genet.shared("notes")

local function wait()
  notes:incr("waiting", 1, 0)
  while not lfs.attributes(gate) do genet.sleep(0.02) end
end

app:get("/wait", function() wait() return "waited" end)
app:get("/stream", function()
  return function(write)
    write("first")
    wait()
    write("second")
  end
end)
app:get("/waiting", function() return tostring(notes:get("waiting") or 0) end)

return app
]]

describe("a server that gets", function()
  local server, directory

  before_each(function() directory = support.directory() end)

  after_each(function()
    server:kill()
    server:clean()
    support.remove(directory)
    server = nil
  end)

  local function serve(...)
    server = support.serve{script = script, args = {...}, env = {GATE = directory .. "/open"}}
    return server
  end

  local function open_gate()
    support.write_file(directory .. "/open", "")
  end

  local function wait_waiting(count)
    support.wait_until("the handlers to wait", function()
      return server:get("/waiting").body == tostring(count)
    end)
  end

  -- Waits until nobody listens on the server's port any more.
  local function wait_deaf()
    support.wait_until("new connections to be refused", function()
      local client = socket.connect(server.host, server.port)
      if not client then return true end
      client:close()
    end)
  end

  local function assert_ends_well()
    assert.equal(0, server:wait())
    server:check_sanitizers()
  end

  for _, signal in ipairs{"TERM", "INT"} do
    it(("SIG%s ends with status 0"):format(signal), function()
      serve()
      server:get("/waiting")
      server:signal(signal)
      assert_ends_well()
    end)

    it(("SIG%s first finishes its requests, and takes no new ones"):format(signal), function()
      serve()
      local waiter, streamer = server:ask("/wait"), server:ask("/stream")
      wait_waiting(2)
      server:signal(signal)
      wait_deaf()
      assert.is_false(server:has_ended())
      open_gate()
      local response = waiter:response()
      assert.equal("waited", response.body)
      assert.equal("close", response.headers.connection:lower())
      assert.truthy(waiter:is_closed())
      assert.equal("firstsecond", streamer:response().body)
      assert_ends_well()
    end)
  end

  it("SIGTERM does not wait for idle connections", function()
    serve()
    local client = server:connect()
    finally(function() client:close() end)
    assert.equal("0", client:request("GET", "/waiting").body)
    server:signal("TERM")
    assert_ends_well()
    assert.truthy(client:is_closed())
  end)

  it("SIGTERM waits no longer than --drain", function()
    serve("--drain", "0.5")
    local waiter = server:ask("/wait")
    finally(function() waiter:close() end)
    wait_waiting(1)
    server:signal("TERM")
    assert_ends_well()
  end)

  it("a second signal ends at once", function()
    serve()
    local waiter = server:ask("/wait")
    finally(function() waiter:close() end)
    wait_waiting(1)
    server:signal("TERM")
    wait_deaf()
    assert.is_false(server:has_ended())
    server:signal("TERM")
    assert.equal(1, server:wait())
  end)

  it("SIGTERM amid a crowd answers all of it", function()
    serve()
    local size = support.waiting_size(500)
    local crowd = server:crowd(size, "/wait")
    wait_waiting(size)
    server:signal("TERM")
    wait_deaf()
    open_gate()
    assert.same({["200 waited"] = size}, crowd:answers())
    assert_ends_well()
  end)
end)
