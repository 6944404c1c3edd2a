-- One of several hosts behind a load balancer: sessions and topics go through Redis, data lies in
-- PostgreSQL, so that it does not matter which host answers. Each host is started with
--
--     export SECRET=... REDIS=redis://127.0.0.1:6379 DATABASE="host=127.0.0.1 dbname=notes"
--     genet runserver scripts/cluster.lua -p 5001 --bus $REDIS --trusted-proxy 127.0.0.1
--
-- and scripts/cluster.conf is for nginx in front of them. Without those variables it has no routes.

local genet = require "genet"
local app = genet.app()

local SECRET, REDIS, DATABASE = os.getenv("SECRET"), os.getenv("REDIS"), os.getenv("DATABASE")
if not (SECRET and REDIS and DATABASE) then return app end

app:sessions{secret = SECRET, store = genet.session.redis(REDIS)}

-- Data: a few connections to PostgreSQL, which wait in a queue while nobody needs them -----------

local postgres = require("luasql.postgres").postgres()
local connections = genet.queue()
for _ = 1, 4 do connections:put(false) end -- to be opened when first needed

-- Runs a statement and returns the rows, or the number of rows that it has changed.
local function query(statement)
  local connection = connections:get()
  if not connection then connection = postgres:connect(DATABASE) end
  local result, problem = nil, "no connection"
  if connection then result, problem = connection:execute(statement) end
  if connection and not result then connection:close() end -- it may be broken
  connections:put(result and connection or false)
  if not result then error("PostgreSQL: " .. problem) end
  if type(result) == "number" then return result end
  local rows = genet.json.array{}
  for row in function() return result:fetch({}, "a") end do rows[#rows + 1] = row end
  result:close()
  return rows
end

query("SELECT pg_advisory_xact_lock(1); " -- hosts may begin at once
  .. "CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, author text, text text)")

local function quote(text)
  return "'" .. text:gsub("'", "''") .. "'"
end

app:get("/notes", function()
  return query("SELECT author, text FROM notes ORDER BY id")
end)

app:post("/notes", function(req)
  local author, text = req.session.name or "somebody", req.form.text or genet.abort(400, "text?")
  query(("INSERT INTO notes (author, text) VALUES (%s, %s)"):format(quote(author), quote(text)))
  genet.publish("notes", genet.json.encode{author = author, text = text})
  return 201
end)

-- Sessions, and a topic ---------------------------------------------------------------------------

app:post("/login", function(req)
  req.session:regenerate()
  req.session.name = req.form.name
  return {hello = req.session.name}
end)

app:get("/me", function(req)
  return {name = req.session.name, host = os.getenv("HOST")}
end)

-- Notes, as they are written on any of the hosts.
app:websocket("/notes/live", function(ws)
  ws:join("notes")
  ws:receive()
end)

return app
