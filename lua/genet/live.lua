--- What debug mode adds to an app, for who writes its scripts: each answer says which generation
-- has made it, and each page that a browser shows reloads itself when another serves, or tells why
-- none does.
-- @module genet.live

local debugpage = require "genet.debugpage"
local exchange = require "genet.exchange"
local generations = require "genet.generations"
local json = require "genet.json"
local peers = require "genet.debugpage.peers"

local live = {}

local PATH = "/_genet/live"
local HEARTBEAT = 15 -- seconds; a proxy may close what is silent

local SCRIPT = [[

<script>
(function () {
  var events = new EventSource("%s?%d"), page = "%s", banner, told;
  var on_page = location.pathname === page;
  events.addEventListener("reload", function () {
    if (!on_page) return location.reload();
    var back = decodeURIComponent(location.hash.slice(1));
    location.replace(/^\/[^\/\\]/.test(back) ? back : "/");
  });
  events.addEventListener("problem", function (event) {
    if (on_page && told && told !== event.data) location.reload();
    told = event.data;
    if (on_page) return;
    banner = banner || document.body.appendChild(document.createElement("pre"));
    banner.id = "genet-problem";
    banner.style = "position:fixed;inset:auto 0 0 0;margin:0;padding:1em;z-index:2147483647;"
      + "background:#800;color:#fff;white-space:pre-wrap;max-height:50vh;overflow:auto";
    banner.textContent = JSON.parse(event.data) + "\n\n";
    var link = banner.appendChild(document.createElement("a"));
    link.href = page + "#" + encodeURIComponent(location.pathname + location.search);
    link.style.color = "#fff";
    link.textContent = "Show the traceback";
  });
})();
</script>
]]

-- Sends what becomes of the generation until another serves. Waits.
local function tell(req, mine, allowed)
  local told
  local trusted = peers.may_see(allowed, req._exchange)
  req:start(200, {["Content-Type"] = "text/event-stream", ["Cache-Control"] = "no-store"})
  while true do
    local serves, problem = generations.latest()
    if serves ~= mine then return req:write("event: reload\ndata:\n\n") end
    if trusted and problem and problem ~= told then
      req:write(("event: problem\ndata: %s\n\n"):format(json.encode(problem)))
    end
    told = problem
    if not generations.change(HEARTBEAT) then req:write(":\n\n") end
  end
end

-- Whether the answer is a page, asked for by what shows pages.
local function is_page(x, head)
  local lower = head:lower()
  return (exchange.header(x, "accept") or ""):find("text/html", 1, true)
    and lower:find("content-type: text/html", 1, true)
    and not lower:find("content-length:", 1, true)
    and not lower:find("content-encoding:", 1, true)
end

--- Adds this to an app whose routes are all there.
-- @tparam App app
-- @tparam integer number of its generation
-- @tparam table allowed who is told why the scripts could not be loaded: see
--   `genet.debugpage.peers`
-- @usage live.attach(app, core.generation(), peers.parse())
function live.attach(app, number, allowed)
  local header = ("X-Genet-Generation: %d\r\n"):format(number)
  local script = SCRIPT:format(PATH, number, debugpage.PATH)

  app:get(PATH, function(req) tell(req, tonumber(req.query), allowed) end)

  local start = exchange.start
  function exchange.start(x, status, head, length)
    return start(x, status, head .. header, length)
  end

  local dispatch, failed = app.dispatch, app.failed
  function app:dispatch(x, ...)
    local status, head, body = dispatch(self, x, ...)
    if not status then return nil end
    return status, head .. header, is_page(x, head) and body .. script or body
  end

  function app:failed(x, ...)
    local status, head, body, logged = failed(self, x, ...)
    if not status then return nil, nil, nil, logged end
    return status, head .. header, is_page(x, head) and body .. script or body, logged
  end
end

return live
