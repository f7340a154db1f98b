import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ZipFile } from "yazl";
import { assemblePackage, type Pool } from "../../controller/builds/bits/assemble.ts";
import { linkStaysInside, plainPath } from "../../controller/builds/bits/paths.ts";
import { matchable, octal, readResources } from "../../controller/builds/bits/resources.ts";
import { readZipEntries } from "../../controller/builds/bits/zip-entries.ts";

interface Item { path: string; text?: string; mode?: number; folder?: boolean }

async function zipOf(items: readonly Item[], patch: (bytes: Buffer) => Buffer = (bytes) => bytes): Promise<Buffer> {
  const zip = new ZipFile();
  for (const { path, text = "", mode = 0o100644, folder } of items) {
    if (folder) zip.addEmptyDirectory(path, { mode: 0o040755 });
    else zip.addBuffer(Buffer.from(text), path, { mode });
  }
  zip.end();
  return patch(await buffer(zip.outputStream as Readable));
}
const rename = (from: string, to: string) => (bytes: Buffer): Buffer => {
  if (from.length !== to.length) throw new Error("the names must be equally long");
  return Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");
};
const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "opencf-bits-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function upload(bytes: Buffer): Promise<string> {
  const path = join(folder, `upload-${Math.random()}.zip`);
  await writeFile(path, bytes);
  return path;
}
async function contents(path: string): Promise<Record<string, string>> {
  const { entries, close } = await readZipEntries(path, { maxEntries: 1000, maxBytes: 1e9 });
  const found: Record<string, string> = {};
  for (const entry of entries) found[entry.path] = entry.kind === "folder" ? "<folder>" : entry.kind === "link" ? `-> ${entry.target}` : `${(entry.mode & 0o777).toString(8)} ${(await buffer(await entry.open())).toString()}`;
  close();
  return found;
}
function memoryPool(...texts: string[]): Pool & { stored: Map<string, string> } {
  const stored = new Map(texts.map((text) => [sha1(text), text]));
  return {
    stored,
    get: async (digest) => (stored.has(digest) ? Readable.from([Buffer.from(stored.get(digest)!)]) : undefined),
    async put(digest, content) {
      stored.set(digest, (await buffer(content)).toString());
    },
  };
}

describe("the package of an app", () => {
  test("keeps files, modes, links and empty folders, and adds what was matched", async () => {
    const uploadPath = await upload(await zipOf([
      { path: "a/run.sh", text: "#!/bin/sh", mode: 0o100755 },
      { path: "empty", folder: true },
      { path: "a/link", text: "run.sh", mode: 0o120777 },
      { path: "old.txt", text: "uploaded" },
    ]));
    const outPath = join(folder, "out.zip");
    const pool = memoryPool("matched", "new");
    const written = await assemblePackage({
      uploadPath, outPath, pool,
      resources: [
        { path: "b/lib.js", sha1: sha1("matched"), sizeBytes: 7, mode: 0o744 },
        { path: "old.txt", sha1: sha1("new"), sizeBytes: 3, mode: 0o600 },
      ],
    });
    expect(await contents(outPath)).toEqual({
      "a/run.sh": "755 #!/bin/sh", empty: "<folder>", "a/link": "-> run.sh", "b/lib.js": "744 matched", "old.txt": "600 new",
    });
    expect(written.sizeBytes).toBe((await readFile(outPath)).length);
    expect(pool.stored.get(sha1("#!/bin/sh"))).toBe("#!/bin/sh");
    expect(pool.stored.has(sha1("run.sh")), "a link is no content of the pool").toBe(false);
  });

  test("can be made of matched files alone", async () => {
    const outPath = join(folder, "out.zip");
    await assemblePackage({ outPath, pool: memoryPool("x"), resources: [{ path: "x", sha1: sha1("x"), sizeBytes: 1, mode: 0o600 }] });
    expect(await contents(outPath)).toEqual({ x: "600 x" });
  });

  const evil: readonly [string, Promise<Buffer>, RegExp][] = [
    ["not a zip", Promise.resolve(Buffer.from("hello, I am not a zip at all")), /upload is invalid: it is not a zip/],
    ["an empty body", Promise.resolve(Buffer.alloc(0)), /upload is invalid: it is not a zip/],
    ["only half of a zip", zipOf([{ path: "a", text: "x".repeat(2000) }]).then((bytes) => bytes.subarray(0, bytes.length / 2)), /not a zip/],
    ["a path upwards", zipOf([{ path: "xx/evil" }], rename("xx/evil", "../evil")), /not a zip|not safe/],
    ["an absolute path", zipOf([{ path: "xetc/passwd" }], rename("xetc/passwd", "/etc/passwd")), /not a zip|not safe/],
    ["a drive letter", zipOf([{ path: "cc/evil" }], rename("cc/evil", "c:/evil")), /not a zip|not safe/],
    ["a backslash", zipOf([{ path: "aa/evil" }], rename("aa/evil", "aa\\evil")), /not a zip|not safe/],
    ["a link to outside", zipOf([{ path: "a/link", text: "../../etc/passwd", mode: 0o120777 }]), /points outside the app/],
    ["an absolute link", zipOf([{ path: "link", text: "/etc/passwd", mode: 0o120777 }]), /points outside the app/],
    ["a file below a link", zipOf([{ path: "dir", text: "other", mode: 0o120777 }, { path: "dir/file", text: "x" }]), /lies below 'dir'/],
    ["a device", zipOf([{ path: "dev", mode: 0o060644 }]), /neither a file, a folder nor a link/],
    ["a fifo", zipOf([{ path: "fifo", mode: 0o010644 }]), /neither a file, a folder nor a link/],
    ["no entries", zipOf([]), /it has no files/],
    ["too many entries", zipOf(Array.from({ length: 30 }, (_, index) => ({ path: `f${index}` }))), /30 entries, more than 20/],
    ["too many bytes", zipOf([{ path: "zeros", text: "0".repeat(200_000) }]), /larger than 100000 bytes/],
  ];
  test.each(evil)("%s is refused", async (_name, bytes, message) => {
    const outPath = join(folder, "out.zip");
    const result = assemblePackage({ uploadPath: await upload(await bytes), resources: [], outPath, limits: { maxEntries: 20, maxBytes: 100_000 } });
    await expect(result).rejects.toThrow(message);
  });

  test("a directory that lies about sizes does not get more through", async () => {
    const bytes = await zipOf([{ path: "zeros", text: "0".repeat(200_000) }]);
    // The uncompressed size in the central directory, at offset 24 of its record.
    const record = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    bytes.writeUInt32LE(10, record + 24);
    const result = assemblePackage({ uploadPath: await upload(bytes), resources: [], outPath: join(folder, "out.zip"), limits: { maxEntries: 20, maxBytes: 100_000 } });
    await expect(result).rejects.toThrow(/invalid/);
  });

  test("of two entries with one name the last one counts", async () => {
    const bytes = await zipOf([{ path: "one", text: "first" }, { path: "two", text: "second" }], rename("two", "one"));
    const outPath = join(folder, "out.zip");
    await assemblePackage({ uploadPath: await upload(bytes), resources: [], outPath });
    expect(await contents(outPath)).toEqual({ one: "644 second" });
  });

  test.each([
    ["content that left the pool", sha1("gone"), /no longer in the pool/],
    ["content that is not what it says", sha1("claimed"), /another content/],
  ])("%s fails the package", async (_name, digest, message) => {
    const pool = memoryPool();
    pool.stored.set(sha1("claimed"), "something else");
    const result = assemblePackage({ outPath: join(folder, "out.zip"), pool, resources: [{ path: "x", sha1: digest, sizeBytes: 1, mode: 0o600 }] });
    await expect(result).rejects.toThrow(message);
  });

  test("a matched file cannot lie below an uploaded link", async () => {
    const uploadPath = await upload(await zipOf([{ path: "dir", text: "x", mode: 0o120777 }, { path: "x/y", text: "" }]));
    const result = assemblePackage({ uploadPath, outPath: join(folder, "out.zip"), pool: memoryPool("x"), resources: [{ path: "dir/x", sha1: sha1("x"), sizeBytes: 1, mode: 0o600 }] });
    await expect(result).rejects.toThrow(/lies below 'dir'/);
  });
});

