--- Processes: commands that run beside the host, whose pipes and ends are waited for while others
-- run.
--
--     local process = require "genet.process"
--     local sort <close> = assert(process.spawn{"sort", "-r", stdin = "pipe"})
--     sort:write("a\nb\n")
--     sort:close_stdin()
--     for line in sort:lines() do print(line) end
--     print(sort:wait()) --> true  exit  0
--
-- A process has the three standard descriptors and no other of the host's, and default signal
-- dispositions. It leaves no zombie, whether anybody waits for it or not. One that goes out of
-- scope as a `<close>` variable is ended; one that is collected is killed.
-- @module genet.process

local check = require "genet.check"
local subprocess = require "genet.subprocess"

local DEFAULT_GRACE = 2 -- seconds between SIGTERM and SIGKILL
local WORDS = {pipe = true, null = true, inherit = true}
local TYPES = {
  cwd = "string", env = "table", clear_env = "boolean", timeout = "number", grace = "number",
  group = "boolean", input = "string",
}
local STREAMS = {stdin = "null", stdout = "pipe", stderr = "inherit"}

local methods = {}
local Process = {__name = "genet.process", __index = methods}

local process = {}

-- Options -------------------------------------------------------------------------------------

local function refuse(what, message, ...)
  error(what .. ": " .. message:format(...), 0)
end

local function check_text(what, name, text)
  if text:find("\0", 1, true) then refuse(what, "%s holds a zero byte", name) end
  return text
end

local function read_arguments(what, options)
  local argv = {}
  for at = 1, #options do
    local value = options[at]
    if type(value) ~= "string" and type(value) ~= "number" then
      refuse(what, "argument %d: a string was expected, not a %s", at, type(value))
    end
    argv[at] = check_text(what, "argument " .. at, tostring(value))
  end
  if not argv[1] or argv[1] == "" then refuse(what, "a command was expected") end
  return argv
end

