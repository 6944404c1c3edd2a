--- Makes keys, certificates and authorities for a test, by the openssl command.
local support = require "tests.e2e.support"

local certificates = {}
certificates.__index = certificates

--- Runs `openssl` with these words; fails with what it wrote if it fails.
local function openssl(...)
  local quoted = {}
  for i, word in ipairs{...} do quoted[i] = support.quote(word) end
  local pipe = assert(io.popen("openssl " .. table.concat(quoted, " ") .. " 2>&1 </dev/null"))
  local text = pipe:read("a")
  assert(pipe:close(), text)
end

--- Makes them in this directory, or in a fresh one; remove that with
-- `support.remove(made.directory)`.
function certificates.new(directory)
  return setmetatable({directory = directory or support.directory()}, certificates)
end

function certificates:path(name)
  return self.directory .. "/" .. name
end

function certificates:key(name)
  local path = self:path(name .. ".key")
  openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
  return path
end

-- What the certificate may be used for.
local function extensions(options)
  local lines = {"basicConstraints=critical,CA:" .. (options.is_ca and "TRUE" or "FALSE")}
  if options.usage then lines[#lines + 1] = "extendedKeyUsage=" .. options.usage end
  if options.names then
    lines[#lines + 1] = "subjectAltName=DNS:" .. table.concat(options.names, ",DNS:")
  elseif options.address then
    lines[#lines + 1] = "subjectAltName=IP:" .. options.address
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Makes a key and a certificate and returns both, `{cert = path, key = path}`.
-- @tparam string name of the files
-- @tparam table options `subject` ("/CN=..."), `names` (for the server) or `address`, `usage`
--   ("clientAuth"), `days` (negative: it has expired), `is_ca`, `by` (another pair; its own
--   signature if nil)
function certificates:pair(name, options)
  local pair = {cert = self:path(name .. ".pem"), key = self:key(name)}
  local request, details = self:path(name .. ".csr"), self:path(name .. ".ext")
  support.write_file(details, extensions(options))
  openssl("req", "-new", "-key", pair.key, "-subj", options.subject or "/CN=" .. name,
    "-out", request)
  local signer = options.by
    and {"-CA", options.by.cert, "-CAkey", options.by.key, "-CAcreateserial"}
    or {"-signkey", pair.key}
  openssl("x509", "-req", "-in", request, "-extfile", details, "-out", pair.cert,
    "-days", tostring(options.days or 30), table.unpack(signer))
  return pair
end

return certificates
