--- Debug mode's page about an error: what was raised, the stack with sources and variables, and the
-- request. It is for who writes the scripts: others get the plain answer, see
-- `genet.debugpage.peers`. A client that asks for JSON gets that, one that does not ask for a page
-- a text.
--
-- As with Flask, the page comes before a handler of `app:error` that would answer with a 500: one
-- that makes another answer of an error keeps its word.
-- @module genet.debugpage

local capture = require "genet.debugpage.capture"
local describe = require "genet.debugpage.describe"
local exchange = require "genet.exchange"
local generations = require "genet.generations"
local log = require "genet.log"
local peers = require "genet.debugpage.peers"
local render = require "genet.debugpage.render"
local repr = require "genet.debugpage.repr"
local task = require "genet.task"

local debugpage = {}

--- The path of the page about scripts that could not be loaded.
debugpage.PATH = "/_genet/problem"

local KEPT = "genet.debugpage" -- what a generation that fails leaves to the one that serves

local FORMS = {
  html = "Content-Type: text/html; charset=utf-8\r\nX-Frame-Options: DENY\r\n",
  json = "Content-Type: application/json\r\n",
  text = "Content-Type: text/plain; charset=utf-8\r\n",
}
local HEAD = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"

-- What the client asks for: "html", "json" or "text".
local function form_for(x)
  local accept = (exchange.header(x, "accept") or ""):lower()
  if accept:find("text/html", 1, true) or accept:find("application/xhtml", 1, true) then
    return "html"
  end
  return accept:find("application/json", 1, true) and "json" or "text"
end

-- The page could fail too; what was raised is told in any case.
local function body_of(form, err, stack, x)
  local shown = describe.failure(err, stack, x)
  local ok, body = pcall(render[form], shown)
  if ok then return FORMS[form], body end
  log.error("the page about an error fails: %s", body)
  return FORMS.text, render.text(shown)
end

-- The head without its type.
local function untyped(head)
  return (("\r\n" .. head):gsub("\r\n[Cc]ontent%-[^:\r\n]*:[^\r\n]*", ""):gsub("^\r\n", ""))
end

-- Waits that it needs go on although the request is over its time.
local function answer(err, stack, x, head)
  local ok, type_line, body = pcall(task.shield, body_of, form_for(x), err, stack, x)
  if not ok then
    log.error("the page about an error fails: %s", type_line)
    return nil
  end
  return untyped(head) .. type_line .. HEAD, body
end

--- Has the host show what fails. It belongs in front of what loads the scripts.
-- @usage debugpage.begin()
function debugpage.begin()
  capture.begin()
end

--- Keeps the page about why the scripts could not be loaded, for the generation that serves on.
-- Called by what handles that error. Waits.
-- @tparam string problem
-- @usage debugpage.keep_problem("scripts/main.lua:3: unexpected symbol")
function debugpage.keep_problem(problem)
  local ok, why = pcall(task.shield, function()
    local stack = capture.take(problem)
    local shown = describe.failure(stack and stack.err or problem, stack)
    shown.message = repr.clean(problem)
    shown.loading = true
    generations.keep(KEPT, render.html(shown))
  end)
  if not ok then log.error("the page about an error fails: %s", why) end
end

local function show_problem(req, allowed)
  local _, problem = generations.latest()
  local page = problem and generations.kept(KEPT)
  if not page or not peers.may_see(allowed, req._exchange) then return 404 end
  return page, 500, {["Cache-Control"] = "no-store", ["X-Frame-Options"] = "DENY"}
end

--- Puts the page in place of an app's plain answers to failures.
-- @tparam App app
-- @tparam table allowed as `peers.parse` gives it
-- @usage debugpage.attach(app, peers.parse())
function debugpage.attach(app, allowed)
  app:get(debugpage.PATH, function(req) return show_problem(req, allowed) end)
  local failed = app.failed
  function app:failed(x, err, ended)
    local stack = capture.take(err)
    local code, head, body, logged = failed(self, x, err, ended)
    if not code or code < 500 or capture.is_meant(err) then return code, head, body, logged end
    if not peers.may_see(allowed, x) then return code, head, body, logged end
    local new_head, new_body = answer(err, stack, x, head)
    return code, new_head or head, new_body or body, logged
  end
end

return debugpage