local function read_environment(what, env)
  local list = {}
  for name, value in pairs(env or {}) do
    if type(name) ~= "string" or name == "" or name:find("=", 1, true) then
      refuse(what, "option 'env': '%s' is not a name", tostring(name))
    end
    local text = value and name .. "=" .. tostring(value) or name
    list[#list + 1] = check_text(what, "option 'env'", text)
  end
  return list
end

local function check_stream(what, name, value)
  if value == nil then return STREAMS[name] end
  if name == "stderr" and value == "stdout" then return value end
  if io.type(value) == "file" or WORDS[value] then return value end
  refuse(what, "option '%s': 'pipe', 'null', 'inherit'%s or an open file was expected",
    name, name == "stderr" and ", 'stdout'" or "")
end

-- Any other string as `stdin` is what the process shall read.
local function read_streams(what, options, plan)
  plan.input = options.input
  local stdin = options.stdin
  if type(stdin) == "string" and not WORDS[stdin] then plan.input, stdin = stdin, nil end
  if options.input and options.stdin ~= nil then
    refuse(what, "option 'input' does not go with 'stdin'")
  end
  plan.stdin = check_stream(what, "stdin", stdin)
  plan.stdout = check_stream(what, "stdout", options.stdout)
  plan.stderr = check_stream(what, "stderr", options.stderr)
end

local function check_options(what, options)
  if type(options) ~= "table" then
    refuse(what, "a table was expected, not a %s", type(options))
  end
  for key, value in pairs(options) do
    local expected = TYPES[key]
    if not expected and not STREAMS[key] and not math.tointeger(key) then
      refuse(what, "unknown option '%s'", tostring(key))
    elseif expected and type(value) ~= expected then
      refuse(what, "option '%s': a %s was expected, not a %s", key, expected, type(value))
    elseif expected == "number" and (value < 0 or value ~= value) then
      refuse(what, "option '%s': a number of seconds from 0 was expected, not %s", key, value)
    end
  end
end

local function read_options(what, options)
  check_options(what, options)
  local plan = {argv = read_arguments(what, options), cwd = options.cwd}
  if options.cwd then check_text(what, "option 'cwd'", options.cwd) end
  plan.env = read_environment(what, options.env)
  plan.clear_env = options.clear_env or false
  plan.group = options.group or false
  read_streams(what, options, plan)
  return plan
end

-- What a script has written so far comes before what the process writes to the same file.
local function flush_outputs(plan)
  for _, name in ipairs{"stdout", "stderr"} do
    if io.type(plan[name]) == "file" then plan[name]:flush() end
  end
end

-- Starting ------------------------------------------------------------------------------------

-- Raises at the line of its caller's caller's caller.
local function checked(what, options)
  local ok, plan = pcall(read_options, what, options)
  if not ok then error(plan, 4) end
  return plan
end

local function spawn(what, options)
  local plan = checked(what, options)
  local self = setmetatable({grace = options.grace or DEFAULT_GRACE}, Process)
  flush_outputs(plan)
  local child, stdin, stdout, stderr = subprocess.start(plan)
  if not child then return nil, stdin end
  self.child, self.pid = child, child:pid()
  self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
  if options.timeout then child:limit(options.timeout, self.grace) end
  return self
end

--- Starts a command. The options stand beside the command and its arguments in one table.
--
-- - `stdin`: `"null"` (the default), `"pipe"` to write to, `"inherit"` from the host, an open file,
--   or another string, which the process reads
-- - `input`: a string that the process reads, whatever it says
-- - `stdout`: `"pipe"` (the default) to read from, `"null"`, `"inherit"`, or an open file
-- - `stderr`: the same, `"inherit"` unless told, or `"stdout"`
-- - `cwd`: the directory to run in
-- - `env`: variables by name, on top of the host's; `false` removes one
-- - `clear_env`: nothing but `env`
-- - `timeout`: seconds after which it is terminated, `grace` (2) seconds later killed
-- - `group`: it leads a process group of its own, which is signalled as a whole; the keys of the
--   host's terminal do not reach it
-- @tparam table options
-- @treturn[1] Process with `pid`, and the files `stdin`, `stdout`, `stderr` of its pipes
-- @treturn[2] nil
-- @treturn[2] string an error that names the command, or the directory
-- @usage local ls <close> = assert(process.spawn{"ls", "-l", cwd = "/tmp"})
function process.spawn(options)
  local self, problem = spawn("genet.process.spawn", options)
  return self, problem
end

--- Runs a command to its end. Waits.
-- @tparam table options as for `process.spawn`; `stdout` is a pipe, and `stderr = "pipe"` keeps
--   the errors
-- @treturn[1] string what it wrote
-- @treturn[1] string `exit`, `signal` or `timeout`
-- @treturn[1] integer its exit status or the signal
-- @treturn[1] ?string what it wrote to stderr
-- @treturn[2] nil
-- @treturn[2] string why it could not be run
-- @usage local output, how, code = process.run{"sort", input = "b\na\n"}
function process.run(options)
  local what, given = "genet.process.run", {}
  if type(options) ~= "table" then
    error(("%s: a table was expected, not a %s"):format(what, type(options)), 2)
  end
  for key, value in pairs(options) do given[key] = value end
  if given.stdout ~= nil or given.stdin == "pipe" then
    error(what .. ": its stdout is read, its stdin is not written; see genet.process.spawn", 2)
  end
  local errors <close> = given.stderr == "pipe" and assert(io.tmpfile()) or nil
  given.stderr = errors or given.stderr
  local self <close>, problem = spawn(what, given)
  if not self then return nil, problem end
  local output, unread = self:read("a")
  if not output then return nil, unread end
  local _, how, code = self:wait()
  if errors then errors:seek("set") end
  return output, how, code, errors and errors:read("a")
end

-- Methods -------------------------------------------------------------------------------------

local function stream(self, name, what)
  return self[name] or error(("process:%s: its %s is not a pipe"):format(what, name), 3)
end

--- Reads from its stdout, as `file:read` does. Waits.
-- @function process:read
-- @param ... formats of `file:read`
-- @return what was read, or nil at the end
-- @usage local line = child:read("l")
function methods:read(...)
  return stream(self, "stdout", "read"):read(...)
end

--- Iterates over its stdout, as `file:lines` does. Waits.
-- @function process:lines
-- @param ... formats of `file:read`
-- @treturn function
-- @usage for line in child:lines() do print(line) end
function methods:lines(...)
  return stream(self, "stdout", "lines"):lines(...)
end

--- Writes to its stdin; nothing is kept back. Waits for a process that is slow to read.
-- @function process:write
-- @param ... strings or numbers
-- @treturn[1] Process the process itself
-- @treturn[2] nil
-- @treturn[2] string why: the process may have closed its stdin
-- @usage child:write("a line\n")
function methods:write(...)
  local file, problem, code = stream(self, "stdin", "write"):write(...)
  if file then return self end
  return nil, problem, code
end

--- Closes its stdin: the process sees the end of the file. Does nothing when it is closed.
-- @function process:close_stdin
-- @usage child:close_stdin()
function methods:close_stdin()
  local file = stream(self, "stdin", "close_stdin")
  if io.type(file) == "file" then file:close() end
end

--- Waits for its end, as many tasks as like to. Read what it writes first, or it may wait for that.
-- @function process:wait
-- @tparam[opt] number timeout seconds
-- @treturn[1] boolean true, for exit status 0
-- @treturn[1] string `exit`
-- @treturn[1] integer 0
-- @treturn[2] nil
-- @treturn[2] string `exit` or `signal`; `timeout` for one that was terminated for its `timeout`,
--   or, without a code, that has not ended yet
-- @treturn[2] ?integer the exit status or the signal
-- @usage local ok, how, code = child:wait()
function methods:wait(timeout)
  check.optional_seconds(timeout, "process:wait")
  if not self.child:wait(timeout) then return nil, "timeout" end
  return self.child:result()
end

--- Sends a signal, to its whole group if it leads one.
-- @function process:kill
-- @tparam[opt="TERM"] string|integer signal
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `the process has ended`
-- @usage child:kill("INT")
function methods:kill(signal)
  local number = subprocess.signal(signal or "TERM")
  if not number then
    error(("process:kill: there is no signal '%s'"):format(tostring(signal)), 2)
  end
  return self.child:kill(number)
end

--- Ends it and what it has started, by SIGTERM and after `grace` seconds by SIGKILL, and closes its
-- pipes. Waits for its end, also in a cancelled task. `<close>` does the same.
-- @function process:close
-- @usage child:close()
function methods:close()
  self.child:finish(self.grace)
  for name in pairs(STREAMS) do
    if self[name] then subprocess.release(self[name]) end
  end
end

Process.__close = methods.close

function Process:__tostring()
  return ("process: %d"):format(self.pid)
end

return process
