import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readlinkSync } from "node:fs";
import { appendFile, lstat, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, MiB } from "../src/index.ts";
import { openReachServer, type ReachServer } from "../src/reach.ts";
import { listingLine, sizeText } from "../src/reach/listing.ts";
import { openInside } from "../src/reach/open-inside.ts";
import { parseRange } from "../src/reach/range.ts";
import { createLinkSigner } from "../src/reach/signed-link.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let dea: Dea;
let reach: ReachServer;
let running: Instance;
let crashed: Instance;
let home: string;
const key = "a key";

beforeAll(async () => {
  folder = await temporaryFolder();
  const droplet = await writeDroplet(join(folder.path, "d.tgz"), { "hello.txt": "0123456789", "sub/deep.txt": "deep" });
  dea = await createDea({ dataDir: join(folder.path, "dea"), memoryBytes: 4_096 * MiB });
  reach = await openReachServer(dea, { key, streamingTimeoutMs: 500, maxStreams: 4, viewer: ["who", "pass"] });
  const spec = { droplet, memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" as const }, graceMs: 100 };
  running = await dea.start({ ...spec, command: "sleep 10000" });
  crashed = await dea.start({ ...spec, command: "mkdir -p ../logs; echo last words > ../logs/app.log; exit 3" });
  await running.ready;
  await crashed.exited;
  home = running.filesDir ?? "";
  await writeFile(join(home, "app", "binary"), Buffer.of(0, 1, 2));
  await writeFile(join(home, "app", "empty"), "");
  await writeFile(join(folder.path, "secret"), "secret");
  await symlink("hello.txt", join(home, "app", "inner"));
  await symlink(join(running.homeInside ?? "", "app/hello.txt"), join(home, "app", "absolute"));
  await symlink("../app/sub/../hello.txt", join(home, "app", "winding"));
  await symlink("/etc/passwd", join(home, "app", "passwd"));
  await symlink("../../../../../../../../etc", join(home, "app", "up"));
  await symlink("loop", join(home, "app", "loop"));
  // A folder beside the root whose name begins as the root's does: what compares texts lets it pass.
  await symlink(`${running.homeInside}-evil/x`, join(home, "app", "prefix"));
  execFileSync("mkfifo", [join(home, "app", "pipe")]);
}, 60_000);
afterAll(async () => {
  await reach[Symbol.asyncDispose]();
  await dea.close();
  await folder[Symbol.asyncDispose]();
}, 60_000);

const get = (path: string, headers: Record<string, string> = {}, more = ""): Promise<Response> => fetch(`${reach.fileLink(running, path)}${more}`, { headers });
const told = async (response: Response): Promise<[number, string]> => [response.status, await response.text()];

describe("dea §13: signed links", () => {
  const base = (): string => `http://${reach.host}:${reach.port}`;
  const signer = (offsetMs = 0) => createLinkSigner({ key, now: () => Date.now() + offsetMs });
  const sign = (path: string, offsetMs = 0, id = running.id): string => base() + signer(offsetMs).sign(`/instance_paths/${id}`, { path });

  test("HMAC-SHA512 in hex over path?sorted query of path and timestamp", () => {
    const link = new URL(reach.fileLink(running, "/app/a b&c"));
    expect(link.pathname).toBe(`/instance_paths/${running.id}`);
    expect([...link.searchParams.keys()]).toEqual(["hmac", "path", "timestamp"]);
    const text = `/instance_paths/${running.id}?path=%2Fapp%2Fa+b%26c&timestamp=${link.searchParams.get("timestamp")}`;
    expect(link.searchParams.get("hmac")).toBe(createHmac("sha512", key).update(text).digest("hex"));
    expect(Math.abs(Number(link.searchParams.get("timestamp")) - Date.now() / 1_000)).toBeLessThan(30);
  });

  test.each([
    ["a good link", () => sign("/app/hello.txt"), 200, "0123456789"],
    ["no signature", () => `${base()}/instance_paths/${running.id}?path=/app/hello.txt&timestamp=1`, 401, '{"error":"Invalid HMAC"}\n'],
    ["nothing but the path", () => `${base()}/instance_paths/${running.id}`, 401, '{"error":"Invalid HMAC"}\n'],
    ["a wrong signature", () => `${sign("/app/hello.txt").replace(/hmac=..../, "hmac=0000")}`, 401, '{"error":"Invalid HMAC"}\n'],
    ["a signature of another length", () => sign("/app/hello.txt").replace(/hmac=./, "hmac="), 401, '{"error":"Invalid HMAC"}\n'],
    ["another path", () => sign("/app/hello.txt").replace("hello", "other"), 401, '{"error":"Invalid HMAC"}\n'],
    ["another instance", () => sign("/app/hello.txt").replace(running.id, crashed.id), 401, '{"error":"Invalid HMAC"}\n'],
    ["a path twice", () => `${sign("/app/hello.txt")}&path=%2Fetc`, 401, '{"error":"Invalid HMAC"}\n'],
    ["a later time", () => sign("/app/hello.txt").replace(/timestamp=\d+/, `timestamp=${Math.floor(Date.now() / 1_000) + 5}`), 401, '{"error":"Invalid HMAC"}\n'],
    ["older than 3600 s", () => sign("/app/hello.txt", -3_700_000), 400, '{"error":"Url expired"}\n'],
    ["not yet 3600 s old", () => sign("/app/hello.txt", -3_500_000), 200, "0123456789"],
    ["from the future", () => sign("/app/hello.txt", 100_000_000), 200, "0123456789"],
    ["of an instance nobody knows", () => sign("/app", 0, "0".repeat(32)), 404, '{"error":"Unknown instance"}\n'],
    ["of nothing that is there", () => sign("/app/none"), 404, '{"error":"Entity not found"}\n'],
    ["of a staging task", () => base() + signer().sign("/staging_tasks/t/file_path", { path: "x" }), 404, '{"error":"Unknown staging task"}\n'],
    ["of a staging task, unsigned", () => `${base()}/staging_tasks/t/file_path?path=x`, 401, '{"error":"Invalid HMAC"}\n'],
  ] as const)("%s", async (_title, link, status, text) => {
    expect(await told(await fetch(link()))).toEqual([status, text]);
  });

  test("of a link no letter may change (property)", () => {
    const path = `/instance_paths/${"a".repeat(32)}`;
    const link = signer().sign(path, { path: "/app/some file" });
    const isSigned = (name: string): boolean => name === "path";
    const verdict = (text: string): string => {
      const url = new URL(text, "http://x");
      return signer().verify(url.pathname, url.searchParams, 3_600_000, isSigned);
    };
    const meaning = (text: string): string => JSON.stringify([new URL(text, "http://x").pathname, [...new URL(text, "http://x").searchParams].sort()]);
    expect(verdict(link)).toBe("good");
    fc.assert(fc.property(fc.nat(link.length - 1), fc.string({ minLength: 0, maxLength: 2 }), (at, put) => {
      const changed = link.slice(0, at) + put + link.slice(at + 1);
      if (!URL.canParse(changed, "http://x")) return;
      // What is not signed may be added; what means the same is the same link.
      const signed = (text: string): string => meaning(text).replaceAll(/\["(?!hmac|path|timestamp)[^\]]*\],?/g, "");
      if (signed(changed) !== signed(link)) expect(verdict(changed)).toBe("bad");
    }), { numRuns: 1_000 });
    fc.assert(fc.property(fc.webQueryParameters(), fc.webPath(), (query, where) => {
      const url = new URL(`http://x${where}?${query}`);
      expect(signer().verify(url.pathname, url.searchParams, 3_600_000, isSigned)).toBe("bad");
    }));
  });

  test("503 while an instance is neither running nor crashed, 405 for what is not a question", async () => {
    const waiting = await dea.start({ droplet: join(folder.path, "d.tgz"), memoryBytes: 64 * MiB, command: "sleep 1000", healthCheck: { type: "port", timeoutMs: 60_000 }, graceMs: 50 });
    await until(() => waiting.state === "STARTING");
    expect(await told(await fetch(reach.fileLink(waiting, "/app")))).toEqual([503, '{"error":"Instance unavailable"}\n']);
    await waiting.stop();
    expect((await fetch(reach.fileLink(running, "/"), { method: "POST", body: "x" })).status).toBe(405);
  });

  test("a key of another process opens nothing", async () => {
    const other = await openReachServer(dea);
    try {
      expect((await fetch(reach.fileLink(running, "/app").replace(`:${reach.port}`, `:${other.port}`))).status).toBe(401);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  test("with a domain a link has the server's own name", async () => {
    await using named = await openReachServer(dea, { domain: "apps.example.com", protocol: "https" });
    expect(named.fileLink(running, "/")).toMatch(/^https:\/\/[0-9a-f-]{36}\.apps\.example\.com\/instance_paths\//);
    expect(named.fileLink(running, "/")).toContain(named.externalHost);
  });
});

describe("dea §13: listings, files, ranges", () => {
  test.each([[0, "0B"], [1_023, "1023B"], [1_024, "1.0K"], [1_536, "1.5K"], [1_048_576, "1.0M"], [3 * 2 ** 30, "3.0G"], [2 ** 40, "1.0T"]])("%i bytes are %s", (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });

  test("a folder: name in 35 columns, size in 10, folders with a slash and a dash", async () => {
    const response = await get("/app");
    expect(response.headers.get("content-type")).toBe("text/plain");
    const lines = (await response.text()).split("\n");
    expect(lines).toContain(`${"hello.txt".padEnd(35)} ${"10B".padStart(10)}`);
    expect(lines).toContain(`${"sub/".padEnd(35)} ${"-".padStart(10)}`);
    expect(lines.slice(0, -1)).toEqual([...lines.slice(0, -1)].sort());
    expect(listingLine("x".repeat(40), 1)).toBe(`${"x".repeat(40)}         1B\n`);
    expect(await (await get("/")).text()).toContain("app/ ");
  });

  test.each([
    ["whole", undefined, 200, "0123456789", null],
    ["a part", "bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["from a place on", "bytes=7-", 206, "789", "bytes 7-9/10"],
    ["the end", "bytes=-3", 206, "789", "bytes 7-9/10"],
    ["more than there is", "bytes=5-100", 206, "56789", "bytes 5-9/10"],
    ["behind the end", "bytes=10-", 416, "invalid range: failed to overlap\n", "bytes */10"],
    ["several at once", "bytes=0-1,3-4", 200, "0123456789", null],
    ["backwards", "bytes=4-2", 200, "0123456789", null],
    ["no bytes", "lines=1-2", 200, "0123456789", null],
  ] as const)("range: %s", async (_title, range, status, text, contentRange) => {
    const response = await get("/app/hello.txt", range === undefined ? {} : { range });
    expect([response.status, await response.text(), response.headers.get("content-range")]).toEqual([status, text, contentRange]);
    if (status !== 416) expect(response.headers.get("accept-ranges")).toBe("bytes");
  });

  test("HEAD, types, conditions", async () => {
    const head = await fetch(reach.fileLink(running, "/app/hello.txt"), { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "10", ""]);
    expect(head.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect((await get("/app/binary")).headers.get("content-type")).toBe("application/octet-stream");
    expect(await told(await get("/app/empty"))).toEqual([200, ""]);
    const modified = head.headers.get("last-modified") ?? "";
    expect((await get("/app/hello.txt", { "if-modified-since": modified })).status).toBe(304);
    expect((await get("/app/hello.txt", { range: "bytes=0-0", "if-range": modified })).status).toBe(206);
    expect((await get("/app/hello.txt", { range: "bytes=0-0", "if-range": new Date(0).toUTCString() })).status).toBe(200);
  });

  test("a range is a part of the file, whatever the numbers (property)", () => {
    fc.assert(fc.property(fc.nat(1_000), fc.option(fc.nat(2_000)), fc.option(fc.nat(2_000)), (size, first, last) => {
      const range = parseRange(`bytes=${first ?? ""}-${last ?? ""}`, size);
      if (range.kind !== "part") return;
      expect(range.start).toBeGreaterThanOrEqual(0);
      expect(range.end).toBeGreaterThan(range.start);
      expect(range.end).toBeLessThanOrEqual(size);
      if (first !== null) expect(range.start).toBe(first);
    }));
  });

  test.each([
    ["a link in the app", "/app/inner", 200, "0123456789"],
    ["an absolute link in the app", "/app/absolute", 200, "0123456789"],
    ["a link on a winding way", "/app/winding", 200, "0123456789"],
    ["a link to the host's files", "/app/passwd", 403, '{"error":"Not accessible"}\n'],
    ["a link far up", "/app/up", 403, '{"error":"Not accessible"}\n'],
    ["through a link far up", "/app/up/passwd", 403, '{"error":"Not accessible"}\n'],
    ["a link to a folder whose name begins alike", "/app/prefix", 403, '{"error":"Not accessible"}\n'],
    ["..", "/../../../secret", 403, '{"error":"Not accessible"}\n'],
    [".. that stays inside", "/app/../app/hello.txt", 200, "0123456789"],
    ["a loop of links", "/app/loop", 404, '{"error":"Entity not found"}\n'],
    ["through a file", "/app/hello.txt/x", 404, '{"error":"Entity not found"}\n'],
    ["a pipe", "/app/pipe", 400, "Entity not found.\n"],
    ["a NUL", "/app/\0", 404, '{"error":"Entity not found"}\n'],
  ])("%s", async (_title, path, status, text) => {
    expect(await told(await get(path))).toEqual([status, text]);
  });

  test("a crashed instance's logs can still be read, and nothing else", async () => {
    expect(crashed.state).toBe("CRASHED");
    expect(await told(await fetch(reach.fileLink(crashed, "/logs/app.log")))).toEqual([200, "last words\n"]);
    expect((await fetch(reach.fileLink(crashed, "/app/hello.txt"))).status).toBe(404);
  });
});

describe("dea §13: tail", () => {
  const open = (path: string, more: string): Promise<Response> => get(path, {}, more);
  const reader = (response: Response): { text(): string; ended: Promise<"end" | "broken"> } => {
    let text = "";
    const ended = (async () => {
      try {
        for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) text += Buffer.from(piece).toString();
        return "end" as const;
      } catch {
        return "broken" as const;
      }
    })();
    return { text: () => text, ended };
  };
  const file = (name: string): string => join(home, "app", name);

  test("streams what is appended, ends when the file is renamed", async () => {
    await writeFile(file("grow"), "old\n");
    const response = await open("/app/grow", "&tail");
    const { text, ended } = reader(response);
    expect(response.status).toBe(200);
    await appendFile(file("grow"), "new 1\n");
    await until(() => text() === "new 1\n");
    await appendFile(file("grow"), "new 2\n");
    await until(() => text() === "new 1\nnew 2\n");
    await rename(file("grow"), file("grown"));
    expect(await ended).toBe("end");
  });
  test("tail_offset begins there; a deleted file ends it", async () => {
    await writeFile(file("offset"), "0123456789");
    const { text, ended } = reader(await open("/app/offset", "&tail&tail_offset=4"));
    await until(() => text() === "456789");
    await rm(file("offset"));
    expect(await ended).toBe("end");
  });
  test("without anything new it is broken off, not ended", async () => {
    await writeFile(file("idle"), "");
    const { ended } = reader(await open("/app/idle", "&tail"));
    expect(await ended).toBe("broken");
  });
  test("a file that is cut is read from its beginning", async () => {
    await writeFile(file("cut"), "a long beginning\n");
    const { text } = reader(await open("/app/cut", "&tail"));
    await appendFile(file("cut"), "more\n");
    await until(() => text() === "more\n");
    await truncate(file("cut"), 0);
    await appendFile(file("cut"), "x\n");
    await until(() => text() === "more\nx\n");
  });
  test.each(["-1", "x", "1.5"])("tail_offset=%s is refused", async (offset) => {
    expect(await told(await open("/app/hello.txt", `&tail&tail_offset=${offset}`))).toEqual([500, "Can't serve request due to error: Tail offset must be a positive integer."]);
  });
  test("no more streams than allowed", async () => {
    await writeFile(file("many"), "");
    await using narrow = await openReachServer(dea, { maxStreams: 4 });
    const link = narrow.fileLink(running, "/app/many");
    const all = await Promise.all(Array.from({ length: 5 }, () => fetch(`${link}&tail`)));
    expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 503]);
    for (const response of all) await response.body?.cancel().catch(() => {});
  });
});

describe("dea §13: the viewer of the first generation", () => {
  const view = async (path: string, authorization = `Basic ${Buffer.from("who:pass").toString("base64")}`): Promise<[number, string]> =>
    told(await fetch(`${reach.viewer?.uri}/${running.id}${path}`, { headers: { authorization } }));
  beforeAll(async () => {
    for (const name of ["startup", "stop", "app/stop"]) await writeFile(join(home, name), "x");
  });
  test("name and password", async () => {
    expect((await view("/", "Basic d2hvOng="))[0]).toBe(401);
    expect((await view("/", ""))[0]).toBe(401);
    expect(reach.viewer?.credentials).toEqual(["who", "pass"]);
  });
  test("only app, logs and tomcat at the top", async () => {
    const [status, text] = await view("");
    expect(status).toBe(200);
    expect(text.split("\n").map((line) => line.split(" ")[0])).toEqual(["app/", "logs/", ""]);
    expect((await view("/tmp"))[0]).toBe(404);
    expect((await view("/staging_info.yml"))[0]).toBe(404);
  });
  test.each([["/startup", 403], ["/stop", 403], ["/app/stop", 403], ["/app/passwd", 403], ["/app/inner", 403], ["/app/up/passwd", 404], ["/app/%2e%2e/tmp", 404], ["/app/none", 404]])("%s is refused", async (path, status) => {
    expect((await view(path))[0]).toBe(status);
  });
  test("a file, and a part of it", async () => {
    expect(await view("/app/hello.txt")).toEqual([200, "0123456789"]);
    expect((await view("/app"))[1]).not.toContain("stop");
  });
});

/** Makes folders one in the other; false when something else stands in the way, a link above all. */
async function makeFolders(root: string, steps: readonly string[]): Promise<boolean> {
  let at = root;
  for (const step of steps) {
    at = join(at, step);
    await mkdir(at).catch(() => {});
    if (!(await lstat(at)).isDirectory()) return false;
  }
  return true;
}

test("nothing outside is ever opened, whatever links and paths there are (property)", async () => {
  const root = join(folder.path, "tree");
  const name = fc.constantFrom("a", "b", "c");
  const target = fc.oneof(
    fc.array(fc.constantFrom("..", ".", "a", "b", "c"), { minLength: 1, maxLength: 6 }).map((steps) => steps.join("/")),
    fc.constantFrom("/", "/etc/passwd", "/home/vcap", "/home/vcap/a", "/home/vcap/../../etc", "/home/vcapx/a", "/home/vcap/a/../../..", "/proc/self/root/etc/passwd"),
  );
  const entry = fc.record({ at: fc.array(name, { minLength: 1, maxLength: 3 }), kind: fc.constantFrom("file", "folder", "link"), target });
  const path = fc.array(fc.constantFrom("..", ".", "a", "b", "c", ""), { maxLength: 8 }).map((steps) => steps.join("/"));
  await fc.assert(fc.asyncProperty(fc.array(entry, { maxLength: 8 }), fc.array(path, { minLength: 1, maxLength: 8 }), async (entries, paths) => {
    await rm(root, { recursive: true, force: true });
    await mkdir(root);
    for (const { at, kind, target: to } of entries) {
      const where = join(root, ...at);
      // Links lead to real places of this machine, and this may be root: nothing is ever written through one.
      if (!(await makeFolders(root, at.slice(0, -1)))) continue;
      const made = kind === "folder" ? mkdir(where) : kind === "file" ? writeFile(where, `inside ${at.join("/")}`, { flag: "wx" }) : symlink(to, where);
      await made.catch(() => {});
    }
    for (const one of paths) {
      const opened = await openInside(root, "/home/vcap", one);
      if (opened.found !== "file" && opened.found !== "folder") continue;
      try {
        const real = readlinkSync(`/proc/self/fd/${opened.handle.fd}`);
        expect(real === root || real.startsWith(`${root}/`)).toBe(true);
        if (opened.found === "file") expect(await readFile(`/proc/self/fd/${opened.handle.fd}`, "utf8")).toMatch(/^inside /);
      } finally {
        await opened.handle.close();
        await opened.parent?.close();
      }
    }
  }), { numRuns: 150 });
}, 60_000);

test("an app that swaps a folder for a link while it is read wins nothing", async () => {
  const root = join(folder.path, "swap");
  await mkdir(join(root, "dir"), { recursive: true });
  await writeFile(join(root, "dir", "secret"), "mine");
  let over = false;
  const swapping = (async () => {
    while (!over) {
      await rename(join(root, "dir"), join(root, "kept"));
      await symlink(folder.path, join(root, "dir"));
      await rm(join(root, "dir"));
      await rename(join(root, "kept"), join(root, "dir"));
    }
  })();
  const seen = new Set<string>();
  for (const deadline = Date.now() + 1_000; Date.now() < deadline; ) {
    const opened = await openInside(root, "/home/vcap", "dir/secret");
    if (opened.found === "file") {
      seen.add((await opened.handle.readFile()).toString());
      await opened.handle.close();
      await opened.parent.close();
    }
  }
  over = true;
  await swapping;
  expect([...seen]).toEqual(["mine"]);
}, 30_000);

test("requests that are no HTTP, and targets that are no paths, harm nobody", async () => {
  for (const text of ["GARBAGE\r\n\r\n", "GET //[ HTTP/1.1\r\nHost: x\r\n\r\n", "GET /instance_paths HTTP/1.1\r\nHost: x\r\n\r\n", "GET /instances/%zz HTTP/1.1\r\nHost: x\r\n\r\n"]) {
    await new Promise<void>((resolve) => {
      const socket = connect(reach.port, reach.host, () => socket.end(text));
      socket.on("error", () => resolve()).on("close", () => resolve()).resume();
    });
  }
  expect((await get("/app/hello.txt")).status).toBe(200);
  expect(await told(await fetch(`http://${reach.host}:${reach.port}/healthz`))).toEqual([200, "ok\n"]);
});
