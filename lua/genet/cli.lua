--- The command line, in the manner of Flask-Script.
-- @module genet.cli

local argparse = require "argparse"
local core = require "genet.core"
local lfs = require "lfs"

local cli = {}

local ENOENT = 2
local IMPLIED = {["--threaded"] = "--threaded=32"} -- what an option alone stands for
local UNITS = {[""] = 1, K = 1024, M = 1024 ^ 2, G = 1024 ^ 3}
local LEVELS = {error = true, warn = true, info = true, debug = true}

-- The verbs that are written in Lua; each is a module: see `genet.manager`.
local COMMANDS = {"shell", "routes", "check", "test", "new"}

local function integer(low, high)
  return function(text)
    local value = text:find("^%d+$") and math.tointeger(tonumber(text))
    if value and value >= low and value <= high then return value end
    return nil, ("'%s' is not a number from %d to %d"):format(text, low, high)
  end
end

local function seconds(text)
  local value = text:find("^%d*%.?%d*$") and tonumber(text)
  if value then return value end
  return nil, ("'%s' is not a number of seconds"):format(text)
end

-- A number of processes; "auto" is one for each processor.
local function processes(text)
  if text == "auto" then return math.min(core.processors(), 1024) end
  local value = integer(1, 1024)(text)
  if value then return value end
  return nil, ("'%s' is not a number from 1 to 1024, nor 'auto'"):format(text)
end

local function size(text)
  local number, unit = text:match("^(%d+)([KMG]?)$")
  local value = number and math.tointeger(tonumber(number) * UNITS[unit])
  if value then return value end
  return nil, ("'%s' is not a size such as 500K, 8M or 1G"):format(text)
end

local function level(text)
  if LEVELS[text] then return text end
  return nil, ("'%s' is not error, warn, info or debug"):format(text)
end

local function setting(text)
  if text:find("^[%a_][%w_]*=") then return text end
  return nil, ("'%s' is no NAME=VALUE"):format(text)
end

local FORMATS = {common = true, combined = true, json = true, dev = true}

local function log_format(text)
  if FORMATS[text] or text:find("$", 1, true) then return text end
  return nil, ("'%s' is not common, combined, json, dev, nor has it a $variable"):format(text)
end

local function proxy_range(text)
  local range, problem = require("genet.address").range(text)
  if range then return text end
  return nil, problem
end

local function debug_range(text)
  if text == "any" or proxy_range(text) then return text end
  return nil, ("'%s' is not an address, ADDR/BITS, unix or any"):format(text)
end

-- An option whose bad values are told together with its name.
local function option(command, names, description, convert)
  local name = names:match("%-%-%S+")
  return command:option(names, description):convert(function(text)
    local value, problem = convert(text)
    if value then return value end
    return nil, ("option '%s': %s"):format(name, problem)
  end)
end

-- What `runserver` and `run` have in common.
local function add_common(command, cpu_limit)
  option(command, "--slice-ms", "How long Lua code may compute before others run; 0 for ever.",
    integer(0, 3600000)):argname("<ms>"):default("50")
  option(command, "--cpu-limit", "How much processor time a request or task may use; 0 for no "
    .. "limit.", seconds):argname("<seconds>"):default(cpu_limit)
  command:option("--state", "Where genet.shared is kept on disk, a directory. (default: "
    .. "$GENET_STATE, else in memory)"):argname("<dir>")
  option(command, "--shared-memory", "How much the entries of genet.shared may take.", size)
    :argname("<size>"):default("64M")
  command:flag("--no-patch", "Leave io and os as Lua has them; see 'genet patches'.")
end

