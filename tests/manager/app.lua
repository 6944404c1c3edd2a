-- The site that tests/e2e/manager_spec.lua works on, and whose specs `genet test` runs.
local genet = require "genet"
local notes = require "notes"

local app = genet.app()

app:sessions{secret = ("x"):rep(32)}
app:static("/files", "files")

app:get("/hello/<name>", {name = "hello"}, function(req, name)
  return "hello " .. name .. (req.args.mark or "")
end)

app:get("/slow", function() genet.sleep(10) return "at last" end)

app:post("/json", function(req) return {got = req:json()}, 201 end)

app:post("/form", {max_body = 1000}, function(req)
  local file = req.files.file
  return {field = req.form.field, name = file and file.filename, text = file and file:read()}
end)

app:route("/echo", {methods = {"PUT", "PATCH", "DELETE"}}, function(req)
  return {method = req.method, body = req:body(), type = req.headers.content_type}
end)

app:get("/visits", function(req)
  req.session.visits = (req.session.visits or 0) + 1
  return tostring(req.session.visits)
end)

app:get("/away", function() return genet.redirect("/visits") end)
app:get("/elsewhere", function() return genet.redirect("http://example.org/") end)
app:post("/keep", function() return genet.redirect("/json", 307) end)
app:get("/loop", function() return genet.redirect("/loop") end)

app:get("/current/<name>", function(req)
  genet.sleep(1)
  local _, path = genet.spawn(function()
    genet.sleep(1)
    return genet.request().path
  end):wait()
  return {mine = genet.request() == req, path = path}
end)

app:get("/fails", function() error("it fails") end)
app:get("/forbidden", function() genet.abort(403, "not you") end)
app:get("/handled", function() error{kind = "handled"} end)
app:get("/nothing", function() end)
app:get("/page", function() return genet.render_template("page.html", {name = "<you>"}) end)

app:get("/pieces", function()
  return function(write)
    for i = 1, 3 do write(i .. "\n") genet.sleep(1) end
  end
end)

app:get("/endless", function(req)
  local _ <close> = setmetatable({}, {__close = function() notes.left = true end})
  while true do req:write("x") genet.sleep(1) end
end)

app:sse("/ticks", function(sse)
  for i = 1, 3 do sse:send{id = i, event = "tick", data = {n = i}} genet.sleep(1) end
end)

app:websocket("/room/<name>", {subprotocols = {"chat"}}, function(ws, name)
  ws:join(name)
  ws:send("welcome")
  for message in ws:messages() do
    if message == "fail" then error("told to fail") end
    if message == "close" then return ws:close(4001, "bye") end
    genet.publish(name, message)
  end
end)

app:group("/inner", function(inner)
  inner:before(function(req) if not req.args.key then genet.abort(401) end end)
  inner:error(500, function(_, err) return "handled: " .. tostring(err), 500 end)
  inner:get("/", function() return "inside" end)
  inner:get("/fails", function() error("deep") end)
end)

app:after(function(req, answer) answer.headers["X-Path"] = req.path end)
app:teardown(function(req) notes.ended = req.path end)

local manager = genet.manager(app)

manager:command("seed", {
  help = "Fill the shop.",
  args = {{"file", help = "What with."}, {"more", many = true, optional = true}},
  options = {{"-n --count", type = "integer", default = 10}, {"--dry-run", flag = true}},
}, function(args)
  genet.sleep(0.01)
  print(args.file, #args.more, math.type(args.count), args.count, args.dry_run)
end)

app:command("fail", {options = {"--how"}}, function(args)
  if args.how == "raise" then error("raised") end
  if args.how == "say" then return nil, "said so" end
  if args.how == "number" then return 7 end
  return false
end)

app:command("spawn", function()
  genet.every(1000, function() end)
  genet.spawn(function() genet.sleep(0.05) print("the task has ended") end)
end)

return app
