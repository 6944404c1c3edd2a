--- Forms: what `req.form` and `req.files` are made of.
-- @module genet.form

local config = require "genet.config"
local exchange = require "genet.exchange"
local fields = require "genet.fields"
local http_error = require "genet.http_error"
local multipart = require "genet.multipart"
local upload = require "genet.upload"
local url = require "genet.url"

local form = {}

local function too_large(problem)
  error(http_error.new(413, "the form " .. problem), 0)
end

--- The parts of a request's form, as they come. Waits.
-- @tparam Request req
-- @tparam[opt] table options see `req:parts`
-- @treturn function an iterator, see `genet.multipart`
-- @usage for part in form.parts(req) do print(part.name) end
function form.parts(req, options)
  options = options or {}
  local read = function() return req:read() end
  local body = rawget(req, "_body")
  if body then
    read = function()
      local piece = body
      body = nil
      return piece
    end
  end
  return multipart.parts(read, multipart.boundary(req.headers.content_type or ""), {
    max_form_parts = options.max_form_parts or req.max_form_parts,
    max_form_memory_size = options.max_form_memory_size or req.max_form_memory_size,
    max_part_head = options.max_part_head or config.site().max_part_head,
  })
end

local function close_all(files)
  for at = 2, #files, 2 do upload.close(files[at]) end
end

local function collect(req, values, files)
  local room = req.max_form_memory_size
  for part in form.parts(req) do
    if part.filename then
      if #files >= 2 * req.max_form_files then too_large("has too many files") end
      files[#files + 1] = part.name
      files[#files + 1] = upload.new(part)
    else
      local value = part:read(room)
      room = room - #value
      values[#values + 1] = part.name
      values[#values + 1] = value
    end
  end
end

--- Reads a form of `multipart/form-data`. Its files go at the end of the request. Waits.
-- @tparam Request req
-- @treturn table the fields
-- @treturn table the files
-- @usage local values, files = form.multipart(req)
function form.multipart(req)
  local values, files = {}, {}
  exchange.on_end(req._exchange, function() close_all(files) end)
  local ok, problem = pcall(collect, req, values, files)
  if not ok then
    close_all(files)
    error(problem, 0)
  end
  return fields.new(values), fields.new(files)
end

-- The whole body when that is in memory already, or is small enough. Waits.
local function small_body(req)
  local most = req.max_form_memory_size
  local body = rawget(req, "_body")
  if body then
    if #body > most then too_large("is too large") end
    return body
  end
  return req:body(most)
end

--- Reads a form of `application/x-www-form-urlencoded`. Waits.
-- @tparam Request req
-- @treturn table the fields
-- @usage local values = form.urlencoded(req)
function form.urlencoded(req)
  local body = small_body(req)
  local _, separators = body:gsub("&", "")
  if separators >= req.max_form_parts then too_large("has too many fields") end
  return fields.new(url.parse_query(body))
end

return form
