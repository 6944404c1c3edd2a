-- Limits as they are unless an option says otherwise: heads of 16 KiB, bodies of 8 MiB.
local words = require "tests.e2e.conformance.words"
local get, with, refused, taken = words.get, words.with, words.refused, words.taken

local x = ("x"):rep(20000)

local function body(target, count)
  return words.post(target, ("y"):rep(count), "Content-Length: " .. count)
end

return {
  about = "a limit that no option set",
  {"takes a target of 7,500 bytes", "9112 3", get("/tell?" .. x:sub(1, 7500)),
    taken("GET /tell ?" .. x:sub(1, 7500) .. " @a")},
  {"refuses a target of 20,000 bytes", "9110 15.5.15", get("/" .. x), refused(414)},
  {"takes a head of 15,000 bytes", "6585 5", with("X: " .. x:sub(1, 15000)), taken()},
  {"refuses a head of 20,000 bytes", "6585 5", with("X: " .. x), refused(431)},
  {"takes a body of 20,000 bytes", "9112 6.2", body("/pieces", 20000), taken "20000"},
  {"passes over a body that nobody reads", "9112 9.3", body("/ignore", 20000), taken "ignored"},
}
