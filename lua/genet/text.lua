--- Bits of text as headers have them. Each takes time in proportion to the length of the text,
-- whatever that holds: it may come from anybody.
-- @module genet.text

local find, match, sub = string.find, string.match, string.sub

local text = {}

--- A text without the blanks and tabs around it.
-- @tparam string value
-- @treturn string
-- @usage text.trim(" a b ") --> "a b"
function text.trim(value)
  local from = find(value, "[^ \t]")
  return from and match(value, "^.*[^ \t]", from) or ""
end

--- What stands between separators, trimmed; nothing is left out.
-- @tparam string value
-- @tparam string separator one character
-- @treturn {string,...}
-- @usage text.split("a, b,", ",") --> {"a", "b", ""}
function text.split(value, separator)
  local parts, from = {}, 1
  repeat
    local at = find(value, separator, from, true)
    parts[#parts + 1] = text.trim(sub(value, from, at and at - 1))
    from = at and at + 1
  until not at
  return parts
end

return text
