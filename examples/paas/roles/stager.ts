import { join } from "node:path";
import { serveStaging } from "@opencf/staging/bus-link";
import { assemble } from "../parts.ts";
import { defaultStack } from "../platform.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** Turns packages into droplets. What a stager before it left behind in the same folder is ended and removed. */
export const stagerRole = (context: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { config, bus, log } = context;
  parts.use(await serveStaging(bus, {
    stacks: [defaultStack], workDir: join(config.dataDir, "staging"), memoryBytes: config.memoryBytes, log: log("stager"),
  }));
  parts.use(await createMember(context, { type: "Stager" }));
  return {};
});
