import { readFileSync } from "node:fs";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { readAddresses } from "../nats/addresses.ts";
import type { NatsTransportOptions } from "../nats/options.ts";
import { milliseconds, Misuse } from "./usage.ts";

type Flags = NonNullable<ParseArgsConfig["options"]>;

/** Flags of every command that speaks to the bus. */
export const connectionFlags = {
  "nats": { type: "string" },
  "user": { type: "string" },
  "password": { type: "string" },
  "token": { type: "string" },
  "nkey": { type: "string" },
  "creds": { type: "string" },
  "tls-ca": { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  "inbox-prefix": { type: "string" },
  "timeout": { type: "string" },
} as const satisfies Flags;

export const commonFlags = { json: { type: "boolean" }, color: { type: "string" }, help: { type: "boolean", short: "h" } } as const satisfies Flags;

type Parsed<F extends Flags> = ReturnType<typeof parseArgs<{ args: string[]; options: F; allowPositionals: true; strict: true }>>;

/** @throws Misuse for flags that the command does not have */
export function parse<const F extends Flags>(args: readonly string[], flags: F): Parsed<F> {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: true, strict: true });
  } catch (error) {
    throw new Misuse(error instanceof Error ? (error.message.split(". ")[0] ?? error.message) : String(error));
  }
}

export type ConnectionValues = { readonly [K in keyof typeof connectionFlags]?: string | undefined };

/** Flags first, then the environment. @throws Misuse */
export function connectionOf(values: ConnectionValues, env: NodeJS.ProcessEnv): NatsTransportOptions {
  const servers = (values.nats ?? env["NATS_URL"] ?? "nats://127.0.0.1:4222").split(",").map((each) => each.trim()).filter((each) => each !== "");
  if (servers.length === 0) throw new Misuse("--nats takes one address or several with commas between them, such as nats://10.0.0.5:4222");
  try {
    readAddresses(servers);
  } catch (error) {
    throw new Misuse(`--nats: ${(error as Error).message}`);
  }
  const password = values.password ?? env["NATS_PASSWORD"];
  const user = values.user ?? env["NATS_USER"];
  if ((values["tls-cert"] === undefined) !== (values["tls-key"] === undefined)) throw new Misuse("--tls-cert and --tls-key go together");
  const tls = {
    ...(values["tls-ca"] !== undefined && { ca: readable(values["tls-ca"], "tls-ca") }),
    ...(values["tls-cert"] !== undefined && { cert: readable(values["tls-cert"], "tls-cert") }),
    ...(values["tls-key"] !== undefined && { key: readable(values["tls-key"], "tls-key") }),
  };
  return {
    servers,
    name: "opencf-bus",
    ...(user !== undefined && { user }),
    ...(user !== undefined && password !== undefined && { password }),
    ...(values.token !== undefined && { token: values.token }),
    ...(values.nkey !== undefined && { nkey: readable(values.nkey, "nkey") }),
    ...(values.creds !== undefined && { credentials: readable(values.creds, "creds") }),
    ...(Object.keys(tls).length > 0 && { tls }),
    ...(values["inbox-prefix"] !== undefined && { inboxPrefix: values["inbox-prefix"] }),
    connectTimeoutMs: milliseconds(values.timeout ?? "5s", "timeout"),
  };
}

/** The path again, once it is certain that it can be read: a wrong path is a wrong question and not a bus that is away. */
function readable(path: string, flag: string): string {
  try {
    readFileSync(path);
    return path;
  } catch (error) {
    throw new Misuse(`--${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`);
  }
}

/** @throws Misuse */
export function colorOf(value: string | undefined): "auto" | "always" | "never" {
  if (value === undefined || value === "auto" || value === "always" || value === "never") return value ?? "auto";
  throw new Misuse(`--color takes auto, always or never, not "${value}"`);
}
