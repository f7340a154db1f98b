import type { Bus } from "@opencf/bus";
import type { Database } from "../database.ts";
import type { PaasConfig } from "../config.ts";
import type { Directory } from "../directory.ts";
import type { Logger } from "../logger.ts";
import type { Secrets } from "../secrets.ts";

/** What every role is given. Database and secrets are opened by whoever needs them first. */
export interface RoleContext {
  readonly config: PaasConfig;
  readonly bus: Bus;
  readonly directory: Directory;
  readonly log: (part: string) => Logger;
  /** The same database for all roles of this process. */
  database(): Promise<Database<never>>;
  secrets(): Promise<Secrets>;
  /** All parts are in this process: nobody else has to be waited for. */
  readonly alone: boolean;
}
