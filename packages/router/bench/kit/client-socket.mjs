// A connection to a proxy whose incoming bytes go into one shared buffer: the cheapest that Node has.
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { suite } from "./certificate.mjs";
import { host } from "./messages.mjs";

const shared = Buffer.allocUnsafe(65_536);

/** @param read gets the buffer and how much of it is new; it must be done with it when it returns. Resolves once connected, TLS included. */
export function openSocket({ port, ca, read, localAddress }) {
  return new Promise((resolve, reject) => {
    const common = { port, host: "127.0.0.1", noDelay: true, ...(localAddress === undefined ? {} : { localAddress }), onread: { buffer: shared, callback: (length, buffer) => { read(buffer, length); return true; } } };
    const socket = ca === undefined ? connect(common) : connectTls({ ...common, ca, servername: host, ciphers: suite, minVersion: "TLSv1.3" });
    socket.once("error", reject);
    socket.once(ca === undefined ? "connect" : "secureConnect", () => { socket.off("error", reject); resolve(socket); });
  });
}
