import { createComponent, type ComponentOptions } from "@opencf/bus/component";
import { join } from "@opencf/bus/presence";
import { assemble } from "../parts.ts";
import { platformVersion } from "../platform.ts";
import type { RoleContext } from "./context.ts";

/**
 * Makes a role visible to the others: it answers who asks for components, has a status page with numbers, and stands in the registry
 * with its version and zone for as long as it is there.
 */
export const createMember = ({ bus, config, log }: RoleContext, options: Omit<ComponentOptions, "host" | "zone" | "version">): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { type, address } = options;
  const component = parts.use(await createComponent(bus, { ...options, host: config.internalHost, zone: config.zone, version: platformVersion }));
  const { host, port } = address ?? component;
  parts.use(join(bus, { type, uuid: component.uuid, version: platformVersion, zone: config.zone, host: `${host}:${port}`, log: log("presence") }));
  return {};
});
