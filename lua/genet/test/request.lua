--- What a request of the client of `genet.test` consists of.
-- @module genet.test.request

local check = require "genet.check"
local json = require "genet.json"
local url = require "genet.url"

local request = {}

local OPTIONS = {
  headers = true, json = true, form = true, files = true, query = true, body = true,
  cookies = true, follow_redirects = true, stream = true, timeout = true, remote_addr = true,
  propagate = true, subprotocols = true,
}

local function refuse(name, expected)
  error(("option '%s': %s was expected"):format(name, expected), 0)
end

--- Checks the options of a call.
-- @tparam ?table options
-- @treturn table
-- @usage options = request.check(options)
function request.check(options)
  if options == nil then return {} end
  if type(options) ~= "table" then error("a table of options was expected", 0) end
  for name in pairs(options) do
    if not OPTIONS[name] then error(("unknown option '%s'"):format(tostring(name)), 0) end
  end
  for _, name in ipairs{"headers", "form", "files", "cookies"} do
    if options[name] ~= nil and type(options[name]) ~= "table" then refuse(name, "a table") end
  end
  local given = 0
  for _, name in ipairs{"json", "form", "body"} do
    if options[name] ~= nil then given = given + 1 end
  end
  if given > 1 or options.files and (options.json ~= nil or options.body ~= nil) then
    error("a request has one of 'json', 'body', and 'form' with 'files'", 0)
  end
  return options
end

-- Calls `fn(name, value)` for each pair of a table, in the order of the names; lists are several.
local function each_pair(fields, fn)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = fields[name]
    local is_list = type(value) == "table" and value[1] ~= nil
    for _, one in ipairs(is_list and value or {value}) do fn(name, one) end
  end
end

local function encode_form(fields)
  local pieces = {}
  each_pair(fields, function(name, value)
    pieces[#pieces + 1] = url.encode_value(name) .. "=" .. url.encode_value(tostring(value))
  end)
  return table.concat(pieces, "&")
end

local function quoted(text)
  return "\"" .. text:gsub("[\"\r\n]", {["\""] = "%22", ["\r"] = "%0D", ["\n"] = "%0A"}) .. "\""
end

local BOUNDARY = "----genet-test-boundary-2f1c9a7e"

local function part(name, filename, content_type, content)
  return ("--%s\r\nContent-Disposition: form-data; name=%s%s\r\n%s\r\n%s\r\n"):format(BOUNDARY,
    quoted(name), filename and "; filename=" .. quoted(filename) or "",
    content_type and "Content-Type: " .. content_type .. "\r\n" or "", content)
end

local function encode_files(fields, files)
  local pieces = {}
  each_pair(fields or {}, function(name, value)
    pieces[#pieces + 1] = part(name, nil, nil, tostring(value))
  end)
  each_pair(files, function(name, file)
    if type(file) == "string" then file = {content = file} end
    if type(file.content) ~= "string" then refuse("files", "a table with the 'content' of each") end
    pieces[#pieces + 1] = part(name, file.filename or name,
      file.content_type or "application/octet-stream", file.content)
  end)
  return table.concat(pieces) .. "--" .. BOUNDARY .. "--\r\n"
end

-- The body, and its media type.
local function body_of(options)
  if options.json ~= nil then return json.encode(options.json), "application/json" end
  if options.files then
    return encode_files(options.form, options.files), "multipart/form-data; boundary=" .. BOUNDARY
  end
  if options.form then return encode_form(options.form), "application/x-www-form-urlencoded" end
  if options.body == nil then return nil end
  if type(options.body) ~= "string" and not check.is_callable(options.body) then
    refuse("body", "a string, or a function that gives its pieces,")
  end
  return options.body
end

local function has(flat, name)
  for at = 1, #flat, 2 do
    if flat[at]:lower() == name then return true end
  end
end

local function add(flat, name, value)
  if not has(flat, name:lower()) then
    flat[#flat + 1], flat[#flat + 2] = name, value
  end
end

local function cookie_line(cookies, more)
  local pieces = {}
  for _, cookie in ipairs(cookies) do
    if more[cookie.name] == nil then pieces[#pieces + 1] = cookie.name .. "=" .. cookie.value end
  end
  each_pair(more, function(name, value) pieces[#pieces + 1] = name .. "=" .. tostring(value) end)
  return pieces[1] and table.concat(pieces, "; ")
end

-- The lines of the head, flat: those of the call, then those of the client, then what is implied.
local function headers_of(client, self, options, body, media)
  local flat = {}
  local function own(name, value)
    flat[#flat + 1], flat[#flat + 2] = name:gsub("_", "-"), tostring(value)
  end
  each_pair(options.headers or {}, own)
  local count = #flat
  each_pair(client.headers, function(name, value)
    for at = 1, count, 2 do
      if flat[at]:lower() == name:gsub("_", "-"):lower() then return end
    end
    own(name, value)
  end)
  add(flat, "Host", self.host)
  if media then add(flat, "Content-Type", media) end
  if type(body) == "string" then add(flat, "Content-Length", tostring(#body)) end
  if type(body) == "function" then add(flat, "Transfer-Encoding", "chunked") end
  local cookies = cookie_line(client.cookies:get(self), options.cookies or {})
  if cookies then add(flat, "Cookie", cookies) end
  return flat
end

local function with_query(query, more)
  if more == nil then return query end
  local kind = type(more)
  if kind ~= "string" and kind ~= "table" then refuse("query", "a string or a table") end
  more = kind == "table" and encode_form(more) or more
  return query and query ~= "" and query .. "&" .. more or more
end

--- A request.
-- @tparam Client client whose address, headers and cookies count unless told otherwise
-- @tparam string method
-- @tparam string target a path, perhaps with a query, or a URL
-- @tparam table options which have been checked
-- @treturn table as `genet.test.exchange` takes it
-- @usage local made = request.new(client, "GET", "/items?page=2", {})
function request.new(client, method, target, options)
  local scheme, host, rest = target:match("^(https?)://([^/?#]+)(.*)$")
  local path, query = (rest or target):match("^([^?#]*)%??([^#]*)")
  if path == "" then path = "/" end
  if path:sub(1, 1) ~= "/" and path ~= "*" then
    error(("'%s': a path begins with '/'"):format(target), 0)
  end
  local self = {
    method = method,
    path = url.encode_reference(path),
    scheme = scheme or client.scheme,
    host = host or client.host,
    remote_addr = options.remote_addr or client.remote_addr,
  }
  self.query = with_query(query ~= "" and query or nil, options.query)
  local body, media = body_of(options)
  self.body = body
  self.headers = headers_of(client, self, options, body, media)
  return self
end

return request
