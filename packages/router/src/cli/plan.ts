import type { NatsTransportOptions } from "@opencf/bus";
import type { BusRoutesOptions } from "../bus-link.ts";
import { readConfig, type ProgramConfig } from "../config/config.ts";
import type { LogLevel } from "../config/draft.ts";
import type { SocketTargetOptions } from "../log/socket.ts";
import type { RouterOptions } from "../options.ts";
import type { StatusOptions } from "../status.ts";
import type { Arguments } from "./arguments.ts";
import type { World } from "./world.ts";

/** What the program will do: the file, and over it the flags. */
export interface Plan {
  readonly router: RouterOptions;
  /** Where the status is shown: by the router, or for several by whoever starts them. */
  readonly status: StatusOptions | undefined;
  /** Files with routes. */
  readonly routes: readonly string[];
  readonly nats: NatsTransportOptions | undefined;
  readonly bus: BusRoutesOptions;
  /** A path, or `-`. */
  readonly accessLog: string | undefined;
  readonly syslog: SocketTargetOptions | undefined;
  readonly logLevel: LogLevel;
  readonly drainWaitMs: number;
  readonly activeAppsMs: number;
  readonly appLogs: boolean;
  /** What SIGTERM and SIGINT mean. */
  readonly onTerm: "drain" | "stop";
  /** Where the table is kept between two runs, and whether this process writes it. */
  readonly saved: { readonly file: string; readonly write: boolean } | undefined;
  readonly report: ProgramConfig["report"];
  /** The configuration file, where one is read. */
  readonly config: string | undefined;
}

/** @throws {RouterError} ROUTER_BAD_CONFIG */
export async function makePlan(given: Arguments, world: Pick<World, "env" | "worker">): Promise<Plan> {
  const file = given.config === undefined ? undefined : await readConfig(given.config);
  const servers = given.nats.length > 0 ? { servers: given.nats } : undefined;
  const nats = servers ?? file?.nats;
  const worker = world.worker ?? 0;
  const { status: fileStatus, ...fileRouter } = file?.router ?? {};
  const status = given.statusPort === undefined ? fileStatus : { port: given.statusPort, user: given.statusUser ?? "", password: world.env["ROUTER_STATUS_PASSWORD"] ?? "" };
  return {
    routes: [...(file?.hasRoutes === true && given.config !== undefined ? [given.config] : []), ...(given.routes === undefined ? [] : [given.routes])],
    nats: nats === undefined ? undefined : { ...nats, ...(given.natsTimeoutMs === undefined ? {} : { connectTimeoutMs: given.natsTimeoutMs }) },
    status, bus: file?.bus ?? {}, report: file?.report ?? [], config: given.config,
    onTerm: given.onTerm, saved: given.saveRoutes === undefined ? undefined : { file: given.saveRoutes, write: worker <= 1 },
    accessLog: given.accessLog ?? file?.accessLogFile, syslog: file?.syslog, logLevel: file?.logLevel ?? "warn", drainWaitMs: given.drainWaitMs ?? file?.drainWaitMs ?? 0,
    activeAppsMs: file?.activeAppsMs ?? 0, appLogs: file?.appLogs ?? false,
    router: {
      startDelayMs: nats === undefined ? 0 : 5_000,
      ...fileRouter,
      ...(given.port === undefined ? {} : { port: given.port }),
      ...(given.host === undefined ? {} : { host: given.host }),
      ...(given.tcpPorts === undefined ? {} : { tcp: { ...file?.router.tcp, ports: given.tcpPorts } }),
      ...(given.accessLogKind === undefined ? {} : { accessLogFormat: { ...file?.router.accessLogFormat, kind: given.accessLogKind } }),
      ...(given.engine === undefined ? {} : { engine: given.engine }),
      ...(given.startDelayMs === undefined ? {} : { startDelayMs: given.startDelayMs }),
      ...(given.drainTimeoutMs === undefined ? {} : { drainTimeoutMs: given.drainTimeoutMs }),
      // Of several processes one shows the status of all.
      ...(status === undefined || worker > 0 ? {} : { status }),
    },
  };
}
