import { join } from "node:path";
import { openBus } from "./bus.ts";
import type { PaasConfig, Role } from "./config.ts";
import { openDatabase } from "./database.ts";
import { createDirectory } from "./directory.ts";
import { lockFolder } from "./folder-lock.ts";
import { createLogger, type Logger } from "./logger.ts";
import { assemble, useAll } from "./parts.ts";
import { blobsRole } from "./roles/blobs.ts";
import type { Choice } from "./backend.ts";
import type { AnyDatabase, RoleContext } from "./roles/context.ts";
import { controllerRole } from "./roles/controller.ts";
import { deaRole } from "./roles/dea.ts";
import { healthRole } from "./roles/health.ts";
import { logsRole } from "./roles/logs.ts";
import { routerRole } from "./roles/router.ts";
import { stagerRole } from "./roles/stager.ts";
import { uaaRole } from "./roles/uaa.ts";
import { openSecrets, type Secrets } from "./secrets.ts";
import { roles as allRoles } from "./config.ts";

export interface PaasOptions {
  config: PaasConfig;
  /** Password of the admin user, where the UAA is among the roles. */
  adminPassword: string;
  /** Folder of the database that is copied at a first start. */
  databaseTemplate?: string;
  log?: (part: string) => Logger;
}

export interface Paas extends AsyncDisposable {
  /** The router's address, where the router is among the roles. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  /** How apps are isolated here, where the executor is among the roles. */
  readonly backend: Choice | undefined;
}

/** The whole composition: opens bus, database and folder, starts the roles, and ends all of it in reverse. */
export const startPaas = ({ config, adminPassword, databaseTemplate, log = (part) => createLogger({}, part) }: PaasOptions): Promise<Paas> => assemble(async (parts) => {
  parts.use(await lockFolder(join(config.dataDir, "lock"), config.dataDir));
  const bus = parts.use(await openBus(config, log("bus")));
  const directory = parts.use(createDirectory(bus));

  let database: Promise<AnyDatabase> | undefined;
  const open = async (): Promise<AnyDatabase> => {
    const onError = (error: Error): void => log("database").warn("database.connection", { reason: error.message });
    const db = await openDatabase<unknown>(config.databaseUrl === undefined
      ? { dataDir: join(config.dataDir, "database"), template: databaseTemplate, onError }
      : { url: config.databaseUrl, onError });
    parts.use({ [Symbol.asyncDispose]: () => db.destroy() });
    return db;
  };
  let secrets: Promise<Secrets> | undefined;
  const context: RoleContext = {
    config, bus, directory, log, alone: config.roles.length === allRoles.length,
    database: () => (database ??= open()),
    secrets: () => (secrets ??= context.database().then(openSecrets)),
  };
  const has = (role: Role): boolean => config.roles.includes(role);
  // Ended in reverse: first the door, then those who give orders, then those who carry them out.
  const dea = has("dea") ? deaRole(context) : undefined;
  await useAll(parts, [has("blobs") && blobsRole(context), has("logs") && logsRole(context), dea ?? false, has("stager") && stagerRole(context)]);
  await useAll(parts, [has("uaa") && uaaRole(context, adminPassword), has("controller") && controllerRole(context)]);
  if (has("health")) parts.use(await healthRole(context));
  const router = has("router") ? parts.use(await routerRole(context)) : undefined;
  return { address: router?.address, backend: (await dea)?.backend };
});
