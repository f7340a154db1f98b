import type { Bus } from "@opencf/bus";
import { routerActiveApps } from "@opencf/bus/messages/route";
import { RouterError } from "../errors.ts";
import type { Router } from "../router.ts";

export interface ActiveAppsOptions {
  /** Between two messages. Default 30 000 ms. */
  everyMs?: number;
  /** Apps one message names; of the rest nothing is said until the next. Default 20 000. */
  maxApps?: number;
}

/**
 * Says on the bus, from time to time, which apps have had requests since the last time (`router.active_apps`, the only message there is
 * about traffic). Nothing is said when nobody had any. @throws {RouterError} ROUTER_BAD_OPTION
 */
export function publishActiveApps(bus: Bus, router: Pick<Router, "on">, { everyMs = 30_000, maxApps = 20_000 }: ActiveAppsOptions = {}): Disposable {
  if (!Number.isInteger(everyMs) || everyMs < 1 || everyMs > 0x7fffffff) throw new RouterError("ROUTER_BAD_OPTION", `publishActiveApps: everyMs ${String(everyMs)} is no whole number from 1 on`);
  let active = new Set<string>();
  const listening = router.on("request", ({ endpoint }) => {
    if (endpoint !== undefined && endpoint.app !== "" && active.size < maxApps) active.add(endpoint.app);
  });
  const timer = setInterval(() => {
    if (active.size === 0 || !bus.connected) return;
    try { bus.publish(routerActiveApps, [...active]); } catch { return; }
    active = new Set();
  }, everyMs);
  timer.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      listening[Symbol.dispose]();
    },
  };
}
