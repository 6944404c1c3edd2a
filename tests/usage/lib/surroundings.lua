-- What the examples of the documentation take for granted, by the names that they use.
local core = require "genet.core"
local genet = require "genet"
local luassert = require "luassert"

local surroundings = {open = {}} -- what is to be closed at the end

local SCHEMA = [[
  create table post (id integer primary key, title text, author text);
  create table user (id integer primary key, name text unique);
  create table tag (post integer, name text);
  create table picture (data blob);
  create table event (data text);
  insert into post (title, author) values ('One', 'ann');
]]

local function nothing() end

local function fetch(what) genet.sleep(1) return "page " .. tostring(what) end

-- A site that examples ask.
local function asked()
  local app = genet.app()
  app:get("/", function() return "home" end)
  app:get("/hello", function() return "hello" end)
  app:get("/item/<int:id>", function(_, id) return {id = id} end)
  app:get("/items", function() return {} end)
  app:sse("/ticks", function(sse) sse:send{event = "tick", data = 1} end)
  app:websocket("/chat/<room>", function(ws) for text in ws:messages() do ws:send(text) end end)
  app:websocket("/welcome", function(ws) ws:send("welcome") ws:receive() end)
  app:sessions{secret = ("x"):rep(32)}
  app:get("/login", function(req) req.session.name = "ann" return "in" end)
  return app
end

-- Each is called with the name of the module, once for an example that uses it.
local given = {}

function given.genet() return genet end
function given.app() return genet.app() end
function given.root() return genet.app() end
function given.other() return genet.app() end
function given.req() return surroundings.arguments[1] end
function given.x() return surroundings.arguments[1]._exchange end
function given.id() return 7 end
function given.n() return 1 end
function given.name() return "x" end
function given.text() return "some text" end
function given.item() return {id = 1} end
function given.user() return {name = "ann", password = "x"} end
function given.users() return {ann = {name = "ann"}} end
function given.problem() return "why" end
function given.err() return "main.lua:1: it fails" end
function given.head() return "Content-Type: text/plain; charset=utf-8\r\n" end
function given.rows() return {1, 2} end
function given.fn() return fetch end
function given.fetch() return fetch end
function given.value() return print end
function given.job() return nothing end
function given.options() return {name = "x"} end
function given.members() return {} end
function given.timeout() return 1 end
function given.seconds() return 1 end
function given.what() return "x" end
function given.ticks() return 0 end
function given.hits() return 0 end
function given.count() return 0 end
function given.total() return 0 end
function given.a() return "a" end
function given.b() return "b" end
function given.read() return function() return 1 end end
function given.write() return nothing end
function given.print() return nothing end
function given.work() return function() genet.sleep(1) end end
function given.show() return nothing end
function given.do_what_is_to_be_done_once() return nothing end
function given.show_item() return function() return "item" end end
function given.allowed() return function() return true end end
function given.is_prime() return function(n) return n == 2 end end
function given.watch() return function() genet.sleep(math.huge) end end
function given.file() return io.tmpfile() end
function given.secret() return ("s"):rep(32) end
function given.SECRET() return ("s"):rep(32) end
function given.A() return genet.async(fetch) end
function given.lock() return genet.lock() end
function given.Lock() return getmetatable(genet.lock()) end
function given.slots() return genet.semaphore(4) end
function given.ready() return genet.event() end
function given.timer() return genet.every(1, nothing) end
function given.task() return genet.spawn(fetch, "x") end
function given.jobs(module) return module == "shared" and genet.shared("jobs") or genet.queue(5) end
function given.locks() return genet.shared("locks") end
function given.calls() return genet.shared("calls") end
function given.carts() return genet.shared("carts") end
function given.config(module) return module == "shared" and genet.shared("config") or nil end
function given.version() return 1 end
function given.api() return genet.http.client{base_url = surroundings.upstream} end
function given.connections() return {close = nothing} end
function given.Request() return require "genet.request" end
function given.route() return {handler = function() return "home" end, rule = "/"} end
function given.http() return require "genet.http" end
function given.signature() return "a" end
function given.wanted() return "a" end
function given.token() return "abc" end
function given.mask() return "xyz" end
function given.client() return asked():test_client() end
function given.response() return asked():test_client():get("/items") end
function given.url() return surroundings.upstream end

