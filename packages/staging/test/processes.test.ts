import { existsSync } from "node:fs";
import { chown, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hasProc, isAlive, killTaskProcesses, startTimeOf } from "../src/script/proc.ts";
import { run } from "../src/script/run.ts";
import { createWorkFolder, recoverStaging } from "../src/script/work-folder.ts";
import { eventually, folderWith, listTree, shellBuildpack, temporaryFolder, writeTree } from "./fixtures/folders.ts";
import { startDetection, startProgram, useProgram } from "./fixtures/program.ts";
import { failing, staging } from "./fixtures/stage.ts";

useProgram();
const release = "echo 'default_process_types: {web: w}'";
const pidIn = (path: string): Promise<number> => eventually(`a pid in ${path}`, async () => Number((await readFile(path, "utf8").catch(() => "")).trim()));
const gone = (pid: number): Promise<boolean> => eventually(`process ${pid} gone`, async () => !(await isAlive(pid)));

/** Scripts that leave others behind: in the group, out of it, out of it and deaf. */
const clinging = (notes: string): string => `
sleep 300 & echo $! > "${notes}/group"
setsid sh -c 'echo $$ > "${notes}/session"; exec sleep 300' &
setsid sh -c 'trap "" TERM HUP INT; cd /; echo $$ > "${notes}/deaf"; while :; do sleep 1; done' &
while [ ! -s "${notes}/deaf" ] || [ ! -s "${notes}/session" ]; do sleep 0.01; done
`;
const children = ["group", "session", "deaf"] as const;

describe("the time limit", () => {
  test("ends the script and everybody it started, also who left its process group", async () => {
    const notes = await temporaryFolder();
    const home = await temporaryFolder();
    const before = performance.now();
    const error = await failing({ buildpacks: [await shellBuildpack({ finalize: `${clinging(notes)} sleep 300`, release })] }, { timeoutMs: 4_000, workDir: join(home, "work") });
    expect(error).toMatchObject({ code: "STAGING_TIMEOUT", id: "StagingTimeExpired" });
    expect(performance.now() - before).toBeLessThan(15_000);
    for (const name of children) await gone(await pidIn(join(notes, name)));
    expect(await listTree(join(home, "work"))).toEqual([]);
  });
  test.each(["detect", "supply", "compile", "release"])("holds in %s too", async (name) => {
    const scripts: Record<string, string> = { detect: "", supply: ":", compile: ":", release, [name]: "sleep 300" };
    const buildpack = await shellBuildpack(name === "supply" ? { ...scripts, finalize: ":" } : scripts);
    expect(await failing({}, { timeoutMs: 600, catalog: [{ name: "x", path: buildpack }] })).toMatchObject({ code: "STAGING_TIMEOUT" });
  });
});

describe("a cancelled build", () => {
  test("ends at once with the caller's reason as cause, and leaves nothing", async () => {
    const notes = await temporaryFolder();
    const home = await temporaryFolder();
    const stop = new AbortController();
    const build = failing({ buildpacks: [await shellBuildpack({ finalize: `${clinging(notes)} sleep 300`, release })] }, { signal: stop.signal, workDir: join(home, "work") });
    const pids = await Promise.all(children.map((name) => pidIn(join(notes, name))));
    const reason = new Error("changed my mind");
    stop.abort(reason);
    expect(await build).toMatchObject({ code: "STAGING_CANCELLED", cause: reason });
    for (const pid of pids) await gone(pid);
    expect(await listTree(join(home, "work"))).toEqual([]);
  });
  test("has no limit when none is wanted", async () => {
    await staging({ buildpacks: [await shellBuildpack({ finalize: "sleep 0.1", release })] }, { timeoutMs: Infinity });
  });
  test("before its start does not begin", async () => {
    expect(await failing({}, { signal: AbortSignal.abort() })).toMatchObject({ code: "STAGING_CANCELLED" });
  });
});

test("what a successful build leaves running is ended, and does not hold it up", async () => {
  const notes = await temporaryFolder();
  const before = performance.now();
  await staging({ buildpacks: [await shellBuildpack({ finalize: clinging(notes), release })] });
  expect(performance.now() - before).toBeLessThan(8_000);
  for (const name of children) await gone(await pidIn(join(notes, name)));
});

