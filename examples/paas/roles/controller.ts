import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemBuildpacks } from "@opencf/staging";
import { createValidator } from "@opencf/uaa-client";
import { createBlobClient } from "../blobstore/client.ts";
import { recordCrash } from "../controller/apps/app-crash.ts";
import { appModule } from "../controller/app-module.ts";
import { noServices } from "../controller/apps/app-services.ts";
import { createController } from "../controller/controller.ts";
import { createDesiredSource } from "../controller/apps/desired.ts";
import { logAccessRoutes } from "../controller/platform/log-access.ts";
import { coreModules } from "../controller/modules.ts";
import { createRuntime, type Crash } from "../controller/runtime/runtime-link.ts";
import type { ControllerTables } from "../controller/data/schema.ts";
import type { Database } from "../database.ts";
import { keepRegistered, publicUrls } from "../doors.ts";
import { createLeadership } from "../leader.ts";
import { assemble } from "../parts.ts";
import { controllerClientId, defaultStack, issuerOf } from "../platform.ts";
import { createIdentities } from "../uaa/identities.ts";
import type { RoleContext } from "./context.ts";
import { createMember } from "./member.ts";

/** How long a link to a droplet serves an executor that is about to fetch it. */
const dropletLinkMs = 3_600_000;

/** The API, and the hand that carries out what it is told. */
export const controllerRole = (context: RoleContext): Promise<AsyncDisposable> => assemble(async (parts) => {
  const { config, bus, directory, log } = context;
  const logger = log("controller");
  const db = (await context.database()) as Database<ControllerTables>;
  const secrets = await context.secrets();
  const apiUrl = `http://api.${config.domain}`;
  const blobs = createBlobClient({ baseUrl: () => directory.baseUrl("Blobstore"), secret: secrets.blobs });
  const issuer = issuerOf(config.domain);
  const validator = createValidator({
    issuer: `${issuer}/oauth/token`, audience: "cloud_controller", keysUrl: `${issuer}/token_keys`, log: logger,
    // The issuer is a name; the UAA itself is found on the bus.
    fetch: (url, init) => directory.fetch("UAA", new URL(url).pathname, init),
  });
  const identities = createIdentities({ baseUrl: () => directory.baseUrl("UAA"), clientId: controllerClientId, clientSecret: secrets.controllerClient });
  const runtime: ReturnType<typeof createRuntime> = parts.use(createRuntime({
    bus, log: logger,
    desired: createDesiredSource({ database: db, services: noServices, apiUrl }),
    dropletUrl: (guid) => blobs.url(`droplets/${guid}`, "GET", dropletLinkMs),
    onCrash: (crash: Crash): Promise<void> => recordCrash({ db, runtime }, crash),
  }));
  const scheduler = parts.use(await createLeadership(bus, "scheduler", logger));
  const controller = parts.use(await createController({
    db, validator, domain: config.domain, log: logger, name: ownName(config.dataDir),
    identities: {
      findByIds: async (guids) => (await identities.findByIds(guids)).map(toIdentity),
      findByNames: async (names, { origins } = {}) => (await identities.findByNames(names, origins)).map(toIdentity),
    },
    urlsOf: (headers) => publicUrls(headers, config.domain),
    modules: [...coreModules, logAccessRoutes, appModule({ runtime, blobs, apiUrl, tempDir: join(config.dataDir, "uploads"), shared: config.databaseUrl !== undefined, leading: () => scheduler.leading })],
    systemBuildpacks: systemBuildpacks().map(({ name }) => ({ name, stack: defaultStack })),
  }));
  const address = await controller.listen({ host: config.internalHost });
  parts.use(await createMember(context, { type: "CloudController", address, varz: () => ({ leading: scheduler.leading ? 1 : 0 }) }));
  parts.use(keepRegistered(bus, { ...address, uris: [`api.${config.domain}`], tags: { component: "cloud_controller" } }));
  return {};
});

/** The same after every restart in this folder, and no other controller's: by it a controller knows the jobs that it left behind. */
function ownName(dataDir: string): string {
  const file = join(dataDir, "controller-name");
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    const name = `controller-${randomUUID()}`;
    writeFileSync(file, `${name}\n`);
    return name;
  }
}

const toIdentity = ({ id, username, origin }: { id: string; username: string; origin: string }) => ({ guid: id, username, origin });
