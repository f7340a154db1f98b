import { execFileSync } from "node:child_process";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { chmod, readdir, readFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inspectBuildpack } from "../src/buildpack/inspect.ts";
import { readSource } from "../src/buildpack/resolve.ts";
import { systemBuildpacks } from "../src/buildpack/system.ts";
import { folderWith, shellBuildpack, temporaryFolder, writeTree } from "./fixtures/folders.ts";
import { failing, staging } from "./fixtures/stage.ts";
import { type RawEntry, zipBytes, zipOf } from "./fixtures/zip.ts";

const scripts: readonly RawEntry[] = [
  { name: "bin/detect", data: "#!/bin/sh\necho zipped\n", mode: 0o100644 },
  { name: "bin/finalize", data: "#!/bin/sh\necho finalized by zip\n", mode: 0o100644 },
  { name: "bin/release", data: "#!/bin/sh\necho 'default_process_types: {web: zip}'\n", mode: 0o100644 },
];
const below = (top: string): RawEntry[] => scripts.map((entry) => ({ ...entry, name: `${top}/${String(entry.name)}` }));

interface Answer {
  readonly status: number;
  readonly body?: Buffer | string;
  readonly headers?: Record<string, string>;
}
let server: Server;
let base = "";
let answer: (request: IncomingMessage) => Answer = () => ({ status: 404 });
let asked: IncomingMessage[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request);
    const { status, body = "", headers = {} } = answer(request);
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
const serve = (handle: typeof answer): void => {
  asked = [];
  answer = handle;
};

describe("a zip", () => {
  test.each([["at the top", scripts], ["in one folder", below("owner-repo-1a2b3c")]])("with bin %s works, its lost x bits are set", async (_, entries) => {
    const { droplet, log } = await staging({ buildpacks: [await zipOf(entries)] });
    expect(droplet.processTypes).toEqual({ web: "zip" });
    expect(log).not.toContain("not executable");
  });
  test.each([["nothing", []], ["two folders", [...below("a"), ...below("b")]], ["no bin", [{ name: "README", data: "r" }]], ["an evil name", [{ name: "../x", data: "x" }]]])("with %s is refused by name", async (_, entries) => {
    const zip = await zipOf(entries);
    expect(await failing({ buildpacks: [zip] })).toMatchObject({ code: "STAGING_BUILDPACK_INVALID", message: expect.stringContaining(zip) as string });
  });
});

describe("a URL of a zip", () => {
  test("may have a query, and redirects are followed", async () => {
    serve(({ url }) => (url === "/bp.zip?version=1" ? { status: 302, headers: { location: "/real" } } : { status: 200, body: zipBytes(scripts) }));
    const { droplet, log } = await staging({ buildpacks: [`${base}/bp.zip?version=1`] });
    expect(droplet.buildpacks[0]?.key).toBe(`${base}/bp.zip?version=1`);
    expect(log).toContain("Downloading");
    expect(log).toContain("finalized by zip");
  });
  test("that is signed anew each time keeps its cache; the same zip may come twice", async () => {
    const count = `#!/bin/sh\nn=$(cat "$2/n" 2>/dev/null || echo 0); echo $((n + 1)) | tee "$2/n"`;
    serve(() => ({ status: 200, body: zipBytes([...scripts.slice(1), { name: "bin/supply", data: count }]) }));
    const cache = join(await temporaryFolder(), "cache");
    await staging({ cache, buildpacks: [`${base}/a.zip?signature=1`] });
    const { log } = await staging({ cache, buildpacks: [`${base}/a.zip?signature=2`, `${base}/a.zip?signature=2`] });
    expect(log.match(/^\d$/gm)).toEqual(["2", "3"]);
  });
  test("carries its credentials in a header, and nobody sees them", async () => {
    serve(() => ({ status: 200, body: zipBytes(scripts) }));
    const url = `${base.replace("//", "//me:s3cret@")}/bp.zip?token=abc`;
    const { droplet, log } = await staging({ buildpacks: [url] });
    expect(asked[0]?.headers.authorization).toBe(`Basic ${Buffer.from("me:s3cret").toString("base64")}`);
    expect(JSON.stringify(droplet) + log).not.toMatch(/s3cret|abc/);
    serve(() => ({ status: 403, body: "no" }));
    const error = await failing({ buildpacks: [url] });
    expect(error).toMatchObject({ code: "STAGING_BUILDPACK_DOWNLOAD_FAILED", message: expect.stringMatching(/\*\*\*:\*\*\*@.*answered 403/) as string });
    expect(JSON.stringify(error) + error.message).not.toMatch(/s3cret|abc/);
  });
  test("is tried again when the fault may pass, and not when it will not", async () => {
    let count = 0;
    serve(() => (++count < 3 ? { status: 503 } : { status: 200, body: zipBytes(scripts) }));
    await staging({ buildpacks: [`${base}/a.zip`] });
    expect(asked).toHaveLength(3);
    serve(() => ({ status: 404 }));
    await failing({ buildpacks: [`${base}/a.zip`] });
    expect(asked).toHaveLength(1);
  });
  test("where nobody listens is told with the reason", async () => {
    const closed = createServer();
    await new Promise<void>((done) => closed.listen(0, "127.0.0.1", done));
    const { port } = closed.address() as AddressInfo;
    await new Promise((done) => closed.close(done));
    const error = await failing({ buildpacks: [`http://127.0.0.1:${port}/a.zip`] });
    expect(error).toMatchObject({ code: "STAGING_BUILDPACK_DOWNLOAD_FAILED", retryable: true });
    expect(error.message).toMatch(/ECONNREFUSED/);
  });
});

