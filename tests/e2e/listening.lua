--- Starts the real binary on addresses of any kind, and asks it over IPv4, IPv6 and Unix sockets.
local socket = require "socket"
local support = require "tests.e2e.support"
local unix = require "socket.unix"

local listening = {}

local Listening = {}

local function await_urls(server)
  return support.wait_until("the ready line", function()
    local urls = server:stdout():match("genet: listening on ([^\n]+)\n")
    if urls then return urls end
    if server:has_ended() then error("the server ended:\n" .. server:stderr(), 0) end
  end)
end

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  return list
end

--- Starts a server and waits until it is ready; its ready line's addresses are in `urls`.
-- @tparam table options `script` (its text) and `args`, which say where to listen; `states` and
--   `processes` as support.serve has them
function listening.serve(options)
  local scripts = support.directory{["main.lua"] = options.script}
  local arguments = {"runserver", scripts, table.unpack(options.args)}
  arguments[#arguments + 1] = support.mode_argument(arguments, options)
  local server = support.start(arguments)
  server.serves_by_processes = arguments[#arguments]:find("^%-%-processes=") ~= nil
  server.scripts = scripts
  for name, method in pairs(Listening) do server[name] = method end
  local ready, result = pcall(await_urls, server)
  if not ready then
    server:kill()
    server:clean()
    error(result, 2)
  end
  server.urls = words(result)
  return server
end

--- Runs the binary, which is expected to end by itself, and returns how it ended.
function listening.run(script, arguments)
  local scripts = support.directory{["main.lua"] = script}
  local ok, result = pcall(support.run, {"runserver", scripts, table.unpack(arguments)})
  support.remove(scripts)
  return ok and result or error(result, 2)
end

--- Asks the server to end, and fails if it did not end well.
function Listening:stop()
  if not self:has_ended() then self:signal("TERM") end
  local ended, status = pcall(self.wait, self)
  if not ended then self:kill() end
  local log = self:stderr():sub(-4000)
  local sound, report = pcall(self.check_sanitizers, self)
  self:clean()
  if not sound then error(report, 2) end
  if not ended then error("the server did not stop when asked:\n" .. log, 2) end
  if status ~= 0 then error(("the server ended with status %d:\n%s"):format(status, log), 2) end
end

--- Host and port of a URL; nil for one without.
function listening.host_port(url)
  local host, port = url:match("^%a+://%[?(.-)%]?:(%d+)$")
  return host, tonumber(port)
end

local function open(url)
  local path = url:match("^unix:(.*)$")
  if not path then return socket.connect(listening.host_port(url)) end
  local connection = assert(unix.stream())
  local ok, err = connection:connect(path)
  if not ok then
    connection:close()
    return nil, err
  end
  return connection
end

--- Asks for `target` on a connection of its own; returns the body of the answer, and its head.
-- @treturn[2] nil when nobody listens there
function listening.ask(url, target)
  local connection, err = open(url)
  if not connection then return nil, err end
  connection:settimeout(support.patience, "t")
  assert(connection:send(support.request_bytes("GET", target, {"Connection: close"})))
  local text, problem, partial = connection:receive("*a")
  local _, port = (connection.getsockname or function() end)(connection)
  connection:close()
  assert(problem ~= "timeout", "waited in vain for an answer")
  text = text or partial
  local head, body = text:match("^(.-\r\n\r\n)(.*)$")
  return body, head, tonumber(port)
end

return listening
