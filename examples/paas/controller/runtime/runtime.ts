/** What the controller wants to be so, of one process of one started app. */
export interface DesiredProcess {
  readonly appGuid: string;
  readonly processGuid: string;
  readonly processType: string;
  /** Changes with every start, restart and restage: instances of another version are replaced. */
  readonly version: string;
  readonly instances: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly startCommand: string | null;
  readonly dropletGuid: string;
  readonly dropletSha256: string | null;
  readonly dropletSha1: string | null;
  readonly stack: string;
  /** Executors of this segment only. Absent: those that all share. */
  readonly isolationSegment?: string;
  /** What it may reach, as a security group says it. Absent: what executors allow by themselves. */
  readonly egress?: readonly { protocol: string; destination: string; ports?: string; type?: number; code?: number; log?: boolean }[];
  readonly name: string;
  readonly uris: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly vcapApplication: Readonly<Record<string, unknown>>;
  readonly vcapServices: Readonly<Record<string, unknown>>;
  readonly healthCheck: {
    readonly type: "port" | "http" | "process";
    readonly endpoint?: string;
    readonly timeoutSeconds?: number;
    readonly invocationTimeoutSeconds?: number;
    readonly intervalSeconds?: number;
  };
  /** Whether requests should come to an instance that is up. Absent, or of type `process`: they come as soon as it is. */
  readonly readinessCheck?: {
    readonly type: "port" | "http" | "process";
    readonly endpoint?: string;
    readonly invocationTimeoutSeconds?: number;
    readonly intervalSeconds?: number;
  };
  readonly spaceGuid: string;
  readonly spaceName: string;
  readonly orgGuid: string;
  readonly orgName: string;
  /** Milliseconds since the epoch of the last change. */
  readonly updatedAtMs: number;
}

/** The database's side: only started apps that have a droplet, in the order of their guids. */
export interface DesiredSource {
  desired(filter: { processGuids?: readonly string[]; afterGuid?: string; limit?: number }): Promise<DesiredProcess[]>;
}

export type InstanceState = "STARTING" | "RUNNING" | "CRASHED" | "DOWN" | "STOPPING";

/** One instance as the last heartbeat had it. */
export interface ActualInstance {
  readonly index: number;
  readonly instanceGuid: string;
  readonly version: string;
  readonly state: InstanceState;
  /** Seconds since the epoch when it entered the state. */
  readonly sinceSeconds: number;
  readonly deaId: string;
  readonly host?: string;
  readonly port?: number;
  readonly details?: string;
  /** Only where there is a readiness check: whether requests come to it. */
  readonly routable?: boolean;
}

/** Whether it serves: up, and where there is a readiness check, ready as well. */
export const isServing = ({ state, routable }: Pick<ActualInstance, "state" | "routable">): boolean => state === "RUNNING" && routable !== false;

/** An instance with what it uses; without `usage` where the executor did not answer. */
export interface InstanceStats extends ActualInstance {
  readonly uptimeSeconds: number;
  readonly memoryQuotaBytes?: number;
  readonly diskQuotaBytes?: number;
  readonly fdsQuota?: number;
  /** Of the executor where it runs. */
  readonly isolationSegment?: string;
  /** `cpu` is a fraction of one core; the rest bytes and bytes per second. */
  readonly usage?: { readonly time: string; readonly cpu: number; readonly mem: number; readonly disk: number; readonly logRate: number };
}

export interface StageRequest {
  readonly buildGuid: string;
  readonly appGuid: string;
  readonly appName: string;
  readonly packageUrl: string;
  readonly dropletUploadUrl: string;
  readonly cacheDownloadUrl?: string;
  readonly cacheUploadUrl?: string;
  readonly buildpacks: readonly string[];
  readonly stack: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly vcapApplication: Readonly<Record<string, unknown>>;
  readonly vcapServices: Readonly<Record<string, unknown>>;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly timeoutSeconds: number;
  /** The web process's own command: a droplet without one is then good enough. */
  readonly startCommand?: string;
}

export interface StageResult {
  readonly sha1: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly processTypes: Readonly<Record<string, string>>;
  readonly sidecars: readonly { name: string; command: string; processTypes: readonly string[]; memoryMb?: number }[];
  readonly buildpacks: readonly { key: string; name: string | null; version: string | null; detectOutput: string | null; buildpackName: string | null }[];
  readonly detectedBuildpack: string | null;
}

/** Why a build failed: `type` is the id that clients know, such as `NoAppDetectedError`. */
export class StageFailure extends Error {
  override readonly name = "StageFailure";
  readonly type: string;
  constructor(type: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.type = type;
  }
}

/** The controller's view of the running world. Nothing in it is stored: all of it is heard on the bus. */
export interface Runtime {
  /** The desired state of these processes changed: start, stop and update what is needed, soon. Never throws. */
  converge(processGuids: readonly string[]): void;
  instances(processGuid: string): ActualInstance[];
  stats(processGuid: string, options?: { signal?: AbortSignal }): Promise<InstanceStats[]>;
  stopInstance(processGuid: string, index: number): Promise<void>;
  /** @throws StageFailure */
  stage(request: StageRequest, options?: { signal?: AbortSignal }): Promise<StageResult>;
  cancelStaging(appGuid: string): void;
  /** A line in the app's log, as source `API/0` unless tagged otherwise. */
  log(appGuid: string, line: string, options?: { sourceType?: string; error?: boolean }): void;
}
