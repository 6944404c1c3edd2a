--- The filters about HTML, URLs and JSON.
-- @module genet.template.filters_web

local arguments = require "genet.template.arguments"
local raise = require "genet.template.raise"
local text = require "genet.template.text"
local tojson = require "genet.template.tojson"
local unicode = require "genet.template.unicode"
local value = require "genet.template.value"

local flag, integer, optional = arguments.flag, arguments.integer, arguments.optional

-- ---- URLs ----

local function percent(byte)
  return ("%%%02X"):format(byte:byte())
end

local function quote_path(any)
  return (text.str(any):gsub("[^%w%-._~/]", percent))
end

local function quote_query(any)
  return (text.str(any):gsub("[^%w%-._~ ]", percent):gsub(" ", "+"))
end

local function query_of_dict(dict)
  local parts = {}
  for at, key in ipairs((value.keys(dict))) do
    parts[at] = quote_query(key) .. "=" .. quote_query(dict[key])
  end
  return table.concat(parts, "&")
end

local function urlencode(any)
  local kind = value.kind(any)
  if kind == "dict" then return query_of_dict(any) end
  if kind ~= "list" and kind ~= "tuple" then return quote_path(any) end
  local parts = {}
  for at, pair in ipairs(any) do
    local both, count = value.all_contents(pair)
    if count ~= 2 then raise.runtime("urlencode needs pairs of a key and a value") end
    parts[at] = quote_query(both[1]) .. "=" .. quote_query(both[2])
  end
  return table.concat(parts, "&")
end

-- ---- links in text ----

local TOP = {}
for name in ("com net int edu gov org info mil"):gmatch("%a+") do TOP[name] = true end

-- Whether what follows a host is a port and a path, or nothing.
local function is_tail(tail)
  return tail == "" or tail:find("^:%d%d?%d?%d?%d?$") or tail:find("^:%d%d?%d?%d?%d?[/?#]%S*$")
    or tail:find("^[/?#]%S*$")
end

local function is_label(label)
  return label:find("^[%w_%%\128-\255-]+$") ~= nil
end

