-- The routes that every server in this folder's comparison has.

local genet = require "genet"
local http = require "socket.http"

local app = genet.app()
local UPSTREAM = os.getenv("UPSTREAM")

app:get("/hello", function() return "hello test" end)

app:get("/json", function() return {message = "hello", ok = true, n = 42} end)

app:get("/user/<id>", function(_, id) return "user " .. id end)

app:get("/sleep", function(req)
  genet.sleep((tonumber(req.args.ms) or 1000) / 1000)
  return "hello asyn"
end)

app:get("/upstream", function()
  return (assert(http.request("http://127.0.0.1:" .. UPSTREAM .. "/hello")))
end)

return app
