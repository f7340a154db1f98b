import type { Bus } from "@opencf/bus";
import { logEnvelopes } from "@opencf/bus/messages";
import { accessLogLine, createRouter, defaultSteps, type RequestRecord, type Step } from "@opencf/router";
import { routesFromBus } from "@opencf/router/bus-link";
import { bareDoor } from "../doors.ts";
import { assemble } from "../parts.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

export interface RouterRole extends AsyncDisposable {
  /** Where the platform's door is. */
  readonly address: { readonly host: string; readonly port: number };
}

/** The only door. What came to a bare address is looked up under the name that its path stands for. */
export const routerRole = (context: RoleContext): Promise<RouterRole> => assemble(async (parts) => {
  const { config, bus, log } = context;
  const router = parts.use(createRouter({
    host: config.host, port: config.port, sources: [routesFromBus(bus)], steps: [openBareDoor(config.domain), ...defaultSteps],
    drainTimeoutMs: 5_000, log: log("router"),
  }));
  const tell = parts.use(accessLinesToBus(bus));
  router.on("request", tell.record);
  const address = await router.listen();
  // A platform in one process is there when its door leads somewhere: its parts answer the router's start message after a moment.
  const own = [...(config.roles.includes("controller") ? ["api"] : []), ...(config.roles.includes("uaa") ? ["uaa"] : [])];
  await Promise.all(own.map((name) => router.table.waitFor(`${name}.${config.domain}`, { timeoutMs: 20_000 })))
    .catch((error: unknown) => log("router").warn("router.parts.missing", { reason: String(error) }));
  parts.use(await createMember(context, { type: "Router", varz: () => router.numbers() }));
  return { address };
});

const openBareDoor = (domain: string): Step => (exchange, next) => {
  const door = bareDoor(exchange.host, exchange.target, domain);
  if (door) {
    exchange.lookupHost = door.host;
    exchange.target = door.target;
  }
  return next();
};

/** Lines that wait for the next batch; more than this in a tenth of a second are counted, not kept. */
const maxWaiting = 5_000;

/** The access log of each app goes to the app's own log, as source RTR, in batches. */
function accessLinesToBus(bus: Bus): Disposable & { record: (record: RequestRecord) => void } {
  let waiting: { source_id: string; instance_id: string; timestamp: string; tags: Record<string, string>; type: "OUT"; payload: string }[] = [];
  let dropped = 0;
  let lastNs = 0n;
  const flush = (): void => {
    if (waiting.length === 0) return;
    const envelopes = waiting;
    waiting = [];
    try {
      bus.publish(logEnvelopes, { envelopes });
    } catch {
      dropped += envelopes.length;
    }
  };
  const timer = setInterval(flush, 100);
  timer.unref();
  return {
    record(record) {
      const app = record.endpoint?.tags["app_id"] ?? record.endpoint?.app ?? "";
      if (app === "") return;
      if (waiting.length >= maxWaiting) return void dropped++;
      const ns = BigInt(Date.now()) * 1_000_000n;
      lastNs = ns > lastNs ? ns : lastNs + 1n;
      waiting.push({ source_id: app, instance_id: "0", timestamp: String(lastNs), tags: { source_type: "RTR" }, type: "OUT", payload: accessLogLine(record).trimEnd().slice(0, 8_192) });
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      flush();
    },
  };
}
