--- A strict reader of Prometheus' text format 0.0.4: it raises where a line, or the order of lines,
-- is not as the format asks.
local exposition = {}

local TYPES = {counter = true, gauge = true, histogram = true, summary = true, untyped = true}
local SUFFIXES = {histogram = {_bucket = true, _sum = true, _count = true}}
local NAME = "[%a_:][%w_:]*"

local function read_value(text)
  local words = {["+Inf"] = math.huge, ["-Inf"] = -math.huge, NaN = 0 / 0}
  local value = words[text] or text:find("^[-+%d.eE]+$") and tonumber(text)
  return assert(value, "no number: " .. text)
end

-- The labels between braces, from `at`; gives them and where the line goes on.
local function read_labels(line, at)
  local labels = {}
  if line:sub(at, at) ~= "{" then return labels, at end
  at = at + 1
  while line:sub(at, at) ~= "}" do
    local name, after = line:match('^([%a_][%w_]*)="()', at)
    assert(name and not labels[name], "bad label: " .. line)
    local value, i = {}, after
    while line:sub(i, i) ~= '"' do
      local c = line:sub(i, i)
      assert(c ~= "", "an open label: " .. line)
      if c == "\\" then
        i = i + 1
        c = assert(({n = "\n", ["\\"] = "\\", ['"'] = '"'})[line:sub(i, i)], "bad escape: " .. line)
      end
      value[#value + 1], i = c, i + 1
    end
    labels[name] = table.concat(value)
    assert(utf8.len(labels[name]), "no UTF-8: " .. line)
    at = i + 1
    if line:sub(at, at) == "," then at = at + 1
    else assert(line:sub(at, at) == "}", "bad labels: " .. line) end
  end
  return labels, at + 1
end

local function read_sample(line)
  local name, at = line:match("^(" .. NAME .. ")()")
  assert(name, "no sample: " .. line)
  local labels, after = read_labels(line, at)
  local value = line:match("^ (%S+)$", after)
  assert(value, "no value: " .. line)
  return {name = name, labels = labels, value = read_value(value)}
end

local function belongs(family, sample)
  if family.type ~= "histogram" then return sample.name == family.name end
  local suffix = sample.name:sub(1, #family.name) == family.name
    and sample.name:sub(#family.name + 1)
  return suffix and SUFFIXES.histogram[suffix] or false
end

local function key_of(labels)
  local parts = {}
  for name, value in pairs(labels) do
    if name ~= "le" then parts[#parts + 1] = name .. "=" .. value end
  end
  table.sort(parts)
  return table.concat(parts, "\0")
end

-- Buckets rise, the last is +Inf, and is the count.
local function check_histogram(family)
  local groups = {}
  for _, sample in ipairs(family.samples) do
    local key = key_of(sample.labels)
    local group = groups[key] or {}
    groups[key] = group
    if sample.name:find("_bucket$") then
      local le = read_value(sample.labels.le)
      assert(not group.le or le > group.le and sample.value >= group.last, "buckets fall")
      group.le, group.last = le, sample.value
    else
      group[sample.name:match("_(%a+)$")] = sample.value
    end
  end
  for _, group in pairs(groups) do
    assert(group.le == math.huge and group.last == group.count and group.sum, "an odd histogram")
  end
end

local function check_family(family)
  local seen = {}
  for _, sample in ipairs(family.samples) do
    local key = sample.name .. "\0" .. key_of(sample.labels) .. "\0" .. (sample.labels.le or "")
    assert(not seen[key], "twice: " .. sample.name)
    seen[key] = true
    assert(family.type ~= "counter" or sample.value >= 0, "a counter below 0")
  end
  if family.type == "histogram" then check_histogram(family) end
end

--- The families of a text by name: `type`, `help`, `samples` with `name`, `labels` and `value`.
function exposition.read(text)
  local families, family, help = {}, nil, nil
  assert(text:sub(-1) == "\n", "the last line has no end")
  for line in text:gmatch("([^\n]*)\n") do
    local name, words = line:match("^# HELP (" .. NAME .. ") (.*)$")
    local typed, kind = line:match("^# TYPE (" .. NAME .. ") (%a+)$")
    if name then
      assert(not families[name], "told twice: " .. name)
      help = {name = name, text = words}
    elseif typed then
      assert(TYPES[kind] and help and help.name == typed, "an odd type: " .. line)
      family = {name = typed, type = kind, help = help.text, samples = {}}
      families[typed] = family
    else
      local sample = read_sample(line)
      assert(family and belongs(family, sample), "out of its family: " .. line)
      table.insert(family.samples, sample)
    end
  end
  for _, one in pairs(families) do check_family(one) end
  return families
end

--- The value of a sample with these labels; nil when there is none.
function exposition.value(families, name, labels)
  local family = families[name] or families[(name:gsub("_[^_]*$", ""))]
  for _, sample in ipairs(family and family.samples or {}) do
    local fits = sample.name == name
    for key, value in pairs(labels or {}) do fits = fits and sample.labels[key] == value end
    if fits then return sample.value end
  end
end

return exposition
