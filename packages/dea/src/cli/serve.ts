import { createBus, natsTransport } from "@opencf/bus";
import { statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { type Membership, joinBus } from "../bus-link.ts";
import type { Backend } from "../container/container.ts";
import { createDea, type Dea } from "../dea.ts";
import { textOf } from "../errors.ts";
import { openControlSocket } from "../reach/control-server.ts";
import { openReachServer, type ReachOptions } from "../reach/reach-server.ts";
import { findRuntimes } from "../runtimes.ts";
import { isolationLine, openBackend } from "./backend.ts";
import type { ConfigFile } from "./config-file.ts";
import { readJournalKey } from "./journal-key.ts";
import { type Life, type LifeState, watchLife } from "./life.ts";
import { addressTowards } from "./local-address.ts";
import type { ServeOptions } from "./serve-options.ts";
import { serviceLog } from "./service-log.ts";
import { UsageError } from "./usage.ts";

const MiB = 1024 ** 2;
/** Whatever happens on the way out, the program ends. The executor's own deadlines are far below. */
const leavingMs = 120_000;
/** How long the bus may take to be there. */
const connectTimeoutMs = 20_000;

const say = (text: string): void => void process.stderr.write(`opencf-dea: ${text}\n`);

/** Addresses without names and passwords. */
const shown = (urls: readonly string[]): string => urls.map((url) => url.replace(/\/\/[^@/]*@/, "//")).join(",");

const meanings: Readonly<Partial<Record<LifeState, string>>> = {
  resting: "no new work is taken; what runs goes on",
  evacuating: "evacuating: no new work, apps run until they run elsewhere",
  leaving: "leaving",
  hurrying: "nobody gets any more time",
  gone: "gone, whatever is left",
};

/** What limits the file gives every app; the backend must keep them, or they are named and left out. */
function placeDefaults({ file }: ServeOptions, { name, capabilities: { enforces } }: Backend): { limits: object; dropped: string[] } {
  const wanted = [
    ["instance.nproc_limit", "pids", file.maxProcesses === undefined ? undefined : { maxProcesses: file.maxProcesses }],
    ["instance.disk_inode_limit", "inodes", file.inodes === undefined ? undefined : { inodes: file.inodes }],
    ["instance.bandwidth_limit", "bandwidth", file.bandwidth === undefined ? undefined : { bandwidth: file.bandwidth }],
  ] as const;
  const given = wanted.filter(([, , value]) => value !== undefined);
  return {
    limits: Object.assign({}, ...given.filter(([, limit]) => enforces[limit]).map(([, , value]) => value)) as object,
    dropped: given.filter(([, limit]) => !enforces[limit]).map(([key]) => `${key}: the ${name} backend does not keep it`),
  };
}

/** The door to files, as the file has it. */
const reachOptions = (host: string, { domain, filesPort, filesProtocol, streamingTimeoutMs }: ServeOptions["file"]): ReachOptions => ({
  host,
  ...(domain === undefined ? {} : { domain }),
  ...(filesPort === undefined ? {} : { port: filesPort }),
  ...(filesProtocol === undefined ? {} : { protocol: filesProtocol }),
  ...(streamingTimeoutMs === undefined ? {} : { streamingTimeoutMs }),
});

/** The same executor, each start with these limits unless it names others. */
const withLimits = (dea: Dea, limits: object): Dea => Object.create(dea, { start: { value: (spec: Parameters<Dea["start"]>[0]) => dea.start({ ...limits, ...spec }) } }) as Dea;

async function capacityOf({ memoryBytes, memoryFactor, diskBytes, diskFactor, dataDir }: ServeOptions): Promise<{ memoryBytes: number; diskBytes?: number }> {
  const free = async (): Promise<number | undefined> => {
    if (diskFactor === 1) return undefined;
    const { bavail, bsize } = await statfs(dataDir ?? ".").catch(() => statfs("."));
    return bavail * bsize;
  };
  const disk = diskBytes ?? (await free());
  return { memoryBytes: Math.floor((memoryBytes ?? totalmem()) * memoryFactor), ...(disk === undefined ? {} : { diskBytes: Math.floor(disk * diskFactor) }) };
}

/** Stops everything or leaves it, as was asked for; hurries when told to. */
async function leave(dea: Dea, member: Membership, instances: "keep" | "stop", life: Life): Promise<void> {
  // Not waited for: whoever ends from here on ends because the executor leaves, and is told so.
  if (instances === "stop") for (const instance of dea.instances()) if (instance.exit === undefined) void instance.stop({ signal: life.hurrying });
  await member.leave({ instances });
  await dea.close({ instances });
}

/** Joins a bus and serves until a signal ends it. Answers the exit code. */
export async function serve(options: ServeOptions, ignored: ConfigFile["ignored"]): Promise<number> {
  const log = serviceLog(options.json);
  for (const { key, why } of ignored) log.warn("config.ignored", { key, why });
  const { file, stacks } = options;
  const roots = Object.fromEntries((stacks ?? []).flatMap(({ name, root }) => (root === undefined ? [] : [[name, root]])));
  const journalKey = options.journalKeyFile === undefined ? undefined : await readJournalKey(options.journalKeyFile);
  const backend = await openBackend({ name: options.backend, isolate: options.isolate, stacks: roots });
  say(isolationLine(backend));
  if (Object.keys(roots).length > 0 && backend.name !== "linux") throw new UsageError(`only the linux backend runs apps on a root of their own; this is ${backend.name}`);
  const { limits, dropped } = placeDefaults(options, backend);
  for (const text of dropped) log.warn("config.ignored", { key: text.slice(0, text.indexOf(":")), why: text.slice(text.indexOf(":") + 2) });

  const first = new URL(options.nats[0] ?? "");
  const host = options.host ?? (await addressTowards(first.hostname.replace(/^\[|\]$/g, ""), Number(first.port || 4222))) ?? "127.0.0.1";
  const runtimes = await findRuntimes(file.runtimes ? { configured: file.runtimes } : {});

  let hardEnd: NodeJS.Timeout | undefined;
  using life = watchLife({
    moved(to, signal) {
      say(`${signal}: ${meanings[to] ?? to}`);
      log.info("life", { state: to, signal });
      if (to === "resting") member?.rest();
      if (to === "leaving") hardEnd ??= setTimeout(() => process.exit(1), leavingMs).unref();
      if (to === "gone") process.exit(1);
    },
  });
  let member: Membership | undefined;
  const dea = await createDea({
    backend,
    host,
    log,
    ...(await capacityOf(options)),
    ...(options.dataDir === undefined ? {} : { dataDir: options.dataDir }),
    ...(journalKey === undefined ? {} : { journalKey }),
    ...(options.maxInstances === undefined ? {} : { maxInstances: options.maxInstances }),
    ...(options.ports === undefined ? {} : { portRange: options.ports }),
    ...(file.healthTimeoutMs === undefined ? {} : { deadlinesMs: { health: file.healthTimeoutMs } }),
    ...(file.crashLifetimeMs === undefined ? {} : { crashLifetimeMs: file.crashLifetimeMs }),
    ...(file.diskPressureRatio === undefined ? {} : { diskPressureRatio: file.diskPressureRatio }),
    onClose: options.onTerm,
  });
  try {
    const transport = natsTransport({
      servers: options.nats,
      name: "opencf-dea",
      log,
      connectTimeoutMs,
      signal: life.leaving,
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      ...(options.tls ? { tls: options.tls } : {}),
    });
    const late = setTimeout(() => say(`waiting for NATS at ${shown(options.nats)}, ${connectTimeoutMs / 1_000} s at most`), 1_000);
    await using bus = await createBus({ transport, log }).finally(() => clearTimeout(late));
    await using reach = await openReachServer(dea, { ...reachOptions(host, file), log });
    await using _control = options.dataDir === undefined ? undefined : await openControlSocket(dea, options.dataDir, { log });
    member = await joinBus(withLimits(dea, limits), bus, {
      host,
      log,
      runtimes,
      reach,
      ...(options.zone === undefined ? {} : { zone: options.zone }),
      ...(options.isolationSegment === undefined ? {} : { isolationSegment: options.isolationSegment }),
      ...(stacks === undefined ? {} : { stacks: stacks.map(({ name }) => name) }),
      ...(file.heartbeatMs === undefined ? {} : { heartbeatIntervalMs: file.heartbeatMs }),
      ...(file.advertiseMs === undefined ? {} : { advertiseIntervalMs: file.advertiseMs }),
      ...(file.registerMs === undefined ? {} : { registerIntervalMs: file.registerMs }),
    });
    const { memory, disk } = dea.capacity();
    say(`joined ${shown(options.nats)} as ${member.id} at ${host}; ${Math.floor(memory.totalBytes / MiB)} MB memory, ${Math.floor(disk.totalBytes / MiB)} MB disk; ${dea.instances().length} instances here`);
    log.info("joined", { id: member.id, host, backend: backend.name, memoryMb: Math.floor(memory.totalBytes / MiB), diskMb: Math.floor(disk.totalBytes / MiB), instances: dea.instances().length, runtimes: runtimes.map(({ name, version }) => `${name}@${version ?? "?"}`) });
    let instances = options.onTerm;
    if ((await life.over) === "evacuating") {
      const { left } = await dea.evacuate({ timeoutMs: options.evacuationMs, signal: life.leaving });
      say(left.length === 0 ? "evacuated: nothing is left here" : `evacuation ended with ${left.length} instances left: ${left.map(({ id }) => id).join(", ")}`);
      log.info("evacuated", { left: left.map(({ id }) => id) });
      // A signal that ended the waiting says what it always says; who waited to the end stops what is left, as the original does.
      if (!life.leaving.aborted) instances = "stop";
      life.evacuated();
      hardEnd ??= setTimeout(() => process.exit(1), leavingMs).unref();
    }
    await leave(dea, member, instances, life);
    say(instances === "keep" ? "left; apps go on, and the next start takes them over" : "left");
    return 0;
  } catch (error) {
    // Nobody on the bus was told anything: apps that run go on.
    await dea.close({ instances: options.dataDir === undefined ? "stop" : "keep" });
    if (life.leaving.aborted) return 0;
    throw error instanceof Error ? error : new Error(textOf(error));
  } finally {
    clearTimeout(hardEnd);
  }
}
