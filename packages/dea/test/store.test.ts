import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDropletStore } from "../src/droplet/store.ts";
import type { DropletSource } from "../src/index.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: Buffer;
const signal = new AbortController().signal;
const digest = (name: "sha1" | "sha256", bytes = droplet): string => createHash(name).update(bytes).digest("hex");
let counter = 0;

beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await readFile(await writeDroplet(join(folder.path, "a.tgz"), { "file.txt": "content" }, "true"));
});
afterAll(() => folder[Symbol.asyncDispose]());

async function serve(answer: (request: IncomingMessage, response: ServerResponse, count: number) => void): Promise<AsyncDisposable & { url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => answer(request, response, requests.push(request)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/droplet?signature=top-secret`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function open(options = {}) {
  const dir = join(folder.path, `cache${counter++}`);
  const logged: string[] = [];
  const note = (event: string, data?: object): void => void logged.push(`${event} ${JSON.stringify(data)}`);
  const store = await openDropletStore({ dir, log: { info: note, warn: note, error: note }, inactivityTimeoutMs: 300, ...options });
  const to = async (source: DropletSource, limit = signal): Promise<string> => {
    const home = join(folder.path, `home${counter++}`);
    await mkdir(home);
    await store.unpackTo(source, home, { maxBytes: 1e8, signal: limit });
    return await readFile(join(home, "app/file.txt"), "utf8");
  };
  return { dir, logged, store, to, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

test("many who want the same droplet cause one download", async () => {
  await using server = await serve((_, response) => void setTimeout(() => response.end(droplet), 50));
  await using store = await open();
  const source = { url: server.url, sha256: digest("sha256") };
  expect(await Promise.all(Array.from({ length: 8 }, () => store.to(source)))).toEqual(Array.from({ length: 8 }, () => "content"));
  expect(await store.to(source)).toBe("content");
  expect(server.requests).toHaveLength(1);
  expect(await readdir(store.dir)).toEqual([`sha256-${digest("sha256")}.tgz`]);
});

test("one who gives up does not stop the others", async () => {
  await using server = await serve((_, response) => void setTimeout(() => response.end(droplet), 200));
  await using store = await open();
  const source = { url: server.url, sha1: digest("sha1") };
  const [impatient, patient] = await Promise.allSettled([store.to(source, AbortSignal.timeout(30)), store.to(source)]);
  expect(impatient.status).toBe("rejected");
  expect(patient).toMatchObject({ value: "content" });
});

test.each([["sha1", 40], ["sha256", 64]] as const)("a wrong %s is refused, and nothing is kept", async (name, length) => {
  await using server = await serve((_, response) => void response.end(droplet));
  await using store = await open();
  await expect(store.to({ url: server.url, [name]: "0".repeat(length) })).rejects.toMatchObject({ code: "DEA_DROPLET_MISMATCH", retryable: false });
  await expect(store.to({ path: join(folder.path, "a.tgz"), [name]: "0".repeat(length) })).rejects.toMatchObject({ code: "DEA_DROPLET_MISMATCH" });
  expect(await readdir(store.dir)).toEqual([]);
  expect(server.requests).toHaveLength(1);
});

test("both digests must match", async () => {
  await using store = await open();
  await expect(store.to({ path: join(folder.path, "a.tgz"), sha256: digest("sha256"), sha1: "0".repeat(40) })).rejects.toMatchObject({ code: "DEA_DROPLET_MISMATCH" });
});

test.each([
  ["status 404", (response: ServerResponse) => void response.writeHead(404).end(), 1, false],
  ["status 403", (response: ServerResponse) => void response.writeHead(403).end(), 1, false],
  ["status 503", (response: ServerResponse) => void response.writeHead(503).end(), 3, true],
  ["a cut connection", (response: ServerResponse) => { response.writeHead(200, { "content-length": droplet.length }); response.write(droplet.subarray(0, 100), () => response.destroy()); }, 3, true],
  ["a server that stops talking", (response: ServerResponse) => { response.writeHead(200, { "content-length": droplet.length }); response.write(droplet.subarray(0, 100)); }, 3, true],
] as [string, (response: ServerResponse) => void, number, boolean][])("%s fails, after as many attempts as make sense", async (_name, answer, attempts, retryable) => {
  await using server = await serve((_, response) => answer(response));
  await using store = await open();
  const error = await store.to({ url: server.url, sha256: digest("sha256") }).catch((thrown: unknown) => thrown as { code: string; retryable: boolean; message: string });
  expect(error).toMatchObject({ code: "DEA_DROPLET_UNAVAILABLE", retryable });
  expect(server.requests).toHaveLength(attempts);
  expect(JSON.stringify([error, String(error), store.logged])).not.toContain("top-secret");
  expect(await readdir(store.dir)).toEqual([]);
});

test("a failure that passes is forgotten", async () => {
  await using server = await serve((_, response, count) => void (count < 3 ? response.writeHead(500).end() : response.end(droplet)));
  await using store = await open();
  expect(await store.to({ url: server.url, sha256: digest("sha256") })).toBe("content");
  expect(store.logged.join()).not.toContain("top-secret");
});

test("credentials in the URL become a header; redirects are followed", async () => {
  await using server = await serve((request, response) => void (request.url?.startsWith("/droplet") ? response.writeHead(302, { location: "/other" }).end() : response.end(droplet)));
  await using store = await open();
  const url = server.url.replace("http://", "http://user:p%40ss@");
  expect(await store.to({ url, sha256: digest("sha256") })).toBe("content");
  expect(server.requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from("user:p@ss").toString("base64")}`);
  expect(store.logged.join()).not.toContain("p%40ss");
});

test("more bytes than allowed are not downloaded", async () => {
  await using server = await serve((_, response) => void response.end(Buffer.alloc(100_000)));
  await using store = await open({ maxDropletBytes: 1_000 });
  await expect(store.to({ url: server.url, sha256: digest("sha256") })).rejects.toMatchObject({ code: "DEA_DROPLET_TOO_LARGE" });
});

test("a cached file that was damaged is fetched again", async () => {
  await using server = await serve((_, response) => void response.end(droplet));
  await using store = await open();
  const source = { url: server.url, sha256: digest("sha256") };
  await store.to(source);
  const file = join(store.dir, `sha256-${source.sha256}.tgz`);
  await writeFile(file, "damaged");
  expect(await store.to(source)).toBe("content");
  expect(server.requests).toHaveLength(2);
});

test("the cache keeps what was used last within its space", async () => {
  await using store = await open({ cacheBytes: 250 });
  for (const [name, age] of [["old", 300], ["older", 400], ["fresh", 100]] as const) {
    await writeFile(join(store.dir, `${name}.tgz`), Buffer.alloc(100));
    await utimes(join(store.dir, `${name}.tgz`), Date.now() / 1000 - age, Date.now() / 1000 - age);
  }
  await store.store.reap();
  expect((await readdir(store.dir)).sort()).toEqual(["fresh.tgz", "old.tgz"]);
});

test("without a digest the file is used once and not kept", async () => {
  await using server = await serve((_, response) => void response.end(droplet));
  await using store = await open();
  expect(await store.to({ url: server.url })).toBe("content");
  expect(await readdir(store.dir)).toEqual([]);
});
