import { dirname } from "node:path";
import { StagingError } from "./errors.ts";

/** A bound service as `VCAP_SERVICES` carries it. */
export interface BoundService {
  readonly credentials?: unknown;
  readonly [field: string]: unknown;
}
export type VcapServices = Readonly<Record<string, readonly BoundService[]>>;

export interface EnvironmentOptions {
  /** The app's own variables. They cannot change what the platform sets. */
  env?: Readonly<Record<string, string>>;
  stack: string;
  memoryBytes: number;
  /** `VCAP_APPLICATION`; default `{}`. */
  application?: Readonly<Record<string, unknown>>;
  /** `VCAP_SERVICES`; default `{}`. */
  services?: VcapServices;
  home: string;
  temporary: string;
  /** Search path of the scripts. Default: the usual system folders and that of this Node. */
  searchPath?: string;
}

const mebibyte = 1024 * 1024;

/** Folders in which a plain system keeps its programs, then the one in which this Node lives. */
export const defaultSearchPath = (): string =>
  [...new Set(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", dirname(process.execPath)])].join(":");

/**
 * The whole environment of the scripts: nothing of this process's own variables is in it, so none of its secrets can leak.
 * Later wins: base, app, `CF_STACK`, `VCAP_APPLICATION` and `MEMORY_LIMIT`, `VCAP_SERVICES` (CC staging_environment_builder.rb).
 * `PORT` and the variables of a running instance are absent, `CF_INSTANCE_ADDR` and `CF_INSTANCE_PORT` are empty.
 * @throws StagingError `STAGING_OPTIONS_INVALID` for a name that cannot be a variable
 */
export function stagingEnvironment(
  { env = {}, stack, memoryBytes, application = {}, services = {}, home, temporary, searchPath = defaultSearchPath() }: EnvironmentOptions,
): Record<string, string> {
  for (const [name, value] of Object.entries(env))
    if (name === "" || /[=\0]/.test(name) || value.includes("\0"))
      throw new StagingError("STAGING_OPTIONS_INVALID", `${JSON.stringify(name)} cannot be an environment variable: a name has no = and no NUL, a value no NUL`);
  const databaseUrl = deriveDatabaseUrl(services);
  const result: Record<string, string> = {
    PATH: searchPath,
    LANG: "en_US.UTF-8",
    USER: "vcap",
    CF_INSTANCE_IP: "127.0.0.1",
    CF_INSTANCE_INTERNAL_IP: "127.0.0.1",
    CF_INSTANCE_PORTS: "[]",
    ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }),
    ...env,
    CF_INSTANCE_ADDR: "",
    CF_INSTANCE_PORT: "",
    HOME: home,
    TMPDIR: temporary,
    CF_STACK: stack,
    VCAP_APPLICATION: JSON.stringify(application),
    MEMORY_LIMIT: `${Math.floor(memoryBytes / mebibyte)}m`,
    VCAP_SERVICES: JSON.stringify(services),
  };
  for (const name of ["PORT", "VCAP_APP_PORT", "VCAP_APP_HOST", "CF_INSTANCE_INDEX", "CF_INSTANCE_GUID"]) delete result[name];
  return result;
}

const databaseSchemes: Readonly<Record<string, string>> = { mysql: "mysql2", mysql2: "mysql2", postgres: "postgres", postgresql: "postgres" };

/**
 * `DATABASE_URL` from the first service whose `credentials.uri` is that of a MySQL or PostgreSQL database. With several the order of
 * the service labels decides, then that of the instances: the same one each time. A `DATABASE_URL` of the app itself wins.
 */
export function deriveDatabaseUrl(services: VcapServices): string | undefined {
  for (const instances of Object.values(services))
    for (const { credentials } of Array.isArray(instances) ? (instances as readonly BoundService[]) : []) {
      const uri = (credentials as { uri?: unknown } | undefined)?.uri;
      const [, scheme = "", rest] = typeof uri === "string" ? (/^([a-z0-9+.-]+)(:\/\/.*)$/is.exec(uri) ?? []) : [];
      const known = Object.hasOwn(databaseSchemes, scheme.toLowerCase()) ? databaseSchemes[scheme.toLowerCase()] : undefined;
      if (known !== undefined && rest !== undefined) return known + rest;
    }
  return undefined;
}
