// The client of the transfers: one connection, one body, down or up.
import { openSocket } from "./client-socket.mjs";
import { host } from "./messages.mjs";
import { serve } from "./part.mjs";
import { sendBytes } from "./send-bytes.mjs";

const headEnd = "\r\n\r\n";

/** Gives how long it took, from the request to the last byte of the answer. */
function transfer({ port, bytes, upload }) {
  return new Promise((resolve, reject) => {
    let head = "";
    let missing;
    let started;
    const watch = setTimeout(() => reject(new Error("no end after 120 s")), 120_000);
    const end = (socket, cause) => {
      clearTimeout(watch);
      socket?.destroy();
      if (cause !== undefined) reject(cause);
      else resolve({ ms: performance.now() - started });
    };
    let socket;
    const read = (buffer, length) => {
      if (missing === undefined) {
        head += buffer.latin1Slice(0, length);
        const at = head.indexOf(headEnd);
        if (at < 0) return;
        if (!head.startsWith("HTTP/1.1 200")) { end(socket, new Error(head.slice(0, at))); return; }
        missing = Number(/content-length: (\d+)/i.exec(head)[1]) - (head.length - at - headEnd.length);
        if (upload && !head.endsWith(headEnd + bytes)) { end(socket, new Error(`the backend did not get ${bytes} bytes: ${head.slice(at)}`)); return; }
      } else missing -= length;
      if (missing <= 0) end(socket);
    };
    openSocket({ port, read }).then((opened) => {
      socket = opened;
      socket.on("error", (cause) => end(socket, cause));
      socket.on("close", () => end(socket, new Error("the connection ended in the middle")));
      started = performance.now();
      if (!upload) { socket.write(`GET /bytes/${bytes} HTTP/1.1\r\nHost: ${host}\r\n\r\n`); return; }
      socket.write(`POST /count HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n\r\n`);
      void sendBytes(socket, bytes);
    }, reject);
  });
}

serve({}, transfer);
