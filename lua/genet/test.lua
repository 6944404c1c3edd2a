--- What tests use that `genet test` runs:
--
--     local test = require "genet.test"
--
--     describe("the shop", function()
--       it("closes a basket after an hour", function()
--         local client = test.client()
--         client:post("/basket", {form = {item = 7}})
--         test.clock:advance(3600)
--         assert.equal(404, client:get("/basket").status)
--       end)
--     end)
--
-- Where all tasks sleep, the time that they wait for is skipped, unless `--real-time` was given: a
-- test of a handler that sleeps for ten seconds ends at once. While a task waits for something
-- outside, such as a socket, a child or a thread of the pool, time passes as usual.
-- @module genet.test

local check = require "genet.check"
local core = require "genet.core"

local test = {}

local loaded -- the app that is tested

--- For `genet test`: names the app that is tested.
-- @tparam App app
-- @usage test.use(app)
function test.use(app)
  loaded = app
end

--- The app of the site that is tested.
-- @treturn App
-- @usage local app = test.app()
function test.app()
  if not loaded then error("genet.test.app: only 'genet test' loads an app", 2) end
  return loaded
end

--- A client of that app: see `genet.test.client`.
-- @tparam[opt] table options of `app:test_client`
-- @treturn Client
-- @usage local client = test.client{base_url = "https://shop.test"}
function test.client(options)
  if not loaded then error("genet.test.client: only 'genet test' loads an app", 2) end
  return loaded:test_client(options)
end

local clock = {}

--- The clock of the process.
test.clock = clock

local time, date = os.time, os.date

--- Has time be skipped where all tasks sleep, for the whole process; `os.time` and `os.date` go
-- along. What is outside of the process does not.
-- @function clock:skip
-- @usage test.clock:skip()
function clock.skip()
  core.skip(true)
  os.time = function(at) -- luacheck: ignore 122
    if at ~= nil then return time(at) end
    return time() + core.skip() // 1 | 0
  end
  os.date = function(format, at) -- luacheck: ignore 122
    return date(format or "%c", at or os.time())
  end
end

--- Lets time pass: what is due within it happens, in its order. Waits.
-- @function clock:advance
-- @tparam number seconds
-- @usage test.clock:advance(3600)
function clock.advance(_, seconds)
  core.sleep(check.seconds(seconds, "clock:advance"))
end

--- Seconds since some time in the past, which never go back; `genet.sleep(10)` makes them ten more.
-- @function clock:now
-- @treturn number
-- @usage local before = test.clock:now()
function clock.now()
  return core.now()
end

return test
