--- A failure as a page, as plain text and as JSON.
-- @module genet.debugpage.render

local json = require "genet.json"

local render = {}

local HERE = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")

-- Plain text ----------------------------------------------------------------------------------

local function add_lines(out, frame)
  for _, line in ipairs(frame.lines or {}) do
    out[#out + 1] = ("  %s %4d | %s"):format(line.marked and ">" or " ", line.number, line.text)
  end
end

local function add_variables(out, title, list)
  if #(list or {}) == 0 then return end
  out[#out + 1] = "      " .. title .. ":"
  for _, variable in ipairs(list) do
    out[#out + 1] = ("        %s = %s"):format(variable.name, variable.value)
  end
end

local OWN = {lua = true, template = true, place = true}

local function add_frame(out, frame)
  if frame.kind == "skipped" then
    out[#out + 1] = ("... %d levels"):format(frame.count)
  elseif frame.kind == "c" then
    out[#out + 1] = frame.title
  else
    out[#out + 1] = ("%s:%d: %s"):format(frame.file, frame.line, frame.title)
  end
  if not OWN[frame.kind] then return end
  add_lines(out, frame)
  add_variables(out, "local variables", frame.locals)
  add_variables(out, "upvalues", frame.upvalues)
end

local function add_stack(out, title, frames)
  out[#out + 1] = "\n" .. title
  for _, frame in ipairs(frames) do add_frame(out, frame) end
end

local function add_request(out, request)
  out[#out + 1] = ("\nRequest: %s %s from %s"):format(request.method or "?", request.url or "?",
    request.remote_addr or "?")
  if request.route then
    out[#out + 1] = ("Route: %s at %s"):format(request.route, request.place or "?")
  end
  for _, part in ipairs{"params", "args", "form", "headers", "cookies", "session"} do
    add_variables(out, part, request[part])
  end
end

--- A failure as text for a terminal.
-- @tparam table shown as `describe.failure` gives it
-- @treturn string
-- @usage render.text(shown)
function render.text(shown)
  local out = {shown.type .. ": " .. shown.message}
  for _, frames in ipairs(shown.causes) do
    add_stack(out, "It was raised here (most recent call first):", frames)
  end
  add_stack(out, "Traceback (most recent call first):", shown.frames)
  if shown.request then add_request(out, shown.request) end
  out[#out + 1] = ("\nGenet %s, %s, generation %d\n"):format(shown.genet, shown.lua,
    shown.generation)
  return table.concat(out, "\n")
end

--- A failure as JSON.
-- @tparam table shown
-- @treturn string
-- @usage render.json(shown)
function render.json(shown)
  local copy = {}
  for key, value in pairs(shown) do copy[key] = value end
  copy.error, copy.type, copy.status = {type = shown.type, message = shown.message}, nil, 500
  copy.message = nil
  return json.encode(copy) .. "\n"
end

-- The page ------------------------------------------------------------------------------------

-- Frames of the framework that follow each other, with the C functions between them, as one.
local function folded(frames)
  local groups, fold = {}, nil
  for at, frame in ipairs(frames) do
    local after = frames[at + 1]
    local inner = frame.kind == "framework"
      or frame.kind == "c" and fold and (not after or after.kind == "framework")
    if inner and not fold then
      fold = {}
      groups[#groups + 1] = {fold = fold}
    elseif not inner then
      fold = nil
      groups[#groups + 1] = {frame = frame}
    end
    if fold then fold[#fold + 1] = frame end
  end
  return groups
end

-- The innermost frame that the reader has written is open.
local function open_first(groups)
  for _, group in ipairs(groups) do
    if group.frame and OWN[group.frame.kind] then
      group.open = true
      return
    end
  end
end

local function stacks_of(shown)
  local stacks = {}
  for _, frames in ipairs(shown.causes) do
    stacks[#stacks + 1] = {title = "Raised here", groups = folded(frames)}
  end
  stacks[#stacks + 1] = {title = "Traceback", groups = folded(shown.frames)}
  open_first(stacks[1].groups)
  return stacks
end

local environment

--- A failure as a page that needs nothing else. Waits: its template is read from a file.
-- @tparam table shown
-- @treturn string
-- @usage render.html(shown)
function render.html(shown)
  environment = environment
    or require("genet.template").new{path = HERE, watch = function() end, trim_blocks = true}
  return environment:render("page.html",
    {e = shown, stacks = stacks_of(shown), text = render.text(shown), request = shown.request})
end

return render
