import type { InstanceSpec } from "./spec.ts";

export interface EnvironmentInput {
  spec: InstanceSpec;
  instanceId: string;
  /** Folder of the droplet as the app sees it. */
  home: string;
  host: string;
  hostPort: number;
  containerPort: number;
  startedAtMs: number;
  /** Search path of programs. */
  path: string;
}

/** `2015-03-01 10:00:00 +0000` */
const stamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} +0000`;

/** VCAP_APPLICATION: what the controller said, then what only the executor can know. */
export function vcapApplication(input: EnvironmentInput): Record<string, unknown> {
  const { spec, instanceId, containerPort, startedAtMs } = input;
  const limits = {
    fds: spec.fileDescriptors,
    mem: Math.floor(spec.memoryBytes / 1024 ** 2),
    disk: Math.floor(spec.diskBytes / 1024 ** 2),
  };
  return {
    limits,
    application_name: spec.name,
    application_uris: spec.uris,
    name: spec.name,
    uris: spec.uris,
    application_version: spec.version,
    version: spec.version,
    process_type: spec.processType,
    process_id: spec.processGuid,
    application_id: spec.appId,
    ...spec.application,
    instance_id: instanceId,
    instance_index: spec.index,
    host: "0.0.0.0",
    port: containerPort,
    started_at: stamp(startedAtMs),
    started_at_timestamp: Math.floor(startedAtMs / 1000),
    start: stamp(startedAtMs),
    state_timestamp: Math.floor(startedAtMs / 1000),
  };
}

/** Schemes as frameworks spell them, by schemes as brokers spell them. */
const databaseSchemes: Readonly<Record<string, string>> = {
  mysql: "mysql2",
  mysql2: "mysql2",
  postgres: "postgres",
  postgresql: "postgres",
  db2: "ibmdb",
  informix: "ibmdb",
};

/** DATABASE_URL: the first binding whose `credentials.uri` names a database. Undefined without services, empty when none fits. */
export function databaseUrl(services: Readonly<Record<string, unknown>>): string | undefined {
  const bindings = Object.values(services).flatMap((list) => (Array.isArray(list) ? (list as unknown[]) : []));
  if (bindings.length === 0) return undefined;
  for (const binding of bindings) {
    const uri = (binding as { credentials?: { uri?: unknown } } | null)?.credentials?.uri;
    if (typeof uri !== "string") continue;
    const colon = uri.indexOf(":");
    const scheme = Object.hasOwn(databaseSchemes, uri.slice(0, colon)) ? databaseSchemes[uri.slice(0, colon)] : undefined;
    if (scheme) return scheme + uri.slice(colon);
  }
  return "";
}

/** The system's variables, in the order in which Cloud Foundry defines them. */
export function systemEnvironment(input: EnvironmentInput): (readonly [string, string])[] {
  const { spec, instanceId, home, host, hostPort, containerPort } = input;
  const database = databaseUrl(spec.services);
  return [
    ["USER", "vcap"],
    ["PATH", input.path],
    ["LANG", "en_US.UTF-8"],
    ["VCAP_APPLICATION", JSON.stringify(vcapApplication(input))],
    ["VCAP_SERVICES", JSON.stringify(spec.services)],
    ["MEMORY_LIMIT", `${Math.floor(spec.memoryBytes / 1024 ** 2)}m`],
    ...(database === undefined ? [] : [["DATABASE_URL", database] as const]),
    ["HOME", `${home}/app`],
    ["TMPDIR", `${home}/tmp`],
    ["DEPS_DIR", `${home}/deps`],
    // Who has no port serves nobody.
    ...(hostPort === 0 ? [] : [["VCAP_APP_HOST", "0.0.0.0"], ["VCAP_APP_PORT", String(containerPort)], ["PORT", String(containerPort)]] as const),
    ["CF_INSTANCE_GUID", instanceId],
    ["CF_INSTANCE_INDEX", String(spec.index)],
    ["INSTANCE_GUID", instanceId],
    ["INSTANCE_INDEX", String(spec.index)],
    ["CF_INSTANCE_IP", host],
    ["CF_INSTANCE_INTERNAL_IP", host],
    ...(hostPort === 0 ? [] : [
      ["CF_INSTANCE_PORT", String(hostPort)],
      ["CF_INSTANCE_ADDR", `${host}:${hostPort}`],
      ["CF_INSTANCE_PORTS", JSON.stringify([{ external: hostPort, internal: containerPort }])],
    ] as const),
  ];
}

/** System variables, then the user's, which win. `NAME=value` texts, each name once. */
export function instanceEnvironment(input: EnvironmentInput): string[] {
  const merged = new Map<string, string>();
  for (const [name, value] of [...systemEnvironment(input), ...input.spec.env]) merged.set(name, value);
  return [...merged].map(([name, value]) => `${name}=${value}`);
}
