local support = require "support"
local app = require "genet.app"
local websocket = require "genet.websocket"

local sockets = support.sockets

local function handler() end

-- What defining the route raises, without the place.
local function problem(...)
  local it_is = app.new()
  local ok, text = pcall(it_is.websocket, it_is, ...)
  assert.is_false(ok)
  return (text:gsub("^[^:]+:%d+: ", ""))
end

describe("genet.websocket", function()
  describe("a route", function()
    it("is of GET, and has what the options say", function()
      local it_is = app.new()
      it_is:websocket("/chat/<room>", {name = "chat", max_message = 10,
        subprotocols = {"a"}, origins = {"https://a.example", "*"}}, handler)
      it_is:websocket("/plain", handler)
      assert.same({GET = true}, it_is.routes[1].methods)
      assert.equal("chat", it_is.routes[1].name)
      assert.is_true(it_is.routes[2].websocket)
    end)

    local cases = {
      {"a function was expected as the handler, not a nil", "/"},
      {"a function was expected as the handler, not a number", "/", {}, 1},
      {"a table of options was expected, not a string", "/", "options", handler},
      {"unknown option 'protocols'", "/", {protocols = {}}, handler},
      {"option 'origins' must be a table", "/", {origins = "*"}, handler},
      {"option 'max_message' must be a whole number of bytes, not 0", "/", {max_message = 0},
        handler},
      {"option 'max_message' must be a whole number of bytes, not 1.5", "/", {max_message = 1.5},
        handler},
      {"option 'subprotocols': a b does not belong there", "/", {subprotocols = {"a b"}}, handler},
      {"option 'origins': https://a.example/page does not belong there", "/",
        {origins = {"https://a.example/page"}}, handler},
    }
    for _, case in ipairs(cases) do
      it("is refused: " .. case[1], function()
        local text = problem(table.unpack(case, 2, 4))
        assert.equal(case[1], text)
      end)
    end

    it("needs an app", function()
      assert.has_error(function() app.new().websocket("/", {}, handler) end)
    end)
  end)

  it("tells what is wrong with an argument by our name for it", function()
    function sockets.publish() error("bad argument #2 to '?' (the text is bad)", 0) end
    local ok, text = pcall(websocket.publish, "topic", "x")
    assert.is_false(ok)
    assert.truthy(text:find("genet.publish: the text is bad", 1, true), text)
  end)

  it("lets other errors through as they are", function()
    function sockets.publish() error("cancelled", 0) end
    assert.same({false, "cancelled"}, {pcall(websocket.publish, "topic", "x")})
  end)

  it("finds open sockets only", function()
    function sockets.is_open() return false end
    assert.is_nil(websocket.find(7))
    assert.has_error(function() websocket.find("7") end,
      "genet.ws: a number was expected, not a string")
  end)
end)
