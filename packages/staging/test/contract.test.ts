import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { StagingErrorCode, StagingErrorId } from "../src/errors.ts";
import { folderWith, readDroplet, shellBuildpack } from "./fixtures/folders.ts";
import { failing, staging } from "./fixtures/stage.ts";

const release = `echo 'default_process_types: {web: ./run}'`;
const ok = { finalize: ":", release };
const entry = (name: string, path: string): { name: string; path: string } => ({ name, path });

describe("detection", () => {
  test("asks in order, stops at the first that matches, reports what it printed without line ends", async () => {
    const catalog = [
      entry("no", await shellBuildpack({ detect: "echo never; exit 1", ...ok })),
      entry("yes", await shellBuildpack({ detect: `[ -f "$1/index.txt" ] && printf 'The One 1.2\\r\\n\\n'`, supply: `echo "asked $*"`, ...ok })),
      entry("late", await shellBuildpack({ detect: "echo late >&2; exit 0", ...ok })),
    ];
    const { droplet, log } = await staging({}, { catalog });
    expect(droplet.detectedBuildpack).toBe("The One 1.2");
    expect(droplet.buildpacks).toEqual([{ key: "yes", label: "yes", name: "The One 1.2", detectOutput: "The One 1.2" }]);
    expect(log).not.toContain("late");
    expect(log).toContain("asked ");
  });
  test("nothing detected", async () => {
    const error = await failing({}, { catalog: [entry("a", await shellBuildpack({ detect: "exit 1" })), entry("b", await shellBuildpack({ detect: "exit 2" }))] });
    expect(error).toMatchObject({ code: "STAGING_NOTHING_DETECTED", id: "NoAppDetectedError", builderExit: 222, failure: { phase: "detect" } });
    expect(error.message).toContain("a, b");
  });
  test("a missing, a non-executable and an unrunnable bin/detect do not match", async () => {
    const plain = await shellBuildpack({ detect: "exit 0" });
    await chmod(join(plain, "bin/detect"), 0o644);
    const unrunnable = await shellBuildpack({ detect: "" });
    await writeFile(join(unrunnable, "bin/detect"), "#!/no/such/interpreter\n");
    const catalog = [entry("none", await shellBuildpack(ok)), entry("plain", plain), entry("unrunnable", unrunnable), entry("good", await shellBuildpack({ detect: "echo good", ...ok }))];
    const { droplet, log } = await staging({}, { catalog });
    expect(droplet.detectedBuildpack).toBe("good");
    expect(log).toMatch(/none has no bin\/detect and is skipped/);
    expect(log).toMatch(/plain is not executable.*chmod/);
  });
  test("disabled ones and those for another stack are not asked; of two with one name the stack's own is", async () => {
    const shout = (text: string) => shellBuildpack({ detect: `echo ${text}`, ...ok });
    const catalog = [
      { ...entry("off", await shout("off")), enabled: false },
      { ...entry("other", await shout("other")), stack: "windows" },
      { ...entry("same", await shout("any")), stack: null },
      { ...entry("same", await shout("own")), stack: "cflinuxfs4" },
    ];
    expect((await staging({}, { catalog })).droplet.detectedBuildpack).toBe("own");
    expect(await failing({ buildpacks: ["off"] }, { catalog })).toMatchObject({ code: "STAGING_BUILDPACK_NOT_ALLOWED", message: expect.stringContaining("disabled") as string });
    expect(await failing({ buildpacks: ["other"] }, { catalog })).toMatchObject({ code: "STAGING_STACK_UNSUPPORTED", message: expect.stringContaining("windows") as string });
  });
  test("a manifest that names another stack is respected", async () => {
    const buildpack = await shellBuildpack({ detect: "", ...ok }, { "manifest.yml": "language: x\nstack: cflinuxfs9\n" });
    expect(await failing({ buildpacks: [buildpack] })).toMatchObject({ code: "STAGING_STACK_UNSUPPORTED" });
    expect(await failing({}, { catalog: [entry("x", buildpack)] })).toMatchObject({ code: "STAGING_NOTHING_DETECTED" });
    expect((await staging({ buildpacks: [buildpack], stack: "cflinuxfs9" })).droplet.stack).toBe("cflinuxfs9");
  });
  test("a named buildpack is not asked", async () => {
    const { droplet } = await staging({ buildpacks: ["x"] }, { catalog: [entry("x", await shellBuildpack({ detect: "exit 1", ...ok }))] });
    expect(droplet.processTypes).toEqual({ web: "./run" });
    expect(droplet.detectedBuildpack).toBe("");
  });
});