local function add_runserver(parser)
  local command = parser:command("runserver", "Serve a script, or every *.lua in a directory.")
  command:add_help("-? --help")
  command:argument("path", "The script or the directory. (default: scripts)"):args("?")
  command:option("-h --host", "The address to listen on. (default: 127.0.0.1)")
  option(command, "-p --port", "The port to listen on; 0 takes a free one. (default: 5000)",
    integer(0, 65535))
  command:flag("-d --debug", "For who writes scripts: reload on changes, show errors in pages.")
  option(command, "--debug-from", "Who else than this machine may see errors in pages: ADDR, "
    .. "ADDR/BITS, unix or any. May be given again.", debug_range):argname("<address>"):count("*")
  command:flag("-r --reload", "Load the scripts again when one has changed.")
  command:flag("-R --no-reload", "Do not, in spite of --debug.")
  command:option("--listen", "Listen on HOST:PORT, [IPV6]:PORT, unix:PATH[?mode=0660] or fd:N, "
    .. "an inherited socket. May be given again."):argname("<address>"):count("*")
  command:option("--cert", "A certificate with its chain, PEM; makes the address one of TLS. "
    .. "May be given again, for other names."):argname("<file>"):count("*")
  command:option("--key", "The key of the certificate, PEM."):argname("<file>"):count("*")
  command:option("--client-ca", "Clients must show a certificate of these authorities, PEM.")
    :argname("<file>")
  command:flag("--redirect-https", "Send plain requests to the address of TLS.")
  option(command, "--trusted-proxy", "Believe what this peer forwards of its clients: ADDR, "
    .. "ADDR/BITS or unix. May be given again.", proxy_range):argname("<address>"):count("*")
  option(command, "--max-connections", "The most connections at once.", integer(1, 65536))
    :argname("<n>"):default("10000")
  option(command, "--max-per-ip", "The most connections of one address; 0 for no limit.",
    integer(0, 65536)):argname("<n>"):default("0")
  option(command, "--max-body", "The largest body of a request.", size)
    :argname("<size>"):default("8M")
  option(command, "--max-head", "The largest head of a request.", size)
    :argname("<size>"):default("16K")
  option(command, "--head-timeout", "How long a head may take to come.", seconds)
    :argname("<seconds>"):default("10")
  option(command, "--keep-alive", "How long a connection may idle between requests.", seconds)
    :argname("<seconds>"):default("15")
  option(command, "--drain", "How long requests may go on once the server is told to stop.",
    seconds):argname("<seconds>"):default("30")
  option(command, "--ws-queue", "How much may wait for a WebSocket that reads slowly.", size)
    :argname("<size>"):default("1M")
  option(command, "--ws-ping", "How long a WebSocket may be silent until pinged; 0: for ever.",
    seconds):argname("<seconds>"):default("30")
  command:option("--bus", "Carry what is published to other hosts, through the Redis at "
    .. "redis://HOST:PORT."):argname("<url>")
  command:option("--config", "A Lua file with values for app.config."):argname("<file>")
  option(command, "-D --set", "A value for app.config, NAME=VALUE. May be given again.", setting)
    :argname("<setting>"):count("*")
  command:option("--control", "Where to listen for 'genet reload' and 'genet status'. "
    .. "(default: PID.sock in $XDG_RUNTIME_DIR/genet or /tmp/genet-UID)"):argname("<path>")
  option(command, "--threaded", "Serve with threads that each have a Lua state, which a slow "
    .. "call holds; 32 unless told as --threaded=N.", integer(1, 1024)):argname("<n>")
  option(command, "--processes", "Serve with processes that each do as one does without; auto: "
    .. "one for each processor.", processes):argname("<n>")
  option(command, "--load-timeout", "How long the scripts may take to load.", seconds)
    :argname("<seconds>"):default("10")
  add_common(command, "30")
  option(command, "--log-level", "What to log: error, warn, info or debug.", level)
    :argname("<level>"):default("info")
  command:option("--log-file", "Where to log: a file, opened anew on SIGUSR1, 'syslog' or "
    .. "'syslog:FACILITY'. (default: standard error)"):argname("<file>")
  command:option("--access-log", "Where a line for each request goes: the same, '-' for standard "
    .. "error, 'stdout', or 'off'. (default: off, but '-' on a terminal and with --debug)")
    :argname("<file>")
  option(command, "--log-format", "Of the access log: common, combined, json, dev, or variables "
    .. "such as '$status $request_time'; json is for the log, too. (default: dev on a terminal, "
    .. "else combined)", log_format):argname("<format>")
  command:flag("--request-id", "Tell the id of each request in X-Request-Id and in the log.")
end

