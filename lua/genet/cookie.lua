--- Cookies (RFC 6265), written and read as Werkzeug does.
-- @module genet.cookie

local check = require "genet.check"
local text = require "genet.text"

local byte, find, format, gsub = string.byte, string.find, string.format, string.gsub

local cookie = {}

-- Reading -------------------------------------------------------------------------------------

local function unescape(first, rest)
  local code = #rest == 2 and find(first, "[0-3]") and tonumber(first .. rest, 8)
  return code and string.char(code) or first .. rest
end

-- `"a\054b"` is `a,b`: octal numbers, and characters as they are.
local function unquote(value)
  if #value < 2 or byte(value) ~= 34 or byte(value, -1) ~= 34 then return value end
  return (gsub(value:sub(2, -2), "\\(.)([0-7]?[0-7]?)", unescape))
end

--- The names and values of `Cookie` headers, in their order. What has no name is left out.
-- @tparam {string,...} lines
-- @treturn {string,...} name, value, name, value ...
-- @usage cookie.parse{'a=1; b="x y"'} --> {"a", "1", "b", "x y"}
function cookie.parse(lines)
  local flat, count = {}, 0
  for _, line in ipairs(lines) do
    for pair in line:gmatch("[^;]+") do
      local at = find(pair, "=", 1, true)
      local name = at and text.trim(pair:sub(1, at - 1))
      if name and name ~= "" then
        flat[count + 1], flat[count + 2] = name, unquote(text.trim(pair:sub(at + 1)))
        count = count + 2
      end
    end
  end
  return flat
end

-- Writing -------------------------------------------------------------------------------------

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"
local PLAIN = "^[%w!#$%%&'()*+./:<=>?@%[%]^_`{|}~-]*$"

-- What browsers keep: of name and value together, and of each attribute.
local MOST, MOST_ATTRIBUTE = 4096, 1024

local OPTIONS = {
  max_age = "number",
  expires = "number",
  path = "string",
  domain = "string",
  secure = "boolean",
  httponly = "boolean",
  samesite = "string",
  partitioned = "boolean",
}

local SAMESITE = {strict = "Strict", lax = "Lax", none = "None"}

local function escape(char)
  if char == '"' or char == "\\" then return "\\" .. char end
  return format("\\%03o", byte(char))
end

local function quote(value)
  if find(value, PLAIN) then return value end
  return '"' .. gsub(value, "[%z\1-\31\",;\\\127-\255]", escape) .. '"'
end

local function fail(name, problem, ...)
  error(("cookie '%s': "):format(name) .. problem:format(...), 0)
end

local function check_name(name)
  if type(name) ~= "string" or not find(name, TOKEN) then
    error(("bad cookie name %q"):format(tostring(name)), 0)
  end
end

local function check_attribute(name, option, value)
  if #value > MOST_ATTRIBUTE or find(value, "[%z\1-\31;\127-\255]") then
    fail(name, "option '%s' has a character, or a length, that a cookie cannot have", option)
  end
end

local function check_domain(name, domain)
  local plain = gsub(domain, "^%.", "")
  if not find(plain, "^[%w.:%[%]_-]+$") then fail(name, "option 'domain' is no host name") end
  return plain
end

-- What browsers ask of some cookies; they drop those that lack it without a word.
local function check_promises(name, options, samesite)
  if samesite == "None" and not options.secure then
    fail(name, "samesite 'None' needs option 'secure'")
  elseif options.partitioned and not options.secure then
    fail(name, "option 'partitioned' needs option 'secure'")
  elseif find(name:lower(), "^__secure%-") and not options.secure then
    fail(name, "a name with __Secure- needs option 'secure'")
  elseif find(name:lower(), "^__host%-") and (not options.secure or options.domain
      or (options.path or "/") ~= "/") then
    fail(name, "a name with __Host- needs option 'secure', path '/' and no domain")
  end
end

local function samesite_of(name, options)
  local samesite = SAMESITE[(options.samesite or "Lax"):lower()]
  if not samesite then fail(name, "samesite must be 'Strict', 'Lax' or 'None'") end
  return samesite
end

-- The date of a moment, as HTTP writes it.
local function date(name, seconds)
  local ok, written = pcall(os.date, "!%a, %d %b %Y %H:%M:%S GMT", math.floor(seconds))
  if not ok then fail(name, "option 'expires' is no time: %s", seconds) end
  return written
end

local function whole(name, option, value)
  return math.tointeger(math.floor(value)) or fail(name, "option '%s' is %s", option, value)
end

local function write(name, value, options)
  check_name(name)
  value = tostring(value)
  local samesite = samesite_of(name, options)
  local path = options.path or "/"
  check_attribute(name, "path", path)
  check_promises(name, options, samesite)
  local parts = {name .. "=" .. quote(value)}
  if #parts[1] > MOST then
    fail(name, "%d bytes with its name: browsers keep no more than %d", #parts[1], MOST)
  end
  local function add(part) parts[#parts + 1] = part end
  if options.domain then add("Domain=" .. check_domain(name, options.domain)) end
  if options.expires then add("Expires=" .. date(name, options.expires)) end
  if options.max_age then add(("Max-Age=%d"):format(whole(name, "max_age", options.max_age))) end
  if options.secure then add("Secure") end
  if options.httponly then add("HttpOnly") end
  add("Path=" .. path)
  add("SameSite=" .. samesite)
  if options.partitioned then add("Partitioned") end
  return table.concat(parts, "; ")
end

--- The value of a `Set-Cookie` header.
-- @tparam string name a token
-- @param value `tostring` makes it a text; what a cookie cannot hold is quoted, as `req.cookies`
--   reads it again
-- @tparam[opt] table options `max_age`, seconds; `expires`, seconds since 1970; `path` (`"/"`);
--   `domain`; `secure`; `httponly`; `samesite`, `"Lax"` unless told, `"Strict"` or `"None"`;
--   `partitioned`
-- @treturn string
-- @raise when a browser would not take it
-- @usage cookie.format("theme", "dark", {max_age = 86400})
--   --> "theme=dark; Max-Age=86400; Path=/; SameSite=Lax"
function cookie.format(name, value, options)
  return write(name, value, check.plain_options(options, "cookie", OPTIONS))
end

--- The value of a `Set-Cookie` header that ends a cookie.
-- @tparam string name
-- @tparam[opt] table options `path`, `domain`, `secure`, `samesite`, as it was set with
-- @treturn string
-- @usage cookie.expire("theme")
function cookie.expire(name, options)
  local copy = {}
  for key, value in pairs(options or {}) do copy[key] = value end
  copy.max_age, copy.expires = 0, 0
  return cookie.format(name, "", copy)
end

return cookie
