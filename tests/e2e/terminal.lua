--- Runs the binary on a terminal of its own, as somebody who types would.
local support = require "tests.e2e.support"

local terminal = {}

local Terminal = {}
Terminal.__index = Terminal

--- Starts the binary with these arguments. `environment` adds variables.
function terminal.start(arguments, environment)
  local directory = support.directory()
  local words = {"exec", "env", "TERM=dumb", "GENET_HISTORY=" .. directory .. "/history"}
  for name, value in pairs(environment or {}) do
    words[#words + 1] = name .. "=" .. support.quote(value)
  end
  words[#words + 1] = support.quote(support.binary)
  for _, argument in ipairs(arguments) do words[#words + 1] = support.quote(argument) end
  local command = ("exec setpriv --pdeathsig KILL script -qefc %s %s/out >/dev/null")
    :format(support.quote(table.concat(words, " ")), directory)
  local self = setmetatable({directory = directory, at = 1}, Terminal)
  self.pipe = assert(io.popen(command, "w"))
  self.pipe:setvbuf("no")
  return self
end

--- What it has shown.
function Terminal:shown()
  return support.read_file(self.directory .. "/out")
end

--- Waits until it shows this plain text, after what was waited for before.
function Terminal:wait_for(text)
  support.wait_until(("%q on the terminal"):format(text), function()
    local _, last = self:shown():find(text, self.at, true)
    self.at = last and last + 1 or self.at
    return last
  end)
end

--- Types something, once the prompt is there.
function Terminal:type(text, prompt)
  self:wait_for(prompt or "> ")
  self.pipe:write(text)
end

--- Waits for its end and returns the exit status and what was typed before, as kept for later.
function Terminal:finish()
  local _, _, status = self.pipe:close()
  local history = support.read_file(self.directory .. "/history")
  support.remove(self.directory)
  return status, history
end

return terminal
