// A nats-server for the benches that need a bus, and messages on it by hand.
import { connect } from "node:net";
import { once } from "node:events";
import { freePort, has } from "./parts.mjs";

export const hasNats = () => has("nats-server");

/** Gives the port it listens on. */
export async function startNats(parts) {
  const port = await freePort();
  await parts.program("nats-server", ["-a", "127.0.0.1", "-p", String(port)], { port });
  return port;
}

export const message = (subject, body) => {
  const text = JSON.stringify(body);
  return `PUB ${subject} ${Buffer.byteLength(text)}\r\n${text}\r\n`;
};

/** A connection that only publishes: `socket.write(message(…))`. */
export async function publisher(port) {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "data");
  socket.write("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
  socket.on("data", (chunk) => { if (chunk.includes("PING")) socket.write("PONG\r\n"); });
  socket.on("error", () => undefined);
  return socket;
}
