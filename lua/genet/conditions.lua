--- Whether, and how much of, a representation is to be sent: preconditions and ranges (RFC 9110,
-- sections 13 and 14). Nothing here reads or sends anything.
--
-- A representation is told of by `etag` (with its quotes, or nil), `modified` (seconds since 1970,
-- or nil) and `size` in bytes. `get` is a function that gives the value of a header, with all its
-- lines joined, or nil.
-- @module genet.conditions

local date = require "genet.date"

local conditions = {}

-- Entity tags -----------------------------------------------------------------------------------

local function opaque(tag)
  return (tag:gsub("^W/", ""))
end

-- Strong comparison: neither is weak (RFC 9110, section 8.8.3.2).
local function is_same_strongly(a, b)
  return a == b and a:sub(1, 1) == "\""
end

local function is_same_weakly(a, b)
  return opaque(a) == opaque(b)
end

--- Whether a list of entity tags, as `If-Match` has one, holds one that is the same.
-- @tparam string list `*` or tags
-- @tparam ?string etag
-- @tparam boolean weak whether two weak tags may be the same
-- @treturn boolean
-- @usage conditions.matches('"a", W/"b"', '"b"', true) --> true
function conditions.matches(list, etag, weak)
  if list:find("^%s*%*%s*$") then return true end
  if not etag then return false end
  local same = weak and is_same_weakly or is_same_strongly
  local at = 1
  while true do
    local mark, tag, after = list:match("^[%s,]*(W?/?)(\"[^\"]*\")()", at)
    if mark ~= "" and mark ~= "W/" then return false end
    if same(mark .. tag, etag) then return true end
    at = after
  end
end

-- Preconditions -----------------------------------------------------------------------------------

-- Whether the representation has changed since the date of a header; nil when there is no telling.
local function changed_since(text, modified)
  local time = text and modified and date.parse(text)
  return time and modified > time
end

--- The status that the preconditions of a request ask for instead of what it would have been, in
-- the order of RFC 9110, section 13.2.2.
-- @tparam string method
-- @tparam function get
-- @tparam table what `etag`, `modified`
-- @treturn[1] nil when there is nothing in the way
-- @treturn[2] integer 304 or 412
-- @usage conditions.check("GET", get, {etag = '"a"', modified = 784111777})
function conditions.check(method, get, what)
  local reads = method == "GET" or method == "HEAD"
  local if_match, if_none_match = get("if-match"), get("if-none-match")
  if if_match then
    if not conditions.matches(if_match, what.etag, false) then return 412 end
  elseif changed_since(get("if-unmodified-since"), what.modified) then
    return 412
  end
  if if_none_match then
    if conditions.matches(if_none_match, what.etag, true) then return reads and 304 or 412 end
  elseif reads and changed_since(get("if-modified-since"), what.modified) == false then
    return 304
  end
  return nil
end

-- Ranges --------------------------------------------------------------------------------------

-- More ranges than this, or more than two that overlap, or more bytes than there are, are refused
-- as RFC 9110, section 14.2, allows: by sending all.
local MOST_RANGES = 16

-- A number of at most 18 digits; a longer one is beyond any size.
local function position(digits)
  digits = digits:gsub("^0+", "")
  return #digits > 18 and math.maxinteger or math.tointeger(tonumber(digits)) or 0
end

-- First and last of one range, nil when it lies beyond the end; false when it is none.
local function read_range(text, size)
  local first, last = text:match("^[ \t]*(%d*)%-(%d*)[ \t]*$")
  if not first or first == "" and last == "" then return false end
  if first == "" then
    local count = math.min(position(last), size)
    if count == 0 then return nil end
    return size - count, size - 1
  end
  first, last = position(first), last ~= "" and position(last) or math.maxinteger
  if last < first then return false end
  if first >= size then return nil end
  return first, math.min(last, size - 1)
end

local function overlaps(ranges, first, last)
  local count = 0
  for _, range in ipairs(ranges) do
    if first <= range.last and range.first <= last then count = count + 1 end
  end
  return count
end

--- The parts of a representation that a `Range` header asks for.
-- @tparam string header
-- @tparam integer size of the representation
-- @treturn[1] nil when the header is to be ignored: all is sent
-- @treturn[2] table of `{first =, last =}`, in the order asked for; empty when none of them can be
--   satisfied
-- @usage conditions.ranges("bytes=0-4,-1", 10) --> {{first = 0, last = 4}, {first = 9, last = 9}}
function conditions.ranges(header, size)
  local unit, list = header:match("^%s*([^%s=]+)=(.*)$")
  if not unit or unit:lower() ~= "bytes" then return nil end
  local ranges, asked, bytes, overlapping = {}, 0, 0, 0
  for item in list:gmatch("[^,]+") do
    if item:find("[^ \t]") then
      local first, last = read_range(item, size)
      asked = asked + 1
      if first == false or asked > MOST_RANGES then return nil end
      if first then
        overlapping = overlapping + overlaps(ranges, first, last)
        bytes = bytes + last - first + 1
        ranges[#ranges + 1] = {first = first, last = last}
      end
    end
  end
  if asked == 0 or overlapping > 1 or #ranges > 1 and bytes > size then return nil end
  return ranges
end

-- Whether what the client has a part of is what there is (RFC 9110, section 13.1.5). A date says
-- so only when nothing can have changed later in the same second.
local function is_current(validator, what, now)
  if validator:find("^%s*W?/?\"") then
    return what.etag ~= nil and is_same_strongly(validator:match("^%s*(.-)%s*$"), what.etag)
  end
  local time = date.parse(validator)
  return time ~= nil and time == what.modified and now > time
end

--- The ranges that a request is to get.
-- @tparam string method
-- @tparam function get
-- @tparam table what `etag`, `modified`, `size`
-- @tparam integer now seconds since 1970
-- @treturn[1] nil to send all
-- @treturn[2] table as `conditions.ranges` gives it; empty for a 416
-- @usage conditions.wanted("GET", get, {etag = '"a"', size = 10}, os.time())
function conditions.wanted(method, get, what, now)
  local range = method == "GET" and get("range")
  if not range then return nil end
  local validator = get("if-range")
  if validator and not is_current(validator, what, now) then return nil end
  return conditions.ranges(range, what.size)
end

return conditions
