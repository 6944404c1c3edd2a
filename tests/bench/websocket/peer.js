// The same in Node, with ws.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
const room = new Set();

server.on("connection", (socket, request) => {
  if (request.url === "/echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
    return;
  }
  room.add(socket);
  socket.on("close", () => room.delete(socket));
  socket.on("message", (data, binary) => {
    for (const other of room) other.send(data, { binary });
  });
  socket.send("joined");
});