describe("scripts", () => {
  const show = (name: string): string => `echo "${name} $# $*"`;

  test("get exactly the arguments of the contract", async () => {
    const first = await shellBuildpack({ supply: show("supply1") });
    const last = await shellBuildpack({ supply: show("supply2"), finalize: show("finalize"), release: `${show("release")} >&2; ${release}` });
    const { log } = await staging({ buildpacks: [first, last] });
    const [, build, cache1, deps] = /supply1 4 (\S+) (\S+) (\S+) 0$/m.exec(log) ?? [];
    const [, cache2] = /supply2 4 \S+ (\S+) \S+ 1$/m.exec(log) ?? [];
    expect(log).toContain(`finalize 5 ${build} ${cache2} ${deps} 1 ${deps?.replace(/deps$/, "profile.d")}\n`);
    expect(log).toContain(`release 1 ${build}\n`);
    expect(cache1).not.toBe(cache2);
    expect(build?.replace(/app$/, "deps")).toBe(deps);
  });
  test("compile gets BUILD and CACHE, detect gets BUILD", async () => {
    const { log } = await staging({}, { catalog: [entry("old", await shellBuildpack({ detect: `${show("detect")} >&2; echo old`, compile: show("compile"), release }))] });
    expect(log).toMatch(/^detect 1 \S+\/app$/m);
    expect(log).toMatch(/^compile 2 \S+\/app \S+\/cache\/[0-9a-f]{16}$/m);
  });
  test("stdout is OUT, stderr is ERR, in their order; detect and release stdout are not logged", async () => {
    const buildpack = await shellBuildpack({ detect: "echo label", finalize: "echo one; echo two; echo three >&2", release });
    const { lines } = await staging({}, { catalog: [entry("x", buildpack)] });
    expect(lines.filter(({ buildpack: name }) => name === "x")).toEqual([
      { text: "one", stream: "out", buildpack: "x" }, { text: "two", stream: "out", buildpack: "x" }, { text: "three", stream: "err", buildpack: "x" },
    ].sort((a, b) => lines.findIndex(({ text }) => text === a.text) - lines.findIndex(({ text }) => text === b.text)));
    expect(lines.findIndex(({ text }) => text === "one")).toBeLessThan(lines.findIndex(({ text }) => text === "two"));
  });
  test("what the first supplies the last can see: bin, lib, include, pkgconfig, env", async () => {
    const first = await shellBuildpack({
      supply: `cd "$3/$4"; mkdir bin lib include pkgconfig env; printf '#!/bin/sh\necho from the tool' > bin/tool; chmod +x bin/tool; printf 'two words\n' > env/GIVEN; printf bad > env/CF_STACK`,
    });
    const last = await shellBuildpack({ finalize: `tool; echo "[$GIVEN]"; echo "$LD_LIBRARY_PATH|$LIBRARY_PATH|$CPATH|$PKG_CONFIG_PATH|$CF_STACK"`, release });
    const { log } = await staging({ buildpacks: [first, last] });
    expect(log).toContain("from the tool");
    expect(log).toContain("[two words\n]");
    expect(log).toMatch(/deps\/0\/lib\|\S+deps\/0\/lib\|\S+deps\/0\/include\|\S+deps\/0\/pkgconfig\|cflinuxfs4$/m);
  });
  test("a link in env does not show a file from elsewhere", async () => {
    const first = await shellBuildpack({ supply: `mkdir "$3/$4/env"; ln -s /etc/passwd "$3/$4/env/LEAK"` });
    const { log } = await staging({ buildpacks: [first, await shellBuildpack({ finalize: `echo "[$LEAK]"`, release })] });
    expect(log).toContain("[]");
  });
  test.each([[3, ["0", "1", "2"]], [9, ["0", "8"]], [10, ["00", "09"]], [11, ["00", "10"]]])("%i buildpacks are numbered %j", async (count, expected) => {
    const supply = await shellBuildpack({ supply: `echo "index $4"`, finalize: `cat "$3/$4/launch.yml" 2>/dev/null; printf 'processes: [{type: web, command: from-launch}]' > "$3/$4/launch.yml"` });
    const { log, droplet } = await staging({ buildpacks: Array.from({ length: count }, () => supply) });
    for (const index of expected) expect(log).toContain(`index ${index}\n`);
    expect(log.match(/^index /gm)).toHaveLength(count);
    // The original looks for an unpadded name here and misses it.
    expect(droplet.processTypes).toEqual({ web: "from-launch" });
  });
  test("later supplies come first in PATH", async () => {
    const supplier = (word: string) => shellBuildpack({ supply: `mkdir "$3/$4/bin"; printf '#!/bin/sh\necho ${word}' > "$3/$4/bin/word"; chmod +x "$3/$4/bin/word"` });
    const { log } = await staging({ buildpacks: [await supplier("first"), await supplier("second"), await shellBuildpack({ finalize: `echo "says $(word)"`, release })] });
    expect(log).toContain("says second");
  });
  test("an old buildpack that only compiles may come last, with a warning and no folder of its own", async () => {
    const first = await shellBuildpack({ supply: `echo kept > "$3/$4/file"` });
    const last = await shellBuildpack({ compile: `echo "word on path: $(command -v word)"; touch "$1/compiled"`, release });
    const { log, droplet } = await staging({ buildpacks: [first, last] });
    expect(log).toMatch(/\*\*WARNING\*\*.*cannot see what the buildpacks before it supplied/);
    const names = [...(await readDroplet(droplet.path)).keys()];
    expect(names).toEqual(expect.arrayContaining(["./app/compiled", "./deps/0/file"]));
    expect(names).not.toContain("./deps/1/");
  });
  test("finalize without supply", async () => {
    expect((await staging({ buildpacks: [await shellBuildpack({ finalize: "echo fin", release })] })).log).toContain("fin");
  });
  test("finalize counts more than compile", async () => {
    const { log } = await staging({ buildpacks: [await shellBuildpack({ finalize: "echo new", compile: "echo old", release })] });
    expect(log).toContain("new");
    expect(log).not.toMatch(/^old$/m);
  });
  test("a script without interpreter line runs, as in a shell", async () => {
    const buildpack = await shellBuildpack(ok);
    await writeFile(join(buildpack, "bin/finalize"), "echo no shebang\n");
    expect((await staging({ buildpacks: [buildpack] })).log).toContain("no shebang");
  });
});

