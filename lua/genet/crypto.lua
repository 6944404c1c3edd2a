--- What sessions and passwords need of cryptography; OpenSSL does it.
-- @module genet.crypto

local hmac = require "openssl.hmac"
local mime = require "mime"
local rand = require "openssl.rand"

local crypto = {}

local TO_URL = {["+"] = "-", ["/"] = "_", ["="] = ""}
local FROM_URL = {["-"] = "+", ["_"] = "/"}

--- Bytes as base64 with the alphabet of URLs, unpadded.
-- @tparam string bytes
-- @treturn string
-- @usage crypto.encode64("\255\254") --> "__4"
function crypto.encode64(bytes)
  return ((mime.b64(bytes) or ""):gsub("[+/=]", TO_URL))
end

--- The reverse of `crypto.encode64`.
-- @tparam string text
-- @treturn[1] string
-- @treturn[2] nil when it is something else
-- @usage crypto.decode64("__4") --> "\255\254"
function crypto.decode64(text)
  if text:find("[^%w_-]") or #text % 4 == 1 then return nil end
  local padded = text:gsub("[-_]", FROM_URL) .. ("="):rep(-#text % 4)
  return (mime.unb64(padded)) or ""
end

--- Random bytes nobody can guess.
-- @tparam integer n
-- @treturn string
-- @usage local id = crypto.encode64(crypto.random(16))
function crypto.random(n)
  return rand.bytes(n)
end

--- HMAC-SHA256.
-- @tparam string key
-- @tparam string text
-- @treturn string 32 bytes
-- @usage crypto.hmac(secret, "text")
function crypto.hmac(key, text)
  return hmac.new(key, "sha256"):final(text)
end

--- Whether two texts are the same, in a time that does not tell where they differ.
-- @tparam string one
-- @tparam string other
-- @treturn boolean
-- @usage if not crypto.equal(signature, wanted) then return nil end
function crypto.equal(one, other)
  if #one ~= #other then return false end
  local difference = 0
  for from = 1, #one, 64 do
    local ours, theirs = {one:byte(from, from + 63)}, {other:byte(from, from + 63)}
    for at = 1, #ours do difference = difference | (ours[at] ~ theirs[at]) end
  end
  return difference == 0
end

--- The bytes of one text, each changed by the same byte of another as long.
-- @tparam string one
-- @tparam string other
-- @treturn string
-- @usage crypto.xor(token, mask)
function crypto.xor(one, other)
  local bytes = {}
  for at = 1, #one do bytes[at] = string.char(one:byte(at) ~ other:byte(at)) end
  return table.concat(bytes)
end

return crypto
