--- Dates as HTTP writes them (RFC 9110, section 5.6.7).
-- @module genet.date

local date = {}

local MONTHS = {}
for number, name in ipairs{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
  "Nov", "Dec"} do
  MONTHS[name] = number
end

local LENGTHS = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

-- Days from 1970-01-01 to a day of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    - 719468
end

local function seconds(year, month, day, hour, minute, second)
  month = MONTHS[month]
  if not month then return nil end
  year, day = math.tointeger(year), math.tointeger(day)
  hour, minute, second = math.tointeger(hour), math.tointeger(minute), math.tointeger(second)
  if day < 1 or day > LENGTHS[month] or hour > 23 or minute > 59 or second > 60 then return nil end
  return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
end

-- A year of two digits that seems more than 50 years ahead lies in the past.
local function whole_year(short)
  local now = os.date("!*t").year
  local year = now - now % 100 + math.tointeger(short)
  return year > now + 50 and year - 100 or year
end

--- The seconds since 1970 that a date means, in any of the three forms that HTTP knows.
-- @tparam string text
-- @treturn[1] integer
-- @treturn[2] nil when it is no date
-- @usage date.parse("Sun, 06 Nov 1994 08:49:37 GMT") --> 784111777
function date.parse(text)
  local day, month, year, hour, minute, second =
    text:match("^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if day then return seconds(year, month, day, hour, minute, second) end
  day, month, year, hour, minute, second =
    text:match("^%a+day, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if day then return seconds(whole_year(year), month, day, hour, minute, second) end
  month, day, hour, minute, second, year =
    text:match("^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$")
  if month then return seconds(year, month, day:match("%d+"), hour, minute, second) end
  return nil
end

local DAY_NAMES = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
local MONTH_NAMES = {}
for name, number in pairs(MONTHS) do MONTH_NAMES[number] = name end

--- A time as HTTP wants it.
-- @tparam integer time seconds since 1970
-- @treturn string
-- @usage date.format(784111777) --> "Sun, 06 Nov 1994 08:49:37 GMT"
function date.format(time)
  local t = os.date("!*t", time)
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(DAY_NAMES[t.wday], t.day,
    MONTH_NAMES[t.month], t.year, t.hour, t.min, t.sec)
end

return date
