--- The manual page and the completion files, made of what the parser of the command line knows, so
-- that they tell the truth. `genet run host/manual.lua DIRECTORY` writes them.
-- @module genet.manual

local core = require "genet.core"

local manual = {}

-- A text of roff: no line of it is a request.
local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n(['.])", "\n\\&%1")
    :gsub("^(['.])", "\\&%1"))
end

local function add(lines, format, ...)
  lines[#lines + 1] = format:format(...)
end

-- `-p <port>, --port <port>`
local function names_of(option)
  local names = {}
  local value = option._maxargs > 0 and " " .. (option._argname
    or "<" .. option._aliases[#option._aliases]:gsub("^%-+", "") .. ">") or ""
  for at, alias in ipairs(option._aliases) do names[at] = alias .. value end
  return table.concat(names, ", ")
end

local function describe(element)
  local text = element._description or ""
  local default = element._default
  if type(default) == "string" then text = ("%s (default: %s)"):format(text, default) end
  return text
end

local function add_entries(lines, parser)
  for _, argument in ipairs(parser._arguments) do
    add(lines, ".TP\n.I %s\n%s", roff(argument._name), roff(describe(argument)))
  end
  for _, option in ipairs(parser._options) do
    add(lines, ".TP\n.B %s\n%s", roff(names_of(option)), roff(describe(option)))
  end
end

local function add_command(lines, command)
  local usage = command:get_usage():gsub("^Usage: ", ""):gsub("%s+", " ")
  add(lines, ".SS genet %s\n%s\n.PP\n.nh\n.B %s\n.hy", roff(command._name),
    roff(command._description or ""), roff(usage))
  add_entries(lines, command)
end

local END = [[
.SH EXIT STATUS
0, 1 for a failure, 2 for a mistake in the command line. A command of a site may choose.
.SH ENVIRONMENT
.TP
.B GENET_SECRET_KEY
signs the cookies of sessions, where the script names no secret.
.TP
.B GENET_HISTORY
is the file in which the lines typed at the prompt of
.B genet shell
are kept; ~/.genet_history unless told.
.TP
.B GENET_LUA_DIR
is where the framework's Lua files are, if not where they were when the program was built.
.TP
.B XDG_RUNTIME_DIR
is where control sockets are, in the directory genet.
.SH SIGNALS
SIGTERM and SIGINT have the server finish what it has begun; a second one ends it at once. SIGHUP
loads the scripts again.
]]

--- The manual page, in roff.
-- @param parser of `genet.cli`
-- @treturn string
-- @usage io.write(manual.page(require("genet.cli").parser()))
function manual.page(parser)
  local lines = {}
  add(lines, ".TH GENET 1 \"\" \"genet %s\" \"User Commands\"", core.version)
  add(lines, ".SH NAME\ngenet \\- Lua web routes in blocking style, thousands at once")
  add(lines, ".SH SYNOPSIS\n.B genet\n%s", roff((parser:get_usage():gsub("^Usage: genet ", ""))))
  add(lines, ".SH DESCRIPTION\nServes web routes written in Lua: handlers wait as if they blocked, "
    .. "while one thread serves all.\nThe commands that scripts add with \\fBapp:command\\fR are "
    .. "commands of genet, too: \\fBgenet \\-\\-help\\fR lists them.")
  add(lines, ".SH OPTIONS")
  add_entries(lines, parser)
  add(lines, ".SH COMMANDS")
  for _, command in ipairs(parser._commands) do add_command(lines, command) end
  return table.concat(lines, "\n") .. "\n" .. END
end

-- To a shell `-?` is a pattern: argparse writes no completion for it.
local function forget_question_mark(parser)
  for _, option in ipairs(parser._options) do
    for at, alias in ipairs(option._aliases) do
      if alias == "-?" then table.remove(option._aliases, at) end
    end
    if option._name == "-?" then option._name = option._aliases[1] end
  end
  for _, command in ipairs(parser._commands) do forget_question_mark(command) end
end

--- A completion file.
-- @param parser of `genet.cli`; it is of no other use afterwards
-- @tparam string shell `"bash"`, `"zsh"` or `"fish"`
-- @treturn string
-- @usage io.write(manual.completion(require("genet.cli").parser(), "bash"))
function manual.completion(parser, shell)
  forget_question_mark(parser)
  return parser["get_" .. shell .. "_complete"](parser)
end

return manual
