-- Writes the manual page and the completion files: `genet run host/manual.lua DIRECTORY`.
local cli = require "genet.cli"
local manual = require "genet.manual"

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

local directory = assert((...), "a directory was expected")
write(directory .. "/genet.1", manual.page(cli.parser()))
write(directory .. "/genet.bash", manual.completion(cli.parser(), "bash"))
write(directory .. "/_genet", manual.completion(cli.parser(), "zsh"))
write(directory .. "/genet.fish", manual.completion(cli.parser(), "fish"))
