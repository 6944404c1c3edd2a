--- Files on disk as answers: whole directories by `app:static`, single files by `genet.send_file`.
--
-- Files of up to 128 KB are kept in memory, 16 MB for each directory unless told, and each request
-- looks whether the one it gets is still what is on disk. Larger ones are sent by the kernel,
-- without passing through the process; over TLS in pieces.
-- @module genet.static

local config = require "genet.config"
local disk = require "genet.disk"
local document = require "genet.document"
local encodings = require "genet.encodings"
local exchange = require "genet.exchange"
local http_error = require "genet.http_error"
local listing = require "genet.listing"
local log = require "genet.log"
local mime = require "genet.mime"
local recent = require "genet.recent"
local response = require "genet.response"
local url = require "genet.url"

local find, type = string.find, type

local static = {}

local CACHE = 16 << 20

-- What a document takes in the cache beside its content, roughly.
local OVERHEAD = 1024

-- Codings by the endings of the files that hold them, in the order the server likes best.
local CODINGS = {br = ".br", zstd = ".zst", gzip = ".gz"}

-- Paths ---------------------------------------------------------------------------------------

--- The path of a file within a directory, as a request names it, if it may be looked for: it has
-- no `..`, no empty part, no backslash and no NUL; parts that begin with a dot are hidden.
-- @tparam string path decoded, without a slash before it
-- @tparam ?boolean hidden whether hidden parts are allowed, but for `.` and `..`
-- @treturn[1] string without a slash at its end
-- @treturn[1] boolean whether it had one, so that a directory is meant
-- @treturn[2] nil
-- @usage static.clean("css/../../etc/passwd") --> nil
function static.clean(path, hidden)
  local bare = path:gsub("/$", "")
  if bare == "" then return path == "" and "" or nil, true end
  if find(bare, "[%z\\]") then return nil end
  if find(bare, "^/") or find(bare, "//", 1, true) or find(bare, "/$") then return nil end
  if find(bare, "%f[^/%z]%.%.?%f[/%z]") then return nil end
  if not hidden and find(bare, "%f[^/%z]%.") then return nil end
  return bare, bare ~= path
end

-- The directory of all scripts, for calls that have no script below them: a handler's last call,
-- `return genet.send_file(...)`, takes its place on the stack.
local function site_directory()
  local directory = require("genet.loader").directory()
  return directory == "." and "" or directory .. "/"
end

