import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { NatsTransportOptions } from "@opencf/bus";

/** Every setting, read once. */
export interface CollectorConfig {
  readonly nats: NatsTransportOptions;
  readonly host: string;
  readonly port: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly maxAnswerBytes: number;
  readonly concurrency: number;
  readonly maxComponents: number;
  readonly keepMs: number;
  /** For components that do not tell theirs. */
  readonly credentials: readonly [user: string, password: string] | undefined;
  readonly json: boolean;
}

/** The command line was wrong: the text says how, and what is right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const options = {
  nats: { type: "string", default: "nats://127.0.0.1:4222" },
  user: { type: "string" },
  "password-file": { type: "string" },
  "token-file": { type: "string" },
  creds: { type: "string" },
  nkey: { type: "string" },
  "inbox-prefix": { type: "string" },
  "tls-ca": { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "9450" },
  interval: { type: "string", default: "15" },
  timeout: { type: "string", default: "3" },
  "max-answer-mb": { type: "string", default: "4" },
  concurrency: { type: "string", default: "16" },
  "max-components": { type: "string", default: "1000" },
  keep: { type: "string", default: "15" },
  "component-user": { type: "string" },
  "component-password-file": { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/**
 * Reads the command line.
 * @returns undefined when help was asked for
 * @throws UsageError
 */
export function readConfig(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): CollectorConfig | undefined {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message.split(". ")[0] : String(error));
  }
  if (values.help) return undefined;
  const { user, creds, nkey, "inbox-prefix": inboxPrefix, "tls-ca": ca, "tls-cert": cert, "tls-key": key } = values;
  const password = values["password-file"] === undefined ? env["NATS_PASSWORD"] : secretFrom("--password-file", values["password-file"]);
  const token = values["token-file"] === undefined ? undefined : secretFrom("--token-file", values["token-file"]);
  if (user !== undefined && password === undefined) throw new UsageError("--user needs its password: give --password-file FILE, or NATS_PASSWORD in the environment");
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--tls-cert and --tls-key belong together");
  for (const [flag, path] of [["--creds", creds], ["--nkey", nkey], ["--tls-ca", ca], ["--tls-cert", cert], ["--tls-key", key]] as const) if (path !== undefined) secretFrom(flag, path);
  const componentUser = values["component-user"];
  const componentFile = values["component-password-file"];
  if ((componentUser === undefined) !== (componentFile === undefined)) throw new UsageError("--component-user and --component-password-file belong together");
  return {
    nats: {
      servers: servers(values.nats), name: "opencf-collector",
      ...(user !== undefined && password !== undefined && { user, password }),
      ...(token !== undefined && { token }),
      ...(creds !== undefined && { credentials: creds }),
      ...(nkey !== undefined && { nkey }),
      ...(inboxPrefix !== undefined && { inboxPrefix }),
      ...((ca !== undefined || cert !== undefined) && { tls: { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) } }),
    },
    host: address(values.host),
    port: number("--port", values.port, { min: 0, max: 65_535, whole: true }),
    intervalMs: number("--interval", values.interval, { min: 0.1, max: 3_600 }) * 1_000,
    timeoutMs: number("--timeout", values.timeout, { min: 0.1, max: 60 }) * 1_000,
    maxAnswerBytes: Math.ceil(number("--max-answer-mb", values["max-answer-mb"], { min: 0.01, max: 64 }) * 1_048_576),
    concurrency: number("--concurrency", values.concurrency, { min: 1, max: 256, whole: true }),
    maxComponents: number("--max-components", values["max-components"], { min: 1, max: 100_000, whole: true }),
    keepMs: number("--keep", values.keep, { min: 0, max: 1_440 }) * 60_000,
    credentials: componentUser !== undefined && componentFile !== undefined ? [componentUser, secretFrom("--component-password-file", componentFile)] : undefined,
    json: values.json,
  };
}

function servers(text: string): string[] {
  const urls = text.split(",").map((each) => each.trim()).filter((each) => each !== "");
  if (urls.length === 0) throw new UsageError("--nats needs at least one URL, such as nats://10.0.0.2:4222");
  for (const url of urls) if (!/^(nats|tls):\/\/[^\s/]+$/.test(url)) throw new UsageError(`--nats ${url.replace(/\/\/[^@/]*@/, "//***@")}: give URLs such as nats://10.0.0.2:4222, separated by commas`);
  return urls;
}

function address(text: string): string {
  if (text === "" || /[\s/@]/.test(text)) throw new UsageError(`--host ${text}: give an address such as 127.0.0.1 or 0.0.0.0`);
  return text;
}

function number(flag: string, text: string, { min, max, whole = false }: { min: number; max: number; whole?: boolean }): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max || (whole && !Number.isInteger(value))) throw new UsageError(`${flag} ${text}: give a ${whole ? "whole " : ""}number from ${min} to ${max}`);
  return value;
}

function secretFrom(flag: string, path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new UsageError(`${flag} ${path}: the file cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`);
  }
}
