import { keepRegistered, publicUrls } from "../doors.ts";
import { assemble } from "../parts.ts";
import { adminUser, issuerOf } from "../platform.ts";
import { platformClients } from "../uaa/default-clients.ts";
import { startUaa } from "../uaa/server.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** Users, clients and tokens. */
export const uaaRole = (context: RoleContext, adminPassword: string): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { config, bus, log } = context;
  const uaa = parts.use(await startUaa({
    db: await context.database(),
    issuer: issuerOf(config.domain),
    publicUrls: (headers) => publicUrls(headers, config.domain),
    admin: { username: adminUser, password: adminPassword },
    clients: platformClients({ controllerSecret: (await context.secrets()).controllerClient }),
    host: config.internalHost,
    logger: log("uaa"),
  }));
  parts.use(await createMember(context, { type: "UAA", address: uaa }));
  parts.use(keepRegistered(bus, { host: uaa.host, port: uaa.port, uris: [`uaa.${config.domain}`, `login.${config.domain}`], tags: { component: "uaa" } }));
  return {};
});
