import type { ChildProcess } from "node:child_process";
import type { Worker } from "node:cluster";

/** A connection on its way to a worker: what node:cluster says of it (`NODE_CLUSTER` messages), and the connection. */
interface Handed { readonly message: Readonly<Record<string, unknown>>; readonly handle: { close(): void } }

/** Node's own numbers count up from 0; ours must not meet them. */
let nextOwn = -1;

/**
 * node:cluster gives each connection to a worker and forgets it when the worker says that it has it. One that dies before it says so
 * takes the connection into limbo: this process holds it open, nobody reads it, and the client waits. So it is written down what is
 * on its way to whom, and what a dead worker has not taken goes to a living one; where there is none it is closed.
 *
 * Nor does Node tell of a worker's end while a connection on its way there was not received: `disconnect` waits for the receipt, which
 * never comes. The dead one then stays among those who get connections (on other ports as well), and what it gets is lost. So the end
 * of what it says is told here, once, whatever was on its way.
 */
export function watchHandover(worker: Worker, living: () => Worker | undefined): void {
  const child = worker.process as ChildProcess & { send: (...given: unknown[]) => boolean };
  tellEnd(child);
  const onItsWay = new Map<unknown, Handed>();
  const own = new Set<unknown>();
  const send = child.send.bind(child) as (...given: unknown[]) => boolean;

  child.send = (message: unknown, handle: unknown, ...rest: unknown[]) => {
    if (isNewConnection(message) && handle !== undefined && handle !== null) {
      onItsWay.set(message["seq"], { message, handle: handle as Handed["handle"] });
      if ((message["seq"] as number) < 0) own.add(message["seq"]);
    }
    return send(message, handle, ...rest);
  };
  child.on("internalMessage", (message: { ack?: unknown; accepted?: unknown }) => {
    if (message.ack === undefined) return;
    const handed = onItsWay.get(message.ack);
    onItsWay.delete(message.ack);
    // What Node has sent Node closes; a worker that is ending takes no more, and it is offered to the next.
    if (handed === undefined || !own.delete(message.ack)) return;
    if (message.accepted === true) handed.handle.close();
    else pass(handed);
  });
  const pass = ({ message, handle }: Handed): void => {
    const next = living();
    if (next === undefined || !next.isConnected()) handle.close();
    else (next.process as typeof child).send({ ...message, seq: nextOwn-- }, handle);
  };
  // By then everything it has said is read.
  worker.on("disconnect", () => {
    for (const handed of onItsWay.values()) pass(handed);
    onItsWay.clear();
  });
  // Writing to one that has just died fails; its exit is what counts.
  worker.on("error", () => undefined);
}

/** Has `disconnect` emitted when the channel has ended: at once, or, should it end unseen, with the process. */
function tellEnd(child: ChildProcess): void {
  let told = false;
  const tell = (): void => { if (!told) child.emit("disconnect"); };
  child.prependOnceListener("disconnect", () => { told = true; });
  const disconnect = child.disconnect.bind(child);
  // Node calls it at the end of what the worker says; what was said before is told before.
  child.disconnect = () => {
    disconnect();
    process.nextTick(tell);
  };
  child.once("close", tell);
}

const isNewConnection = (message: unknown): message is Record<string, unknown> =>
  typeof message === "object" && message !== null && (message as { cmd?: unknown }).cmd === "NODE_CLUSTER" && (message as { act?: unknown }).act === "newconn";
