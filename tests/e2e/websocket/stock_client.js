// Node's ws against tests/e2e/websocket/routes.lua; prints "all is well".
const assert = require("assert");
const { once } = require("events");
const WebSocket = require("/usr/share/nodejs/ws");

const url = process.argv[2];

async function open(path, ...rest) {
  const ws = new WebSocket(url + path, ...rest);
  ws.inbox = [];
  ws.on("message", (data, binary) => ws.inbox.push(binary ? data : data.toString()));
  await once(ws, "open");
  return ws;
}

async function receive(ws) {
  while (ws.inbox.length === 0) await once(ws, "message");
  return ws.inbox.shift();
}

async function echo() {
  const ws = await open("/echo", { perMessageDeflate: false });
  for (const message of ["hello", "", "\u20ac".repeat(1000), Buffer.alloc(2 ** 20, 7)]) {
    ws.send(message);
    assert.deepEqual(await receive(ws), message);
  }
  for (const part of ["in ", "several ", "fragments"])
    ws.send(part, { fin: part === "fragments" });
  assert.equal(await receive(ws), "in several fragments");
  ws.ping("data");
  assert.equal((await once(ws, "pong"))[0].toString(), "data");
  ws.close(4001, "reason");
  const [code, reason] = await once(ws, "close");
  assert.deepEqual([code, reason.toString()], [4001, "reason"]);
}

async function negotiate() {
  const ws = await open("/subprotocols", ["chat", "x"]);
  assert.equal(ws.protocol, "chat");
  ws.terminate();
  const bad = new WebSocket(url + "/origins", { origin: "https://evil.example" });
  const [, refusal] = await once(bad, "unexpected-response");
  assert.equal(refusal.statusCode, 403);
  refusal.destroy();
}

async function compress() {
  const ws = await open("/compressed");
  assert.match(ws.extensions, /permessage-deflate/);
  for (const message of ["short", "long ".repeat(10000)]) {
    ws.send(message);
    assert.equal(await receive(ws), message);
  }
  ws.send("x".repeat(65537));
  assert.equal((await once(ws, "close"))[0], 1009);
}

async function many() {
  await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const ws = await open("/echo");
    for (let n = 0; n < 20; n++) {
      ws.send(`${i} ${n}`);
      assert.equal(await receive(ws), `${i} ${n}`);
    }
    ws.close();
  }));
}

(async () => {
  await echo();
  await negotiate();
  await compress();
  await many();
  console.log("all is well");
  process.exit(0);
})().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