local function add_run(parser)
  local command = parser:command("run", "Run a plain Lua script; ends when its tasks have ended.")
  command:add_help("-? --help")
  command:argument("file", "The script.")
  command:argument("args", "What the script finds in 'arg'."):args("*")
  add_common(command, "0")
end

local function add_patches(parser)
  local command = parser:command("patches", "List what is cooperative, and what blocks.")
  command:add_help("-? --help")
end

local function add_control(parser, name, description)
  local command = parser:command(name, description)
  command:add_help("-? --help")
  command:option("--control", "The host's control socket, where several run."):argname("<path>")
end

local function add_attach(parser)
  local command = parser:command("attach", "Open a console in a running host.")
  command:add_help("-? --help")
  command:argument("target", "Its PID, or the path of its control socket; needed where several "
    .. "run."):args("?")
  command:option("--control", "The same."):argname("<path>")
  option(command, "--worker", "Which of several; 'workers' lists them. (default: 0)",
    integer(0, 65535)):argname("<n>")
  command:option("-e --execute", "Run this command, or Lua code, and end. May be given again.")
    :argname("<command>"):count("*")
end

local function add_commands(parser)
  for _, name in ipairs(COMMANDS) do
    local module = require("genet.command." .. name)
    local command = parser:command(name, module.summary)
    command:add_help("-? --help")
    module.define(command)
  end
end

local function names_in(parser)
  local names = {}
  for _, command in ipairs(parser._commands) do names[command._name] = true end
  return names
end

--- The parser of the whole command line.
-- @tparam ?App app whose commands are verbs, too
-- @treturn table of argparse
-- @usage print(cli.parser():get_help())
function cli.parser(app)
  local parser = argparse("genet",
    "Lua routes in blocking style, thousands at once on one thread.")
  parser:add_help("-? --help")
  parser:flag("--version", "Show the version and exit."):action(function()
    print("genet " .. core.version)
    os.exit(0)
  end)
  parser:option("-C --site", "The script or the directory to serve, or whose commands to run. "
    .. "(default: scripts)"):argname("<path>")
  parser:command_target("command")
  add_runserver(parser)
  add_run(parser)
  add_patches(parser)
  add_control(parser, "reload", "Have the running host load its scripts again, and wait for it.")
  add_control(parser, "status", "Tell how the running host does.")
  add_attach(parser)
  add_commands(parser)
  if app then require("genet.command").add_all(parser, app.commands, names_in(parser)) end
  return parser
end

--- Tells of a mistake in the command line, and exits with 2.
-- @tparam string message
-- @usage cli.refuse("option '--count' belongs to 'seed'")
function cli.refuse(message)
  io.stderr:write("genet: ", (message:gsub("\n", "; ")), "\n")
  os.exit(2)
end

local refuse = cli.refuse

-- The addresses to listen on; --host and --port make one more, and the only one unless told.
local function addresses(options)
  local list = options.listen
  if #list > 0 and not options.host and not options.port then return list end
  local host = options.host or "127.0.0.1"
  local address = host:find(":", 1, true) and "[" .. host .. "]" or host
  local scheme = #options.cert > 0 and "https://" or ""
  table.insert(list, 1, scheme .. address .. ":" .. (options.port or 5000))
  return list
end

-- Options of app:run --------------------------------------------------------------------------

local function find_option(command, alias)
  for _, candidate in ipairs(command._options) do
    for _, known in ipairs(candidate._aliases) do
      if known == alias and alias ~= "--help" then return candidate end
    end
  end
end

local function misfit(name, wanted, value)
  error(("option '%s': %s was expected, not a %s"):format(name, wanted, type(value)), 0)
end

local function text_of(name, value)
  if type(value) == "string" then return value end
  if type(value) ~= "number" then misfit(name, "a string or a number", value) end
  return math.tointeger(value) and ("%d"):format(value) or ("%.9f"):format(value)
end

