-- Rooms to talk in: open /chat in two windows. Each window is a WebSocket that joins the topic of
-- its room; what one says is published there, and all have it.

local genet = require "genet"
local app = genet.app()

local LONGEST_NAME, LONGEST_TEXT, HISTORY = 30, 1000, 30 -- characters, characters, messages
local EVERYBODY = "chat" -- the topic of those who are in any room

local rooms = {} -- by name: {name =, names = the name of each WebSocket, count =, said =}
local online = 0

local function topic_of(room)
  return EVERYBODY .. "/" .. room.name
end

-- Who is here, and where --------------------------------------------------------------------------

local function room_list()
  local list = genet.json.array{}
  for name, room in pairs(rooms) do list[#list + 1] = {name = name, count = room.count} end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function people_in(room)
  local list = {}
  for _, name in pairs(room.names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local changed = {}

local function announce()
  for room in pairs(changed) do
    if room.count > 0 then
      local who = {type = "who", names = people_in(room)}
      genet.publish(topic_of(room), genet.json.encode(who))
    end
  end
  changed = {}
  local all = {type = "rooms", rooms = room_list(), online = online}
  genet.publish(EVERYBODY, genet.json.encode(all))
end

-- Many may come and go at once; everybody hears of it together, a moment later.
local function note_change(room)
  if not next(changed) then
    genet.spawn({name = "chat", detach = true}, function()
      genet.sleep(0.05)
      announce()
    end)
  end
  changed[room] = true
end

local function unique_name(room, name)
  local taken = {}
  for _, other in pairs(room.names) do taken[other] = true end
  local unique, n = name, 1
  while taken[unique] do
    n = n + 1
    unique = name .. " " .. n
  end
  return unique
end

local Seat = {}

-- Takes a seat in a room, which a `<close>` variable gives up again.
local function enter(ws, name, wanted)
  local room = rooms[name] or {name = name, names = {}, count = 0, said = genet.json.array{}}
  rooms[name] = room
  room.names[ws] = unique_name(room, wanted)
  room.count, online = room.count + 1, online + 1
  ws:join(EVERYBODY)
  ws:join(topic_of(room))
  note_change(room)
  return setmetatable({ws = ws, room = room, name = room.names[ws]}, Seat)
end

function Seat:__close()
  local room = self.room
  room.names[self.ws] = nil
  room.count, online = room.count - 1, online - 1
  if room.count == 0 then rooms[room.name] = nil end
  note_change(room)
end

-- Talking -----------------------------------------------------------------------------------------

-- The text without blanks around it, cut to so many characters; nil when nothing is left of it.
local function tidy(text, longest)
  if type(text) ~= "string" or not utf8.len(text) then return nil end
  text = text:gsub("%c", " "):match("^%s*(.-)%s*$")
  local stop = utf8.offset(text, longest + 1)
  text = stop and text:sub(1, stop - 1) or text
  return text ~= "" and text or nil
end

local function say(seat, text)
  local said = {type = "said", name = seat.name, text = text, at = os.time()}
  local room = seat.room
  table.insert(room.said, said)
  if #room.said > HISTORY then table.remove(room.said, 1) end
  genet.publish(topic_of(room), genet.json.encode(said))
end

app:websocket("/chat/<room>", {max_message = 8192}, function(ws, room)
  local name = tidy(ws.request.args.name, LONGEST_NAME) or "guest"
  local seat <close> = enter(ws, tidy(room, LONGEST_NAME) or "lobby", name)
  local hello = {type = "welcome", you = seat.name, room = seat.room.name, said = seat.room.said}
  ws:send(genet.json.encode(hello))
  for message in ws:messages() do
    local text = tidy(message, LONGEST_TEXT)
    if text then say(seat, text) end
  end
end)

-- The page ----------------------------------------------------------------------------------------

local PAGE = [==[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Chat</title>
<link rel="icon" href="data:,">
<style>
  :root {
    --page: #f3f4f8; --card: #fff; --ink: #1b1f2a; --soft: #5d6576; --line: #dfe2ea;
    --accent: #4452c7; --on-accent: #fff; --theirs: #eef0f6; --good: #1d7f4b; --bad: #b3501b;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --page: #12141b; --card: #1b1e28; --ink: #e8eaf1; --soft: #9aa3b8; --line: #2d3242;
      --accent: #8e9bff; --on-accent: #12141b; --theirs: #272b39; --good: #6fd3a0; --bad: #f0a071;
    }
  }
  * { box-sizing: border-box; }
  [hidden] { display: none !important; }
  body {
    margin: 0; height: 100vh; height: 100dvh; display: grid; place-items: center;
    background: var(--page); color: var(--ink); font: 16px/1.45 system-ui, sans-serif;
  }
  h1, h2, p, ul { margin: 0; padding: 0; }
  ul { list-style: none; }
  h2 {
    font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft);
    margin-bottom: .4rem;
  }
  input, button { font: inherit; color: inherit; border-radius: .6rem; min-width: 0; }
  input {
    border: 1px solid var(--line); background: var(--page); padding: .6rem .8rem; font-weight: 400;
  }
  button {
    border: 0; padding: .6rem 1.1rem; cursor: pointer; font-weight: 600;
    background: var(--accent); color: var(--on-accent);
  }
  button:hover { filter: brightness(1.08); }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  .card { background: var(--card); border: 1px solid var(--line); border-radius: 1rem; }
  .dot { display: inline-block; width: .55rem; height: .55rem; border-radius: 50%; }

  #door { padding: 2rem; width: min(24rem, calc(100vw - 2rem)); display: grid; gap: 1rem; }
  #door p { color: var(--soft); }
  #door label { display: grid; gap: .3rem; font-weight: 600; }

  #chat {
    width: min(60rem, 100vw - 2rem); height: min(46rem, 100% - 2rem); overflow: hidden;
    display: grid; grid-template: auto 1fr / 14rem 1fr;
  }
  header {
    grid-column: 1 / -1; display: flex; align-items: center; gap: .6rem 1rem;
    padding: .8rem 1.2rem; border-bottom: 1px solid var(--line);
  }
  header h1 { font-size: 1.1rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  header h1::before { content: "# "; color: var(--soft); }
  #state { color: var(--soft); font-size: .85rem; margin-right: auto; }
  #state .dot { background: var(--bad); margin-right: .35rem; }
  #state.live .dot { background: var(--good); }
  #online { font-size: .85rem; color: var(--soft); white-space: nowrap; }

  aside {
    padding: 1rem; border-right: 1px solid var(--line); overflow: auto;
    display: flex; flex-direction: column; gap: 1.4rem;
  }
  #rooms button {
    width: 100%; display: flex; justify-content: space-between; gap: .5rem; padding: .35rem .6rem;
    background: none; color: inherit; font-weight: 400; text-align: left;
  }
  #rooms button:hover { background: var(--theirs); filter: none; }
  #rooms [aria-current] { background: var(--theirs); font-weight: 600; }
  #rooms .count { color: var(--soft); font-variant-numeric: tabular-nums; }
  #rooms span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  #elsewhere { display: flex; margin-top: .5rem; }
  #elsewhere input { width: 100%; padding: .35rem .6rem; font-size: .9rem; }
  #who li { display: flex; align-items: center; gap: .5rem; padding: .2rem 0; }
  .face {
    flex: none; width: 1.7rem; height: 1.7rem; border-radius: 50%; display: grid;
    place-items: center; font-size: .8rem; font-weight: 700; color: #fff;
  }
  #who .you::after { content: "you"; color: var(--soft); font-size: .75rem; }

  main { display: grid; grid-template-rows: 1fr auto; min-height: 0; min-width: 0; }
  #log {
    overflow-y: auto; overflow-wrap: anywhere; scrollbar-width: thin; padding: 1.2rem;
    display: flex; flex-direction: column; gap: .2rem;
  }
  #log::before { content: ""; margin-top: auto; }
  #log.empty::after {
    content: "Nobody has said anything yet."; color: var(--soft); text-align: center;
    margin-bottom: auto;
  }
  .said { display: grid; grid-template-columns: 1.7rem 1fr; gap: 0 .6rem; max-width: 85%; }
  .said .face { grid-row: 1 / 3; align-self: end; }
  .said .by { font-size: .78rem; color: var(--soft); padding: .4rem .2rem .1rem; }
  .said .by b { color: var(--ink); }
  .said .text {
    justify-self: start; background: var(--theirs); padding: .45rem .8rem;
    border-radius: .9rem .9rem .9rem .2rem;
  }
  .said:not(.same) { margin-top: .5rem; }
  .said.same .by, .said.mine .by b { display: none; }
  .said.same .face { visibility: hidden; }
  .said.mine { align-self: flex-end; grid-template-columns: 1fr; }
  .said.mine .face { display: none; }
  .said.mine .by { text-align: right; }
  .said.mine .text {
    justify-self: end; background: var(--accent); color: var(--on-accent);
    border-radius: .9rem .9rem .2rem .9rem;
  }
  #talk { display: flex; gap: .6rem; padding: 1rem; border-top: 1px solid var(--line); }
  #talk input { flex: 1; }
  .away { position: absolute; left: -999rem; }

  @media (max-width: 40rem) {
    #chat {
      grid-template: auto auto 1fr / 1fr; width: 100%; height: 100%; border: 0; border-radius: 0;
    }
    aside {
      border-right: 0; border-bottom: 1px solid var(--line); padding: .6rem 1rem;
      flex-direction: row; gap: 1.2rem; max-height: 9rem;
    }
    aside > * { flex: 1; min-width: 0; }
  }
