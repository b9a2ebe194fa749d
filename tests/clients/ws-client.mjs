// A WebSocket client; prints what comes of it as JSON lines.
//   node ws-client.mjs URL [NAME=VALUE ...]    (request fields)
// Lines on standard input: echo BYTES | close CODE REASON | abort
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const [url, ...fields] = process.argv.slice(2);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const headers = Object.fromEntries(fields.map((f) => f.split(/=(.*)/s, 2)));
const socket = new WebSocket(url, ["first", "second"], { headers, maxPayload: 16 << 20 });

async function echo(message, binary) {
  const answer = new Promise((resolve) => socket.once("message", (data, isBinary) => resolve([data, isBinary])));
  socket.send(message);
  const [data, isBinary] = await answer;
  return isBinary === binary && Buffer.compare(data, Buffer.from(message)) === 0;
}

const commands = {
  echo: async (bytes) =>
    say({ text: await echo("Grüße " + "x".repeat(bytes), false),
          binary: await echo(Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7) % 251)), true) }),
  close: (code, reason) => socket.close(Number(code), reason),
  abort: () => socket.terminate(),
};

socket.on("open", () => say({ open: true, protocol: socket.protocol }));
socket.on("unexpected-response", (request, response) => {
  say({ status: response.statusCode });
  process.exit(0);
});
socket.on("error", (error) => say({ error: error.message }));
socket.on("close", (code, reason) => {
  say({ code, reason: reason.toString() });
  process.exit(0);
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, ...args] = line.split(" ");
  commands[name](...args.map((a) => (/^\d+$/.test(a) ? Number(a) : a)));
});
