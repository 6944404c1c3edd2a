require "support"
local redis = require "genet.store.redis"

describe("the URL of a store in Redis", function()
  for url, expected in pairs{
    ["redis://cache"] = {host = "cache", port = 6379},
    ["redis://cache/"] = {host = "cache", port = 6379},
    ["redis://cache:6380/2"] = {host = "cache", port = 6380, database = 2},
    ["redis://:a%40b%3a@cache"] = {host = "cache", port = 6379, password = "a@b:"},
    ["redis://ann:secret@[::1]:1"] = {host = "::1", port = 1, user = "ann", password = "secret"},
    ["redis+unix:///run/redis.sock"] = {path = "/run/redis.sock"},
    ["redis+unix://:secret@/run/a%20b"] = {path = "/run/a b", password = "secret"},
  } do
    it("is read: " .. url, function()
      assert.same(expected, redis.parse(url))
    end)
  end

  for url, problem in pairs{
    [""] = "must begin with",
    ["cache:6379"] = "must begin with",
    ["http://cache"] = "must begin with",
    ["rediss://cache"] = "TLS",
    ["redis://"] = "HOST",
    ["redis://cache:x"] = "HOST",
    ["redis://cache/name"] = "HOST",
    ["redis://cache:65536"] = "port",
    ["redis://secret@cache"] = "password",
    ["redis+unix://run/redis.sock"] = "path",
  } do
    it(("is refused: '%s'"):format(url), function()
      local place, err = redis.parse(url)
      assert.is_nil(place)
      assert.matches(problem, err)
    end)
  end
end)

describe("a store in Redis", function()
  for what, case in pairs{
    ["no URL"] = {{}, "option 'url': a URL such as redis://127.0.0.1:6379 was expected"},
    ["an unknown option"] = {{url = "redis://h", host = "h"}, "host"},
    ["no table"] = {7, "genet.session.redis: a table was expected, not 7"},
    ["no connections"] = {{url = "redis://h", connections = 0}, "genet.session.redis"},
  } do
    it("is refused with " .. what, function()
      local ok, err = pcall(redis.new, case[1])
      assert.is_false(ok)
      assert.matches(case[2], err)
    end)
  end
end)
