--- A storm: under load, a process of a host is killed at random again and again.
--
-- Requests write into `genet.shared`, each a key of its own and one counter; afterwards the
-- dictionary is compared with what was acknowledged. Whoever runs a storm judges its report.
local lfs = require "lfs"
local socket = require "socket"
local support = require "tests.e2e.support"

local storm = {}

local SITE = [[
local genet = require "genet"
local app = genet.app()
local d = genet.shared("storm", {eviction = "error"})
app:get("/write/<who>/<n>", function(_, who, n)
  assert(d:set(who .. n, n))
  assert(d:incr("count", 1, 0))
  return n
end)
app:get("/slow", function() genet.sleep(0.05) return "slow" end)
app:get("/hello", function() return "hello" end)
app:get("/count", function() return tostring(d:get("count")) end)
app:get("/missing/<who>/<int:last>", function(_, who, last)
  local missing = {}
  for n = 1, last do
    if d:get(who .. n) ~= tostring(n) then missing[#missing + 1] = n end
  end
  return table.concat(missing, " ")
end)
return app]]

-- Who writes, who else asks: target, connections, what the answers match.
local WRITERS = {kept = "4 keep", short = "2"}
local OTHERS = {{"/slow", "16 keep", "^slow$"}, {"/hello", "4", "^hello$"}}

-- Kills for so long; returns how often, and the set of all pids there have been.
local function kill_at_random(server, seconds, every)
  local stop, kills, seen = socket.gettime() + seconds, 0, {}
  while socket.gettime() < stop do
    local list = server:children()
    for _, pid in ipairs(list) do seen[pid] = true end
    if #list > 0 then
      os.execute(("kill -KILL %d 2>/dev/null"):format(list[math.random(#list)]))
      kills = kills + 1
    end
    socket.sleep(every)
  end
  return kills, seen
end

local function descriptors_of(pid)
  local count = 0
  for name in lfs.dir("/proc/" .. pid .. "/fd") do
    if name:match("^%d+$") then count = count + 1 end
  end
  return count
end

-- What was acknowledged and is not there, as a count.
local function count_lost(server, who, writer)
  local lost = 0
  local answer = server:get(("/missing/%s/%d"):format(who, writer.sent))
  assert(answer.status == 200, answer.body)
  for number in answer.body:gmatch("%d+") do
    if not writer.unanswered[math.tointeger(number)] then lost = lost + 1 end
  end
  return lost
end

-- What is left of a host that has ended.
local function leftovers(server, seen)
  local left = support.shared_directories(server.pid)
  for pid in pairs(seen) do
    local command = support.read_file(("/proc/%d/cmdline"):format(pid))
    if command:find("runserver", 1, true) then left[#left + 1] = "process " .. pid end
  end
  return left
end

local function start_load(server)
  local writers, others = {}, {}
  for who, connections in pairs(WRITERS) do
    writers[who] = server:load(("/write/%s/#"):format(who), connections)
  end
  for at, other in ipairs(OTHERS) do others[at] = server:load(table.unpack(other)) end
  return writers, others
end

local function finish_load(writers, others)
  local all = {}
  for who, load in pairs(writers) do
    writers[who] = load:finish()
    all[#all + 1] = writers[who]
  end
  for _, load in ipairs(others) do all[#all + 1] = load:finish() end
  return all
end

-- Adds what the loads have seen to the report.
local function sum_up(report, loads)
  for _, what in ipairs{"answers", "wrong", "cut", "refused", "sent"} do
    report[what] = 0
    for _, load in ipairs(loads) do report[what] = report[what] + load[what] end
  end
  report.connections = 0
  for _, connections in pairs(WRITERS) do
    report.connections = report.connections + tonumber(connections:match("%d+"))
  end
  for _, other in ipairs(OTHERS) do
    report.connections = report.connections + tonumber(other[2]:match("%d+"))
  end
  local texts = {}
  for at, load in ipairs(loads) do texts[at] = load.text:gsub("unanswered:[^\n]*\n", "") end
  report.text = table.concat(texts)
end

-- Adds what the dictionary holds, beside what was acknowledged.
local function compare(report, server, writers)
  report.acknowledged, report.attempted, report.lost = 0, 0, 0
  for who, writer in pairs(writers) do
    report.acknowledged = report.acknowledged + writer.answers - writer.wrong
    report.attempted = report.attempted + writer.sent
    report.lost = report.lost + count_lost(server, who, writer)
  end
  report.count = tonumber(server:get("/count").body)
end

--- Runs one and stops the host, which must end well.
-- @tparam table options `seconds`, `every` (seconds between two kills), `processes`
-- @treturn table `kills`, `connections`, the sums of all that the clients have seen (see
--   Load:finish), `text` of it; of the writers `acknowledged`, `attempted`, `lost`, and `count` as
--   the dictionary has it; `before` and `after`, the parent's descriptors; `left`, a list
function storm.run(options)
  local server = support.serve{script = SITE,
    args = {"--processes", tostring(options.processes), "--shared-memory", "1G"}}
  local report = {before = descriptors_of(server.pid)}
  local writers, others = start_load(server)
  local seen
  report.kills, seen = kill_at_random(server, options.seconds, options.every)
  sum_up(report, finish_load(writers, others))
  support.wait_until("all to serve again", function()
    return #server:children() == options.processes
  end)
  compare(report, server, writers)
  support.wait_until("the parent's descriptors to be closed", function()
    report.after = descriptors_of(server.pid)
    return report.after <= report.before
  end)
  for _, pid in ipairs(server:children()) do seen[pid] = true end
  server:stop()
  report.left = leftovers(server, seen)
  return report
end

return storm
