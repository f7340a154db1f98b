import { createHash } from "node:crypto";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { createBlobClient, openFolderBlobstore, startBlobs, type FolderBlobstoreOptions } from "../../blobstore/index.ts";
import { temporaryFolder } from "../support/bundle.ts";

const secret = "a secret of the test, long enough";
const hash = (algorithm: string, data: string | Uint8Array) => createHash(algorithm).update(data).digest("hex");

async function serving(options: FolderBlobstoreOptions = {}) {
  const folder = await temporaryFolder();
  const store = await openFolderBlobstore(folder.path, { durable: false, ...options });
  let nowMs = Date.now();
  const clock = { now: () => nowMs };
  const server = await startBlobs({ store, secret, clock });
  const client = createBlobClient({ baseUrl: () => Promise.resolve(server.url), secret, clock });
  return {
    store,
    server,
    client,
    pass: (ms: number) => (nowMs += ms),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

describe("blobs over HTTP", () => {
  test("the client's whole face", async () => {
    await using at = await serving();
    const { client } = at;
    const stored = { sha1: hash("sha1", "hello"), sha256: hash("sha256", "hello"), sizeBytes: 5 };
    expect(await client.put("packages/a", Readable.from([Buffer.from("hello")]))).toEqual(stored);
    const { stream, ...info } = await client.get("packages/a");
    expect(info).toEqual(stored);
    expect((await buffer(stream)).toString()).toBe("hello");
    expect(await client.copy("packages/a", "packages/b")).toEqual(stored);
    expect(await client.head("packages/b")).toEqual(stored);
    expect(await client.list("packages/")).toEqual(["packages/a", "packages/b"]);
    expect(await client.delete("packages/a")).toBe(true);
    expect(await client.delete("packages/a")).toBe(false);
    expect(await client.exists("packages/a")).toBe(false);
    expect(await client.exists("packages/b")).toBe(true);
    expect(await client.deleteAll("packages/")).toBe(1);
    await expect(client.get("packages/b")).rejects.toMatchObject({ name: "BlobError", code: "BLOB_NOT_FOUND" });
    await expect(client.copy("packages/b", "packages/c")).rejects.toMatchObject({ code: "BLOB_NOT_FOUND" });

    const sha1 = hash("sha1", "jar");
    expect(await client.poolHas([sha1])).toEqual([]);
    await client.poolPut(sha1, Buffer.from("jar"));
    expect(await client.poolHas([sha1, "nonsense"])).toEqual([{ sha1, sizeBytes: 3 }]);
    expect((await buffer((await client.poolGet(sha1)).stream)).toString()).toBe("jar");
    await expect(client.poolPut(hash("sha1", "x"), Buffer.from("jar"))).rejects.toMatchObject({ code: "BLOB_DIGEST_MISMATCH" });
    expect((await client.poolHas(Array.from({ length: 15_000 }, (_, i) => hash("sha1", `${i}`)))).length).toBe(0);
  });

  test("a link does what it says and nothing else", async () => {
    await using at = await serving();
    await at.client.put("droplets/a", Buffer.from("secret droplet"));
    const get = await at.client.url("droplets/a", "GET", 60_000);
    expect(await (await fetch(get)).text()).toBe("secret droplet");
    expect((await fetch(get, { method: "HEAD" })).headers.get("content-length")).toBe("14");
    const etag = (await fetch(get)).headers.get("etag") ?? "";
    expect((await fetch(get, { headers: { "if-none-match": etag } })).status).toBe(304);

    const attacks: [string, string, RequestInit?][] = [
      ["another method", get, { method: "DELETE" }],
      ["another method", get, { method: "PUT", body: "x" }],
      ["another key", get.replace("droplets/a", "droplets/b")],
      ["the key by another spelling", get.replace("droplets/a", "droplets/x/../b")],
      ["a later expiry", get.replace(/expires=\d+/, "expires=99999999999999")],
      ["no expiry", get.replace(/expires=\d+/, "expires=")],
      ["an added copy source", `${get}&from=droplets/b`],
      ["an added limit", `${get}&max_bytes=5`],
      ["no signature", get.replace(/&signature=.*/, "")],
      ["a short signature", get.slice(0, -5)],
      ["another signature", get.replace(/signature=..../, "signature=AAAA")],
      ["nothing at all", `${at.server.url}/blobs/droplets/a`],
      ["the pool", get.replace("/blobs/droplets/a", "/pool")],
    ];
    for (const [what, url, init] of attacks) {
      const response = await fetch(url, init);
      expect([what, response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([what, 403, "BLOB_LINK_INVALID"]);
    }
    at.pass(60_001);
    const late = await fetch(get);
    expect([late.status, await late.json()]).toEqual([403, { error: { code: "BLOB_LINK_EXPIRED", message: "The link has expired" } }]);
    const foreign = createBlobClient({ baseUrl: () => Promise.resolve(at.server.url), secret: "somebody else's secret" });
    await expect(foreign.get("droplets/a")).rejects.toMatchObject({ code: "BLOB_LINK_INVALID" });
  });

  test("an upload link takes a raw body, up to its limit, with the announced digest", async () => {
    await using at = await serving();
    const put = await at.client.url("droplets/new", "PUT", 60_000, { maxBytes: 1_000 });
    const sent = await fetch(put, { method: "PUT", body: Buffer.alloc(1_000, 7) });
    expect([sent.status, await sent.json()]).toEqual([
      201,
      { sha1: hash("sha1", Buffer.alloc(1_000, 7)), sha256: hash("sha256", Buffer.alloc(1_000, 7)), size_bytes: 1_000 },
    ]);
    for (const body of [Buffer.alloc(1_001), Buffer.alloc(3_000_000)]) {
      const response = await fetch(put, { method: "PUT", body });
      expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([413, "BLOB_TOO_LARGE"]);
    }
    const unannounced = new Blob([Buffer.alloc(200_000)]).stream();
    await expect(at.client.put("droplets/new", unannounced, { maxBytes: 1_000 })).rejects.toMatchObject({ code: "BLOB_TOO_LARGE" });
    expect((await at.client.head("droplets/new"))?.sizeBytes).toBe(1_000);

    const rows: [Record<string, string>, number][] = [
      [{ "content-digest": `sha-256=:${createHash("sha256").update("ok").digest("base64")}:` }, 201],
      [{ "content-digest": `sha-512=:${createHash("sha512").update("ok").digest("base64")}:, unknown=:AAAA:` }, 201],
      [{ "content-digest": `sha=:${createHash("sha1").update("ok").digest("base64")}:` }, 201],
      [{ "content-md5": createHash("md5").update("ok").digest("base64") }, 201],
      [{ "content-digest": "crc32c=:AAAA:" }, 201],
      [{ "content-digest": `sha-256=:${createHash("sha256").update("no").digest("base64")}:` }, 422],
      [{ "content-digest": `sha-256=:${createHash("sha256").update("ok").digest("base64")}:, sha=:${createHash("sha1").update("no").digest("base64")}:` }, 422],
      [{ "content-md5": createHash("md5").update("no").digest("base64") }, 422],
      [{ "content-digest": "sha-256=:AAAA:" }, 400],
      [{ "content-digest": "sha-256=nonsense" }, 400],
    ];
    for (const [headers, status] of rows) {
      const before = (await at.client.head("droplets/new"))?.sha256;
      const response = await fetch(put, { method: "PUT", body: "ok", headers });
      expect([headers, response.status]).toEqual([headers, status]);
      if (status !== 201) expect((await at.client.head("droplets/new"))?.sha256).toBe(before);
    }
    await expect(at.client.put("droplets/new", Buffer.from("a"), { sha256: hash("sha256", "b") })).rejects.toMatchObject({ code: "BLOB_DIGEST_MISMATCH" });
  });

  test("an upload that breaks off in the middle leaves the old blob", async () => {
    await using at = await serving();
    await at.client.put("droplets/a", Buffer.from("old"));
    const url = new URL(await at.client.url("droplets/a", "PUT", 60_000));
    const socket = connect(Number(url.port), url.hostname);
    socket.write(`PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf of it`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await buffer((await at.client.get("droplets/a")).stream)).toString()).toBe("old");
  });

  test("an upload can be aborted; a server that is gone is retryable", async () => {
    const at = await serving();
    const stuck = new Readable({ read() {} });
    stuck.on("error", () => {});
    stuck.push("part");
    await expect(at.client.put("packages/a", stuck, { signal: AbortSignal.timeout(100) })).rejects.toMatchObject({ name: "TimeoutError" });
    await at[Symbol.asyncDispose]();
    await expect(at.client.get("packages/a")).rejects.toMatchObject({ code: "BLOB_UNAVAILABLE", retryable: true });
  });

  test("requests that make no sense are answered, and the server lives", async () => {
    await using at = await serving();
    const { createLinkSigner } = await import("../../blobstore/links.ts");
    const signer = createLinkSigner(secret);
    const to = (method: "GET" | "PUT" | "POST" | "DELETE", path: string) => at.server.url + signer.sign({ method, path, expiresMs: Date.now() + 60_000 });
    const rows: [string, string, RequestInit, number][] = [
      ["unknown room", to("GET", "/elsewhere"), {}, 400],
      ["no key", to("GET", "/blobs/"), {}, 400],
      ["bad key", to("GET", "/blobs/.hidden"), {}, 400],
      ["pool question that is no JSON", to("POST", "/pool"), { method: "POST", body: "{" }, 400],
      ["pool question of another shape", to("POST", "/pool"), { method: "POST", body: "[]" }, 400],
      ["pool question without end", to("POST", "/pool"), { method: "POST", body: "x".repeat(2_000_000) }, 413],
      ["pool name that is no digest", to("GET", "/pool/abc"), {}, 400],
    ];
    for (const [what, url, init, status] of rows) expect([what, (await fetch(url, init)).status]).toEqual([what, status]);
    expect(await (await fetch(`${at.server.url}/healthz`)).text()).toBe("ok");
  });

  test("a large stream passes through in bounded memory", async () => {
    await using at = await serving();
    const chunk = Buffer.alloc(1024 * 1024, 3);
    async function* many() {
      for (let i = 0; i < 64; i += 1) yield chunk;
    }
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)), 5);
    const { sizeBytes } = await at.client.put("packages/large", many());
    let received = 0;
    for await (const part of (await at.client.get("packages/large")).stream) received += (part as Buffer).length;
    clearInterval(watch);
    expect([sizeBytes, received]).toEqual([64 * chunk.length, 64 * chunk.length]);
    expect(peak).toBeLessThan(48 * 1024 * 1024);
  });

  test("a short secret is refused", () => {
    expect(() => createBlobClient({ baseUrl: () => Promise.resolve(""), secret: "short" })).toThrow(TypeError);
  });
});
