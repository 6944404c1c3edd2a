--- Starts the real binary for a test, as a server or to its end, and sends it requests.
-- Every wait has a deadline, `support.patience`; reaching it is an error. A server that
-- ends badly, or wrote a sanitizer's report, fails the test that stops it.
--
-- Environment: GENET the binary (build/genet), GENET_E2E_SCALE a factor for the size of crowds
-- (1), GENET_E2E_PATIENCE seconds (30), GENET_E2E_KEEP keeps the temporary directories,
-- GENET_E2E_MODE `threaded` or `processes`: every server that a test starts runs in that mode,
-- unless its own options say otherwise.
local socket = require "socket"
local lfs = require "lfs"
local client = require "tests.e2e.client"

local support = {
  binary = os.getenv("GENET") or "build/genet",
  scale = tonumber(os.getenv("GENET_E2E_SCALE")) or 1,
  patience = tonumber(os.getenv("GENET_E2E_PATIENCE")) or 30,
}

local MODES = {threaded = {"--threaded=16", "--threaded=1"},
  processes = {"--processes=2", "--processes=1"}}
local CONFLICTS = {"^%-d$", "^%-%-debug$", "^%-%-threaded", "^%-%-processes"}

--- The mode that servers run in unless told: "default", "threaded" or "processes".
support.mode = os.getenv("GENET_E2E_MODE") or "default"
assert(support.mode == "default" or MODES[support.mode], "GENET_E2E_MODE: no such mode")

--- The argument for the suite's mode; nil where a test's own arguments conflict with it.
-- @tparam table options see support.serve
function support.mode_argument(arguments, options)
  for _, argument in ipairs(arguments) do
    for _, pattern in ipairs(CONFLICTS) do
      if argument:find(pattern) then return nil end
    end
  end
  local one = options.states == 1 or (options.processes == 1 and support.mode == "processes")
  return MODES[support.mode] and MODES[support.mode][one and 2 or 1]
end

--- Ends the running test where the suite does not run in one of these modes.
-- @tparam string modes names with blanks between
-- @tparam string reason why its answers cannot be equal in another
-- @tparam function pending busted's own, which only a test knows
function support.only(modes, reason, pending)
  if not (" " .. modes .. " "):find(" " .. support.mode .. " ", 1, true) then
    pending(("not in the mode '%s': %s"):format(support.mode, reason))
  end
end

--- This module, for tests whose requests count, or meet, in variables of one Lua state: in the
-- modes that have several, their servers have one process, or one thread.
function support.one_state()
  local one = setmetatable({}, {__index = support})
  function one.serve(options)
    options.states = 1
    return support.serve(options)
  end
  return one
end

--- The size of a crowd, `full` in a plain build and less under sanitizers.
function support.crowd_size(full)
  return math.max(10, math.floor(full * support.scale))
end

--- The same for a crowd whose requests all wait at once: in the threaded mode, where each has a
-- thread to itself meanwhile, fewer than there are.
-- @tparam[opt=1] integer each threads that one of them takes
function support.waiting_size(full, each)
  local most = support.mode == "threaded" and 12 // (each or 1) or math.maxinteger
  return math.min(support.crowd_size(full), most)
end

function support.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Tries `probe` until it returns something true, and returns that.
-- @tparam string what what is waited for, for the error
function support.wait_until(what, probe, patience)
  local deadline = socket.gettime() + (patience or support.patience)
  repeat
    local result = probe()
    if result then return result end
    socket.sleep(0.005)
  until socket.gettime() > deadline
  error("waited in vain for " .. what, 2)
end

-- ---------------------------------------------------------------- files

function support.read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text or ""
end

function support.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

--- A fresh directory holding `files`, a table of text by relative name.
function support.directory(files)
  local pipe = assert(io.popen("mktemp -d /tmp/genet-e2e.XXXXXX"))
  local directory = pipe:read("l")
  pipe:close()
  for name, text in pairs(files or {}) do
    local parent = name:match("^(.*)/")
    if parent then lfs.mkdir(directory .. "/" .. parent) end
    support.write_file(directory .. "/" .. name, text)
  end
  return directory
end

function support.remove(directory)
  if os.getenv("GENET_E2E_KEEP") then return end
  assert(directory:match("^/tmp/genet%-e2e%.%w+$"), "not a test's directory")
  os.execute("rm -rf " .. directory)
end

-- ---------------------------------------------------------------- processes

local Process = {}
Process.__index = Process

