import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openFolderBlobstore } from "../../blobstore/index.ts";
import { bundleProgram, temporaryFolder } from "../support/bundle.ts";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Puts, copies and deletes without end, and says on standard output what was answered. */
const worker = `
import { openFolderBlobstore } from "../../blobstore/index.ts";
const store = await openFolderBlobstore(process.argv[2], { durable: false });
let n = 0;
async function lane(id) {
  for (;;) {
    const key = "packages/" + id + "-" + (n % 5);
    const text = id + ":" + (n++) + ":" + "x".repeat(n % 3 ? 20_000 : 10);
    process.stdout.write("try " + key + " " + text.length + "\\n");
    await store.put(key, Buffer.from(text));
    process.stdout.write("put " + key + " " + text.length + "\\n");
    if (n % 4 === 0) { process.stdout.write("try " + key + " 0\\n"); await store.delete(key); process.stdout.write("put " + key + " 0\\n"); }
  }
}
for (const id of ["a", "b", "c", "d"]) void lane(id);
`;

test("killed at any moment, it opens again with every answered write and no rubbish", { timeout: 120_000 }, async () => {
  await using program = await bundleProgram(worker, here);
  await using folder = await temporaryFolder();
  // Key -> sizes it may have: the last answered one, and those of writes that were under way.
  const possible = new Map<string, Set<number>>();
  for (let round = 0; round < 8; round += 1) {
    const child = spawn(process.execPath, [program.path, folder.path], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout });
    let writes = 0;
    lines.on("line", (line) => {
      const [word, key, size] = line.split(" ");
      if (!key || !size) return;
      if (word === "put") {
        possible.set(key, new Set([Number(size)]));
        writes += 1;
        if (writes === 40 + round * 13) child.kill("SIGKILL");
      } else (possible.get(key) ?? possible.set(key, new Set([0])).get(key))?.add(Number(size));
    });
    await Promise.all([once(child, "exit"), once(lines, "close")]);

    const store = await openFolderBlobstore(folder.path, { durable: false });
    const digests = new Set<string>();
    for (const [key, sizes] of possible) {
      const info = store.head(key);
      expect(sizes, `${key} after round ${round}`).toContain(info?.sizeBytes ?? 0);
      if (!info) continue;
      digests.add(info.sha256);
      const data = await buffer((await store.get(key)).stream);
      expect(createHash("sha256").update(data).digest("hex")).toBe(info.sha256);
      expect(data.length).toBe(info.sizeBytes);
    }
    const onDisk = (await Promise.all((await readdir(join(folder.path, "data"))).map((shard) => readdir(join(folder.path, "data", shard))))).flat();
    expect(new Set(onDisk)).toEqual(digests);
    expect(await readdir(join(folder.path, "tmp"))).toEqual([]);
    for (const [key] of possible) possible.set(key, new Set([store.head(key)?.sizeBytes ?? 0]));
  }
});

/** Fills the disk, then shows that a small blob still goes in and nothing of the large one remained. */
const filler = `
import { readdir } from "node:fs/promises";
import { openFolderBlobstore } from "../../blobstore/index.ts";
const [, , path, size] = process.argv;
const store = await openFolderBlobstore(path);
await store.put("packages/small", Buffer.from("before"));
async function* large() { for (let left = Number(size); left > 0; left -= 65536) yield Buffer.alloc(65536, left % 251); }
const failure = await store.put("packages/large", large()).then(() => "stored", (error) => error.code + " " + error.retryable + " " + error.cause?.code);
await store.put("packages/small", Buffer.from("after"));
console.log(JSON.stringify({ failure, left: await readdir(path + "/tmp"), small: store.head("packages/small").sizeBytes, large: store.head("packages/large") ?? null }));
`;

test("a full disk is said plainly and leaves nothing half-written", { timeout: 60_000 }, async () => {
  await using program = await bundleProgram(filler, here);
  await using folder = await temporaryFolder();
  const disk = join(folder.path, "disk");
  await mkdir(disk);
  const run = async (script: string) => {
    const child = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, NODE: process.execPath, PROGRAM: program.path, DISK: disk } });
    const [text] = await Promise.all([buffer(child.stdout), once(child, "exit")]);
    return text.length > 0 ? (JSON.parse(text.toString()) as Record<string, unknown>) : undefined;
  };
  const rest = { left: [], small: 5, large: null };
  // A real small disk where the kernel lets us mount one, else a limit on the size of files, which fails in the same place.
  const real = await run('exec unshare -rm sh -c \'mount -t tmpfs -o size=3m none "$DISK" && exec "$NODE" "$PROGRAM" "$DISK" 8000000\'');
  if (real) expect(real).toEqual({ failure: "BLOB_STORE_FULL true ENOSPC", ...rest });
  expect(await run('ulimit -f 2000 && exec "$NODE" "$PROGRAM" "$DISK" 8000000')).toEqual({ failure: "BLOB_STORE_FULL true EFBIG", ...rest });
});
