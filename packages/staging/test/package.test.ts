import fc from "fast-check";
import { existsSync } from "node:fs";
import { lstat, mkdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import type { StagingErrorCode } from "../src/errors.ts";
import { copyFolder } from "../src/package/copy.ts";
import { createIgnore } from "../src/package/ignore.ts";
import { safeName } from "../src/package/names.ts";
import { inspectZip, unpackZip } from "../src/package/unpack.ts";
import type { PackageLimits } from "../src/package/limits.ts";
import { folderWith, listTree, temporaryFolder } from "./fixtures/folders.ts";
import { device, fifo, link, type RawEntry, zipOf } from "./fixtures/zip.ts";

interface Evil {
  readonly title: string;
  readonly entries: readonly RawEntry[];
  readonly code: StagingErrorCode;
  readonly says: RegExp;
  readonly limits?: PackageLimits;
  readonly claimedCount?: number;
}

const evil: readonly Evil[] = [
  { title: "a name with ..", entries: [{ name: "../x", data: "x" }], code: "STAGING_PACKAGE_NAME_PARENT", says: /"\.\.\/x".*inside the folder/ },
  { title: "a .. in the middle", entries: [{ name: "a/../../x", data: "x" }], code: "STAGING_PACKAGE_NAME_PARENT", says: /\.\./ },
  { title: "an absolute name", entries: [{ name: "/etc/x", data: "x" }], code: "STAGING_PACKAGE_NAME_ABSOLUTE", says: /relative/ },
  { title: "a drive letter", entries: [{ name: "C:/x", data: "x" }], code: "STAGING_PACKAGE_NAME_DRIVE", says: /drive/ },
  { title: "a drive letter and backslashes", entries: [{ name: "c:\\x", data: "x" }], code: "STAGING_PACKAGE_NAME_DRIVE", says: /drive/ },
  { title: "a backslash", entries: [{ name: "..\\x", data: "x" }], code: "STAGING_PACKAGE_NAME_BACKSLASH", says: /backslash/ },
  { title: "a NUL", entries: [{ name: "a\0b", data: "x" }], code: "STAGING_PACKAGE_NAME_NUL", says: /NUL/ },
  { title: "a part of 300 bytes", entries: [{ name: "a".repeat(300), data: "x" }], code: "STAGING_PACKAGE_NAME_INVALID", says: /255/ },
  { title: "101 folders deep", entries: [{ name: `${"a/".repeat(100)}x`, data: "x" }], code: "STAGING_PACKAGE_NAME_INVALID", says: /deep/ },
  { title: "a link out of the package", entries: [{ name: "l", data: "../x", mode: link }], code: "STAGING_PACKAGE_SYMLINK_OUTSIDE", says: /"l".*copy of the file/ },
  { title: "an absolute link", entries: [{ name: "l", data: "/etc/passwd", mode: link }], code: "STAGING_PACKAGE_SYMLINK_OUTSIDE", says: /\/etc\/passwd/ },
  { title: "an empty link", entries: [{ name: "l", data: "", mode: link }], code: "STAGING_PACKAGE_SYMLINK_OUTSIDE", says: /"l"/ },
  { title: "a link that leaves by way of another link", entries: [{ name: "d/e/f/up", data: "../../..", mode: link }, { name: "l", data: "d/e/f/up/../x", mode: link }, { name: "d/e/f/file", data: "x" }], code: "STAGING_PACKAGE_SYMLINK_OUTSIDE", says: /"l"/ },
  { title: "a file below a link", entries: [{ name: "l", data: "d", mode: link }, { name: "d/", mode: 0o040755 }, { name: "l/x", data: "x" }], code: "STAGING_PACKAGE_THROUGH_SYMLINK", says: /"l"/ },
  { title: "a file below a link that comes later", entries: [{ name: "l/x", data: "x" }, { name: "l", data: "d", mode: link }], code: "STAGING_PACKAGE_THROUGH_SYMLINK", says: /"l"/ },
  { title: "a file below a file", entries: [{ name: "a", data: "x" }, { name: "a/b", data: "x" }], code: "STAGING_PACKAGE_NAME_CONFLICT", says: /"a" is a file/ },
  { title: "a pipe", entries: [{ name: "p", mode: fifo }], code: "STAGING_PACKAGE_SPECIAL_FILE", says: /pipe/ },
  { title: "a device", entries: [{ name: "d", mode: device }], code: "STAGING_PACKAGE_SPECIAL_FILE", says: /device/ },
  { title: "too many entries", entries: Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` })), code: "STAGING_PACKAGE_TOO_MANY_ENTRIES", says: /10/, limits: { maxEntries: 10 } },
  { title: "too many folders that only names imply", entries: Array.from({ length: 6 }, (_, index) => ({ name: `a${index}/b/c` })), code: "STAGING_PACKAGE_TOO_MANY_ENTRIES", says: /10/, limits: { maxEntries: 10 } },
  { title: "too many bytes", entries: [{ name: "a", data: "x".repeat(600) }, { name: "b", data: "x".repeat(600) }], code: "STAGING_PACKAGE_TOO_LARGE", says: /1000 bytes/, limits: { maxBytes: 1_000 } },
  { title: "a bomb", entries: [{ name: "zero", data: Buffer.alloc(17 * 1024 * 1024) }], code: "STAGING_PACKAGE_RATIO", says: /200 times/ },
  { title: "a small file larger than it claims", entries: [{ name: "a", data: "x".repeat(5_000), claimedSize: 10 }], code: "STAGING_PACKAGE_CORRUPT", says: /"a"/ },
  { title: "a big file larger than it claims", entries: [{ name: "a", data: Buffer.alloc(6 * 1024 * 1024), claimedSize: 5 * 1024 * 1024 }], code: "STAGING_PACKAGE_CORRUPT", says: /"a"/ },
  { title: "a file smaller than it claims", entries: [{ name: "a", data: "x", claimedSize: 10 }], code: "STAGING_PACKAGE_CORRUPT", says: /"a"/ },
  { title: "a wrong checksum", entries: [{ name: "a", data: "hello", claimedCrc: 1 }], code: "STAGING_PACKAGE_CORRUPT", says: /checksum/ },
  { title: "an encrypted file", entries: [{ name: "a", data: "hello", flags: 0x801 }], code: "STAGING_PACKAGE_ENCRYPTED", says: /password/ },
  { title: "an unknown method", entries: [{ name: "a", data: "hello", method: 12 }], code: "STAGING_PACKAGE_METHOD", says: /deflate/ },
  { title: "fewer entries than claimed", entries: [{ name: "a", data: "hello" }], claimedCount: 3, code: "STAGING_PACKAGE_CORRUPT", says: /zip/ },
];

describe.each(evil)("a zip with $title", ({ entries, code, says, limits, claimedCount }) => {
  test("is refused by the unpacker, outside of its folder nothing appears", async () => {
    const around = await temporaryFolder();
    const zip = await zipOf(entries, { ...(claimedCount !== undefined && { claimedCount }) });
    await expect(unpackZip(zip, join(around, "deep/er/app"), limits)).rejects.toMatchObject({ name: "StagingError", code, message: expect.stringMatching(says) as string });
    expect((await listTree(around)).filter((name) => !name.startsWith("deep"))).toEqual([]);
    expect(existsSync("/etc/x")).toBe(false);
  });
  test("is refused at inspection for the same reason", async () => {
    const zip = await zipOf(entries, { ...(claimedCount !== undefined && { claimedCount }) });
    await expect(inspectZip(zip, limits)).rejects.toMatchObject({ code });
  });
});

test("100 000 entries are refused at once", async () => {
  const zip = await zipOf(Array.from({ length: 100_000 }, (_, index) => ({ name: String(index) })));
  const before = performance.now();
  await expect(inspectZip(zip)).rejects.toMatchObject({ code: "STAGING_PACKAGE_TOO_MANY_ENTRIES", message: expect.stringContaining("100000") as string });
  expect(performance.now() - before).toBeLessThan(2_000);
});

test("what is no zip says so", async () => {
  const folder = await folderWith({ "a.zip": "hello" });
  await expect(inspectZip(join(folder, "a.zip"))).rejects.toMatchObject({ code: "STAGING_PACKAGE_CORRUPT" });
  await expect(inspectZip(join(folder, "b.zip"))).rejects.toMatchObject({ code: "STAGING_PACKAGE_NOT_FOUND" });
});

test("a good zip comes out whole: bytes, masked modes, links, empty folders", async () => {
  const big = Buffer.from(Array.from({ length: 5 * 1024 * 1024 }, (_, index) => (index * 7919) & 0xff));
  const zip = await zipOf([
    { name: "./bin/run", data: "#!/bin/sh\n", mode: 0o104777 },
    { name: "secret", data: "s", mode: 0o100000 },
    { name: "fat.txt", data: "f", madeBy: 0, mode: 0 },
    { name: "empty/", mode: 0o040000 },
    { name: "implied/by/name.txt", data: "n" },
    { name: "big", data: big },
    { name: "link", data: "implied/by", mode: link },
    { name: "implied/by/back", data: "../../bin/run", mode: link },
    { name: "loop", data: "loop", mode: link },
    { name: "none", data: "" },
    { name: "twice", data: "first" },
    { name: "twice", data: "second" },
    { name: "grüße/☃.txt", data: "unicode" },
  ]);
  const to = join(await temporaryFolder(), "app");
  const summary = await unpackZip(zip, to);
  expect(summary).toMatchObject({ files: 8, symlinks: 3, directories: 1 });
  const mode = async (name: string): Promise<number> => (await lstat(join(to, name))).mode & 0o7777;
  expect(await mode("bin/run")).toBe(0o777);
  expect(await mode("secret")).toBe(0o600);
  expect(await mode("fat.txt")).toBe(0o644);
  expect(await mode("empty")).toBe(0o700);
  expect(await mode("implied")).toBe(0o755);
  expect(big.equals(await readFile(join(to, "big")))).toBe(true);
  expect(await readlink(join(to, "link"))).toBe("implied/by");
  expect(await readFile(join(to, "link/name.txt"), "utf8")).toBe("n");
  expect(await readFile(join(to, "twice"), "utf8")).toBe("second");
  expect(await readFile(join(to, "grüße/☃.txt"), "utf8")).toBe("unicode");
  expect((await inspectZip(zip)).entries.map(({ name }) => name)).toContain("grüße/☃.txt");
});

test("a zip made by a usual tool works too", async () => {
  const folder = await folderWith({ "app/index.js": "x".repeat(5_000), "app/lib/a.js": "a" });
  try {
    execFileSync("zip", ["-q", "-r", "../a.zip", "."], { cwd: join(folder, "app") });
  } catch {
    return; // no zip program here
  }
  await unpackZip(join(folder, "a.zip"), join(folder, "out"));
  expect(await readFile(join(folder, "out/index.js"), "utf8")).toHaveLength(5_000);
});

test("only an empty folder is unpacked into: an old link must not lead a new file astray", async () => {
  const around = await temporaryFolder();
  await mkdir(join(around, "app"));
  await symlink(around, join(around, "app/l"));
  await expect(unpackZip(await zipOf([{ name: "l/x", data: "x" }]), join(around, "app"))).rejects.toMatchObject({ code: "STAGING_OPTIONS_INVALID" });
  expect(existsSync(join(around, "x"))).toBe(false);
});

test.each([["any", "/etc/hosts", undefined], ["refuse", "a", "STAGING_PACKAGE_SYMLINK_OUTSIDE"], ["inside", "a", undefined]] as const)("links with the policy %s to %s", async (symlinks, data, code) => {
  const zip = await zipOf([{ name: "a", data: "a" }, { name: "l", data, mode: link }]);
  const unpacked = unpackZip(zip, join(await temporaryFolder(), "app"), { symlinks });
  await (code ? expect(unpacked).rejects.toMatchObject({ code }) : expect(unpacked).resolves.toMatchObject({ symlinks: 1 }));
});

test("an abort ends unpacking with its reason", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await expect(unpackZip(await zipOf([{ name: "a", data: "a" }]), join(await temporaryFolder(), "app"), { signal: stop.signal })).rejects.toThrow("enough");
});

test("a safe name never leaves its folder, and is its own safe name", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.array(fc.constantFrom("..", ".", "", "a", "b c", "C:", "\\", "\0", "/"), { maxLength: 8 }).map((parts) => parts.join("/"))), (name) => {
    let safe;
    try {
      safe = safeName(name);
    } catch (error) {
      expect((error as { code: string }).code).toMatch(/^STAGING_PACKAGE_NAME_/);
      return;
    }
    expect(safe).not.toMatch(/^\/|\/$|\/\/|\\|\0/);
    expect(safe.split("/")).not.toContain("..");
    expect(safeName(safe)).toBe(safe);
  }));
});

test("whatever a zip says, nothing is written outside and every link that is kept stays inside", async () => {
  const name = fc.array(fc.constantFrom("a", "b", "c", ".."), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
  const entry = fc.record({ name, data: name, mode: fc.constantFrom(0o100644, link, link, 0o040755) });
  const around = await temporaryFolder();
  await writeFile(join(around, "guard"), "untouched");
  let run = 0;
  await fc.assert(fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 8 }), async (entries) => {
    const home = join(around, `run${run++}`);
    await mkdir(home);
    const app = join(home, "x/app");
    try {
      await unpackZip(await zipOf(entries), app);
    } catch (error) {
      expect((error as { name: string }).name).toBe("StagingError");
    }
    expect((await listTree(home)).filter((path) => !(path === "x" || path.startsWith("x/app")))).toEqual([]);
    for (const path of existsSync(app) ? await listTree(app) : []) {
      const real = await stat(join(app, path)).then(() => execFileSync("realpath", [join(app, path)], { encoding: "utf8" }).trim(), () => app);
      expect(real === app || real.startsWith(`${app}/`)).toBe(true);
    }
  }), { numRuns: 60 });
  expect(await readFile(join(around, "guard"), "utf8")).toBe("untouched");
});

describe("a folder", () => {
  test("is copied under the same rules, without what cf push leaves out", async () => {
    const from = await folderWith({
      "index.js": "x", ".cfignore": "*.log\n/tmp/\n!keep.log\nsecrets/**\n!secrets/public.txt\n", "a.log": "", "keep.log": "k", "tmp/x": "", "lib/tmp/x": "", ".git/config": "", "sub/.git/config": "",
      "manifest.yml": "", "sub/manifest.yml": "m", "secrets/a": "", "secrets/public.txt": "p", ".DS_Store": "", "empty/": "", "run.sh": ["#!", 0o755],
    });
    await symlink("index.js", join(from, "link"));
    const to = join(await temporaryFolder(), "app");
    await copyFolder(from, to);
    expect(await listTree(to)).toEqual(["empty", "index.js", "keep.log", "lib", "lib/tmp", "lib/tmp/x", "link", "run.sh", "secrets", "secrets/public.txt", "sub", "sub/manifest.yml"]);
    expect((await stat(join(to, "run.sh"))).mode & 0o777).toBe(0o755);
  });
  test.each([
    ["a link out of it", async (root: string) => symlink("/etc/passwd", join(root, "l")), "STAGING_PACKAGE_SYMLINK_OUTSIDE"],
    ["a pipe", async (root: string) => void execFileSync("mkfifo", [join(root, "p")]), "STAGING_PACKAGE_SPECIAL_FILE"],
  ])("with %s is refused", async (_, spoil, code) => {
    const from = await folderWith({ "a.txt": "a" });
    await spoil(from);
    await expect(copyFolder(from, join(await temporaryFolder(), "app"))).rejects.toMatchObject({ code });
  });
});

test.each([
  ["*.log", "a.log", true], ["*.log", "d/a.log", true], ["*.log", "a.logs", false], ["/x", "x", true], ["/x", "d/x", false], ["d/x", "d/x", true], ["d/x", "e/d/x", false],
  ["d/", "d", false], ["d/", "d/x", true], ["**/x", "a/b/x", true], ["a/**/x", "a/x", true], ["a/**/x", "a/b/c/x", true], ["a/**", "a/b", true], ["a/**", "a", false], ["fo?", "foo", true], ["f[ao]o", "fao", true],
  ["f[!ao]o", "fao", false], ["# note", "# note", false], ["\\#x", "#x", true], ["node_modules", "node_modules/a/b.js", true], ["x ", "x", true], ["(a+)+$", "(a+)+$", true],
])("the pattern %j on %j: %j", (pattern, name, ignored) => {
  expect(createIgnore(pattern)(name, false)).toBe(ignored);
});