function given.db(module)
  local db = genet.db("sqlite::memory:")
  if module ~= "db" or not surroundings.code:find("create table") then db:script(SCHEMA) end
  return db
end

-- In the words of one module.
local of_module = {}

local function nearby(name)
  return function() return require("genet." .. name) end
end

of_module.app = {
  app = function()
    if surroundings.code:find("app.is(", 1, true) then return require "genet.app" end
    local app = genet.app()
    if not surroundings.code:find("test_client", 1, true) then return app end
    app:get("/hello", function() return "hello" end)
    return app
  end,
}
of_module.check = {self = function() return genet.lock() end}

of_module.command = {
  entry = function()
    return require("genet.command").new("shop.lua:3", "seed", {}, nothing)
  end,
  parser = function() return require("genet.cli").parser() end,
  options = function()
    local command, cli = require "genet.command", require "genet.cli"
    local app = genet.app()
    app:command("seed", nothing)
    local parser = cli.parser()
    command.add_all(parser, app.commands, {})
    return parser:parse{"seed"}
  end,
}

of_module.complete = {complete = function()
  _G.genet = genet -- as it is at the prompt
  return require "genet.complete"
end}

of_module.config = {app = function()
  local app = genet.app()
  app.config:from_table{database = "sqlite::memory:"}
  return app
end}

of_module.conditions = {get = function() return nothing end}

of_module.csrf = {
  forms = function() return require("genet.csrf").new{exempt = {"/run"}} end,
}

of_module["db.failure"] = {KNOWN = {{"unique", "unique", "23505"}}, message = "not unique"}
of_module["db.pool"] = {open = function() return nothing end}
of_module["db.sql"] = {
  dialect = function() return require("genet.db.sql").dialect{literal = tostring} end,
}

of_module["debugpage.peers"] = {
  allowed = function() return require("genet.debugpage.peers").parse("192.0.2.1") end,
}
of_module["debugpage.render"] = {
  shown = function()
    return require("genet.debugpage.describe").failure("main.lua:1: it fails")
  end,
}
of_module["debugpage.source"] = {
  environment = function() return genet.template.new{path = "templates"} end,
}
of_module.live = {peers = nearby "debugpage.peers"}

of_module.document = {
  directory = function() return assert(require("genet.disk").directory("static")) end,
  doc = function(module)
    local directory = of_module.document.directory(module)
    return require("genet.document").new(assert(directory:open("a.css")), "text/css", {})
  end,
}

of_module.guard = {
  shop = function() return genet.app() end,
  app = function()
    local app = genet.app()
    app.unfinished = {}
    return app
  end,
}
of_module.gzip = {
  response = nearby "response",
  settings = {min = 1400, level = 5},
  page = ("x"):rep(2000),
}
of_module.hooks = {
  app = function()
    local app = genet.app()
    app:error(404, function() return "nothing" end)
    app:get("/", function() return "home" end)
    app:freeze()
    return app
  end,
}
of_module.http_error = {exchange = nearby "exchange"}

-- A connection to the server of the examples, which has been asked for "/".
local function connected(seconds)
  local made = require("genet.http.connection").new(core.now() + (tonumber(seconds) or 10))
  made.key = "http://127.0.0.1:80"
  local parts = require("genet.http.address").parse(surroundings.upstream)
  assert(made:connect(parts))
  made.held = true
  return made
end

