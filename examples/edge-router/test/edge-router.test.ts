import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { createServer, request, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEdge } from "../edge.ts";

const here = fileURLToPath(new URL("..", import.meta.url));

function ask(port: number, path: string, headers: Record<string, string> = {}): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, headers: { host: `localhost:${port}`, ...headers } }, (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (part: string) => (body += part)).on("end", () => resolve({ status: answer.statusCode as number, headers: answer.headers, body })).on("error", reject);
    });
    asked.on("error", reject).end();
  });
}

describe("the program, as the README says it", () => {
  let folder = "";
  let program: ChildProcess;
  let output = "";
  let port = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "opencf-edge-"));
    await build({
      entryPoints: [join(here, "cli.ts")], outfile: join(folder, "cli.mjs"), bundle: true, platform: "node", target: "node20", format: "esm", logLevel: "error",
      banner: { js: 'import { createRequire as _require } from "node:module"; const require = _require(import.meta.url);' },
    });
    program = spawn(process.execPath, [join(folder, "cli.mjs")], { env: { ...process.env, PORT: "0", EDGE_KEY: "let-me-in" }, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [program.stdout, program.stderr]) stream?.on("data", (text: Buffer) => (output += text.toString()));
    for (const until = Date.now() + 20_000; !/localhost:\d+\/ /.test(output); ) {
      if (Date.now() > until || program.exitCode !== null) throw new Error(`it did not start: ${output}`);
      await new Promise((done) => setTimeout(done, 20));
    }
    port = Number(/localhost:(\d+)\//.exec(output)?.[1]);
  });
  afterAll(async () => {
    if (program.exitCode === null && program.signalCode === null) {
      program.kill("SIGKILL");
      await once(program, "exit");
    }
    await rm(folder, { recursive: true, force: true });
  });

  test("every curl of the README answers what stands there", async () => {
    const text = await readFile(join(here, "README.md"), "utf8");
    const spoken = [...text.matchAll(/^\$ curl (?:-H '([^:]+): ([^']+)' )?http:\/\/localhost:8080(\S+)\n(.+)$/gm)];
    expect(spoken.length).toBe(4);
    for (const [, name, value, path, answer] of spoken) {
      expect(await ask(port, path as string, name === undefined ? {} : { [name]: value as string })).toMatchObject({ body: `${answer}\n` });
    }
    await expect.poll(() => output).toContain("\"GET /cart HTTP/1.1\" 200");
  });

  test("a signal ends it, with 0", async () => {
    program.kill("SIGTERM");
    expect(await once(program, "exit")).toEqual([0, null]);
  });
});

describe("the step", () => {
  async function withEdge(act: (port: number, seen: { name: string; caller: string | undefined; under: string | undefined }[]) => Promise<void>): Promise<void> {
    const seen: { name: string; caller: string | undefined; under: string | undefined }[] = [];
    const servers = await Promise.all(["shop", "admin"].map(async (name) => {
      const server = createServer(({ headers }, response) => {
        seen.push({ name, caller: headers["x-caller"] as string | undefined, under: headers["x_caller"] as string | undefined });
        response.end(name);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }));
    const [shop, admin] = servers.map((server) => ({ host: "127.0.0.1", port: (server.address() as AddressInfo).port })) as [{ host: string; port: number }, { host: string; port: number }];
    await using edge = createEdge({ shop, admin, keys: new Map([["one", "ann"], ["two", "bob"]]), port: 0 });
    try {
      await act((await edge.listen()).port, seen);
    } finally {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    }
  }

  test("lets each key through under its own name, and no other to the app", () => withEdge(async (port, seen) => {
    for (const [given, status] of [["Bearer one", 200], ["bearer two", 200], ["Bearer three", 401], ["Bearer ", 401], ["Basic one", 401], ["Bearer on", 401], ["Bearer one x", 401]] as const) {
      const answer = await ask(port, "/admin", { authorization: given });
      expect([given, answer.status]).toEqual([given, status]);
      if (status === 401) expect(answer.headers).toMatchObject({ "www-authenticate": "Bearer", "x-cf-routererror": "key_required" });
    }
    expect(seen.map(({ caller }) => caller)).toEqual(["ann", "bob"]);
  }));

  test("nobody names himself, whichever way he writes it", () => withEdge(async (port, seen) => {
    for (const path of ["/", "/admin"]) for (const name of ["X-Caller", "x_caller"]) await ask(port, path, { [name]: "root", authorization: "Bearer one" });
    expect(seen).toEqual([
      { name: "shop", caller: undefined, under: undefined }, { name: "shop", caller: undefined, under: undefined },
      { name: "admin", caller: "ann", under: undefined }, { name: "admin", caller: "ann", under: undefined },
    ]);
  }));

  test("however the path is written, the admin is not reached without a key", () => withEdge(async (port, seen) => {
    for (const path of ["/admin", "/admin/", "/admin?x", "/admin/../admin", `http://localhost/admin`, "/%61dmin", "//admin", "/./admin", "/shop/../admin"]) await ask(port, path);
    expect(seen.filter(({ name }) => name === "admin")).toEqual([]);
  }));
});
