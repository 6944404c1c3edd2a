--- The instance: what a site keeps beside its scripts, in the directory `instance/`, and what no
-- repository should: databases, uploads, its secret.
-- @module genet.instance

local core = require "genet.core"
local crypto = require "genet.crypto"
local lfs = require "lfs"
local loader = require "genet.loader"
local log = require "genet.log"

local instance = {}

local SECRET = 32

local function make(directory)
  if directory == "" or lfs.attributes(directory, "mode") == "directory" then return true end
  local parent = directory:match("^(.*)/[^/]*$")
  if parent then make(parent) end
  local ok, problem = lfs.mkdir(directory)
  if ok or lfs.attributes(directory, "mode") == "directory" then return true end
  return nil, ("%s: %s"):format(directory, problem)
end

--- The path of a file that a script names: relative to the directory of the scripts. The directory
-- that it lies in is made.
-- @tparam string path
-- @treturn string
-- @raise when the directory cannot be made
-- @usage local path = instance.beside("instance/app.db")
function instance.beside(path)
  if path:sub(1, 1) ~= "/" then path = loader.directory() .. "/" .. path end
  local ok, problem = make(path:match("^(.*)/[^/]*$"))
  if not ok then error(problem, 0) end
  return path
end

--- The path of a file in `instance/`, beside the scripts; its directory is made.
-- @function genet.instance_path
-- @tparam string name
-- @treturn string
-- @raise when the directory cannot be made
-- @usage local path = genet.instance_path("uploads/1.png")
function instance.path(name)
  if type(name) ~= "string" then
    error(("genet.instance_path: a string was expected, not a %s"):format(type(name)), 2)
  end
  return instance.beside("instance/" .. name)
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text and #text >= SECRET and text or nil
end

-- Writes a file that only its owner can read, whole or not at all; one that is there stays.
local function create(path, text)
  local quoted = "'" .. path:gsub("'", "'\\''") .. ".XXXXXX'"
  local pipe = io.popen("mktemp " .. quoted .. " 2>/dev/null")
  local temporary = pipe and pipe:read("l")
  if pipe then pipe:close() end
  local file = temporary and io.open(temporary, "wb")
  if not file then return end
  local written = file:write(text)
  if file:close() and written then lfs.link(temporary, path) end
  os.remove(temporary)
end

--- A secret of this instance, random, which stays the same: the file `instance/secret` is written
-- when it is first asked for. Where that cannot be, the secret ends with the process, and the log
-- is told so.
-- @function genet.secret
-- @treturn string 32 bytes or more
-- @usage app:sessions{secret = genet.secret()}
function instance.secret()
  local ok, path = pcall(instance.path, "secret")
  local found = ok and read(path)
  if not found and ok then
    create(path, crypto.encode64(crypto.random(SECRET)))
    found = read(path)
  end
  if found then return found end
  log.warn("genet.secret: '%s' cannot be written: sessions end with this process", path)
  return core.secret()
end

return instance
