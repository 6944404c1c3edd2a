-- The decorator `async`: the function that it wraps starts, and its caller goes on at once.
-- Run as a program it prints three lines, the last two after ten seconds:
--
--     genet run scripts/decorator.lua
--
-- Served, it prints them to the log for each GET /decorator.
local genet = require "genet"

local A = genet.async(function()
  genet.sleep(10)
  print("函数A睡了十秒钟。。。。。。")
  print("a function")
end)

local function B()
  print("b function")
end

local function main()
  A()
  B()
end

if arg then main() end

local app = genet.app()

app:get("/decorator", function()
  main()
  return "see the log"
end)

return app
