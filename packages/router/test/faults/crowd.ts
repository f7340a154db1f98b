import { connect } from "node:net";

/** Run as a process of its own: opens `count` connections to `port` and sends something slow on each. Says `open N` once they stand, and `closed N` on its standard input's end. */
const [port = 0, count = 0] = process.argv.slice(2, 4).map(Number);
const how = process.argv[4] ?? "head";

const first: Record<string, string> = {
  head: "GET / HTTP/1.1\r\nHost: app.exa",
  body: "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 100\r\n\r\nx",
  reader: "GET /big HTTP/1.1\r\nHost: app.example.com\r\n\r\n",
  idle: "",
};

let open = 0;
let closed = 0;
let begun = 0;

function next(): void {
  if (begun === count) return;
  begun += 1;
  const socket = connect({ host: "127.0.0.1", port });
  let counted = false;
  if (how === "reader") socket.pause();
  else socket.resume();
  socket.on("connect", () => {
    socket.write(first[how] ?? "");
    counted = true;
    open += 1;
    if (open === count) process.stdout.write(`open ${open}\n`);
    next();
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    closed += 1;
    if (closed === count) process.stdout.write(`closed ${closed}\n`);
    if (!counted) next();
  });
}
// As many at a time as a backlog holds.
for (let n = 0; n < 100; n += 1) next();
process.stdin.on("end", () => process.exit(0)).resume();
