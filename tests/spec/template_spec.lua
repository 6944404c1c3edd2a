local support = require "support"
local json = require "genet.json"
local template = require "genet.template"

local raised = support.raised

local function render(source, vars, options)
  return template.new(options):render_string(source, vars)
end

local function with_templates(files, options)
  options = options or {}
  options.loader = function(name) return files[name] end
  return template.new(options)
end

describe("genet.template: environments", function()
  it("render templates of a directory", function()
    support.with_files({
      ["page.html"] = "<p>{{ name }}</p>\n", ["mail/welcome.txt"] = "Dear {{ name }}",
    }, function(dir)
      local env = template.new{path = dir}
      assert.equal("<p>&lt;Ann&gt;</p>", env:render("page.html", {name = "<Ann>"}))
      assert.equal("Dear <Ann>", env:render("mail/welcome.txt", {name = "<Ann>"}))
    end)
  end)

  it("search several directories in turn", function()
    local files = {["a/x.html"] = "ax", ["b/x.html"] = "bx", ["b/y.html"] = "by"}
    support.with_files(files, function(dir)
      local env = template.new{path = {dir .. "/a", dir .. "/b"}}
      assert.equal("axby", env:render("x.html") .. env:render("y.html"))
    end)
  end)

  it("do not leave their directory", function()
    support.with_files({["in/x.html"] = "x", ["out.html"] = "secret"}, function(dir)
      local env = template.new{path = dir .. "/in"}
      for _, name in ipairs{
        "../out.html", "./x.html", "a/../../out.html", "/etc/passwd", "..", "a//x.html",
        "..\\out.html", "x.html\0", dir .. "/out.html", "x.html/", "a/..", "nosuch.html",
      } do
        assert.matches("there is no template", raised(env.render, env, name))
        assert.matches("there is no template",
          raised(env.render_string, env, "{% include name %}", {name = name}))
      end
      assert.equal("x", env:render("x.html"))
    end)
  end)

  it("tell who watches of the files that they read, once for each", function()
    support.with_files({["a.html"] = "{% include 'b.html' %}", ["b.html"] = "b"}, function(dir)
      local files = {}
      local env = template.new{path = dir, watch = function(file) table.insert(files, file) end}
      assert.equal("bb", env:render("a.html") .. env:render("a.html"))
      assert.same({dir .. "/a.html", dir .. "/b.html"}, files)
    end)
  end)

  it("compile a template once, and again when told to forget", function()
    local reads = 0
    local env = template.new{loader = function() reads = reads + 1 return "{{ x }}" end}
    assert.equal("12", env:render("x", {x = 1}) .. env:render("x", {x = 2}))
    assert.equal(1, reads)
    env:clear():render("x")
    assert.equal(2, reads)
  end)

  it("keep strings compiled, but not without end", function()
    local env = template.new()
    local first = env:from_string("{{ x }}")
    assert.equal(first, env:from_string("{{ x }}"))
    for n = 1, 250 do env:from_string("{{ x }}" .. n) end
    assert.is_true(env.string_count <= 100)
  end)

  it("escape by the ending of the name, or as told", function()
    local env = with_templates(setmetatable({}, {__index = function() return "{{ '<' ~ x }}" end}))
    for name, escaped in pairs{
      ["a.html"] = true, ["a.HTM"] = true, ["a.xml"] = true, ["a.xhtml"] = true, ["a.txt"] = false,
      ["html"] = false, ["a.html.txt"] = false, ["d.html/a"] = false,
    } do
      assert.equal(escaped and "&lt;" or "<", env:render(name), name)
    end
    assert.equal("<", render("{{ '<' ~ x }}", nil, {autoescape = false}))
    local function by_name(name) return name ~= "raw" end
    local other = with_templates({raw = "{{ x }}", cooked = "{{ x }}"}, {autoescape = by_name})
    assert.equal("<&lt;", other:render("raw", {x = "<"}) .. other:render("cooked", {x = "<"}))
  end)

  it("refuse what they cannot do with a word about it", function()
    for _, case in ipairs{
      {"unknown option 'paths'", template.new, {paths = "x"}},
      {"either a path or a loader", template.new, {path = "x", loader = print}},
      {"path: a directory", template.new, {path = 5}},
      {"undefined: no such kind 'strickt'", template.new, {undefined = "strickt"}},
    } do
      assert.matches(case[1], raised(table.unpack(case, 2)))
    end
    local env = template.new()
    for _, case in ipairs{
      {"neither a path nor a loader", "render", "page.html"},
      {"the name must be a string", "render", 5},
      {"source: a string is needed, not nil", "render_string"},
      {"vars: a table is needed, not string", "render_string", "x", "y"},
      {"filter 'f': a function is needed, not nil", "filter", "f"},
      {"test: the name must be a string", "test", print, "t"},
      {"global: the name must be a string", "global", 1, 2},
    } do
      assert.matches(case[1], raised(env[case[2]], env, table.unpack(case, 3)))
    end
  end)
end)