</style>

<form id="door" class="card">
  <h1>Chat</h1>
  <p>Choose a name, and a room to talk in.</p>
  <label>Your name
    <input id="name" required maxlength="30" autocomplete="nickname" autofocus>
  </label>
  <label>Room
    <input id="room" required maxlength="30" value="lobby" autocomplete="off">
  </label>
  <button>Join</button>
</form>

<div id="chat" class="card" hidden>
  <header>
    <h1 id="here"></h1>
    <span id="state" role="status"><span class="dot"></span><span id="how"></span></span>
    <span id="online" aria-live="polite"></span>
  </header>
  <aside>
    <section aria-labelledby="rooms-title">
      <h2 id="rooms-title">Rooms</h2>
      <ul id="rooms"></ul>
      <form id="elsewhere">
        <label class="away" for="other">Go to another room</label>
        <input id="other" maxlength="30" placeholder="Another room…" autocomplete="off">
      </form>
    </section>
    <section aria-labelledby="who-title">
      <h2 id="who-title">Here</h2>
      <ul id="who"></ul>
    </section>
  </aside>
  <main>
    <div id="log" class="empty" role="log" aria-label="Messages" tabindex="0"></div>
    <form id="talk">
      <label class="away" for="text">Message</label>
      <input id="text" maxlength="1000" placeholder="Say something…" autocomplete="off">
      <button>Send</button>
    </form>
  </main>
