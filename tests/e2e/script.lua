--- Runs plain Lua scripts under the host for a test.
local support = require "tests.e2e.support"

local script = {}

local PREAMBLE = [[
local genet = require "genet"
local process = require "genet.process"
local patch = require "genet.patch"
patch.patch_all()
local function descriptors()
  local count = 0
  for _ in require("lfs").dir("/proc/self/fd") do count = count + 1 end
  return count
end
local function children()
  local file <close> = io.open("/proc/self/task/" .. process.host_pid() .. "/children")
  return select(2, file:read("a"):gsub("%d+", ""))
end
local function eventually(probe)
  for _ = 1, 3000 do
    if probe() then return true end
    genet.sleep(0.01)
  end
  return false
end
]]
PREAMBLE = PREAMBLE:gsub("process.host_pid%(%)", "io.open('/proc/self/stat'):read('n')")
PREAMBLE = PREAMBLE:gsub("\n", " ")

--- Writes a script, which finds `genet`, `process`, `patch` and, for counting what is left over,
-- `descriptors()`, `children()` and `eventually(probe)`. Returns its directory and its path.
function script.write(text)
  local directory = support.directory{["script.lua"] = PREAMBLE .. text}
  return directory, directory .. "/script.lua"
end

--- Runs a script to its end; the result is that of `support.run`.
function script.run(text, ...)
  local directory, path = script.write(text)
  local ok, result = pcall(support.run, {"run", path, ...})
  support.remove(directory)
  return ok and result or error(result, 2)
end

--- Runs a script and returns what it has printed; fails when it has failed.
function script.output(text, ...)
  local result = script.run(text, ...)
  if result.status ~= 0 then error(result.err, 2) end
  return result.out
end

--- Runs a shell command in the directory of a script, which is `script.lua`; the binary is
-- `$GENET`. Returns what it has printed; fails when it has failed, or not ended in time, or has
-- left a process behind that might print more.
function script.shell(text, command)
  local directory = script.write(text)
  local binary = support.binary:find("^/") and support.binary
    or require("lfs").currentdir() .. "/" .. support.binary
  local pipe = assert(io.popen(([[cd %s && {
      GENET=%s timeout -k 1 %d env --default-signal sh -c %s 2>err
      echo $? >status
    } | timeout %d cat]]):format(directory, support.quote(binary), support.patience,
    support.quote(command), 2 * support.patience)))
  local printed = pipe:read("a")
  local alone = pipe:close()
  local status = support.read_file(directory .. "/status")
  local problem = support.read_file(directory .. "/err")
  support.remove(directory)
  if status ~= "0\n" or problem ~= "" then
    error(("%s: %s%s\n%s"):format(command, status, problem, printed), 2)
  end
  if not alone then error(command .. ": has left a process behind", 2) end
  return printed
end

return script