describe("genet.template: Lua's values", function()
  it("are lists, dicts and plain values", function()
    for _, case in ipairs{
      {"{{ x }}", {1, "a", true, 1.5}, "[1, &#39;a&#39;, True, 1.5]"},
      {"{{ x }}", {}, "[]"},
      {"{{ x }}", {b = 1, a = 2, [10] = 3, [2] = 4},
        "{2: 4, 10: 3, &#39;a&#39;: 2, &#39;b&#39;: 1}"},
      {"{{ x }}", json.null, "None"},
      {"{{ x }}", json.array(), "[]"},
      {"{{ x }}", 10 // 1, "10"},
      {"{{ x }}", 10 / 2, "5.0"},
      {"{{ x }}", 2 ^ 53, "9007199254740992.0"},
      {"{{ x.a.b[0] }}", {a = {b = {"found"}}}, "found"},
      {"{{ x[0] }}{{ x[1] }}{{ x[-1] }}[{{ x[2] }}]", {"a", "b"}, "abb[]"},
      {"{{ x[1] }}{{ x[5] }}[{{ x[0] }}]", {[1] = "one", [5] = "five"}, "onefive[]"},
      {"{{ x is mapping }}{{ x is sequence }}", {a = 1}, "TrueTrue"},
      {"{{ x[1] }}{{ x[2] }}{{ x[0] }}", {[1] = "a", [2] = "b", [7] = "c"}, "ab"},
      {"{{ x.items }}", {items = "mine"}, "mine"},
      {"{% for k, v in x.items() %}{{ k }}{{ v }}{% endfor %}", {z = 1, items = 2}, "items2z1"},
    } do
      assert.equal(case[3], render(case[1], {x = case[2]}))
    end
  end)

  it("that are nil are undefined", function()
    local source = "[{{ x }}][{{ y.z|default('d') }}]{{ x is undefined }}"
    assert.equal("[][d]True", render(source, {y = {}}))
  end)

  it("may be objects, whose methods get them", function()
    local User = {}
    User.__index = User
    function User:greet(word, opts)
      return word .. ", " .. self.name .. (opts and opts.mark or "")
    end
    local user = setmetatable({name = "Ann", plain = function(word) return word .. "?" end}, User)
    assert.equal("Hi, Ann Hi, Ann! Hi? Hi, Ann", render(
      "{{ u.greet('Hi') }} {{ u.greet('Hi', mark='!') }} {{ u.plain('Hi') }}"
      .. "{% set g = u.greet %} {{ g('Hi') }}", {u = user}))
  end)

  it("may be functions, which get nil for what is not there and names last", function()
    local got
    local function fn(...) got = table.pack(...) return #got end
    render("{{ f(1, none, missing, a=2, b=none) }}", {f = fn})
    assert.equal(4, got.n)
    assert.equal(1, got[1])
    assert.is_nil(got[2])
    assert.is_nil(got[3])
    assert.equal(2, got[4].a)
    assert.is_nil(got[4].b)
    render("{{ f(*[1, 2], **{'k': 'v'}) }}", {f = fn})
    assert.same({1, 2}, {got[1], got[2]})
    assert.equal("v", got[3].k)
  end)

  it("that a function returns second are not looked at", function()
    assert.equal("[1][]", render("{{ [f()] }}[{{ g() }}]",
      {f = function() return 1, 2 end, g = function() end}))
    local env = template.new():filter("dash", function(text) return text:gsub(" ", "-") end)
    assert.equal("[&#39;a-b&#39;]", env:render_string("{{ ['a b'|dash] }}"))
  end)

  it("may be iterators, which are gone through as they come", function()
    local calls = 0
    local function next_one()
      calls = calls + 1
      if calls <= 3 then return calls end
    end
    assert.equal("1:1 2:2 ", render(
      "{% for x in f %}{{ loop.index }}:{{ x }} {% if x == 2 %}{% break %}{% endif %}{% endfor %}",
      {f = next_one}))
    assert.equal(2, calls)
    calls = 0
    assert.equal("3/3", render("{% for x in f if x %}{% if loop.last %}{{ x }}/{{ loop.length }}"
      .. "{% endif %}{% endfor %}", {f = next_one}))
  end)

  it("of a template are ordinary tables to Lua", function()
    local seen = {}
    local function see(list, dict)
      seen.list, seen.a, seen.order = #list, dict.a, {}
      for key in pairs(dict) do table.insert(seen.order, key) end
      dict.more = true
    end
    local source = "{% set d = {'z': 1, 'a': [2]} %}{% set _ = f([1, 2], d) %}{{ d }}"
    local out = render(source, {f = see})
    assert.same({list = 2, a = {2}, order = {"z", "a"}}, seen)
    assert.equal("{&#39;z&#39;: 1, &#39;a&#39;: [2], &#39;more&#39;: True}", out)
  end)

  it("are never code", function()
    for _, text in ipairs{
      "]] .. error() .. [[", "\" .. error() .. \"", "\\\" .. x", "\n--[[", "\r\0\\",
    } do
      assert.equal(text, render("{{ x }}", {x = text}, {autoescape = false}))
      assert.equal(text:gsub("\r", "\n"), (render(text .. "{{ 1 }}", nil, {autoescape = false})
        :gsub("1$", "")))
    end
    assert.equal("", render("{{ os }}{{ io }}{{ _G }}{{ string }}{{ RT }}{{ ctx }}{{ vars }}"))
    assert.equal("12", render("{% set end = 1 %}{% set n = 2 %}{{ end }}{{ n }}"))
  end)
end)

describe("genet.template: extensions", function()
  it("are filters", function()
    local env = template.new()
    env:filter("shout", function(text, marks) return text:upper() .. ("!"):rep(marks or 1) end)
    env:filter("opts", function(_, opts) return opts.a .. opts.b end)
    env:filter("bold", function(text)
      return template.markup("<b>" .. tostring(text) .. "</b>")
    end)
    env:filter("kind", function(any) return type(any) end)
    for source, output in pairs{
      ["{{ 'a'|shout }}{{ 'b'|shout(2) }}"] = "A!B!!",
      ["{{ 1|opts(a='x', b='y') }}"] = "xy",
      ["{{ 'x'|bold }}{{ '<'|bold|upper }}"] = "<b>x</b><B><</B>",
      ["{{ ['a', 'b']|map('shout', 2)|join }}"] = "A!!B!!",
      ["{{ none|kind }}{{ missing|kind }}{{ 'a'|kind }}"] = "nilnilstring",
      ["{% filter shout %}x{{ 1 }}{% endfilter %}"] = "X1!",
    } do
      assert.equal(output, env:render_string(source))
    end
  end)

  it("are tests", function()
    local env = template.new():test("long", function(text, than) return #text > (than or 3) end)
    assert.equal("FalseTrue['aaaa']", (env:render_string(
      "{{ 'a' is long }}{{ 'ab' is long(1) }}{{ ['a', 'aaaa']|select('long')|list|safe }}")))
  end)

  it("are globals, seen by macros of other templates too", function()
    local env = with_templates{["m.html"] = "{% macro m() %}{{ site }}{% endmacro %}"}
    env:global("site", "S"):global("twice", function(x) return x * 2 end)
    assert.equal("S4S",
      env:render_string("{% import 'm.html' as m %}{{ site }}{{ twice(2) }}{{ m.m() }}"))
    assert.equal("mine", env:render_string("{{ site }}", {site = "mine"}))
  end)

  it("replace what was there, also in templates that are compiled", function()
    local env = template.new()
    assert.equal("A", env:render_string("{{ 'a'|upper }}"))
    env:filter("upper", function(text) return "<" .. text end)
    assert.equal("&lt;a", env:render_string("{{ 'a'|upper }}"))
    assert.equal("A", render("{{ 'a'|upper }}"))
  end)
end)

describe("genet.template: markup", function()
  it("is not escaped, and stays what it is", function()
    local markup = template.markup("<b>&amp;</b>")
    assert.is_true(template.is_markup(markup))
    assert.is_false(template.is_markup("<b>"))
    assert.equal("<b>&amp;</b>", tostring(markup))
    assert.equal("<b>&amp;</b><B>&AMP;</B>True",
      render("{{ x }}{{ x|upper }}{{ x is escaped }}", {x = markup}))
    assert.equal("<B>", template.markup("<b>"):upper())
  end)
end)

describe("genet.template: errors", function()
  local function problem(source, vars, options)
    return raised(function() render(source, vars, options) end)
  end

  it("name the template and the line", function()
    local env = with_templates{
      ["page.html"] = "a\n{% include 'part.html' %}\n", ["part.html"] = "\n\n{{ user.name }}",
      ["base.html"] = "{% block a %}\n{{ 1 / 0 }}{% endblock %}",
      ["child.html"] = "{% extends 'base.html' %}\n{% block a %}x\ny{{ super() }}{% endblock %}",
      ["broken.html"] = "\n{% if %}",
      ["macros.html"] = "\n{% macro m(x) %}\n\n{{ x.y.z }}{% endmacro %}",
      ["call.html"] = "{% from 'macros.html' import m %}\n{{ m({}) }}",
    }
    for name, text in pairs{
      ["page.html"] = "part.html:3: 'user' is undefined",
      ["child.html"] = "base.html:2: division by zero",
      ["broken.html"] = "broken.html:2: Expected an expression, got 'end of statement block'",
      ["call.html"] = "macros.html:4: 'dict object' has no attribute 'y'",
    } do
      assert.equal(text, raised(env.render, env, name))
    end
  end)

  it("name the line also within tags over several lines", function()
    for source, line in pairs{
      ["{{ [\n1,\n2,\n1 / 0\n] }}"] = 4,
      ["{% for x in [1] %}\n\n{% if x %}\n\n{{ x.y.z }}\n{% endif %}\n{% endfor %}"] = 5,
      ["{% set x %}\na\n{{ x.y.z }}\n{% endset %}"] = 3,
      ["{% macro m() %}{{ caller() }}{% endmacro %}\n{% call m(1) %}\n\n{% endcall %}"] = 2,
      ["{% block a %}\n{% endblock %}\n\n{% block b %}\n{{ x.y }}{% endblock %}"] = 5,
    } do
      assert.matches("^<template>:" .. line .. ": ", problem(source))
    end
  end)

  it("of functions are raised as they are", function()
    local thing = {status = 404}
    assert.equal(thing, problem("{{ f() }}", {f = function() error(thing) end}))
    assert.equal("cancelled", problem("{{ f() }}", {f = function() error("cancelled", 0) end}))
    local env = template.new():filter("bad", function() error("no good", 2) end)
    assert.matches("no good", raised(env.render_string, env, "{{ 1|bad }}"))
  end)

  it("show the template in a traceback", function()
    local vars = {f = function() error("x") end}
    local _, trace = xpcall(render, debug.traceback, "\n\n{{ f() }}", vars)
    assert.matches("template <template>:3:", trace)
  end)

  it("propose what may have been meant", function()
    for source, text in pairs{
      ["{{ 'a'|uper }}"] = "No filter named 'uper'. Did you mean 'upper'?",
      ["{{ 'a' is defind }}"] = "No test named 'defind'. Did you mean 'defined'?",
      ["{% fro x in y %}"] = "Encountered unknown tag 'fro'. Did you mean 'for'?",
      ["{{ [1]|map('uper') }}"] = "No filter named 'uper'. Did you mean 'upper'?",
      ["{% for x in y %}\n"] = "'endfor' or 'else'. The innermost block that needs to be closed is"
        .. " 'for'. It was opened at line 1.",
      ["{{ 'a'|truncate(len=3) }}"] = "filter 'truncate' takes no keyword argument 'len'",
      ["{{ x }"] = "unexpected '}'",
      ["{% include 'a.html' %}"] = "neither a path nor a loader",
    } do
      local told = problem(source)
      assert.is_truthy(told:find(text, 1, true), told)
    end
  end)

  it("end templates without end", function()
    local env = with_templates{
      ["i.html"] = "{% include 'i.html' %}", ["e.html"] = "{% extends 'e.html' %}",
      ["m.html"] = "{% import 'm.html' as m %}",
      ["r.html"] = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      ["b.html"] = "{% block a %}{{ self.a() }}{% endblock %}",
      ["l.html"] = "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    }
    for _, name in ipairs{"i.html", "e.html", "m.html"} do
      assert.matches(name .. ":1: more than 100 templates", raised(env.render, env, name))
    end
    for _, name in ipairs{"r.html", "b.html", "l.html"} do
      assert.matches(name .. ":1: macros or blocks call each other without end",
        raised(env.render, env, name))
    end
  end)

  it("are raised for templates that are too deep", function()
    for _, parts in ipairs{
      {"{{ ", "(", "1", ")", " }}"}, {"{{ ", "[", "1", "]", " }}"}, {"{{ ", "not ", "1", "", " }}"},
      {"{{ ", "-", "1", "", " }}"}, {"{{ 1", "+ 1", "", "", " }}"}, {"{{ 1", "|abs", "", "", " }}"},
      {"", "{% if 1 %}", "", "{% endif %}", ""}, {"", "{% for x in y %}", "", "{% endfor %}", ""},
      {"{{ ", "f(", "", ")", " }}"}, {"{{ ", "{'a': ", "1", "}", " }}"},
    } do
      local source = parts[1] .. parts[2]:rep(3000) .. parts[3] .. parts[4]:rep(3000) .. parts[5]
      assert.matches("^<template>:1: .*too", problem(source))
    end
  end)

  it("do not come of templates that are long", function()
    local sets, uses = {}, {}
    for n = 1, 400 do
      sets[n] = ("{%% set a%d = %d %%}{{ b%d }}"):format(n, n, n)
      uses[n] = ("{{ a%d }}"):format(n)
    end
    local source = table.concat(sets) .. table.concat(uses)
    local numbers = {}
    for n = 1, 400 do numbers[n] = n end
    local expected = table.concat(numbers)
    assert.equal(expected, render(source))
    assert.equal(expected, render("{% macro m() %}" .. source .. "{% endmacro %}{{ m() }}"))
    assert.equal(expected:rep(2), render("{% for i in [1, 2] %}" .. source .. "{% endfor %}"))
    assert.equal(expected, render("{% block x %}" .. source .. "{% endblock %}"))
    local entries = {}
    for n = 1, 1000 do entries[n] = ("'k%d': %d"):format(n, n) end
    assert.equal("7 1000", render("{% set d = {" .. table.concat(entries, ", ")
      .. "} %}{{ d.k7 }} {{ d|length }}"))
  end)
end)

describe("genet.template: streams", function()
  local SOURCE = "{% for x in xs %}{{ x }},{% endfor %}"

  local function numbers(count)
    local list = {}
    for n = 1, count do list[n] = n end
    return list
  end

  it("give the same text in pieces", function()
    local env, vars = template.new(), {xs = numbers(5000)}
    local whole, pieces, written = env:render_string(SOURCE, vars), {}, {}
    for piece in env:from_string(SOURCE):stream(vars) do table.insert(pieces, piece) end
    env:from_string(SOURCE):stream(vars, function(piece) table.insert(written, piece) end)
    assert.equal(whole, table.concat(pieces))
    assert.same(pieces, written)
    assert.is_true(#pieces > 1)
  end)

  it("start before all items are there", function()
    local env, made = with_templates{page = SOURCE}, 0
    local function next_one()
      made = made + 1
      if made <= 10000 then return "item " .. made end
    end
    local pieces = env:stream("page", {xs = next_one})
    pieces()
    assert.is_true(made < 2000)
  end)

  it("give nothing for an empty template", function()
    assert.is_nil(template.new():from_string("{% if x %}x{% endif %}"):stream{}())
  end)

  it("raise where the template fails", function()
    local pieces = template.new():from_string(("x"):rep(9000) .. "{{ a.b }}"):stream{}
    assert.equal(9000, #pieces())
    assert.matches("'a' is undefined", raised(pieces))
  end)
end)

describe("genet.template: two renderings at once", function()
  it("do not see each other", function()
    local env = with_templates{
      base = "{% block a %}base{{ pause() }}{{ name }}{% endblock %}",
      macros = "{% macro m(x) %}{{ x }}{{ pause() }}{{ x }}{% endmacro %}",
      page = "{% extends 'base' %}{% from 'macros' import m %}{% set mine = name %}{% block a %}"
        .. "{{ super() }}{% for x in [1, 2] %}{{ loop.index }}{{ m(name) }}{{ mine }}{% endfor %}"
        .. "{% set ns = namespace(n=name) %}{{ pause() }}{{ ns.n }}{% endblock %}",
    }
    env:global("pause", function() coroutine.yield() return "" end)
    local function start(name)
      return coroutine.create(function() return env:render("page", {name = name}) end)
    end
    local first, second, results = start("A"), start("B"), {}
    while coroutine.status(first) ~= "dead" or coroutine.status(second) ~= "dead" do
      for name, thread in pairs{A = first, B = second} do
        if coroutine.status(thread) ~= "dead" then
          local _, result = assert(coroutine.resume(thread))
          results[name] = result
        end
      end
    end
    assert.equal("baseA1AAA2AAAA", results.A)
    assert.equal("baseB1BBB2BBBB", results.B)
  end)
end)