test("a failed build leaves no temporary files, even when it took its own rights away", async () => {
  const home = await temporaryFolder();
  await failing({ buildpacks: [await shellBuildpack({ compile: `mkdir -p "$1/locked/below"; touch "$1/locked/below/x"; chmod 000 "$1/locked/below" "$1/locked"; exit 1`, release })] }, { workDir: join(home, "work") });
  expect(await listTree(join(home, "work"))).toEqual([]);
});

describe("a stager that is killed", () => {
  test.each(["detect", "supply", "finalize", "release"])("in %s leaves a record, and the next start clears up", async (phase) => {
    if (!(await hasProc())) return;
    const notes = await temporaryFolder();
    const workDir = join(await temporaryFolder(), "work");
    const scripts: Record<string, string> = { detect: "", supply: ":", finalize: ":", release };
    scripts[phase] = `${clinging(notes)} sleep 300`;
    const buildpack = await shellBuildpack(scripts);
    // Named buildpacks are not asked; that step stands for itself in a process of its own.
    const program = phase === "detect"
      ? startDetection({ app: await folderWith({ a: "a" }), out: join(notes, "d.tgz"), buildpack, workDir })
      : startProgram([await folderWith({ a: "a" }), "--out", join(notes, "d.tgz"), "-b", buildpack, "--work-dir", workDir]);
    await pidIn(join(notes, "deaf"));
    program.kill("SIGKILL");
    await program.done;
    const pids = await Promise.all(children.map((name) => pidIn(join(notes, name))));
    for (const pid of pids) expect(await isAlive(pid)).toBe(true);
    expect(await listTree(workDir)).not.toEqual([]);

    const { tasks, processesKilled } = await recoverStaging(workDir);
    expect(tasks).toHaveLength(1);
    expect(processesKilled).toBeGreaterThanOrEqual(3);
    for (const pid of pids) await gone(pid);
    expect(await listTree(workDir)).toEqual([]);
    expect(existsSync(join(notes, "d.tgz"))).toBe(false);
    expect(await recoverStaging(workDir)).toEqual({ tasks: [], processesKilled: 0 });
  });
  test("is not mistaken for one that lives: its work is left alone", async () => {
    const workDir = await temporaryFolder();
    await using work = await createWorkFolder(workDir);
    expect((await recoverStaging(workDir)).tasks).toEqual([]);
    expect(existsSync(work.path)).toBe(true);
  });
  test("nor is another process with its old number: the start time differs", async () => {
    const workDir = await writeTree(await temporaryFolder(), { [`00000000-0000-4000-8000-000000000000.${process.pid}.1.task`]: `${process.pid} 1`, "00000000-0000-4000-8000-000000000000/left/over": "x", "other": "kept" });
    expect((await recoverStaging(workDir)).tasks).toEqual(["00000000-0000-4000-8000-000000000000"]);
    expect(await readdir(workDir)).toEqual(["other"]);
    expect(await isAlive(process.pid, await startTimeOf(process.pid))).toBe(true);
  });
  test("by a polite signal clears up itself", async () => {
    const notes = await temporaryFolder();
    const workDir = join(await temporaryFolder(), "work");
    const program = startProgram([await folderWith({ a: "a" }), "--out", join(notes, "d.tgz"), "-b", await shellBuildpack({ finalize: `${clinging(notes)} sleep 300`, release }), "--work-dir", workDir]);
    const pids = await Promise.all(children.map((name) => pidIn(join(notes, name))));
    program.kill("SIGTERM");
    expect(await program.done).toMatchObject({ status: 1, stderr: expect.stringContaining("STAGING_CANCELLED") as string });
    for (const pid of pids) await gone(pid);
    expect(await listTree(workDir)).toEqual([]);
  });
});

test.runIf(process.getuid?.() === 0)("a work folder that another user made first is not used", async () => {
  const workDir = await writeTree(await temporaryFolder(), { "00000000-0000-4000-8000-000000000000.1.1.task": "", "00000000-0000-4000-8000-000000000000/x": "" });
  await chown(workDir, 65_534, 65_534);
  expect(await failing({}, { workDir })).toMatchObject({ code: "STAGING_OPTIONS_INVALID", message: expect.stringContaining("another user") as string });
  expect((await recoverStaging(workDir)).tasks).toEqual([]);
  expect(await readdir(workDir)).toHaveLength(2);
});

