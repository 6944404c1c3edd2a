-- A slow call delays nobody: ask for /asyn/1/ first, then for /test/, which answers at once.

local genet = require "genet"
local app = genet.app()

app:get("/asyn/1/", function()
  genet.sleep(10)
  return "hello asyn"
end)

app:get("/test/", function()
  return "hello test"
end)

return app
