--- The URLs of http and https: taken apart, put together, resolved (RFC 3986), and the query
-- strings that go with them.
-- @module genet.http.address

local identity = require "genet.http.identity"
local url = require "genet.url"

local address = {}

local PORTS = {http = 80, https = 443}

local USER_INFO = "^[%w%-._~!$&'()*+,;=:%%]*$"

-- Host and port of an authority without its user; nil and what is wrong.
local function parse_host(text)
  local host, port = text:match("^(%[.*%]):?(%d*)$")
  if not host then host, port = text:match("^([^:]*):?(%d*)$") end
  if not host then return nil, "its port is no number" end
  if host == "" then return nil, "it names no host" end
  local literal = host:match("^%[(.*)%]$")
  if literal and (not identity.ip(literal) or not literal:find(":", 1, true)) then
    return nil, "its host is no IPv6 address"
  end
  if not literal and not host:find("^[%w._-]+$") then
    return nil, "its host has characters that no host name has"
  end
  port = port ~= "" and math.tointeger(tonumber(port)) or nil
  if port and (port < 1 or port > 65535) then return nil, "its port is not from 1 to 65535" end
  return (literal or host):lower(), port
end

--- Takes a URL of http or https apart. Blanks and bytes beyond ASCII are encoded, a fragment is
-- dropped.
-- @tparam string text
-- @treturn[1] table `scheme`, `host` (lower case, without brackets), `port`, `target` (path and
--   query, as a request line has them) and, if the URL has it, `user` (still encoded)
-- @treturn[2] nil
-- @treturn[2] string what is wrong with it
-- @usage address.parse("http://[::1]:8080?a=1").target --> "/?a=1"
function address.parse(text)
  if text:find("%c") then return nil, "it has a control character" end
  text = url.encode_reference((text:gsub("#.*$", "")))
  local scheme, authority, rest = text:match("^(%a[%w+.-]*)://([^/?]*)(.*)$")
  if not scheme then return nil, "it does not begin with http:// or https://" end
  scheme = scheme:lower()
  if not PORTS[scheme] then return nil, ("its scheme '%s' is not http or https"):format(scheme) end
  local user, place = authority:match("^(.*)@([^@]*)$")
  if user and not user:find(USER_INFO) then return nil, "its user has a bad character" end
  local host, port = parse_host(place or authority)
  if not host then return nil, port end
  return {
    scheme = scheme,
    host = host,
    port = port or PORTS[scheme],
    user = user,
    target = rest:sub(1, 1) == "/" and rest or "/" .. rest,
  }
end

--- What the Host header of a request says: the port is left out where it is the usual one.
-- @tparam table parts of `address.parse`
-- @treturn string
-- @usage address.authority(address.parse("http://a:80/")) --> "a"
function address.authority(parts)
  local host = parts.host:find(":", 1, true) and "[" .. parts.host .. "]" or parts.host
  return parts.port == PORTS[parts.scheme] and host or host .. ":" .. parts.port
end

--- Scheme, host and port: what tells whom secrets may be told.
-- @tparam table parts of `address.parse`
-- @treturn string
-- @usage address.origin(address.parse("http://A/b")) --> "http://a"
function address.origin(parts)
  return parts.scheme .. "://" .. address.authority(parts)
end

--- The URL again, without user and fragment.
-- @tparam table parts of `address.parse`
-- @treturn string
-- @usage address.write(address.parse("http://me@A:80")) --> "http://a/"
function address.write(parts)
  return address.origin(parts) .. parts.target
end

-- References ----------------------------------------------------------------------------------

local function remove_dots(path)
  local kept, last = {}, nil
  for segment in path:sub(2):gmatch("[^/]*") do
    last = segment
    if segment == ".." then
      kept[#kept] = nil
    elseif segment ~= "." then
      kept[#kept + 1] = segment
    end
  end
  if last == "." or last == ".." then kept[#kept + 1] = "" end
  return "/" .. table.concat(kept, "/")
end

-- The path a reference leads to, and its query with the question mark.
local function resolve_path(parts, path, query)
  local base, base_query = parts.target:match("^([^?]*)(.*)$")
  if path == "" then return base, query ~= "" and query or base_query end
  if path:sub(1, 1) ~= "/" then path = base:match("^.*/") .. path end
  return remove_dots(path), query
end

--- The URL that a reference means where it stands (RFC 3986, 5.2). Its fragment is dropped.
-- @tparam table parts of `address.parse`: where it stands
-- @tparam string reference absolute or relative, such as a Location header has it
-- @treturn string
-- @usage address.resolve(address.parse("http://a/b/c?q"), "../d") --> "http://a/d"
function address.resolve(parts, reference)
  reference = reference:gsub("#.*$", "")
  if reference:find("^%a[%w+.-]*:") then return reference end
  if reference:find("^//") then return parts.scheme .. ":" .. reference end
  local path, query = resolve_path(parts, reference:match("^([^?]*)(.*)$"))
  return address.origin(parts) .. path .. query
end

-- Query strings -------------------------------------------------------------------------------

local function encode(text)
  return (text:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local VALUES = {string = true, number = true, boolean = true}

local function add_field(fields, name, value)
  if not VALUES[type(value)] then
    error(("the field '%s' is a %s: a string or a number was expected")
      :format(name, type(value)), 0)
  end
  fields[#fields + 1] = encode(name) .. "=" .. encode(tostring(value))
end

--- Names and values as a query string or a form, in the order of their names.
-- Raises when a value is no string, number, boolean or array of these.
-- @tparam table values by name; an array gives a field for each of its items
-- @treturn string
-- @usage address.query{q = "a b", tag = {1, 2}} --> "q=a%20b&tag=1&tag=2"
function address.query(values)
  local names, fields = {}, {}
  for name in pairs(values) do
    if type(name) ~= "string" then error("a field has no name", 0) end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = values[name]
    for _, item in ipairs(type(value) == "table" and value or {value}) do
      add_field(fields, name, item)
    end
  end
  return table.concat(fields, "&")
end

return address