describe("a catalog entry with a URL", () => {
  const bytes = zipBytes(scripts);
  const sha256 = createHash("sha256").update(bytes).digest("hex");

  test("is fetched once by key, also by two builds at a time", async () => {
    serve(() => ({ status: 200, body: bytes }));
    const buildpacksDir = join(await temporaryFolder(), "buildpacks");
    const catalog = [{ name: "zipped", key: "guid_1", url: `${base}/x`, sha256 }];
    const both = await Promise.all([staging({}, { catalog, buildpacksDir }), staging({ buildpacks: ["zipped"] }, { catalog, buildpacksDir })]);
    expect(both.map(({ droplet }) => droplet.buildpacks[0]?.key)).toEqual(["guid_1", "guid_1"]);
    expect(asked).toHaveLength(1);
    expect(await readdir(buildpacksDir)).toHaveLength(1);
    await staging({}, { catalog: [{ name: "zipped", key: "guid_2", url: `${base}/x` }], buildpacksDir });
    expect(asked).toHaveLength(2);
  });
  test("with another checksum is refused and not kept", async () => {
    serve(() => ({ status: 200, body: bytes }));
    const buildpacksDir = join(await temporaryFolder(), "buildpacks");
    const catalog = [{ name: "zipped", url: `${base}/x`, sha256: "0".repeat(64) }];
    expect(await failing({}, { catalog, buildpacksDir })).toMatchObject({ code: "STAGING_BUILDPACK_DIGEST_MISMATCH" });
    expect(await readdir(buildpacksDir)).toEqual([]);
  });
});