describe("paths", () => {
  test.each([
    ["a/b", "a/b"], ["./a//b", "a/b"], ["a/", "a/"], ["..", undefined], ["a/../b", undefined], ["/a", undefined], ["", undefined],
    ["C:/a", undefined], ["a\\b", undefined], ["a\u0000b", undefined], [`${"x".repeat(256)}`, undefined], ["...", "..."],
  ])("%j", (given, plain) => expect(plainPath(given)).toBe(plain));

  test("a plain path is its own plain path and never leaves", () =>
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", ".", "/", "\\", ":", "\u0000", "ü") }), (path) => {
      const plain = plainPath(path);
      if (plain === undefined || plain === "") return;
      expect(plainPath(plain)).toBe(plain);
      expect(join("/root", plain).startsWith("/root/")).toBe(true);
    })));

  test.each([["a/l", "../b", true], ["a/l", "../../b", false], ["l", "..", false], ["l", "/x", false], ["l", "a/../..", false], ["a/b/l", "../../x", true]])(
    "a link %s -> %s", (path, target, inside) => expect(linkStaysInside(path, target)).toBe(inside));
});

describe("resources", () => {
  const v3 = { path: "a", size_in_bytes: 3, checksum: { value: sha1("a").toUpperCase() }, mode: "644" };
  test("both spellings are read", () => {
    expect(readResources([v3, { fn: "b", size: 4, sha1: sha1("b") }])).toEqual([
      { path: "a", sizeBytes: 3, sha1: sha1("a"), mode: 0o644 }, { path: "b", sizeBytes: 4, sha1: sha1("b"), mode: 0o744 },
    ]);
  });
  test.each([[{}], [[{ ...v3, checksum: { value: "x" } }]], [[null]], [[{ ...v3, size_in_bytes: -1 }]]])("%j is no list of resources", (list) => expect(readResources(list)).toBeUndefined());
  test.each([["../a", /path is invalid/], ["/a", /path is invalid/], ["a/", /path is invalid/]])("the path %s is refused", (path, message) => expect(() => readResources([{ ...v3, path }])).toThrow(message));
  test.each(["444", "4444", "9", "x"])("the mode %s is refused", (mode) => expect(() => readResources([{ ...v3, mode }])).toThrow(/mode is invalid/));
  test("type bits above the permissions are cut off", () => expect(octal("40000755")).toBe(0o755));
  test("a checksum is matched with all its entries or not at all", () => {
    const [a, b] = [sha1("a"), sha1("b")];
    expect(matchable([
      { sha1: a, sizeBytes: 5, mode: 0o644 }, { sha1: a, sizeBytes: 5, mode: 0o444 }, { sha1: b, sizeBytes: 5, mode: 0o600 }, { sha1: sha1("c"), sizeBytes: 5, mode: undefined },
    ])).toEqual(new Set([b]));
  });
});
