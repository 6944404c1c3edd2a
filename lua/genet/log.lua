--- The log of the host: `genet.log("text")`, `genet.log.debug("x is %d", x)`.
--
-- More than one argument and a first one with a `%` in it: formatted as by `string.format`.
-- Otherwise joined as by `print`. Logging never raises.
-- @module genet.log

local core = require "genet.core"

local RANK = {error = 1, warn = 2, info = 3, debug = 4}

local log = {}

local function join(...)
  local texts = table.pack(...)
  for at = 1, texts.n do texts[at] = tostring(texts[at]) end
  return table.concat(texts, "\t")
end

local function compose(first, ...)
  if select("#", ...) > 0 and type(first) == "string" and first:find("%", 1, true) then
    local ok, text = pcall(string.format, first, ...)
    if ok then return text end
  end
  return join(first, ...)
end

local function write(level, ...)
  if RANK[level] <= RANK[core.level()] then core.log(level, compose(...)) end
end

--- Logs for the one who looks for a fault.
-- @usage genet.log.debug("%d rows", 3)
function log.debug(...) write("debug", ...) end

--- Logs what is worth knowing; `genet.log(...)` is the same.
-- @usage genet.log.info("%s has joined", "Ann")
function log.info(...) write("info", ...) end

--- Logs what may become a fault.
-- @usage genet.log.warn("the disk is at %d%%", 95)
function log.warn(...) write("warn", ...) end

--- Logs a fault.
-- @usage genet.log.error("no database: %s", problem)
function log.error(...) write("error", ...) end

--- Makes `print` write to the log, at level info. The host calls it for an app that is served.
-- @usage require("genet.log").capture_print()
function log.capture_print()
  _G.print = function(...)
    if RANK.info <= RANK[core.level()] then core.log("info", join(...)) end
  end
end

return setmetatable(log, {__call = function(_, ...) write("info", ...) end})
