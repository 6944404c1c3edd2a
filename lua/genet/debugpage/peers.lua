--- Who may see errors in debug mode: this machine, and who else is named.
--
-- The peer of the connection has to be one of them, and also the client that a trusted proxy tells.
-- @module genet.debugpage.peers

local Request = require "genet.request"
local address = require "genet.address"
local exchange = require "genet.exchange"

local peers = {}

local LOOPBACK = {assert(address.range("127.0.0.0/8")), assert(address.range("::1"))}

--- Reads who else is allowed.
-- @tparam ?string text `ADDR`, `ADDR/BITS`, `unix` or `any`, with commas between
-- @treturn[1] table for `peers.may_see`
-- @treturn[2] nil
-- @treturn[2] string what is wrong
-- @usage local allowed = peers.parse("192.168.1.0/24")
function peers.parse(text)
  local list = {table.unpack(LOOPBACK)}
  for word in (text or ""):gmatch("[^,%s]+") do
    if word == "any" then
      list.any = true
    else
      local range = address.range(word)
      if not range then
        return nil, ("'%s' is not an address, ADDR/BITS, unix or any"):format(word)
      end
      if range.unix then list.unix = true else list[#list + 1] = range end
    end
  end
  return list
end

local function is_in(list, text)
  if list.any or text == "unix:" and list.unix then return true end
  local bytes = address.parse(text)
  for _, range in ipairs(bytes and list or {}) do
    if address.within(bytes, range) then return true end
  end
  return false
end

--- Whether who has sent a request may see errors.
-- @tparam table list as `peers.parse` gives it
-- @tparam integer x the number of the exchange
-- @treturn boolean
-- @usage if peers.may_see(allowed, x) then show() end
function peers.may_see(list, x)
  if not is_in(list, (exchange.remote_addr(x))) then return false end
  local req = setmetatable({_exchange = x}, Request)
  local ok, client = pcall(function() return req.remote_addr end)
  return ok and is_in(list, client)
end

return peers
