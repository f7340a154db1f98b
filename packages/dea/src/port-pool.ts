import { createServer } from "node:net";
import { claim } from "./claim.ts";
import { DeaError } from "./errors.ts";
import { type Clock, elapsed, systemClock } from "./ports.ts";

export interface PortPoolOptions {
  /** First port handed out. Default 61001: Linux hands out ephemeral ports up to 60999. */
  first?: number;
  /** Last port handed out. Default 65000. */
  last?: number;
  /** How long a returned port rests. Default 60 000 ms: a router that missed the unregistration must not reach a stranger. */
  restMs?: number;
  clock?: Clock;
}

export interface Port extends Disposable {
  readonly number: number;
}

export interface PortPool {
  /** The next free port, or exactly `wanted`. Throws DEA_NO_PORT. */
  take(wanted?: number): Promise<Port>;
  /** Marks a port as in use without looking whether somebody listens: it belongs to an instance that was found again. */
  adopt(port: number): Promise<Port>;
}

/** Hands out host ports in rotation, so that a port comes back as late as possible. */
export function createPortPool(options: PortPoolOptions = {}): PortPool {
  const { first = 61_001, last = 65_000, restMs = 60_000, clock = systemClock } = options;
  const size = last - first + 1;
  if (size < 1) throw new DeaError("DEA_INVALID_SPEC", `port range ${first}-${last} is empty`);
  const taken = new Set<number>();
  const restingUntil = new Map<number, number>();
  // Several executors on one machine start at different places.
  let cursor = Math.floor(Math.random() * size);

  const hold = (port: number, held: Disposable | undefined): Port => {
    let open = true;
    return {
      number: port,
      [Symbol.dispose]() {
        if (!open) return;
        open = false;
        taken.delete(port);
        restingUntil.set(port, elapsed(clock) + restMs);
        held?.[Symbol.dispose]();
      },
    };
  };

  const tryPort = async (port: number): Promise<Port | undefined> => {
    if (taken.has(port)) return undefined;
    taken.add(port);
    const held = await claim(`port/${port}`);
    if (held && (await isFree(port))) {
      restingUntil.delete(port);
      return hold(port, held);
    }
    held?.[Symbol.dispose]();
    taken.delete(port);
    return undefined;
  };

  return {
    async take(wanted) {
      if (wanted !== undefined) {
        const port = await tryPort(wanted);
        if (!port) throw new DeaError("DEA_NO_PORT", `port ${wanted} is in use`, { retryable: true });
        return port;
      }
      for (let step = 0; step < size; step++) {
        const candidate = first + (cursor++ % size);
        if ((restingUntil.get(candidate) ?? 0) > elapsed(clock)) continue;
        const port = await tryPort(candidate);
        if (port) return port;
      }
      throw new DeaError("DEA_NO_PORT", `no free port between ${first} and ${last}`, { retryable: true });
    },
    async adopt(port) {
      taken.add(port);
      return hold(port, await claim(`port/${port}`));
    },
  };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "0.0.0.0" }, () => server.close(() => resolve(true)));
  });
}
