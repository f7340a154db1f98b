import fc from "fast-check";
import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:http2";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { systemBuildpacks } from "../src/buildpack/system.ts";
import { defaultSearchPath } from "../src/environment.ts";
import { unpackTar } from "../src/droplet/unpack-tar.ts";
import type { Droplet } from "../src/stage.ts";
import { eventually, folderWith, temporaryFolder, readDroplet, shellBuildpack } from "./fixtures/folders.ts";
import { failing, staging } from "./fixtures/stage.ts";
import { freePort } from "../../../test/support/free-port.ts";

const examples = new URL("../../../examples/apps/", import.meta.url).pathname;
const folderOf = (short: string): string => systemBuildpacks().find(({ aliases }) => aliases?.includes(short))?.path ?? "";

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) if (child.pid !== undefined && child.exitCode === null) try { process.kill(-child.pid, "SIGKILL"); } catch { /* gone */ }
});

interface Started {
  readonly port: number;
  readonly child: ChildProcess;
  output(): string;
  get(path: string, headers?: Record<string, string>, method?: string): Promise<{ status: number; headers: IncomingHttpHeaders; text: string; bytes: Buffer }>;
}

/** Starts a droplet as a launcher does: profile scripts, then the command, in its folder. */
async function launch(droplet: Droplet, env: Record<string, string> = {}, command = droplet.processTypes["web"] ?? ""): Promise<Started> {
  const home = join(await temporaryFolder(), "vcap");
  await unpackTar(droplet.path, home, { signal: new AbortController().signal, symlinks: "any" });
  const port = await freePort();
  const script = `for f in ../profile.d/*.sh .profile.d/*.sh; do [ -f "$f" ] && . "$f"; done; [ -f .profile ] && . ./.profile; exec sh -c "$START"`;
  const child = spawn("sh", ["-c", script], {
    cwd: join(home, "app"), detached: true, stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/bin:/bin", HOME: join(home, "app"), DEPS_DIR: join(home, "deps"), PORT: String(port), START: command, ...env },
  });
  started.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const get: Started["get"] = (path, headers = {}, method = "GET") =>
    new Promise((done, stop) => {
      const request = httpRequest({ host: "127.0.0.1", port, path, headers, method, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          done({ status: response.statusCode ?? 0, headers: response.headers, text: bytes.toString(), bytes });
        });
      });
      request.once("error", stop).end();
    });
  await eventually(`the app on port ${port}: ${text}`, async () => {
    if (child.exitCode !== null) throw new Error(`the app ended with ${child.exitCode}: ${text}`);
    return get("/").then(() => true, () => false);
  }, 10_000);
  return { port, child, output: () => text, get };
}

