import { createRouter, defaultSteps, type Step } from "@opencf/router";
import { logToApps } from "@opencf/router/bus";
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
  // Before the router, so that it ends after it: the last lines go out as well.
  const appLogs = parts.use(logToApps(bus));
  const router = parts.use(createRouter({
    host: config.host, port: config.port, sources: [routesFromBus(bus)], steps: [openBareDoor(config.domain), ...defaultSteps],
    drainTimeoutMs: 5_000, log: log("router"), accessLog: appLogs,
  }));
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
