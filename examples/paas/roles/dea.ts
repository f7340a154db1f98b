import { join } from "node:path";
import { createDea } from "@opencf/dea";
import { joinBus } from "@opencf/dea/bus-link";
import { backendBefore, type Choice, chooseBackend, leaveOther } from "../backend.ts";
import { assemble } from "../parts.ts";
import { defaultStack } from "../platform.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

export interface DeaRole extends AsyncDisposable {
  /** How apps are isolated here, and why so. */
  readonly backend: Choice;
}

/** Runs instances. What an executor before it left running in the same folder is taken over, not started again. */
export const deaRole = (context: RoleContext): Promise<DeaRole> => assemble(async (parts) => {
  const { config, bus, log } = context;
  const logger = log("dea");
  const dataDir = join(config.dataDir, "dea");
  const { backend, name, why } = await chooseBackend(config.backend, { before: await backendBefore(dataDir) });
  logger.info("backend", { name, why });
  await leaveOther(dataDir, { name, why }, logger);
  const dea = parts.use(await createDea({ backend, dataDir, memoryBytes: config.memoryBytes, host: config.internalHost, onClose: "stop", log: logger }));
  parts.use(await joinBus(dea, bus, {
    zone: config.zone, stacks: [defaultStack], host: config.internalHost, log: logger,
    ...(config.isolationSegment !== undefined && { isolationSegment: config.isolationSegment }),
  }));
  parts.use(await createMember(context, { type: "DEA", varz: () => ({ num_apps: dea.instances().length, ...dea.capacity() }) }));
  return { backend: { name, why } };
});