describe("a git repository", () => {
  let repository = "";
  let first = "";
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "-C", repository, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  const version = (number: number) => writeTree(repository, {
    "bin/finalize": [`#!/bin/sh\necho version ${number}\n`, 0o755], "bin/release": ["#!/bin/sh\necho 'default_process_types: {web: g}'\n", 0o755],
  });
  beforeAll(async () => {
    repository = join(await temporaryFolder(), "bp.git");
    await writeTree(repository, { VERSION: "1.2.3\n" });
    git("init", "-q", "-b", "main");
    await version(1);
    git("add", "."), git("commit", "-q", "-m", "one"), git("tag", "v1");
    first = git("rev-parse", "HEAD");
    git("checkout", "-q", "-b", "next");
    await version(2);
    git("commit", "-q", "-a", "-m", "two");
    git("checkout", "-q", "main");
    await version(3);
    git("commit", "-q", "-a", "-m", "three");
  });

  test.each([["its head", "", 3], ["a tag", "#v1", 1], ["a branch", "#next", 2], ["a commit", () => `#${first}`, 1], ["a short commit", () => `#${first.slice(0, 10)}`, 1]])("at %s", async (_, ref, expected) => {
    const url = `file://${repository}${typeof ref === "string" ? ref : ref()}`;
    const { log, droplet } = await staging({ buildpacks: [url] });
    expect(log).toContain(`version ${expected}\n`);
    expect(droplet.buildpacks[0]).toMatchObject({ key: url, version: "1.2.3" });
  });
  test("without that branch: git's own words come through", async () => {
    const error = await failing({ buildpacks: [`file://${repository}#nowhere`] });
    expect(error).toMatchObject({ code: "STAGING_BUILDPACK_CLONE_FAILED", id: "StagingError", builderExit: 1 });
    expect(error.message).toMatch(/nowhere.*(did not match|not found)/s);
  });
  test("that is none: git's own words, credentials hidden everywhere", async () => {
    serve(() => ({ status: 404 }));
    const lines: string[] = [];
    const error = await failing({ buildpacks: [`${base.replace("//", "//me:s3cret@")}/x.git`] }, { onLine: ({ text }) => lines.push(text) });
    expect(error.code).toBe("STAGING_BUILDPACK_CLONE_FAILED");
    expect(error.message).toMatch(/repository .*not found/i);
    expect(asked.some(({ headers }) => headers.authorization === `Basic ${Buffer.from("me:s3cret").toString("base64")}`)).toBe(true);
    expect(lines.join() + error.message + JSON.stringify(error.failure)).not.toContain("s3cret");
  });
  test.each(["#--upload-pack=touch", "#a b", "#a..b~1"])("with the odd ref %s starts nothing", async (ref) => {
    expect(await failing({ buildpacks: [`file://${repository}${ref}`] })).toMatchObject({ code: "STAGING_BUILDPACK_CLONE_FAILED" });
  });
  test("that never answers is ended by the time limit", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
    try {
      expect(await failing({ buildpacks: [`http://127.0.0.1:${(silent.address() as AddressInfo).port}/x.git`] }, { timeoutMs: 800 })).toMatchObject({ code: "STAGING_TIMEOUT" });
    } finally {
      silent.closeAllConnections();
      silent.close();
    }
  });
});

describe("a name", () => {
  const rules = { catalog: systemBuildpacks(), allowLocal: true, stack: "cflinuxfs4" };
  test.each([
    ["nodejs", { kind: "catalog" }], ["nodejs_buildpack", { kind: "catalog" }],
    ["https://h/x.git#v1", { kind: "git", url: "https://h/x.git", ref: "v1" }], ["https://h/x", { kind: "git", ref: undefined }], ["https://h/x.ZIP?a=b", { kind: "zip-url" }],
    ["git@h:o/r.git#b", { kind: "git", url: "git@h:o/r.git", ref: "b" }], ["ssh://git@h/o/r", { kind: "git" }], ["git://h/r", { kind: "git", local: false }],
    ["./bp", { kind: "path" }], ["/abs/bp.zip", { kind: "path", path: "/abs/bp.zip" }],
  ])("%s", (name, expected) => expect(readSource(name, rules)).toMatchObject(expected));
  test.each([
    ["nope", "STAGING_BUILDPACK_UNKNOWN", /staticfile_buildpack, nodejs_buildpack, binary_buildpack/], ["ftp://h/x.zip", "STAGING_BUILDPACK_UNKNOWN", /https/], ["ext::sh -c id", "STAGING_BUILDPACK_UNKNOWN", /no buildpack named/],
    ["http://[", "STAGING_BUILDPACK_UNKNOWN", /valid URL/],
  ])("%s is refused", (name, code, says) => {
    expect(() => readSource(name, rules)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(says) as string }) as Error);
  });
  test.each(["./bp", "/etc", "file:///etc", "ssh://git@h/r", "git@h:o/r", "../x.zip"])("%s reaches into the machine: refused where that is not allowed", (name) => {
    expect(() => readSource(name, { ...rules, allowLocal: false })).toThrow(expect.objectContaining({ code: "STAGING_BUILDPACK_NOT_ALLOWED" }) as Error);
  });
  test("of a folder that is not there", async () => {
    expect(await failing({ buildpacks: ["./no-such-folder"] })).toMatchObject({ code: "STAGING_BUILDPACK_UNKNOWN" });
    expect(await failing({ buildpacks: [await folderWith({ "README": "" })] })).toMatchObject({ code: "STAGING_BUILDPACK_INVALID" });
  });
});