interface Failure {
  readonly title: string;
  readonly buildpacks: readonly Readonly<Record<string, string>>[];
  readonly code: StagingErrorCode;
  readonly id: StagingErrorId;
  readonly exit: number;
  readonly status?: number | string;
  readonly says?: RegExp;
}

const failures: readonly Failure[] = [
  { title: "supply of the first is missing", buildpacks: [{ finalize: ":" }, ok], code: "STAGING_SUPPLY_MISSING", id: "StagingError", exit: 225, says: /only come last/ },
  { title: "supply of the first fails", buildpacks: [{ supply: "echo too bad >&2; exit 14" }, ok], code: "STAGING_SUPPLY_FAILED", id: "StagingError", exit: 225, status: 14, says: /too bad/ },
  { title: "supply of the last fails", buildpacks: [{ supply: "exit 9", ...ok }], code: "STAGING_FINAL_SUPPLY_FAILED", id: "BuildpackCompileFailed", exit: 223, status: 9 },
  { title: "finalize fails", buildpacks: [{ finalize: "echo why >&2; exit 3", release }], code: "STAGING_FINALIZE_FAILED", id: "BuildpackCompileFailed", exit: 223, status: 3, says: /why/ },
  { title: "compile fails", buildpacks: [{ compile: "exit 1", release }], code: "STAGING_COMPILE_FAILED", id: "BuildpackCompileFailed", exit: 223, status: 1 },
  { title: "compile kills itself", buildpacks: [{ compile: "kill -TERM $$; sleep 5", release }], code: "STAGING_COMPILE_FAILED", id: "BuildpackCompileFailed", exit: 223, status: "SIGTERM" },
  { title: "neither finalize nor compile", buildpacks: [{ release }], code: "STAGING_COMPILE_FAILED", id: "BuildpackCompileFailed", exit: 223 },
  { title: "release fails", buildpacks: [{ finalize: ":", release: "exit 7" }], code: "STAGING_RELEASE_FAILED", id: "BuildpackReleaseFailed", exit: 224, status: 7 },
  { title: "release is missing", buildpacks: [{ finalize: ":" }], code: "STAGING_RELEASE_FAILED", id: "BuildpackReleaseFailed", exit: 224 },
  { title: "release prints nonsense", buildpacks: [{ finalize: ":", release: "echo 'a: b: c'" }], code: "STAGING_RELEASE_INVALID", id: "BuildpackReleaseFailed", exit: 224 },
  { title: "release prints a list", buildpacks: [{ finalize: ":", release: "echo '- a'" }], code: "STAGING_RELEASE_INVALID", id: "BuildpackReleaseFailed", exit: 224 },
  { title: "release never stops printing", buildpacks: [{ finalize: ":", release: "yes | head -c 3000000" }], code: "STAGING_RELEASE_INVALID", id: "BuildpackReleaseFailed", exit: 224, says: /1 MiB/ },
];

