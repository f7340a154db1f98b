import type { Bus } from "@opencf/bus";
import type { Kysely } from "kysely";
import type { PaasConfig } from "../config.ts";
import type { Directory } from "../directory.ts";
import type { Logger } from "../logger.ts";
import type { Secrets } from "../secrets.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each part sees its own tables in it and nobody else's
export type AnyDatabase = Kysely<any>;

/** What every role is given. Database and secrets are opened by whoever needs them first. */
export interface RoleContext {
  readonly config: PaasConfig;
  readonly bus: Bus;
  readonly directory: Directory;
  readonly log: (part: string) => Logger;
  /** The same database for all roles of this process. */
  database(): Promise<AnyDatabase>;
  secrets(): Promise<Secrets>;
  /** All parts are in this process: nobody else has to be waited for. */
  readonly alone: boolean;
}
