import type { Socket } from "node:net";
import type { RequestHead } from "../http1/head.ts";

/** Puts a request that was read, and what has come behind it, back before what comes next, for another reader. */
export function putBack(socket: Socket, { method, target, version, rawHeaders }: RequestHead, rest: Buffer): void {
  let text = `${method} ${target} HTTP/${version}\r\n`;
  for (let at = 0; at < rawHeaders.length; at += 2) text += `${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`;
  // Neither flowing nor paused, so that the next reader starts it.
  (socket as Socket & { readableFlowing: boolean | null }).readableFlowing = null;
  socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, "latin1"), rest]));
}