test.each(failures)("$title: $code", async ({ buildpacks, code, id, exit, status, says }) => {
  const paths = [];
  for (const scripts of buildpacks) paths.push(await shellBuildpack(scripts));
  const error = await failing({ buildpacks: paths });
  expect(error).toMatchObject({ name: "StagingError", code, id, builderExit: exit });
  if (status !== undefined) expect(error.failure).toMatchObject({ exit: status, buildpack: paths[0] });
  if (says) expect(error.message).toMatch(says);
});

test("a failure carries the last twenty lines of the script", async () => {
  const error = await failing({ buildpacks: [await shellBuildpack({ compile: "for i in $(seq 1 50); do echo line $i; done; exit 1", release })] });
  expect(error.failure?.tail).toHaveLength(20);
  expect(error.failure?.tail?.at(-1)).toBe("line 50");
});

describe("what is to be started", () => {
  const web = async (scripts: Record<string, string>, app: Record<string, string> = {}) => (await staging({ app: await folderWith({ "x": "x", ...app }), buildpacks: [await shellBuildpack(scripts)] })).droplet;

  test("release with other keys", async () => {
    const droplet = await web({ finalize: ":", release: `printf -- '---\nconfig_vars: {A: b}\naddons: []\ndefault_process_types:\n  web: node x.js --n 1\n  job: true\n'` });
    expect(droplet.processTypes).toEqual({ web: "node x.js --n 1", job: "true" });
  });
  test("launch.yml counts instead of release, with sidecars", async () => {
    const launch = `cat > "$3/$4/launch.yml" <<'END'
processes:
- {type: web, command: run web}
- {type: config, command: ./config, limits: {memory: 64}, platforms: {cloudfoundry: {sidecar_for: [web, worker]}}}
- {type: worker, command: run worker, platforms: {cloudfoundry: {sidecar_for: []}}}
END`;
    const droplet = await web({ finalize: launch, release: "exit 1" });
    expect(droplet.processTypes).toEqual({ web: "run web", worker: "run worker" });
    expect(droplet.sidecars).toEqual([{ name: "config", command: "./config", processTypes: ["web", "worker"], memoryMb: 64 }]);
  });
  test("launch.yml after detection among several", async () => {
    const catalog = [entry("a", await shellBuildpack({ detect: "exit 1" })), entry("b", await shellBuildpack({ detect: "exit 1" })), entry("c", await shellBuildpack({ detect: "", finalize: `printf 'processes: [{type: web, command: c}]' > "$3/$4/launch.yml"` }))];
    expect((await staging({}, { catalog })).droplet.processTypes).toEqual({ web: "c" });
  });
  test("launch.yml of several: later replaces earlier, Procfile last of all", async () => {
    const write = (text: string): string => `printf '${text}' > "$3/$4/launch.yml"`;
    const first = await shellBuildpack({ supply: write("processes: [{type: web, command: one}, {type: a, command: one}, {type: side, command: s, platforms: {cloudfoundry: {sidecar_for: [web]}}}]") });
    const last = await shellBuildpack({ finalize: write("processes: [{type: web, command: two}, {type: b, command: two}]") });
    const { droplet } = await staging({ app: await folderWith({ Procfile: "b: three\nside: four\n" }), buildpacks: [first, last] });
    expect(droplet.processTypes).toEqual({ web: "two", a: "one", b: "three", side: "four" });
    expect(droplet.sidecars).toEqual([]);
  });
  test("a Procfile that compile makes, replacing one type only", async () => {
    const droplet = await web({ compile: `echo 'worker: ./work' > "$1/Procfile"`, release: `echo 'default_process_types: {web: w, worker: old}'` });
    expect(droplet.processTypes).toEqual({ web: "w", worker: "./work" });
  });
  test.each([["- a\n- b", /type: command/], ["web: {a: b}", /web/], ["web:\n", /web/], ["web: 'x", /YAML/], ["web: a\nweb: b", /YAML/]])("the malformed Procfile %j is named", async (text, says) => {
    const error = await failing({ app: await folderWith({ Procfile: text }), buildpacks: [await shellBuildpack(ok)] });
    expect(error).toMatchObject({ code: "STAGING_PROCFILE_INVALID", id: "StagingError", builderExit: 1 });
    expect(error.message).toMatch(/^Procfile /);
    expect(error.message).toMatch(says);
  });
  test("a Procfile linked to a file outside of the app tells nothing of it", async () => {
    const error = await failing({ buildpacks: [await shellBuildpack({ compile: `ln -s /etc/passwd "$1/Procfile"`, release })] });
    expect(error).toMatchObject({ code: "STAGING_PROCFILE_INVALID" });
    expect(error.message).not.toContain("root");
  });
  test.each([["processes: {}", /list/], ["- a", /map/], ["processes: [{type: web}]", /command/], ["processes: [{type: s, command: c, limits: {memory: lots}, platforms: {cloudfoundry: {sidecar_for: [web]}}}]", /memory/]])("the malformed launch.yml %j is named", async (text, says) => {
    const error = await failing({ buildpacks: [await shellBuildpack({ finalize: `printf '%s' '${text}' > "$3/$4/launch.yml"` })] });
    expect(error).toMatchObject({ code: "STAGING_LAUNCH_INVALID" });
    expect(error.message).toMatch(says);
  });
  test("nothing to start fails and says what to do; with a command of the app's own it is fine", async () => {
    const buildpack = await shellBuildpack({ finalize: ":", release: "echo '--- {}'" });
    const error = await failing({ buildpacks: [buildpack] });
    expect(error).toMatchObject({ code: "STAGING_NO_START_COMMAND", id: "StagingError" });
    expect(error.message).toContain("Procfile");
    expect((await staging({ buildpacks: [buildpack], command: "./mine" })).droplet.processTypes).toEqual({});
    expect((await staging({ buildpacks: [buildpack], requireStartCommand: false })).log).toMatch(/no start command for web/);
  });
  test("a worker alone is staged, with two warnings", async () => {
    const { log, droplet } = await staging({ app: await folderWith({ Procfile: "worker: w" }), buildpacks: [await shellBuildpack({ finalize: ":", release: "echo '{}'" })] });
    expect(droplet.processTypes).toEqual({ worker: "w" });
    expect(log.match(/\*\*WARNING\*\*/g)).toHaveLength(2);
  });
  test("a sidecar must not have the name of one of the app's own", async () => {
    const buildpack = await shellBuildpack({ finalize: `printf 'processes: [{type: web, command: w}, {type: helper, command: h, platforms: {cloudfoundry: {sidecar_for: [web]}}}]' > "$3/$4/launch.yml"` });
    expect(await failing({ buildpacks: [buildpack], userSidecars: ["helper"] })).toMatchObject({ code: "STAGING_SIDECAR_CLASH", message: expect.stringContaining("helper") as string });
    expect((await staging({ buildpacks: [buildpack], userSidecars: ["other"] })).droplet.sidecars).toHaveLength(1);
  });
  test("name and version from config.yml, the entrypoint in staging_info", async () => {
    const config = `printf 'name: ruby\nversion: 1.10\nconfig:\n  entrypoint_prefix: tini --\n' > "$3/$4/config.yml"`;
    const droplet = await web({ supply: config, finalize: ":", release });
    expect(droplet.buildpacks[0]).toMatchObject({ name: "ruby", version: "1.10" });
    expect(droplet.detectedBuildpack).toBe("ruby");
    const info = JSON.parse((await readDroplet(droplet.path)).get("./staging_info.yml")?.text ?? "") as object;
    expect(info).toEqual({ detected_buildpack: "ruby", start_command: "./run", effective_procfile: { web: "./run" }, config: { entrypoint_prefix: "tini --" } });
  });
});
