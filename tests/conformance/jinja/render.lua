-- Renders the templates of its input: a line of JSON for each, `{template, vars}`, and one of
-- output, whether it was rendered and the text or the error. Run from the root of the repository.
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
local json = require "genet.json"
local template = require "genet.template"

local env = template.new()

for line in io.lines() do
  local case = assert(json.decode(line))
  local rendered, text = pcall(env.render_string, env, case.template, case.vars)
  print(json.encode{rendered, text})
end
