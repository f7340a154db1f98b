import type { Bus, Logger } from "@opencf/bus";
import { createLease, openBucket } from "@opencf/bus/kv";

/** Whether this process is the one that acts, of several that could. */
export interface Leadership extends AsyncDisposable {
  readonly leading: boolean;
  /** Goes with every command, so that one who was replaced without knowing it is refused. @throws BusError `BUS_LEASE_LOST` */
  headers(): Record<string, string>;
}

/** Time after which a leader that is gone is replaced. */
const leaseMs = 4_000;

/**
 * One of all processes that ask for `name` leads. Within one process, and over NATS servers with JetStream, by a lease; over servers without
 * it everybody leads, which is loud in the log and fit for one process of a kind only.
 */
export async function createLeadership(bus: Bus, name: string, log: Logger): Promise<Leadership> {
  if (await withoutState(bus)) {
    log.warn("leader.alone", { name, reason: "the NATS servers run without JetStream (nats-server -js): start only one process with this role" });
    return { leading: true, headers: () => ({}), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const lease = createLease(bus, name, { ttlMs: leaseMs, log });
  const watch = lease.onChange(({ held }) => log.info("leader", { name, leading: held }));
  return {
    get leading() {
      return lease.held;
    },
    headers: () => lease.headers(),
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await lease[Symbol.asyncDispose]();
    },
  };
}

/** Whether there is surely no shared state. A bus that is away at the moment may have it. */
async function withoutState(bus: Bus): Promise<boolean> {
  try {
    await using _leases = await openBucket(bus, "leases");
    return false;
  } catch (error) {
    return (error as { code?: string }).code === "BUS_UNSUPPORTED";
  }
}
