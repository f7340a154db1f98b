import { join } from "node:path";
import { createDea, processBackend } from "@opencf/dea";
import { joinBus } from "@opencf/dea/bus-link";
import { assemble } from "../parts.ts";
import { defaultStack } from "../platform.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** Runs instances. What an executor before it left running in the same folder is taken over, not started again. */
export const deaRole = (context: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { config, bus, log } = context;
  const logger = log("dea");
  const dea = parts.use(await createDea({
    backend: processBackend(), dataDir: join(config.dataDir, "dea"), memoryBytes: config.memoryBytes, host: config.internalHost, log: logger,
  }));
  parts.use(await joinBus(dea, bus, { zone: config.zone, stacks: [defaultStack], host: config.internalHost, log: logger }));
  parts.use(await createMember(context, { type: "DEA", varz: () => ({ num_apps: dea.instances().length, ...dea.capacity() }) }));
  return {};
});
