--- Makes pictures for tests: PNG, without compression.
local picture = {}

local CRC = {}
for n = 0, 255 do
  local c = n
  for _ = 1, 8 do c = c & 1 == 1 and 0xEDB88320 ~ c >> 1 or c >> 1 end
  CRC[n] = c
end

local function crc32(bytes)
  local c = 0xFFFFFFFF
  for at = 1, #bytes do c = CRC[(c ~ bytes:byte(at)) & 255] ~ c >> 8 end
  return c ~ 0xFFFFFFFF
end

local function adler32(bytes)
  local a, b = 1, 0
  for at = 1, #bytes do
    a = (a + bytes:byte(at)) % 65521
    b = (b + a) % 65521
  end
  return b << 16 | a
end

local function chunk(kind, data)
  return string.pack(">I4", #data) .. kind .. data .. string.pack(">I4", crc32(kind .. data))
end

-- zlib's format, in stored blocks.
local function stored(bytes)
  local pieces = {"\x78\x01"}
  for at = 1, #bytes, 65535 do
    local block = bytes:sub(at, at + 65534)
    local is_last = at + 65535 > #bytes and 1 or 0
    pieces[#pieces + 1] = string.pack("<BI2I2", is_last, #block, ~#block & 0xFFFF) .. block
  end
  return table.concat(pieces) .. string.pack(">I4", adler32(bytes))
end

--- A picture.
-- @tparam integer width
-- @tparam integer height
-- @tparam function color of x and y from 0 to 1; gives red, green and blue from 0 to 255
function picture.png(width, height, color)
  local rows = {}
  for y = 0, height - 1 do
    local pixels = {"\0"}
    for x = 0, width - 1 do
      local r, g, b = color(x / width, y / height)
      pixels[#pixels + 1] = string.char(r // 1 | 0, g // 1 | 0, b // 1 | 0)
    end
    rows[#rows + 1] = table.concat(pixels)
  end
  local head = string.pack(">I4I4BBBBB", width, height, 8, 2, 0, 0, 0)
  return "\137PNG\r\n\26\n" .. chunk("IHDR", head)
    .. chunk("IDAT", stored(table.concat(rows))) .. chunk("IEND", "")
end

return picture
