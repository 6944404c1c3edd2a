--- Dynamic answers made smaller on their way: `app:gzip`.
--
-- Mind BREACH: whoever can have a page repeat text of his own beside a secret, over TLS, and see
-- how long the answers are, can find the secret out bit by bit. Do not turn this on for pages that
-- hold both a secret, such as a token against forgery that stays the same, and what a request says.
-- @module genet.gzip

local check = require "genet.check"
local config = require "genet.config"
local encodings = require "genet.encodings"
local exchange = require "genet.exchange"
local mime = require "genet.mime"
local zlib = require "genet.zlib"

local find, lower, match = string.find, string.lower, string.match

local gzip = {}

local OFFERED = {"gzip"}

-- Whether the answer is one that may and should be compressed, if the client takes that. `lines` is
-- its head in lower case, with a line break before it.
local function is_candidate(status, lines, body, min)
  if #body < min or status == 206 or status == 204 or status == 304 then return false end
  if find(lines, "\ncontent-encoding:", 1, true) then return false end
  if find(lines, "\ncache%-control:[^\n]*no%-transform") then return false end
  local media = match(lines, "\ncontent%-type:[ \t]*([^\r\n]*)")
  return media ~= nil and mime.shrinks(media)
end

local function varies(lines)
  for value in lines:gmatch("\nvary:([^\r\n]*)") do
    if find(value, "accept-encoding", 1, true) or find(value, "*", 1, true) then return true end
  end
  return false
end

-- The bytes differ from those the tag was made for; their meaning does not.
local function weaken(head)
  return (("\n" .. head):gsub("(\n[Ee][Tt][Aa][Gg]:[ \t]*)\"", "%1W/\"", 1):sub(2))
end

--- Compresses an answer, if that pays and the client takes it.
-- Waits when the body is long.
-- @tparam table settings `min` and `level`
-- @tparam ?string accepted the value of Accept-Encoding
-- @tparam integer status
-- @tparam string head
-- @tparam string body
-- @treturn integer the status
-- @treturn string the head
-- @treturn string the body
-- @usage return gzip.answer(settings, "gzip", 200, response.HTML, page)
function gzip.answer(settings, accepted, status, head, body)
  local lines = "\n" .. lower(head)
  if not is_candidate(status, lines, body, settings.min) then return status, head, body end
  local vary = varies(lines) and "" or "Vary: Accept-Encoding\r\n"
  if not encodings.choose(accepted, OFFERED) then return status, head .. vary, body end
  local small = zlib.gzip(body, settings.level)
  if #small >= #body then return status, head .. vary, body end
  return status, weaken(head) .. vary .. "Content-Encoding: gzip\r\n", small
end

--- Compresses the answers of an app's routes by gzip, for clients that take it: texts of a certain
-- size that are not compressed already. Streams and files go as they are, for files there are
-- compressed twins; see `app:static`. Mind BREACH, as told above.
-- @function App:gzip
-- @tparam[opt] table options `min`, the least size in bytes (`gzip_min` of the configuration, 1400:
--   less fits one packet anyway); `level`, from 1, fast, to 9, small (`gzip_level`, 5)
-- @usage app:gzip{min = 4096, level = 6}
function gzip.serve(app, options)
  options = check.options(options, "app:gzip", {min = "number", level = "number"})
  local site = config.site()
  local settings = {
    min = check.count(options.min or site.gzip_min, "app:gzip: option 'min'", 0),
    level = check.count(options.level or site.gzip_level, "app:gzip: option 'level'", 1),
  }
  if settings.level > 9 then error("app:gzip: option 'level': at most 9 was expected", 2) end
  app.compress = function(req, status, head, body)
    local accepted = exchange.header(req._exchange, "accept-encoding")
    return gzip.answer(settings, accepted, status, head, body)
  end
  for _, route in ipairs(app.routes) do route.compress = app.compress end
end

return gzip
