--- The command line, in the manner of Flask-Script.
-- @module genet.cli

local argparse = require "argparse"
local core = require "genet.core"
local lfs = require "lfs"

local cli = {}

local UNITS = {[""] = 1, K = 1024, M = 1024 ^ 2, G = 1024 ^ 3}
local LEVELS = {error = true, warn = true, info = true, debug = true}

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
  command:flag("--no-patch", "Leave io and os as Lua has them; see 'genet patches'.")
end

local function add_runserver(parser)
  local command = parser:command("runserver", "Serve a script, or every *.lua in a directory.")
  command:add_help("-? --help")
  command:argument("path", "The script or the directory."):default("scripts")
  command:option("-h --host", "The address to listen on. (default: 127.0.0.1)")
  option(command, "-p --port", "The port to listen on; 0 takes a free one. (default: 5000)",
    integer(0, 65535))
  command:flag("-d --debug", "For who writes scripts: reload on changes, show errors in pages.")
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
  command:option("--control", "Where to listen for 'genet reload' and 'genet status'. "
    .. "(default: PID.sock in $XDG_RUNTIME_DIR/genet or /tmp/genet-UID)"):argname("<path>")
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
  option(command, "--worker", "The worker, of several; 'workers' lists them.", integer(0, 65535))
    :argname("<n>"):default("0")
  command:option("-e --execute", "Run this command, or Lua code, and end. May be given again.")
    :argname("<command>"):count("*")
end

local function new_parser(name)
  local parser = argparse(name, "Lua routes in blocking style, thousands at once on one thread.")
  parser:add_help("-? --help")
  parser:flag("--version", "Show the version and exit."):action(function()
    print("genet " .. core.version)
    os.exit(0, true)
  end)
  parser:command_target("command")
  add_runserver(parser)
  add_run(parser)
  add_patches(parser)
  add_control(parser, "reload", "Have the running host load its scripts again, and wait for it.")
  add_control(parser, "status", "Tell how the running host does.")
  add_attach(parser)
  return parser
end

local function refuse(message)
  io.stderr:write("genet: ", (message:gsub("\n", "; ")), "\n")
  os.exit(2, true)
end

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

local TAKES_VALUE = {["--slice-ms"] = true, ["--cpu-limit"] = true} -- of `genet run`

-- What follows the file of `genet run FILE` is the script's, options and all.
local function split(args)
  local ours, theirs = table.move(args, 1, #args, 1, {}), {}
  if args[1] ~= "run" then return ours, theirs end
  for at = 2, #args do
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

-- What app.config is told, as NAME=VALUE.
local function configuration(options)
  local proxies = options.trusted_proxy
  return #proxies > 0 and {"trusted_proxies=" .. table.concat(proxies, ",")} or {}
end

local function check_there(path, wanted)
  local mode = lfs.attributes(path, "mode")
  if not mode then refuse(("'%s': no such file or directory"):format(path)) end
  if wanted and mode ~= wanted then refuse(("'%s' is not a %s"):format(path, wanted)) end
end

--- Reads the command line. Prints and exits for help and version (0), and for misuse (2).
-- @tparam {string,...} args as in `arg`: the program's name is at 0
-- @treturn table `command` with the options of that command
-- @usage cli.parse{"runserver", "-p", "8000", [0] = "genet"}.listen --> {"127.0.0.1:8000"}
function cli.parse(args)
  local ours, theirs = split(args)
  local ok, options = new_parser("genet"):pparse(ours)
  if not ok then refuse(options) end
  if options.command == "run" then
    check_there(options.file, "file")
    options.args = theirs
    options.patch = not options.no_patch
  elseif options.command == "runserver" then
    check_there(options.path)
    check_tls(options)
    options.listen = addresses(options)
    options.config = configuration(options)
    options.patch = not options.no_patch
    choose_access_log(options)
    options.reload = (options.reload or options.debug) and not options.no_reload
  end
  if options.command == "attach" then
    options.target = options.target or options.control
    options.worker = ("%d"):format(options.worker)
  end
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
