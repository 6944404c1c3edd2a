-- A server that does what the path of a request says, mostly wrong, for the tests of the HTTP
-- client. Under `genet run`; prints "port N", and of what it got a line for each request: the
-- number of its connection, the method and the path. With a certificate it speaks TLS.
--
--   genet run tests/e2e/misbehaving.lua [CERT KEY]
local genet = require "genet"
local socket = require "socket"
local ssl = require "ssl"

local cert, key = ...
local listener = assert(socket.bind("127.0.0.1", 0, 1024))
print("port " .. select(2, listener:getsockname()))
io.stdout:flush()

local act = {}

local function say(peer, ...)
  return peer:send(table.concat{...})
end

local OK = "HTTP/1.1 200 OK\r\n"

-- Each gets the connection and what else the path says, and returns whether it goes on.
function act.hello(peer) return say(peer, OK, "Content-Length: 5\r\n\r\nhello") end
function act.nothing() return false end
function act.garbage(peer) say(peer, "SSH-2.0-OpenSSH_9.2\r\n") end
function act.half(peer) say(peer, OK, "Content-Le") end
function act.short(peer) say(peer, OK, "Content-Length: 9\r\n\r\nabc") end
function act.chunk(peer) say(peer, OK, "Transfer-Encoding: chunked\r\n\r\n9\r\nabc") end
function act.badchunk(peer) say(peer, OK, "Transfer-Encoding: chunked\r\n\r\nxyz\r\n") end
function act.lengths(peer) say(peer, OK, "Content-Length: 1\r\nContent-Length: 2\r\n\r\nabc") end
function act.close(peer) say(peer, OK, "\r\nto the end") end
function act.old(peer) say(peer, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold") end
function act.early(peer)
  say(peer, "HTTP/1.1 100 Continue\r\n\r\n", OK, "Content-Length: 1\r\n\r\nx")
end
function act.silent() genet.sleep(600) end

function act.hints(peer)
  for _ = 1, 3 do say(peer, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") end
  return act.hello(peer)
end

function act.huge(peer)
  say(peer, OK)
  while say(peer, "X-Fill: ", ("x"):rep(1000), "\r\n") do end
end

function act.flood(peer)
  say(peer, OK, "\r\n")
  while say(peer, ("x"):rep(10000)) do end
end

-- A byte now and then, for ever.
function act.drip(peer)
  say(peer, OK, "Content-Length: 1000000\r\n\r\n")
  while say(peer, "x") do genet.sleep(0.05) end
end

function act.stop(peer)
  say(peer, OK, "Content-Length: 9\r\n\r\nabc")
  genet.sleep(600)
end

-- Says that it keeps the connection, and closes it.
function act.bye(peer) act.hello(peer) end

-- Keeps the connection, and closes it when the next request has come.
function act.fickle(peer, count) return count == 1 and act.hello(peer) end

-- More than was asked for.
function act.extra(peer)
  return say(peer, OK, "Content-Length: 5\r\n\r\nhello", OK, "Content-Length: 4\r\n\r\nevil")
end

-- Answers as soon as it has the head, and reads no body.
function act.refuse(peer)
  say(peer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
  genet.sleep(0.2)
end

function act.cookies(peer)
  return say(peer, OK, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")
end

-- Redirects to what follows in the path, as it stands.
function act.to(peer, _, rest)
  return say(peer, "HTTP/1.1 302 Found\r\nLocation: ", rest, "\r\nContent-Length: 0\r\n\r\n")
end

local function read_head(peer)
  local line = peer:receive("*l")
  local length, field = 0, line
  while field and field ~= "" do
    field = peer:receive("*l")
    length = tonumber((field or ""):lower():match("^content%-length: *(%d+)")) or length
  end
  return field and line, length
end

local function serve(peer, number)
  local count, goes_on = 0, true
  while goes_on do
    local line, length = read_head(peer)
    if not line then break end
    count = count + 1
    local method, name, rest = line:match("^(%u+) /(%w+)/?(%S*)")
    print(number, method, name)
    io.stdout:flush()
    if length > 0 and name ~= "refuse" and name ~= "silent" then peer:receive(length) end
    goes_on = act[name](peer, count, rest)
  end
  peer:close()
end

local function secure(peer)
  if not cert then return peer end
  local session = ssl.wrap(peer, {mode = "server", protocol = "any", certificate = cert, key = key})
  return session:dohandshake() and session
end

local number = 0
while true do
  local peer = listener:accept()
  number = number + 1
  genet.spawn({detach = true}, function(mine)
    local session = secure(peer)
    if session then serve(session, mine) end
  end, number)
end
