import type { Socket } from "node:net";
import type { Exchange } from "./exchange.ts";

/** What making a connection took, milliseconds; 0 for what was not done. */
export interface DialTimes {
  dnsMs: number;
  dialMs: number;
  tlsMs: number;
  totalMs: number;
}

/** Watches a socket that has just been told to connect. The times are whole before others hear its `connect`, over TLS its `secureConnect`. */
export function timeDial(socket: Socket, tls: boolean): DialTimes {
  const times: DialTimes = { dnsMs: 0, dialMs: 0, tlsMs: 0, totalMs: 0 };
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

/** Tells an exchange what the connection made for it took; nothing when it found one open. */
export function noteDial(exchange: Exchange, times: DialTimes | undefined): void {
  exchange.dnsMs = times?.dnsMs ?? 0;
  exchange.dialMs = times?.dialMs ?? 0;
  exchange.tlsMs = times?.tlsMs ?? 0;
  exchange.connectMs = times?.totalMs ?? 0;
}
