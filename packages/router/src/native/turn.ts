import type { Socket } from "node:net";

/** What is written in this turn of the event loop and waits for its end. */
interface Waiting {
  readonly socket: Socket;
  readonly data: Buffer | string;
  readonly done: (() => void) | undefined;
  readonly lender: Lender | undefined;
}

/** Whose bytes are lent to a write: they are written over as soon as the system has taken them. */
export interface Lender {
  /** The system has not taken all of them yet: they belong to the socket now. */
  leave(): void;
}

let waiting: Waiting[] = [];

/**
 * Writes at the end of this turn, together with what other connections have to say then. Each write wakes its reader up, which costs more than the
 * writing; a reader that is given ten things at once is woken once. For what is the last or the only thing to be written: nothing else may be written to the socket before.
 */
export function writeThisTurn(socket: Socket, data: Buffer | string, done?: () => void, lender?: Lender): void {
  if (waiting.length === 0) setImmediate(flush);
  waiting.push({ socket, data, done, lender });
}

function flush(): void {
  const now = waiting;
  waiting = [];
  for (const { socket, data, done, lender } of now) {
    if (typeof data === "string") socket.write(data, "latin1", done);
    else socket.write(data, done);
    if (lender !== undefined && socket.writableLength > 0) lender.leave();
  }
}