describe("output", () => {
  test("of one endless line comes in pieces", async () => {
    const { lines } = await staging({ buildpacks: [await shellBuildpack({ finalize: "head -c 200000 /dev/zero | tr '\\0' x", release })] });
    const pieces = lines.filter(({ text }) => text.startsWith("xx"));
    expect(pieces.reduce((sum, { text }) => sum + text.length, 0)).toBe(200_000);
    expect(Math.max(...pieces.map(({ text }) => text.length))).toBeLessThanOrEqual(16_384);
  });
  test("without end is cut, and the build goes on", async () => {
    const { log } = await staging({ buildpacks: [await shellBuildpack({ finalize: "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 40000000", release })] });
    expect(log.length).toBeLessThan(34 * 1024 * 1024);
    expect(log).toMatch(/too much output, the rest is not shown$/);
  });
  test("to a listener that throws does not end the build", async () => {
    const { droplet } = await staging({ buildpacks: [await shellBuildpack({ finalize: "echo x", release })] }, { onLine: () => { throw new Error("listener"); } });
    expect(droplet.processTypes).toEqual({ web: "w" });
  });
});

test("memory beyond the limit ends the build with a code of its own", async () => {
  const hog = `exec "${process.execPath}" -e 'const all = []; setInterval(() => all.push(Buffer.alloc(20e6, 1)), 20)'`;
  const error = await failing({ memoryBytes: 300 * 1024 * 1024, buildpacks: [await shellBuildpack({ finalize: hog, release })] }, { enforceMemory: true, timeoutMs: 15_000 });
  expect(error).toMatchObject({ code: "STAGING_MEMORY_EXCEEDED", id: "InsufficientResources" });
});

test.runIf(process.getuid?.() === 0)("as another user the scripts can do their work and no more", async () => {
  const runAs = { uid: 65_534, gid: 65_534 };
  const secret = await folderWith({ secret: ["secret", 0o600] });
  const supplier = await shellBuildpack({ supply: `id -u; echo x > "$3/$4/x"; echo y > "$2/y"; touch "$TMPDIR/t" "$HOME/h" "$1/a"; ln -s "${secret}/secret" "$3/$4/env" ; mkdir "$3/$4/profile.d"` });
  const last = await shellBuildpack({ supply: `cat "${secret}/secret"; touch "$3/../../planted"`, finalize: `mkdir "$3/$4/d"; echo "$SECRET"`, release });
  // Folders of other users below a temporary folder that only root may enter would be an answer to another question.
  const app = await folderWith({ a: ["a", 0o600], "d/b": "b" });
  const error = await failing({ app, buildpacks: [supplier, last] }, { runAs }).catch((unexpected: unknown) => unexpected);
  expect(error).toMatchObject({ code: "STAGING_FINAL_SUPPLY_FAILED" });
  const { log } = await staging({ app, cache: join(await temporaryFolder(), "c"), buildpacks: [supplier, await shellBuildpack({ finalize: `id -u; touch "$1/new" "$3/$4/z" "$5/p.sh"`, release })] }, { runAs });
  expect(log.match(/^65534$/gm)).toHaveLength(2);
});

describe("run", () => {
  const options = { args: [], env: { PATH: "/usr/bin:/bin" }, cwd: "/", signal: new AbortController().signal, onLine: () => {} };
  test.each([["/no/such/program", 127], ["/etc/passwd", 126]])("%s gives %i as a shell does", async (file, exit) => {
    expect((await run(file, options)).exit).toBe(exit);
  });
  test("captures at most so many bytes", async () => {
    expect(await run("sh", { ...options, args: ["-c", "echo 0123456789"], capture: true, captureBytes: 4 })).toMatchObject({ stdout: "0123", truncated: true, exit: 0 });
  });
  test("killing the processes of nobody is quiet", async () => expect(await killTaskProcesses("no-such-task")).toBe(0));
});
