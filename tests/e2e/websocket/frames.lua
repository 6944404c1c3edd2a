--- The bytes of WebSocket frames as a client sends them, by name.
local frames = {}

local KEY = "\x37\xfa\x21\x3d"

local function masked(payload, key)
  local k1, k2, k3, k4 = key:byte(1, 4)
  local keys, out = {[0] = k4, k1, k2, k3}, {}
  for i = 1, #payload do out[i] = string.char(payload:byte(i) ~ keys[i % 4]) end
  return table.concat(out)
end

--- The length as `form` says: 7, 16 or 64 bits; the shortest unless told.
local function length_bytes(length, form, mask_bit)
  form = form or (length < 126 and 7 or length < 65536 and 16 or 64)
  if form == 7 then return string.pack("B", mask_bit | length) end
  if form == 16 then return string.pack(">BI2", mask_bit | 126, length) end
  return string.pack(">BI8", mask_bit | 127, length)
end

--- Any frame.
-- @tparam integer opcode
-- @tparam string payload
-- @tparam[opt] table options `fin` (true), `rsv` (0 to 7), `form` of the length, `length` said
--   (that of the payload), `mask` (a key; false for none)
function frames.frame(opcode, payload, options)
  options = options or {}
  local key = options.mask == nil and KEY or options.mask
  local first = (options.fin == false and 0 or 0x80) | (options.rsv or 0) << 4 | opcode
  return string.char(first)
    .. length_bytes(options.length or #payload, options.form, key and 0x80 or 0)
    .. (key or "") .. (key and masked(payload, key) or payload)
end

local function maker(opcode, fin)
  return function(payload, options)
    options = options or {}
    options.fin = fin
    return frames.frame(opcode, payload or "", options)
  end
end

frames.text, frames.binary = maker(1), maker(2)
frames.ping, frames.pong = maker(9), maker(10)
frames.text_begins, frames.binary_begins = maker(1, false), maker(2, false)
frames.more, frames.last = maker(0, false), maker(0)

--- A close; without a code it is empty.
function frames.close(code, reason, options)
  local payload = code and string.pack(">I2", code) .. (reason or "") or ""
  return frames.frame(8, payload, options)
end

--- A message in fragments of so many bytes.
function frames.fragmented(opcode, payload, size)
  local pieces = {}
  for first = 1, #payload, size do
    pieces[#pieces + 1] = frames.frame(first == 1 and opcode or 0,
      payload:sub(first, first + size - 1), {fin = first + size > #payload})
  end
  return table.concat(pieces)
end

return frames
