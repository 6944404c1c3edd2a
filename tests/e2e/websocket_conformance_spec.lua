-- The bytes of WebSockets are taken, or refused, as RFC 6455 says, however they come.
--
-- The cases are tables in tests/e2e/websocket.
local client = require "tests.e2e.client"
local frames = require "tests.e2e.websocket.frames"
local groups = require "tests.e2e.websocket.conformance"
local handshakes = require "tests.e2e.websocket.handshakes"
local support = require "tests.e2e.support"
local ws_client = require "tests.e2e.websocket.client"

local server

local function at_once(ws, bytes) ws:send_bytes(bytes) end

-- With TCP_NODELAY each byte is a segment of its own. The server may close before the last.
local function byte_by_byte(ws, bytes)
  for i = 1, #bytes do
    if not ws:send_bytes(bytes:sub(i, i)) then return end
  end
end

local function check_frame(expected, kind, payload)
  if not kind then error("the connection ended without a close", 0) end
  if kind ~= expected.kind then
    error(("a %s %q instead of a %s"):format(kind, payload:sub(1, 40), expected.kind), 0)
  end
  if kind == "close" then
    assert(#payload ~= 1, "half a code")
    local code = #payload > 0 and string.unpack(">I2", payload) or 1005
    if code ~= expected.code then
      error(("closed with %d and not %d"):format(code, expected.code), 0)
    end
  elseif payload ~= expected.payload then
    error(("%q and not %q"):format(payload:sub(1, 40), expected.payload:sub(1, 40)), 0)
  end
  return kind
end

-- A broken frame ends the connection at once, before what came ahead of it is answered, or after.
local function may_be_cut_short(case, kind)
  local code = kind == "close" and case[#case].code
  return code == 1002 or code == 1007 or code == 1009
end

local function expect_all(case, ws)
  local kind, payload
  for i = 3, #case do
    kind, payload = ws:read_frame()
    if i < #case and may_be_cut_short(case, kind) then
      return check_frame(case[#case], kind, payload)
    end
    check_frame(case[i], kind, payload)
  end
  return kind
end

local function play(case, send)
  local ws = ws_client.open(server, case.target or "/echo")
  finally(function() ws:vanish() end)
  send(ws, case[2])
  local kind = expect_all(case, ws)
  if kind ~= "close" then
    ws:send_close(1000)
    check_frame({kind = "close", code = 1000}, ws:read_frame())
  end
  assert(ws.connection:is_closed(), "the server did not close the connection")
end

local function handshake_lines(changes)
  local lines, used = {}, {method = true, version = true, target = true}
  for _, line in ipairs(ws_client.handshake()) do
    local name = line:match("^[^:]+")
    used[name] = true
    if changes[name] then line = name .. ": " .. changes[name] end
    if changes[name] ~= false then lines[#lines + 1] = line end
  end
  for name, value in pairs(changes) do
    if not used[name] then lines[#lines + 1] = name .. ": " .. value end
  end
  return lines
end

local function shake_hands(case)
  local changes, expected = case[2], case[3]
  local method = changes.method or "GET"
  local bytes = client.request_bytes(method, changes.target or "/echo", handshake_lines(changes))
  local connection = server:connect()
  finally(function() connection:close() end)
  connection:send((bytes:gsub("HTTP/1%.1", "HTTP/" .. (changes.version or "1.1"), 1)))
  local response = connection:read_head()
  assert.equal(expected.status, response.status)
  for name, value in pairs(expected.headers or {}) do
    local got = response.headers[name]
    if value then
      assert.truthy((got or ""):lower():find(value, 1, true), name .. ": " .. tostring(got))
    else
      assert.is_nil(got)
    end
  end
  assert.equal(expected.status == 101, response.headers["sec-websocket-accept"] ~= nil)
end

describe("a WebSocket,", function()
  setup(function() server = support.serve{path = "tests/e2e/websocket/routes.lua"} end)
  teardown(function() server:stop() end)

  describe("the handshake:", function()
    for _, case in ipairs(handshakes) do
      it(("%s: %d"):format(case[1], case[3].status), function() shake_hands(case) end)
    end
  end)

  for _, group in ipairs(groups) do
    describe(group.about .. ":", function()
      for _, case in ipairs(group) do
        it(case[1], function() play(case, at_once) end)
        if not case.large then
          it(case[1] .. " (a byte at a time)", function() play(case, byte_by_byte) end)
        end
      end
    end)
  end

  it("takes frames that come in the same packet as the handshake", function()
    local connection = server:connect()
    finally(function() connection:close() end)
    connection:send(client.request_bytes("GET", "/echo", ws_client.handshake())
      .. frames.text "early" .. frames.ping "p")
    local ws = ws_client.take_over(connection)
    local seen = {}
    for _ = 1, 2 do
      local kind, payload = ws:read_frame()
      seen[kind] = payload
    end
    assert.same({text = "early", pong = "p"}, seen)
  end)
end)
