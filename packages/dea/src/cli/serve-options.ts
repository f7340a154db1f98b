import type { Isolation } from "../container/isolation.ts";
import type { FileSettings } from "./config-keys.ts";
import { type BackendName, parseBackend, parseBytes, parseCount, parseFactor, parseHost, parseIsolate, parseList, parsePorts, parseSeconds, parseStacks, UsageError } from "./usage.ts";

/** Options of the command line, as node:util reads them. */
export const serveFlags = {
  nats: { type: "string", multiple: true },
  "nats-creds": { type: "string" },
  "nats-ca": { type: "string" },
  "nats-cert": { type: "string" },
  "nats-key": { type: "string" },
  config: { type: "string", short: "c" },
  backend: { type: "string" },
  isolate: { type: "string" },
  "data-dir": { type: "string" },
  "journal-key-file": { type: "string" },
  memory: { type: "string" },
  disk: { type: "string" },
  overcommit: { type: "string" },
  "disk-overcommit": { type: "string" },
  "max-instances": { type: "string" },
  zone: { type: "string" },
  pool: { type: "string" },
  "isolation-segment": { type: "string" },
  stacks: { type: "string", multiple: true },
  host: { type: "string" },
  ports: { type: "string" },
  "on-term": { type: "string" },
  "evacuation-timeout": { type: "string" },
  json: { type: "boolean" },
} as const;

export type ServeValues = { [Name in keyof typeof serveFlags]?: (typeof serveFlags)[Name] extends { type: "boolean" } ? boolean : (typeof serveFlags)[Name] extends { multiple: true } ? string[] : string };

export interface ServeOptions {
  nats: string[];
  credentials?: string;
  tls?: { ca?: string; cert?: string; key?: string };
  backend: BackendName;
  isolate: Isolation;
  dataDir?: string;
  journalKeyFile?: string;
  memoryBytes?: number;
  diskBytes?: number;
  /** Factors on what is given, or on what the machine has. */
  memoryFactor: number;
  diskFactor: number;
  maxInstances?: number;
  zone?: string;
  isolationSegment?: string;
  stacks?: { name: string; root?: string }[];
  host?: string;
  ports?: { first: number; last: number };
  onTerm: "keep" | "stop";
  evacuationMs: number;
  json: boolean;
  file: FileSettings;
}

const MiB = 1024 ** 2;

/** Bail-out of an evacuation, as the original has it. */
const evacuationMs = 600_000;

/** What the command line says, then what the file says, then the defaults. Throws UsageError. */
export function serveOptions(values: ServeValues, file: FileSettings, environment: NodeJS.ProcessEnv): ServeOptions {
  const said = values.nats ?? file.nats ?? (environment["NATS_URL"] === undefined ? [] : [environment["NATS_URL"]]);
  const nats = parseList(said);
  if (nats.length === 0) throw new UsageError("give the bus: --nats nats://HOST:4222 (or NATS_URL, or nats_servers in the file of -c)");
  for (const url of nats) if (!/^(nats|tls):\/\/[^\s/]+\/?$/.test(url)) throw new UsageError("--nats must be nats://HOST:PORT or tls://HOST:PORT");
  if (values.pool !== undefined && values["isolation-segment"] !== undefined && values.pool !== values["isolation-segment"]) throw new UsageError("--pool and --isolation-segment are one option");
  const onTerm = values["on-term"];
  if (onTerm !== undefined && onTerm !== "keep" && onTerm !== "stop") throw new UsageError(`--on-term must be keep or stop, not ${JSON.stringify(onTerm)}`);
  const dataDir = values["data-dir"] ?? file.dataDir;
  if (onTerm === "keep" && dataDir === undefined) throw new UsageError("--on-term keep needs --data-dir: without it nobody finds the apps again");
  const memoryBytes = values.memory === undefined ? file.memoryMb && file.memoryMb * MiB : parseBytes(values.memory, "memory");
  const diskBytes = values.disk === undefined ? file.diskMb && file.diskMb * MiB : parseBytes(values.disk, "disk");
  const segment = values.pool ?? values["isolation-segment"] ?? file.isolationSegment;
  const zone = values.zone ?? file.zone;
  const stacks = values.stacks === undefined ? file.stacks : parseStacks(values.stacks);
  const maxInstances = values["max-instances"] === undefined ? file.maxInstances : parseCount(values["max-instances"], "max-instances");
  const tls = { ...(values["nats-ca"] && { ca: values["nats-ca"] }), ...(values["nats-cert"] && { cert: values["nats-cert"] }), ...(values["nats-key"] && { key: values["nats-key"] }) };
  return {
    nats,
    ...(values["nats-creds"] === undefined ? {} : { credentials: values["nats-creds"] }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    backend: parseBackend(values.backend ?? "auto"),
    isolate: parseIsolate(values.isolate ?? "auto"),
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(values["journal-key-file"] === undefined ? {} : { journalKeyFile: values["journal-key-file"] }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(diskBytes === undefined ? {} : { diskBytes }),
    memoryFactor: values.overcommit === undefined ? (file.memoryOvercommit ?? 1) : parseFactor(values.overcommit, "overcommit"),
    diskFactor: values["disk-overcommit"] === undefined ? (file.diskOvercommit ?? 1) : parseFactor(values["disk-overcommit"], "disk-overcommit"),
    ...(maxInstances === undefined ? {} : { maxInstances }),
    ...(zone === undefined ? {} : { zone }),
    ...(segment === undefined ? {} : { isolationSegment: segment }),
    ...(stacks === undefined ? {} : { stacks }),
    ...(values.host === undefined ? {} : { host: parseHost(values.host) }),
    ...(values.ports === undefined ? {} : { ports: parsePorts(values.ports) }),
    onTerm: onTerm ?? (dataDir === undefined ? "stop" : "keep"),
    evacuationMs: values["evacuation-timeout"] === undefined ? (file.evacuationMs ?? evacuationMs) : parseSeconds(values["evacuation-timeout"], "evacuation-timeout"),
    json: values.json ?? false,
    file,
  };
}
