-- The examples in the documentation run.
require "support"
local virtual = require "virtual"
local core = require "genet.core"

package.loaded.genet = nil
local genet = require "genet"
package.loaded.genet = nil

-- What the examples take for granted.
local function surroundings()
  local ticking = genet.every(1, function() end)
  local function fetch(what) core.sleep(1) return "page " .. tostring(what) end
  local modules = {
    genet = genet,
    check = require "genet.check",
    task = require "genet.task",
    http = {request = fetch},
    db = {execute = function() core.sleep(1) end},
    fetch = fetch,
    a = "a",
    b = "b",
    fn = fetch,
    watch = function() core.sleep(math.huge) end,
    read = function() return 1 end,
    write = function() core.sleep(1) end,
    options = {name = "x"},
    n = 1,
    timeout = 1,
    seconds = 1,
    members = {},
    job = print,
    ticks = 0,
    hits = 0,
    value = print,
    print = function() end,
    A = genet.async(fetch),
    lock = genet.lock(),
    slots = genet.semaphore(4),
    ready = genet.event(),
    jobs = genet.queue(),
    name = "x",
    timer = {
      stop = function() return ticking:stop() end,
      stop_all = require("genet.timer").stop_all,
    },
    self = genet.lock(),
    Lock = getmetatable(genet.lock()),
  }
  modules.task = setmetatable({}, {
    __index = function(_, key)
      local static = require("genet.task")[key]
      if static then return static end
      local one = genet.spawn(fetch, "x")
      return function(_, ...) return one[key](one, ...) end
    end,
  })
  return setmetatable({}, {__index = function(_, key)
    if modules[key] ~= nil then return modules[key] end
    return _G[key]
  end})
end

-- Every `@usage` of a file: its text and its line.
local function examples(path)
  local list, current, number = {}, nil, 0
  for line in io.lines(path) do
    number = number + 1
    local first = line:match("^%-%-%-? @usage (.*)$")
    local more = current and line:match("^%-%- (.*)$")
    if first then
      current = {line = number, first}
      table.insert(list, current)
    elseif more and not more:find("^@") then
      table.insert(current, more)
    else
      current = nil
    end
  end
  return list
end

-- What must have happened before some of them.
local before = {["lock:release()"] = "lock:acquire() ", ["slots:release()"] = "slots:acquire() "}

local function compile(text, env)
  text = (before[text] or "") .. text
  return load("return " .. text, "=usage", "t", env) or assert(load(text, "=usage", "t", env))
end

-- Runs an example until it has ended, or waits for something that will not come.
local function run(text)
  local env = surroundings()
  local example = genet.spawn(compile(text, env))
  local ok, err = example:wait(50)
  env.timer:stop()
  env.jobs:close()
  example:cancel()
  core.sleep(61)
  virtual.take_log()
  if not ok and err ~= "timeout" then error(err, 0) end
end

for _, name in ipairs{"task", "sync", "timer", "check"} do
  describe("the example of genet." .. name, function()
    for _, example in ipairs(examples("lua/genet/" .. name .. ".lua")) do
      local text = table.concat(example, "\n"):gsub("%s+%-%->.*", "")
      it(("in line %d runs: %s"):format(example.line, example[1]), function()
        virtual.run(run, text)
      end)
    end
  end)
end
