--- Passwords, kept as hashes in the format of Werkzeug, which reads them and is read.
-- @module genet.password

local crypto = require "genet.crypto"
local offload = require "genet.offload"

local password = {}

local DEFAULT = "scrypt:32768:8:1"
local NOBODY = DEFAULT .. "$nobody$00"
local SALT = 16

local function hex(bytes)
  return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end))
end

-- `scrypt:N:r:p` or `pbkdf2:sha256:iterations`, as the parameters of openssl.kdf; nil when it is
-- neither, or would take more than a gigabyte.
local function parse(method)
  local n, r, p = method:match("^scrypt:(%d+):(%d+):(%d+)$")
  if n then
    n, r, p = tonumber(n), tonumber(r), tonumber(p)
    local memory = 128 * r * (n + p + 2)
    if n < 2 or n & n - 1 ~= 0 or r < 1 or p < 1 or memory > 2 ^ 30 then return nil end
    return {type = "scrypt", N = n, r = r, p = p, maxmem_bytes = memory + 2 ^ 20 | 0, outlen = 64}
  end
  local digest, iterations = method:match("^pbkdf2:(sha%d+):(%d+)$")
  local sizes = {sha1 = 20, sha256 = 32, sha512 = 64}
  if not sizes[digest] or #iterations > 9 or tonumber(iterations) < 1 then return nil end
  return {type = "PBKDF2", md = digest, iter = tonumber(iterations), outlen = sizes[digest]}
end

--- Computes a hash; on a thread of the pool, because it takes long on purpose.
-- @local
function password.derive(text, salt, options)
  options.pass, options.salt = text, salt
  return require("openssl.kdf").derive(options)
end

local function derive(text, salt, options)
  return hex(offload.run("genet.password", "derive", text, salt, options))
end

local function check_text(text, what)
  if type(text) == "string" then return text end
  error(("%s: a string was expected as the password, not a %s"):format(what, type(text)), 3)
end

--- The hash of a password, with a salt of its own. Waits, while a thread of the pool computes.
-- @function genet.password.hash
-- @tparam string text
-- @tparam ?string method `"scrypt:32768:8:1"` unless told, or such as `"pbkdf2:sha256:600000"`
-- @treturn string `method$salt$hash`
-- @usage user.password = genet.password.hash(req.form.password)
function password.hash(text, method)
  check_text(text, "genet.password.hash")
  method = method or DEFAULT
  local options = parse(method)
  if not options then error(("genet.password.hash: unknown method '%s'"):format(method), 2) end
  local salt = crypto.encode64(crypto.random(SALT))
  return method .. "$" .. salt .. "$" .. derive(text, salt, options)
end

--- Whether a password is the one that was hashed. Waits, while a thread of the pool computes.
-- Without a hash it takes as long, and says no: so that nobody learns which users there are.
-- @function genet.password.verify
-- @tparam ?string hash as `genet.password.hash` gave it, or Werkzeug's `generate_password_hash`
-- @tparam string text
-- @treturn boolean
-- @usage if not genet.password.verify(user and user.password, req.form.password) then
--   genet.abort(403, "wrong name or password")
-- end
function password.verify(hash, text)
  check_text(text, "genet.password.verify")
  local method, salt, wanted = (hash or NOBODY):match("^([^$]+)%$([^$]*)%$(%x+)$")
  local options = method and parse(method)
  if not options then return false end
  return crypto.equal(derive(text, salt, options), wanted:lower())
end

return password
