import { execFile } from "node:child_process";
import { access, constants, readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { processCapabilities } from "../container/process-backend.ts";

interface Finding {
  name: string;
  ok: boolean;
  /** What is there, or what is missing and why it matters. */
  detail: string;
  /** Nothing runs without it. */
  needed: boolean;
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const dir of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(dir, name);
    if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
  }
  return undefined;
}

const readable = (path: string): Promise<boolean> => access(path, constants.R_OK).then(() => true, () => false);

async function examine(): Promise<Finding[]> {
  const linux = process.platform === "linux";
  const [bash, mkfifo, runc, crun] = await Promise.all(["bash", "mkfifo", "runc", "crun"].map(findProgram));
  const proc = await readable("/proc/self/environ");
  const v2 = await readable("/sys/fs/cgroup/cgroup.controllers");
  const v1 = await readable("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  const overlay = (await readFile("/proc/filesystems", "utf8").catch(() => "")).includes("overlay");
  const namespaces = await promisify(execFile)("unshare", ["--user", "--pid", "--net", "--mount", "--fork", "true"], { timeout: 5_000 }).then(() => true, () => false);
  const root = process.getuid?.() === 0;
  const found = (path: string | undefined, missing: string): string => path ?? missing;
  return [
    { name: "linux", ok: linux, needed: true, detail: linux ? process.arch : `this is ${process.platform}: instances cannot run here` },
    { name: "/proc", ok: proc, needed: true, detail: proc ? "readable" : "not readable: processes cannot be found again" },
    { name: "mkfifo", ok: mkfifo !== undefined, needed: true, detail: found(mkfifo, "missing (coreutils): no pipes for the app's output") },
    { name: "bash", ok: bash !== undefined, needed: false, detail: found(bash, "missing: sh is used; variables whose names are no identifiers get lost") },
    { name: "memory", ok: true, needed: false, detail: `${Math.round(totalmem() / 1024 ** 2)} MiB in this machine` },
    { name: "root", ok: root, needed: false, detail: root ? "yes" : "no: needed by an isolating backend" },
    { name: "oci runtime", ok: (runc ?? crun) !== undefined, needed: false, detail: found(runc ?? crun, "neither runc nor crun: needed by an isolating backend") },
    { name: "cgroups", ok: v1 || v2, needed: false, detail: v2 ? "version 2" : v1 ? "version 1" : "none: needed by an isolating backend" },
    { name: "overlayfs", ok: overlay, needed: false, detail: overlay ? "known to the kernel" : "not known to the kernel: needed by an isolating backend" },
    { name: "namespaces", ok: namespaces, needed: false, detail: namespaces ? "user, pid, network, mount" : "cannot be made by this user: needed by an isolating backend" },
  ];
}

/** Says what this machine can do. Exit code 1 when instances cannot run at all. */
export async function doctor(json: boolean): Promise<number> {
  const findings = await examine();
  const able = findings.every(({ ok, needed }) => ok || !needed);
  if (json) {
    process.stdout.write(`${JSON.stringify({ able, backends: { process: { available: able, capabilities: processCapabilities } }, findings })}\n`);
    return able ? 0 : 1;
  }
  const lines = findings.map(({ name, ok, needed, detail }) => `${ok ? "ok  " : needed ? "FAIL" : "--  "} ${name.padEnd(12)} ${detail}`);
  const about = [
    "",
    able ? "Backend \"process\" works here. What it does not isolate:" : "Instances cannot run here.",
    ...(able ? processCapabilities.warnings.map((warning) => `  - ${warning}`) : []),
    "There is no isolating backend in this version; the rows marked -- are what one would miss.",
  ];
  process.stdout.write(`${[...lines, ...about].join("\n")}\n`);
  return able ? 0 : 1;
}
