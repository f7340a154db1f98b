// Opens many connections, has one exchange over each, and keeps them. They come from several addresses of the loopback, a few thousand from each.
import { AnswerReader } from "./answer-reader.mjs";
import { openSocket } from "./client-socket.mjs";
import { sameRequest } from "./messages.mjs";
import { serve } from "./part.mjs";
import { clientFrame, serverFrame, upgradeRequest } from "./websocket-frames.mjs";

const perAddress = 4_000;
const atOnce = 100;
const sockets = [];

/** Reads the answer to a request; calls `end` with what was wrong with it, or nothing. */
function plain(end) {
  const reader = new AnswerReader();
  return (buffer, length) => { if (reader.feed(buffer, length)) end(reader.status === 200 ? undefined : new Error(`status ${reader.status}`)); };
}

/** Reads the answer to an upgrade, sends a frame, and reads the one that comes back. */
function upgraded(end, send) {
  let text = "";
  let open = false;
  return (buffer, length) => {
    text += buffer.latin1Slice(0, length);
    const head = open ? -1 : text.indexOf("\r\n\r\n");
    if (head >= 0) {
      if (!text.startsWith("HTTP/1.1 101")) { end(new Error(text.slice(0, 60))); return; }
      open = true;
      text = text.slice(head + 4);
      send(clientFrame);
    }
    if (open && text === serverFrame.latin1Slice()) end();
  };
}

function open({ port, webSocket }, index) {
  return new Promise((resolve, reject) => {
    let socket;
    const end = (cause) => { if (cause === undefined) resolve(); else reject(cause); };
    const read = webSocket ? upgraded(end, (bytes) => socket.write(bytes)) : plain(end);
    openSocket({ port, read, localAddress: `127.0.0.${2 + Math.floor(index / perAddress)}` }).then((opened) => {
      sockets.push(socket = opened);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("a connection ended")));
      socket.write(webSocket ? upgradeRequest : sameRequest);
    }, reject);
  });
}

const acts = {
  async open({ count, ...how }) {
    for (let index = 0; index < count; index += atOnce) await Promise.all(Array.from({ length: Math.min(atOnce, count - index) }, (_, at) => open(how, index + at)));
  },
  /** How many are still open. */
  count: () => ({ open: sockets.filter((socket) => !socket.destroyed).length }),
  close() { for (const socket of sockets.splice(0)) socket.destroy(); },
};
serve({}, (message) => acts[message.do](message));
