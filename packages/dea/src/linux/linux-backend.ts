import { constants } from "node:fs";
import { access, mkdir, readFile, rm, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Backend, BackendPlace, ContainerRecord, ContainerSpec } from "../container/container.ts";
import { addressRange, parseEgress } from "../container/egress.ts";
import { makePipes, readStatusFile } from "../container/keeper.ts";
import { listLabelled, writeLabels } from "../container/labels.ts";
import { markVariable } from "../container/mark.ts";
import { isAlive } from "../container/process-table.ts";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, systemClock } from "../ports.ts";
import { buildContainer } from "./build.ts";
import { removeGroup } from "./cgroup.ts";
import type { DiskKind } from "./disk.ts";
import { reapEphemeral, rememberEphemeral } from "./ephemeral.ts";
import { hostResolvConf, nameServers, resolvFile } from "./etc-files.ts";
import { dismantle, endHelpers, type Ground, handlesOf } from "./ground.ts";
import { type HostView, makeHostView } from "./host-view.ts";
import { linuxCapabilities } from "./linux-capabilities.ts";
import { createTrafficReader } from "./link-traffic.ts";
import { appPort, createLinuxContainer, type LinuxContainer } from "./linux-container.ts";
import { cgroupRoot, type OwnerNames, ownerNames, type Slot, slotOf, slotsIn } from "./names.ts";
import { openNetwork, removeTable, renewNetwork } from "./network.ts";
import { outOfMemoryKills } from "./kills.ts";
import { endHelpersOfThePast } from "./orphan-helpers.ts";
import { probeLinux } from "./probe.ts";
import { run } from "./programs.ts";
import { callRuntime } from "./runtime.ts";
import { readSlots, takeSlot } from "./slots.ts";
import { plainShell, shellIn, stackSearchPath } from "./stack-root.ts";

export interface LinuxBackendOptions {
  /** Folders with root file systems, by the name of their stack. A spec without a stack sees the host's programs. */
  stacks?: Readonly<Record<string, string>>;
  /** More of the host to be seen inside, read-only, beside `/usr`, `/bin`, `/lib*` and a few files of `/etc`. */
  hostPaths?: readonly string[];
  /** Name servers (IPv4). Default: the host's. Apps may ask them on port 53 whatever else they may not. */
  dns?: readonly string[];
  /** Network that is cut into /30 pieces, one a container. Default `10.254.0.0/20`: 1 024 of them. */
  network?: string;
  /** Connections that one container may have opened to the outside, so that none fills the kernel's table of them. Default 8 192. */
  maxConnections?: number;
  /** OCI runtime (runc or crun), by name or path. Default runc, then crun. */
  runtime?: string;
  /** Kind of disk. Default `loop`, and `tmpfs` where that does not work. */
  disk?: DiskKind;
  clock?: Clock;
}

/**
 * Runs each instance in a container of an OCI runtime: own namespaces (root inside is nobody outside), own root, disk,
 * network and rules, limits kept by the kernel. Needs root. Throws DEA_UNSUPPORTED with all that this machine lacks.
 */
