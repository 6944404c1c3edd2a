--- What LuaSec leaves to its callers: which authorities to trust, and whose certificate it is.
-- @module genet.http.tls

local identity = require "genet.http.identity"
local lfs = require "lfs"
local ssl = require "ssl"

local tls = {}

-- Where Debian keeps the authorities that everybody trusts, and what is there when it does.
local SYSTEM = "/etc/ssl/certs"
local SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

local OPTIONS = {"no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1", "no_compression"}

local SUBJECT_ALT_NAME = "2.5.29.17"

-- The file or the directory of authorities, as LuaSec takes them.
local function locate(ca)
  if not ca then
    if lfs.attributes(SYSTEM_BUNDLE) then return nil, SYSTEM end
    return nil, nil, ("no authorities to trust: %s is missing; install the package "
      .. "ca-certificates, or name others with 'ca'"):format(SYSTEM_BUNDLE)
  end
  local mode = lfs.attributes(ca, "mode")
  if not mode then
    return nil, nil, ("cannot read the authorities in %s: no such file"):format(ca)
  end
  if mode == "directory" then return nil, ca end
  return ca
end

local function settings(options)
  return {
    mode = "client",
    protocol = "any",
    options = OPTIONS,
    verify = "none",
    certificate = options.cert,
    key = options.key or options.cert,
  }
end

--- The settings of connections to come.
-- @tparam table options `verify` (unless false), `ca` a file or a directory instead of the
--   system's, `cert` and `key` of the client
-- @treturn[1] context
-- @treturn[2] nil
-- @treturn[2] string why there are none
-- @usage local context, err = tls.context{ca = "authority.pem"}
function tls.context(options)
  local wanted = settings(options)
  if options.verify ~= false then
    local file, directory, problem = locate(options.ca)
    if problem then return nil, problem end
    wanted.cafile, wanted.capath = file, directory
    -- The handshake goes on when a certificate is bad, so that `check` can tell why it is.
    wanted.verify, wanted.verifyext = "peer", "lsec_continue"
  end
  local context, why = ssl.newcontext(wanted)
  if context then return context end
  return nil, ("cannot set up TLS with %s: %s")
    :format(options.cert or options.ca or "the system's authorities", why)
end

--- Tells the server which of its names is wanted, unless that is an address.
-- @tparam session session of LuaSec, before its handshake
-- @tparam string host
-- @usage tls.name_server(session, "example.com")
function tls.name_server(session, host)
  if not identity.ip(host) then session:sni((host:gsub("%.$", ""))) end
end

-- What OpenSSL had against the chain, the words in the order of its depth.
local function reasons(problems)
  if type(problems) ~= "table" then return tostring(problems) end
  local words, deepest = {}, 0
  for depth in pairs(problems) do deepest = math.max(deepest, depth) end
  for depth = 0, deepest do
    local problem = problems[depth]
    for _, word in ipairs(type(problem) == "table" and problem or {problem}) do
      words[#words + 1] = tostring(word)
    end
  end
  return table.concat(words, "; ")
end

--- Checks that the certificate is good, and the host's.
-- @tparam session session of LuaSec, after its handshake
-- @tparam string host
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string `certificate verify failed: ` and why
-- @usage local ok, err = tls.check(session, "example.com")
function tls.check(session, host)
  local certificate = session:getpeercertificate()
  if not certificate then return nil, "certificate verify failed: the server has none" end
  local good, problems = session:getpeerverification()
  if good ~= true then return nil, "certificate verify failed: " .. reasons(problems) end
  local names = certificate:extensions()[SUBJECT_ALT_NAME] or {}
  if identity.covers(names, host) then return true end
  return nil, ("certificate verify failed: it is not for %s, but for %s")
    :format(host, identity.list(names))
end

return tls
