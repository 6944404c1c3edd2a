--- What a database refuses: the errors that its methods raise.
-- @module genet.db.failure

local failure = {}

local Failure = {__name = "genet.db.error"}
Failure.__index = Failure

function Failure:__tostring()
  local line = "db: " .. self.message
  return self.sql and ("%s\n  in: %s"):format(line, self.sql) or line
end

--- An error object.
-- @tparam string message
-- @tparam[opt] table more `kind`, `sqlstate`, `sql`
-- @treturn Failure
-- @usage error(failure.new("no connection is free", {kind = "pool"}), 0)
function failure.new(message, more)
  local self = setmetatable({message = message}, Failure)
  for name, text in pairs(more or {}) do self[name] = text end
  return self
end

--- Whether an error value is one of these, of this kind if one is given.
-- @function genet.db.failed
-- @param err
-- @tparam ?string kind
-- @treturn boolean
-- @usage local ok, err = pcall(db.execute, db, "insert into user (name) values (?)", name)
-- if not ok and genet.db.failed(err, "unique") then genet.abort(409, name .. " exists") end
function failure.is(err, kind)
  return getmetatable(err) == Failure and (kind == nil or err.kind == kind)
end

--- The kind, and the SQLSTATE, by what the message says.
-- @tparam table known a list of `{pattern, kind, sqlstate}`
-- @tparam string message
-- @treturn ?string kind
-- @treturn ?string sqlstate
-- @usage local kind, state = failure.classify(KNOWN, message)
function failure.classify(known, message)
  for _, entry in ipairs(known) do
    if message:find(entry[1]) then return entry[2], entry[3] end
  end
end

return failure