local function asking()
  local made = connected()
  assert(made:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
  return made
end

local function request_out()
  return require("genet.http.request").new({}, {method = "GET", url = surroundings.upstream})
end

local function head_in()
  return require("genet.http.message").read_head(asking(), 65536)
end

local function connection_out()
  return surroundings.code:find("send", 1, true) and connected() or asking()
end

of_module["http.body"] = {connection = connection_out}
of_module["http.call"] = {client = function() return genet.http.client() end}
of_module["http.connection"] = {
  connection = function(module)
    if surroundings.code:find("connection.new", 1, true) then
      return require("genet." .. module)
    end
    return asking()
  end,
  fresh = function()
    return surroundings.code:find("secure", 1, true) and connected(0.1)
      or require("genet.http.connection").new(core.now() + 10)
  end,
  parts = function() return require("genet.http.address").parse(surroundings.upstream) end,
  context = function() return require("genet.http.tls").context{} end,
}
of_module["http.headers"] = {
  response = function()
    return {headers = require("genet.http.headers").new{"Set-Cookie", "a=1", "Set-Cookie", "b=2"}}
  end,
}
of_module["http.message"] = {
  connection = connection_out,
  head = head_in,
}
of_module["http.pool"] = {
  pool = function() return require("genet.http.pool").new{max_idle = 100,
    max_idle_per_host = 20, idle_timeout = 30} end,
  connection = connected,
}
of_module["http.request"] = {
  req = request_out, connection = connected, send_again = nothing,
}
of_module["http.response"] = {
  req = request_out, connection = asking, head = head_in, keep = nothing,
  response = function() return genet.http.get(surroundings.upstream, {stream = true}) end,
}
of_module["http.redirect"] = {
  response = function() return genet.http.get(surroundings.upstream) end,
}
of_module["http.tls"] = {
  session = function()
    return {sni = nothing, getpeercertificate = nothing}
  end,
}

of_module.init = {genet = function()
  return setmetatable({reload = function() return 2 end}, {__index = genet}) -- nothing is served
end}

of_module.metrics = {
  orders = function() return genet.metrics.counter("orders_total", "Orders.", {"kind"}) end,
  depth = function() return genet.metrics.gauge("depth", "Waiting.") end,
  latency = function() return genet.metrics.histogram("latency_seconds", "Time.") end,
}
of_module.multipart = {
  part = function() return require("genet.form").parts(surroundings.arguments[1])() end,
  limits = {max_form_parts = 10, max_form_memory_size = 1000, max_part_head = 1000},
  read = function()
    local body = "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz--\r\n"
    return function() local text = body body = nil return text end
  end,
}
of_module.password = {user = function()
  return {name = "ann", password = genet.password.hash("secret")}
end}
of_module.process = {
  child = function()
    local code = surroundings.code
    local writes = code:find("write", 1, true) or code:find("stdin", 1, true)
    return assert(genet.process.spawn{writes and "cat" or "ls", stdin = writes and "pipe" or nil})
  end,
}
of_module.recent = {
  pages = function() return require("genet.recent").new(1 << 20) end,
  page = {text = "x"},
}
of_module.router = {
  routes = function()
    local routes = require("genet.router").new()
    if surroundings.code:find("match", 1, true) then
      routes:add{rule = "/item/<id>", methods = {GET = true}, place = "app.lua:3"}
    end
    return routes
  end,
}
of_module.shared = {users = function()
  local users = genet.shared("users")
  users:set("7", {name = "Ann"})
  return users
end}
of_module.sse = {sse = function() return surroundings.arguments[1] end}
of_module.sync = {
  lock = function()
    local lock = genet.lock()
    if surroundings.code == "lock:release()" then lock:acquire() end
    return lock
  end,
  slots = function()
    local slots = genet.semaphore(4)
    if surroundings.code == "slots:release()" then slots:acquire() end
    return slots
  end,
}
of_module.task = {http = function() return require "socket.http" end}
of_module.template = {
  env = function() return genet.template.new{path = "templates"} end,
}
of_module["template.environment"] = of_module.template
of_module["template.format"] = {value = nearby "template.value", lookup = function()
  return function(_, name) return name end
end}
of_module["test.exchange"] = {fake = nearby "test.exchange", functions = {}}
of_module["test.jar"] = {
  cookies = function() return require("genet.test.jar").new() end,
  request = {host = "localhost", path = "/", scheme = "http"},
  client = function()
    local client = asked():test_client()
    client:get("/login")
    return client
  end,
}
of_module["test.client"] = {response = function()
  return asked():test_client():get("/items", {stream = true})
end}
of_module["test.request"] = {options = {}}
of_module["test.socket"] = {
  socket = nearby "test.socket",
  x = {accepted = {close = nothing}},
  ws = function()
    local welcomes = surroundings.code:find("receive", 1, true)
    local ws = asked():test_client():websocket(welcomes and "/welcome" or "/chat/room")
    surroundings.open[#surroundings.open + 1] = ws
    return ws
  end,
}
of_module.upload = {
  file = function() return surroundings.arguments[1].files.note end,
  part = function() return require("genet.form").parts(surroundings.arguments[1])() end,
}
of_module.websocket = {
  ws = function() return surroundings.arguments[1] end,
  x = 0,
  id = function() return surroundings.arguments[1].id end,
  news = function()
    local news = genet.subscribe("news")
    genet.publish("news", "it rains")
    genet.after(1, function() news:close() end)
    return news
  end,
  route = {},
}

local function require_near(module, name)
  local above = module:match("^(.*)%.[^.]+$")
  above = above and "genet." .. above .. "." or "genet."
  for _, path in ipairs{"genet." .. module .. "." .. name, above .. name, "genet." .. name} do
    local ok, found = pcall(require, path)
    if ok then return found end
    if not tostring(found):find("module '" .. path:gsub("%p", "%%%0") .. "' not found", 1) then
      error(found, 0)
    end
  end
end

local function environment(module)
  local own, last = of_module[module] or {}, module:match("[^.]+$")
  return setmetatable({core = core, assert = luassert}, {__index = function(self, name)
    local get = own[name] or given[name]
    local found
    local is_module = name == last and name ~= "app" and name ~= "connection"
      and surroundings.code:find("%f[%w]" .. name .. "%.%a")
    if is_module and not (own[name] and name == "complete") then
      found = require("genet." .. module)
    elseif get ~= nil then found = type(get) == "function" and get(module) or get
    elseif _G[name] ~= nil then found = _G[name]
    else found = require_near(module, name) end
    rawset(self, name, found)
    return found
  end})
end

-- The ways to an example: in the handler of a form, of events, of a WebSocket.
local ways = {}

local PHOTO = {filename = "photo.jpg", content = "a\nb"}

function ways.post(app, module, run)
  local multipart = module == "form" or module == "multipart" or module == "upload"
    or surroundings.code:find("part", 1, true) or surroundings.code:find("files", 1, true)
  local json = surroundings.code:find("json", 1, true)
  local form = module == "password" or surroundings.code:find("form", 1, true)
  app:post("/run", function(req)
    run(req)
    return not require("genet.exchange").started(req._exchange) and "done" or nil
  end)
  app:test_client():post("/run?page=2&tag=a&tag=b", {
    headers = {accept = "text/html", user_agent = "x"},
    json = not multipart and json and {id = 1} or nil,
    body = not json and not multipart and not form and "a body" or nil,
    form = (multipart or form and not json) and {title = "x", password = "secret"} or nil,
    files = multipart and {note = PHOTO, names = PHOTO} or nil,
  })
end

function ways.sse(app, _, run)
  app:sse("/run", run)
  app:test_client():get("/run")
end

function ways.websocket(app, _, run)
  local over = genet.event()
  app:websocket("/run", function(ws)
    run(ws)
    over:set()
  end)
  local ws <close> = app:test_client():websocket("/run")
  ws:send("hello")
  genet.sleep(20)
  ws:close()
  over:wait()
end

-- A server that answers anything with JSON. What waits for it keeps time from being skipped.
local function start_upstream()
  if surroundings.upstream then return end
  local listener = assert(require("socket").bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  surroundings.upstream = ("http://127.0.0.1:%d/"):format(port)
  surroundings.server = genet.spawn({detach = true}, function()
    while true do
      local client = assert(listener:accept())
      genet.spawn(function()
        for line in function() return client:receive("*l") end do
          if line == "" then
            client:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\n"
              .. '[1,2]')
          end
        end
        client:close()
      end)
    end
  end)
end

--- Ends what examples have begun and left.
function surroundings.stop()
  for _, one in ipairs(surroundings.open) do one:close() end
  if surroundings.server then surroundings.server:cancel() end
end

--- Calls fn(environment) for a module's example as part of a request; returns what it returns.
function surroundings.within(module, code, fn)
  surroundings.code = code
  if module:find("^http") then start_upstream() end
  local app = genet.app()
  app:sessions{secret = ("x"):rep(32)}
  app:get("/login", {name = "login"}, nothing)
  app:get("/item/<int:id>", {name = "item"}, nothing)
  app:get("/show/<int:id>", {name = "show"}, nothing)
  local has_run, result
  local way = ways[module] or ways.post
  way(app, module, function(...)
    has_run = true
    surroundings.arguments = table.pack(...)
    result = fn(environment(module))
  end)
  return not has_run and "it was not run" or result
end

return surroundings
