-- The front page of these examples.

local genet = require "genet"
local app = genet.app()

app:get("/", function()
  return genet.render_template("index.html", {examples = {
    {file = "hello.lua", path = "/hello/world", about = "text, arguments in the path, JSON"},
    {file = "asyn.lua", path = "/asyn/1/", about = "sleeps ten seconds, and delays nobody"},
    {file = "decorator.lua", path = "/decorator", about = "a function that goes on by itself"},
    {file = "chat.lua", path = "/chat", about = "WebSockets and topics"},
    {file = "blog.lua", path = "/blog/", about = "the application of Flask's tutorial"},
    {file = "notes.lua", path = "/notes/", about = "search, pictures, a JSON API, live windows"},
  }})
end)

return app