describe("nodejs", () => {
  test("hello is staged in a moment, runs, logs each request and heeds SIGTERM", async () => {
    const before = performance.now();
    const { droplet, log } = await staging({ app: join(examples, "hello") });
    expect(performance.now() - before).toBeLessThan(3_000);
    expect(droplet).toMatchObject({ detectedBuildpack: "nodejs", processTypes: { web: "exec node server.js" } });
    expect(log).toContain("No dependencies to install");
    const app = await launch(droplet, { CF_INSTANCE_INDEX: "3", VCAP_APPLICATION: '{"application_name":"<shop>"}' });
    const page = await app.get("/any/path?x=1");
    expect(page.text).toMatch(/&#60;shop&#62;[^]*instance 3/);
    expect(page.text).toContain(String(app.port));
    await eventually("a log line", () => app.output().includes("GET /any/path?x=1"));
    app.child.kill("SIGTERM");
    expect(await eventually("its end", () => app.child.exitCode === 0)).toBe(true);
  });
  test("node_modules sent along needs no network", async () => {
    const { droplet, log } = await staging({
      app: await folderWith({
        "package.json": '{"dependencies": {"dep": "^1.0.0"}, "scripts": {"start": "node --no-warnings app.js"}}', "node_modules/dep/package.json": '{"name": "dep", "version": "1.0.0"}', "node_modules/dep/index.js": 'module.exports = "vendored"',
        "app.js": 'require("http").createServer((q, s) => s.end(require("dep") + process.env.NODE_ENV)).listen(process.env.PORT)',
      }),
      env: { NPM_CONFIG_REGISTRY: "http://127.0.0.1:9/" },
    });
    expect(log).toContain("Using the dependencies in node_modules");
    expect(droplet.processTypes["web"]).toBe("exec node --no-warnings app.js");
    expect((await (await launch(droplet)).get("/")).text).toBe("vendoredproduction");
  });
  test("a lock file that needs no registry is installed by npm ci, scripts in their order, development dependencies only while building", async () => {
    const app = await folderWith({
      "package.json": JSON.stringify({
        name: "shop", version: "1.0.0", dependencies: { lib: "file:lib" }, devDependencies: { tool: "file:tool" },
        scripts: { "heroku-prebuild": "echo step prebuild", build: "node -e \"require('tool');require('fs').writeFileSync('built', 'x')\" && echo step build", start: "node app.js" },
      }),
      "lib/package.json": '{"name": "lib", "version": "1.0.0"}', "tool/package.json": '{"name": "tool", "version": "1.0.0"}', "tool/index.js": "",
      "package-lock.json": JSON.stringify({
        name: "shop", version: "1.0.0", lockfileVersion: 3, requires: true,
        packages: {
          "": { name: "shop", version: "1.0.0", dependencies: { lib: "file:lib" }, devDependencies: { tool: "file:tool" } },
          lib: { version: "1.0.0" }, tool: { version: "1.0.0", dev: true }, "node_modules/lib": { resolved: "lib", link: true }, "node_modules/tool": { resolved: "tool", link: true },
        },
      }),
    });
    const { droplet, log } = await staging({ app, env: { NPM_CONFIG_REGISTRY: "http://127.0.0.1:9/" } });
    expect(log).toMatch(/step prebuild[^]*npm ci[^]*step build[^]*Removing development/);
    const names = [...(await readDroplet(droplet.path)).keys()];
    expect(names).toEqual(expect.arrayContaining(["./app/built", "./app/node_modules/lib"]));
    expect(names).not.toContain("./app/node_modules/tool");
  });
  test("heroku-postbuild runs instead of build", async () => {
    const { log } = await staging({ app: await folderWith({ "package.json": '{"scripts": {"heroku-postbuild": "echo post", "build": "echo plain", "start": "x"}}' }) });
    expect(log).toMatch(/^post$/m);
    expect(log).not.toMatch(/^plain$/m);
  });
  test.each([
    [{ start: "node server.js" }, "exec node server.js"], [{ start: "node ./bin/www --port=1" }, "exec node ./bin/www --port=1"], [{ start: "node a.js && node b.js" }, "npm start"], [{ start: "NODE_ENV=x node a.js" }, "npm start"],
    [{ start: "next start" }, "npm start"], [{ start: "node a.js", prestart: "x" }, "npm start"], [{ start: "node $FILE" }, "npm start"], [{}, "exec node server.js"],
  ])("%j starts by %s", async (scripts, web) => {
    const { droplet } = await staging({ app: await folderWith({ "package.json": JSON.stringify({ scripts }), "server.js": "" }), buildpacks: ["nodejs"] });
    expect(droplet.processTypes).toEqual({ web });
  });
  test("a Procfile counts more; without anything to start it fails and says what to do", async () => {
    expect((await staging({ app: join(examples, "worker") })).droplet.processTypes).toEqual({ worker: "exec node worker.js" });
    expect(await failing({ app: await folderWith({ "package.json": "{}" }) })).toMatchObject({ code: "STAGING_NO_START_COMMAND" });
  });
  test.each([
    ['{"engines": {"node": "0.10.x"}}', 11, /Node 0\.10\.x.*this machine has v\d+/], ['{"engines": {"node": "newest please"}}', 11, /cannot be understood/], ["{", 10, /not valid JSON/], ["[]", 10, /not valid JSON/],
  ])("%s ends with a clear word", async (text, status, says) => {
    const error = await failing({ app: await folderWith({ "package.json": text, "server.js": "" }) });
    expect(error).toMatchObject({ code: "STAGING_FINAL_SUPPLY_FAILED", failure: { exit: status } });
    expect(error.message).toMatch(says);
  });
  test(".nvmrc counts when engines says nothing", async () => {
    expect((await failing({ app: await folderWith({ "package.json": "{}", "server.js": "", ".nvmrc": "v4\n" }) })).message).toMatch(/asks for Node v4 \(\.nvmrc\)/);
    await staging({ app: await folderWith({ "package.json": "{}", "server.js": "", ".nvmrc": "lts/*\n" }) });
  });
  test("a lock file that does not fit ends with npm's own words", async () => {
    const error = await failing({ app: await folderWith({ "package.json": '{"name": "x", "dependencies": {"absent": "1"}}', "package-lock.json": '{"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}' }), env: { NPM_CONFIG_FETCH_RETRIES: "0", NPM_CONFIG_REGISTRY: "http://127.0.0.1:9/" } });
    expect(error.code).toBe("STAGING_FINAL_SUPPLY_FAILED");
    expect(error.failure?.tail?.join("\n")).toMatch(/npm/);
  });
  test.each([["", "--production=true"], ['"devDependencies": {"d": "1"}, "scripts": {"build": "echo built"},', "--production=false"]])("yarn.lock is for yarn, where there is one: %s", async (more, flag) => {
    const tools = await folderWith({ yarn: ["#!/bin/sh\necho yarn $*\n", 0o755] });
    const app = await folderWith({ "package.json": `{${more} "dependencies": {"a": "1"}}`, "yarn.lock": "", "server.js": "" });
    const { log } = await staging({ app }, { searchPath: `${tools}:${defaultSearchPath()}` });
    expect(log).toMatch(new RegExp(`yarn install --frozen-lockfile --ignore-engines --cache-folder \\S+ ${flag}\n`));
    expect(log.includes("--production=true --prefer-offline")).toBe(more !== "");
  });
  test("supplies Node to a buildpack after it", async () => {
    const { log } = await staging({ app: join(examples, "hello"), buildpacks: ["nodejs", await shellBuildpack({ finalize: 'node -p "1+1"; echo "$NODE_ENV"', release: "echo 'default_process_types: {web: w}'" })] });
    expect(log).toMatch(/^2\nproduction$/m);
  });
});

test.each([
  ["20.5.1", ">=18", true], ["20.5.1", "18.x || 20.x", true], ["20.5.1", "^20.6", false], ["20.5.1", "~20.5", true], ["20.5.1", "20", true], ["20.5.1", "20.5.2", false], ["20.5.1", ">=18 <20", false], ["20.5.1", ">= 18 < 21", true],
  ["20.5.1", "18 - 20", true], ["20.5.1", "18 - 20.4", false], ["20.5.1", "*", true], ["20.5.1", "", true], ["20.5.1", "lts/*", true], ["20.5.1", "latest", true], ["20.5.1", ">20", false], ["20.5.1", "<=20", true], ["20.5.1", "v20.5.1", true],
  ["20.5.1", "x", true], ["20.5.1", "^0.12", false], ["20.5.1", "nonsense!", undefined], ["0.2.3", "^0.2.1", true], ["0.3.0", "^0.2.1", false], ["20.5.1", ">=18.0.0-rc.1", true],
] as const)("Node %s and the range %j: %s", async (version, range, expected) => {
  const { satisfies } = await import(/* @vite-ignore */ `file://${folderOf("nodejs")}/lib/semver.mjs`) as { satisfies(version: string, range: string): boolean | undefined };
  expect(satisfies(version, range)).toBe(expected);
});

describe("binary", () => {
  test("is never detected, and needs a command", async () => {
    const app = await folderWith({ run: ["#!/bin/sh\necho hi", 0o755] });
    expect(await failing({ app })).toMatchObject({ code: "STAGING_NOTHING_DETECTED" });
    expect(await failing({ app, buildpacks: ["binary"] })).toMatchObject({ code: "STAGING_NO_START_COMMAND" });
    expect((await staging({ app, buildpacks: ["binary_buildpack"], command: "./run" })).droplet.processTypes).toEqual({});
  });
  test("passes on what others supplied", async () => {
    const supplier = await shellBuildpack({ supply: `mkdir -p "$3/$4/bin" "$3/$4/lib" "$3/$4/profile.d"; echo "export FROM=profile" > "$3/$4/profile.d/a.sh"` });
    const { droplet } = await staging({ app: await folderWith({ Procfile: "web: ./x" }), buildpacks: [supplier, "binary"] });
    const entries = await readDroplet(droplet.path);
    expect(entries.get("./profile.d/000_multi-supply.sh")?.text).toMatch(/PATH="\$DEPS_DIR\/0\/bin[^]*LD_LIBRARY_PATH="\$DEPS_DIR\/0\/lib/);
    expect(entries.get("./profile.d/0_a.sh")?.text).toBe("export FROM=profile\n");
    expect(droplet.processTypes).toEqual({ web: "./x" });
  });
});

describe("staticfile", () => {
  const page = "<h1>start</h1>";
  const site = async (staticfile: string, files: Parameters<typeof folderWith>[0] = {}, env: Record<string, string> = {}): Promise<Started & { log: string }> => {
    const { droplet, log } = await staging({ app: await folderWith({ Staticfile: staticfile, "index.html": page, "sub/a.txt": "a", "sub/.secret": "s", ".hidden": "h", ...files }) });
    expect(droplet).toMatchObject({ detectedBuildpack: "staticfile", processTypes: { web: "exec $HOME/boot.sh" } });
    return Object.assign(await launch(droplet, env), { log });
  };

  test("serves files with type, length, tag and ranges, folders by their index, and nothing else", async () => {
    const { get, child } = await site("", { "deep/index.html": "deep", "data.json": "{}", "Staticfile.txt": "x", "ä b.txt": "umlaut", "manifest.yml": "m", "public/p.txt": "p" });
    expect(await get("/")).toMatchObject({ status: 200, text: page, headers: { "content-type": "text/html; charset=utf-8", "content-length": String(page.length) } });
    expect((await get("/data.json")).headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(await get("/deep")).toMatchObject({ status: 301, headers: { location: "/deep/" } });
    expect(await get("//evil.example/..%2fdeep?x=1")).toMatchObject({ status: 301, headers: { location: expect.stringMatching(/^\/[^/]/) as string } });
    expect((await get("/deep/")).text).toBe("deep");
    expect((await get("/%C3%A4%20b.txt")).text).toBe("umlaut");
    expect((await get("/public/p.txt")).text).toBe("p");
    for (const path of ["/nothing", "/Staticfile", "/manifest.yml", "/.hidden", "/sub/.secret", "/..%2f..%2fstaging_info.yml", "/../boot.sh", "/index.html/", "/%00", "/boot.sh"]) expect([path, (await get(path)).status]).toEqual([path, 404]);
    expect((await get("/sub/")).status).toBe(403);
    expect((await get("/%zz")).status).toBe(400);
    expect(await get("/", {}, "POST")).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    expect(await get("/", {}, "HEAD")).toMatchObject({ status: 200, text: "", headers: { "content-length": String(page.length) } });
    const { etag } = (await get("/")).headers;
    expect(await get("/", { "if-none-match": String(etag) })).toMatchObject({ status: 304, text: "" });
    expect(await get("/", { range: "bytes=1-2" })).toMatchObject({ status: 206, text: "h1", headers: { "content-range": `bytes 1-2/${page.length}` } });
    expect(await get("/", { range: "bytes=-5" })).toMatchObject({ status: 206, text: "</h1>" });
    expect(await get("/", { range: "bytes=1-2", "if-range": '"other"' })).toMatchObject({ status: 200 });
    expect((await get("/", { range: "bytes=900-" })).status).toBe(416);
    child.kill("SIGTERM");
    await eventually("its end", () => child.exitCode === 0);
  });
  test("compresses text from 1100 bytes, and uses what is compressed already", async () => {
    const text = "word ".repeat(500);
    const { get } = await site("", { "big.txt": text, "big.bin": text, "huge.css": text.repeat(60), "ready.js": "source" });
    const gzip = { "accept-encoding": "br, gzip;q=0.8" };
    for (const [path, expected] of [["/big.txt", text], ["/huge.css", text.repeat(60)]] as const) {
      const answer = await get(path, gzip);
      expect(answer.headers).toMatchObject({ "content-encoding": "gzip", vary: "accept-encoding", etag: expect.stringMatching(/^W\//) as string });
      expect(gunzipSync(answer.bytes).toString()).toBe(expected);
    }
    for (const [path, headers] of [["/", gzip], ["/big.bin", gzip], ["/big.txt", {}], ["/big.txt", { "accept-encoding": "gzip;q=0" }]] as const) expect([path, (await get(path, headers)).headers["content-encoding"]]).toEqual([path, undefined]);
  });
  test("pre-compressed files", async () => {
    const app = await folderWith({ Staticfile: "", "app.js": "plain" });
    await writeFile(join(app, "app.js.gz"), gzipSync("packed"));
    const { get } = await launch((await staging({ app })).droplet);
    expect(gunzipSync((await get("/app.js", { "accept-encoding": "gzip" })).bytes).toString()).toBe("packed");
    expect((await get("/app.js")).text).toBe("plain");
  });
  test("root", async () => {
    const { get } = await site("root: sub", { "sub/index.html": "below" });
    expect((await get("/")).text).toBe("below");
    expect((await get("/a.txt")).text).toBe("a");
    for (const [root, says] of [["nowhere", /does not exist/], ["index.html", /is a file/], ["../..", /outside/]] as const) {
      const error = await failing({ app: await folderWith({ Staticfile: `root: ${root}`, "index.html": "" }) });
      expect(error).toMatchObject({ code: "STAGING_FINALIZE_FAILED" });
      expect(error.message).toMatch(says);
    }
  });
  test("host_dot_files", async () => {
    const { get } = await site("host_dot_files: true", { ".profile": "export X=1", ".well-known/x": "w" });
    expect([(await get("/.hidden")).text, (await get("/sub/.secret")).text, (await get("/.well-known/x")).text]).toEqual(["h", "s", "w"]);
    expect((await get("/.profile")).status).toBe(404);
  });
  test.each([["visible", 200], ["enabled", 200], ["disabled", 403], ["false", 403], ['""', 403]])("directory: %s gives %i", async (word, status) => {
    const { get } = await site(`directory: ${word}`, { "sub/<b>.txt": "x" });
    const answer = await get("/sub/");
    expect(answer.status).toBe(status);
    if (status === 200) {
      expect(answer.text).toContain('<a href="./a.txt">a.txt</a>');
      expect(answer.text).toContain("&#60;b&#62;.txt");
      expect(answer.text).not.toContain(".secret");
    }
  });
  test("ssi", async () => {
    const { get } = await site("ssi: enabled", { "p.html": 'A<!--#include virtual="/part.html" -->B<!--#include file="sub/a.txt"--><!--#echo var="DOCUMENT_URI" --><!--#include virtual="../../etc/passwd" --><!--#exec cmd="id" -->', "part.html": 'part <!--#include virtual="part.html"-->' });
    const { text } = await get("/p.html");
    expect(text).toMatch(/^Apart (part )+\[an error occurred/);
    expect(text).toMatch(/Ba\/p\.html\[an error occurred[^]*\]$/);
    expect(text).not.toMatch(/uid=|root:/);
  });
  test("pushstate", async () => {
    const { get } = await site("pushstate: enabled");
    expect(await get("/some/where")).toMatchObject({ status: 200, text: page });
    expect((await get("/sub/a.txt")).text).toBe("a");
    expect((await get("/.hidden")).status).toBe(404);
  });
  test.each([
    ["http_strict_transport_security: true", "max-age=31536000", ""], ["http_strict_transport_security: enabled\nhttp_strict_transport_security_include_subdomains: true\nhttp_strict_transport_security_preload: true", "max-age=31536000; includeSubDomains; preload", ""],
    ["http_strict_transport_security_preload: true", undefined, "does nothing"], ["http_strict_transport_security: false", undefined, ""],
  ])("%j", async (text, header, warning) => {
    const { get, log } = await site(text);
    expect((await get("/")).headers["strict-transport-security"]).toBe(header);
    expect((await get("/nothing")).headers["strict-transport-security"]).toBeUndefined();
    expect(log).toContain(warning);
  });
  test.each([["force_https: true", {}], ["", { FORCE_HTTPS: "1" }]])("force_https by %j %j", async (text, env) => {
    const { get } = await site(text, {}, env);
    expect(await get("/x?y=1", { host: "shop.example.com" })).toMatchObject({ status: 301, headers: { location: "https://shop.example.com/x?y=1" } });
    expect(await get("/x", { host: "a", "x-forwarded-proto": "http" })).toMatchObject({ status: 301 });
    expect(await get("/x", { "x-forwarded-proto": "http, https", "x-forwarded-host": "front.example.com, b", "x-forwarded-prefix": "/shop/, /b" })).toMatchObject({ headers: { location: "https://front.example.com/shop/x" } });
    expect(await get("/", { "x-forwarded-proto": "https" })).toMatchObject({ status: 200 });
    expect((await get("/", { "x-forwarded-host": "evil host/" })).status).toBe(400);
  });
  test.each([["enable_http2: enabled", {}], ["", { ENABLE_HTTP2: "yes" }]])("HTTP/2 by %j %j, HTTP/1 on the same port", async (text, env) => {
    const { get, port } = await site(text, {}, env);
    expect((await get("/")).text).toBe(page);
    const session = connect(`http://127.0.0.1:${port}`);
    try {
      const stream = session.request({ ":path": "/sub/a.txt" });
      let body = "";
      const status = await new Promise((done, stop) => {
        let code: unknown;
        stream.on("response", (headers) => (code = headers[":status"])).on("data", (chunk: Buffer) => (body += chunk.toString())).on("end", () => done(code)).on("error", stop);
      });
      expect([status, body]).toEqual([200, "a"]);
    } finally {
      session.destroy();
    }
  });
  test("status_codes, single ones before groups", async () => {
    const { get } = await site("status_codes:\n  4xx: /any.html\n  404: lost.html\n", { "any.html": "any", "lost.html": "lost" });
    expect(await get("/nothing")).toMatchObject({ status: 404, text: "lost", headers: { "content-type": "text/html; charset=utf-8" } });
    expect(await get("/sub/")).toMatchObject({ status: 403, text: "any" });
    expect(await get("/", {}, "PUT")).toMatchObject({ status: 405, text: "any" });
  });
  test("location_include, nginx.conf and unknown keys are told, not obeyed", async () => {
    const { log } = await site("location_include: inc.conf\nfancy: true\n", { "nginx.conf": "server {}" });
    expect(log).toMatch(/WARNING.*location_include/);
    expect(log).toMatch(/WARNING.*nginx\.conf/);
    expect(log).toMatch(/WARNING.*"fancy"/);
  });
  test("Staticfile.auth, every kind of hash", async () => {
    const { get } = await site("", { "Staticfile.auth": "# people\nmd5:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\nsha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nplain:{PLAIN}pa:ss\n" });
    const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
    for (const pair of ["md5:myPassword", "sha:password", "plain:pa:ss"]) expect([pair, (await get("/", basic(pair))).status]).toEqual([pair, 200]);
    for (const pair of ["md5:wrong", "sha:", "plain:pa", "nobody:password", ":"]) expect([pair, (await get("/", basic(pair))).status]).toEqual([pair, 401]);
    expect((await get("/")).headers["www-authenticate"]).toBe('Basic realm="Restricted"');
    expect((await get("/Staticfile.auth", basic("plain:pa:ss"))).status).toBe(404);
    expect((await failing({ app: await folderWith({ Staticfile: "", "Staticfile.auth": "u:$2y$05$abcdefghijklmnopqrstuv" }) })).message).toMatch(/line 1.*htpasswd -m/);
  });
  test("a Staticfile that cannot be read is named by line", async () => {
    expect((await failing({ app: await folderWith({ Staticfile: "root: a\nwhat is this\n" }) })).message).toMatch(/Staticfile, line 2/);
  });
  test("the sample site", async () => {
    const { get } = await launch((await staging({ app: join(examples, "static") })).droplet);
    expect((await get("/any/route")).text).toContain("A static site");
  });
  test("for any path the answer is a file of the site or a refusal, never one from elsewhere", async () => {
    const { get } = await site("directory: enabled", { "ok/x.txt": "fine" });
    await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom("..", "%2e%2e", ".", "", "ok", "x.txt", "%2f", "%5c", "%00", "deps", "etc", "passwd", "boot.sh", "~"), { maxLength: 8 }), async (parts) => {
      const { status, text } = await get(`/${parts.join("/")}`);
      expect([200, 301, 400, 403, 404]).toContain(status);
      expect(text).not.toMatch(/root:|#!\/bin|settings/);
    }), { numRuns: 100 });
  });
});

async function apr1Of(password: string, salt: string): Promise<string> {
  const { apr1 } = await import(/* @vite-ignore */ `file://${folderOf("staticfile")}/lib/server/auth.mjs`) as { apr1(password: string, salt: string): string };
  return apr1(password, salt);
}

test.each([["myPassword", "r31.....", "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"], ["abc", "saltsalt", "$apr1$saltsalt$zhKfaBR/mDskmmm4DCE1K."], ["a long password, longer than sixteen", "saltsalt", "$apr1$saltsalt$gC.MRQT2cHn.jmj16hLrI."], ["", "saltsalt", "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/"]])("apr1 of %j with the salt %s, as openssl has it", async (password, salt, expected) => {
  expect(await apr1Of(password, salt)).toBe(expected);
});

test("the sample apps crasher and sticky do what they are for", async () => {
  const sticky = await launch((await staging({ app: join(examples, "sticky") })).droplet);
  const first = await sticky.get("/");
  const cookie = String(first.headers["set-cookie"]).split(";")[0] ?? "";
  expect(JSON.parse((await sticky.get("/", { cookie })).text)).toMatchObject({ visits: 2 });
  const crasher = await launch((await staging({ app: join(examples, "crasher") })).droplet);
  expect((await crasher.get("/")).text).toContain("is up");
  await crasher.get("/crash?status=3");
  expect(await eventually("its crash", () => crasher.child.exitCode !== null && crasher.child.exitCode)).toBe(3);
});

test("two droplets of each sample app are equal", async () => {
  for (const name of ["hello", "static", "worker", "crasher", "sticky"]) {
    const [one, two] = [await staging({ app: join(examples, name) }), await staging({ app: join(examples, name) })];
    expect([name, one.droplet.digest]).toEqual([name, two.droplet.digest]);
  }
});