</div>

<script>
"use strict";
const $ = (id) => document.getElementById(id);
let room, name, you, socket, failures = 0, retry;

// What people wrote goes through textContent only.
function make(tag, className, text) {
  const it = document.createElement(tag);
  if (className) it.className = className;
  if (text !== undefined) it.textContent = text;
  return it;
}

function face(of) {
  let hue = 0;
  for (const letter of of) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  const it = make("span", "face", [...of][0].toUpperCase());
  it.style.background = `hsl(${hue} 45% 42%)`;
  it.setAttribute("aria-hidden", "true");
  return it;
}

function show(said) {
  const log = $("log"), last = log.lastElementChild;
  const nearEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const it = make("div", said.name === you ? "said mine" : "said");
  if (last && last.dataset.by === said.name) it.classList.add("same");
  it.dataset.by = said.name;
  const by = make("div", "by");
  const at = new Date(said.at * 1000);
  const time = at.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
  by.append(make("b", "", said.name), " " + time);
  it.append(face(said.name), by, make("div", "text", said.text));
  log.append(it);
  log.classList.remove("empty");
  while (log.childElementCount > 500) log.firstElementChild.remove();
  if (nearEnd || said.name === you) log.scrollTop = log.scrollHeight;
}

const on = {
  welcome(message) {
    you = message.you;
    $("here").textContent = room = message.room;
    $("log").replaceChildren();
    $("log").classList.add("empty");
    message.said.forEach(show);
    $("log").scrollTop = $("log").scrollHeight;
  },
  said: show,
  who(message) {
    $("who").replaceChildren(...message.names.map((who) => {
      const it = make("li");
      it.append(face(who), make("span", who === you ? "you" : "", who + " "));
      return it;
    }));
  },
  rooms(message) {
    $("online").textContent = message.online + " online";
    $("rooms").replaceChildren(...message.rooms.map((one) => {
      const it = make("li"), button = make("button");
      button.append(make("span", "", one.name), make("span", "count", one.count));
      button.setAttribute("aria-label", `${one.name}, ${one.count} here`);
      if (one.name === room) button.setAttribute("aria-current", "true");
      button.onclick = () => go(one.name);
      it.append(button);
      return it;
    }));
  },
};

