-- What the benchmark of WebSockets asks Genet.
local genet = require "genet"
local app = genet.app()

app:websocket("/echo", function(ws)
  for message, kind in ws:messages() do ws:send(message, kind) end
end)

app:websocket("/room", function(ws)
  ws:join("room")
  ws:send("joined")
  for message in ws:messages() do genet.publish("room", message) end
end)

return app
