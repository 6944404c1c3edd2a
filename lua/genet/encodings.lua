--- Which content codings a client takes (RFC 9110, section 12.5.3).
-- @module genet.encodings

local encodings = {}

local NAMES = {["x-gzip"] = "gzip", ["x-compress"] = "compress"}

-- The weight of one coding of the list, in thousandths; nil when it cannot be read.
local function weight(parameters)
  if not parameters:find("[^ \t]") then return 1000 end
  local digits = parameters:match("^[ \t]*;[ \t]*[qQ]=([01]%.?%d?%d?%d?)[ \t]*$")
  local q = digits and tonumber(digits)
  return q and q <= 1 and math.floor(q * 1000 + 0.5) or nil
end

--- What an `Accept-Encoding` header says of each coding.
-- @tparam string header
-- @treturn table weights from 0 to 1000 by coding in lower case, `*` among them
-- @usage encodings.parse("gzip, br;q=0.5") --> {gzip = 1000, br = 500}
function encodings.parse(header)
  local weights = {}
  for item in header:gmatch("[^,]+") do
    local name, parameters = item:match("^[ \t]*([^%s;]+)(.*)$")
    local q = name and weight(parameters)
    if q then
      name = name:lower()
      weights[NAMES[name] or name] = q
    end
  end
  return weights
end

-- What has been read lately: most clients say the same.
local MOST_KNOWN = 200
local known, count = {}, 0

local function parsed(header)
  local weights = known[header]
  if weights then return weights end
  if count == MOST_KNOWN then known, count = {}, 0 end
  weights = encodings.parse(header)
  known[header], count = weights, count + 1
  return weights
end

--- The coding to send, out of those there are.
-- @tparam ?string header
-- @tparam {string,...} offered codings, the best for the server first
-- @treturn[1] string one of them
-- @treturn[2] nil to send it as it is
-- @usage encodings.choose("gzip, br", {"br", "gzip"}) --> "br"
function encodings.choose(header, offered)
  if not header then return nil end
  local weights = parsed(header)
  local best, most = nil, 0
  for _, name in ipairs(offered) do
    local q = weights[name] or weights["*"] or 0
    if q > most then best, most = name, q end
  end
  local identity = weights.identity
  if identity and identity > most then return nil end
  return best
end

return encodings
