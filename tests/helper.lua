--- What busted is taught before it runs the tests.
local busted = require "busted"

-- Calls all of them, the last first, and then raises the first error there was.
local function call_all(list)
  local failed, problem
  for at = #list, 1, -1 do
    local ok, err = pcall(list[at])
    if not ok and not failed then failed, problem = true, err end
  end
  if failed then error(problem, 0) end
end

-- A test may call `finally` more than once, itself or by a function that it calls: all of what it
-- asks for is done in the end. Of its own accord busted does only the last.
busted.subscribe({"test", "start"}, function(test)
  local only, list = test.env.finally, {}
  test.env.finally = function(fn)
    list[#list + 1] = fn
    only(function() call_all(list) end)
  end
end)
