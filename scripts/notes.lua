-- Notes, at /notes/: list, search, write, change and delete them, with a picture if you like, by
-- pages or by JSON (/notes/api/notes). What one window changes, the others show at once.
--
-- They are kept in SQLite; GENET_NOTES_DATABASE=postgres://... takes PostgreSQL.

local genet = require "genet"
local crypto = require "genet.crypto"
local app = genet.app()

app.config:from_table{secret_key = genet.secret(), notes_database = "sqlite:instance/notes.db"}
app:static("/notes/static", "static/notes", {name = "notes.static"})

local UPLOADS = "instance/uploads"
local MAX_IMAGE = 5 << 20 -- bytes
local SHOWN = 200 -- notes on a page

local db = genet.db(app.config.notes_database, {name = "notes", migrations = {function(tx)
  local id = tx.engine == "sqlite" and "integer" or "integer generated always as identity"
  tx:execute("create table note (id " .. id .. " primary key, title text not null, "
    .. "body text not null, image text, changed text not null)")
end}})

-- What is kept ----------------------------------------------------------------------------------

local FIELDS = {title = {least = 1, most = 200}, body = {least = 0, most = 20000}}

local function problem_of(text, limits)
  if type(text) ~= "string" then return "must be a text" end
  local length = utf8.len(text)
  if not length or text:find("\0", 1, true) then return "must be UTF-8" end
  if length < limits.least then return "must not be empty" end
  if length > limits.most then return ("must have at most %d characters"):format(limits.most) end
end

-- The title and the body that somebody has sent; and what is wrong with them by name, or nil.
local function checked(given)
  local note, problems = {}, {}
  if type(given) ~= "table" then given = {} end
  for name, limits in pairs(FIELDS) do
    local text = given[name]
    if text == nil and name == "body" then text = "" end
    if type(text) == "string" then text = text:gsub("\r\n", "\n"):match("^%s*(.-)%s*$") end
    note[name], problems[name] = text, problem_of(text, limits)
  end
  return note, next(problems) and problems
end

local function find(id)
  local note = db:one("select * from note where id = ?", id)
  return note or genet.abort(404, "There is no such note.")
end

local function search(words)
  words = words or ""
  if problem_of(words, {least = 0, most = 200}) then return {} end
  local pattern = "%" .. words:gsub("[%%_!]", "!%0") .. "%"
  return db:query("select * from note where lower(title || ' ' || body) like lower(?) escape '!' "
    .. "order by changed desc, id desc limit ?", pattern, SHOWN)
end

local function now()
  return os.date("!%Y-%m-%d %H:%M:%S")
end

-- Tells every window that shows the list.
local function announce(id)
  genet.publish("notes", tostring(id))
end

local function insert(note)
  local id = db:value("insert into note (title, body, image, changed) values (?, ?, ?, ?) "
    .. "returning id", note.title, note.body, note.image, now())
  announce(id)
  return id
end

local function update(id, note)
  db:execute("update note set title = ?, body = ?, image = ?, changed = ? where id = ?", note.title,
    note.body, note.image, now(), id)
  announce(id)
end

-- Pictures --------------------------------------------------------------------------------------

local KINDS = {
  {"^\137PNG\r\n\26\n", "png"}, {"^\255\216\255", "jpg"}, {"^GIF8[79]a", "gif"},
  {"^RIFF....WEBP", "webp"},
}

local function remove_image(name)
  if name then os.remove(genet.instance_path("uploads/" .. name)) end
end

local function delete(id)
  local note = find(id)
  db:execute("delete from note where id = ?", id)
  remove_image(note.image)
  announce(id)
end

-- The name under which the picture of a form has been kept, if there is one; or nil and a problem.
-- Neither the name nor the type that the client tells are believed.
local function keep_image(file)
  if not file or file.size == 0 then return nil end
  if file.size > MAX_IMAGE then return nil, "must have at most 5 MB" end
  local head, ending = file:read(16) or "", nil
  for _, kind in ipairs(KINDS) do
    if head:find(kind[1]) then ending = kind[2] end
  end
  if not ending then return nil, "must be a PNG, JPEG, GIF or WebP" end
  local name = crypto.encode64(crypto.random(16)) .. "." .. ending
  assert(file:save(genet.instance_path("uploads/" .. name)))
  return name
