import fc from "fast-check";
import { execFileSync } from "node:child_process";
import { copyFile, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { unpackTar } from "../src/droplet/unpack-tar.ts";
import { packFolder } from "../src/droplet/pack.ts";
import { folderWith, listTree, readDroplet, sha256, shellBuildpack, temporaryFolder } from "./fixtures/folders.ts";
import { failing, staging } from "./fixtures/stage.ts";
import { zipOf } from "./fixtures/zip.ts";

const signal = new AbortController().signal;
const release = "echo 'default_process_types: {web: ./run}'";

describe("a droplet", () => {
  test("has the layout that clients look for, names with ./ in front, one owner, one time", async () => {
    const { droplet } = await staging({ buildpacks: [await shellBuildpack({ finalize: `echo 'export A=1' > "$5/x.sh"`, release })] });
    const entries = await readDroplet(droplet.path);
    expect([...entries.keys()]).toEqual(["./", "./app/", "./app/index.txt", "./deps/", "./deps/0/", "./logs/", "./profile.d/", "./profile.d/x.sh", "./staging_info.yml", "./tmp/"]);
    for (const { header } of entries.values()) expect([header.uid, header.gid, header.mtime?.toISOString()]).toEqual([2000, 2000, "1980-01-01T00:00:00.000Z"]);
    expect(entries.get("./logs/")?.header.mode).toBe(0o755);
    expect(execFileSync("tar", ["-tzf", droplet.path], { encoding: "utf8" })).toContain("./app/index.txt");
  });
  test("tells its own size and checksums", async () => {
    const { droplet } = await staging({ buildpacks: [await shellBuildpack({ finalize: ":", release })] });
    const bytes = await readFile(droplet.path);
    expect(droplet).toMatchObject({ digest: await sha256(droplet.path), sha1: createHash("sha1").update(bytes).digest("hex"), sizeBytes: bytes.length });
    expect(bytes.readUInt32LE(4)).toBe(0);
  });
  test("is the same for the same input, whatever the time, the order on disk, the umask, the way it came", async () => {
    const files = { "b.txt": "b", "a/z.txt": "z", "a/y.sh": ["#!/bin/sh", 0o755] as const, "a.txt": "a" };
    const one = await folderWith(files);
    const other = await folderWith(Object.fromEntries(Object.entries(files).reverse()));
    await utimes(join(other, "b.txt"), 1, 1);
    const zip = await zipOf([{ name: "a.txt", data: "a" }, { name: "a/y.sh", data: "#!/bin/sh", mode: 0o100755 }, { name: "a/z.txt", data: "z" }, { name: "b.txt", data: "b" }]);
    const buildpacks = [await shellBuildpack({ finalize: `mkdir "$1/made"; echo x > "$1/made/x"; ln -s "$3/$4" "$1/dependencies"`, release })];
    const digests = new Set<string>();
    for (const app of [one, other, zip]) digests.add((await staging({ app, buildpacks })).droplet.digest);
    const before = process.umask(0o077);
    try {
      digests.add((await staging({ app: one, buildpacks })).droplet.digest);
    } catch (error) {
      // Worker threads may not change the umask; then the other three speak for it.
      if ((error as NodeJS.ErrnoException).code !== "ERR_WORKER_UNSUPPORTED_OPERATION") throw error;
    } finally {
      process.umask(before);
    }
    expect(digests.size).toBe(1);
  });
  test("differs when content, a mode or a link differs", async () => {
    const digests = new Set<string>();
    for (const files of [{ a: "1" }, { a: "2" }, { a: ["1", 0o755] as const }]) digests.add((await packFolder(await folderWith(files), join(await temporaryFolder(), "d"), { signal })).digest);
    expect(digests.size).toBe(3);
  });
  test("keeps modes without set-id bits, links, empty folders and long names", async () => {
    const root = await folderWith({ "run": ["x", 0o750], "empty/": "", [`${"long/".repeat(30)}name-${"x".repeat(120)}`]: "l" });
    execFileSync("chmod", ["4755", join(root, "run")]);
    await symlink("../outside", join(root, "dangling"));
    const entries = await readDroplet((await packFolder(root, join(await temporaryFolder(), "d"), { signal })).path);
    expect(entries.get("./run")?.header.mode).toBe(0o755);
    expect(entries.get("./dangling")?.header).toMatchObject({ type: "symlink", linkname: "../outside" });
    expect(entries.get("./empty/")?.header.type).toBe("directory");
    expect([...entries.keys()].some((name) => name.endsWith("x".repeat(120)))).toBe(true);
  });
  test("has links that work where the app runs: absolute ones into the staging folder become relative, others of it are reported", async () => {
    const { droplet, log } = await staging({
      buildpacks: [await shellBuildpack({ finalize: `echo t > "$3/$4/tool"; ln -s "$3/$4/tool" "$1/tool"; ln -s "$2" "$1/lost"; ln -s /bin/sh "$1/sh"; ln -s "$1" "$1/self"`, release })],
    });
    const entries = await readDroplet(droplet.path);
    expect(entries.get("./app/tool")?.header.linkname).toBe("../deps/0/tool");
    expect(entries.get("./app/self")?.header.linkname).toBe(".");
    expect(entries.get("./app/sh")?.header.linkname).toBe("/bin/sh");
    expect(log).toMatch(/WARNING.*"app\/lost".*only while staging/);
  });
  test("leaves out pipes with a word about it", async () => {
    const { droplet, log } = await staging({ buildpacks: [await shellBuildpack({ finalize: `mkfifo "$1/p"`, release })] });
    expect((await readDroplet(droplet.path)).has("./app/p")).toBe(false);
    expect(log).toMatch(/left out of the droplet: "app\/p"/);
  });
  test("is refused when it is too large, and nothing is left at its place", async () => {
    const root = await folderWith({ big: "x".repeat(100_000) });
    const home = await temporaryFolder();
    await expect(packFolder(root, join(home, "d.tgz"), { signal, maxBytes: 50_000 })).rejects.toMatchObject({ code: "STAGING_DROPLET_TOO_LARGE" });
    expect(await readdir(home)).toEqual([]);
    expect(await failing({ diskBytes: 10, buildpacks: [await shellBuildpack({ finalize: "echo 0123456789 > $1/x", release })] })).toMatchObject({ code: "STAGING_DROPLET_TOO_LARGE" });
  });
  test("replaces an older one only when it is whole", async () => {
    const home = await folderWith({ "d.tgz": "old" });
    await failing({ out: join(home, "d.tgz"), buildpacks: [await shellBuildpack({ finalize: "exit 1" })] });
    expect(await readFile(join(home, "d.tgz"), "utf8")).toBe("old");
    await staging({ out: join(home, "d.tgz"), buildpacks: [await shellBuildpack({ finalize: ":", release })] });
    expect(await readdir(home)).toEqual(["d.tgz"]);
  });
  test("does not follow a staging_info.yml which a buildpack planted", async () => {
    const victim = await folderWith({ file: "untouched" });
    const { droplet } = await staging({ buildpacks: [await shellBuildpack({ finalize: `ln -s "${victim}/file" "$3/../staging_info.yml"`, release })] });
    expect(await readFile(join(victim, "file"), "utf8")).toBe("untouched");
    expect((await readDroplet(droplet.path)).get("./staging_info.yml")?.text).toContain('"start_command":"./run"');
  });
});

test("an archive unpacks to what was packed, byte for byte", async () => {
  const name = fc.stringMatching(/^[a-zA-Zäß☃][\w.äß-]{0,12}$/).filter((text) => text !== "." && text !== "..");
  await fc.assert(fc.asyncProperty(fc.dictionary(name, fc.tuple(fc.string(), fc.constantFrom(0o600, 0o644, 0o755)), { maxKeys: 6 }), async (files) => {
    const root = await folderWith(Object.fromEntries(Object.entries(files).map(([key, value]) => [`d/${key}`, value])));
    const home = await temporaryFolder();
    const { path } = await packFolder(root, join(home, "a.tgz"), { signal });
    await unpackTar(path, join(home, "out"), { signal });
    expect(await listTree(join(home, "out"))).toEqual(await listTree(root));
    for (const [key, [text, mode]] of Object.entries(files)) {
      expect(await readFile(join(home, "out/d", key), "utf8")).toBe(text);
      expect((await stat(join(home, "out/d", key))).mode & 0o777).toBe(mode);
    }
  }), { numRuns: 25 });
});

describe("an archive from elsewhere", () => {
  test("cannot write through a link of its own", async () => {
    const around = await folderWith({ "in/real/": "" });
    await symlink(around, join(around, "in/l"));
    execFileSync("tar", ["-czf", join(around, "evil.tgz"), "-C", join(around, "in"), "l"]);
    await writeFile(join(around, "x"), "x");
    execFileSync("sh", ["-c", `cd ${around} && mkdir -p second/l && echo evil > second/l/x && tar -cf a.tar -C in l && tar -rf a.tar -C second l/x && gzip -c a.tar > evil.tgz`]);
    await expect(unpackTar(join(around, "evil.tgz"), join(around, "out"), { signal, symlinks: "any" })).rejects.toMatchObject({ code: "STAGING_PACKAGE_THROUGH_SYMLINK" });
    expect(await readFile(join(around, "x"), "utf8")).toBe("x");
  });
  test("that is damaged is refused", async () => {
    const home = await folderWith({ "a/b": "x".repeat(100_000) });
    const { path } = await packFolder(home, join(await temporaryFolder(), "a.tgz"), { signal });
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 20));
    await expect(unpackTar(path, join(await temporaryFolder(), "out"), { signal })).rejects.toThrow();
  });
});

