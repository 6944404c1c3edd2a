--- Files of forms: what `req.files` holds. Their content is kept in memory while it is small, else
-- in a file without a name, in `TMPDIR`, that goes at the end of the request.
-- @module genet.upload

local core = require "genet.core"
local multipart = require "genet.multipart"

local upload = {}

-- What is kept in memory.
local SMALL = 64 * 1024

local PIECE = 256 * 1024

local methods = {}

local File = {__name = "genet.upload"}

--- The content of the file, all of it or the next so many bytes.
-- @function file:read
-- @tparam ?integer n
-- @treturn[1] string
-- @treturn[2] nil at the end, when `n` was given
-- @usage local text = req.files.note:read()
function methods:read(n)
  if not self._file then
    local from = self._at
    if n and from > self.size then return nil end
    self._at = n and math.min(from + n, self.size + 1) or self.size + 1
    return self._content:sub(from, self._at - 1)
  end
  return self._file:read(n or "a")
end

--- The lines of the file, without their ends.
-- @function file:lines
-- @treturn function an iterator
-- @usage for line in req.files.names:lines() do print(line) end
function methods:lines()
  if self._file then return self._file:lines() end
  local rest = self:read()
  return (rest:sub(-1) == "\n" and rest or rest ~= "" and rest .. "\n" or ""):gmatch("(.-)\n")
end

--- Goes to a byte, from which `file:read` goes on.
-- @function file:seek
-- @tparam ?integer offset 0 unless told
-- @usage file:seek()
function methods:seek(offset)
  offset = offset or 0
  if self._file then
    self._file:seek("set", offset)
  else
    self._at = offset + 1
  end
end

local function copy(self, target)
  self:seek()
  for piece in function() return self:read(PIECE) end do
    local ok, problem = target:write(piece)
    if not ok then return nil, problem end
    core.yield()
  end
  return target:close()
end

--- Writes the file to a path. Waits.
-- @function file:save
-- @tparam string path is overwritten
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why it cannot be written
-- @usage assert(file:save("uploads/" .. file:safe_name()))
function methods:save(path)
  local target <close>, problem = io.open(path, "wb")
  if not target then return nil, problem end
  return copy(self, target)
end

--- A file name to save it under.
-- @function file:safe_name
-- @treturn string
-- @usage file:safe_name() --> "photo.jpg"
function methods:safe_name()
  return multipart.safe_name(self.filename)
end

-- The content goes to a file from here on.
local function spill(self)
  local directory = os.getenv("TMPDIR")
  directory = directory and directory ~= "" and directory or "/tmp"
  local file, path = core.temporary_file(directory)
  if not file then error("an uploaded file cannot be kept: " .. path, 0) end
  self._file, self.path = file, path
  if self._content then
    assert(file:write(self._content))
    assert(file:flush())
    file:seek("set", self._at - 1)
    self._content = nil
  end
end

-- A file in memory gets its path, for other programs to read it by, when that is asked for.
function File.__index(self, key)
  if key == "path" then spill(self) end
  return methods[key] or rawget(self, key)
end

local function must(ok, problem)
  if not ok then error("an uploaded file cannot be kept: " .. problem, 0) end
end

local function fill(self, part)
  local pieces = {}
  for piece in part:chunks() do
    self.size = self.size + #piece
    if self._file then
      must(self._file:write(piece))
    else
      pieces[#pieces + 1] = piece
      if self.size > SMALL then
        spill(self)
        must(self._file:write(table.concat(pieces)))
      end
    end
  end
  if self._file then
    must(self._file:flush())
    self._file:seek("set")
  else
    self._content = table.concat(pieces)
  end
end

--- Reads the file of a part. Waits.
-- @tparam Part part see `genet.multipart`
-- @treturn File `filename`, as the client sent it; `content_type`, `headers`, `size`, `name` of its
--   field; `path`, by which this process and its children can read it until the request ends
-- @usage local file = upload.new(part)
function upload.new(part)
  local self = setmetatable({
    name = part.name,
    filename = part.filename,
    content_type = part.content_type,
    headers = part.headers,
    size = 0,
    _at = 1,
  }, File)
  local ok, problem = pcall(fill, self, part)
  if not ok then
    upload.close(self)
    error(problem, 0)
  end
  return self
end

--- Gives its temporary file back.
-- @usage upload.close(file)
function upload.close(file)
  local handle = rawget(file, "_file")
  if handle and io.type(handle) == "file" then handle:close() end
end

return upload
