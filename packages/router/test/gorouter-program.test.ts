import { createServer, type Server } from "node:net";
import { writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasNatsServer, startNatsServer } from "../../bus/test/fixtures/nats-server.ts";
import { httpBackend, misbehaving, type HttpBackend } from "./fixtures/backend.ts";
import { bundle } from "./fixtures/bundle.ts";
import { authority } from "./fixtures/certificates.ts";
import { ask, eventually, wire } from "./fixtures/client.ts";
import { register, startGorouter, type Document, type Started } from "./fixtures/gorouter.ts";
import { askSecurely, shake } from "./fixtures/secure.ts";

const own = authority();
let programs: Awaited<ReturnType<typeof bundle>>;
let nats: Awaited<ReturnType<typeof startNatsServer>> | undefined;
let folder = "";
beforeAll(async () => {
  programs = await bundle({ cli: "src/cli.ts" });
  folder = await mkdtemp(join(tmpdir(), "opencf-gorouter-test-"));
  if (hasNatsServer()) nats = await startNatsServer({ jetStream: false });
}, 60_000);
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await programs[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const start = (document: Document | string, more: Partial<Started> = {}) =>
  startGorouter(document, { program: programs.path("cli"), ...(nats === undefined ? {} : { natsPort: nats.port }), ...more });

/** `/slow…` is answered in two parts, the second when `finish` is called. */
async function slowApp(): Promise<HttpBackend & { finish(): void; readonly begun: () => number }> {
  const held: (() => void)[] = [];
  const app = await httpBackend((request, response) => {
    if (request.url?.startsWith("/slow") !== true) return response.end("fine");
    response.write("begin ");
    held.push(() => response.end("end"));
  });
  return { ...app, finish: () => { for (const end of held.splice(0)) end(); }, begun: () => held.length };
}

const refused = (port: number): Promise<boolean> => wire(port).then(async (open) => { await open[Symbol.asyncDispose](); return false; }, () => true);
/** Speaks HTTP over TLS, and keeps what it hears. */
async function secureWire(port: number, text: string) {
  const socket = await shake(port, { ca: own?.ca ?? "", servername: "app.example.com" });
  let heard = "";
  socket.on("data", (chunk: Buffer) => { heard += chunk.toString("latin1"); });
  socket.write(text);
  return {
    until: (what: string) => eventually(() => heard.includes(what), 10_000, () => heard),
    async end(ms: number) { await eventually(() => socket.destroyed || socket.readableEnded, ms, () => heard); return heard; },
    async [Symbol.asyncDispose]() { socket.destroy(); },
  };
}

const slowly = "GET /slow HTTP/1.1\r\nHost: app.example.com\r\n\r\n";

describe.skipIf(!hasNatsServer() || own === undefined)("a gorouter's file, and signals", () => {
  const { cert, key } = own?.sign("app.example.com") ?? { cert: "", key: "" };
  const tls: Document = { enable_ssl: true, tls_pem: [{ cert_chain: cert, private_key: key }], min_tls_version: "TLSv1.2", cipher_suites: "ECDHE-RSA-AES128-GCM-SHA256" };

  for (const engine of ["undici", "native"] as const) {
    const args = ["--engine", engine];

    test(`13.102 (${engine}): SIGUSR1: health fails while everybody is served, also new routes of the bus; then nobody new is let in, HTTP or HTTPS; what is under way ends; the code is 0; more signals change nothing`, async () => {
      await using app = await slowApp();
      await using router = await start({ ...tls, drain_wait: "8s", drain_timeout: "60s" }, { args });
      await register(nats?.port ?? 0, router, app);
      await using plain = await wire(router.port, slowly);
      await plain.until("begin");
      const secure = askSecurely(router.sslPort, { path: "/slow" }, { ca: own?.ca });
      await eventually(() => app.begun() === 2);
      expect(await router.health()).toBe(200);
      router.kill("SIGUSR1");
      await eventually(async () => await router.health() === 503, 10_000);
      router.kill("SIGUSR1");
      await register(nats?.port ?? 0, router, app, "late.example.com");
      expect((await ask(router.port, { host: "late.example.com" })).body).toBe("fine");
      expect((await askSecurely(router.sslPort, {}, { ca: own?.ca })).body).toBe("fine");
      await eventually(async () => await refused(router.port) && await refused(router.sslPort), 20_000);
      router.kill("SIGUSR1");
      expect([router.running(), await router.health()]).toEqual([true, 503]);
      app.finish();
      expect(await plain.end(10_000)).toMatch(/begin [^]*end/);
      expect(await secure).toMatchObject({ status: 200, body: "begin end", complete: true });
      expect(await router.code).toBe(0);
    }, 90_000);

    test(`13.102 (${engine}): drain_timeout is the longest it waits, over HTTPS too, and what is cut then looks cut`, async () => {
      await using app = await slowApp();
      await using router = await start({ ...tls, drain_wait: "0s", drain_timeout: "1s" }, { args });
      await register(nats?.port ?? 0, router, app);
      await using plain = await wire(router.port, slowly);
      await using secure = await secureWire(router.sslPort, slowly);
      for (const client of [plain, secure]) await client.until("begin");
      router.kill("SIGUSR1");
      // Chunks without the last one.
      for (const client of [plain, secure]) expect(await client.end(10_000)).toMatch(/begin \r\n$/);
      expect(await router.code).toBe(0);
    }, 60_000);

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      test(`13.103 (${engine}): ${signal} with --on-term stop does not drain, whatever the file says`, async () => {
        await using app = await slowApp();
        await using router = await start({ ...tls, drain_wait: "60s", drain_timeout: "60s" }, { args: [...args, "--on-term", "stop"] });
        await register(nats?.port ?? 0, router, app);
        await using plain = await wire(router.port, slowly);
        await using secure = await secureWire(router.sslPort, slowly);
        for (const client of [plain, secure]) await client.until("begin");
        router.kill(signal);
        for (const client of [plain, secure]) expect(await client.end(10_000)).not.toContain("end");
        expect(await router.code).toBe(0);
        expect([await refused(router.port), await refused(router.sslPort), await refused(router.statusPort)]).toEqual([true, true, true]);
      }, 60_000);
    }
  }

  test("13.103: without it they drain; a second one does not wait", async () => {
    await using app = await slowApp();
    await using router = await start({ drain_wait: "0s", drain_timeout: "60s" });
    await register(nats?.port ?? 0, router, app);
    await using slow = await wire(router.port, slowly);
    await slow.until("begin");
    router.kill("SIGTERM");
    await eventually(() => refused(router.port), 20_000);
    expect(router.running()).toBe(true);
    router.kill("SIGINT");
    expect(await slow.end(10_000)).not.toContain("end");
    expect(await router.code).toBe(0);
  }, 60_000);

  test("13.103: any other signal that ends a process ends it at once", async () => {
    await using app = await slowApp();
    await using router = await start({ drain_wait: "60s", drain_timeout: "60s" });
    await register(nats?.port ?? 0, router, app);
    await using slow = await wire(router.port, slowly);
    await slow.until("begin");
    router.kill("SIGUSR2");
    expect(await slow.end(10_000)).not.toContain("end");
    expect(await router.code).toBeNull();
    expect(await refused(router.port)).toBe(true);
  }, 60_000);

  test("13.103: a port that fails turns health to 503 for good; what still works goes on", async () => {
    const fault = join(folder, "fault.mjs");
    // What the system says of a listening socket comes as its `error`; nothing from outside makes it say so at a wish.
    await writeFile(fault, `
import { readFileSync } from "node:fs";
import { Server } from "node:net";
const port = Number(/^port: (\\d+)$/m.exec(readFileSync(process.argv[process.argv.indexOf("-c") + 1], "utf8"))[1]);
const servers = [];
const { listen } = Server.prototype;
Server.prototype.listen = function (...given) { servers.push(this); return listen.apply(this, given); };
process.on("SIGUSR2", () => servers.find((server) => server.address()?.port === port).emit("error", new Error("accept EMFILE")));
`);
    await using app = await slowApp();
    await using router = await start({}, { node: ["--import", pathToFileURL(fault).href] });
    await register(nats?.port ?? 0, router, app);
    expect(await router.health()).toBe(200);
    router.kill("SIGUSR2");
    await eventually(async () => await router.health() === 503, 10_000);
    expect(router.err()).toContain("router.front.failed {\"error\":\"accept EMFILE\"}");
    expect((await ask(router.port)).body).toBe("fine");
    expect(await router.health()).toBe(503);
    expect((await ask(router.statusPort, { path: "/is-process-alive-do-not-use-for-loadbalancing" })).status).toBe(200);
    router.kill("SIGTERM");
    expect(await router.code).toBe(0);
  }, 60_000);
});