describe("the buildpacks of this package", () => {
  test("come in their order, with versions, each whole by itself", async () => {
    const list = systemBuildpacks();
    expect(list.map(({ name }) => name)).toEqual(["staticfile_buildpack", "nodejs_buildpack", "binary_buildpack"]);
    const shared = new Set<string>();
    for (const { path, version } of list) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      for (const script of await readdir(join(path, "bin"))) execFileSync("test", ["-x", join(path, "bin", script)]);
      shared.add(await readFile(join(path, "lib/launch-env.sh"), "utf8"));
    }
    expect(shared.size).toBe(1);
  });
  test("are declared as files of the package", async () => {
    const manifest = JSON.parse(await readFile(join(dirname(systemBuildpacks()[0]?.path ?? ""), "..", "package.json"), "utf8")) as { files: string[] };
    expect(manifest.files).toContain("buildpacks");
  });
});

describe("the zip of a buildpack at upload", () => {
  test("tells what it is, and what its author may have overlooked", async () => {
    const summary = await inspectBuildpack(await zipOf([...below("x"), { name: "x/VERSION", data: "1.2.3\nmore" }, { name: "x/manifest.yml", data: "stack: cflinuxfs4" }]), { stacks: ["cflinuxfs4"] });
    expect(summary).toMatchObject({ scripts: ["detect", "finalize", "release"], version: "1.2.3", stack: "cflinuxfs4" });
    expect(summary.warnings.join("\n")).toMatch(/bin\/supply[^]*lost the x bits/);
  });
  test("without fault has no warnings", async () => {
    const mode = 0o100755;
    const all = ["detect", "supply", "finalize", "release"].map((name) => ({ name: `bin/${name}`, data: "#!/bin/sh", mode }));
    expect(await inspectBuildpack(await zipOf([...all, { name: "VERSION", data: "1" }]))).toEqual({ scripts: ["detect", "finalize", "release", "supply"], version: "1", stack: undefined, warnings: [] });
  });
  test.each<[string, readonly RawEntry[], string, RegExp]>([
    ["empty", [], "STAGING_BUILDPACK_INVALID", /no bin folder/],
    ["of something else", [{ name: "a", data: "a" }], "STAGING_BUILDPACK_INVALID", /no bin folder/],
    ["with an evil name", [{ name: "../bin/detect", data: "a" }], "STAGING_BUILDPACK_INVALID", /\.\./],
    ["for another stack", [...scripts, { name: "manifest.yml", data: "stack: other" }], "STAGING_STACK_UNSUPPORTED", /other/],
    ["with a broken manifest", [...scripts, { name: "manifest.yml", data: "a: b: c" }], "STAGING_BUILDPACK_INVALID", /manifest\.yml/],
  ])("%s is refused", async (_, entries, code, says) => {
    await expect(inspectBuildpack(await zipOf(entries), { stacks: ["cflinuxfs4"] })).rejects.toMatchObject({ code, message: expect.stringMatching(says) as string });
  });
  test("that is no zip is refused", async () => {
    await expect(inspectBuildpack(join(await folderWith({ a: "a" }), "a"))).rejects.toMatchObject({ code: "STAGING_BUILDPACK_INVALID" });
  });
});

test("a buildpack folder that lost its x bits is named with what to do", async () => {
  const buildpack = await shellBuildpack({ finalize: ":", release: "echo" });
  await chmod(join(buildpack, "bin/finalize"), 0o644);
  const error = await failing({ buildpacks: [buildpack] });
  expect(error).toMatchObject({ code: "STAGING_FINALIZE_FAILED", failure: { exit: 126 } });
  expect(error.message).toContain("not executable");
});