describe("the build cache", () => {
  const count = `n=$(cat "$2/n" 2>/dev/null || echo 0); n=$((n + 1)); echo $n > "$2/n"; echo "build number $n"`;

  test("is kept between builds, each buildpack in a folder of its own; others' folders go", async () => {
    const cache = join(await temporaryFolder(), "deep/cache");
    const first = await shellBuildpack({ supply: count, finalize: ":", release });
    const second = await shellBuildpack({ supply: count, finalize: ":", release });
    expect((await staging({ cache, buildpacks: [first] })).log).toContain("build number 1");
    expect((await staging({ cache, buildpacks: [first] })).log).toContain("build number 2");
    expect((await staging({ cache, buildpacks: [first, second] })).log).toMatch(/build number 3\n[^]*build number 1/);
    expect(await readdir(cache)).toHaveLength(2);
    await staging({ cache, buildpacks: [second] });
    expect(await readdir(cache)).toHaveLength(1);
    expect((await staging({ cache, buildpacks: [first] })).log).toContain("build number 1");
  });
  test("is not changed by a failed build", async () => {
    const cache = join(await temporaryFolder(), "cache");
    const buildpack = await shellBuildpack({ supply: count, finalize: `[ ! -f "$1/bad" ]`, release });
    await staging({ cache, buildpacks: [buildpack] });
    await failing({ app: await folderWith({ bad: "" }), cache, buildpacks: [buildpack] });
    expect((await staging({ cache, buildpacks: [buildpack] })).log).toContain("build number 2");
  });
  test("that cannot be read or written never fails a build", async () => {
    const broken = await folderWith({ cache: "a file, not a folder" });
    const { log } = await staging({ cache: join(broken, "cache/below"), buildpacks: [await shellBuildpack({ supply: count, finalize: ":", release })] });
    expect(log).toMatch(/WARNING.*cache could not be (read|kept)/);
    expect(log).toContain("build number 1");
  });
});

