-- Groups, mounted apps, and what is called around their handlers.
local support = require("tests.e2e.support").one_state()
local ws_client = require "tests.e2e.websocket.client"

local SCRIPT = [[
  local genet = require "genet"
  local app = genet.app()
  app:sessions{secret = ("x"):rep(32)}
  app:after(function(_, answer) answer.headers["X-App"] = "main" end)
  app:error(404, function(req) return "nothing at " .. req.path end)
  app:error("broken", function(_, err) genet.sleep(0.01) return "sorry: " .. err, 503 end)
  app:teardown(function(req, err) genet.log("end of " .. req.path .. ": " .. tostring(err)) end)

  app:get("/", {name = "home"}, function() return app:url_for("admin.user", {id = 7}) end)
  app:get("/broken", function(req) req.session.tries = 1 error("broken", 0) end)
  app:get("/bug", function() error("bug") end)
  app:get("/stream", function()
    return function(write) write("a") genet.sleep(0.01) write("b") end
  end)
  app:get("/wait", function() genet.sleep(60) end)

  app:group("/admin", {name = "admin"}, function(admin)
    admin:before(function(req) if req.args.key ~= "1" then genet.abort(403, "keep out") end end)
    admin:get("/user/<int:id>", {name = "user"}, function(_, id) return "user " .. id end)
    admin:websocket("/ws", function(ws) ws:send("in") end)
  end)

  local shop = genet.app()
  shop:get("/item/<int:id>", function(_, id) return {id = id} end)
  app:mount(shop, "/shop")
  return app
]]

describe("hooks", function()
  local server

  setup(function() server = support.serve{script = SCRIPT} end)
  teardown(function() server:stop() end)

  -- What is asked for, and the status and body of the answer.
  local cases = {
    {"/", 200, "/admin/user/7"},
    {"/admin/user/7", 403, "403 Forbidden\nkeep out\n"},
    {"/admin/user/7?key=1", 200, "user 7"},
    {"/shop/item/3", 200, '{"id":3}'},
    {"/shop/nothing", 404, "nothing at /shop/nothing"},
    {"/no%20where", 404, "nothing at /no where"},
    {"/broken", 503, "sorry: broken"},
    {"/bug", 500, "500 Internal Server Error\n"},
    {"/stream", 200, "ab"},
  }
  for _, case in ipairs(cases) do
    local target, status, body = table.unpack(case)
    it("answer " .. target, function()
      local answer = server:get(target)
      assert.equal(status, answer.status)
      assert.equal(body, answer.body)
    end)
  end

  it("add their headers to every answer of a handler, and of an error's", function()
    for _, target in ipairs{"/", "/stream", "/shop/item/3", "/broken"} do
      assert.equal("main", server:get(target).headers["x-app"], target)
    end
  end)

  it("keep the session of a request that has failed", function()
    local cookie = server:get("/broken").headers["set-cookie"]
    assert.truthy(cookie and cookie:find("^session="), cookie)
  end)

  it("refuse a WebSocket before it is one", function()
    local refused = server:request("GET", "/admin/ws", ws_client.handshake())
    assert.equal(403, refused.status)
    local ws = ws_client.open(server, "/admin/ws?key=1")
    assert.equal("in", (ws:receive()))
    ws:close()
  end)

  it("tear down after each answer, with the error", function()
    server:get("/")
    server:wait_for_log("end of /: nil")
    server:get("/broken")
    server:wait_for_log("end of /broken: broken")
  end)

  it("tear down when the client has gone", function()
    support.only("default processes", "requests meet in one Lua state", pending)
    local waiting = server:ask("/wait")
    support.wait_until("the call", function()
      return server:tell("status").out:find("running: 1 calls", 1, true)
    end)
    waiting:close()
    server:wait_for_log("end of /wait: cancelled")
  end)
end)
