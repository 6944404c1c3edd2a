--- Excerpts of what was running: lines of a file, of a template, of a chunk made of a string.
-- @module genet.debugpage.source

local repr = require "genet.debugpage.repr"

local source = {}

local AROUND = 4 -- lines before and after
local WIDEST = 400 -- bytes of a line

local function add_line(lines, text, at, about)
  if at < about - AROUND then return end
  lines[#lines + 1] = {
    number = at, text = repr.brief(text:gsub("\r$", ""), WIDEST), marked = at == about,
  }
end

--- The lines around one, from an iterator of lines.
-- @tparam function each gives the next line
-- @tparam integer about
-- @treturn {table,...} each with `number`, `text` and `marked`; empty when there are not so many
-- @usage source.excerpt(text:gmatch("([^\n]*)\n?"), 12)
function source.excerpt(each, about)
  local lines, at = {}, 0
  for text in each do
    at = at + 1
    if at > about + AROUND then break end
    add_line(lines, text, at, about)
  end
  return at >= about and lines or {}
end

--- The lines around one in a file. Waits.
-- @tparam string path
-- @tparam integer about
-- @treturn table as `source.excerpt` gives them; empty when it cannot be read
-- @usage source.of_file("scripts/shop.lua", 3)
function source.of_file(path, about)
  local file = io.open(path, "rb")
  if not file then return {} end
  local ok, lines = pcall(source.excerpt, file:lines(), about)
  file:close()
  return ok and lines or {}
end

--- The lines around one in a text.
-- @tparam string text
-- @tparam integer about
-- @treturn table
-- @usage source.of_text("a\nb", 2)
function source.of_text(text, about)
  return source.excerpt((text:gsub("\n?$", "\n")):gmatch("([^\n]*)\n"), about)
end

-- The source of a template by its name: what the environment's loader gives, which is the script's.
local function load_template(environment, name)
  local load = environment and rawget(environment, "load")
  if type(load) ~= "function" then return nil end
  local ok, text = pcall(load, name)
  return ok and type(text) == "string" and text or nil
end

--- Where the file of a template is.
-- @tparam ?table environment of templates
-- @tparam string name
-- @treturn ?string
-- @usage source.template_path(environment, "page.html")
function source.template_path(environment, name)
  local paths = environment and environment.options and environment.options.path
  if type(paths) == "string" then paths = {paths} end
  for _, directory in ipairs(type(paths) == "table" and paths or {}) do
    local path = directory .. "/" .. name
    local file = io.open(path, "rb")
    if file then file:close() return path end
  end
end

--- The lines around one in a template. Waits when its loader does.
-- @tparam ?table environment
-- @tparam string name
-- @tparam integer about
-- @treturn table
-- @usage source.of_template(environment, "page.html", 12)
function source.of_template(environment, name, about)
  local text = load_template(environment, name)
  return text and source.of_text(text, about) or {}
end

return source
