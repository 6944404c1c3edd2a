--- The page that lists a directory.
-- @module genet.listing

local url = require "genet.url"

local listing = {}

local ENTITIES = {
  ["&"] = "&amp;",
  ["<"] = "&lt;",
  [">"] = "&gt;",
  ["\""] = "&quot;",
  ["'"] = "&#39;",
}

local function escape(text)
  return (text:gsub("[&<>\"']", ENTITIES))
end

-- Directories first, then by name.
local function sorted(entries, hidden)
  local names = {}
  for name in pairs(entries) do
    if hidden or name:sub(1, 1) ~= "." then names[#names + 1] = name end
  end
  table.sort(names, function(a, b)
    if entries[a] ~= entries[b] then return entries[a] end
    return a < b
  end)
  return names
end

-- The dot keeps a name with a colon from being taken for a scheme.
local function item(name, is_directory)
  local slash = is_directory and "/" or ""
  return ("<li><a href=\"./%s%s\">%s%s</a></li>\n"):format(escape(url.encode_path(name)), slash,
    escape(name), slash)
end

--- The page.
-- @tparam string path of the directory, as the client names it
-- @tparam table entries whether each is a directory, by name
-- @tparam ?boolean hidden whether to tell of names that begin with a dot
-- @treturn string
-- @usage listing.page("/files/", {["a.txt"] = false, css = true})
function listing.page(path, entries, hidden)
  local title = escape(path)
  local lines = {
    "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>", title,
    "</title></head>\n<body><h1>", title, "</h1>\n<ul>\n",
  }
  for _, name in ipairs(sorted(entries, hidden)) do
    lines[#lines + 1] = item(name, entries[name])
  end
  lines[#lines + 1] = "</ul></body></html>\n"
  return table.concat(lines)
end

return listing
