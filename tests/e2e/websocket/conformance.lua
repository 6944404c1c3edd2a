--- What a server must make of frames (RFC 6455), as tables.
--
-- A case is `{name, bytes, expected...}`: the bytes that the client sends, then the frames that
-- come back, as `text "a"`, `binary "a"`, `pong "a"` or `closed(code)`. A case that does not end
-- with a close goes on: the client closes, and the server must answer. `target` is "/echo" unless
-- told; cases that are marked `large` are not sent byte by byte.
local frames = require "tests.e2e.websocket.frames"

local frame, text, binary = frames.frame, frames.text, frames.binary
local ping, pong, close = frames.ping, frames.pong, frames.close
local text_begins, binary_begins = frames.text_begins, frames.binary_begins
local more, last, fragmented = frames.more, frames.last, frames.fragmented

local function expects(kind)
  return function(payload) return {kind = kind, payload = payload} end
end

local is_text, is_binary, is_pong = expects "text", expects "binary", expects "pong"

local function closed(code)
  return {kind = "close", code = code}
end

local groups = {}

local function group(about)
  local it = {about = about}
  groups[#groups + 1] = it
  return function(case) it[#it + 1] = case end
end

-- ---------------------------------------------------------------- framing

local add = group "framing"

for _, size in ipairs{0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 70000, 1048576} do
  local payload = ("*"):rep(size)
  add{("a text of %d bytes"):format(size), text(payload), is_text(payload), large = size > 1000}
  local bytes = ("\xfe"):rep(size)
  add{("%d bytes"):format(size), binary(bytes), is_binary(bytes), large = size > 1000}
end

add{"a text with a NUL", text "a\0b", is_text "a\0b"}
add{"three messages at once", text "a" .. binary "b" .. text "c", is_text "a", is_binary "b",
  is_text "c"}
add{"a mask of zeros", text("plain", {mask = "\0\0\0\0"}), is_text "plain"}
add{"a mask of ones", text("plain", {mask = "\xff\xff\xff\xff"}), is_text "plain"}
add{"masks that change", text("abcde", {mask = "\1\2\3\4"}) .. text("fgh", {mask = "\x80\0\xff\7"}),
  is_text "abcde", is_text "fgh"}
add{"a text without a mask", text("hello", {mask = false}), closed(1002)}
add{"bytes without a mask", binary("hello", {mask = false}), closed(1002)}
add{"a ping without a mask", ping("hello", {mask = false}), closed(1002)}
add{"a close without a mask", close(1000, "", {mask = false}), closed(1002)}
add{"a second frame without a mask", text "a" .. text("b", {mask = false}), is_text "a",
  closed(1002)}
add{"a continuation without a mask", text_begins "a" .. last("b", {mask = false}), closed(1002)}

for _, form in ipairs{16, 64} do
  for _, size in ipairs{0, 1, 125} do
    add{("%d bytes with a length of %d bits"):format(size, form),
      text(("x"):rep(size), {form = form}), closed(1002)}
  end
end
add{"126 bytes with a length of 64 bits", text(("x"):rep(126), {form = 64}), closed(1002)}
add{"65535 bytes with a length of 64 bits", text(("x"):rep(65535), {form = 64}), closed(1002),
  large = true}
add{"a length with its highest bit", frame(2, "x", {form = 64, length = 1 << 63}), closed(1002)}
add{"a ping whose length is written long", ping("abc", {form = 16}), closed(1002)}

-- ---------------------------------------------------------------- reserved

add = group "what is reserved"

for rsv = 1, 7 do
  add{("a text with reserved bits %d"):format(rsv), text("hello", {rsv = rsv}), closed(1002)}
  add{("a ping with reserved bits %d"):format(rsv), ping("hello", {rsv = rsv}), closed(1002)}
end
add{"bytes with a reserved bit", binary("hello", {rsv = 4}), closed(1002)}
add{"a close with a reserved bit", close(1000, "", {rsv = 1}), closed(1002)}
add{"a continuation with a reserved bit", text_begins "a" .. last("b", {rsv = 4}), closed(1002)}
add{"a reserved bit after a good message", text "a" .. text("b", {rsv = 2}) .. ping(), is_text "a",
  closed(1002)}

for _, opcode in ipairs{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} do
  add{("opcode %d"):format(opcode), frame(opcode, ""), closed(1002)}
  add{("opcode %d with a payload"):format(opcode), frame(opcode, "hello"), closed(1002)}
  add{("opcode %d after a good message"):format(opcode), text "a" .. frame(opcode, "") .. ping(),
    is_text "a", closed(1002)}
end
add{"a reserved opcode within a message", text_begins "a" .. frame(3, "b"), closed(1002)}

-- ---------------------------------------------------------------- pings

add = group "pings and pongs"

for _, payload in ipairs{"", "hello", "\0\xff\xfe\xfd", ("\xfe"):rep(125)} do
  add{("a ping of %d bytes"):format(#payload), ping(payload), is_pong(payload)}
end
add{"ten pings", (ping "1" .. ping "2"):rep(5), is_pong "1", is_pong "2", is_pong "1", is_pong "2",
  is_pong "1", is_pong "2", is_pong "1", is_pong "2", is_pong "1", is_pong "2"}
add{"a ping of 126 bytes", ping(("x"):rep(126)), closed(1002)}
add{"a ping of 65536 bytes", ping(("x"):rep(65536)), closed(1002), large = true}
add{"a ping in fragments", frame(9, "a", {fin = false}) .. last "b", closed(1002)}
add{"a pong nobody asked for", pong "hello"}
add{"an empty pong", pong()}
add{"a pong, then a ping", pong "a" .. ping "b", is_pong "b"}
add{"a pong of 126 bytes", pong(("x"):rep(126)), closed(1002)}
add{"a pong in fragments", frame(10, "a", {fin = false}) .. last "b", closed(1002)}
add{"a ping before a message", ping "a" .. text "b", is_pong "a", is_text "b"}
add{"a ping and a pong after a close", close(1000) .. ping() .. pong(), closed(1000)}

-- ---------------------------------------------------------------- fragments

add = group "fragments"

add{"two", text_begins "frag" .. last "ment", is_text "fragment"}
add{"two of bytes", binary_begins "\xff" .. last "\xfe", is_binary "\xff\xfe"}
add{"three", text_begins "a" .. more "b" .. last "c", is_text "abc"}
add{"empty ones", text_begins() .. more() .. last(), is_text ""}
add{"empty ones around one", text_begins() .. more "middle" .. last(), is_text "middle"}
add{"one hundred", fragmented(1, ("0123456789"):rep(10), 1), is_text(("0123456789"):rep(10))}
for _, size in ipairs{64, 256, 1024, 4096, 65536} do
  local payload = ("*"):rep(262144)
  add{("of %d bytes"):format(size), fragmented(1, payload, size), is_text(payload), large = true}
  add{("of %d bytes, binary"):format(size), fragmented(2, payload, size), is_binary(payload),
    large = true}
end
add{"a ping between", text_begins "a" .. ping "p" .. last "b", is_pong "p", is_text "ab"}
add{"a pong between", text_begins "a" .. pong "p" .. last "b", is_text "ab"}
add{"pings between all", text_begins "a" .. ping "1" .. more "b" .. ping "2" .. last "c",
  is_pong "1", is_pong "2", is_text "abc"}
add{"a close between", text_begins "a" .. close(1000) .. last "b", closed(1000)}
add{"a text between", text_begins "a" .. text "b", closed(1002)}
add{"bytes between", text_begins "a" .. binary "b", closed(1002)}
add{"a new message instead of the last", text_begins "a" .. more "b" .. text_begins "c",
  closed(1002)}
add{"a continuation of nothing", more "a", closed(1002)}
add{"a last one of nothing", last "a", closed(1002)}
add{"a last one after a whole message", text "a" .. last "b", is_text "a", closed(1002)}
add{"another last one", text_begins "a" .. last "b" .. last "c", is_text "ab", closed(1002)}
add{"messages in fragments, one after the other",
  text_begins "a" .. last "b" .. binary_begins "c" .. last "d", is_text "ab", is_binary "cd"}

-- ---------------------------------------------------------------- UTF-8

add = group "UTF-8"

local good = {
  ["Greek"] = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
  ["the last of two bytes"] = "\u{7ff}",
  ["the first of three bytes"] = "\u{800}",
  ["the last before the surrogates"] = "\u{d7ff}",
  ["the first after the surrogates"] = "\u{e000}",
  ["a character that is none"] = "\u{ffff}",
  ["the first of four bytes"] = "\u{10000}",
  ["the last of all"] = "\u{10ffff}",
  ["a byte order mark"] = "\u{feff}text",
  ["DEL"] = "\x7f",
  ["a long line"] = ("\u{20ac}uro "):rep(40),
}

local bad = {
  ["a continuation alone"] = "\x80",
  ["the last continuation alone"] = "\xbf",
  ["two of them in a text"] = "a\x80\xbfb",
  ["a slash in two bytes"] = "\xc0\xaf",
  ["a slash in three bytes"] = "\xe0\x80\xaf",
  ["a slash in four bytes"] = "\xf0\x80\x80\xaf",
  ["NUL in two bytes"] = "\xc0\x80",
  ["the last overlong of two bytes"] = "\xc1\xbf",
  ["the last overlong of three bytes"] = "\xe0\x9f\xbf",
  ["the last overlong of four bytes"] = "\xf0\x8f\xbf\xbf",
  ["the first surrogate"] = "\xed\xa0\x80",
  ["the last surrogate"] = "\xed\xbf\xbf",
  ["a pair of surrogates"] = "\xed\xa0\x80\xed\xb0\x80",
  ["beyond the last"] = "\xf4\x90\x80\x80",
  ["five bytes"] = "\xf8\x88\x80\x80\x80",
  ["six bytes"] = "\xfc\x84\x80\x80\x80\x80",
  ["0xfe"] = "\xfe",
  ["0xff"] = "\xff",
  ["a beginning before a letter"] = "\xc3a",
  ["two beginnings"] = "\xc3\xc3",
  ["three bytes broken by a letter"] = "\xe2\x82a",
  ["a good beginning, then garbage"] = "\u{3ba}\u{1f79}\u{3c3}\xed\xa0\x80edited",
}

local broken_off = {
  ["one of two bytes"] = "\xc3",
  ["one of three"] = "\xe2",
  ["two of three"] = "\xe2\x82",
  ["three of four"] = "\xf0\x9f\x98",
  ["after a text"] = "text \xf0\x9f",
}

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return ipairs(names)
end

for _, name in sorted(good) do
  add{name, text(good[name]), is_text(good[name])}
  add{name .. ", byte for byte", fragmented(1, good[name], 1), is_text(good[name])}
end
for _, name in sorted(bad) do
  add{name, text(bad[name]), closed(1007)}
  add{name .. ", byte for byte", fragmented(1, "a" .. bad[name], 1), closed(1007)}
  add{name .. " as bytes", binary(bad[name]), is_binary(bad[name])}
end
for _, name in sorted(broken_off) do
  add{"broken off: " .. name, text(broken_off[name]), closed(1007)}
  add{"broken off in fragments: " .. name, text_begins(broken_off[name]) .. last(), closed(1007)}
end
add{"a wrong byte in a fragment that is not the last", text_begins "\xff" .. ping(), closed(1007)}
add{"a character over two fragments and a ping", text_begins "\xe2\x82" .. ping() .. last "\xac",
  is_pong "", is_text "\u{20ac}"}
add{"pings need be no text", ping "\xff\x80", is_pong "\xff\x80"}
add{"a good message, then a bad one", text "good" .. text "\xff", is_text "good", closed(1007)}

-- ---------------------------------------------------------------- closing

add = group "closing"

add{"without a code", close(), closed(1005)}
for _, code in ipairs{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000,
  3999, 4000, 4999}
do
  add{("with %d"):format(code), close(code), closed(code)}
end
for _, code in ipairs{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} do
  add{("with %d, which no frame may have"):format(code), close(code), closed(1002)}
end
add{"with a reason", close(1000, "going"), closed(1000)}
add{"with the longest reason", close(1000, ("x"):rep(123)), closed(1000)}
add{"with a reason too long", close(1000, ("x"):rep(124)), closed(1002)}
add{"with a reason of several bytes a letter", close(1000, "\u{20ac}\u{10ffff}"), closed(1000)}
add{"with a reason that is no UTF-8", close(1000, "\xff"), closed(1007)}
add{"with a reason that breaks off", close(1000, "a\xe2\x82"), closed(1007)}
add{"with half a code", frame(8, "\3"), closed(1002)}
add{"in fragments", frame(8, "\3\xe8", {fin = false}) .. last(), closed(1002)}
add{"after a message", text "a" .. close(1000), is_text "a", closed(1000)}
add{"what follows is not read", close(1000) .. text "a" .. text("b", {rsv = 7}), closed(1000)}
add{"twice", close(1000) .. close(1001), closed(1000)}
add{"within a message", text_begins "a" .. close(3000, "enough"), closed(3000)}

-- ---------------------------------------------------------------- limits

add = group "limits"

local hundred = ("x"):rep(100)
add{"as long as may be", text(hundred), is_text(hundred), target = "/small"}
add{"a byte longer", text(hundred .. "x"), closed(1009), target = "/small"}
add{"bytes, one too many", binary(hundred .. "x"), closed(1009), target = "/small"}
add{"far longer, of which little comes", frame(1, "x", {form = 64, length = 1 << 40}), closed(1009),
  target = "/small"}
add{"the longest there is", frame(2, "x", {form = 64, length = math.maxinteger}), closed(1009),
  target = "/small"}
add{"as long as may be, in fragments", fragmented(1, hundred, 7), is_text(hundred),
  target = "/small"}
add{"a byte longer, in fragments", fragmented(1, hundred .. "x", 20), closed(1009),
  target = "/small"}
add{"empty fragments count for nothing", text_begins(hundred) .. more():rep(50) .. last(),
  is_text(hundred), target = "/small"}
add{"pings within count for nothing", text_begins(hundred) .. ping(hundred) .. last(),
  is_pong(hundred), is_text(hundred), target = "/small"}
add{"each message counts alone", text(hundred):rep(3), is_text(hundred), is_text(hundred),
  is_text(hundred), target = "/small"}
add{"a megabyte and a byte", text(("x"):rep(1048577)), closed(1009), large = true}

return groups
