--- The words that the cases of the conformance suite are written in.
--
-- A group is a table with `about`, what its sentences are about; `args`, options of the server;
-- `mode`, the only one to play its cases in; and its cases.
--
-- A case is {sentence, section, bytes, outcome}; the section is that of the RFC which asks for the
-- outcome. Bytes may be a list of pieces: then after each but the last one answer is read before
-- the next piece is sent. `half_close` in a case ends the sending direction after the last byte.
--
-- An outcome has `answers`, a list of answers (see `words.answer`); `ends`, what becomes of the
-- connection: "open"; "closed", and the last answer says so; "any", as the last answer says; or
-- "dropped", closed whatever it says; and `silent`, whether it may be closed without an answer.
-- A list of outcomes allows each of them; the status of the first answer tells which one it is.
local words = {}

-- ---------------------------------------------------------------- bytes

local function with_breaks(lines)
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- A request of these lines and an empty one, then the body.
function words.raw(lines, body)
  return with_breaks(lines) .. (body or "")
end

--- A request with this request line, a Host and nothing else.
function words.line(request_line)
  return with_breaks{request_line, "Host: a"}
end

--- A GET for a target with these header lines beside Host.
function words.get(target, ...)
  return with_breaks{"GET " .. target .. " HTTP/1.1", "Host: a", ...}
end

--- The same in HTTP/1.0, with these header lines only.
function words.get10(target, ...)
  return with_breaks{"GET " .. target .. " HTTP/1.0", ...}
end

--- A POST with these header lines beside Host, and a body that they describe.
function words.post(target, body, ...)
  return with_breaks{"POST " .. target .. " HTTP/1.1", "Host: a", ...} .. body
end

--- A GET for / with these header lines beside Host.
function words.with(...)
  return words.get("/", ...)
end

--- A GET for / with these header lines only.
function words.only(...)
  return with_breaks{"GET / HTTP/1.1", ...}
end

--- A POST to /echo in chunked coding; the body is given as it is sent.
function words.chunked(body, ...)
  return words.post("/echo", body, "Transfer-Encoding: chunked", ...)
end

-- ---------------------------------------------------------------- outcomes

local function set_of(statuses)
  local set = {}
  for _, status in ipairs(type(statuses) == "table" and statuses or {statuses}) do
    set[status] = true
  end
  return set
end

--- One answer: its status (or a list of those allowed) and what else must hold:
-- `body`, or `body_has`, a plain text in it, or `body_like`, a pattern; `headers`, patterns by
-- lower-case name, false for one that must be missing; `refusal` when it is an error answer of the
-- wire itself; `to_head` when it answers a HEAD; `cut` when its body must break off; `optional`
-- when it may be missing.
function words.answer(statuses, more)
  local answer = {}
  for key, value in pairs(more or {}) do answer[key] = value end
  answer.status = set_of(statuses)
  return answer
end
local answer = words.answer

--- These answers in their order, and what then becomes of the connection, "open" unless told.
function words.answers(list, ends)
  return {answers = list, ends = ends or "open"}
end

--- One answer, as `words.answer` has it; the connection stays open unless told otherwise.
function words.gives(statuses, more, ends)
  return words.answers({answer(statuses, more)}, ends)
end

--- 200, with this body if it is given, and the connection stays open.
function words.taken(body, ends)
  return words.gives(200, {body = body}, ends)
end

--- One error answer of these statuses, after which the connection is closed.
function words.refused(...)
  return words.answers({answer({...}, {refusal = true})}, "closed")
end

--- The same, but the connection may be closed without an answer, too.
function words.dropped(...)
  local outcome = words.refused(...)
  outcome.silent = true
  return outcome
end

--- Closed without an answer: nothing was asked.
words.silence = {answers = {}, ends = "closed", silent = true}

return words
