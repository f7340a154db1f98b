import type { NatsConnection } from "nats";
import { readInTurns, type PausableSocket, type TurnOptions } from "./turns.ts";

/**
 * What the client keeps to itself and we must touch. Every use is optional: another version of the client costs the remedy, not the function.
 */
interface Inside {
  protocol?: { transport?: ClientTransport };
}

interface ClientTransport {
  connected?: boolean;
  done?: boolean;
  socket?: (PausableSocket & { destroy(): void; readonly writableLength: number }) | undefined;
}

const inside = (connection: NatsConnection): ClientTransport | undefined => (connection as unknown as Inside).protocol?.transport;

/** Bytes that wait for the server to read them. */
export const waitingBytes = (connection: NatsConnection): number => inside(connection)?.socket?.writableLength ?? 0;

/** Reads from its socket in turns, and from those that come after it when the connection was lost. */
export function paceReading(connection: NatsConnection, options: TurnOptions): void {
  const begin = (): void => {
    const socket = inside(connection)?.socket;
    if (socket) readInTurns(socket, options);
  };
  begin();
  void (async () => {
    for await (const { type } of connection.status()) if (String(type) === "reconnect") begin();
  })().catch(() => undefined);
}

/**
 * An attempt to connect that ran out of time leaves its socket open (nats.js 2.29, `dial`). When the server wakes up, the socket's end would
 * be taken for the end of the connection that has been made since. So what never connected is closed before the next attempt.
 */
export function abandonDial(connection: NatsConnection): void {
  const transport = inside(connection);
  if (!transport || transport.connected === true || transport.done === true) return;
  transport.done = true;
  if (transport.socket) return transport.socket.destroy();
  // Where the socket has yet to come it is closed as it comes.
  let late: ClientTransport["socket"];
  Object.defineProperty(transport, "socket", {
    configurable: true,
    get: () => late,
    set(socket: ClientTransport["socket"]) {
      late = socket;
      socket?.destroy();
    },
  });
}
