import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { isIP } from "node:net";
import { totalmem } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

export const roles = ["controller", "uaa", "health", "logs", "blobs", "router", "dea", "stager"] as const;
export type Role = (typeof roles)[number];

export const backends = ["auto", "process", "linux"] as const;

/** Every setting of the platform, read once. */
export interface PaasConfig {
  readonly host: string;
  readonly port: number;
  readonly domain: string;
  readonly dataDir: string;
  readonly fresh: boolean;
  readonly adminPassword: string | undefined;
  readonly backend: (typeof backends)[number];
  readonly memoryBytes: number;
  readonly zone: string;
  /** The executor takes only apps of this isolation segment. Absent: those of none. */
  readonly isolationSegment: string | undefined;
  readonly roles: readonly Role[];
  readonly natsServers: readonly string[];
  /** Who this process is to the NATS servers, and whom it trusts: paths of files. */
  readonly natsFiles: Readonly<Partial<Record<"credentials" | "nkey" | "ca" | "cert" | "key", string>>>;
  readonly databaseUrl: string | undefined;
  readonly internalHost: string;
  readonly demo: boolean;
  readonly json: boolean;
  readonly verbose: boolean;
}

/** The command line was wrong: the text says how, and what is right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const options = {
  port: { type: "string", default: "8080" },
  host: { type: "string", default: "127.0.0.1" },
  domain: { type: "string", default: "cf.localhost" },
  "data-dir": { type: "string", default: "data" },
  fresh: { type: "boolean", default: false },
  "admin-password": { type: "string" },
  backend: { type: "string", default: "auto" },
  memory: { type: "string" },
  zone: { type: "string", default: "default" },
  "isolation-segment": { type: "string" },
  roles: { type: "string", default: roles.join(",") },
  nats: { type: "string" },
  "nats-creds": { type: "string" },
  "nats-nkey": { type: "string" },
  "nats-ca": { type: "string" },
  "nats-cert": { type: "string" },
  "nats-key": { type: "string" },
  database: { type: "string" },
  "internal-host": { type: "string", default: "127.0.0.1" },
  "no-demo": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  verbose: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/**
 * Reads the command line.
 * @returns undefined when help was asked for
 * @throws UsageError
 */
export function readConfig(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): PaasConfig | undefined {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message.split(". ")[0] : String(error));
  }
  if (values.help) return undefined;
  const chosen = readRoles(values.roles);
  const natsServers = (values.nats ?? "").split(",").map((each) => each.trim()).filter((each) => each !== "");
  for (const url of natsServers)
    if (!/^(nats|tls):\/\/[^\s/]+$/.test(url)) throw new UsageError(`--nats ${hideSecrets(url)}: give URLs such as nats://10.0.0.2:4222, separated by commas`);
  if (values.nats !== undefined && natsServers.length === 0) throw new UsageError("--nats needs at least one URL, such as nats://10.0.0.2:4222");
  if (chosen.length < roles.length && natsServers.length === 0)
    throw new UsageError(`--roles ${values.roles}: parts in several processes speak over NATS, so give --nats URL as well`);
  const natsFiles = filesOf({ credentials: values["nats-creds"], nkey: values["nats-nkey"], ca: values["nats-ca"], cert: values["nats-cert"], key: values["nats-key"] });
  if (natsServers.length === 0 && Object.keys(natsFiles).length > 0) throw new UsageError("--nats-creds, --nats-nkey, --nats-ca, --nats-cert and --nats-key say how to reach NATS servers, so give --nats URL as well");
  if ((natsFiles.cert === undefined) !== (natsFiles.key === undefined)) throw new UsageError("--nats-cert and --nats-key belong together: give both");
  if (values.database !== undefined && !/^postgres(ql)?:\/\//.test(values.database))
    throw new UsageError("--database needs a URL such as postgres://user:password@10.0.0.3:5432/cf");
  const databaseRoles = chosen.filter((role) => ["controller", "uaa", "blobs"].includes(role));
  if (chosen.length < roles.length && values.database === undefined && databaseRoles.length > 0 && databaseRoles.length < 3)
    throw new UsageError(`--roles ${values.roles}: controller, uaa and blobs in different processes share a PostgreSQL database, so give --database URL as well`);
  if (values["isolation-segment"] === "") throw new UsageError("--isolation-segment needs the name of a segment; leave it out for an executor that all share");
  const domain = values.domain.toLowerCase();
  if (!/^(?=.{1,200}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(domain) || isIP(domain) !== 0)
    throw new UsageError(`--domain ${values.domain}: give a name with at least one dot, such as cf.example.com`);
  const adminPassword = values["admin-password"] ?? env["OPENCF_ADMIN_PASSWORD"];
  if (adminPassword === "") throw new UsageError("--admin-password must not be empty");
  return {
    host: address("--host", values.host),
    port: count("--port", values.port, 0, 65_535),
    domain,
    dataDir: resolve(values["data-dir"]),
    fresh: values.fresh,
    adminPassword,
    backend: oneOf("--backend", values.backend, backends),
    memoryBytes: values.memory === undefined ? Math.floor((totalmem() * 3) / 4) : count("--memory", values.memory, 64, 16 * 1_048_576) * 1_048_576,
    zone: values.zone,
    isolationSegment: values["isolation-segment"],
    roles: chosen,
    natsServers,
    natsFiles,
    databaseUrl: values.database,
    internalHost: address("--internal-host", values["internal-host"]),
    demo: !values["no-demo"],
    json: values.json,
    verbose: values.verbose,
  };
}

function readRoles(text: string): Role[] {
  const names = [...new Set(text.split(",").map((each) => each.trim()).filter((each) => each !== ""))];
  const unknown = names.filter((name) => !roles.some((role) => role === name));
  if (unknown.length > 0 || names.length === 0) throw new UsageError(`--roles ${text}: choose from ${roles.join(",")}`);
  return roles.filter((role) => names.includes(role));
}

function count(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) throw new UsageError(`${flag} ${text}: give a whole number from ${min} to ${max}`);
  return value;
}

/** The files that were named, as absolute paths. @throws UsageError for one that is not there */
function filesOf<const K extends string>(given: Readonly<Record<K, string | undefined>>): Partial<Record<K, string>> {
  const files: Partial<Record<K, string>> = {};
  for (const name of Object.keys(given) as K[]) {
    const path = given[name];
    if (path === undefined) continue;
    files[name] = resolve(path);
    if (!existsSync(resolve(path))) throw new UsageError(`${path}: there is no such file`);
  }
  return files;
}

function oneOf<const T extends string>(flag: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new UsageError(`${flag} ${text}: choose from ${choices.join(", ")}`);
  return found;
}

function address(flag: string, text: string): string {
  if (text === "" || /[\s/@]/.test(text)) throw new UsageError(`${flag} ${text}: give an address such as 127.0.0.1 or 0.0.0.0`);
  return text;
}

/** A URL fit for people to see. */
export const hideSecrets = (url: string): string => url.replace(/\/\/[^@/]*@/, "//***@");

/** A password that can be read aloud: four groups of letters and digits without look-alikes. */
export function makePassword(): string {
  const letters = "abcdefghjkmnpqrstuvwxyz23456789";
  return [...randomBytes(16)].map((byte, i) => (i > 0 && i % 4 === 0 ? "-" : "") + letters.charAt(byte % letters.length)).join("");
}
