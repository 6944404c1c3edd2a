local support = require "support"
local app = require "genet.app"
local json = require "genet.json"
local sse = require "genet.sse"
local sync = require "genet.sync"
local task = require "genet.task"

describe("an event", function()
  local cases = {
    {"hello", "data: hello\n\n"},
    {"", "data: \n\n"},
    {12, "data: 12\n\n"},
    {true, "data: true\n\n"},
    {" a", "data:  a\n\n"},
    {"a\nb", "data: a\ndata: b\n\n"},
    {"a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n\n"},
    {"a\n\nb", "data: a\ndata: \ndata: b\n\n"},
    {{data = "x"}, "data: x\n\n"},
    {{data = {1, 2}}, "data: [1,2]\n\n"},
    {{event = "note", data = "x"}, "event: note\ndata: x\n\n"},
    {{event = "note", data = ""}, "event: note\ndata: \n\n"},
    {{id = 7}, "id: 7\n\n"},
    {{id = "", data = "x"}, "id: \ndata: x\n\n"},
    {{retry = 1.5}, "retry: 1500\n\n"},
    {{id = "a", event = "b", retry = 0, data = "c"}, "id: a\nevent: b\nretry: 0\ndata: c\n\n"},
  }
  for _, case in ipairs(cases) do
    local event, text = table.unpack(case)
    it(("is %q"):format(text), function() assert.equal(text, sse.encode(event)) end)
  end

  it("has a table as JSON", function()
    local text = sse.encode{data = {a = {b = "line\nbreak"}}}
    assert.same({a = {b = "line\nbreak"}}, json.decode(text:match("^data: (.*)\n\n$")))
  end)

  local mistakes = {
    {{event = "a\nb", data = ""}, "event has a line break"},
    {{event = "a\rb", data = ""}, "event has a line break"},
    {{id = "a\nb"}, "id has a line break"},
    {{id = "a\0b"}, "id has a line break or a NUL"},
    {{id = {}}, "id is a table"},
    {{event = "a"}, "event without data"},
    {{retry = "1"}, "retry is no number of seconds"},
    {{retry = -1}, "retry is no number of seconds"},
    {{retry = 0 / 0}, "retry is no number of seconds"},
    {{message = "a"}, "unknown field 'message'"},
    {{}, "is empty"},
    {{data = print}, "data is a function"},
    {{data = {print}}, "data is no JSON"},
    {nil, "data is a nil"},
  }
  for _, case in pairs(mistakes) do
    local event, problem = case[1], case[2]
    it("refused: " .. problem, function()
      local err = support.raised(sse.encode, event)
      assert.truthy(err:find(problem, 1, true), err)
    end)
  end
end)

describe("a route of events", function()
  local spawned, current, event = task.spawn, task.current, sync.event
  local over, beats, cancelled

  before_each(function()
    over, beats, cancelled = false, {}, false
    function task.spawn(_, fn, ...) beats[#beats + 1] = {fn, ...} end
    function task.current() return {cancel = function() cancelled = true end} end
    function sync.event()
      return setmetatable({wait = function(self, seconds)
        self.waited = seconds
        self.turns = (self.turns or 0) + 1
        return self.turns > 2
      end}, {__close = function() over = true end})
    end
  end)

  teardown(function() task.spawn, task.current, sync.event = spawned, current, event end)

  local function ask(given, method, ...)
    local site, x = app.new(), support.exchange(given)
    site:sse("/events/<int:n>", ...)
    return x, pcall(site.dispatch, site, x, method, "/events/3")
  end

  it("answers in the format, and ends when its handler returns", function()
    local x, ok = ask({}, "GET", function(stream, req, n)
      stream:send{id = n, data = req.path}
      stream:comment("a\nb")
      stream:comment()
    end)
    assert.is_true(ok)
    assert.equal(200, x.begun.status)
    assert.equal("Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"
      .. "X-Accel-Buffering: no\r\n", x.begun.head)
    assert.equal("id: 3\ndata: /events/3\n\n: a\n: b\n\n: \n\n", table.concat(x.written))
    assert.is_true(x.finished)
    assert.is_true(x.is_endless)
    assert.is_true(over)
  end)

  it("knows what the browser had", function()
    local last
    local function fn(stream) last = stream.last_event_id end
    ask({headers = {"Last-Event-ID", "17"}}, "GET", fn)
    assert.equal("17", last)
    ask({}, "GET", fn)
    assert.is_nil(last)
  end)

  it("has no body for HEAD, and calls nobody", function()
    local called = false
    local x, ok = ask({}, "HEAD", function() called = true end)
    assert.is_true(ok)
    assert.equal(200, x.begun.status)
    assert.same({}, x.written)
    assert.is_false(called)
  end)

  it("sends heartbeats until it is over", function()
    local x = ask({}, "GET", {heartbeat = 4}, function() end)
    local beat = beats[1]
    beat[1](table.unpack(beat, 2))
    assert.equal(4, beat[4].waited)
    assert.same({": \n\n", ": \n\n"}, x.written)
    assert.is_false(cancelled)
  end)

  it("cancels its handler when a heartbeat finds the client gone", function()
    ask({gone = 0}, "GET", function() end)
    local beat = beats[1]
    beat[1](table.unpack(beat, 2))
    assert.is_true(cancelled)
  end)

  it("ends its handler when the client has gone", function()
    local reached = false
    local x, ok = ask({gone = 1}, "GET", function(stream)
      stream:send("a")
      stream:send("b")
      reached = true
    end)
    assert.is_false(ok)
    assert.is_false(reached)
    assert.is_true(over)
    assert.is_nil(x.finished)
  end)

  it("tells the line of a mistake", function()
    local _, _, err = ask({}, "GET", function(stream) stream:send{id = "a\nb"} end)
    assert.truthy(err:find("sse_spec.lua:%d+: sse:send: id has a line break"), err)
    _, _, err = ask({}, "GET", function(stream) stream:comment({}) end)
    assert.truthy(err:find("sse_spec.lua:%d+: sse:comment: a string was expected"), err)
  end)

  local mistakes = {
    {{heartbeat = 0}, "option 'heartbeat' must be a number of seconds above 0"},
    {{heartbeat = "1"}, "option 'heartbeat' must be"},
    {{beat = 1}, "unknown option 'beat'"},
    {"x", "a table of options was expected"},
  }
  for _, case in ipairs(mistakes) do
    it("refuses: " .. case[2], function()
      local site = app.new()
      local err = support.raised(function() site:sse("/a", case[1], print) end)
      assert.truthy(err:find("sse_spec.lua:%d+: .*" .. case[2]), err)
    end)
  end

  it("needs a function", function()
    local site = app.new()
    local err = support.raised(site.sse, site, "/a", {})
    assert.truthy(err:find("a function was expected as the handler, not a table", 1, true), err)
  end)

  it("may take other methods", function()
    local site, x = app.new(), support.exchange()
    site:sse("/a", {methods = {"POST"}}, function(stream) stream:send("a") end)
    site:dispatch(x, "POST", "/a")
    assert.same({"data: a\n\n"}, x.written)
  end)
end)
