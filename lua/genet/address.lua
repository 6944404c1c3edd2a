--- Addresses of the internet protocol, and ranges of them.
-- @module genet.address

local char, format = string.char, string.format

local address = {}

local function parse_v4(text)
  local bytes = {text:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$")}
  if #bytes == 0 then return nil end
  for at, byte in ipairs(bytes) do
    bytes[at] = math.tointeger(tonumber(byte))
    if bytes[at] > 255 or #byte > 1 and byte:sub(1, 1) == "0" then return nil end
  end
  return char(table.unpack(bytes))
end

-- The bytes of colon-separated groups; the last may be an address of version 4.
local function parse_groups(text)
  if text == "" then return "" end
  local bytes = {}
  for group, colon in (text .. ":"):gmatch("([^:]*)(:)") do
    if group:find("^%x%x?%x?%x?$") then
      bytes[#bytes + 1] = string.pack(">I2", tonumber(group, 16))
    else
      local v4 = colon and parse_v4(group)
      if not v4 or text:sub(-#group) ~= group then return nil end
      bytes[#bytes + 1] = v4
    end
  end
  return table.concat(bytes)
end

local MAPPED = ("\0"):rep(10) .. "\255\255"

local function parse_v6(text)
  if #text > 45 or text:find("[^%x:.]") or text:find(":::", 1, true) then return nil end
  local head, tail = text:match("^(.-)::(.*)$")
  local first = parse_groups(head or text)
  local last = parse_groups(tail or "")
  if not first or not last or head and head:find(".", 1, true) then
    return nil
  end
  local missing = 16 - #first - #last
  if head and missing < 2 or not head and missing ~= 0 then return nil end
  local bytes = first .. ("\0"):rep(missing) .. last
  return bytes:sub(1, 12) == MAPPED and bytes:sub(13) or bytes
end

--- The bytes of an address: 4 or 16. One of version 4 mapped into version 6 is one of version 4.
-- @tparam string text such as `192.0.2.7` or `2001:db8::1`, without brackets
-- @treturn[1] string
-- @treturn[2] nil when it is none
-- @usage address.parse("::ffff:127.0.0.1") --> "\127\0\0\1"
function address.parse(text)
  return parse_v4(text) or text:find(":", 1, true) and parse_v6(text) or nil
end

local function format_v6(bytes)
  local groups = {string.unpack(">I2I2I2I2I2I2I2I2", bytes)}
  for at = 1, 8 do groups[at] = format("%x", groups[at]) end
  local text = ":" .. table.concat(groups, ":", 1, 8) .. ":"
  for zeros = 8, 2, -1 do -- the first of the longest runs of zeros is left out
    local from, to = text:find(":" .. ("0:"):rep(zeros), 1, true)
    if from then return (text:sub(2, from) .. ":" .. text:sub(to + 1, -2)):gsub("^::*", "::") end
  end
  return text:sub(2, -2)
end

--- An address as it is usually written.
-- @tparam string bytes as `address.parse` gives them
-- @treturn string
-- @usage address.format(address.parse("2001:DB8:0:0:0:0:0:1")) --> "2001:db8::1"
function address.format(bytes)
  if #bytes == 4 then return format("%d.%d.%d.%d", bytes:byte(1, 4)) end
  return (format_v6(bytes))
end

--- An address and a port as they stand in `Host`, `X-Forwarded-For` and `Forwarded`.
-- @tparam string text `ADDR`, `V4:PORT`, `[V6]` or `[V6]:PORT`
-- @treturn[1] string the bytes of the address
-- @treturn[1] ?integer the port
-- @treturn[2] nil when it is none, such as `unknown`
-- @usage address.parse_node("[2001:db8::1]:80")
function address.parse_node(text)
  local host, port = text:match("^%[([^%]]*)%]:?(%d*)$")
  if not host then host, port = text:match("^([%d.]+):(%d+)$") end
  local bytes = address.parse(host or text)
  if not bytes or host and text:find("^%[") and not host:find(":", 1, true) then return nil end
  local number = math.tointeger(tonumber(port))
  return bytes, number and number <= 65535 and number or nil
end

--- A range of addresses: those that begin with the same bits.
-- @tparam string text `ADDR`, `ADDR/BITS`, or `unix` for the peers of a Unix socket
-- @treturn[1] table for `address.within`
-- @treturn[2] nil
-- @treturn[2] string what is wrong with it
-- @usage address.range("10.0.0.0/8")
function address.range(text)
  if text == "unix" then return {unix = true} end
  local host, bits = text:match("^([^/]+)/?(%d*)$")
  local bytes = host and address.parse(host)
  local most = bytes and #bytes * 8
  local number = most and (bits == "" and text:sub(-1) ~= "/" and most
    or math.tointeger(tonumber(bits)))
  if not number or number > most then
    return nil, ("'%s' is not an address, ADDR/BITS or unix"):format(text)
  end
  return {bytes = bytes, bits = number}
end

--- Whether an address lies in a range.
-- @tparam string bytes as `address.parse` gives them
-- @tparam table range as `address.range` gives it
-- @treturn boolean
-- @usage address.within(address.parse("10.1.2.3"), address.range("10.0.0.0/8")) --> true
function address.within(bytes, range)
  if range.unix or #bytes ~= #range.bytes then return false end
  local whole = range.bits // 8
  if bytes:sub(1, whole) ~= range.bytes:sub(1, whole) then return false end
  local shift = 8 - range.bits % 8
  return shift == 8 or bytes:byte(whole + 1) >> shift == range.bytes:byte(whole + 1) >> shift
end

return address
