--- Whether a certificate is that of a host, by its subjectAltName alone (RFC 9525; the common name
-- counts for nothing).
-- @module genet.http.identity

local char = string.char

local identity = {}

local function ipv4(text)
  local parts = {text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")}
  if #parts ~= 4 then return nil end
  for at, part in ipairs(parts) do
    if #part > 3 or tonumber(part) > 255 then return nil end
    parts[at] = tonumber(part)
  end
  return char(table.unpack(parts))
end

-- The bytes of groups such as "2001:db8"; nil when there is another thing among them.
local function groups(text)
  local bytes = {}
  if text == "" then return "" end
  for group in (text .. ":"):gmatch("(.-):") do
    if not group:find("^%x%x?%x?%x?$") then return nil end
    local number = tonumber(group, 16)
    bytes[#bytes + 1] = char(number >> 8, number & 255)
  end
  return table.concat(bytes)
end

local function ipv6(text)
  local before, last = text:match("^(.*:)([%d.]*%.[%d.]*)$")
  local tail = last and ipv4(last)
  if last and not tail then return nil end
  if tail then text = before .. ("%02x%02x:%02x%02x"):format(tail:byte(1, 4)) end
  local left, right = text:match("^(.-)::(.*)$")
  if not left then
    local bytes = groups(text)
    return bytes and #bytes == 16 and bytes or nil
  end
  left, right = groups(left), groups(right)
  if not left or not right or #left + #right > 14 then return nil end
  return left .. ("\0"):rep(16 - #left - #right) .. right
end

--- The bytes of an IP address.
-- @tparam string text without brackets
-- @treturn[1] string four bytes or sixteen
-- @treturn[2] nil when it is something else
-- @usage identity.ip("127.0.0.1") --> "\127\0\0\1"
function identity.ip(text)
  if text:find(":", 1, true) then return ipv6(text) end
  return ipv4(text)
end

-- A wildcard stands for the whole leftmost label, above a domain of two labels at least.
local function covers_name(presented, host)
  if not presented:find("^[%w*._-]+$") then return false end
  presented = presented:lower():gsub("%.$", "")
  if presented == host then return not presented:find("*", 1, true) end
  local domain = presented:match("^%*(%.[%w_-]+%.[%w._-]+)$")
  local label = domain and host:match("^[%w_-]+")
  return label ~= nil and label .. domain == host
end

--- Whether one of the names of a certificate stands for a host.
-- @tparam table names its subjectAltName, as LuaSec has it: `dNSName` and `iPAddress`
-- @tparam string host a name or an IP address, without brackets
-- @treturn boolean
-- @usage identity.covers({dNSName = {"*.example.com"}}, "www.example.com") --> true
function identity.covers(names, host)
  local address = identity.ip(host)
  if address then
    for _, presented in ipairs(names.iPAddress or {}) do
      if identity.ip(presented) == address then return true end
    end
    return false
  end
  host = host:lower():gsub("%.$", "")
  for _, presented in ipairs(names.dNSName or {}) do
    if covers_name(presented, host) then return true end
  end
  return false
end

--- The names of a certificate for people to read.
-- @tparam table names as for `identity.covers`
-- @treturn string
-- @usage identity.list{dNSName = {"a.test", "b.test"}} --> "a.test, b.test"
function identity.list(names)
  local all = {}
  for _, kind in ipairs{"dNSName", "iPAddress"} do
    for _, name in ipairs(names[kind] or {}) do all[#all + 1] = name end
  end
  return #all > 0 and table.concat(all, ", ") or "no host"
end

return identity