--- Starts the binary with these arguments; its output goes to files.
-- It dies with the test that started it. (LuaSocket ignores SIGPIPE; a child must not inherit it.)
function support.start(arguments, environment)
  local directory = support.directory()
  local words = {"XDG_RUNTIME_DIR=" .. directory}
  for name, value in pairs(environment or {}) do
    words[#words + 1] = name .. "=" .. support.quote(value)
  end
  words[#words + 1] = support.quote(support.binary)
  for _, argument in ipairs(arguments) do words[#words + 1] = support.quote(argument) end
  local command = ("echo $$; exec setpriv --pdeathsig KILL env --default-signal %s")
    :format(table.concat(words, " "))
  command = ("%s </dev/null >%s/out 2>%s/err"):format(command, directory, directory)
  local pipe = assert(io.popen(command))
  return setmetatable({pid = math.tointeger(pipe:read("n")), pipe = pipe, directory = directory},
    Process)
end

function Process:stdout() return support.read_file(self.directory .. "/out") end
--- What it has written to its log; without what only tells processes apart, where the suite's mode
-- has it serve by several.
function Process:stderr()
  local text = support.read_file(self.directory .. "/err")
  if not self.serves_by_processes then return text end
  text = text:gsub("[^\n]*module variables are not shared[^\n]*\n", "")
  return (("\n" .. text):gsub("(\n%S+Z %l+ +)#%d+ ", "%1"):sub(2))
end

--- Whether it has ended (and waits for us to ask how).
function Process:has_ended()
  local stat = support.read_file("/proc/" .. self.pid .. "/stat")
  return self.status ~= nil or stat == "" or stat:match("^%d+ %b() (%a)") == "Z"
end

function Process:signal(name)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
end

--- Waits for the end and returns the exit status, 128 + N after a signal N as the shell has it.
function Process:wait(patience)
  if self.status then return self.status end
  support.wait_until(("the end of process %d"):format(self.pid),
    function() return self:has_ended() end, patience)
  local _, how, code = self.pipe:close()
  self.status = how == "signal" and 128 + code or code
  return self.status
end

--- Waits until the error output holds this plain text (after byte `from`, if given).
function Process:wait_for_log(text, from)
  return support.wait_until(("%q in the log"):format(text), function()
    return self:stderr():find(text, from or 1, true)
  end)
end

--- The pids of its children.
function Process:children()
  local list = {}
  local path = ("/proc/%d/task/%d/children"):format(self.pid, self.pid)
  for pid in support.read_file(path):gmatch("%d+") do list[#list + 1] = math.tointeger(pid) end
  return list
end

-- What it consists of: itself, and the processes that serve for it.
local function pids_of(process)
  local list = process.serves_by_processes and process:children() or {}
  return {process.pid, table.unpack(list)}
end

local function status_of(pid, pattern)
  return tonumber(support.read_file("/proc/" .. pid .. "/status"):match(pattern)) or 0
end

--- Threads, in the one of its processes that has the most.
function Process:threads()
  local most = 0
  for _, pid in ipairs(pids_of(self)) do
    most = math.max(most, status_of(pid, "Threads:%s*(%d+)"))
  end
  return most
end

--- Resident memory in KB, in all of its processes.
function Process:resident()
  local sum = 0
  for _, pid in ipairs(pids_of(self)) do sum = sum + status_of(pid, "VmRSS:%s*(%d+)") end
  return sum
end

--- How many file descriptors it has open, in all of its processes.
function Process:descriptors()
  local count = 0
  for _, pid in ipairs(pids_of(self)) do
    for name in lfs.dir("/proc/" .. pid .. "/fd") do
      if name:match("^%d+$") then count = count + 1 end
    end
  end
  return count
end

--- How many it has open once that number stands still.
function Process:settled_descriptors()
  local count, since = self:descriptors(), 0
  support.wait_until("the descriptors to settle", function()
    local now = self:descriptors()
    count, since = now, now == count and since + 1 or 0
    return since == 20
  end)
  return count
end

function Process:clean()
  support.remove(self.directory)
  if self.scripts then support.remove(self.scripts) end
end

local function last_lines(text)
  return text:sub(-4000)
end

--- Fails if a sanitizer reported something.
function Process:check_sanitizers()
  local log = self:stderr()
  local found = log:find("Sanitizer", 1, true) or log:find("runtime error:", 1, true)
  if found then error("a sanitizer reported:\n" .. log:sub(found, found + 6000), 2) end
end

--- Whether a process runs; one that has ended may still be known for a while.
function support.runs(pid)
  local stat = support.read_file("/proc/" .. pid .. "/stat")
  return stat ~= "" and stat:match("^%d+ %b() (%a)") ~= "Z"
end

--- The directories, in memory, in which a host keeps genet.shared.
-- @tparam integer pid of the host
function support.shared_directories(pid)
  local found = {}
  for name in lfs.dir("/dev/shm") do
    if name:find("^genet%-%d+%-" .. pid .. "%-") then found[#found + 1] = name end
  end
  return found
end

--- Waits until a process has ended.
function support.wait_gone(pid)
  support.wait_until("the end of process " .. pid, function() return not support.runs(pid) end)
end

function Process:kill()
  local pids = pids_of(self)
  if not self:has_ended() then self:signal("KILL") end
  local status = self:wait()
  for _, pid in ipairs(pids) do support.wait_gone(pid) end
  return status
end

--- Runs the binary to its end; the result has `status`, `out` and `err`.
-- @tparam[opt] number patience seconds
function support.run(arguments, patience)
  local process = support.start(arguments)
  local ended, err = pcall(process.wait, process, patience)
  if not ended then process:kill() end
  local result = {status = process.status, out = process:stdout(), err = process:stderr()}
  process:clean()
  if not ended then error(err .. "\n" .. last_lines(result.err), 2) end
  process.check_sanitizers({stderr = function() return result.err end})
  return result
end

-- ---------------------------------------------------------------- servers

local Server = setmetatable({}, {__index = Process})
Server.__index = Server
support.Server = Server

local function server_arguments(options, path)
  local arguments = {"runserver", path, "-p", tostring(options.port or 0)}
  for _, argument in ipairs(options.args or {}) do arguments[#arguments + 1] = argument end
  arguments[#arguments + 1] = support.mode_argument(arguments, options)
  return arguments
end

local function await_ready(server)
  return support.wait_until("the ready line", function()
    local host, port = server:stdout():match("genet: listening on http://([%d%.]+):(%d+)\n")
    if port then return {host = host, port = tonumber(port)} end
    if server:has_ended() then error("the server ended:\n" .. last_lines(server:stderr()), 0) end
  end)
end

--- Starts a server on a free port and waits until it is ready.
-- @tparam table options `script` (text of one script), `scripts` (text by file name) or `path`;
--   `args` more arguments, `env` environment variables, `states` 1 for a single Lua state,
--   `processes` 1 for a single process, where limits count
function support.serve(options)
  local scripts = not options.path
    and support.directory(options.scripts or {["main.lua"] = options.script})
  local arguments = server_arguments(options, options.path or scripts)
  local server = support.start(arguments, options.env)
  server.states = options.states
  server.serves_by_processes = arguments[#arguments]:find("^%-%-processes=") ~= nil
  server.scripts = scripts or nil
  setmetatable(server, Server)
  local ready, result = pcall(await_ready, server)
  if not ready then
    server:kill()
    server:clean()
    error(result, 2)
  end
  server.host, server.port = result.host, result.port
  return server
end

--- The path of its control socket.
function Server:control()
  return ("%s/genet/%d.sock"):format(self.directory, self.pid)
end

--- Runs `genet reload` or `genet status` for this server, or for the one process that serves for
-- it; see support.run.
function Server:tell(verb)
  local one = self.states == 1 and self.serves_by_processes and verb == "status"
  return support.run{verb, "--control", self:control() .. (one and ".0" or "")}
end

--- Writes one of its scripts, in place.
function Server:save(name, text)
  support.write_file(self.scripts .. "/" .. name, text)
end

--- Asks the server to end and fails if it did not end well.
function Server:stop()
  if not self:has_ended() then self:signal("TERM") end
  local ended, status = pcall(self.wait, self)
  if not ended then self:kill() end
  local log = last_lines(self:stderr())
  local sound, report = pcall(self.check_sanitizers, self)
  self:clean()
  if not sound then error(report, 2) end
  if not ended then error("the server did not stop when asked:\n" .. log, 2) end
  if status ~= 0 then error(("the server ended with status %d:\n%s"):format(status, log), 2) end
end

-- ---------------------------------------------------------------- requests

--- The text as a chunked body, in chunks of these many bytes.
function support.chunked(text, size)
  local chunks = {}
  for first = 1, #text, size do
    local chunk = text:sub(first, first + size - 1)
    chunks[#chunks + 1] = ("%x\r\n%s\r\n"):format(#chunk, chunk)
  end
  return table.concat(chunks) .. "0\r\n\r\n"
end

support.request_bytes = client.request_bytes

--- A connection of its own to the server; see tests/e2e/client.lua.
function Server:connect()
  return client.connect(self.host, self.port, support.patience)
end

--- One request on a connection of its own.
function Server:request(method, target, headers, body)
  local connection = self:connect()
  local ok, response = pcall(connection.request, connection, method, target, headers, body)
  connection:close()
  if not ok then error(response, 2) end
  return response
end

function Server:get(target, headers)
  return self:request("GET", target, headers)
end

--- The same request on a new connection, left waiting for its answer.
function Server:ask(target)
  local connection = self:connect()
  connection:ask(target)
  return connection
end

--- Asks on so many new connections at once; gives how often each body came.
-- @param target a target, or a function that gives that of a number
-- @tparam[opt] table headers a list of lines
function Server:tally(count, target, headers)
  local connections, times = {}, {}
  for at = 1, count do
    local path = type(target) == "function" and target(at) or target
    connections[at] = self:connect()
    connections[at]:send(client.request_bytes("GET", path, headers))
  end
  for _, connection in ipairs(connections) do
    local body = connection:response("GET").body
    times[body] = (times[body] or 0) + 1
    connection:close()
  end
  return times
end

-- ---------------------------------------------------------------- load

local Load = {}
Load.__index = Load

--- Clients that ask for one target again and again, until they are told to end; see load.lua.
-- @tparam string connections their number; "8 keep" keeps them open between requests
-- @tparam[opt] string pattern what all answers match
function Server:load(target, connections, pattern)
  local directory = support.directory()
  local command = "exec setpriv --pdeathsig KILL lua5.4 tests/e2e/load.lua %s %d %s %s %s %s"
  local pipe = assert(io.popen(command:format(self.host, self.port, support.quote(target),
    support.quote(connections), directory, support.quote(pattern or ""))))
  return setmetatable({pipe = pipe, directory = directory}, Load)
end

--- Ends it. Returns `answers`, `wrong`, `cut`, `late`, `refused` and `sent`, `first_refusal` (a
-- time, 0 for none), `unanswered` (a set of numbers), and all it has said as `text`.
function Load:finish()
  support.write_file(self.directory .. "/enough", "")
  local text = self.pipe:read("a")
  self.pipe:close()
  support.remove(self.directory)
  local result = {text = text, unanswered = {}}
  for number, what in text:match("^[^\n]*"):gmatch("(%d+) (%l+)") do
    result[what] = math.tointeger(number)
  end
  assert(result.sent, "the load has failed")
  result.first_refusal = tonumber(text:match("first refusal at ([%d.]+)"))
  for number in text:match("unanswered:([^\n]*)"):gmatch("%d+") do
    result.unanswered[math.tointeger(number)] = true
  end
  return result
end

--- Clients that ask for these targets while scripts are loaded again; see reload_load.lua. Returns
-- a function that ends them, and fails unless each answer was wholly of one generation.
-- @tparam integer count of connections for each target
function Server:ask_for_versions(targets, count)
  local command = "exec setpriv --pdeathsig KILL lua5.4 tests/e2e/reload_load.lua %s %d %s %d %s"
  local pipes = {}
  for at, target in ipairs(targets) do
    pipes[at] = assert(io.popen(command:format(self.host, self.port, target, count,
      self.directory)))
  end
  return function()
    support.write_file(self.directory .. "/enough", "")
    for _, pipe in ipairs(pipes) do
      local report = pipe:read("a")
      assert(report:find("^%d+ answers, 0 wrong\n$"), report)
      assert(pipe:close())
    end
  end
end

-- ---------------------------------------------------------------- crowds

local Crowd = {}
Crowd.__index = Crowd

-- LuaSocket takes no descriptor past 1023 into select, so a crowd is many small processes.
local crowd_share = 900

--- Opens `count` connections and sends `GET target` on each, from processes of their own.
function Server:crowd(count, target)
  local crowd = setmetatable({pipes = {}}, Crowd)
  for first = 1, count, crowd_share do
    local share = math.min(crowd_share, count - first + 1)
    local command = ("exec setpriv --pdeathsig KILL lua5.4 tests/e2e/crowd.lua %s %d %d %s %d")
      :format(self.host, self.port, share, support.quote(target), support.patience)
    crowd.pipes[#crowd.pipes + 1] = assert(io.popen(command))
  end
  return crowd
end

--- Waits until every request of the crowd has been sent.
function Crowd:wait_sent()
  for _, pipe in ipairs(self.pipes) do assert(pipe:read("l") == "sent") end
end

--- Waits for all answers; returns how often each came, by "STATUS BODY" (or an error).
function Crowd:answers()
  local counts = {}
  for _, pipe in ipairs(self.pipes) do
    for line in pipe:lines() do
      local count, answer = line:match("^(%d+) (.*)$")
      if count then counts[answer] = (counts[answer] or 0) + tonumber(count) end
    end
    pipe:close()
  end
  return counts
end

return support