end

app:group("/notes", {name = "notes"}, function(notes)
  notes:protect_forms()

  notes:after(function(_, answer)
    answer.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
  end)

  -- Pages ---------------------------------------------------------------------------------------

  notes:get("/", {name = "index"}, function(req)
    return req:render("notes/index.html", {notes = search(req.args.q), words = req.args.q})
  end)

  notes:sse("/events", {name = "events"}, function(sse)
    local news <close> = genet.subscribe("notes")
    for id in function() return (news:receive()) end do sse:send{data = id} end
  end)

  notes:get("/images/<name>", {name = "image"}, function(_, name)
    if not db:one("select id from note where image = ?", name) then genet.abort(404) end
    return genet.send_from_directory(UPLOADS, name, {max_age = 86400, immutable = true,
      headers = {["X-Content-Type-Options"] = "nosniff"}})
  end)

  -- Keeps the note of a form, a new one or the one that was there; or shows the form again.
  local function save(req, old)
    local note, problems = checked(req.form)
    local image, problem
    if not problems then image, problem = keep_image(req.files.image) end
    if problem then problems = {image = problem} end
    if problems then
      note.id, note.image = old.id, old.image
      return req:render("notes/form.html", {note = note, problems = problems}), 422
    end
    local is_replaced = image or req.form.remove_image
    note.image = image or not is_replaced and old.image or nil
    if old.id then update(old.id, note) else insert(note) end
    if is_replaced then remove_image(old.image) end
    req:flash("The note has been saved.")
    return genet.redirect(req:url_for("notes.index"), 303)
  end

  notes:get("/new", {name = "new"}, function(req)
    return req:render("notes/form.html", {note = {}, problems = {}})
  end)

  notes:post("/new", {max_body = 2 * MAX_IMAGE}, function(req)
    return save(req, {})
  end)

  notes:get("/<int:id>", {name = "edit"}, function(req, id)
    return req:render("notes/form.html", {note = find(id), problems = {}})
  end)

  notes:post("/<int:id>", {max_body = 2 * MAX_IMAGE}, function(req, id)
    return save(req, find(id))
  end)

  notes:post("/<int:id>/delete", {name = "delete"}, function(req, id)
    delete(id)
    req:flash("The note has been deleted.")
    return genet.redirect(req:url_for("notes.index"), 303)
  end)

  -- JSON ----------------------------------------------------------------------------------------

  notes:group("/api", {name = "api"}, function(api)
    local function shown(req, note)
      local image = note.image and req:url_for("notes.image", {name = note.image})
      return {id = note.id, title = note.title, body = note.body, changed = note.changed,
        image = image or genet.json.null}
    end

    api:error(function(_, err)
      return {error = type(err) == "table" and err.status and err.message or "something failed"}
    end)

    api:get("/notes", function(req)
      local list = genet.json.array()
      for at, note in ipairs(search(req.args.q)) do list[at] = shown(req, note) end
      return {notes = list}
    end)

    api:post("/notes", function(req)
      local note, problems = checked(req:json())
      if problems then return {problems = problems}, 422 end
      note = find(insert(note))
      return shown(req, note), 201, {Location = req:url_for("notes.api.note", {id = note.id})}
    end)

    api:get("/notes/<int:id>", {name = "note"}, function(req, id)
      return shown(req, find(id))
    end)

    api:put("/notes/<int:id>", function(req, id)
      local old, note, problems = find(id), checked(req:json())
      if problems then return {problems = problems}, 422 end
      note.image = old.image
      update(id, note)
      return shown(req, find(id))
    end)

    api:delete("/notes/<int:id>", function(_, id)
      delete(id)
      return 204
    end)
  end)
end)

return app
