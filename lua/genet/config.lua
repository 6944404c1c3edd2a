--- The configuration of a site: `app.config`. All apps that are served together share one.
--
--     app.config:from_table{page_size = 20}          -- what holds unless somebody says otherwise
--     app.config:from_file("shop.lua", {silent = true})
--     local size = app.config.page_size
--
-- Names are in lower case; `app.config.SECRET_KEY` is `app.config.secret_key`. What Flask calls
-- otherwise is known by that name, too. A value comes from the last of these places that has one,
-- in whatever order they are read:
--
-- 1. Genet's own defaults;
-- 2. `from_table`, called by a script;
-- 3. a Lua file: `--config FILE`, or `GENET_CONFIG_FILE`, or `from_file`, called by a script;
-- 4. the environment, `GENET_SECRET_KEY=...`, and what a script reads by `from_env`;
-- 5. the command line, `--set secret_key=...`;
-- 6. a script that says `app.config.secret_key = ...`.
--
-- A Lua file returns a table, or sets global variables. In the environment and on the command line
-- a value of Genet's own has the type that it needs, sizes as in `8M`, lists with commas; any other
-- is read as JSON if it is such, else it is a text. `GENET_DB__HOST` is `app.config.db.host`. A
-- name that is almost one of Genet's own is warned of.
-- @module genet.config

local check = require "genet.check"
local core = require "genet.core"
local json = require "genet.json"
local log = require "genet.log"
local sources = require "genet.sources"

local config = {}

-- What Genet itself reads -----------------------------------------------------------------------

local TYPES = {
  secret_key = "keys",
  session_cookie_name = "string",
  session_cookie_domain = "string",
  session_cookie_path = "string",
  session_cookie_samesite = "string",
  session_cookie_secure = "boolean",
  session_lifetime = "number",
  session_refresh = "boolean",
  form_origins = "list",
  max_body = "size",
  max_form_parts = "count",
  max_form_files = "count",
  max_form_memory_size = "size",
  max_part_head = "size",
  max_json_size = "size",
  max_json_depth = "count",
  trusted_proxies = "list",
  server_name = "string",
  preferred_url_scheme = "string",
  static_max_age = "number",
  gzip_min = "size",
  gzip_level = "count",
  template_folder = "string",
  template_undefined = "string",
  template_autoescape = "boolean",
  template_trim_blocks = "boolean",
  template_lstrip_blocks = "boolean",
  template_keep_trailing_newline = "boolean",
  config_file = "string",
  debug = "boolean",
  testing = "boolean",
}

local DEFAULTS = {
  session_cookie_name = "session",
  session_cookie_path = "/",
  session_cookie_samesite = "Lax",
  max_form_parts = 1000,
  max_form_files = 100,
  max_form_memory_size = 500000,
  max_part_head = 8192,
  max_json_depth = 1000,
  preferred_url_scheme = "http",
  gzip_min = 1400,
  gzip_level = 5,
  template_folder = "templates",
  debug = false,
  testing = false,
}

-- Flask's words.
local ALIASES = {
  permanent_session_lifetime = "session_lifetime",
  session_refresh_each_request = "session_refresh",
  max_content_length = "max_body",
  send_file_max_age_default = "static_max_age",
}

local function canonical(name)
  if type(name) ~= "string" then return name end
  name = name:lower()
  return ALIASES[name] or name
end

-- Values ------------------------------------------------------------------------------------------

