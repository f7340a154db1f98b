import type { Socket } from "node:net";

/**
 * Passes bytes both ways until both sides have ended. The end of one side is passed on while the other may still speak; the death of one is the other's;
 * silence of both for `idleMs` ends it. @returns why it was cut, undefined when it was not
 */
export function join(client: Socket, backend: Socket, head: Buffer, idleMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let cause: string | undefined;
    let open = 2;
    const cut = (why: string): void => {
      cause ??= why;
      client.destroy();
      backend.destroy();
    };
    for (const [socket, other, whose] of [[client, backend, "client"], [backend, client, "endpoint"]] as const) {
      // One side's bytes are the other's too, so that either timer tells of both.
      socket.setTimeout(idleMs, () => cut("idle"));
      socket.on("error", (error: NodeJS.ErrnoException) => {
        cause ??= `${whose} ${error.code === "ECONNRESET" ? "reset" : "failed"}`;
        if (error.code === "ECONNRESET" && !other.destroyed) reset(other);
      });
      socket.on("close", () => {
        open -= 1;
        if (open === 0) resolve(cause);
        // What it has sent before it went is still delivered.
        else if (cause === undefined && socket.readableEnded) other.destroySoon();
        else other.destroy();
      });
    }
    if (head.length > 0) backend.write(head);
    client.pipe(backend);
    backend.pipe(client);
  });
}

/** Passes a reset on where the socket can: below TLS nobody is asked, and one that is just ending would never close. */
function reset(socket: Socket): void {
  if ("encrypted" in socket || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
