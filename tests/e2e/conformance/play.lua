--- Plays a case of the conformance suite against a server and fails when it is answered otherwise
-- than the case allows.
local answer = require "tests.e2e.conformance.answer"
local words = require "tests.e2e.conformance.words"

local play = {}

local function fail(...)
  error(select("#", ...) > 1 and string.format(...) or ..., 0)
end

local function keys(set)
  local names = {}
  for key in pairs(set) do names[#names + 1] = tostring(key) end
  table.sort(names)
  return table.concat(names, " or ")
end

-- ---------------------------------------------------------------- sending

--- Ways to send bytes. What cannot be sent because the server has closed is of no interest.
local send = {}

function send.at_once(client, bytes)
  client:send(bytes)
end

-- Every byte is a write of its own, and with TCP_NODELAY a segment of its own.
function send.byte_by_byte(client, bytes)
  for i = 1, #bytes do
    if not client:send(bytes:sub(i, i)) then return end
  end
end

play.modes = {
  {name = "at once", send = send.at_once},
  {name = "byte by byte", send = send.byte_by_byte},
}

-- ---------------------------------------------------------------- judging

local function check_headers(expected, got)
  for name, pattern in pairs(expected.headers or {}) do
    local values = answer.values(got, name)
    if pattern == false and #values > 0 then fail("the header %s: %s", name, values[1]) end
    if pattern then
      if #values == 0 then fail("no header %s", name) end
      if not values[1]:find(pattern) then fail("the header %s: %s", name, values[1]) end
    end
  end
end

local function check_body(expected, got)
  if (expected.cut or false) ~= got.cut then
    fail(got.cut and "the body broke off" or "the body did not break off")
  end
  if expected.body and got.body ~= expected.body then
    fail("the body is %q and not %q", got.body:sub(1, 200), expected.body:sub(1, 200))
  end
  if expected.body_like and not got.body:find(expected.body_like) then
    fail("the body %q is not like %s", got.body:sub(1, 200), expected.body_like)
  end
  if expected.body_has and not got.body:find(expected.body_has, 1, true) then
    fail("no %q in the body %q", expected.body_has, got.body:sub(1, 200))
  end
end

-- An error answer says what was wrong in a line of its own.
local function check_refusal(got, to_head)
  local kind = answer.values(got, "content-type")[1]
  if kind ~= "text/plain; charset=utf-8" then fail("the refusal is %s", tostring(kind)) end
  if #answer.values(got, "content-length") ~= 1 then fail("the refusal has no Content-Length") end
  if not answer.says_close(got) then fail("the refusal does not say Connection: close") end
  if to_head then return end
  if not got.body:find("^" .. got.status .. " [%w' -]+\n[^\n]+\n$") then
    fail("the refusal gives no reason: %q", got.body)
  end
end

local function check_answer(expected, got)
  if not expected.status[got.status] then
    fail("status %d and not %s: %q", got.status, keys(expected.status), got.body:sub(1, 200))
  end
  check_headers(expected, got)
  check_body(expected, got)
  if expected.refusal then check_refusal(got, expected.to_head) end
end

local function alternatives(outcome)
  return outcome.answers and {outcome} or outcome
end

local function allows_silence(outcome)
  for _, one in ipairs(alternatives(outcome)) do
    if one.silent then return true end
  end
  return false
end

-- The first answer that is not optional, and the optional one before it if that has this status.
local function begins_with(outcome, status)
  for _, expected in ipairs(outcome.answers) do
    if expected.status[status] then return true end
    if not expected.optional then return false end
  end
  return false
end

-- The one of the allowed outcomes that begins with this status.
local function choose(outcome, status)
  local statuses = {}
  for _, one in ipairs(alternatives(outcome)) do
    if begins_with(one, status) then return one end
    for _, expected in ipairs(one.answers) do
      for each in pairs(expected.status) do statuses[each] = true end
      if not expected.optional then break end
    end
  end
  fail("status %d and not %s", status, keys(statuses))
end

-- ---------------------------------------------------------------- the end of a connection

local probe = words.get("/probe")

local function check_usable(client)
  client:send(probe)
  local got = answer.read(client)
  if not got then fail("the connection was closed") end
  if got.status ~= 200 or got.body ~= "probe" then
    fail("another answer came, %d %q", got.status, got.body:sub(1, 200))
  end
end

local function check_closed(client)
  local rest = client:read_all()
  if rest ~= "" then fail("more came after the last answer: %q", rest:sub(1, 200)) end
end

-- Who has ended the own direction need not be told that the connection ends.
local function check_end(client, case, ends, last)
  local closing = last.until_close or last.cut or answer.says_close(last)
  if ends == "any" then ends = closing and "closed" or "open" end
  if ends == "open" then
    if closing then fail("the last answer says that the connection is closed") end
    return check_usable(client)
  end
  check_closed(client)
  if ends == "closed" and not closing and not case.half_close then
    fail("the connection was closed, but the answer does not say so")
  end
end

-- ---------------------------------------------------------------- playing

-- The state of a case being played: what is expected from here on, and what came last.
local Play = {}
Play.__index = Play

-- Whether an answer to come may be one to HEAD; outcomes of one case agree on that.
function Play:to_head()
  local outcome = self.outcome or alternatives(self.case[4])[1]
  local expected = outcome.answers[self.at]
  return expected and expected.to_head
end

-- Whether the connection may be closed instead of the next answer.
function Play:may_end()
  if not self.outcome then return allows_silence(self.case[4]) end
  for index = self.at, #self.outcome.answers do
    if not self.outcome.answers[index].optional then return false end
  end
  return true
end

-- Reads the next answer and checks it; false when the connection was closed, as it may be.
function Play:read_answer()
  local got = answer.read(self.client, self:to_head())
  if not got then
    if self:may_end() then return false end
    fail(self.last and "the connection was closed before answer %d"
      or "the connection was closed without an answer", self.at)
  end
  self.outcome = self.outcome or choose(self.case[4], got.status)
  local expected = self.outcome.answers[self.at]
  while expected and expected.optional and not expected.status[got.status] do
    self.at = self.at + 1
    expected = self.outcome.answers[self.at]
  end
  if not expected then fail("one answer too many: %d", got.status) end
  self.at, self.last = self.at + 1, got
  check_answer(expected, got)
  return true
end

function Play:is_done()
  local outcome = self.outcome or alternatives(self.case[4])[1]
  return self.at > #outcome.answers
end

function Play:converse(send_bytes)
  local bytes = self.case[3]
  local pieces = type(bytes) == "table" and bytes or {bytes}
  for index, piece in ipairs(pieces) do
    send_bytes(self.client, piece)
    if index < #pieces and not self:read_answer() then return end
  end
  if self.case.half_close then self.client.socket:shutdown("send") end
  while not self:is_done() and self:read_answer() do end
end

function Play:run(send_bytes)
  self:converse(send_bytes)
  if not self.last then return check_closed(self.client) end
  check_end(self.client, self.case, self.outcome.ends, self.last)
end

local function check_still_serving(server)
  local client = server:connect()
  local ok, problem = pcall(check_usable, client)
  client:close()
  if not ok then fail("after it, a plain request failed: %s", problem) end
end

local function shown(bytes)
  if type(bytes) == "table" then bytes = table.concat(bytes, "<an answer>") end
  local text = #bytes > 600 and bytes:sub(1, 600) .. "..." or bytes
  return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\\13", "\\r"))
end

--- Plays one case in one of `play.modes` against a server of `support.serve`.
function play.case(server, case, mode)
  local client = server:connect()
  local game = setmetatable({client = client, case = case, at = 1}, Play)
  local ok, problem = pcall(game.run, game, mode.send)
  client:close()
  if ok then ok, problem = pcall(check_still_serving, server) end
  if not ok then error(("%s\nsent %s: %s"):format(problem, mode.name, shown(case[3])), 0) end
end

return play
