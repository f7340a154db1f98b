import { DeaError } from "../errors.ts";
import { type Capabilities, enforcing } from "./capabilities.ts";
import type { ContainerRecord } from "./container.ts";
import { probeSandboxes, type SandboxFinding } from "./sandbox/probe.ts";
import { createSandbox, type Sandbox, type SandboxKind, sandboxKinds } from "./sandbox/sandbox.ts";
import { findTools } from "./sandbox/tools.ts";
import type { HostView } from "./sandbox/view.ts";

/** What stands around each app of the `process` backend. */
export type Isolation = "auto" | "none" | SandboxKind;
export const isolations: readonly Isolation[] = ["auto", "none", ...sandboxKinds];

export interface IsolationChoice {
  capabilities: Capabilities;
  /** Undefined: plain processes. */
  sandbox: Sandbox | undefined;
  /** What was tried on the way, and how it went. */
  findings: readonly SandboxFinding[];
}

const polled = "Memory and disk limits are kept by looking every second or so; an app can exceed them for a moment.";
const unshared = "CPU time is shared as the kernel sees fit; there is no share per app.";

/** What plain processes cannot do, said aloud. */
const plain: Capabilities = {
  memory: "polled", disk: "polled", cpu: "none", filesystem: false, network: false, processes: false, user: false,
  // A limit of open files is kept by the kernel; the others are watched at best.
  enforces: enforcing(["fileDescriptors"]),
  warnings: [
    "Apps run as the executor's own user and can read and change whatever it can: run only code you trust.",
    "Apps see the host's files, network and processes, and each other's.",
    polled,
    unshared,
    "A program that leaves its session, clears its environment, outlives its parents and lets go of its output is not found again.",
  ],
  isolation: "none",
};

const sandboxed = ({ kind, limitsProcesses = false }: SandboxFinding): Capabilities => ({
  ...plain,
  filesystem: true,
  processes: true,
  enforces: enforcing(["fileDescriptors", ...(limitsProcesses ? ["pids" as const] : [])]),
  warnings: [
    "Apps run as the executor's own user, behind namespaces and without any right over them: a hole in the kernel opens everything this user has.",
    "Apps use the host's network: they reach its loopback, each other's ports and whatever it reaches.",
    ...(process.getuid?.() === 0 ? ["The executor is root: apps can read what root can in the folders of programs, such as /usr and /opt."] : []),
    polled,
    unshared,
    ...(limitsProcesses ? [] : ["The number of processes is not limited: the kernel does not count them for root."]),
  ],
  isolation: kind,
  summary: `isolation ${kind}: files and processes are apart; not apart are network, user, CPU${limitsProcesses ? "" : ", number of processes"}; memory and disk are watched, not limited by the kernel`,
});

const because = (findings: readonly SandboxFinding[]): string => findings.map(({ kind, detail, remedy }) => `${kind}: ${detail}${remedy ? ` (${remedy})` : ""}`).join("; ");

/** Finds what works here. Throws DEA_UNSUPPORTED where one kind was insisted on and does not work. */
export function chooseIsolation(wanted: Isolation, view: () => HostView, dir?: string): IsolationChoice {
  const findings = wanted === "none" ? [] : probeSandboxes(view(), { ...(wanted === "auto" ? {} : { kinds: [wanted] }), ...(dir === undefined ? {} : { dir }) });
  const found = findings.find(({ ok }) => ok);
  if (found?.sandbox) return { capabilities: sandboxed(found), sandbox: found.sandbox, findings };
  if (wanted !== "auto" && wanted !== "none") throw new DeaError("DEA_UNSUPPORTED", `no isolation by ${because(findings)}`);
  const why = findings.length > 0 ? ` (${because(findings)})` : "";
  const summary = `isolation none: apps run as plain processes that see the host's files, processes and network and are not kept from them; memory and disk are watched, not limited by the kernel${why}`;
  return { capabilities: { ...plain, summary }, sandbox: undefined, findings };
}

/** The sandbox of an instance that an earlier executor started. */
export function recordedSandbox({ isolation }: ContainerRecord): Sandbox | undefined {
  const kind = sandboxKinds.find((one) => one === isolation);
  const tools = kind === undefined ? undefined : findTools();
  return kind === undefined || tools === undefined || "missing" in tools ? undefined : createSandbox(kind, tools);
}
