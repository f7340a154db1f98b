import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textOf } from "../../errors.ts";
import { createSandbox, type Sandbox, type SandboxKind, sandboxKinds } from "./sandbox.ts";
import { findTools, isSetuid, packages } from "./tools.ts";
import { homeInside, type HostView, isBelow } from "./view.ts";

/** One kind of sandbox on this machine. */
export interface SandboxFinding {
  kind: SandboxKind;
  ok: boolean;
  /** What is there, or why it does not work. */
  detail: string;
  /** How to get it, where it does not work and that is known. */
  remedy?: string;
  sandbox?: Sandbox;
  /** The kernel bounds the number of processes in it. Root is never bounded, nor is anybody by an old kernel. */
  limitsProcesses?: boolean;
}

/** Longest time a sandbox may take to start where it is tried. */
const patienceMs = 10_000;

/** What is tried inside: own processes, own files, a home that can be written, a host that cannot, and whether forks are counted. */
const trial = `[ "$$" -lt 100 ] || { echo "the processes of the host are seen"; exit 3; }
[ ! -e "$1" ] || { echo "the files of the host are seen"; exit 3; }
[ -x "$2" ] || { echo "$2 is not seen"; exit 3; }
: >mark && : >/tmp/mark && : >/dev/null && : >/dev/shm/mark || exit 3
: 2>/dev/null >/usr/mark && { echo "the host can be written"; exit 3; }
if (ulimit -u 1 && exec setsid --fork true) 2>/dev/null; then echo works; else echo works and counts; fi
`;

const sysctls: readonly { file: string; forbids: string; name: string }[] = [
  { file: "/proc/sys/user/max_user_namespaces", forbids: "0", name: "user.max_user_namespaces=65536" },
  { file: "/proc/sys/kernel/unprivileged_userns_clone", forbids: "0", name: "kernel.unprivileged_userns_clone=1" },
  { file: "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", forbids: "1", name: "kernel.apparmor_restrict_unprivileged_userns=0" },
];

/** The setting that forbids user namespaces here, as sysctl(8) takes it back. */
function forbidding(): string | undefined {
  return sysctls.find(({ file, forbids }) => {
    try {
      return readFileSync(file, "latin1").trim() === forbids;
    } catch {
      return false;
    }
  })?.name;
}

/** Makes one sandbox of this kind, looks around in it, and takes it away again. */
function tryOne(kind: SandboxKind, view: HostView, below: string): SandboxFinding {
  const tools = findTools();
  if ("missing" in tools) {
    const names = [...new Set(tools.missing.map((name) => packages[name as keyof typeof packages]))];
    return { kind, ok: false, detail: `${tools.missing.join(", ")} missing`, remedy: `apt-get install ${names.join(" ")}` };
  }
  if (kind === "bubblewrap") {
    if (tools.bubblewrap === undefined) return { kind, ok: false, detail: "bwrap is missing", remedy: `apt-get install ${packages.bubblewrap}` };
    if (isSetuid(tools.bubblewrap) && process.getuid?.() !== 0) return { kind, ok: false, detail: `${tools.bubblewrap} runs with root's rights; what it makes cannot be entered` };
  }
  if (view.shown.some(({ at }) => isBelow(at, homeInside))) return { kind, ok: false, detail: `programs lie in ${homeInside}, where apps have their home` };
  const dir = realpathSync(mkdtempSync(join(below, "opencf-dea-probe-")));
  try {
    const [homeDir, rootDir] = [join(dir, "home"), join(dir, "root")];
    const temporaryDir = join(homeDir, "tmp");
    for (const folder of [homeDir, rootDir, temporaryDir]) mkdirSync(folder);
    writeFileSync(join(dir, "secret"), "");
    const sandbox = createSandbox(kind, tools);
    const inner = { argv: [tools.bash, "-c", trial, "opencf-trial", join(dir, "secret"), process.execPath], env: ["PATH=/usr/bin:/bin"], cwd: homeInside, maxProcesses: 1_024 };
    const { argv, env, files } = sandbox.wrap({ view, homeDir, temporaryDir, rootDir }, inner, join(dir, "mounts"));
    for (const { path, text } of files) writeFileSync(path, text);
    const [program = "", ...args] = argv;
    const environment = Object.fromEntries(env.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
    const { stdout, stderr, error } = spawnSync(program, args, { cwd: "/", env: environment, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8", timeout: patienceMs, killSignal: "SIGKILL" });
    if (stdout?.startsWith("works")) return { kind, ok: true, detail: kind === "bubblewrap" ? (tools.bubblewrap ?? "") : tools.unshare, sandbox, limitsProcesses: stdout.includes("counts") };
    const why = [error === undefined ? "" : textOf(error), stdout ?? "", stderr ?? ""].map((text) => text.trim().split("\n").at(-1) ?? "").find((text) => text !== "") ?? "it does not start";
    const setting = forbidding();
    return { kind, ok: false, detail: why.slice(0, 300), ...(setting === undefined ? {} : { remedy: `sysctl -w ${setting}` }) };
  } catch (error) {
    return { kind, ok: false, detail: textOf(error) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Tries kinds of sandboxes on this machine, one after the other, until one works (or all of them, for people who ask).
 * Each trial starts a process and waits for it: some 20 ms. In `dir`, since what makes a sandbox may not go wherever root may.
 */
export function probeSandboxes(view: HostView, { kinds = sandboxKinds, all = false, dir = tmpdir() }: { kinds?: readonly SandboxKind[]; all?: boolean; dir?: string } = {}): SandboxFinding[] {
  const findings: SandboxFinding[] = [];
  for (const kind of kinds) {
    const finding = tryOne(kind, view, dir);
    findings.push(finding);
    if (finding.ok && !all) break;
  }
  return findings;
}