describe.skipIf(!hasNatsServer())("13.64 enable_http1_concurrent_read_write", () => {
  const begun = "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\none\r\n";
  for (const engine of ["undici", "native"] as const) {
    for (const [value, works] of [[true, true], [false, false]] as const) {
      test(`${value} (${engine}): an app that answers each piece of a request ${works ? "is heard piece by piece" : "hears nothing more once it has begun, and its answer is cut"}`, async () => {
        await using app = await httpBackend((request, response) => {
          if (request.method === "GET") return response.end();
          request.on("error", () => undefined);
          request.on("data", (chunk: Buffer) => response.write(`<${chunk.toString()}>`));
          request.on("end", () => response.end("."));
        });
        await using router = await start({ enable_http1_concurrent_read_write: value }, { args: ["--engine", engine] });
        expect(router.err()).not.toContain("enable_http1_concurrent_read_write");
        await register(nats?.port ?? 0, router, app);
        await using client = await wire(router.port, begun);
        await client.until("<one>");
        client.send("3\r\ntwo\r\n0\r\n\r\n");
        const heard = await client.end(10_000);
        expect([heard.includes("<two>"), heard.endsWith("0\r\n\r\n")]).toEqual([works, works]);
      }, 60_000);
    }
  }
});

describe("13.110 a gorouter's file that cannot work", () => {
  for (const [what, document, code, said] of [
    ["is no YAML", "port: [", 2, /no YAML/], ["is no mapping", "- port", 2, /mapping/],
    ["has a port that is none", { port: "http" }, 2, /port: expected/], ["has a duration that is none", { drain_wait: "soon" }, 2, /drain_wait: expected a duration/],
    ["has an algorithm nobody knows", { balancing_algorithm: "magic" }, 2, /balancing_algorithm: expected/], ["has a way to take client certificates nobody knows", { client_cert_validation: "maybe" }, 2, /client_cert_validation: expected/],
    ["wants TLS without a certificate", { enable_ssl: true }, 2, /tls_pem/], ["has a certificate that is none", { enable_ssl: true, tls_pem: [{ cert_chain: "x", private_key: "y" }] }, 1, /certificate/],
    ["leaves no way in", { disable_http: true }, 2, /disable_http|no way in/], ["takes segments only and names none", { routing_table_sharding_mode: "segments" }, 2, /isolation/],
    ["allows hosts that are none", { route_services_secret: "s", route_services_hairpinning: true, route_services_hairpinning_allowlist: ["*.*.com"] }, 2, /allowlist|\*\.\*\.com/],
    ["has a page that is not there", { html_error_template_file: "/nowhere/error.html" }, 2, /html_error_template_file|error\.html/],
  ] as const) {
    test(`one that ${what}: exit code ${code}, and why`, async () => {
      await using router = await start(document as Document | string);
      expect([await router.code, router.err()]).toEqual([code, expect.stringMatching(said)]);
      expect(router.err()).toMatch(/^opencf-router: /m);
    }, 60_000);
  }

  test("a bus that nobody answers at: exit code 1", async () => {
    await using gone = await misbehaving.refuses();
    await using router = await start({}, { natsPort: gone.port, args: ["--nats-timeout", "500"] });
    expect(await router.code).toBe(1);
  }, 60_000);

  test.skipIf(!hasNatsServer())("a taken port: exit code 1", async () => {
    await using app = await httpBackend((_, response) => response.end());
    await using router = await start({ port: app.port });
    expect([await router.code, router.err()]).toEqual([1, expect.stringContaining("is taken")]);
  }, 60_000);
});

