--- Starts a real PostgreSQL for a test, from Debian's packages, and stops it again.
-- Its files lie in a temporary directory that belongs to the user it runs as: `postgres` where the
-- tests run as root, which PostgreSQL refuses to. It listens on 127.0.0.1 and on a Unix socket in
-- that directory, wants a password (SCRAM), speaks TLS, and dies with the process that started it.
local socket = require "socket"
local certificates = require "tests.e2e.certificates"
local support = require "tests.e2e.support"

local postgres = {}

local Database = {}
Database.__index = Database

local ready_line = "database system is ready to accept connections"

local settings = [[
listen_addresses = '127.0.0.1'
port = %d
unix_socket_directories = '%s'
max_connections = 300
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
deadlock_timeout = 100ms
client_connection_check_interval = 100ms
ssl = on
ssl_cert_file = '%s'
ssl_key_file = '%s'
]]

local function run(command)
  local pipe = assert(io.popen(("(%s) 2>&1 </dev/null"):format(command)))
  local text = pipe:read("a")
  if not pipe:close() then error(command .. "\n" .. text, 0) end
  return text
end

local function has_ended(pid)
  local stat = support.read_file("/proc/" .. pid .. "/stat")
  return stat == "" or stat:match("^%d+ %b() (%a)") == "Z"
end

--- Directory of the programs of the latest version that is installed.
local function programs()
  return (run("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1"):gsub("\n", ""))
end

local function free_port()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return math.tointeger(port)
end

--- Puts a command before another that then runs as the user PostgreSQL is to run as.
local function as_owner()
  if not run("id -u"):match("^0\n") then return "" end
  return "setpriv --reuid postgres --regid postgres --init-groups "
end

local function create(database)
  local directory = database.directory
  support.write_file(directory .. "/password", database.password)
  database.pair = certificates.new(directory):pair("server", {names = {"localhost"}})
  if database.prefix ~= "" then run("chown -R postgres:postgres " .. directory) end
  run(("%s%s/initdb -D %s/data -N -A scram-sha-256 -U %s --pwfile %s/password "
    .. "-E UTF8 --locale C --no-instructions"):format(database.prefix, database.programs,
    directory, database.user, directory))
end

--- Whether it has said so since byte `from` of its log; an error when it has ended instead.
local function is_ready(database, from)
  local log = database:log()
  if log:find(ready_line, from, true) then return true end
  if has_ended(database.pid) then error("PostgreSQL ended:\n" .. log:sub(-4000), 0) end
end

local function launch(database)
  local directory = database.directory
  database.port = free_port()
  support.write_file(directory .. "/settings",
    settings:format(database.port, directory, database.pair.cert, database.pair.key))
  local command = ("echo $$; exec %ssetpriv --pdeathsig QUIT env --default-signal "
    .. "%s/postgres -D %s/data -c config_file=%s/settings -c hba_file=%s/data/pg_hba.conf "
    .. "-c ident_file=%s/data/pg_ident.conf </dev/null >%s/log 2>&1")
    :format(database.prefix, database.programs, directory, directory, directory, directory,
      directory)
  database.pipe = assert(io.popen(command))
  database.pid = math.tointeger(database.pipe:read("n"))
  support.wait_until("PostgreSQL", function() return is_ready(database, 1) end)
end

--- Starts a server and waits until it takes connections.
-- Its `user`, a superuser, has the `password`; `pair` is its own certificate with the key.
function postgres.start()
  local directory = support.directory()
  local database = setmetatable({directory = directory, programs = programs(),
    prefix = as_owner(), user = "genet", password = "in the test"}, Database)
  local ok, err = pcall(function()
    create(database)
    launch(database)
  end)
  if ok then return database end
  database:stop()
  error(err, 2)
end

function Database:log() return support.read_file(self.directory .. "/log") end

--- Text that libpq connects by: TCP without TLS unless `options`, by libpq's names, say otherwise.
function Database:conninfo(options)
  local values = {host = "127.0.0.1", port = self.port, user = self.user, dbname = "postgres",
    password = self.password, sslmode = "disable"}
  for name, value in pairs(options or {}) do values[name] = value end
  local words = {}
  for name, value in pairs(values) do words[#words + 1] = ("%s='%s'"):format(name, value) end
  table.sort(words)
  return table.concat(words, " ")
end

--- Runs a statement on a connection of its own and returns its output by psql.
function Database:psql(statement)
  return (run(("%s/psql -X -q -t -A -v ON_ERROR_STOP=1 -d %s -c %s"):format(self.programs,
    support.quote(self:conninfo{application_name = "psql"}), support.quote(statement)))
    :gsub("\n$", ""))
end

--- Waits until this many connections that call themselves `name` are in a state.
-- @tparam string condition on `pg_stat_activity`
function Database:wait_for_clients(count, name, condition)
  local statement = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s' AND %s")
    :format(name, condition or "true")
  support.wait_until(("%d clients %s, %s"):format(count, name, condition or "in any state"),
    function() return tonumber(self:psql(statement)) == count end)
end

--- Kills the server process of a connection that calls itself `name`, as if it had crashed.
-- PostgreSQL then drops every connection and starts afresh; returns once it has.
function Database:crash(name)
  local pid = tonumber(self:psql(
    ("SELECT pid FROM pg_stat_activity WHERE application_name = '%s' LIMIT 1"):format(name)))
  local before = #self:log()
  run("kill -KILL " .. pid)
  support.wait_until("PostgreSQL to recover", function() return is_ready(self, before + 1) end)
end

--- Stops it and removes its files.
function Database:stop()
  if self.pipe then
    os.execute(("kill -INT %d 2>/dev/null"):format(self.pid))
    local ended = pcall(support.wait_until, "the end of PostgreSQL",
      function() return has_ended(self.pid) end)
    if not ended then os.execute(("kill -QUIT %d 2>/dev/null"):format(self.pid)) end
    self.pipe:close()
  end
  support.remove(self.directory)
end

return postgres
