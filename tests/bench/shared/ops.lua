-- genet run ops.lua get|set|incr OPERATIONS: what an operation costs from Lua.
local genet = require "genet"
local core = require "genet.core"

local op, n = arg[1], tonumber(arg[2])
local d = genet.shared(op)
local operations = {
  get = function(i) return d:get("key" .. i % 10000) end,
  set = function(i) return d:set("key" .. i % 10000, "some value") end,
  incr = function() return d:incr("key", 1, 0) end,
}
local operate = operations[op]
for i = 1, op == "get" and 10000 or 0 do operations.set(i) end
local wall, cpu = core.now(), os.clock()
for i = 1, n do operate(i) end
wall, cpu = core.now() - wall, os.clock() - cpu
print(("%10.0f %8.2f"):format(n / wall, cpu / n * 1e6))
