--- Reads the corpus of templates that Jinja2 and ours render alike.
--
-- A file `corpus/TOPIC.jinja` holds cases. A case begins with `=== NAME`; lines that begin with
-- `--- ` are `vars: JSON`, `options: JSON`, `name: NAME` (of the template, `main.html` unless
-- told), `file: NAME` followed by the text of another template, `words differ` (the error is told
-- in other words) and at last `template`, followed by the template. Each text ends with the line
-- end before the next `--- ` or `=== `. What Jinja2 makes of the cases is in
-- `corpus/expected.json`: `output`, or `error` and for syntax errors `line`;
-- `tests/conformance/jinja/expect` writes it.

local json = require "genet.json"

local corpus = {}

local DIRECTORY = "tests/spec/template/corpus/"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function add_part(case, head, body)
  local word, argument = head:match("^([^:]*): (.*)$")
  word = word or head
  if word == "vars" or word == "options" then
    case[word] = assert(json.decode(argument))
  elseif word == "file" then
    case.files[argument] = body
  elseif word == "name" then
    case.main = argument
  elseif word == "template" then
    case.template = body
  else
    assert(word == "words differ", "unknown line in the corpus: " .. head)
    case.words_differ = true
  end
end

local function new_case(topic, name)
  return {name = topic .. ": " .. name, vars = {}, options = {}, files = {}, main = "main.html"}
end

-- The cases of a file, in their order.
local function parse(topic, text)
  local cases, case, head, body = {}, nil, nil, {}
  local function finish()
    if head then add_part(case, head, table.concat(body)) end
    head, body = nil, {}
  end
  for line in text:gmatch("[^\n]*\n") do
    local name, part = line:match("^=== (.*)\n$"), line:match("^%-%-%- (.*)\n$")
    if name or part then finish() end
    if name then
      case = new_case(topic, name)
      cases[#cases + 1] = case
    elseif part then
      head = part
    else
      body[#body + 1] = line
    end
  end
  finish()
  return cases
end

--- All cases, with what Jinja2 makes of them in `expected`.
-- @treturn table a list
function corpus.cases()
  local expected, all = assert(json.decode(read(DIRECTORY .. "expected.json"))), {}
  for _, topic in ipairs{"control", "expressions", "filters", "templates", "tests", "undefined"} do
    for _, case in ipairs(parse(topic, read(DIRECTORY .. topic .. ".jinja"))) do
      case.files[case.main] = case.template
      case.expected = assert(expected[case.name], case.name)
      all[#all + 1] = case
    end
  end
  return all
end

return corpus
