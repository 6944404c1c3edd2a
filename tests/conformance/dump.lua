-- Prints the cases of the conformance suite as JSON, one on a line, for the differential tool.
-- Run from the root of the repository.
local cjson = require "cjson"
local groups = require "tests.e2e.conformance.groups"

-- About what scripts answer, not about what clients send.
local left_out = {responses = true}

local function hex(bytes)
  return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function hex_pieces(bytes)
  local pieces = {}
  for i, piece in ipairs(type(bytes) == "table" and bytes or {bytes}) do pieces[i] = hex(piece) end
  return pieces
end

for _, group in ipairs(groups) do
  for _, case in ipairs(left_out[group.name] and {} or group) do
    print(cjson.encode{
      group = group.name,
      sentence = case[1],
      section = case[2],
      pieces = hex_pieces(case[3]),
      half_close = case.half_close or false,
      limited = group.args ~= nil,
    })
  end
end
