--- Jinja's own filters, by name; see `genet.template.apply` for what is known of each.
-- @module genet.template.filters

local filters = {}

for _, name in ipairs{"text", "list", "number", "web"} do
  for filter, spec in pairs(require("genet.template.filters_" .. name)) do
    spec.builtin = true
    filters[filter] = spec
  end
end

return filters