local UNITS = {[""] = 1, K = 1 << 10, M = 1 << 20, G = 1 << 30}
local TRUTH = {
  ["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false,
}

local EXPECTED = {
  boolean = "true or false", number = "a number", count = "a whole number", keys = "a string",
  size = "a number of bytes such as 500K or 8M", list = "texts with commas between",
}

local read = {}

function read.string(text) return text end

function read.boolean(text) return TRUTH[text:lower()] end

function read.number(text) return tonumber(text) end

function read.count(text) return math.tointeger(tonumber(text)) end

function read.size(text)
  local digits, unit = text:match("^(%d+)([KMG]?)$")
  return digits and math.tointeger(tonumber(digits)) and tonumber(digits) * UNITS[unit] or nil
end

-- A list of strings as JSON, or with commas between.
function read.list(text)
  if text:find("^%s*%[") then return json.decode(text) end
  local list = {}
  for item in text:gmatch("[^,]+") do list[#list + 1] = item:match("^%s*(.-)%s*$") end
  return list
end

function read.keys(text)
  local list = text:find('^%["') and json.decode(text)
  return type(list) == "table" and list or text
end

-- A text of the environment or the command line as a value; `where` is for the error.
local function read_text(name, text, where)
  local kind = TYPES[name]
  if not kind then
    local value = json.decode(text)
    if value == nil then return text end
    return value
  end
  local value = read[kind](text)
  if value ~= nil then return value end
  error(("%s: %s was expected, not '%s'"):format(where, EXPECTED[kind], text), 0)
end

local LUA_TYPES = {
  boolean = {boolean = true}, number = {number = true}, count = {number = true},
  size = {number = true}, string = {string = true}, list = {table = true, string = true},
  keys = {table = true, string = true},
}

-- What a script or a file gives for one of Genet's own names.
local function check_value(name, value, where)
  local kind = TYPES[name]
  if not kind or value == nil then return value end
  if kind == "list" and type(value) == "string" then return read.list(value) end
  if LUA_TYPES[kind][type(value)] then return value end
  error(("%s: '%s': %s was expected, not a %s"):format(where, name, EXPECTED[kind] or "a string",
    type(value)), 0)
end

-- Names that are almost Genet's own -----------------------------------------------------------

-- How many letters have to be changed, added or left out to make one word of the other.
local function distance(one, other)
  local row = {}
  for at = 0, #other do row[at] = at end
  for i = 1, #one do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #other do
      local cost = one:byte(i) == other:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#other]
end

local function nearest(name)
  local best, least
  for _, names in ipairs{TYPES, ALIASES} do
    for known in pairs(names) do
      local steps = #known >= 6 and math.abs(#known - #name) <= 2 and distance(name, known)
      if steps and steps <= 2 and (not best or steps < least) then best, least = known, steps end
    end
  end
  return best
end

local function warn_of_typo(state, name, where)
  if type(name) ~= "string" or TYPES[name] or state.warned[name] then return end
  local known = nearest(name)
  if not known then return end
  state.warned[name] = true
  log.warn("%s: Genet knows no '%s': is '%s' meant?", where, name, known)
end

-- Layers --------------------------------------------------------------------------------------

local DEFAULT, TABLE, FILE, ENVIRONMENT, COMMAND, ASSIGNED = 1, 2, 3, 4, 5, 6

local function state_of(self)
  local meta = getmetatable(self)
  return type(meta) == "table" and meta.state
    or error("the configuration was expected: write app.config:from_file, with a colon", 3)
end

local function merge(state)
  local values = {}
  for layer = DEFAULT, ASSIGNED do
    for name, value in pairs(state.layers[layer]) do values[name] = value end
  end
  state.values = values
end

local methods = {}

-- `given` is a table by any spelling of the names.
local function set_all(state, layer, given, where)
  for name, value in pairs(given) do
    local plain = canonical(name)
    if methods[plain] then
      error(("%s: the configuration has a method '%s': choose another name")
        :format(where, plain), 0)
    end
    warn_of_typo(state, plain, where)
    state.layers[layer][plain] = check_value(plain, value, where)
  end
  merge(state)
end

-- Puts a value under `a__b__c` where it belongs.
local function set_text(state, layer, name, text, where)
  local plain = canonical(name)
  if TYPES[plain] or not plain:find("__", 2, true) then
    return set_all(state, layer, {[plain] = read_text(plain, text, where)}, where)
  end
  local first, rest = plain:match("^(.-)__(.+)$")
  local top = {}
  local old = state.layers[layer][first] or state.values[first]
  for key, value in pairs(type(old) == "table" and old or {}) do top[key] = value end
  local inner = top
  for key in rest:gmatch("(.-)__") do
    inner[key] = type(inner[key]) == "table" and inner[key] or {}
    inner = inner[key]
  end
  inner[rest:match("__([^_].*)$") or rest] = read_text(plain, text, where)
  set_all(state, layer, {[first] = top}, where)
end

-- Methods -------------------------------------------------------------------------------------

--- Takes values that hold unless a file, the environment or the command line says otherwise.
-- @function config:from_table
-- @tparam table values by name
-- @usage app.config:from_table{page_size = 20, session_lifetime = 86400}
function methods:from_table(values)
  local state = state_of(self)
  check.type(values, "app.config:from_table", "table")
  local ok, problem = pcall(set_all, state, TABLE, values, "app.config:from_table")
  if not ok then error(problem, 2) end
end

local function beside_scripts(path)
  if path:sub(1, 1) == "/" then return path end
  return require("genet.loader").directory() .. "/" .. path
end

local function run_file(path)
  local globals = {}
  local chunk, problem = sources.load(path, "t", setmetatable(globals, {__index = _G}))
  if not chunk then error(problem, 0) end
  local returned = chunk()
  setmetatable(globals, nil)
  if returned == nil then return globals end
  if type(returned) == "table" then return returned end
  error(("%s: the file returned a %s: a table, or nothing, was expected")
    :format(path, type(returned)), 0)
end

local function read_file(state, path)
  if not path:find("%.json$") then return set_all(state, FILE, run_file(path), path) end
  local value, problem = json.decode(assert(sources.read(path)))
  if type(value) ~= "table" then
    error(("%s: %s"):format(path, problem or "an object was expected"), 0)
  end
  set_all(state, FILE, value, path)
end

--- Reads a Lua file, which returns a table or sets global variables, or a file of JSON. It is
-- watched like a script.
-- @function config:from_file
-- @tparam string path a relative one is beside the scripts
-- @tparam[opt] table options `silent`, to do without one that is not there
-- @treturn boolean whether it was there
-- @raise when it is not there, or has an error
-- @usage app.config:from_file("shop.conf.lua", {silent = true})
function methods:from_file(path, options)
  local state = state_of(self)
  check.type(path, "app.config:from_file", "string")
  options = check.options(options, "app.config:from_file", {silent = "boolean"})
  path = beside_scripts(path)
  if not sources.read(path) then
    if options.silent then return false end
    error(("the file of the configuration '%s' cannot be read"):format(path), 2)
  end
  read_file(state, path)
  return true
end

--- Reads variables of the environment whose names begin alike.
-- @function config:from_env
-- @tparam ?string prefix `"GENET_"`, which is read anyway, unless told
-- @usage app.config:from_env("SHOP_") -- SHOP_PAGE_SIZE=20
function methods:from_env(prefix)
  local state = state_of(self)
  prefix = check.type(prefix or "GENET_", "app.config:from_env", "string")
  for _, line in ipairs(core.environment()) do
    local name, text = line:match("^([^=]+)=(.*)$")
    if name and #name > #prefix and name:sub(1, #prefix) == prefix then
      set_text(state, ENVIRONMENT, name:sub(#prefix + 1), text, name)
    end
  end
end

--- A value that must be there.
-- @function config:required
-- @tparam string name
-- @return its value
-- @raise when nobody has set it, saying how to
-- @usage local address = app.config:required("database")
function methods:required(name)
  local value = state_of(self).values[canonical(name)]
  if value ~= nil then return value end
  error(("the configuration has no '%s': set it in a file given by --config, by GENET_%s in the "
    .. "environment, or by --set %s=..."):format(name, name:upper(), name), 2)
end

local function get(self, name)
  return methods[name] or getmetatable(self).state.values[canonical(name)]
end

local function assign(self, name, value)
  local ok, problem = pcall(set_all, getmetatable(self).state, ASSIGNED, {[name] = value},
    "app.config")
  if not ok then error(problem, 2) end
end

local function each(self)
  return next, getmetatable(self).state.values, nil
end

--- A configuration that has the defaults only.
-- @treturn Config
-- @usage local settings = config.new()
function config.new()
  local state = {layers = {DEFAULTS, {}, {}, {}, {}, {}}, values = {}, warned = {}}
  merge(state)
  return setmetatable({}, {
    __name = "genet.config",
    __index = get,
    __newindex = assign,
    __pairs = each,
    state = state,
  })
end

-- Of the scripts that are loaded together, of which a Lua state has one set.
local site

--- The configuration of the scripts that are loaded.
-- @treturn Config
-- @usage config.site().max_form_parts
function config.site()
  return site or config.load()
end

local function read_lines(state, lines)
  for _, line in ipairs(lines) do
    local name, text = line:match("^([%a_][%w_]*)=(.*)$")
    if not name then error(("'%s' is no NAME=VALUE"):format(line), 0) end
    set_text(state, COMMAND, name, text, "--set " .. name)
  end
end

--- Makes the configuration anew, from the environment, the command line and the file that they
-- name.
-- @tparam ?{string,...} lines `NAME=VALUE`, of the command line
-- @treturn Config
-- @raise when one of them is wrong
-- @usage config.load{"secret_key=0123456789abcdef"}
function config.load(lines)
  site = config.new()
  local state = getmetatable(site).state
  site:from_env()
  read_lines(state, lines or {})
  local path = site.config_file
  if path and not sources.read(path) then
    error(("the file of the configuration '%s' cannot be read"):format(path), 0)
  end
  if path then read_file(state, path) end
  return site
end

return config
