-- A blog, at /blog/: the application of Flask's tutorial, Flaskr. Whoever has registered writes
-- posts, and changes and deletes their own. The pages are in templates/blog.

local genet = require "genet"
local app = genet.app()

app.config:from_table{secret_key = genet.secret(), blog_database = "sqlite:instance/blog.db"}
app:static("/blog/static", "static/blog", {name = "blog.static"})

local db = genet.db(app.config.blog_database, {migrations = {[[
  create table user (
    id integer primary key,
    username text unique not null,
    password text not null
  );
  create table post (
    id integer primary key,
    author_id integer not null references user (id),
    created text not null default current_timestamp,
    title text not null,
    body text not null
  );
]]}})

local POSTS = "select post.*, username from post join user on author_id = user.id "

-- What a form lacks first, as a sentence.
local function lacking(form, names)
  for _, name in ipairs(names) do
    if (form[name] or "") == "" then return name:gsub("^%l", string.upper) .. " is required." end
  end
end

app:group("/blog", {name = "blog"}, function(blog)
  blog:protect_forms()

  local function go_to(req, name)
    return genet.redirect(req:url_for(name), 303)
  end

  -- Whoever has logged in.
  blog:before(function(req)
    local id = req.session.user_id
    req.g.user = id and db:one("select id, username from user where id = ?", id)
  end)

  local function login_required(handler)
    return function(req, ...)
      if not req.g.user then return go_to(req, "blog.login") end
      return handler(req, ...)
    end
  end

  blog:get("/auth/register", {name = "register"}, function(req)
    return req:render("blog/register.html")
  end)

  blog:post("/auth/register", function(req)
    local name, problem = req.form.username, lacking(req.form, {"username", "password"})
    if not problem then
      local changed = db:execute("insert into user (username, password) values (?, ?) "
        .. "on conflict do nothing", name, genet.password.hash(req.form.password))
      if changed == 1 then return go_to(req, "blog.login") end
      problem = ("User %s is already registered."):format(name)
    end
    req:flash(problem)
    return req:render("blog/register.html")
  end)

  blog:get("/auth/login", {name = "login"}, function(req)
    return req:render("blog/login.html")
  end)

  blog:post("/auth/login", function(req)
    local user = db:one("select * from user where username = ?", req.form.username)
    if genet.password.verify(user and user.password, req.form.password or "") then
      req.session:clear()
      req.session:regenerate()
      req.session.user_id = user.id
      return go_to(req, "blog.index")
    end
    req:flash("Incorrect username or password.")
    return req:render("blog/login.html")
  end)

  blog:post("/auth/logout", {name = "logout"}, function(req)
    req.session:clear()
    return go_to(req, "blog.index")
  end)

  blog:get("/", {name = "index"}, function(req)
    return req:render("blog/index.html", {posts = db:query(POSTS .. "order by post.id desc")})
  end)

  blog:get("/create", {name = "create"}, login_required(function(req)
    return req:render("blog/edit.html", {post = {}})
  end))

  blog:post("/create", login_required(function(req)
    local title, body, problem = req.form.title, req.form.body or "", lacking(req.form, {"title"})
    if problem then
      req:flash(problem)
      return req:render("blog/edit.html", {post = {title = title, body = body}})
    end
    db:execute("insert into post (title, body, author_id) values (?, ?, ?)", title, body,
      req.g.user.id)
    return go_to(req, "blog.index")
  end))

  -- The post of this number, which must be the user's own.
  local function own_post(req, id)
    local post = db:one(POSTS .. "where post.id = ?", id)
    if not post then genet.abort(404, ("Post id %d doesn't exist."):format(id)) end
    if post.author_id ~= req.g.user.id then genet.abort(403) end
    return post
  end

  blog:get("/<int:id>/update", {name = "update"}, login_required(function(req, id)
    return req:render("blog/edit.html", {post = own_post(req, id)})
  end))

  blog:post("/<int:id>/update", login_required(function(req, id)
    local post, problem = own_post(req, id), lacking(req.form, {"title"})
    post.title, post.body = req.form.title, req.form.body or ""
    if problem then
      req:flash(problem)
      return req:render("blog/edit.html", {post = post})
    end
    db:execute("update post set title = ?, body = ? where id = ?", post.title, post.body, id)
    return go_to(req, "blog.index")
  end))

  blog:post("/<int:id>/delete", {name = "delete"}, login_required(function(req, id)
    own_post(req, id)
    db:execute("delete from post where id = ?", id)
    return go_to(req, "blog.index")
  end))
end)

return app
