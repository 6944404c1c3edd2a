--- Somebody who visits a site, as a browser without JavaScript does: keeps cookies, and fills in
-- the forms of pages with their hidden fields.
local lfs = require "lfs"
local support = require "tests.e2e.support"

local visitor = {}

local Visitor = {}
Visitor.__index = Visitor

--- Serves the example scripts from a copy, so that what they keep is their own.
-- @tparam[opt] table options of `support.serve`
function visitor.serve(options)
  options = options or {}
  local directory = support.directory()
  for name in lfs.dir("scripts") do
    if name ~= "." and name ~= ".." and name ~= "instance" then
      os.execute(("cp -r scripts/%s %s/"):format(name, directory))
    end
  end
  options.path = options.path or directory
  local server = support.serve(options)
  server.scripts = directory
  return server
end

--- Somebody who has not been there yet.
function visitor.new(server)
  return setmetatable({server = server, cookies = {}}, Visitor)
end

local function encode(text)
  return (tostring(text):gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
end

function visitor.urlencoded(fields)
  local list = {}
  for name, text in pairs(fields) do list[#list + 1] = encode(name) .. "=" .. encode(text) end
  return table.concat(list, "&")
end

--- A form with files: a field is a text, or a table with `filename`, `type` and `data`.
function visitor.multipart(fields, boundary)
  local parts = {}
  for name, given in pairs(fields) do
    local head = ('--%s\r\nContent-Disposition: form-data; name="%s"'):format(boundary, name)
    if type(given) == "table" then
      head = head .. ('; filename="%s"\r\nContent-Type: %s'):format(given.filename, given.type)
      given = given.data
    end
    parts[#parts + 1] = head .. "\r\n\r\n" .. given .. "\r\n"
  end
  return table.concat(parts) .. "--" .. boundary .. "--\r\n"
end

--- Sends a request with the cookies, and keeps those of the answer.
function Visitor:request(method, target, headers, body)
  headers = {table.unpack(headers or {})}
  local cookies = {}
  for name, text in pairs(self.cookies) do cookies[#cookies + 1] = name .. "=" .. text end
  if #cookies > 0 then headers[#headers + 1] = "Cookie: " .. table.concat(cookies, "; ") end
  local answer = self.server:request(method, target, headers, body)
  local set = answer.headers["set-cookie"]
  if set then
    local name, text = set:match("^([^=]+)=([^;]*)")
    self.cookies[name] = text ~= "" and text or nil
  end
  return answer
end

function Visitor:get(target, headers)
  return self:request("GET", target, headers)
end

--- Sends a form as the page `from` would, with its CSRF token.
-- @tparam string target
-- @tparam table fields; one that is a table is a file
-- @tparam[opt] string from the page, `target` unless told; false sends no token
function Visitor:post(target, fields, from)
  local all, has_files = {}, false
  for name, text in pairs(fields or {}) do
    all[name], has_files = text, has_files or type(text) == "table"
  end
  if from ~= false then
    local page = self:get(from or target).body
    all.csrf_token = page:match('name="csrf_token" value="([^"]+)"') or ""
  end
  if has_files then
    return self:request("POST", target, {"Content-Type: multipart/form-data; boundary=xxEDGExx"},
      visitor.multipart(all, "xxEDGExx"))
  end
  return self:request("POST", target, {"Content-Type: application/x-www-form-urlencoded"},
    visitor.urlencoded(all))
end

return visitor
