import { createComponent } from "@opencf/bus/component";
import { startHealthManager } from "../health/health-manager.ts";
import { createLeadership } from "../leader.ts";
import { assemble } from "../parts.ts";
import { platformVersion } from "../platform.ts";
import type { RoleContext } from "./context.ts";

/** Desired against actual, again and again. */
export const healthRole = ({ config, bus, log, alone }: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  // With every part in this process all executors have spoken before we ask; else one round of heartbeats is awaited.
  const leadership = parts.use(await createLeadership(bus, "reconciler", log("health")));
  const health = parts.use(startHealthManager({ bus, log: log("health"), leadership, ...(alone && { settleMs: 200 }) }));
  parts.use(await createComponent(bus, { type: "HealthManager", host: config.internalHost, zone: config.zone, version: platformVersion, varz: () => health.counts() }));
  return {};
});
