import type { Socket } from "node:net";
import { addressOf } from "../endpoint.ts";
import type { Exchange } from "./exchange.ts";

/** What making a connection took, milliseconds; 0 for what was not done. And where it begins, see `localEnd`. */
export interface DialTimes {
  localAddress: string;
  dnsMs: number;
  dialMs: number;
  tlsMs: number;
  totalMs: number;
}

/** Watches a socket that has just been told to connect. The times are whole before others hear its `connect`, over TLS its `secureConnect`. */
export function timeDial(socket: Socket, tls: boolean): DialTimes {
  const times: DialTimes = { localAddress: "", dnsMs: 0, dialMs: 0, tlsMs: 0, totalMs: 0 };
  const begun = performance.now();
  let named = begun;
  let connected = begun;
  // An address needs no looking up, and still says so; what took no time worth telling is not told.
  socket.once("lookup", () => {
    named = performance.now();
    if (socket.connecting) times.dnsMs = named - begun;
  });
  socket.prependOnceListener("connect", () => {
    connected = performance.now();
    times.dialMs = connected - named;
    times.totalMs = connected - begun;
    times.localAddress = localEnd(socket);
  });
  if (tls) {
    socket.prependOnceListener("secureConnect", () => {
      const now = performance.now();
      times.tlsMs = now - connected;
      times.totalMs = now - begun;
    });
  }
  return times;
}

/** `address:port` of this end of an open connection; empty where the system does not tell. */
export function localEnd({ localAddress, localPort }: Socket): string {
  return localAddress === undefined || localPort === undefined ? "" : addressOf(localAddress, localPort);
}

/** Tells an exchange which connection it has: what it took to make, which is nothing when it stood open, and where it begins. */
export function noteDial(exchange: Exchange, times: DialTimes | undefined, localAddress = times?.localAddress ?? ""): void {
  exchange.localAddress = localAddress;
  exchange.dnsMs = times?.dnsMs ?? 0;
  exchange.dialMs = times?.dialMs ?? 0;
  exchange.tlsMs = times?.tlsMs ?? 0;
  exchange.connectMs = times?.totalMs ?? 0;
}
