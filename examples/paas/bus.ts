import { type Bus, createBus, memoryTransport, natsTransport } from "@opencf/bus";
import type { PaasConfig } from "./config.ts";
import type { Logger } from "./logger.ts";

/**
 * The bus of this process: within it, or over NATS servers. Over NATS the parts start although no server is there yet.
 * A user in the address makes the inbox `_INBOX.<user>`, so that permissions can keep the answers to one role from the others.
 */
export function openBus({ natsServers, natsFiles, roles }: PaasConfig, log: Logger, signal?: AbortSignal): Promise<Bus> {
  const name = roles.length === 1 ? (roles[0] as string) : "opencf";
  if (natsServers.length === 0) return createBus({ transport: memoryTransport(), name, log });
  const { credentials, nkey, ...certificates } = natsFiles;
  const user = userOf(natsServers);
  return createBus({
    name, log,
    transport: natsTransport({
      servers: natsServers, name: `opencf ${roles.join(",")}`, log,
      ...(user !== undefined && { inboxPrefix: `_INBOX.${user}` }),
      ...(credentials !== undefined && { credentials }),
      ...(nkey !== undefined && { nkey }),
      ...(Object.keys(certificates).length > 0 && { tls: certificates }),
      ...(signal && { signal }),
    }),
  });
}

function userOf(servers: readonly string[]): string | undefined {
  for (const each of servers) {
    const { username, password } = new URL(each);
    if (username !== "" && password !== "" && /^[\w-]+$/.test(username)) return username;
  }
  return undefined;
}
