// What the benches share: percentiles, a droplet to measure with, and the bare runtime they are compared with.
import { execFile, spawn } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export const run = promisify(execFile);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}
export const median = (values) => percentile(values, 0.5);

/** Numbers that are the same in every run. */
function numbers(seed) {
  let state = seed;
  return () => ((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32);
}

/** Text that packs about as well as source code does: to a third. */
function textOf(bytes, random) {
  const words = Array.from({ length: 4_000 }, () => Math.floor(random() * 36 ** 7).toString(36));
  const lines = [];
  for (let length = 0; length < bytes; length += lines.at(-1).length) lines.push(`${"  ".repeat(random() * 4)}const ${words[Math.floor(random() * 4_000)]} = ${words[Math.floor(random() * 4_000)]}(${words[Math.floor(random() * 400)]});\n`);
  return lines.join("").slice(0, bytes);
}

/** Makes a droplet of so many files and about so many bytes, and answers the path of its `.tgz`. */
export async function makeDroplet(dir, { files, bytes, command }) {
  const root = join(dir, "content");
  const random = numbers(7);
  const text = textOf(4 * 1024 ** 2, random);
  for (let at = 0; at < files; at++) {
    const path = join(root, "app", `package-${Math.floor(at / 200)}`, `folder-${Math.floor(at / 20) % 10}`, `file-${at}.js`);
    if (at % 20 === 0) mkdirSync(dirname(path), { recursive: true });
    // Few large ones and many small ones, as in real life.
    const size = Math.min(3 * 1024 ** 2, Math.ceil((bytes / files) * (0.25 + random() ** 3 * 3)));
    const from = Math.floor(random() * (text.length - size));
    writeFileSync(path, text.slice(from, from + size));
  }
  writeFileSync(join(root, "staging_info.yml"), `start_command: ${JSON.stringify(command)}\n`);
  const tgz = join(dir, "droplet.tgz");
  await run("tar", ["-czf", tgz, "-C", root, "."]);
  rmSync(root, { recursive: true, force: true });
  return tgz;
}

/** What the default configuration of runc makes of a view of this host, with nothing of ours: no disk, network, user namespace or system call filter. */
export async function makeBundle(dir, program) {
  const rootfs = join(dir, "rootfs");
  mkdirSync(rootfs, { recursive: true });
  await run("runc", ["spec", "--bundle", dir]);
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  for (const name of ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
    const entry = lstatSync(`/${name}`, { throwIfNoEntry: false });
    if (entry?.isSymbolicLink()) symlinkSync(readlinkSync(`/${name}`), join(rootfs, name));
    else if (entry) config.mounts.push({ destination: `/${name}`, type: "bind", source: `/${name}`, options: ["rbind", "ro"] });
  }
  for (const name of ["proc", "sys", "dev", "tmp"]) mkdirSync(join(rootfs, name));
  chmodSync(rootfs, 0o755);
  Object.assign(config.process, { terminal: false, args: program });
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  return dir;
}

let serial = 0;

/** One bare `runc run`: ms from its start until the program inside has printed something. It is ended afterwards, outside of the time. */
export async function bareRun(bundle) {
  const id = `opencf-bench-${process.pid}-${serial++}`;
  const started = performance.now();
  const child = spawn("runc", ["run", "--bundle", bundle, id], { stdio: ["ignore", "pipe", "inherit"] });
  const ms = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.stdout.once("data", () => resolve(performance.now() - started));
    child.once("exit", (code) => reject(new Error(`runc ended with ${code} before the program spoke`)));
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  await run("runc", ["kill", id, "KILL"]).catch(() => {});
  await ended;
  return ms;
}

/** ms and ms of CPU (its own and its children's) of a program. */
export async function timed(program, args) {
  const started = performance.now();
  const { stderr } = await run("bash", ["-c", 'TIMEFORMAT="%U %S"; time "$@" 2>/dev/null', "-", program, ...args]);
  const ms = performance.now() - started;
  const [user, system] = stderr.trim().split(/\s+/).map(Number);
  return { ms, cpuMs: (user + system) * 1_000 };
}

/** ms of CPU of this process and of all its children that have ended. */
export function cpuMsOf(pid = process.pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])) * 10;
}

/** One line of the table of all. */
export const row = ({ what, ours, peer = "", ratio = "", target = "", held }) => ({ what, ours, peer, ratio, target, held: held === undefined ? "" : held ? "yes" : "NO" });
