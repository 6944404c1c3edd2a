-- Which end-to-end specs the modes of the suite leave out, and why. As a program it lists the files
-- that run in each of them:
--
--     lua5.4 tests/e2e/modes.lua
--
-- Single tests say by support.only() what cannot be equal in a mode.
local lfs = require "lfs"

local NO_SERVER = "it starts no server, or one whose mode it chooses itself"

local modes = {}

modes.left_out = {
  app_run = NO_SERVER, conformance = NO_SERVER, debugpage = "debug mode excludes the modes",
  drain = NO_SERVER, faults = "each of its hosts is told its faults by seed, one thread's order",
  manager = NO_SERVER, process_topics = NO_SERVER, processes = NO_SERVER, readme = NO_SERVER,
  redis_sessions = NO_SERVER, run = NO_SERVER, shared_modes = NO_SERVER, startup = NO_SERVER,
  stdio = NO_SERVER, storm = NO_SERVER, systemd = NO_SERVER, threaded = NO_SERVER,
  websocket_faults = "as faults", workers = NO_SERVER,
}

--- The files that the modes run.
function modes.files()
  local files = {}
  for name in lfs.dir("tests/e2e") do
    local spec = name:match("^(.*)_spec%.lua$")
    if spec and not modes.left_out[spec] then files[#files + 1] = "tests/e2e/" .. name end
  end
  table.sort(files)
  return files
end

if arg and arg[0]:find("modes%.lua$") then
  for _, file in ipairs(modes.files()) do print(file) end
end

return modes
