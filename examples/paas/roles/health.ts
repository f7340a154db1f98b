import { startHealthManager } from "../health/health-manager.ts";
import { createLeadership } from "../leader.ts";
import { assemble } from "../parts.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** Desired against actual, again and again. */
export const healthRole = (context: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { bus, log, alone } = context;
  // With every part in this process all executors have spoken before we ask; else one round of heartbeats is awaited.
  const leadership = parts.use(await createLeadership(bus, "reconciler", log("health")));
  const health = parts.use(startHealthManager({ bus, log: log("health"), leadership, ...(alone && { settleMs: 200 }) }));
  parts.use(await createMember(context, { type: "HealthManager", varz: () => health.counts() }));
  return {};
});
