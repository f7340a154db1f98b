import type { BlockList, Socket } from "node:net";
import type { Clock, Logger } from "../ports.ts";
import { connectionOf, describeConnection, undressed } from "./connection.ts";
import { readProxyHeader, type ProxyHeader } from "./proxy-header.ts";

/** Whether connections begin with a PROXY header: they must not, they may, they must. */
export const proxyProtocols = ["off", "optional", "required"] as const;
export type ProxyProtocol = (typeof proxyProtocols)[number];

export interface ProxyProtocolOptions {
  readonly mode: ProxyProtocol;
  /** Who may send headers; undefined: everybody. */
  readonly senders: BlockList | undefined;
  /** For the whole header to arrive. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** A connection was closed for its header, or the lack of one. */
  readonly refused: () => void;
}

/** Takes a fresh connection and hands it on, with what its header said; or closes it. */
export type Acceptor = (socket: Socket, next: (socket: Socket) => void) => void;

/**
 * Reads PROXY headers. A header that is wrong, late, or from a sender nobody trusts closes the connection without an answer:
 * who speaks for somebody else wrongly must not be heard at all.
 */
export function acceptProxyProtocol({ mode, senders, timeoutMs, clock, log, refused }: ProxyProtocolOptions): Acceptor {
  if (mode === "off") return (socket, next) => next(socket);
  return (socket, next) => {
    const sender = undressed(socket.remoteAddress ?? "");
    const trusted = senders === undefined || senders.check(sender, sender.includes(":") ? "ipv6" : "ipv4");
    if (!trusted && mode === "optional") {
      next(socket);
      return;
    }
    const refuse = (reason: string): void => {
      stop();
      refused();
      log.warn("router.proxy-header.refused", { sender, reason });
      socket.destroy();
    };
    const handOver = (rest: Buffer): void => {
      stop();
      if (rest.length > 0) socket.unshift(rest);
      // As a server hands it over: neither flowing nor paused, so that the next reader starts it.
      (socket as Socket & { readableFlowing: boolean | null }).readableFlowing = null;
      next(socket);
    };
    let heard: Buffer = Buffer.alloc(0);
    const hear = (chunk: Buffer): void => {
      heard = heard.length === 0 ? chunk : Buffer.concat([heard, chunk]);
      const header = readProxyHeader(heard);
      if (header.state === "partial") return;
      if (header.state === "bad") refuse(header.reason);
      else if (header.state === "whole") {
        describe(socket, header);
        handOver(heard.subarray(header.bytes));
      } else if (mode === "optional") handOver(heard);
      else refuse("no header");
    };
    const late = (): void => {
      // Who has said nothing may still be an ordinary client that takes its time.
      if (mode === "optional" && heard.length === 0) handOver(heard);
      else refuse("header too slow");
    };
    const left = (): void => { stop(); socket.destroy(); };
    const timer = clock.after(timeoutMs, late);
    function stop(): void {
      timer[Symbol.dispose]();
      socket.off("data", hear).off("end", left).off("close", left).off("error", left);
    }
    socket.on("error", left);
    if (!trusted) refuse("sender not trusted");
    else socket.on("data", hear).on("end", left).on("close", left);
  };
}

function describe(socket: Socket, { source }: Extract<ProxyHeader, { state: "whole" }>): void {
  if (source !== undefined) describeConnection(socket, { ...connectionOf(socket), peerAddress: source.address, peerPort: source.port });
}