local function is_host(host, any_top)
  local labels = {}
  for label in (host .. "."):gmatch("([^.]*)%.") do
    if not is_label(label) then return false end
    labels[#labels + 1] = label
  end
  local top = labels[#labels]:lower()
  if any_top then return #top >= 2 and (top:find("^%a+$") or top:find("^xn%-%-")) ~= nil end
  return #labels > 1 and TOP[top] ~= nil and #labels[1] >= 2
end

local function is_link(word)
  local scheme, rest = word:match("^([hH][tT][tT][pP][sS]?://)(.*)$")
  local www = not scheme and word:match("^[wW][wW][wW]%.(.*)$")
  rest = rest or www or word
  local host, tail = rest:match("^([^:/?#]+)(.*)$")
  if not host or not is_tail(tail) then return false end
  if scheme and host:find("^%d+%.%d+%.%d+%.%d+$") then return true end
  return is_host(host, scheme or www)
end

local function is_mail(word)
  return word:find("^%S+@[%w_][%w_.-]*%.[%w_]+$") ~= nil
end

-- Takes brackets and punctuation off the ends of a word.
local function take_apart(word)
  local head, middle, tail = "", word, ""
  repeat
    local lead = middle:match("^[(<]") or middle:match("^&lt;")
    if lead then head, middle = head .. lead, middle:sub(#lead + 1) end
  until not lead
  repeat
    local final = middle:match("[)>.,\n]$") or middle:match("&gt;$")
    if final then middle, tail = middle:sub(1, -#final - 1), final .. tail end
  until not final
  return head, middle, tail
end

local function count_of(string, part)
  return select(2, string:gsub((part:gsub("%p", "%%%0")), ""))
end

local PAIRS = {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}}

-- Gives back the closing brackets that were opened within the word.
local function balance(middle, tail)
  for _, pair in ipairs(PAIRS) do
    local opened = count_of(middle, pair[1])
    if opened > count_of(middle, pair[2]) then
      for _ = 1, math.min(opened, count_of(tail, pair[2])) do
        local _, stop = tail:find(pair[2], 1, true)
        middle, tail = middle .. tail:sub(1, stop), tail:sub(stop + 1)
      end
    end
  end
  return middle, tail
end

local function anchor(address, shown, attributes)
  return ("<a href=\"%s\"%s>%s</a>"):format(address, attributes, shown)
end

-- A word as a link, if it is one.
local function link_word(word, limit, attributes, schemes)
  local function shorten(any)
    return limit and unicode.length(any) > limit and unicode.sub(any, 1, limit) .. "..." or any
  end
  if is_link(word) then
    local address = word:find("^https?://") and word or "https://" .. word
    return anchor(address, shorten(word), attributes)
  end
  local address = word:match("^mailto:(.*)$")
  if address and is_mail(address) then return anchor(word, address, "") end
  if word:find("@", 1, true) and not word:find("^www%.") and not word:find(":", 1, true)
    and is_mail(word) then
    return anchor("mailto:" .. word, word, "")
  end
  for _, scheme in ipairs(schemes) do
    if word ~= scheme and word:sub(1, #scheme) == scheme then
      return anchor(word, word, attributes)
    end
  end
  return word
end

local function relations(rel, nofollow)
  local words, list = {noopener = true}, {}
  for word in arguments.string(rel, "rel", ""):gmatch("%S+") do words[word] = true end
  if nofollow then words.nofollow = true end
  for word in pairs(words) do list[#list + 1] = word end
  table.sort(list)
  return table.concat(list, " ")
end

local function link_attributes(rel, nofollow, target)
  local written = (" rel=\"%s\""):format(text.escape_string(relations(rel, nofollow)))
  if optional(target) then
    written = written .. (" target=\"%s\""):format(text.escape(target))
  end
  return written
end

local function check_schemes(schemes)
  schemes = optional(schemes, {})
  for _, scheme in ipairs(schemes) do
    if not text.str(scheme):find("^[%w_.+-][%w_.+-]+:/?/?$") then
      raise.runtime("'%s' is not a valid URI scheme prefix.", text.str(scheme))
    end
  end
  return schemes
end

local function urlize(state, any, limit, nofollow, target, rel, schemes)
  limit = optional(limit) and integer(limit, "trim_url_limit")
  schemes = check_schemes(schemes)
  local attributes = link_attributes(rel, flag(nofollow), target)
  local linked = text.to_markup(any).text:gsub("%S+", function(word)
    local head, middle, tail = take_apart(word)
    middle, tail = balance(middle, tail)
    return head .. link_word(middle, limit, attributes, schemes) .. tail
  end)
  return state.on and value.markup(linked) or linked
end

-- ---- attributes and JSON ----

local function xmlattr(state, dict, autospace)
  local parts = {}
  for _, key in ipairs((value.keys(arguments.dict(dict)))) do
    local any = dict[key]
    if any ~= value.none and not value.is_undefined(any) then
      local name = text.str(key)
      if name:find("[%s/>=]") then
        raise.runtime("Invalid character in attribute name: %s", text.repr(name))
      end
      parts[#parts + 1] = ("%s=\"%s\""):format(text.escape_string(name), text.escape(any))
    end
  end
  local written = table.concat(parts, " ")
  if written ~= "" and (autospace == nil or flag(autospace)) then written = " " .. written end
  return state.on and value.markup(written) or written
end

local UNSAFE = {["<"] = "\\u003c", [">"] = "\\u003e", ["&"] = "\\u0026", ["'"] = "\\u0027"}

local function json_filter(any, indent)
  indent = optional(indent)
  if indent ~= nil then indent = value.text(indent) or (" "):rep(integer(indent, "indent")) end
  return value.markup((tojson(any, indent):gsub("[<>&']", UNSAFE)))
end

return {
  tojson = {fn = json_filter, params = {"indent"}},
  urlencode = {fn = urlencode, params = {}},
  urlize = {
    fn = urlize, state = true,
    params = {"trim_url_limit", "nofollow", "target", "rel", "extra_schemes"},
  },
  xmlattr = {fn = xmlattr, params = {"autospace"}, state = true},
}