local function add_flag(words, name, value, positive, negative)
  if type(value) ~= "boolean" then misfit(name, "true or false", value) end
  words[#words + 1] = value and positive or not value and negative or nil
end

local function add_value(words, found, name, alias, value)
  if type(value) == "boolean" and (IMPLIED[alias] or not value) then
    return add_flag(words, name, value, IMPLIED[alias])
  end
  local list = type(value) == "table" and found._maxcount > 1 and value or {value}
  for _, item in ipairs(list) do words[#words + 1] = alias .. "=" .. text_of(name, item) end
end

local function add_option(words, command, name, value)
  local dashed = tostring(name):gsub("_", "-")
  local alias, opposite = "--" .. dashed, "--no-" .. dashed
  local found, negative = find_option(command, alias), find_option(command, opposite)
  if not found and not negative or type(name) ~= "string" then
    error(("unknown option '%s'"):format(tostring(name)), 0)
  end
  if found and found._maxargs > 0 then return add_value(words, found, name, alias, value) end
  add_flag(words, name, value, found and alias, negative and opposite)
end

local function runserver_of(parser)
  for _, command in ipairs(parser._commands) do
    if command._name == "runserver" then return command end
  end
end

--- Options of `genet runserver` that were given in a table, as words of a command line.
-- @tparam table given by their long names, with `_` for `-`
-- @treturn {string,...}
-- @raise when one is unknown or wrong
-- @usage cli.run_arguments{port = 8000, patch = false} --> {"--no-patch", "--port=8000"}
function cli.run_arguments(given)
  local parser, words, names = cli.parser(), {}, {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    add_option(words, runserver_of(parser), name, given[name])
  end
  local ok, problem = parser:pparse{"runserver", ".", table.unpack(words)}
  if ok then return words end
  error((problem:gsub("%-%-([%w-]+)", function(name) return (name:gsub("-", "_")) end)), 0)
end

-- The command line ----------------------------------------------------------------------------

local TAKES_VALUE = { -- of `genet run`
  ["--slice-ms"] = true,
  ["--cpu-limit"] = true,
  ["--state"] = true,
  ["--shared-memory"] = true,
}

-- What stands before the verb: whether help is asked for, the site that -C names, and where the
-- verb is.
local function before_verb(args)
  local at, help, site = 1, false, nil
  while args[at] and args[at]:sub(1, 1) == "-" do
    local word = args[at]
    if word == "-?" or word == "--help" then help = true end
    if word == "-C" or word == "--site" then
      at, site = at + 1, args[at + 1]
    else
      site = word:match("^%-%-site=(.*)") or word:match("^%-C(.+)") or site
    end
    at = at + 1
  end
  return help, site, at
end

local function split_at_dashes(args)
  for at, word in ipairs(args) do
    if word == "--" then
      return table.move(args, 1, at - 1, 1, {}), table.move(args, at + 1, #args, 1, {})
    end
  end
  return table.move(args, 1, #args, 1, {}), {}
end

-- What follows the file of `genet run FILE` is the script's, options and all; and what follows `--`
-- of `genet test` is busted's.
local function split(args)
  local ours, theirs = {}, {}
  for at, word in ipairs(args) do -- argparse would take the path for the number
    ours[at] = IMPLIED[word] or word
  end
  local _, _, verb = before_verb(args)
  if args[verb] == "test" then return split_at_dashes(args) end
  if args[verb] ~= "run" then return ours, theirs end
  for at = verb + 1, #args do
    if args[at]:sub(1, 1) ~= "-" and not TAKES_VALUE[args[at - 1]] then
      table.move(args, at + 1, #args, 1, theirs)
      return table.move(args, 1, at, 1, {}), theirs
    end
  end
  return ours, theirs
end

local function check_tls(options)
  if #options.cert ~= #options.key then
    refuse("each --cert needs a --key, and each --key a --cert")
  end
  local wish = options.client_ca and "--client-ca" or options.redirect_https and "--redirect-https"
  if wish and #options.cert == 0 then refuse(wish .. " needs a --cert") end
end

-- Where the access log goes, and how its lines look. People read what goes to a terminal.
local function choose_access_log(options)
  local watched = core.is_terminal(2)
  local where = options.access_log or (options.debug or watched) and "-" or "off"
  local format = options.log_format
  options.log_json = format == "json"
  options.access_log = where ~= "off" and where or nil
  local for_people = where == "-" and (watched or options.debug and not options.log_file)
  options.access_format = format or (for_people and "dev" or "combined")
end

local function is_there(path, mode)
  return lfs.attributes(path, "mode") == mode
end

--- Which site is meant: the one named, else `scripts`, else the directory one is in if that has an
-- `app.lua`, as `genet new` makes it.
-- @tparam ?string path
-- @treturn string
-- @usage loader.load(cli.site(options.path))
function cli.site(path)
  if path then return path end
  return not is_there("scripts", "directory") and is_there("app.lua", "file") and "." or "scripts"
end

local function check_modes(options)
  local mode = options.threaded and "--threaded" or options.processes and "--processes"
  if options.threaded and options.processes then
    refuse("--threaded and --processes exclude each other")
  elseif mode and options.debug then
    refuse(mode .. " does not go with --debug")
  end
end

-- What app.config is told, as NAME=VALUE.
local function configuration(options)
  local lines = options.set
  if options.config then table.insert(lines, 1, "config_file=" .. options.config) end
  for name, values in pairs{trusted_proxies = options.trusted_proxy,
      debug_from = options.debug_from} do
    if #values > 0 then lines[#lines + 1] = name .. "=" .. table.concat(values, ",") end
  end
  return lines
end

local function check_there(path, wanted)
  local mode, problem, code = lfs.attributes(path, "mode")
  if not mode then
    local why = code == ENOENT and "no such file or directory" or problem:match("[^:]*$"):sub(2)
    refuse(("'%s': %s"):format(path, why))
  end
  if wanted and mode ~= wanted then refuse(("'%s' is not a %s"):format(path, wanted)) end
  if mode ~= "file" and mode ~= "directory" then
    refuse(("'%s' is neither a file nor a directory"):format(path))
  end
end

local function check_state(options)
  local state = options.state or os.getenv("GENET_STATE")
  options.state = state ~= "" and state or nil
  if options.state then check_there(options.state, "directory") end
end

local FINISH = {}

function FINISH.run(options, theirs)
  check_there(options.file, "file")
  check_state(options)
  options.args = theirs
  options.patch = not options.no_patch
end

function FINISH.runserver(options)
  options.path = cli.site(options.path or options.site)
  check_there(options.path)
  check_state(options)
  check_tls(options)
  check_modes(options)
  if options.config then check_there(options.config, "file") end
  if #options.debug_from > 0 and not options.debug then refuse("--debug-from needs --debug") end
  options.listen = addresses(options)
  options.config = configuration(options)
  options.patch = not options.no_patch
  options.threads = options.threaded or 0
  options.processes = options.processes or 0
  choose_access_log(options)
  options.reload = (options.reload or options.debug) and not options.no_reload
end

function FINISH.attach(options)
  options.target = options.target or options.control
  options.worker = options.worker and ("%d"):format(options.worker) or ""
end

for _, name in ipairs(COMMANDS) do
  FINISH[name] = function(options, theirs)
    options.path = options.path or options.site
    options.args = theirs
  end
end

--- Reads the command line. Prints and exits for help and version (0), and for misuse (2).
-- @tparam {string,...} args as in `arg`: the program's name is at 0
-- @tparam ?App app whose commands are among the verbs
-- @treturn table `command` with the options of that command; without a `command` when the site at
--   `site` has to be loaded to tell
-- @usage cli.parse{"runserver", "-p", "8000", [0] = "genet"}.listen --> {"127.0.0.1:8000"}
function cli.parse(args, app)
  local ours, theirs = split(args)
  local help, site = before_verb(ours)
  if help and not app then return {site = site, help = true} end
  local ok, options = cli.parser(app):pparse(ours)
  if not ok and not app and options:find("^unknown command") then return {site = site} end
  if not ok then refuse(options) end
  local finish = FINISH[options.command]
  if finish then finish(options, theirs) end
  return options
end

--- Prints what is patched in Lua, and what still blocks, for `genet patches`.
-- @usage cli.print_patches()
function cli.print_patches()
  for _, row in ipairs(require("genet.patch").list()) do
    print(("%-24s %s: %s"):format(row.name, row.how, row.what))
  end
end

return cli
