-- The shortest tour: text, an argument in the path, JSON.

local genet = require "genet"
local app = genet.app()

app:get("/hello", function()
  return "hello test"
end)

app:get("/hello/<name>", function(_, name)
  return "hello " .. genet.html_escape(name)
end)

app:get("/sum/<int:a>/<int:b>", function(_, a, b)
  return {a = a, b = b, sum = a + b}
end)

return app
