--- Which names stand for values that a page about an error must not show.
-- @module genet.debugpage.secrets

local secrets = {}

--- What is shown instead.
secrets.MASK = "********"

local WORDS = {
  "secret", "passw", "passphrase", "token", "apikey", "api_key", "credential", "authorization",
  "cookie", "signature", "csrf",
}
local NAMES = {pass = true, pwd = true, auth = true}

--- Whether the value of a variable, field or header of this name is a secret. `key` alone is none:
-- it is what loops call the keys of tables.
-- @param name any value; only a string can be such a name
-- @treturn boolean
-- @usage secrets.is("X-Api-Key") --> true
function secrets.is(name)
  if type(name) ~= "string" then return false end
  local lower = name:lower():gsub("-", "_")
  if NAMES[lower] or lower:find("_keys?$") or name:find("%lKeys?$") then return true end
  for _, word in ipairs(WORDS) do
    if lower:find(word, 1, true) then return true end
  end
  return false
end

return secrets
