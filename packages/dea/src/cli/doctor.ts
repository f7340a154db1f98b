import { access, constants } from "node:fs/promises";
import { totalmem } from "node:os";
import { unstopped } from "../container/attacks.ts";
import { type Capabilities, enforcedLimits } from "../container/capabilities.ts";
import { processBackend } from "../container/process-backend.ts";
import { probeSandboxes } from "../container/sandbox/probe.ts";
import { hostView } from "../container/sandbox/view.ts";
import { linuxCapabilities } from "../linux/linux-capabilities.ts";
import { type HostFinding, probeLinux, withoutNeedlessRemedy } from "../linux/probe.ts";
import { findProgram } from "../linux/programs.ts";
import { findRuntimes, type FoundRuntime } from "../runtimes.ts";

const readable = (path: string): Promise<boolean> => access(path, constants.R_OK).then(() => true, () => false);

/** What every backend needs. */
async function examine(): Promise<HostFinding[]> {
  const linux = process.platform === "linux";
  const [bash, mkfifo, script] = ["bash", "mkfifo", "script"].map((name) => findProgram(name));
  const proc = await readable("/proc/self/environ");
  const findings: HostFinding[] = [
    { name: "linux", ok: linux, needed: true, detail: linux ? process.arch : `this is ${process.platform}: instances cannot run here` },
    { name: "/proc", ok: proc, needed: true, detail: proc ? "readable" : "not readable: processes cannot be found again" },
    { name: "mkfifo", ok: mkfifo !== undefined, needed: true, detail: mkfifo ?? "missing: no pipes for the app's output", remedy: "apt-get install coreutils" },
    { name: "bash", ok: bash !== undefined, needed: false, detail: bash ?? "missing: sh is used; variables whose names are no identifiers get lost", remedy: "apt-get install bash" },
    { name: "script", ok: script !== undefined, needed: false, detail: script ?? "missing: no terminal for processes beside the main one", remedy: "apt-get install bsdutils" },
    { name: "memory", ok: true, needed: false, detail: `${Math.round(totalmem() / 1024 ** 2)} MiB in this machine` },
  ];
  return findings.map(withoutNeedlessRemedy);
}

const row = ({ name, ok, needed, detail, remedy }: HostFinding): string =>
  `${ok ? "ok  " : needed ? "FAIL" : "--  "} ${name.padEnd(12)} ${detail}${remedy ? `; try: ${remedy}` : ""}`;

/** Kinds of sandboxes for the process backend, all of them tried. */
const sandboxRows = (): HostFinding[] =>
  probeSandboxes(hostView({ path: process.env["PATH"] ?? "/usr/bin:/bin" }), { all: true }).map(({ kind, ok, detail, remedy, limitsProcesses }) => ({
    name: kind, ok, needed: false,
    detail: ok ? `${detail}${limitsProcesses ? "; the number of processes is limited too" : ""}` : detail,
    ...(remedy === undefined ? {} : { remedy }),
  }));

const runtimeRow = ({ name, version = "?", found }: FoundRuntime): string => `     ${name.padEnd(12)} ${version.padEnd(12)} ${found}`;

/** Which attacks of a stranger's app the backend does not stop. */
const attackRows = (capabilities: Capabilities): string[] => {
  const left = unstopped(capabilities);
  return left.length === 0 ? ["It stops every attack of an app that it knows of."] : ["Attacks of an app that it does not stop:", ...left.map((attack) => `  - ${attack}`)];
};

/** Says what this machine can do, and how to get the rest. Exit code 1 when instances cannot run at all. */
export async function doctor(json: boolean): Promise<number> {
  const findings = await examine();
  const able = findings.every(({ ok, needed }) => ok || !needed);
  const host = await probeLinux();
  const runtimes = await findRuntimes();
  const isolating = able && host.able;
  const sandboxes = able ? sandboxRows() : [];
  const plain = able ? processBackend().capabilities : undefined;
  if (json) {
    const backends = {
      process: { available: able, ...(plain ? { capabilities: plain, unstopped: unstopped(plain) } : {}), sandboxes },
      linux: { available: isolating, ...(isolating ? { capabilities: linuxCapabilities(host), unstopped: unstopped(linuxCapabilities(host)) } : {}), findings: host.findings },
    };
    process.stdout.write(`${JSON.stringify({ able, backends, runtimes, findings })}\n`);
    return able ? 0 : 1;
  }
  const linux = isolating ? linuxCapabilities(host) : undefined;
  const about = [
    ...findings.map(row),
    "",
    ...sandboxes.map(row),
    "",
    plain ? `Backend "process" works here, with --isolate ${plain.isolation ?? "none"}. What it does not isolate:` : "Instances cannot run here.",
    ...(plain?.warnings ?? []).map((warning) => `  - ${warning}`),
    ...(plain ? attackRows(plain) : []),
    "",
    ...host.findings.map(row),
    "",
    linux ? `Backend "linux" works here. The kernel keeps: ${enforcedLimits(linux).join(", ")}.` : "Backend \"linux\" does not work here: the rows marked FAIL are what it lacks.",
    ...(linux?.warnings ?? []).map((warning) => `  - ${warning}`),
    ...(linux ? attackRows(linux) : []),
    "",
    runtimes.length > 0 ? "Runtimes that droplets may share:" : "No runtimes that droplets may share are in the search path.",
    ...runtimes.map(runtimeRow),
  ];
  process.stdout.write(`${about.join("\n")}\n`);
  return able ? 0 : 1;
}
