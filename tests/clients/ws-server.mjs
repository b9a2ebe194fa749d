// A WebSocket server; what happens to it is printed as JSON lines, the port first.
//   node ws-server.mjs PORT          (0: any)
// /echo echoes, /close closes with a code, /refuse says 403; other requests get their fields as JSON.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const http = createServer((request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(request.headers));
});
const sockets = new WebSocketServer({
  server: http,
  maxPayload: 16 << 20,
  verifyClient: ({ req }, answer) => answer(req.url !== "/refuse", 403, "Forbidden"),
  handleProtocols: (offered) => [...offered][0],
});

sockets.on("connection", (socket, request) => {
  say({ event: "open", path: request.url, headers: request.headers });
  socket.on("close", (code, reason) => say({ event: "close", code, reason: reason.toString() }));
  socket.on("error", (error) => say({ event: "error", message: error.message }));
  socket.on("message", (data, binary) => socket.send(data, { binary }));
  if (request.url === "/close") socket.close(4001, "enough");
});
http.listen(Number(process.argv[2]), "127.0.0.1", () => say({ port: http.address().port }));