/** Counts who comes. */
async function door(): Promise<{ readonly port: number; readonly came: () => number } & AsyncDisposable> {
  let came = 0;
  const server: Server = createServer((socket) => { came += 1; socket.destroy(); });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as { port: number }).port, came: () => came, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

describe.skipIf(!hasNatsServer())("13.110 the routing API", () => {
  test("is not a source here: its keys are named at the start, whether it is there or not, and neither it nor the UAA is asked", async () => {
    await using api = await door();
    await using uaa = await door();
    await using gone = await misbehaving.refuses();
    for (const port of [api.port, gone.port]) {
      await using app = await httpBackend((_, response) => response.end("fine"));
      await using router = await start({
        routing_api: { uri: "http://127.0.0.1", port, auth_disabled: false }, oauth: { token_endpoint: "127.0.0.1", port: uaa.port, client_name: "gorouter", client_secret: "hush" },
      });
      await register(nats?.port ?? 0, router, app);
      expect((await ask(router.port)).body).toBe("fine");
      const named = [...router.err().matchAll(/router\.config\.key (\{.*\})$/gm)].map(([, text]) => JSON.parse(text as string) as { key: string; state: string });
      expect(named.map(({ key, state }) => [key.split(".")[0], state])).toEqual(expect.arrayContaining([["routing_api", "not honoured"], ["oauth", "not honoured"]]));
      expect(router.err()).not.toContain("hush");
    }
    expect([api.came(), uaa.came()]).toEqual([0, 0]);
  }, 60_000);

  test("a file without it says nothing of it", async () => {
    await using router = await start({});
    expect(router.running()).toBe(true);
    expect(router.err()).not.toMatch(/routing_api|oauth/);
  }, 60_000);
});
