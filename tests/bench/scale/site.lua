-- A short answer, and one that takes a few milliseconds of computing, as in nginx.conf.in.
local app = require("genet").app()

app:get("/hello", function() return "hello test" end)

app:get("/compute", function()
  local sum = 0
  for i = 1, 200000 do sum = (sum * 31 + i) % 1000003 end
  return tostring(sum)
end)

return app