-- The directory of the script that called the framework, with a slash; "" when it has none.
local function script_directory()
  local here = debug.getinfo(1, "S").source:match("^.*/") or ""
  local level = 2
  local info = debug.getinfo(level, "S")
  while info and (info.what == "C" or info.source:sub(1, #here) == here) do
    level = level + 1
    info = debug.getinfo(level, "S")
  end
  return info and info.source:match("^@(.*/)") or site_directory()
end

local function resolved(path)
  return path:sub(1, 1) == "/" and path or script_directory() .. path
end

-- Options ---------------------------------------------------------------------------------------

local function cache_control(options)
  local max_age = options.max_age or config.site().static_max_age
  if max_age == nil then return options.immutable and "immutable" or nil end
  local seconds = math.tointeger(max_age) or 0
  return ("public, max-age=%d%s"):format(seconds, options.immutable and ", immutable" or "")
end

local function quoted(tag)
  return find(tag, "^W?/?\"") and tag or "\"" .. tag .. "\""
end

-- RFC 6266: a name beyond plain ASCII is told in UTF-8 too (RFC 8187), for those who can read it.
local function disposition(kind, name)
  if not name then return kind end
  local plain = name:gsub("[\128-\255]+", "_"):gsub("[%c\"\\%%]", "_")
  local text = ("%s; filename=\"%s\""):format(kind, plain)
  if plain == name then return text end
  return text .. "; filename*=UTF-8''" .. name:gsub("[^%w!#$&+.^_`|~-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
end

local function refuse(what, message, ...)
  error(what .. ": " .. message:format(...), 0)
end

local function check_types(options, what, types)
  for key, value in pairs(options) do
    local expected = types[key]
    if not expected then refuse(what, "unknown option '%s'", tostring(key)) end
    if not find(expected, type(value), 1, true) then
      refuse(what, "option '%s' must be a %s, not a %s", key, expected, type(value))
    end
  end
  local age = options.max_age
  if age and not (math.tointeger(age) and age >= 0) then
    refuse(what, "option 'max_age' must be a whole number of seconds from 0")
  end
end

-- Directories -------------------------------------------------------------------------------------

local Mount = {}
Mount.__index = Mount

-- What the attempt to open a file has come to, for those who asked for it.
local function raise_for(why, text, name)
  if why == "busy" then
    error(http_error.new(503, nil, {["Retry-After"] = "1"}), 0)
  elseif why == "denied" then
    error(http_error.new(403), 0)
  elseif why == "broken" then
    error(http_error.fault("a file could not be read", name .. ": " .. text), 0)
  end
  if why == "outside" then log.warn("'%s' leads out of its directory and is not served", name) end
end

-- A new document of the file at `path`, noted under `key`. `original` is what it is a coding of.
-- Waits.
function Mount:load(key, path, coding, original)
  local file, why, text = self.directory:open(path, not self.follow_symlinks)
  if not file then
    self.kept:drop(key)
    return nil, why, text
  end
  local media = original and original.media or mime.of(path, self.mimetypes)
  local doc, problem = document.new(file, media, self, coding)
  if not doc then return nil, "broken", problem end
  if doc.settled or not doc.content then
    self.kept:put(key, doc, (doc.content and #doc.content or 0) + OVERHEAD)
  end
  return doc
end

-- Whether a document is of what is on disk, its file open if it needs one. Waits.
function Mount:is_current(path, doc)
  if doc.content or doc.users > 0 then return self.directory:same(path, doc.file) end
  return self.directory:reopen(path, doc.file, not self.follow_symlinks)
end

-- The document of the file at `path`, retained. Waits unless it is kept and unchanged.
function Mount:find(path, coding, original)
  local key = coding and path .. "\0" .. coding or path
  local doc, why, text = self.kept:get(key), nil, nil
  if not doc or not self:is_current(path, doc) then
    doc, why, text = self:load(key, path, coding, original)
  end
  if doc and not doc.content then doc:retain() end
  return doc, why, text
end

-- The best of the files with the same content in other codings; nil when the client takes none.
-- The second result tells whether there are any. One that is older than the file itself is not of
-- the same content any more. Waits.
function Mount:variant(req, path, doc)
  local there = {}
  for _, coding in ipairs(self.precompressed) do
    if self.directory:has(path .. CODINGS[coding]) then there[#there + 1] = coding end
  end
  if not there[1] then return nil, false end
  local header = exchange.header(req._exchange, "accept-encoding")
  local coding = encodings.choose(header, there)
  if not coding then return nil, true end
  local variant = self:find(path .. CODINGS[coding], coding, doc)
  if variant and variant.written < doc.written then
    if not variant.content then variant:release() end
    variant = nil
  end
  return variant, true
end

local function send_document(self, req)
  local held <close> = not self.doc.content and self.doc or nil -- luacheck: ignore
  return document.answer(req, self.doc, self)
end

-- The answer with the file at `path`, or nil and why there is none. Waits.
function Mount:file(req, path)
  local doc, why, text = self:find(path)
  if not doc then return nil, why, text end
  local vary = false
  if self.precompressed[1] and doc.shrinks then
    local variant
    variant, vary = self:variant(req, path, doc)
    if variant then
      if not doc.content then doc:release() end
      doc = variant
    end
  end
  return response.later({doc = doc, vary = vary}, send_document)
end

-- Waits.
function Mount:index_of(req, path)
  for _, name in ipairs(self.index) do
    local answer, why, text = self:file(req, path == "" and name or path .. "/" .. name)
    if answer then return answer end
    raise_for(why, text, path)
  end
  if not self.list then return nil end
  local entries, why, text = self.directory:list(path == "" and "." or path,
    not self.follow_symlinks)
  if entries then return response.new{body = listing.page(req.path, entries, self.hidden)} end
  raise_for(why, text, path)
end

local function redirect_to_slash(req)
  local query = req.query
  local location = url.encode_path(req.path):gsub("^//+", "/") .. "/"
  return response.redirect(query ~= "" and location .. "?" .. query or location, 308)
end

-- Waits.
function Mount:answer(req, name)
  local path, slash = name, false
  if not self.kept:get(name) then path, slash = static.clean(name, self.hidden) end
  if not path then error(http_error.new(404), 0) end
  if slash then return self:index_of(req, path) or error(http_error.new(404), 0) end
  local answer, why, text = self:file(req, path)
  if answer then return answer end
  if why == "directory" and (self.list or self.index[1]) then return redirect_to_slash(req) end
  raise_for(why, text, path)
  error(http_error.new(404), 0)
end

local function list_of(value, default)
  if value == nil then value = default end
  return type(value) == "table" and value or value and {value} or {}
end

local MOUNT_OPTIONS = {
  name = "string", index = "string table boolean", list = "boolean", hidden = "boolean",
  follow_symlinks = "boolean", precompressed = "table boolean", mimetypes = "table",
  max_age = "number", immutable = "boolean", headers = "table", cache = "number",
}

local function check_mount(directory, options)
  if type(directory) ~= "string" then
    refuse("app:static", "a directory was expected, not a %s", type(directory))
  end
  if type(options) ~= "table" then refuse("app:static", "a table of options was expected") end
  check_types(options, "app:static", MOUNT_OPTIONS)
  if options.index == true then refuse("app:static", "option 'index' must be a name or false") end
  for _, coding in ipairs(list_of(options.precompressed or nil)) do
    if not CODINGS[coding] then
      refuse("app:static", "option 'precompressed' knows br, gzip and zstd, not '%s'",
        tostring(coding))
    end
  end
end

--- A directory whose files can be answered with; raises when it is not there.
-- @tparam string directory
-- @tparam table options as for `app:static`
-- @treturn Mount
-- @usage static.mount("site/css", {}):answer(req, "main.css")
function static.mount(directory, options)
  check_mount(directory, options)
  local path = resolved(directory)
  local opened, _, problem = disk.directory(path)
  if not opened then refuse("app:static", "directory '%s': %s", path, problem) end
  if options.headers then response.head(nil, options.headers) end
  local precompressed = options.precompressed
  if precompressed == nil or precompressed == true then precompressed = {"gzip"} end
  return setmetatable({
    directory = opened,
    kept = recent.new(options.cache or CACHE),
    index = list_of(options.index, "index.html"),
    precompressed = precompressed or {},
    list = options.list,
    hidden = options.hidden,
    follow_symlinks = options.follow_symlinks,
    mimetypes = options.mimetypes,
    cache_control = cache_control(options),
    headers = options.headers,
  }, Mount)
end

--- Serves the files of a directory under a prefix, to GET and HEAD. Nothing outside of it can be
-- reached: not by `..` in any spelling, nor by a symbolic link, unless asked for.
--
-- A relative directory is beside the script. Answers have an `ETag` and a `Last-Modified`; ranges
-- and preconditions are understood. A text whose compressed twin lies beside it, `main.css.gz`
-- beside `main.css`, not older than it, is sent in that form to those who take it.
-- @function App:static
-- @tparam string prefix such as `/static`
-- @tparam string directory
-- @tparam[opt] table options `name` of the route, which has one argument, `filename`; `index`, the
--   file that stands for its directory, a list of them or false (`index.html` unless told);
--   `list`, to list directories that have none; `hidden`, to serve files whose names, or whose
--   directories' names, begin with a dot; `follow_symlinks`, to let links lead out of the
--   directory; `precompressed`, codings of twins to look for, the best first, or false
--   (`{"gzip"}` unless told; `br` and `zstd` are known too); `mimetypes` by ending; `max_age` in
--   seconds (`static_max_age` of the configuration) and `immutable`, for Cache-Control; `headers`,
--   more of them; `cache`, the bytes of small files to keep in memory (16 MB unless told)
-- @usage app:static("/static", "static", {max_age = 3600, precompressed = {"br", "gzip"}})
function static.serve(app, prefix, directory, options)
  if type(prefix) ~= "string" or prefix:sub(1, 1) ~= "/" then
    error("app:static: a prefix that begins with '/' was expected", 2)
  end
  local ok, mount = pcall(static.mount, directory, options or {})
  if not ok then error(mount, 2) end
  local base = prefix:gsub("/+$", "")
  local name = options and options.name
  app:route(base .. "/<path:filename>", {name = name}, function(req, filename)
    return mount:answer(req, filename)
  end)
  app:route(base .. "/", function(req) return mount:answer(req, "") end)
end

-- Single files ----------------------------------------------------------------------------------

local FILE_OPTIONS = {
  mimetype = "string", as_attachment = "boolean", download_name = "string", max_age = "number",
  immutable = "boolean", etag = "string boolean", last_modified = "number boolean",
  conditional = "boolean", headers = "table",
}

local function base_name(path)
  return path:match("[^/]+$") or path
end

local function file_options(path, options)
  local named = options.as_attachment or options.download_name
  local name = options.download_name or base_name(path)
  local kind = options.as_attachment and "attachment" or "inline"
  local etag = options.etag
  return {
    cache_control = cache_control(options),
    disposition = named and disposition(kind, name) or nil,
    etag = type(etag) == "string" and quoted(etag) or etag,
    modified = options.last_modified,
    headers = options.headers,
  }
end

local function file_answer(path, file, options)
  local media = options.mimetype or mime.of(options.download_name or path)
  local settings = file_options(path, options)
  if settings.etag == true then settings.etag = nil end
  if settings.modified == true then settings.modified = nil end
  local doc, problem = document.new(file, media, settings)
  if not doc then return nil, path .. ": " .. problem end
  if not doc.content then doc:retain() end
  return response.later({doc = doc, conditional = options.conditional}, send_document)
end

local NO_FILE = "it is no regular file"

-- Raises for the caller's caller.
local function checked(options, what)
  if options == nil then return {} end
  if type(options) ~= "table" then error(what .. ": a table of options was expected", 3) end
  local ok, problem = pcall(check_types, options, what, FILE_OPTIONS)
  if not ok then error(problem, 3) end
  return options
end

--- An answer with a file. The path is the script's own: for one that a client has chosen there is
-- `send_from_directory`. A relative one is beside the script. Waits.
-- @function genet.send_file
-- @tparam string path
-- @tparam[opt] table options `mimetype` (by the ending of the name unless told); `as_attachment`,
--   to have the client save it, under the name `download_name` (the file's own unless told);
--   `max_age` in seconds and `immutable`, for Cache-Control; `etag`, a tag of the script's own, or
--   false for none; `last_modified`, seconds since 1970, or false for none; `conditional`, false to
--   ignore preconditions and ranges; `headers`, more of them
-- @treturn[1] Response to return from a handler; its `headers` may be added to
-- @treturn[2] nil
-- @treturn[2] string why the file cannot be read
-- @usage return genet.send_file("reports/2026.pdf", {as_attachment = true}) or 404
function static.send_file(path, options)
  if type(path) ~= "string" then
    error(("genet.send_file: a path was expected, not a %s"):format(type(path)), 2)
  end
  options = checked(options, "genet.send_file")
  path = resolved(path)
  local file, why, text = disk.directory():open(path)
  if not file then return nil, path .. ": " .. (why == "special" and NO_FILE or text) end
  return file_answer(path, file, options)
end

--- An answer with a file whose name comes from a client: it must lie in the directory, and no part
-- of its name may begin with a dot. Ends the handler with a 404 when there is none. Waits.
-- @function genet.send_from_directory
-- @tparam string directory beside the script, when relative
-- @tparam string name
-- @tparam[opt] table options as for `genet.send_file`
-- @treturn Response
-- @usage app:get("/uploads/<path:name>", function(_, name)
--   return genet.send_from_directory("uploads", name)
-- end)
function static.send_from_directory(directory, name, options)
  if type(directory) ~= "string" or type(name) ~= "string" then
    error("genet.send_from_directory: a directory and a name were expected", 2)
  end
  options = checked(options, "genet.send_from_directory")
  local opened, _, problem = disk.directory(resolved(directory))
  if not opened then error(("genet.send_from_directory: %s: %s"):format(directory, problem), 2) end
  local held <close> = opened -- luacheck: ignore
  local path, slash = static.clean(name)
  if not path or slash then error(http_error.new(404), 0) end
  local file, why, text = opened:open(path, true)
  if not file then
    raise_for(why, text, path)
    error(http_error.new(404), 0)
  end
  return assert(file_answer(path, file, options))
end

return static
