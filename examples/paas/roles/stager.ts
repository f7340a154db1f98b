import { join } from "node:path";
import { createComponent } from "@opencf/bus/component";
import { serveStaging } from "@opencf/staging/bus-link";
import { assemble } from "../parts.ts";
import { defaultStack, platformVersion } from "../platform.ts";
import type { RoleContext } from "./context.ts";

/** Turns packages into droplets. What a stager before it left behind in the same folder is ended and removed. */
export const stagerRole = ({ config, bus, log }: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  parts.use(await serveStaging(bus, {
    stacks: [defaultStack], workDir: join(config.dataDir, "staging"), memoryBytes: config.memoryBytes, log: log("stager"),
  }));
  parts.use(await createComponent(bus, { type: "Stager", host: config.internalHost, zone: config.zone, version: platformVersion }));
  return {};
});
