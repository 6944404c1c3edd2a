local support = require "support"
local genet_response = require "genet.response"
local http_error = require "genet.http_error"
local json = require "genet.json"

local HTML = "Content-Type: text/html; charset=utf-8\r\n"
local TEXT = "Content-Type: text/plain; charset=utf-8\r\n"
local JSON = "Content-Type: application/json\r\n"

local function request(method, exchange)
  return {
    _exchange = exchange or support.exchange(),
    _started = false,
    method = method or "GET",
    route = {rule = "/x", place = "app.lua:7"},
  }
end

local function answer(...)
  return {genet_response.answer(request(), ...)}
end

describe("genet.response", function()
  local response = genet_response.new

  describe("answers with", function()
    local made = {["X-A"] = "1"}
    for name, case in pairs{
      ["a string as a page"] = {{"text"}, {200, HTML, "text"}},
      ["an empty string"] = {{""}, {200, HTML, ""}},
      ["a table as JSON"] = {{{1, 2}}, {200, JSON, "[1,2]"}},
      ["a body and a status"] = {{"made", 201}, {201, HTML, "made"}},
      ["a body, a status and headers"] = {{{}, 201, made}, {201, JSON .. "X-A: 1\r\n", "{}"}},
      ["a body and headers"] = {{"text", made}, {200, HTML .. "X-A: 1\r\n", "text"}},
      ["a body, no status and headers"] = {{"t", nil, made}, {200, HTML .. "X-A: 1\r\n", "t"}},
      ["a status alone"] = {{404}, {404, TEXT, "404 Not Found\n"}},
      ["a status and headers"] = {{404, made}, {404, TEXT .. "X-A: 1\r\n", "404 Not Found\n"}},
      ["no body but a status"] = {{nil, 204}, {204, "", ""}},
      ["a status written as a float"] = {{"x", 202.0}, {202, HTML, "x"}},
      ["a response"] = {{response{status = 201, body = "made"}}, {201, HTML, "made"}},
      ["a response with headers"] = {{response{headers = made}}, {200, HTML .. "X-A: 1\r\n", ""}},
      ["a response and another status"] = {{response{body = {}}, 202}, {202, JSON, "{}"}},
    } do
      it(name, function()
        assert.same(case[2], answer(table.unpack(case[1], 1, 3)))
      end)
    end
  end)

  describe("refuses", function()
    for name, case in pairs{
      ["nothing"] = {{}, "the handler returned nothing"},
      ["a boolean"] = {{true}, "the handler returned a boolean, true"},
      ["false"] = {{false}, "the handler returned a boolean, false"},
      ["a userdata"] = {{json.null}, "the handler returned a userdata"},
      ["a thread"] = {{coroutine.create(print)}, "the handler returned a thread"},
      ["a number as a body"] = {{5, 200}, "the handler returned a number, 5"},
      ["a number that is no status"] = {{42},
        "bad status 42: an integer from 200 to 599 was expected"},
      ["a status that is none"] = {{"x", 99},
        "bad status 99: an integer from 200 to 599 was expected"},
      ["a status in letters"] = {{"x", "ok"},
        'bad status "ok": an integer from 200 to 599 was expected'},
      ["headers that are no table"] = {{"x", 200, "X-A: 1"},
        "the headers are a string: a table was expected"},
      ["headers beside a response"] = {{response{}, {}},
        "the handler returned headers beside a response"},
      ["a table that is no JSON"] = {{{print}},
        "the handler returned a table that is no JSON. " ..
        "Cannot serialise function: type not supported"},
      ["nil and an error message"] = {{nil, "no database"},
        "the handler returned nil and a string"},
    } do
      it(name, function()
        local body, code, headers = table.unpack(case[1], 1, 3)
        local err = support.raised(genet_response.answer, request(), body, code, headers)
        assert.is_true(http_error.is(err))
        assert.equal(500, err.status)
        assert.equal("GET /x: " .. case[2], err.message)
        assert.matches("^app.lua:7: ", tostring(err))
      end)
    end

    it("to show a client the error message a handler returned", function()
      local err = support.raised(genet_response.answer, request(), nil, "no database")
      assert.not_matches("no database", err.message)
      assert.matches("(no database)", tostring(err), 1, true)
    end)

    it("unknown parts of a response", function()
      assert.error_matches(function() response{code = 200} end, "unknown part 'code'")
    end)
  end)

  describe("makes heads", function()
    local head = genet_response.head

    it("with one line for each value", function()
      assert.equal("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
        head(nil, {["Set-Cookie"] = {"a=1", "b=2"}}))
      assert.equal("X-N: 5\r\n", head(nil, {["X-N"] = 5}))
      assert.equal("X-E: \r\n", head(nil, {["X-E"] = ""}))
    end)

    it("with the type that is given instead of the usual one", function()
      for _, name in ipairs{"Content-Type", "content-type", "CONTENT-TYPE"} do
        assert.equal(name .. ": text/css\r\n", head(HTML, {[name] = "text/css"}))
      end
    end)

    it("without what the host sends itself", function()
      assert.equal(HTML, head(HTML, {["Content-Length"] = 3, date = "today"}))
    end)

    it("only of proper names and values", function()
      for _, case in ipairs{
        {{["X A"] = "1"}, 'bad header name "X A"'},
        {{["X:A"] = "1"}, 'bad header name "X:A"'},
        {{[""] = "1"}, 'bad header name ""'},
        {{"X-A: 1"}, 'bad header name "1"'},
        {{["X-A"] = true}, "the header X-A is a boolean: a string or a number was expected"},
        {{["Transfer-Encoding"] = ""}, "the header Transfer-Encoding is the host's to send"},
        {{connection = "close"}, "the header connection is the host's to send"},
      } do
        assert.equal(case[2], support.raised(head, nil, case[1]))
      end
    end)

    it("without control characters in a value", function()
      for _, value in ipairs{"1\r\nX-B: 2", "1\n", "\0", "\127", {"fine", "\r"}} do
        assert.equal("the header X-A has a control character in its value",
          support.raised(head, nil, {["X-A"] = value}))
      end
    end)

    it("that may hold tabs and bytes beyond ASCII", function()
      assert.equal("X-A: a\té\r\n", head(nil, {["X-A"] = "a\té"}))
    end)
  end)

  describe("redirects", function()
    it("to a location made safe", function()
      local made = genet_response.redirect("/a b\r\nX: 1?q=é")
      assert.equal(302, made.status)
      assert.equal("/a%20b%0D%0AX:%201?q=%C3%A9", made.headers.Location)
      assert.equal("302 Found\n", made.body)
    end)

    it("with the status asked for", function()
      assert.equal(308, genet_response.redirect("/", 308).status)
      assert.error_matches(function() genet_response.redirect("/", 200) end, "200 is not a redir")
    end)
  end)

  describe("streams a function", function()
    local function producer(write)
      write("one ")
      write("two")
    end

    it("piece by piece, and says that the answer has been written", function()
      local x = support.exchange()
      local req = setmetatable(request("GET", x), require "genet.request")
      assert.is_nil(genet_response.answer(req, producer, 201, {["X-A"] = "1"}))
      assert.same({status = 201, head = HTML .. "X-A: 1\r\n"}, x.begun)
      assert.same({"one ", "two"}, x.written)
      assert.is_true(x.finished)
    end)

    it("but does not call it for an answer without a body", function()
      for _, case in ipairs{{"HEAD", 200}, {"GET", 204}, {"GET", 304}} do
        local x = support.exchange()
        genet_response.answer(request(case[1], x), function() error("called") end, case[2])
        assert.is_true(x.finished)
      end
    end)

    it("and stops it when the client has gone", function()
      local x = support.exchange{gone = 3}
      local req = setmetatable(request("GET", x), require "genet.request")
      local err = support.raised(genet_response.answer, req, function(write)
        for _ = 1, 10 do write("x") end
      end)
      assert.equal(400, err.status)
      assert.equal(3, #x.written)
      assert.is_nil(x.finished)
    end)
  end)

  it("raises when the client has gone before a stream", function()
    local req = request("GET", support.exchange{gone = "at once"})
    local err = support.raised(genet_response.answer, req, function() error("called") end)
    assert.equal(400, err.status)
  end)

  describe("after a handler has written by hand", function()
    it("only ends the answer", function()
      local x = support.exchange()
      local req = request("GET", x)
      genet_response.begin(req, 200, HTML)
      assert.is_nil(genet_response.answer(req))
      assert.is_true(x.finished)
    end)

    it("refuses a body as well", function()
      local req = request()
      genet_response.begin(req, 200, HTML)
      assert.equal("GET /x: the handler wrote a body and returned one",
        support.raised(genet_response.answer, req, "more").message)
    end)
  end)

  describe("tells of errors", function()
    it("what an http error says", function()
      assert.same({403, TEXT .. "Vary: Cookie\r\n", "403 Forbidden\nmembers only\n", false},
        {genet_response.failure(http_error.new(403, "members only", {Vary = "Cookie"}))})
    end)

    it("nothing of any other, which is for the log", function()
      for _, err in ipairs{"app.lua:3: secret", {status = 404}, 404} do
        assert.same({500, TEXT, "500 Internal Server Error\n", true}, {genet_response.failure(err)})
      end
    end)

    it("and logs what a handler did wrong", function()
      assert.same({500, TEXT, "500 Internal Server Error\nodd\n", true},
        {genet_response.failure(http_error.fault("odd"))})
    end)

    it("even when its headers are bad", function()
      assert.same({500, TEXT, "500 Internal Server Error\n", true},
        {genet_response.failure(http_error.new(404, nil, {["X-A"] = "\n"}))})
    end)
  end)
end)
