import type { LimitName } from "../container/capabilities.ts";
import type { Clock, Logger } from "../ports.ts";
import type { MoreRequests } from "../reach/control-server.ts";
import type { HostRuntime } from "./fields.ts";
import type { ReachFace } from "./reach-link.ts";

export interface JoinOptions {
  /** Name on the bus. Default: the executor's own, which survives restarts. */
  id?: string;
  /** Placement zone. Default `default`. */
  zone?: string;
  /** Stacks whose apps may run here. Default `["cflinuxfs4"]`. */
  stacks?: readonly string[];
  /** Isolation segment: only apps of this segment are placed here. Default: none, the executor is shared. */
  isolationSegment?: string;
  /** Runtimes that stand on this host. An app that asks for another one is refused; without this nobody is asked. */
  runtimes?: readonly HostRuntime[];
  /** Limits that are advertised as enforced. Default all that the backend keeps; one that it does not keep is refused with DEA_UNSUPPORTED. */
  enforces?: readonly LimitName[];
  /** Address told in announcements. Default: the executor's. */
  host?: string;
  /** The door to files: answers to `dea.find.droplet` carry links to it, and the router is told where it has a name. Default: none. */
  reach?: ReachFace;
  /** Where commands are taken over HTTPS ({@link openExecutorApi} with `member.http`); advertised. Default: nowhere. */
  url?: string;
  /** Default 10 000 ms. */
  heartbeatIntervalMs?: number;
  /** Default 5 000 ms. */
  advertiseIntervalMs?: number;
  /** Default 20 000 ms; must stay well below the router's pruning threshold of 120 s. */
  registerIntervalMs?: number;
  /** Default 100 ms. */
  logFlushIntervalMs?: number;
  /** Time between two messages on what instances use. Default 30 000 ms. */
  metricsIntervalMs?: number;
  clock?: Clock;
  log?: Logger;
}

export interface Membership extends AsyncDisposable {
  readonly id: string;
  /**
   * Says goodbye and leaves. With `stop` (the default where the executor was made so) the executor is closed while
   * the bus still hears it: routes are withdrawn and every end is reported. With `keep` nothing is withdrawn.
   */
  leave(options?: { instances?: "stop" | "keep" }): Promise<void>;
  /** Answers `POST /v1/apps` as `dea.<id>.start` is answered: for the `more` of `openExecutorApi`. */
  readonly http: MoreRequests;
  /** Takes no more work: says `dea.shutdown`, advertises no longer, refuses starts with DEA_CLOSED. What runs goes on (dea_ng: USR1). */
  rest(): void;
}
