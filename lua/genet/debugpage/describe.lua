--- What a page about an error shows, as plain data: texts are cleaned, secrets masked.
-- @module genet.debugpage.describe

local Request = require "genet.request"
local core = require "genet.core"
local exchange = require "genet.exchange"
local repr = require "genet.debugpage.repr"
local secrets = require "genet.debugpage.secrets"
local source = require "genet.debugpage.source"

local describe = {}

local LONGEST_VALUE = 1000 -- bytes of a header or field
local LONGEST_MESSAGE = 20000

-- The error -----------------------------------------------------------------------------------

-- The type that the title of the page tells, and the text. Waits when a `__tostring` does.
local function error_of(err)
  local meta = debug.getmetatable(err)
  local class = type(meta) == "table" and rawget(meta, "__name")
  local ok, text = pcall(tostring, err)
  if type(err) == "table" and not (type(meta) == "table" and rawget(meta, "__tostring")) then
    ok, text = true, repr.of(err)
  end
  return {
    type = type(class) == "string" and repr.clean(class) or type(err) == "string" and "error"
      or "error of type " .. type(err),
    message = ok and repr.brief(text, LONGEST_MESSAGE)
      or "its __tostring fails: " .. repr.brief(tostring(text), LONGEST_MESSAGE),
  }
end

-- Frames --------------------------------------------------------------------------------------

local function title_of(frame)
  if frame.kind == "c" then return "[C]: " .. (frame.name or "?") end
  if frame.main and frame.kind ~= "template" then return "main chunk" end
  return frame.name or "function at line " .. frame.first
end

local function locate(frame, environment)
  local text, mark = frame.source:sub(2), frame.source:sub(1, 1)
  if frame.kind == "template" then
    local name = frame.source:match("^=template (.*)$")
    return source.template_path(environment, name) or name,
      source.of_template(environment, name, frame.line)
  end
  if mark == "@" then return text, source.of_file(text, frame.line) end
  if mark == "=" then return text, {} end
  return frame.short, source.of_text(frame.source, frame.line)
end

local function described(frame, environment)
  if frame.kind == "skipped" then return frame end
  local shown = {kind = frame.kind, title = title_of(frame)}
  if frame.kind == "c" then return shown end
  local file, lines = locate(frame, environment)
  shown.file, shown.line, shown.lines = repr.clean(file), frame.line, lines
  shown.locals, shown.upvalues = frame.locals, frame.upvalues
  shown.tail = frame.tail or nil
  return shown
end

local function frames_of(stack)
  local list = {}
  for _, frame in ipairs(stack and stack.frames or {}) do
    list[#list + 1] = described(frame, stack.environment)
  end
  local last = stack and stack.frames[#stack.frames]
  if last and last.kind == "c" and not last.name then list[#list].title = "[C]: the host" end
  return list
end

-- The place that a message names, where no frame stands: the error of who could not compile it.
local function place_of(message, stack)
  local file, line = message:match("^([^\n:]+):(%d+): ")
  if not file then return nil end
  line = math.tointeger(tonumber(line))
  for _, frame in ipairs(stack and stack.frames or {}) do
    if frame.line == line and (frame.short == file or frame.source == "=template " .. file) then
      return nil
    end
  end
  local lines = source.of_file(file, line)
  if #lines == 0 and stack then
    lines = source.of_template(stack.environment, file, line)
    file = source.template_path(stack.environment, file) or file
  end
  if #lines == 0 then return nil end
  return {kind = "place", title = "what the error is about", file = file, line = line,
    lines = lines}
end

-- The request ---------------------------------------------------------------------------------

local function masked(name, value)
  if secrets.is(name) then return secrets.MASK end
  return type(value) == "string" and repr.brief(value, LONGEST_VALUE) or repr.of(value)
end

local function add_pair(list, name, value)
  list[#list + 1] = {name = repr.brief(tostring(name), 200), value = masked(name, value)}
end

local function pairs_of(flat)
  local list = {}
  for at = 1, #flat, 2 do add_pair(list, flat[at], flat[at + 1]) end
  return list
end

local function flat_of(fields)
  local meta = debug.getmetatable(fields)
  return type(meta) == "table" and rawget(meta, "flat") or {}
end

local function sorted(values)
  local list = {}
  for name, value in next, values do add_pair(list, name, value) end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- Cookies that hold a session are secrets whatever they are called.
local function cookies_of(req)
  local list = pairs_of(flat_of(req.cookies))
  for _, pair in ipairs(list) do
    if pair.name:lower():find("sess", 1, true) then pair.value = secrets.MASK end
  end
  return list
end

-- The target with the values of secrets masked in its query.
local function url_of(req)
  local shown = req.scheme .. "://" .. req.host .. (req.path or "")
  local query = req.query
  if query == "" then return repr.brief(shown, LONGEST_VALUE) end
  query = query:gsub("([^&=]+)=([^&]*)", function(name, value)
    return name .. "=" .. (secrets.is(name) and secrets.MASK or value)
  end)
  return repr.brief(shown .. "?" .. query, LONGEST_VALUE)
end

-- What the request has of its own accord; nothing is read that the handler has not read.
local function add_read(shown, req)
  local form, session = rawget(req, "form"), rawget(req, "session")
  if form then shown.form = pairs_of(flat_of(form)) end
  local meta = session and debug.getmetatable(session)
  local state = type(meta) == "table" and rawget(meta, "state")
  if type(state) == "table" then shown.session = sorted(state.data or {}) end
  local body = rawget(req, "_body")
  if body and not form then shown.body = ("%d bytes, read by the handler"):format(#body) end
  local g = rawget(req, "g")
  if g and next(g) then shown.g = sorted(g) end
end

local function fill_request(shown, req)
  shown.method, shown.url = req.method, url_of(req)
  shown.remote_addr = req.remote_addr
  shown.id = req.id
  shown.headers = pairs_of(exchange.headers(req._exchange))
  shown.args = pairs_of(flat_of(req.args))
  shown.cookies = cookies_of(req)
  local route = req.route
  if route then shown.route, shown.place = route.rule, route.place end
  if route and req._values then shown.params = sorted(req.params) end
  add_read(shown, req)
end

local function request_of(x, stack)
  if not x then return nil end
  local seen = stack and stack.request
  local req = seen and rawget(seen, "_exchange") == x and seen
    or setmetatable({_exchange = x}, Request)
  local shown = {}
  local ok, problem = pcall(fill_request, shown, req)
  if not ok then shown.problem = repr.brief(tostring(problem), LONGEST_VALUE) end
  return shown
end

--- Everything there is to show of a failure. Waits.
-- @param err
-- @tparam ?table stack as `capture.take` gives it
-- @tparam ?integer x the number of the exchange that failed
-- @treturn table `type` and `message` of the error; `causes`, lists of frames, and `frames`, the
--   innermost first; `request`, when there is one; `generation`, `genet` and `lua`
-- @usage local shown = describe.failure(err, capture.take(err), x)
function describe.failure(err, stack, x)
  local shown = error_of(err)
  shown.frames, shown.causes = frames_of(stack), {}
  for _, cause in ipairs(stack and stack.causes or {}) do
    table.insert(shown.causes, frames_of(cause))
  end
  local place = place_of(shown.message, stack)
  if place then table.insert(shown.causes[1] or shown.frames, 1, place) end
  shown.request = request_of(x, stack)
  shown.generation, shown.genet, shown.lua = core.generation(), core.version, _VERSION
  return shown
end

return describe
