import { parseArgs } from "node:util";
import type { EngineName } from "../engines.ts";

/** Asked wrongly. */
export class Usage extends Error {}

/** What the command line says; undefined where it says nothing. */
export interface Arguments {
  readonly config: string | undefined;
  readonly routes: string | undefined;
  readonly nats: readonly string[];
  readonly natsTimeoutMs: number | undefined;
  readonly port: number | undefined;
  readonly host: string | undefined;
  readonly tcpPorts: string | undefined;
  readonly statusPort: number | undefined;
  readonly statusUser: string | undefined;
  readonly accessLog: string | undefined;
  readonly accessLogKind: "line" | "json" | undefined;
  readonly engine: EngineName | undefined;
  readonly startDelayMs: number | undefined;
  readonly drainWaitMs: number | undefined;
  readonly drainTimeoutMs: number | undefined;
  /** What SIGTERM and SIGINT mean. */
  readonly onTerm: "drain" | "stop";
  readonly saveRoutes: string | undefined;
  readonly workers: number;
  readonly json: boolean;
  readonly checkConfig: boolean;
}

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const numbers = { port: 65_535, "status-port": 65_535, "start-delay": 600_000, "drain-wait": 3_600_000, "drain-timeout": 86_400_000, workers: 256, "nats-timeout": 600_000 } as const;

/** @throws {Usage} */
export function readArguments(argv: readonly string[]): Arguments | "help" | "keys" | "keys-json" {
  let values;
  try {
    ({ values } = parseArgs({ args: [...argv], options: {
      config: { ...text, short: "c" }, routes: text, nats: text, port: text, host: text, "tcp-ports": text, "status-port": text, "status-user": text, "access-log": text, "access-log-kind": text, engine: text,
      "start-delay": text, "drain-wait": text, "drain-timeout": text, workers: text, "nats-timeout": text, "on-term": text, "save-routes": text, json: flag, "check-config": flag, "list-keys": flag, help: { ...flag, short: "h" },
    } }));
  } catch (cause) {
    throw new Usage((cause as Error).message);
  }
  if (values.help) return "help";
  if (values["list-keys"]) return values.json ? "keys-json" : "keys";
  const number = (name: keyof typeof numbers): number | undefined => {
    const given = values[name];
    if (given === undefined) return undefined;
    if (!/^\d+$/.test(given) || Number(given) > numbers[name]) throw new Usage(`--${name} ${given}: expected a number from 0 to ${numbers[name]}`);
    return Number(given);
  };
  const { config, routes, engine } = values;
  const nats = (values.nats ?? "").split(",").map((url) => url.trim()).filter((url) => url !== "");
  if (config === undefined && routes === undefined && nats.length === 0) throw new Usage("give -c FILE, --routes FILE or --nats URL (see --help)");
  if (values["check-config"] === true && config === undefined) throw new Usage("--check-config needs -c FILE");
  if (engine !== undefined && engine !== "undici" && engine !== "native") throw new Usage(`--engine ${engine}: expected undici or native`);
  const accessLogKind = values["access-log-kind"];
  if (accessLogKind !== undefined && accessLogKind !== "line" && accessLogKind !== "json") throw new Usage(`--access-log-kind ${accessLogKind}: expected line or json`);
  const onTerm = values["on-term"] ?? "drain";
  if (onTerm !== "drain" && onTerm !== "stop") throw new Usage(`--on-term ${onTerm}: expected drain or stop`);
  if (values["save-routes"] === "") throw new Usage("--save-routes: expected a file");
  return {
    accessLogKind, onTerm, saveRoutes: values["save-routes"],
    config, routes, nats, engine, host: values.host, json: values.json ?? false, checkConfig: values["check-config"] ?? false, tcpPorts: values["tcp-ports"],
    port: number("port"), statusPort: number("status-port"), statusUser: values["status-user"], accessLog: values["access-log"], natsTimeoutMs: number("nats-timeout"),
    workers: Math.max(1, number("workers") ?? 1), startDelayMs: number("start-delay"), drainWaitMs: number("drain-wait"), drainTimeoutMs: number("drain-timeout"),
  };
}
