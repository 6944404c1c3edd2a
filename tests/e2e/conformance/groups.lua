--- All groups of cases, in the order of a request.
local names = {
  "beginnings", "early", "request_line", "methods", "targets", "escapes", "versions", "headers",
  "hosts", "lengths", "codings", "chunks", "smuggling", "limits", "defaults", "large",
  "expectations", "pipelines", "connections", "bodiless", "responses",
}

local groups = {}
for i, name in ipairs(names) do
  groups[i] = require("tests.e2e.conformance." .. name)
  groups[i].name = name
end

return groups
