import { BusError } from "./errors.ts";
import { createEmitter } from "./emitter.ts";
import { assertPattern, assertSubject, matches } from "./subject.ts";
import type { Packet, Transport, TransportStatus } from "./transport.ts";

interface Interest {
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly receive: (packet: Packet) => void;
  active: boolean;
}

/** What connections of one process share, as clients share a server. */
export interface MemoryHub {
  connect(): Transport;
}

export interface MemoryHubOptions {
  /** Largest payload in bytes. Default 1 MiB, as a NATS server has it. */
  maxPayloadBytes?: number;
}

/** A bus within one process: the same order, queue groups and "no responders" as a NATS server, nothing to install. */
export function createMemoryHub({ maxPayloadBytes = 1_048_576 }: MemoryHubOptions = {}): MemoryHub {
  const exact = new Map<string, Set<Interest>>();
  const wild = new Set<Interest>();
  // One line for the whole hub: a delivery never runs inside publish(), and publish order is delivery order.
  const line: { interest: Interest; packet: Packet }[] = [];
  const idle: (() => void)[] = [];
  let scheduled = false;

  const run = (): void => {
    const batch = line.splice(0, line.length);
    for (const { interest, packet } of batch)
      if (interest.active)
        try {
          interest.receive(packet);
        } catch (error) {
          process.emitWarning(error instanceof Error ? error : String(error));
        }
    if (line.length > 0) return void setImmediate(run);
    scheduled = false;
    for (const done of idle.splice(0)) done();
  };
  const deliver = (interest: Interest, packet: Packet): void => {
    line.push({ interest, packet: { ...packet, data: packet.data.slice() } });
    if (scheduled) return;
    scheduled = true;
    setImmediate(run);
  };

  const route = (packet: Packet): number => {
    let reached = 0;
    const groups = new Map<string, Interest[]>();
    const offer = (interest: Interest): void => {
      if (interest.queue === undefined) {
        reached++;
        deliver(interest, packet);
        return;
      }
      const key = `${interest.queue} ${interest.pattern}`;
      const group = groups.get(key);
      if (group) group.push(interest);
      else groups.set(key, [interest]);
    };
    for (const interest of exact.get(packet.subject) ?? []) offer(interest);
    for (const interest of wild) if (matches(interest.pattern, packet.subject)) offer(interest);
    for (const group of groups.values()) {
      reached++;
      deliver(group[Math.floor(Math.random() * group.length)] as Interest, packet);
    }
    return reached;
  };

  const isWild = (pattern: string): boolean => pattern.split(".").some((token) => token === "*" || token === ">");

  const connect = (): Transport => {
    const own = new Set<Interest>();
    const status = createEmitter<TransportStatus>();
    let current: TransportStatus = "connected";
    const assertOpen = (): void => {
      if (current === "closed") throw new BusError("BUS_CLOSED", "this connection to the bus is closed");
    };
    const drop = (interest: Interest): void => {
      interest.active = false;
      own.delete(interest);
      wild.delete(interest);
      const same = exact.get(interest.pattern);
      same?.delete(interest);
      if (same?.size === 0) exact.delete(interest.pattern);
    };
    return {
      get status() {
        return current;
      },
      maxPayloadBytes,
      publish(subject, data, reply) {
        assertOpen();
        assertSubject(subject);
        if (data.length > maxPayloadBytes)
          throw new BusError("BUS_PAYLOAD_TOO_LARGE", `${subject}: ${data.length} bytes are more than the bus carries (${maxPayloadBytes})`);
        const reached = route(reply === undefined ? { subject, data } : { subject, data, reply });
        if (reached === 0 && reply !== undefined) route({ subject: reply, data: new Uint8Array(), noResponders: true });
        return true;
      },
      subscribe(pattern, receive, queue) {
        assertOpen();
        assertPattern(pattern);
        const interest: Interest = { pattern, queue, receive, active: true };
        own.add(interest);
        if (isWild(pattern)) wild.add(interest);
        else (exact.get(pattern) ?? exact.set(pattern, new Set()).get(pattern))?.add(interest);
        return { unsubscribe: () => drop(interest) };
      },
      flush: () => (scheduled ? new Promise((done) => idle.push(done)) : Promise.resolve()),
      onStatus: (listen) => status.on(listen),
      [Symbol.asyncDispose]() {
        if (current === "closed") return Promise.resolve();
        for (const interest of [...own]) drop(interest);
        current = "closed";
        status.emit(current);
        return Promise.resolve();
      },
    };
  };
  return { connect };
}

/** A connection to `hub`, or to a hub of its own. */
export const memoryTransport = (hub: MemoryHub = createMemoryHub()): Transport => hub.connect();
