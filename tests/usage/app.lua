-- Runs the examples of a module's documentation, each as part of a request that a test client
-- makes: `genet -C tests/usage examples lua/genet/text.lua`. Prints a line for each that fails, and
-- how many there were. What examples take for granted is in `surroundings.lua`.
local genet = require "genet"
local surroundings = require "lib.surroundings"
local test = require "genet.test"

local PATIENCE = 50 -- seconds, which pass at once where all sleep

local app = genet.app()

app:get("/item/<int:id>", {name = "item"}, function(_, id) return {id = id} end)

-- The examples of a file: each is a list of lines, and `line`, the number of the first.
local function examples(path)
  local list, current, number = {}, nil, 0
  for line in io.lines(path) do
    number = number + 1
    local first = line:match("^%-%-%-? @usage (.*)$")
    local more = current and line:match("^%-%- (.*)$")
    if first then
      current = {line = number, first}
      list[#list + 1] = current
    elseif more and not more:find("^@") then
      current[#current + 1] = more
    else
      current = nil
    end
  end
  return list
end

-- The code, and what it says to result in.
local function parts_of(example)
  local text = table.concat(example, "\n")
  local code, result = text:match("^(.-)%s*%-%-> (.*)$")
  return code or text, result
end

-- What its last line results in, the code returns, if that is an expression.
local function compile(code, env)
  local before, last = code:match("^(.*\n)([^\n]*)$")
  return load("return " .. code, "=usage", "t", env)
    or before and load(before .. "return " .. last, "=usage", "t", env)
    or assert(load(code, "=usage", "t", env))
end

local function is_same(one, other)
  if type(one) ~= "table" or type(other) ~= "table" then return one == other end
  for key, value in pairs(one) do
    if not is_same(value, other[key]) then return false end
  end
  for key in pairs(other) do
    if one[key] == nil then return false end
  end
  return true
end

local function check(got, expected)
  got.n, expected.n = nil, nil
  if is_same(got, expected) then return end
  local shown = {}
  for _, values in ipairs{got, expected} do
    shown[#shown + 1] = require("genet.pretty").text(values)
  end
  return ("%s came, not %s"):format(table.unpack(shown))
end

-- Runs an example until it has ended, or waits for what will not come. Errors that are objects are
-- what an example is about.
local function run(code, result, env)
  local expected = result and table.pack(compile(result, env)())
  local task = genet.spawn(function()
    local got = table.pack(xpcall(compile(code, env), function(err)
      return type(err) == "string" and debug.traceback(err) or err
    end))
    local failed = not got[1] and type(got[2]) == "string" and not got[2]:find("^cancelled")
    if failed then return got[2] end
    if expected and got[1] then return check(table.pack(table.unpack(got, 2, got.n)), expected) end
  end)
  local ok, problem = task:wait(PATIENCE)
  task:cancel()
  if ok or problem ~= "timeout" then return problem end
end

app:command("examples", {args = {"file"}}, function(args)
  local exit = os.exit
  os.exit = function() error({}, 0) end -- luacheck: ignore 122
  test.clock:skip()
  assert(require("lfs").chdir(require("genet.loader").directory()))
  local name = args.file:match("lua/genet/(.*)%.lua$"):gsub("/", ".")
  local failed, list = 0, examples(args.file)
  for _, example in ipairs(list) do
    local code, result = parts_of(example)
    local ok, problem = pcall(surroundings.within, name, code, function(env)
      local upstream = surroundings.upstream
      return run(upstream and code:gsub("https://api%.example%.com/v1/", upstream) or code, result,
        env)
    end)
    if not ok or problem then
      failed = failed + 1
      io.write(("%s:%d: %s\n"):format(args.file, example.line, problem))
    end
  end
  io.write(#list, " examples, ", failed, " failed\n")
  surroundings.stop()
  os.exit = exit -- luacheck: ignore 122
  return failed == 0
end)

return app
