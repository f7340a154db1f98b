import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { entryPath } from "../src/droplet/unpack.ts";
import { unpack } from "../src/index.ts";
import { type TarEntry, temporaryFolder, writeTar } from "./fixtures/droplet.ts";

async function unpacked(entries: readonly TarEntry[], options = {}): Promise<{ error: { code: string; message: string } | undefined; folder: string; outside: string } & AsyncDisposable> {
  const temporary = await temporaryFolder();
  const archive = await writeTar(join(temporary.path, "a.tgz"), entries);
  const folder = join(temporary.path, "in", "home");
  const outside = join(temporary.path, "outside");
  await mkdir(folder, { recursive: true });
  await mkdir(outside);
  await writeFile(join(outside, "victim"), "untouched");
  const error = await unpack(archive, folder, options).then(() => undefined, (thrown: { code: string; message: string }) => thrown);
  return { error, folder, outside, [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose]() };
}

describe("evil archives", () => {
  test.each([
    ["absolute name", [{ name: "/tmp/evil", body: "x" }]],
    ["dot dot", [{ name: "../evil", body: "x" }]],
    ["dot dot inside", [{ name: "app/../../evil", body: "x" }]],
    ["through a symlinked folder", [{ name: "link", type: "symlink", linkname: "../../outside" }, { name: "link/evil", body: "x" }]],
    ["through a link in the middle", [{ name: "a/link", type: "symlink", linkname: "../../../outside" }, { name: "a/link/deep/evil", body: "x" }]],
    ["a folder made through a link", [{ name: "link", type: "symlink", linkname: "../../outside" }, { name: "link/evil/" }]],
    ["hard link to a file outside", [{ name: "hard", type: "link", linkname: "../../outside/victim" }]],
    ["hard link to an absolute file", [{ name: "hard", type: "link", linkname: "/etc/passwd" }]],
    ["hard link to a symlink", [{ name: "s", type: "symlink", linkname: "/etc/passwd" }, { name: "hard", type: "link", linkname: "s" }]],
    ["hard link to itself", [{ name: "hard", type: "link", linkname: "hard" }]],
    ["character device", [{ name: "dev", type: "character-device", devmajor: 1, devminor: 3 }]],
    ["block device", [{ name: "dev", type: "block-device", devmajor: 8, devminor: 0 }]],
    ["named pipe", [{ name: "pipe", type: "fifo" }]],
    ["a file where a folder is", [{ name: "app/" }, { name: "app/x/" }, { name: "app/x", body: "x" }]],
    ["a folder where a file is", [{ name: "app/x", body: "x" }, { name: "app/x/y", body: "x" }]],
  ] as [string, TarEntry[]][])("refused: %s", async (_name, entries) => {
    await using result = await unpacked(entries);
    expect(result.error?.code).toBe("DEA_DROPLET_UNSAFE");
    expect(await readdir(result.outside)).toEqual(["victim"]);
    expect(await readFile(join(result.outside, "victim"), "utf8")).toBe("untouched");
  });

  test("a link is replaced, not followed, when a file takes its name", async () => {
    await using result = await unpacked([{ name: "x", type: "symlink", linkname: "../../outside/victim" }, { name: "x", body: "mine" }]);
    expect(result.error).toBeUndefined();
    expect(await readFile(join(result.folder, "x"), "utf8")).toBe("mine");
    expect((await lstat(join(result.folder, "x"))).isFile()).toBe(true);
    expect(await readFile(join(result.outside, "victim"), "utf8")).toBe("untouched");
  });

  test("too many entries", async () => {
    await using result = await unpacked(Array.from({ length: 20 }, (_, i) => ({ name: `f${i}`, body: "" })), { maxEntries: 10 });
    expect(result.error?.code).toBe("DEA_DROPLET_TOO_LARGE");
  });

  test("too many bytes: a small archive of zeros", async () => {
    await using result = await unpacked([{ name: "zeros", body: Buffer.alloc(20_000_000) }], { maxBytes: 1_000_000 });
    expect(result.error?.code).toBe("DEA_DROPLET_TOO_LARGE");
    expect((await stat(join(result.folder, "zeros"))).size).toBeLessThanOrEqual(1_000_000);
  });

  test.each([["not an archive", "hello"], ["cut off", undefined]])("unreadable: %s", async (_name, content) => {
    await using temporary = await temporaryFolder();
    const archive = join(temporary.path, "a.tgz");
    if (content === undefined) {
      await writeTar(archive, [{ name: "big", body: randomBytes(100_000) }]);
      await writeFile(archive, (await readFile(archive)).subarray(0, 5_000));
    } else await writeFile(archive, content.repeat(1000));
    const folder = join(temporary.path, "home");
    await mkdir(folder);
    await expect(unpack(archive, folder)).rejects.toMatchObject({ name: "DeaError", code: "DEA_DROPLET_UNAVAILABLE" });
  });
});

describe("honest archives", () => {
  test("keeps contents, modes, times and links; drops set-user-id", async () => {
    const mtime = new Date("2020-02-02T02:02:02Z");
    await using result = await unpacked([
      { name: "./" },
      { name: "./app/run.sh", body: "echo", mode: 0o755, mtime },
      { name: "./app/secret", body: "s", mode: 0o4600 },
      { name: "./app/readonly/", mode: 0o555 },
      { name: "./app/readonly/file", body: "f" },
      { name: "./app/absolute", type: "symlink", linkname: "/home/vcap/deps/0" },
      { name: "./app/upwards", type: "symlink", linkname: "../../../etc/passwd" },
      { name: "./app/twin", type: "link", linkname: "./app/run.sh" },
    ]);
    expect(result.error).toBeUndefined();
    const app = join(result.folder, "app");
    const run = await stat(join(app, "run.sh"));
    expect([run.mode & 0o7777, run.mtime.toISOString(), run.nlink]).toEqual([0o755, mtime.toISOString(), 2]);
    expect((await stat(join(app, "secret"))).mode & 0o7777).toBe(0o600);
    expect((await stat(join(app, "readonly"))).mode & 0o7777).toBe(0o755);
    expect(await readlink(join(app, "absolute"))).toBe("/home/vcap/deps/0");
    expect(await readlink(join(app, "upwards"))).toBe("../../../etc/passwd");
  });
});

test("a name never leads out, whatever it is", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", "/", ".", "..", "\0", " ") }), (name) => {
    let path: string;
    try {
      path = entryPath(name);
    } catch {
      return;
    }
    expect(join("/root/home", path)).toMatch(/^\/root\/home(\/|$)/);
    expect(entryPath(path)).toBe(path);
  }));
});
