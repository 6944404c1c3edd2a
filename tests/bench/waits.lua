-- The work of tests/bench/waits, run from the top of the repository.
package.path = "./?.lua;" .. package.path
local socket = require "socket"
local postgres = require "tests.e2e.postgres"
local support = require "tests.e2e.support"

local handlers = tonumber(arg[1])

local slow = [[
local genet = require "genet"
local app = genet.app()
app:get("/", function() genet.sleep(1) return "slow" end)
return app
]]

local main = [[
local genet = require "genet"
local http = require "socket.http"
local socket = require "socket"
local installed, luasql = pcall(require, "luasql.postgres")
local app = genet.app()

app:get("/sleep", function() genet.sleep(1) return "waited" end)

app:get("/http", function()
  assert(http.request(os.getenv("SLOW")))
  return "waited"
end)

local function run(seconds)
  local pipe = assert(io.popen("sleep " .. seconds))
  pipe:read("a")
  assert(pipe:close())
  return "waited"
end
app:get("/popen", function() return run(1) end)

-- Whether two processes are waited for at once.
app:get("/popen-parks", function()
  local start = socket.gettime()
  genet.all{function() run(0.2) end, function() run(0.2) end}
  return tostring(socket.gettime() - start < 0.35)
end)

local environment = installed and luasql.postgres()
app:get("/postgres", function()
  local connection = assert(environment:connect(os.getenv("CONNINFO")))
  assert(connection:execute("SELECT pg_sleep(1)"):close())
  connection:close()
  return "waited"
end)

return app
]]
local function measure(server, name, target)
  local start = socket.gettime()
  local answers = server:crowd(handlers, target):answers()
  local seconds = socket.gettime() - start
  print(("%-30s %9d %9d %9.2f %9d"):format(name, handlers, answers["200 waited"] or 0, seconds,
    server:threads()))
end

local function start_database()
  local installed = pcall(require, "luasql.postgres")
  local ok, database = pcall(postgres.start)
  return installed and ok and database
end

local function run(database)
  local upstream = support.serve{script = slow}
  local server = support.serve{script = main, env = {
    SLOW = ("http://127.0.0.1:%d/"):format(upstream.port),
    CONNINFO = database and database:conninfo() or ""}}
  print(("%-30s %9s %9s %9s %9s"):format("each waits a second by", "handlers", "answered",
    "seconds", "threads"))
  measure(server, "genet.sleep", "/sleep")
  measure(server, "socket.http", "/http")
  if server:get("/popen-parks").body == "true" then
    measure(server, 'io.popen "sleep 1"', "/popen")
  else
    print("io.popen blocks the thread and is left out")
  end
  if database then
    measure(server, "LuaSQL, SELECT pg_sleep(1)", "/postgres")
  else
    print("PostgreSQL is not installed, or LuaSQL for it, and is left out")
  end
  server:stop()
  upstream:stop()
end

local database = start_database()
local ok, err = xpcall(run, debug.traceback, database)
if database then database:stop() end
if not ok then error(err, 0) end