export async function linuxBackend(options: LinuxBackendOptions = {}): Promise<Backend> {
  const { clock = systemClock, stacks = {} } = options;
  const host = await probeLinux({ ...(options.runtime ? { runtimes: [options.runtime] } : {}), ...(options.disk ? { disks: [options.disk] } : {}) });
  const { runtime, cgroups, disk } = host;
  if (!host.able || !runtime || !cgroups || !disk) {
    const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name, detail, remedy }) => `${name}: ${detail}${remedy ? ` (${remedy})` : ""}`);
    throw new DeaError("DEA_UNSUPPORTED", `the linux backend cannot work here: ${lacks.join("; ")}`);
  }
  const pool = addressRange(options.network ?? "10.254.0.0/20");
  for (const server of options.dns ?? []) addressRange(server);
  const capabilities = linuxCapabilities(host);
  // The smallest there is: it waits beside each container.
  const outerShell = ["/bin/sh"];
  const traffic = createTrafficReader();
  const hostShell = await shellIn("/");
  let at: { place: BackendPlace; ground: Ground; view: HostView; dnsText: string } | undefined;

  const opened = (): NonNullable<typeof at> => {
    if (!at) throw new DeaError("DEA_CONTAINER", "the backend was not opened");
    return at;
  };

  const lowerOf = (stack: string | undefined): { lowerDir: string; hostPaths: readonly string[] } => {
    if (stack === undefined) return opened().view;
    const lowerDir = stacks[stack];
    if (lowerDir === undefined) throw new DeaError("DEA_UNSUPPORTED", `this executor has no stack ${JSON.stringify(stack)}; it has: ${Object.keys(stacks).join(", ") || "none"}`);
    return { lowerDir, hostPaths: [] };
  };

  const dnsFor = (slot: Slot): string[] => nameServers(opened().dnsText, options.dns, slot.hostAddress);

  const containerOf = async (spec: ContainerSpec, slot: Slot, layerBytes?: number): Promise<LinuxContainer> => {
    const { lowerDir, hostPaths } = lowerOf(spec.stack);
    const { ground, place } = opened();
    const shell = spec.stack === undefined ? undefined : await shellIn(lowerDir);
    return createLinuxContainer({
      ground, spec, slot, hostPaths, outerShell, owner: place.owner, swap: host.swap, dns: dnsFor(slot), traffic, layerBytes, innerShell: plainShell(shell ?? hostShell),
      ...(shell === undefined ? {} : { inside: { shell, searchPath: stackSearchPath } }),
    });
  };

  const build = (spec: ContainerSpec, slot: Slot): Promise<void> => {
    const { ground, dnsText } = opened();
    const servers = dnsFor(slot);
    return buildContainer(ground, { spec, slot, disk, dns: servers, lowerDir: lowerOf(spec.stack).lowerDir, resolvConf: resolvFile(options.dns ? "" : dnsText, servers) });
  };

  const slotFor = async (tag: string, handle: string): Promise<Slot | undefined> => {
    const entry = (await readSlots()).find((slot) => slot.tag === tag && slot.handle === handle);
    return entry && slotOf(entry.number, pool);
  };

  /** Takes away what all containers share, unless some are still there: they are for the next executor. */
  const leave = async (names: OwnerNames): Promise<void> => {
    if ((await readSlots()).some(({ tag }) => tag === names.tag)) return;
    await removeTable(names.table).catch(() => {});
    for (const group of [names.cgroup, cgroupRoot]) await removeGroup(cgroups, group);
    await rm(names.runDir, { recursive: true, force: true });
  };

  return {
    name: "linux",
    capabilities,
    stacks: Object.keys(stacks),
    async open(place) {
      const names = ownerNames(place.owner);
      await mkdir(place.dir, { recursive: true, mode: 0o711 });
      await mkdir(names.containersDir, { recursive: true, mode: 0o711 });
      await mkdir(names.runtimeDir, { recursive: true, mode: 0o700 });
      await endHelpersOfThePast(names.runDir, clock);
      const ground = { names, cgroups, runtime, dir: place.dir, pool, clock };
      const dnsText = await hostResolvConf();
      // Containers stand on the view: while some do, it stays as it is.
      const inUse = (await readSlots()).some(({ tag }) => tag === names.tag);
      try {
        await openNetwork(names.table, pool, options.maxConnections ?? 8_192);
        await rememberEphemeral(names, place);
        await reapEphemeral({ cgroups, runtime, pool, clock });
        const view = at?.place.owner === place.owner && inUse ? at.view : await makeHostView(names.runDir, options.hostPaths, inUse);
        at = { place, ground, view, dnsText };
      } catch (error) {
        await leave(names);
        throw error;
      }
    },
    async ping() {
      const { ground } = opened();
      await callRuntime(runtime, ["--root", ground.names.runtimeDir, "list", "--quiet"], { timeoutMs: 10_000 });
      await run("nft", ["list", "set", "inet", ground.names.table, "links"], { timeoutMs: 10_000 });
    },
    async capacity() {
      const { bavail, bsize } = await statfs(opened().place.dir);
      return { memoryBytes: totalmem(), diskBytes: bavail * bsize, maxContainers: slotsIn(pool) };
    },
    list: (labels) => listLabelled(opened().place.dir, labels),
    async create(spec) {
      const { ground } = opened();
      if (!/^[a-z0-9-]{1,64}$/.test(spec.handle)) throw new DeaError("DEA_CONTAINER", `not a handle: ${JSON.stringify(spec.handle)}`);
      if (spec.bandwidth && !host.bandwidth) throw new DeaError("DEA_UNSUPPORTED", "bandwidth cannot be limited here: tc is missing");
      lowerOf(spec.stack);
      parseEgress(spec.egress ?? []);
      await access(runtime.path, constants.X_OK).catch((error: unknown) => Promise.reject(new DeaError("DEA_CONTAINER", `the OCI runtime ${runtime.path} is gone`, { cause: error, retryable: true })));
      const dir = join(ground.dir, spec.handle);
      await mkdir(dir, { mode: 0o700 }).catch((error: unknown) => Promise.reject(new DeaError("DEA_CONTAINER", `cannot create container ${spec.handle}`, { cause: error })));
      try {
        const slot = slotOf(await takeSlot(slotsIn(pool), { tag: ground.names.tag, handle: spec.handle, hostPort: spec.hostPort, containerPort: appPort }), pool);
        await Promise.all([mkdir(join(dir, "run")).then(() => makePipes(join(dir, "run"))), writeLabels(dir, spec.labels), build(spec, slot)]);
        return await containerOf(spec, slot);
      } catch (error) {
        await dismantle(ground, spec.handle).catch(() => {});
        if (error instanceof DeaError) throw error;
        throw new DeaError("DEA_CONTAINER", `cannot create container ${spec.handle}`, { cause: error });
      }
    },
    async adopt(spec, record) {
      const { ground, place } = opened();
      const slot = await slotFor(ground.names.tag, spec.handle);
      // Nothing of it is left: a container that can only be destroyed.
      const container = await containerOf(spec, slot ?? slotOf(slotsIn(pool), pool), typeof record["layerBytes"] === "number" ? record["layerBytes"] : undefined);
      const leader = leaderOf(record);
      const killed = outOfMemoryKills(ground, spec.handle) > 0;
      const status = { ...readStatusFile(join(ground.dir, spec.handle, "run")), ...(killed ? { outOfMemory: true } : {}) };
      if (!leader || !slot || !isAlive(leader.pid, leader.startTicks)) return { container, process: undefined, status };
      const environ = await readFile(`/proc/${leader.pid}/environ`, "utf8").catch(() => "");
      if (!environ.split("\0").includes(`${markVariable}=${place.owner}/${spec.handle}`)) return { container, process: undefined, status };
      const rules = spec.egress === undefined ? undefined : parseEgress(spec.egress);
      // Without this the rules it has stay as they are; that is no reason to end it.
      await renewNetwork(ground.names.table, { slot, hostPort: spec.hostPort, containerPort: appPort, rules, pool, dns: dnsFor(slot) }).catch(() => {});
      try {
        return { container, process: container.resume(leader), status: {}, ended: readStatusFile(join(ground.dir, spec.handle, "run")) !== undefined };
      } catch {
        return { container, process: undefined, status };
      }
    },
    async sweep(keep) {
      const { ground, place } = opened();
      const strangers = (await handlesOf(ground)).filter((handle) => !keep.has(handle));
      if (strangers.length > 0) await endHelpers(place.owner, (handle) => !keep.has(handle), clock);
      // One that cannot be removed must not keep the others.
      const left: unknown[] = [];
      for (const handle of strangers) await dismantle(ground, handle).catch((error: unknown) => left.push(`${handle}: ${textOf(error)}`));
      if (left.length > 0) throw new DeaError("DEA_CONTAINER", `cannot remove ${left.join("; ")}`, { retryable: true });
      return strangers;
    },
    async [Symbol.asyncDispose]() {
      if (!at) return;
      const { names } = at.ground;
      at = undefined;
      await leave(names);
    },
  };
}

function leaderOf({ pid, startTicks }: ContainerRecord): { pid: number; startTicks: number } | undefined {
  return typeof pid === "number" && typeof startTicks === "number" && pid > 1 ? { pid, startTicks } : undefined;
}
