import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPartFiles } from "../../src/droplet/part-files.ts";
import { openDropletStore } from "../../src/droplet/store.ts";
import { createDea, type Dea, MiB } from "../../src/index.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: Buffer;
let dea: Dea;
let server: Server;
const asked = new Map<string, number>();

/** What the server does, by path; it is told how often it was asked. */
const ways: Readonly<Record<string, (response: ServerResponse, count: number) => void>> = {
  "/good": (response) => void response.end(droplet),
  "/silent": () => {},
  "/stalls": (response) => void response.writeHead(200, { "content-length": droplet.length }).write(droplet.subarray(0, 50)),
  "/resets": (response) => void response.writeHead(200, { "content-length": droplet.length }).write(droplet.subarray(0, 50), () => response.socket?.resetAndDestroy()),
  "/resets-once": (response, count) => (count === 1 ? ways["/resets"]?.(response, count) : void response.end(droplet)),
  "/short": (response) => void response.end(droplet.subarray(0, -10)),
  "/another": (response) => void response.end(Buffer.concat([droplet, Buffer.from("x")])),
  "/gone": (response) => void response.writeHead(404).end(),
  "/broken-once": (response, count) => void (count === 1 ? response.writeHead(503).end() : response.end(droplet)),
};

beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await readFile(await writeDroplet(join(folder.path, "a.tgz"), { x: "" }, "exec sleep 1000"));
  server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    asked.set(path, (asked.get(path) ?? 0) + 1);
    ways[path]?.(response, asked.get(path) ?? 0);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  dea = await createDea({ dataDir: join(folder.path, "dea"), memoryBytes: 8_192 * MiB, deadlinesMs: { download: 4_000 } });
});
afterAll(async () => {
  await dea.close();
  server.closeAllConnections();
  server.close();
  await folder[Symbol.asyncDispose]();
});

describe("faults: the download of a droplet", () => {
  test.each([
    ["never begins", "/silent", "download-timeout", "DEA_TIMEOUT"],
    ["stalls in the middle", "/stalls", "download-timeout", "DEA_TIMEOUT"],
    ["is reset in the middle, each time", "/resets", "droplet-missing", "DEA_DROPLET_UNAVAILABLE"],
    ["ends early", "/short", "droplet", "DEA_DROPLET_MISMATCH"],
    ["has another digest", "/another", "droplet", "DEA_DROPLET_MISMATCH"],
    ["is not there", "/gone", "droplet-missing", "DEA_DROPLET_UNAVAILABLE"],
  ])("%s: the instance crashes and says why, once and for all", async (_name, path, reason, code) => {
    const before = asked.get(path) ?? 0;
    const instance = await dea.start({
      droplet: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}?signature=top-secret`, sha256: createHash("sha256").update(droplet).digest("hex") },
      memoryBytes: 64 * MiB,
      healthCheck: { type: "process" },
    });
    const failed: unknown = await instance.ready.catch((error: unknown) => error);
    expect(failed).toMatchObject({ code });
    expect(String(failed)).not.toContain("top-secret");
    expect((await instance.exited).reason).toBe(reason);
    // A wrong file is wrong tomorrow too; what may pass is tried again, and not for ever.
    expect((asked.get(path) ?? 0) - before).toBe(path === "/resets" ? 3 : 1);
    // Nothing of it stays, and what it took is given back.
    expect(await readdir(join(folder.path, "dea", "instances"))).toEqual([]);
    expect(await readdir(join(folder.path, "dea", "droplets"))).toEqual([]);
    expect(dea.capacity().memory.reservedBytes).toBe(0);
  }, 60_000);

  test.each([["is reset once", "/resets-once"], ["is refused once", "/broken-once"]])("%s: it is fetched again, and the instance runs", async (_name, path) => {
    const instance = await dea.start({
      droplet: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, sha256: createHash("sha256").update(droplet).digest("hex") },
      memoryBytes: 64 * MiB,
      healthCheck: { type: "process" },
      graceMs: 200,
    });
    await instance.ready;
    expect(asked.get(path)).toBe(2);
    await instance.stop();
    for (const name of await readdir(join(folder.path, "dea", "droplets"))) await rm(join(folder.path, "dea", "droplets", name));
  }, 60_000);

  test("one that stalls keeps nobody else", async () => {
    const url = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    const stalled = await dea.start({ droplet: { url: url("/stalls"), sha1: "0".repeat(40) }, memoryBytes: 64 * MiB, healthCheck: { type: "process" } });
    const other = await dea.start({ droplet: { url: url("/good"), sha1: createHash("sha1").update(droplet).digest("hex") }, memoryBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 200 });
    await other.ready;
    expect(stalled.state).toBe("STARTING");
    // A stop does not wait for a server that says nothing.
    expect((await stalled.stop()).reason).toBe("stopped");
    await other.stop();
  }, 60_000);

  test("who joined a download from an address that fails tries its own", async () => {
    const url = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
    const sha256 = createHash("sha256").update(droplet).digest("hex");
    await using store = await openDropletStore({ dir: join(folder.path, "shared"), inactivityTimeoutMs: 300, attempts: 1 });
    const never = new AbortController().signal;
    const first = store.hold({ url: url("/stalls"), sha256 }, never);
    first.catch(() => {});
    await using second = await store.hold({ url: url("/good"), sha256 }, never);
    expect(await readFile(second.path)).toEqual(droplet);
    await expect(first).rejects.toMatchObject({ code: "DEA_DROPLET_UNAVAILABLE" });
  });

  test("what a killed executor had begun to download goes with the next start; what a living one downloads stays", async () => {
    const dir = join(folder.path, "parts");
    await mkdir(dir);
    using living = await openPartFiles(dir, Date.now());
    const dead = await openPartFiles(dir, Date.now());
    const [alive, gone] = [living.next(), dead.next()];
    dead[Symbol.dispose]();
    for (const name of [alive, gone, "part-of-an-older-version"]) await writeFile(join(dir, name), "x");
    await using _store = await openDropletStore({ dir });
    expect((await readdir(dir)).sort()).toEqual([alive, "part-of-an-older-version"].sort());
  });
});
