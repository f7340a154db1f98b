import { join } from "node:path";
import { createComponent } from "@opencf/bus/component";
import { createDea, processBackend } from "@opencf/dea";
import { joinBus } from "@opencf/dea/bus-link";
import { assemble } from "../parts.ts";
import { defaultStack, platformVersion } from "../platform.ts";
import type { RoleContext } from "./context.ts";

/** Runs instances. What an executor before it left running in the same folder is taken over, not started again. */
export const deaRole = ({ config, bus, log }: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const logger = log("dea");
  const dea = parts.use(await createDea({
    backend: processBackend(), dataDir: join(config.dataDir, "dea"), memoryBytes: config.memoryBytes, host: config.internalHost, log: logger,
  }));
  parts.use(await joinBus(dea, bus, { zone: config.zone, stacks: [defaultStack], host: config.internalHost, log: logger }));
  parts.use(await createComponent(bus, { type: "DEA", host: config.internalHost, zone: config.zone, version: platformVersion, varz: () => ({ num_apps: dea.instances().length, ...dea.capacity() }) }));
  return {};
});
