--- The methods that Python's strings, lists and dicts have and templates use.
--
-- Each is `{fn, name of the first parameter, ...}`; `fn` takes the value and the arguments. Those
-- with `named` also take a dict of all arguments given by name, right after the value.
-- @module genet.template.methods

local container_methods = require "genet.template.container_methods"
local format = require "genet.template.format"
local string_methods = require "genet.template.string_methods"

local methods = {}

local strings, markups = string_methods.strings, string_methods.markups
local lists = container_methods.lists

--- Adds `format` to the methods of strings, which needs to know how attributes are found.
-- @tparam function lookup
function methods.with_lookup(lookup)
  local braces = {function(string, named, ...)
    return format.braces(string, {...}, named, lookup)
  end, named = true}
  strings.format, markups.format = braces, braces
  local from_dict = {function(string, names)
    return format.braces(string, {}, names, lookup)
  end, "mapping"}
  strings.format_map, markups.format_map = from_dict, from_dict
end

--- The methods by kind of value and name.
methods.by_kind = {
  string = strings, markup = markups, list = lists,
  tuple = {index = lists.index, count = lists.count}, dict = container_methods.dicts,
}

return methods
