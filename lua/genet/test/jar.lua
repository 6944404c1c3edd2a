--- The cookies that the client of `genet.test` keeps, by the rules of RFC 6265.
-- @module genet.test.jar

local date = require "genet.date"
local text = require "genet.text"

local jar = {}

local Jar = {}
Jar.__index = Jar

--- An empty jar.
-- @treturn Jar
-- @usage local cookies = jar.new()
function jar.new()
  return setmetatable({list = {}}, Jar)
end

-- Up to the last slash of the request's path.
local function default_path(path)
  local directory = path:match("^(/.*)/[^/]*$")
  return directory and directory ~= "" and directory or "/"
end

local function attributes_of(line)
  local found = {}
  for piece in line:gmatch(";([^;]*)") do
    local name, value = piece:match("^([^=]*)=?(.*)$")
    found[text.trim(name):lower()] = text.trim(value)
  end
  return found
end

-- When it ends, in the seconds of os.time(); nil: with the jar.
local function end_of(attributes)
  local max_age = tonumber(attributes["max-age"])
  if max_age then return os.time() + max_age end
  return attributes.expires and date.parse(attributes.expires)
end

-- Whether the host is the domain, or below it.
local function fits_domain(host, domain)
  return host == domain or host:sub(-#domain - 1) == "." .. domain
end

local function fits_path(path, wanted)
  if path == wanted then return true end
  if path:sub(1, #wanted) ~= wanted then return false end
  return wanted:sub(-1) == "/" or path:sub(#wanted + 1, #wanted + 1) == "/"
end

function Jar:remove(like)
  for at, cookie in ipairs(self.list) do
    if cookie.name == like.name and cookie.path == like.path and cookie.domain == like.domain then
      return table.remove(self.list, at)
    end
  end
end

--- Takes what a `Set-Cookie` says.
-- @tparam string line
-- @tparam table from the request it answers: `host`, `path`, `scheme`
-- @usage cookies:set("a=1; Path=/; Secure", {host = "localhost", path = "/", scheme = "https"})
function Jar:set(line, from)
  local name, value = line:match("^%s*([^=;]+)=([^;]*)")
  if not name then return end
  local host = from.host:gsub(":%d+$", ""):lower()
  local attributes = attributes_of(line)
  local domain = attributes.domain and attributes.domain:gsub("^%.", ""):lower()
  if domain == "" then domain = nil end
  if domain and not fits_domain(host, domain) then return end
  local path = attributes.path
  local cookie = {
    name = text.trim(name),
    value = text.trim(value),
    path = path and path:sub(1, 1) == "/" and path or default_path(from.path),
    domain = domain or host,
    exact = domain == nil,
    secure = attributes.secure ~= nil,
    expires = end_of(attributes),
  }
  if cookie.secure and from.scheme ~= "https" then return end
  self:remove(cookie)
  table.insert(self.list, cookie)
end

local function is_meant(cookie, to, host)
  if cookie.exact and cookie.domain ~= host then return false end
  if not cookie.exact and not fits_domain(host, cookie.domain) then return false end
  if cookie.secure and to.scheme ~= "https" then return false end
  return fits_path(to.path, cookie.path)
end

--- The cookies for a request, those with the longest paths first.
-- @tparam table to `host`, `path`, `scheme`
-- @treturn {table,...} each with `name` and `value`
-- @usage for _, cookie in ipairs(cookies:get(request)) do print(cookie.name, cookie.value) end
function Jar:get(to)
  local host, found, now = to.host:gsub(":%d+$", ""):lower(), {}, os.time()
  for at = #self.list, 1, -1 do
    local expires = self.list[at].expires
    if expires and expires <= now then table.remove(self.list, at) end
  end
  for at, cookie in ipairs(self.list) do
    if is_meant(cookie, to, host) then found[#found + 1] = {cookie = cookie, at = at} end
  end
  table.sort(found, function(a, b)
    if #a.cookie.path ~= #b.cookie.path then return #a.cookie.path > #b.cookie.path end
    return a.at < b.at
  end)
  for at, entry in ipairs(found) do found[at] = entry.cookie end
  return found
end

--- The value of the cookie of a name, wherever it belongs.
-- @tparam string name
-- @treturn ?string
-- @usage assert.truthy(client.cookies:value("session"))
function Jar:value(name)
  for _, cookie in ipairs(self.list) do
    if cookie.name == name and not (cookie.expires and cookie.expires <= os.time()) then
      return cookie.value
    end
  end
end

--- Forgets all cookies.
-- @usage client.cookies:clear()
function Jar:clear()
  self.list = {}
end

return jar
