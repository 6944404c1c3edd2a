-- What the server of the conformance suite serves.
local genet = require "genet"
local app = genet.app()

local function all(rule, handler)
  app:route(rule, {methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}}, handler)
end

app:get("/", function() return "fine" end)
app:get("/probe", function() return "probe" end)

all("/echo", function(req) return req.method .. " " .. req:body() end)
all("/ignore", function() return "ignored" end)
all("/pieces", function(req)
  local total = 0
  for piece in function() return req:read(1000) end do total = total + #piece end
  return tostring(total)
end)

-- What the request was taken for.
local function tell(req)
  return ("%s %s ?%s @%s"):format(req.method, req.path, req.query, req.host)
end
app:get("/tell", tell)
app:get("/tell/<path:rest>", tell)

app:get("/header", function(req)
  local value = req.headers.x_test
  return value and "[" .. value .. "]" or "none"
end)

app:get("/slow", {detach = true}, function() genet.sleep(0.02) return "slow" end)
app:get("/jump/<path:rest>", function(_, rest) return genet.redirect("/" .. rest) end)
app:get("/broken", function() error("broken on purpose") end)
all("/status/<int:status>", function(_, status) return "a body", status end)

app:get("/stream", function()
  return function(write) write("one ") write("") write("two") end
end)
app:get("/stream-nothing", function() return function() end end)
app:get("/stream-broken", function()
  return function(write) write("one ") error("broken on purpose") end
end)

-- Headers that a script should not set.
local evil = {
  crlf = {["X-Name"] = "a\r\nX-Injected: yes"},
  body = {["X-Name"] = "a\r\n\r\ninjected"},
  lf = {["X-Name"] = "a\nX-Injected: yes"},
  cr = {["X-Name"] = "a\rX-Injected: yes"},
  nul = {["X-Name"] = "a\0b"},
  name = {["X-Name\r\nX-Injected"] = "yes"},
  colon = {["X-Name: a"] = "yes"},
  empty = {[""] = "yes"},
  blank = {["X Name"] = "yes"},
  connection = {Connection = "keep-alive"},
  coding = {["Transfer-Encoding"] = "chunked"},
  length = {["Content-Length"] = "3"},
  fits = {["Content-Length"] = "4"},
  short = {["Content-Length"] = "5"},
  lengths = {["Content-Length"] = {"3", "4"}},
  date = {Date = "yesterday"},
  array = {["Set-Cookie"] = {"a=1", "b=2\r\nX-Injected: yes"}},
}
app:get("/evil/<name>", function(_, name) return "evil", 200, evil[name] end)
app:get("/evil-stream/<name>", function(_, name)
  return function(write) write("evil") end, 200, evil[name]
end)
app:get("/cookies", function()
  return "cookies", 200, {["Set-Cookie"] = {"a=1", "b=2"}, ["X-Text"] = "caf\233"}
end)

return app
