import type { Transaction } from "kysely";
import type { Database } from "../../database.ts";
import type { Actor } from "./audit.ts";
import type { FeatureFlags } from "./flags.ts";
import type { Api } from "./http.ts";
import type { Jobs } from "./jobs.ts";
import type { Clock, Identities, Logger, UrlsOf } from "./ports.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";

/**
 * What one part of the controller needs another to do. The composition hands some in; a module may put its own in place
 * while it is registered. None of the defaults fails.
 */
export interface Hooks {
  /** Stops an app and removes everything of it, its row included. Default: removes the row. */
  deleteApp(app: RowOf<"apps">, actor: Actor): Promise<void>;
  /** Removes the services of a space before the space goes. Default: nothing. */
  deleteSpaceServices(spaceGuid: string, actor: Actor): Promise<void>;
  /** The routes of these processes changed, or what they may reach; called after the change is stored. Must not throw. */
  onRoutesChanged(processGuids: readonly string[]): void;
}

/** A system buildpack that comes with the stager. */
export interface SystemBuildpack {
  name: string;
  stack?: string | null;
  filename?: string | null;
}

/** Everything a module of routes may use. */
export interface Context {
  readonly db: Database<ControllerTables>;
  readonly identities: Identities;
  /** The platform's own domain; routes of apps live below it unless other domains are made. */
  readonly domain: string;
  readonly jobs: Jobs;
  readonly flags: FeatureFlags;
  readonly hooks: Hooks;
  readonly urlsOf: UrlsOf;
  readonly systemBuildpacks: readonly SystemBuildpack[];
  readonly log: Logger;
  readonly clock: Clock;
}

export type Trx = Transaction<ControllerTables>;

/** A module declares its routes; it may also set hooks. Nothing else happens before the first request. */
export type RouteModule = (api: Api, context: Context) => void;
