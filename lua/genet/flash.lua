--- Messages for the next page, kept in the session: `req:flash` and `req:flashed`.
-- @module genet.flash

local flash = {}

--- Keeps a message for the page that is shown next.
-- @function req:flash
-- @tparam Request req
-- @tparam string text
-- @tparam ?string category `"message"` unless told
-- @usage req:flash("You were logged in.")
function flash.add(req, text, category)
  if type(text) ~= "string" then
    error(("req:flash: a string was expected, not a %s"):format(type(text)), 2)
  end
  local messages = req.session._flashes or {}
  messages[#messages + 1] = {category or "message", text}
  req.session._flashes = messages
end

local function is_wanted(filter, category)
  if not filter then return true end
  for _, name in ipairs(filter) do
    if name == category then return true end
  end
  return false
end

--- The messages kept by earlier requests and this one, which forgets them; within one request every
-- call gives the same.
-- @function req:flashed
-- @tparam Request req
-- @tparam[opt] table options `with_categories`, to get `{category, text}` instead of texts;
--   `category_filter`, a list of the categories that are wanted
-- @treturn table
-- @usage for _, text in ipairs(req:flashed()) do print(text) end
function flash.take(req, options)
  options = options or {}
  local messages = rawget(req, "_flashed")
  if not messages then
    messages = req.session._flashes or {}
    req._flashed = messages
    if #messages > 0 then req.session._flashes = nil end
  end
  local wanted = {}
  for _, message in ipairs(messages) do
    if is_wanted(options.category_filter, message[1]) then
      wanted[#wanted + 1] = options.with_categories and {message[1], message[2]} or message[2]
    end
  end
  return wanted
end

return flash
