-- Renders the pages for so many seconds each: prints "PAGE MICROSECONDS BYTES" for each.
-- Run from the root of the repository: lua5.4 tests/bench/templates/bench.lua SECONDS
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
local template = require "genet.template"

local seconds = tonumber(arg[1])
local env = template.new{path = "tests/bench/templates/pages"}

local function rows()
  local all = {}
  for r = 1, 1000 do
    all[r] = {}
    for c = 1, 10 do
      all[r][c] = c == 1 and r or c == 2 and ("<row %d>"):format(r) or ("cell %d-%d"):format(r, c)
    end
  end
  return all
end

local function page()
  local items, links = {}, {}
  for n = 1, 20 do
    items[n] = {
      name = "Item & " .. n, price = n * 1.25, stock = n % 5, tags = {"a", "b", "tag " .. n},
      note = n % 2 == 0 and "note <" .. n .. ">" or nil,
    }
  end
  for n = 1, 6 do links[n] = {url = "/page/" .. n, title = "Page " .. n} end
  return {title = "Things", intro = ("words and more words "):rep(10), items = items, links = links,
    path = "/page/3", year = 2026, owner = "Ann & Bob",
    fields = {email = "your email", name = "full name", phone = "phone number"},
    values = {email = "a@b.c", name = "\"Ann\"", phone = "123"}}
end

local VARS = {
  {"table", {rows = rows()}}, {"page", page()},
  {"small", {name = "<Ann>", items = {"one", "two", "three"}}},
}

for _, case in ipairs(VARS) do
  local name, vars = case[1] .. ".html", case[2]
  local bytes = #env:render(name, vars)
  local count, start = 0, os.clock()
  repeat
    for _ = 1, case[1] == "table" and 1 or 20 do
      env:render(name, vars)
      count = count + 1
    end
  until os.clock() - start > seconds
  print(case[1], (os.clock() - start) / count * 1e6, bytes)
end