test("a droplet that is put into the app's folder is no part of the next one", async () => {
  const app = await folderWith({ a: "a" });
  const job = { app, out: join(app, "d.tgz"), buildpacks: [await shellBuildpack({ finalize: ":", release })] };
  expect((await staging(job)).droplet.digest).toBe((await staging(job)).droplet.digest);
});

test.runIf(process.getuid?.() === 0)("a full disk has a code of its own and leaves nothing behind", async ({ skip }) => {
  const disk = await temporaryFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], { stdio: "ignore" });
  } catch {
    return skip("this host lets nobody mount");
  }
  try {
    const app = await folderWith({ a: "" });
    await writeFile(join(app, "noise"), randomBytes(2_000_000));
    const buildpacks = [await shellBuildpack({ finalize: ":", release })];
    expect(await failing({ app, buildpacks, out: join(disk, "d.tgz") })).toMatchObject({ code: "STAGING_DISK_FULL", id: "InsufficientResources" });
    expect(await readdir(disk)).toEqual([]);
    expect(await failing({ app, buildpacks }, { workDir: join(disk, "work") })).toMatchObject({ code: "STAGING_DISK_FULL" });
    expect(await listTree(disk)).toEqual(["work"]);
  } finally {
    execFileSync("umount", [disk]);
  }
});

test("the app's own folder is left as it was", async () => {
  const app = await folderWith({ "a": "a" });
  await copyFile(join(app, "a"), join(app, "b"));
  await staging({ app, buildpacks: [await shellBuildpack({ finalize: `rm "$1/a"; echo > "$1/c"`, release })] });
  expect(await listTree(app)).toEqual(["a", "b"]);
});
