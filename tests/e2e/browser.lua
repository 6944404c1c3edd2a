--- Drives Debian's Chromium, headless, by WebDriver: what a user would see and do.
--
--     local window = browser.start()
--     window:open(server_url)
--     window:type("#name", "Ann\n")
--     window:wait_for_text("#who", "Ann")
--     window:quit()
--
-- An element is named by a CSS selector; a command waits until there is one. Every wait has the
-- deadline `support.patience`. The browser dies with the test that has started it, and leaves no
-- process and no file behind.
local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local mime = require "mime"
local support = require "tests.e2e.support"

local browser = {}

local Window = {}
Window.__index = Window

local ELEMENT = "element-6066-11e4-a52e-4f735466cecf" -- the key that WebDriver gives elements by
local EMPTY = {} -- as JSON an object

-- ---------------------------------------------------------------- WebDriver

-- Sends a command; returns its value, or nil, the error's name and its message.
local function send(self, method, path, body)
  local pieces, text = {}, body and cjson.encode(body)
  local ok, status = http.request{
    url = self.driver.url .. path,
    method = method,
    headers = text and {["Content-Type"] = "application/json", ["Content-Length"] = #text},
    source = text and ltn12.source.string(text),
    sink = ltn12.sink.table(pieces),
  }
  if not ok then error("chromedriver does not answer: " .. status, 0) end
  local value = cjson.decode(table.concat(pieces)).value
  if status == 200 then return value end
  return nil, value.error, value.message
end

local function command(self, method, path, body)
  local value, kind, message = send(self, method, path, body)
  if kind then error(("%s %s: %s: %s"):format(method, path, kind, message), 0) end
  return value
end

-- The same in this window of the session.
local function in_window(self, method, path, body)
  local driver = self.driver
  if driver.current ~= self.handle then
    command(self, "POST", driver.session .. "/window", {handle = self.handle})
    driver.current = self.handle
  end
  return command(self, method, driver.session .. path, body)
end

-- ---------------------------------------------------------------- the process

-- Ends with the input of the shell: with the test. Where it may be, the shell is the first process
-- of a namespace, which nothing outlives; elsewhere it ends all processes of its session. A
-- free port of IPv6 may be taken in IPv4: then chromedriver ends, and is started again.
local KEEPER = [[
dir=$1
keep() {
  cd "$dir"
  export HOME="$dir" TMPDIR="$dir"
  { for _ in 1 2 3; do chromedriver --port=0 && break; done; } >out 2>&1 </dev/null &
  read -r _
}
end_session() {
  for stat in /proc/[0-9]*/stat; do
    set -- $(sed 's/^\([0-9]*\) (.*) /\1 /' "$stat" 2>/dev/null)
    [ "${5:-}" != $$ ] || [ "$1" = $$ ] || kill -KILL "$1" 2>/dev/null
  done
}
if [ $$ = 1 ]; then
  keep
elif unshare --fork --pid --mount-proc true 2>/dev/null; then
  unshare --fork --pid --mount-proc sh -c "$2" sh "$dir" "$2"
  rm -rf "$dir"
else
  keep
  end_session
  rm -rf "$dir"
fi
]]

local function await_port(driver)
  return support.wait_until("chromedriver", function()
    return support.read_file(driver.directory .. "/out"):match("successfully on port (%d+)")
  end)
end

local function new_session(self)
  local arguments = {
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-sync",
    "--disable-crash-reporter", "--window-size=1000,760",
    "--user-data-dir=" .. self.driver.directory .. "/profile",
    "--no-sandbox", -- which Chromium has none of as root
  }
  local value = command(self, "POST", "/session", {capabilities = {alwaysMatch = {
    ["goog:chromeOptions"] = {args = arguments},
  }}})
  self.driver.session = "/session/" .. value.sessionId
  self.handle = command(self, "GET", self.driver.session .. "/window")
  self.driver.current = self.handle
end

--- Starts a browser; gives its first window.
function browser.start()
  local driver = {directory = support.directory()}
  driver.keeper = assert(io.popen(("exec setsid -w sh -c %s sh %s %s"):format(
    support.quote(KEEPER), driver.directory, support.quote(KEEPER)), "w"))
  local self = setmetatable({driver = driver}, Window)
  local ok, problem = pcall(function()
    driver.url = "http://127.0.0.1:" .. await_port(driver)
    new_session(self)
  end)
  if ok then return self end
  local log = support.read_file(driver.directory .. "/out")
  self:quit()
  error(problem .. "\n" .. log, 2)
end

--- Ends the browser with all its windows.
function Window:quit()
  if self.driver.session then pcall(command, self, "DELETE", self.driver.session) end
  self.driver.session = nil
  self.driver.keeper:close()
end

-- ---------------------------------------------------------------- windows

--- Another window of the same browser.
function Window:another()
  local made = in_window(self, "POST", "/window/new", {type = "window"})
  return setmetatable({driver = self.driver, handle = made.handle}, Window)
end

--- Closes the window. The last one's browser still waits to be ended.
function Window:close()
  in_window(self, "DELETE", "/window")
  self.driver.current = nil
end

--- Loads a page, and waits until it is there.
function Window:open(url)
  in_window(self, "POST", "/url", {url = url})
end

--- Loads it again.
function Window:reload()
  in_window(self, "POST", "/refresh", EMPTY)
end

function Window:title()
  return in_window(self, "GET", "/title")
end

--- Whether pages that ask are told `"dark"` or `"light"`.
function Window:prefer(scheme)
  in_window(self, "POST", "/goog/cdp/execute", {cmd = "Emulation.setEmulatedMedia",
    params = {features = {{name = "prefers-color-scheme", value = scheme}}}})
end

--- Makes the page as large as this, as if on a smaller screen.
function Window:resize(width, height)
  in_window(self, "POST", "/goog/cdp/execute", {cmd = "Emulation.setDeviceMetricsOverride",
    params = {width = width, height = height, deviceScaleFactor = 1, mobile = false}})
end

--- What JavaScript returns; `arguments[0]` and so on are what follows it here.
function Window:run(script, ...)
  local arguments = {...}
  arguments[#arguments + 1] = cjson.null -- an empty list would become an object
  return in_window(self, "POST", "/execute/sync", {script = script, args = arguments})
end

--- Writes a picture of the window, PNG.
function Window:screenshot(path)
  support.write_file(path, (mime.unb64(in_window(self, "GET", "/screenshot"))))
end

-- ---------------------------------------------------------------- elements

-- Tries until it works, since pages change while one looks.
local function patiently(what, fn)
  local problem
  local ok, result = pcall(support.wait_until, what, function()
    local done, value = pcall(fn)
    problem = not done and value or nil
    return done and {value}
  end)
  if ok then return result[1] end
  error(result .. (problem and "\n" .. tostring(problem) or ""), 3)
end

local function find(self, css)
  return in_window(self, "POST", "/element", {using = "css selector", value = css})[ELEMENT]
end

--- Waits until there is such an element.
function Window:find(css)
  return patiently(css, function() return find(self, css) end)
end

--- How many there are.
function Window:count(css)
  return #in_window(self, "POST", "/elements", {using = "css selector", value = css})
end

--- Its text, as it is seen.
function Window:text(css)
  return patiently(css, function()
    return in_window(self, "GET", "/element/" .. find(self, css) .. "/text")
  end)
end

function Window:click(css)
  patiently("a click on " .. css, function()
    in_window(self, "POST", "/element/" .. find(self, css) .. "/click", EMPTY)
    return true
  end)
end

--- Types into it, key by key; `"\n"` is the Enter key.
function Window:type(css, text)
  patiently("typing into " .. css, function()
    in_window(self, "POST", "/element/" .. find(self, css) .. "/value",
      {text = (text:gsub("\n", "\u{E007}"))})
    return true
  end)
end

--- Waits until `probe(window)` gives something true, and gives that.
function Window:wait_until(what, probe)
  return patiently(what, function() return probe(self) or error("not yet", 0) end)
end

--- Waits until its text holds this, plainly; gives the whole text.
function Window:wait_for_text(css, wanted)
  local last
  local ok, problem = pcall(support.wait_until, ("%q in %s"):format(wanted, css), function()
    local found, text = pcall(function()
      return in_window(self, "GET", "/element/" .. find(self, css) .. "/text")
    end)
    last = text
    return found and text:find(wanted, 1, true)
  end)
  if not ok then error(("%s, which holds %q"):format(problem, last), 2) end
  return last
end

return browser
