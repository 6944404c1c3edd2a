-- What the WebSocket suites talk to.
local genet = require "genet"

local app = genet.app()

local function echo(ws)
  for message, kind in ws:messages() do ws:send(message, kind) end
end

app:websocket("/echo", {max_message = 1 << 20}, echo)
app:websocket("/small", {max_message = 100}, echo)
app:websocket("/subprotocols", {subprotocols = {"chat.v2", "chat"}}, function(ws)
  ws:send(tostring(ws.subprotocol))
end)
app:websocket("/origins", {origins = {"https://good.example", "http://Other.example:81"}}, echo)
app:websocket("/any-origin", {origins = {"*"}}, echo)
app:websocket("/item/<int:id>", function(ws, id) ws:send(math.type(id) .. " " .. id) end)
app:websocket("/request", function(ws)
  local req = ws.request
  ws:send(table.concat({req.method, req.path, req.args.a or "", req.headers.x_tag or "", req.host,
    req.remote_addr, req.scheme}, " "))
end)
app:websocket("/ending", function(ws)
  local message, why, code, reason = ws:receive()
  genet.publish("endings", ("%s %s %s %s"):format(message, why, code, reason))
end)
app:websocket("/close", function(ws)
  local code, reason = ws:receive():match("^(%d+) ?(.*)$")
  ws:close(math.tointeger(tonumber(code)), reason)
  local message, why, got, said = ws:receive()
  genet.publish("endings", ("%s %s %s %s"):format(message, why, got, said))
end)
app:websocket("/fails", function(ws)
  ws:send("before")
  error("the handler fails")
end)
app:websocket("/aborts", function() genet.abort(403, "too late") end)
app:websocket("/deaf", function() genet.sleep(60) end)
app:get("/plain", function() return "plain" end)

return app
