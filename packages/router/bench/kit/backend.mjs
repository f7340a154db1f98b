// The backend of a bench: answers with a small body at once, the same one or one like no other, as the request has it.
import { createServer } from "node:net";
import { differentAnswer, isDifferent, sameAnswer, tokenAt, tokenLength } from "./messages.mjs";

const headEnd = Buffer.from("\r\n\r\n");

export function startBackend() {
  const server = createServer({ noDelay: true }, (socket) => {
    let held;
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      let bytes = held === undefined ? chunk : Buffer.concat([held, chunk]);
      held = undefined;
      for (let end = bytes.indexOf(headEnd); end >= 0; end = bytes.indexOf(headEnd)) {
        if (isDifferent(bytes)) socket.write(differentAnswer(bytes.latin1Slice(tokenAt, tokenAt + tokenLength)), "latin1");
        else socket.write(sameAnswer);
        if (end + 4 === bytes.length) return;
        bytes = bytes.subarray(end + 4);
      }
      held = bytes;
    });
  });
  return new Promise((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => resolve(server.address().port)));
}
