import type { Socket } from "node:net";
import { writeDirect, type Writer } from "./write-direct.ts";

/** What is written in this turn of the event loop and waits for its end. */
interface Waiting {
  readonly socket: Socket;
  readonly data: Buffer;
  readonly writer: Writer | undefined;
}

let waiting: Waiting[] = [];

/**
 * Writes at the end of this turn, together with what other connections have to say then. Each write wakes its reader up, which costs more than the
 * writing; a reader that is given ten things at once is woken once. For what is the last or the only thing to be written: nothing else may be written to the socket before.
 */
export function writeThisTurn(socket: Socket, data: Buffer, writer?: Writer): void {
  if (waiting.length === 0) setImmediate(flush);
  waiting.push({ socket, data, writer });
}

function flush(): void {
  const now = waiting;
  waiting = [];
  for (const { socket, data, writer } of now) if (!writeDirect(socket, data, writer)) writeAsStream(socket, data, writer);
}

function writeAsStream(socket: Socket, data: Buffer, writer: Writer | undefined): void {
  const done = writer === undefined ? undefined : (error?: Error | null): void => { if (!error) writer.onWritten(); };
  socket.write(data, done);
  if (socket.writableLength > 0) writer?.onLate();
}
