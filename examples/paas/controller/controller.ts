import type { AddressInfo } from "node:net";
import { migrate, type Database } from "../database.ts";
import type { Context, Hooks, RouteModule, SystemBuildpack } from "./api/context.ts";
import { CfError } from "./api/errors.ts";
import { createFeatureFlags } from "./api/flags.ts";
import { createApi, type Api } from "./api/http.ts";
import { createJobs } from "./api/jobs.ts";
import { controllerMigrations } from "./data/migrations.ts";
import { silentLogger, systemClock, type Clock, type Identities, type Logger, type TokenValidator, type UrlsOf } from "./api/ports.ts";
import type { ControllerTables } from "./data/schema.ts";
import { seed } from "./seed.ts";
import { keepSwept, resumeDeleted } from "./api/sweep.ts";

export interface ControllerOptions {
  /** Stays open when the controller ends. */
  db: Database<ControllerTables>;
  /** Checks access tokens; audience `cloud_controller`. */
  validator: TokenValidator;
  /** Names of users, from the UAA. */
  identities: Identities;
  /** The shared domain that the platform makes at its first start. */
  domain: string;
  /** Public addresses in the form in which a client came. */
  urlsOf: UrlsOf;
  /** Every module of routes, in order. */
  modules: readonly RouteModule[];
  hooks?: Partial<Hooks>;
  /** What the stager brings along, in the order of detection. Default none. */
  systemBuildpacks?: readonly SystemBuildpack[];
  /**
   * Name of this controller among those that share a database: one of its own, kept over restarts where that is possible.
   * At its start its unfinished jobs fail at once. Default `controller`, which is right for one.
   */
  name?: string;
  log?: Logger;
  clock?: Clock;
}

export interface Controller extends AsyncDisposable {
  readonly api: Api;
  readonly context: Context;
  /** Port 0, the default, is any free one. */
  listen(options?: { host?: string; port?: number }): Promise<{ host: string; port: number }>;
}

/** Brings the tables up to date, fails jobs that a crash cut off, seeds what every platform has, and declares the routes. */
export async function createController(options: ControllerOptions): Promise<Controller> {
  const { db, validator, identities, domain, urlsOf, modules, hooks = {}, systemBuildpacks = [], name = "controller", log = silentLogger, clock = systemClock } = options;
  await migrate(db as never, "controller", controllerMigrations);
  await seed(db, { domain, systemBuildpacks });
  const jobs = await createJobs({ db, owner: name, log, clock });
  await resumeDeleted(db);
  const context: Context = {
    db, identities: toldApart(identities), domain, urlsOf, systemBuildpacks, log, clock, jobs,
    flags: createFeatureFlags(db),
    hooks: {
      deleteApp: async ({ guid }) => void (await db.deleteFrom("apps").where("guid", "=", guid).execute()),
      deleteSpaceServices: () => Promise.resolve(),
      onRoutesChanged: () => undefined,
      ...hooks,
    },
  };
  const api = createApi({ db, validator, urlsOf, log });
  for (const declare of modules) declare(api, context);
  await api.fastify.ready();
  const sweeping = keepSwept({ db, clock, log });

  let closed: Promise<void> | undefined;
  return {
    api,
    context,
    async listen({ host = "127.0.0.1", port = 0 } = {}) {
      await api.fastify.listen({ host, port });
      return { host, port: (api.fastify.server.address() as AddressInfo).port };
    },
    [Symbol.asyncDispose]() {
      closed ??= api.fastify.close().then(() => jobs[Symbol.asyncDispose]()).then(() => sweeping[Symbol.asyncDispose]());
      return closed;
    },
  };
}

/** A UAA that cannot be asked is an answer of its own (503), not an accident. */
function toldApart(identities: Identities): Identities {
  const ask = <T>(question: Promise<T>): Promise<T> => question.catch((error: unknown) => {
    throw new CfError("UaaUnavailable", [], { cause: error });
  });
  return {
    findByIds: (guids) => (guids.length === 0 ? Promise.resolve([]) : ask(identities.findByIds(guids))),
    findByNames: (names, options) => (names.length === 0 ? Promise.resolve([]) : ask(identities.findByNames(names, options))),
    ...(identities.create && { create: (user) => ask((identities.create as NonNullable<Identities["create"]>)(user)) }),
  };
}
