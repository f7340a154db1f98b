// The backend of the transfers: sends as many bytes as it is asked for, and counts those it gets.
import { createServer } from "node:net";
import { serve } from "./part.mjs";
import { sendBytes } from "./send-bytes.mjs";

const headEnd = Buffer.from("\r\n\r\n");
const answer = (length) => `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${length}\r\n\r\n`;

const server = createServer({ noDelay: true }, (socket) => {
  let held;
  let missing = 0;
  let counted = 0;
  const count = (bytes) => {
    counted += bytes;
    missing -= bytes;
    if (missing > 0) return;
    const text = String(counted);
    socket.write(answer(text.length) + text);
  };
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    if (missing > 0) { count(chunk.length); return; }
    const bytes = held === undefined ? chunk : Buffer.concat([held, chunk]);
    const end = bytes.indexOf(headEnd);
    held = end < 0 ? bytes : undefined;
    if (end < 0) return;
    const head = bytes.latin1Slice(0, end);
    const download = /^GET \/bytes\/(\d+) /.exec(head);
    if (download !== null) {
      socket.write(answer(Number(download[1])));
      void sendBytes(socket, Number(download[1]));
      return;
    }
    counted = 0;
    missing = Number(/content-length: (\d+)/i.exec(head)[1]);
    count(bytes.length - end - 4);
  });
});
server.listen({ port: 0, host: "127.0.0.1" }, () => serve({ port: server.address().port }));
