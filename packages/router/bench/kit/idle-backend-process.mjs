// The backend of the idle connections: a small answer, or a WebSocket that echoes one frame.
import { createServer } from "node:net";
import { sameAnswer } from "./messages.mjs";
import { serve } from "./part.mjs";
import { clientFrame, serverFrame, upgradeAnswer } from "./websocket-frames.mjs";

const server = createServer({ noDelay: true }, (socket) => {
  let upgraded = false;
  let held = Buffer.alloc(0);
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    held = Buffer.concat([held, chunk]);
    if (upgraded) {
      for (; held.length >= clientFrame.length; held = held.subarray(clientFrame.length)) socket.write(serverFrame);
      return;
    }
    for (let end = held.indexOf("\r\n\r\n"); end >= 0; end = held.indexOf("\r\n\r\n")) {
      upgraded = held.latin1Slice(0, 11) === "GET /socket";
      held = held.subarray(end + 4);
      socket.write(upgraded ? upgradeAnswer : sameAnswer);
    }
  });
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => serve({ port: server.address().port }));