function state(text, live) {
  $("how").textContent = text;
  $("state").classList.toggle("live", live);
}

function leave() {
  clearTimeout(retry);
  if (socket) { socket.onclose = null; socket.close(); }
}

function connect() {
  leave();
  const url = new URL("/chat/" + encodeURIComponent(room), location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.searchParams.set("name", name);
  socket = new WebSocket(url);
  socket.onopen = () => { failures = 0; state("connected", true); };
  socket.onmessage = (event) => { const m = JSON.parse(event.data); on[m.type](m); };
  socket.onclose = () => {
    state("connecting again…", false);
    const wait = Math.min(10000, 250 * 2 ** failures++) * (0.5 + Math.random() / 2);
    retry = setTimeout(connect, wait);
  };
}

function go(where) {
  room = where.trim().replaceAll("/", "-");
  if (!room) return;
  $("here").textContent = room;
  document.title = room + " · Chat";
  history.replaceState(null, "", "#" + encodeURIComponent(room));
  state("connecting…", false);
  connect();
  $("text").focus();
}

$("door").onsubmit = (event) => {
  event.preventDefault();
  name = $("name").value.trim();
  if (!name) return;
  sessionStorage.setItem("name", name);
  $("door").hidden = true;
  $("chat").hidden = false;
  go($("room").value);
};
$("elsewhere").onsubmit = (event) => {
  event.preventDefault();
  go($("other").value);
  $("other").value = "";
};
$("talk").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || socket.readyState !== WebSocket.OPEN) return;
  socket.send(text);
  $("text").value = "";
};
window.addEventListener("online", () => { if (name) connect(); });

// A page that is left may be kept, to be shown again: without this its socket would stay, too.
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", (event) => { if (event.persisted && name) connect(); });

try { $("room").value = decodeURIComponent(location.hash.slice(1)) || "lobby"; } catch { /* odd */ }
$("name").value = sessionStorage.getItem("name") || "";
if ($("name").value) $("door").requestSubmit();
</script>
]==]

app:get("/chat", function()
  return PAGE, 200, {
    ["Content-Security-Policy"] = "default-src 'none'; connect-src 'self'; img-src data:; "
      .. "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
      .. "form-action 'none'; frame-ancestors 'none'",
  }
end)

return app
