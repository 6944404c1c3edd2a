--- Handshakes and what they are answered (RFC 6455, section 4.2), as tables: `{name, changes,
-- status, headers}`. The changes are lines that take the place of a good handshake's by their
-- names; `false` drops the line. `method`, `version` and `target` are GET, 1.1 and "/echo" unless
-- told; `accepted` is what the 101 says, or false for what it must not.
local good = {status = 101}
local required = {status = 426, headers = {upgrade = "websocket", connection = "upgrade"}}
local version = {status = 426, headers = {["sec-websocket-version"] = "13", upgrade = "websocket"}}
local malformed = {status = 400}
local forbidden = {status = 403}

local function protocol(name)
  return {status = 101, headers = {["sec-websocket-protocol"] = name}}
end

local function origin(value, target)
  return {Origin = value, target = target or "/origins"}
end

return {
  {"a plain one", {}, good},
  {"names in capitals", {Upgrade = "WebSocket", Connection = "UPGRADE"}, good},
  {"keep-alive too", {Connection = "keep-alive, Upgrade"}, good},
  {"another protocol too", {Upgrade = "h2c, websocket"}, good},
  {"an extension that we do not know", {["Sec-WebSocket-Extensions"] = "x-unknown; a=1"}, good},
  {"an argument of the rule", {target = "/item/7"}, good},
  {"an argument that does not fit", {target = "/item/seven"}, {status = 404}},
  {"a route of plain HTTP", {target = "/plain"}, {status = 200}},
  {"no such route", {target = "/nothing"}, {status = 404}},
  {"a plain GET", {Upgrade = false, Connection = false}, required},
  {"no Upgrade", {Upgrade = false}, required},
  {"another Upgrade", {Upgrade = "h2c"}, required},
  {"a name that begins like it", {Upgrade = "websockets"}, required},
  {"a Connection that does not name Upgrade", {Connection = "keep-alive"}, required},
  {"no Connection", {Connection = false}, required},
  {"HTTP/1.0", {version = "1.0"}, required},
  {"HEAD", {method = "HEAD"}, required},
  {"POST", {method = "POST"}, {status = 405}},
  {"version 8", {["Sec-WebSocket-Version"] = "8"}, version},
  {"version 0", {["Sec-WebSocket-Version"] = "0"}, version},
  {"versions 13 and 8", {["Sec-WebSocket-Version"] = "13, 8"}, version},
  {"no version", {["Sec-WebSocket-Version"] = false}, version},
  {"no key", {["Sec-WebSocket-Key"] = false}, malformed},
  {"an empty key", {["Sec-WebSocket-Key"] = ""}, malformed},
  {"a key of 15 bytes", {["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAA"}, malformed},
  {"a key of 17 bytes", {["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAAA="}, malformed},
  {"a key of 18 bytes", {["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAAAA"}, malformed},
  {"a key that is no base64", {["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25-ZQ=="}, malformed},
  {"a key with bits too many", {["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZR=="}, malformed},
  {"two keys", {["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="},
    malformed},
  {"a body to come", {["Content-Length"] = "5"}, malformed},
  {"a body of no bytes", {["Content-Length"] = "0"}, good},
  {"a chunked body", {["Transfer-Encoding"] = "chunked"}, malformed},
  {"no subprotocol", {target = "/subprotocols"}, protocol(false)},
  {"a subprotocol", {target = "/subprotocols", ["Sec-WebSocket-Protocol"] = "chat"},
    protocol "chat"},
  {"the better subprotocol", {target = "/subprotocols",
    ["Sec-WebSocket-Protocol"] = "other, chat,chat.v2"}, protocol "chat.v2"},
  {"an unknown subprotocol", {target = "/subprotocols", ["Sec-WebSocket-Protocol"] = "other"},
    protocol(false)},
  {"a subprotocol in other letters", {target = "/subprotocols",
    ["Sec-WebSocket-Protocol"] = "Chat"}, protocol(false)},
  {"a subprotocol where none is spoken", {["Sec-WebSocket-Protocol"] = "chat"}, protocol(false)},
  {"an origin that may", origin "https://good.example", good},
  {"an origin that may, in other letters", origin "http://other.example:81", good},
  {"an origin that may not", origin "https://evil.example", forbidden},
  {"an origin of another scheme", origin "http://good.example", forbidden},
  {"an origin of another port", origin "https://good.example:444", forbidden},
  {"an origin that begins well", origin "https://good.example.evil.example", forbidden},
  {"an opaque origin", origin "null", forbidden},
  {"no origin", {target = "/origins"}, good},
  {"any origin where all may", origin("https://evil.example", "/any-origin"), good},
  {"the same host", origin("http://127.0.0.1", "/echo"), good},
  {"the same host by TLS", origin("https://127.0.0.1", "/echo"), good},
  {"another host", origin("http://evil.example", "/echo"), forbidden},
  {"another port of the same host", origin("http://127.0.0.1:81", "/echo"), forbidden},
  {"an origin that only ends so", origin("http://evil.example/127.0.0.1", "/echo"), forbidden},
}
