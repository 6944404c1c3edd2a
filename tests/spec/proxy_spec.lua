local support = require "support"
local address = require "genet.address"
local exchange = require "genet.exchange"
local proxy = require "genet.proxy"
local Request = require "genet.request"

describe("genet.address", function()
  local cases = {
    {"1.2.3.4", "1.2.3.4"},
    {"255.255.255.255", "255.255.255.255"},
    {"::", "::"},
    {"::1", "::1"},
    {"1::", "1::"},
    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
    {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
    {"1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"},
    {"::ffff:1.2.3.4", "1.2.3.4"},
    {"::FFFF:0102:0304", "1.2.3.4"},
    {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
  }
  for _, case in ipairs(cases) do
    it("reads " .. case[1], function()
      assert.equal(case[2], address.format(address.parse(case[1])))
    end)
  end

  for _, text in ipairs{"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ",
    "0x1.2.3.4", "localhost", ":", ":::", "1:", ":1", "1::2::3", "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "1.2.3.4::", "::1.2.3",
    "fe80::1%eth0", "[::1]", "::" .. ("0:"):rep(50)} do
    it(("refuses %q"):format(text), function() assert.is_nil(address.parse(text)) end)
  end

  it("knows ranges", function()
    local ranges = {
      {"10.0.0.0/8", "10.255.1.2", true}, {"10.0.0.0/8", "11.0.0.0", false},
      {"10.1.2.3", "10.1.2.3", true}, {"10.1.2.3", "10.1.2.4", false},
      {"0.0.0.0/0", "1.2.3.4", true}, {"0.0.0.0/0", "::1", false},
      {"192.168.1.128/25", "192.168.1.127", false}, {"192.168.1.128/25", "192.168.1.200", true},
      {"2001:db8::/33", "2001:db8:7fff::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
      {"127.0.0.1", "::ffff:127.0.0.1", true}, {"unix", "1.2.3.4", false},
    }
    for _, case in ipairs(ranges) do
      assert.equal(case[3], address.within(address.parse(case[2]), address.range(case[1])),
        case[1] .. " " .. case[2])
    end
    for _, text in ipairs{"", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::1/129", "1/8",
      "10.0.0.0/8/8", "unix/1", "10.0.0.0/8x"} do
      local range, problem = address.range(text)
      assert.is_nil(range)
      assert.matches("is not an address, ADDR/BITS or unix", problem)
    end
  end)
end)

describe("a request behind a proxy", function()
  local remote_addr = exchange.remote_addr

  after_each(function()
    proxy.trust(nil)
    exchange.remote_addr = remote_addr
  end)

  -- What a request tells of its client when it comes from `peer` with these headers, flat.
  local function told(peer, headers)
    exchange.remote_addr = function() return peer, 40000 end
    local flat = {"Host", "inner"}
    table.move(headers, 1, #headers, 3, flat)
    local req = setmetatable({_exchange = support.exchange{headers = flat}, path = "/"}, Request)
    return {req.remote_addr, req.scheme, req.host}, req
  end

  local XFF, XFP, XFH = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"
  local ALL = {XFF, "9.9.9.9", XFP, "https", XFH, "site.example"}

  it("is believed nothing unless the peer is trusted", function()
    assert.same({"10.0.0.1", "http", "inner"}, told("10.0.0.1", ALL))
    proxy.trust{"10.0.0.2", "unix"}
    assert.same({"10.0.0.1", "http", "inner"}, told("10.0.0.1", ALL))
    assert.same({"10.0.0.1", "http", "inner"}, told("10.0.0.1", {"Forwarded", "for=9.9.9.9"}))
    assert.same({"9.9.9.9", "https", "site.example"}, told("10.0.0.2", ALL))
    assert.same({"9.9.9.9", "https", "site.example"}, told("unix:", ALL))
    proxy.trust "10.0.0.2, 10.0.0.3"
    assert.same({"unix:", "http", "inner"}, told("unix:", ALL))
    assert.same({"9.9.9.9", "https", "site.example"}, told("10.0.0.3", ALL))
  end)

  local hops = {
    {"9.9.9.9", "9.9.9.9"},
    {"1.1.1.1, 9.9.9.9", "9.9.9.9"},
    {"1.1.1.1, 9.9.9.9, 10.0.0.7", "9.9.9.9"},
    {"10.0.0.9, 9.9.9.9,10.0.0.7 ,10.0.0.8", "9.9.9.9"},
    {"10.0.0.8, 10.0.0.7", "10.0.0.8"},
    {"9.9.9.9:1234", "9.9.9.9"},
    {"2001:DB8::7", "2001:db8::7"},
    {"[2001:db8::7]:80", "2001:db8::7"},
    {"::ffff:9.9.9.9", "9.9.9.9"},
    {"unknown", "10.0.0.1"},
    {"", "10.0.0.1"},
    {"9.9.9.9, unknown", "10.0.0.1"},
    {"9.9.9.9, unknown, 10.0.0.7", "10.0.0.7"},
    {"9.9.9.9, ", "10.0.0.1"},
    {"<script>, 9.9.9.9", "9.9.9.9"},
    {"9.9.9.9\t", "9.9.9.9"},
    {("1.1.1.1,"):rep(2000) .. "9.9.9.9", "9.9.9.9"},
    {("1.1.1.1,"):rep(100) .. ("10.0.0.7,"):rep(200) .. "10.0.0.8", "10.0.0.7"},
  }
  for _, case in ipairs(hops) do
    it("finds the client in " .. case[1]:sub(1, 50), function()
      proxy.trust{"10.0.0.0/8"}
      assert.equal(case[2], told("10.0.0.1", {XFF, case[1]})[1])
    end)
  end

  it("reads addresses of several lines as one list", function()
    proxy.trust{"10.0.0.0/8"}
    assert.equal("9.9.9.9", told("10.0.0.1", {XFF, "1.1.1.1", XFF, "9.9.9.9", XFF, "10.0.0.3"})[1])
  end)

  it("takes the scheme and the host from the nearest proxy", function()
    proxy.trust{"10.0.0.0/8"}
    local cases = {
      {{XFP, "https"}, "https", "inner"},
      {{XFP, "HTTPS"}, "https", "inner"},
      {{XFP, "https, http"}, "http", "inner"},
      {{XFP, "javascript"}, "http", "inner"},
      {{XFH, "evil.example, site.example:8443"}, "http", "site.example:8443"},
      {{XFH, "[2001:db8::1]:80"}, "http", "[2001:db8::1]:80"},
      {{XFH, "a b"}, "http", "inner"},
      {{XFH, "site/path"}, "http", "inner"},
      {{XFH, 'x"><script>'}, "http", "inner"},
      {{XFH, "user@site"}, "http", "inner"},
      {{XFH, "[::1"}, "http", "inner"},
      {{XFH, ""}, "http", "inner"},
    }
    for _, case in ipairs(cases) do
      assert.same({"10.0.0.1", case[2], case[3]}, told("10.0.0.1", case[1]))
    end
  end)

  it("is seen in the URL and the port", function()
    proxy.trust{"10.0.0.1"}
    local _, req = told("10.0.0.1", ALL)
    assert.equal("https://site.example/", req.url)
    assert.is_nil(req.remote_port)
    _, req = told("10.0.0.1", {XFF, "9.9.9.9:77"})
    assert.equal(77, req.remote_port)
    _, req = told("10.0.0.9", ALL)
    assert.equal(40000, req.remote_port)
  end)

  local forwarded = {
    {"for=9.9.9.9", {"9.9.9.9", "http", "inner"}},
    {"For=9.9.9.9;Proto=https;Host=site.example;by=10.0.0.1", {"9.9.9.9", "https", "site.example"}},
    {'for="9.9.9.9:80" ; proto="https"', {"9.9.9.9", "https", "inner"}},
    {'for="[2001:db8::7]:4711"', {"2001:db8::7", "http", "inner"}},
    {'for="[2001:db8::7]"', {"2001:db8::7", "http", "inner"}},
    {"for=1.1.1.1;proto=https, for=9.9.9.9", {"9.9.9.9", "http", "inner"}},
    {"for=9.9.9.9;proto=https;host=site.example, for=10.0.0.7;proto=http;host=mid",
      {"9.9.9.9", "https", "site.example"}},
    {"for=9.9.9.9, for=_hidden", {"10.0.0.1", "http", "inner"}},
    {"for=9.9.9.9, proto=https", {"10.0.0.1", "https", "inner"}},
    {"for=unknown;proto=https", {"10.0.0.1", "https", "inner"}},
    {";;for=9.9.9.9;,", {"10.0.0.1", "http", "inner"}},
  }
  for _, case in ipairs(forwarded) do
    it("reads Forwarded: " .. case[1], function()
      proxy.trust{"10.0.0.0/8"}
      assert.same(case[2], told("10.0.0.1", {"Forwarded", case[1]}))
    end)
  end

  for _, text in ipairs{"for", "for=", 'for="9.9.9.9', "for=9.9.9.9 proto=https", "for=1;for=2",
    "for=a b", "=x", 'for="a"b', "for=9.9.9.9;proto", "\x80=1"} do
    it(("refuses Forwarded: %q"):format(text), function()
      proxy.trust{"10.0.0.1"}
      assert.equal(400, support.raised(told, "10.0.0.1", {"Forwarded", text}).status)
    end)
  end

  it("is refused when two headers contradict each other", function()
    proxy.trust{"10.0.0.1"}
    local cases = {
      {{XFF, "9.9.9.9", "Forwarded", "for=9.9.9.9"}, 200},
      {{XFF, "9.9.9.9", "Forwarded", "for=1.1.1.1"}, 400},
      {{XFF, "9.9.9.9", "Forwarded", "for=9.9.9.9;proto=https"}, 400},
      {{XFF, "9.9.9.9", "Forwarded", "proto=https"}, 400},
      {{XFP, "https", "Forwarded", "for=9.9.9.9;proto=https"}, 400},
      {{XFF, "9.9.9.9", XFP, "https", "Forwarded", "for=9.9.9.9;proto=https"}, 200},
    }
    for _, case in ipairs(cases) do
      local ok, err = pcall(told, "10.0.0.1", case[1])
      assert.equal(case[2], ok and 200 or err.status)
    end
  end)

  it("takes time in proportion to its headers", function()
    proxy.trust{"10.0.0.0/8"}
    local function cost(name, text)
      local start = os.clock()
      for _ = 1, 10 do pcall(told, "10.0.0.1", {name, text}) end
      return os.clock() - start
    end
    for _, unit in ipairs{" ", ",", " a", "10.0.0.1,", ";", '"', "a=b;", "for=10.0.0.1,"} do
      for _, name in ipairs{XFF, "Forwarded"} do
        local count = 64000 // #unit
        local small, large = cost(name, unit:rep(count // 32)), cost(name, unit:rep(count))
        assert.is_true(large < 32 * 20 * small + 0.05, name .. ": " .. unit)
      end
    end
  end)

  it("is set up with addresses only", function()
    assert.error_matches(function() proxy.trust{"10.0.0.1", "localhost"} end,
      "trusted_proxies: 'localhost' is not an address, ADDR/BITS or unix")
  end)
end)
