import type { IncomingMessage, RequestListener } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { echo, httpBackend, misbehaving } from "../fixtures/backend.ts";
import { authority } from "../fixtures/certificates.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { freePort } from "../../../../test/support/free-port.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const own = authority();
const other = authority();

async function tlsBackend(options: ServerOptions, handle: RequestListener = echo) {
  const server = createServer(options, handle);
  const sockets = new Set<Socket>();
  const names: (string | false | undefined)[] = [];
  server.on("secureConnection", (socket) => names.push((socket as { servername?: string | false }).servername));
  server.on("connection", (socket: Socket) => { sockets.add(socket); socket.on("close", () => sockets.delete(socket)); socket.on("error", () => undefined); });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { server, port, names, async [Symbol.asyncDispose]() { for (const socket of sockets) socket.destroy(); await new Promise((resolve) => server.close(resolve)); } };
}

/** openssl's own server, which says in alerts what it thinks of a client's certificate; node:tls closes without a word. */
async function demandingBackend({ cert, key }: { cert: string; key: string }, ca: string, version: string) {
  const folder = mkdtempSync(join(tmpdir(), "opencf-server-"));
  for (const [name, text] of [["cert", cert], ["key", key], ["ca", ca]] as const) writeFileSync(join(folder, name), text);
  const port = await freePort();
  const server = spawn("openssl", ["s_server", "-accept", `127.0.0.1:${port}`, "-cert", "cert", "-key", "key", "-CAfile", "ca", "-Verify", "1", "-verify_return_error", "-www", version], { cwd: folder, stdio: ["pipe", "pipe", "ignore"] });
  let said = "";
  server.stdout.on("data", (chunk: Buffer) => { said += chunk.toString(); });
  await eventually(() => said.includes("ACCEPT"));
  return { port, async [Symbol.asyncDispose]() { server.kill("SIGKILL"); await once(server, "close"); rmSync(folder, { recursive: true, force: true }); } };
}

const serve = (r: Rig, tlsPort: number, serverCertDomainSan = "instance-1"): unknown => r.router.table.register("app.example.com", { host: "127.0.0.1", port: 1, tlsPort, serverCertDomainSan });

describe.skipIf(own === undefined || other === undefined)("TLS to endpoints", () => {
  const ca = own?.ca ?? "";
  const good = () => own?.sign("instance-1") as { cert: string; key: string };

  test("the certificate's name is the instance's, not the address", async () => {
    await using app = await tlsBackend(good());
    await using r = await rig({ backendCa: ca });
    serve(r, app.port);
    const answer = await ask(r.port, { method: "POST", body: "secret" });
    expect([answer.status, answer.echoed().body]).toEqual([200, "secret"]);
    expect(app.names).toEqual(["instance-1"]);
  });

  for (const [what, options, san, status, cause] of [
    ["another instance's certificate", () => own?.sign("instance-2"), "instance-1", 503, "hostname mismatch"],
    ["a certificate of an unknown authority", () => other?.sign("instance-1"), "instance-1", 526, "invalid certificate"],
    ["none of our versions", () => ({ ...good(), maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }), "instance-1", 525, "tls handshake failed"],
  ] as const) {
    test(`13.86 ${what}: ${status}, and the route is known without an endpoint`, async () => {
      await using app = await tlsBackend(options() as ServerOptions);
      await using r = await rig({ backendCa: ca });
      serve(r, app.port, san);
      const answer = await ask(r.port);
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, `endpoint_failure (${cause})`]);
      const after = await ask(r.port);
      expect([after.status, after.headers["x-cf-routererror"]]).toEqual([503, "no_endpoints"]);
    });
  }

  for (const [what, wanted, san] of [
    ["one of several names", { names: "DNS:other,DNS:instance-1" }, "instance-1"],
    ["an address as the name", { names: "IP:127.0.0.1" }, "127.0.0.1"],
    ["the address itself, where no name is registered", { names: "IP:127.0.0.1" }, ""],
  ] as const) {
    test(`13.86: ${what} proves the instance`, async () => {
      await using app = await tlsBackend(own?.issue(wanted) as ServerOptions);
      await using r = await rig({ backendCa: ca });
      serve(r, app.port, san);
      expect((await ask(r.port)).status).toBe(200);
    });
  }

  for (const [what, wanted, san] of [
    ["a common name", { subject: "/CN=instance-1" }, "instance-1"], ["a common name beside another name", { subject: "/CN=instance-1", names: "DNS:other" }, "instance-1"],
    ["another address", { names: "IP:127.0.0.2" }, "127.0.0.1"], ["an address written as a name", { names: "DNS:127.0.0.1" }, "127.0.0.1"], ["the address, where a name is registered", { names: "IP:127.0.0.1" }, "instance-1"],
  ] as const) {
    test(`13.86: ${what} proves nothing: 503, for requests and for tunnels`, async () => {
      await using app = await tlsBackend(own?.issue(wanted) as ServerOptions);
      await using r = await rig({ backendCa: ca });
      for (const headers of [{}, { connection: "Upgrade", upgrade: "websocket" }] as Record<string, string>[]) {
        serve(r, app.port, san);
        const answer = await ask(r.port, { headers });
        expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([503, "endpoint_failure (hostname mismatch)"]);
      }
    });
  }

  for (const version of ["1.2", "1.3"] as const) {
    for (const [what, shown, status, cause] of [
      // TLS 1.2 has no alert of its own for this one.
      ["no certificate", undefined, version === "1.2" ? 525 : 496, version === "1.2" ? "tls handshake failed" : "client certificate refused"],
      ["one of an authority it does not know", () => other?.sign("router"), 496, "client certificate refused"],
    ] as const) {
      test(`13.86: an endpoint that asks for a certificate and gets ${what}, TLS ${version}: ${status}, and it leaves the table`, async () => {
        await using app = await demandingBackend(good(), ca, `-tls${version.replace(".", "_")}`);
        const held = shown?.();
        await using r = await rig({ backendCa: ca, ...(held === undefined ? {} : { backendCert: held.cert, backendKey: held.key }) });
        serve(r, app.port);
        const answer = await ask(r.port);
        expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, `endpoint_failure (${cause})`]);
        expect((await ask(r.port)).headers["x-cf-routererror"]).toBe("no_endpoints");
      });
    }
  }

  test("13.86: no cipher in common: 525", async () => {
    await using app = await tlsBackend({ ...good(), maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" });
    await using r = await rig({ backendCa: ca });
    serve(r, app.port);
    const answer = await ask(r.port);
    expect(answer.status).toBe(525);
  });

  test("13.81: each attempt speaks what its endpoint speaks", async () => {
    await using secure = await tlsBackend(good());
    await using plain = await httpBackend(echo);
    await using gone = await misbehaving.refuses();
    await using r = await rig({ backendCa: ca, maxAttempts: 3 });
    serve(r, secure.port);
    serve(r, gone.port);
    r.serve([plain, gone]);
    for (let n = 0; n < 8; n += 1) {
      const answer = await ask(r.port, { method: "POST", body: "x" });
      expect([answer.status, answer.echoed().body]).toEqual([200, "x"]);
    }
    expect(plain.requests.length).toBeGreaterThan(0);
    expect(secure.names.length).toBeGreaterThan(0);
  });

  for (const [what, secureWorks] of [["a TLS endpoint that fails is followed by a plain one", false], ["a plain endpoint that fails is followed by one with TLS", true]] as const) {
    for (const upgrade of [false, true]) {
      test(`13.81: ${what}, for ${upgrade ? "a tunnel" : "a request with a body"}: the scheme is that of each attempt, what the app hears of the client's stays`, async () => {
        const heard: unknown[] = [];
        const answers: RequestListener = (request, response) => { heard.push(request.headers["x-forwarded-proto"]); echo(request, response); };
        const tunnels = (request: IncomingMessage, socket: Duplex): void => {
          heard.push(request.headers["x-forwarded-proto"]);
          socket.on("error", () => undefined);
          socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\nhello");
        };
        await using works = secureWorks ? await tlsBackend(good(), answers) : await httpBackend(answers);
        works.server.on("upgrade", tunnels);
        // What fails speaks the other of the two, but not well: no TLS where TLS is announced, nobody at all where it is not.
        await using fails = secureWorks ? await misbehaving.refuses() : await httpBackend(() => { throw new Error("never asked"); });
        let seen = false;
        for (let at = 0; at < 40 && !seen; at += 1) {
          await using r = await rig({ backendCa: ca, maxAttempts: 3 });
          serve(r, secureWorks ? works.port : fails.port);
          r.serve([{ host: "127.0.0.1", port: secureWorks ? fails.port : works.port }]);
          if (upgrade) {
            await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n");
            expect(await client.end()).toMatch(/^HTTP\/1\.1 101 [^]*hello$/);
          } else {
            const answer = await ask(r.port, { method: "POST", body: "x" });
            expect([answer.status, answer.echoed().body]).toEqual([200, "x"]);
          }
          await eventually(() => r.records.length === 1);
          expect(r.records[0]?.endpoint?.address).toBe(`127.0.0.1:${works.port}`);
          seen = r.records[0]?.failedAttempts === 1;
        }
        expect(seen).toBe(true);
        expect(new Set(heard)).toEqual(new Set(["http"]));
      });
    }
  }

  test("several hosts share the endpoint's connections", async () => {
    await using app = await tlsBackend(good());
    await using r = await rig({ backendCa: ca });
    for (const host of ["a.example.com", "b.example.com"]) r.router.table.register(host, { host: "127.0.0.1", tlsPort: app.port, serverCertDomainSan: "instance-1" });
    for (let n = 0; n < 6; n += 1) expect((await ask(r.port, { host: n % 2 ? "a.example.com" : "b.example.com" })).status).toBe(200);
    expect(app.names).toEqual(["instance-1"]);
  });

  test("13.86 no TLS at all: 525", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ backendCa: ca });
    serve(r, app.port);
    const answer = await ask(r.port);
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([525, "endpoint_failure (tls handshake failed)"]);
    expect(app.requests).toEqual([]);
  });

  test("a wrong certificate costs the request nothing where another endpoint is", async () => {
    await using wrong = await tlsBackend(own?.sign("instance-2") as ServerOptions);
    await using right = await httpBackend(echo);
    await using r = await rig({ backendCa: ca });
    serve(r, wrong.port);
    r.serve([right]);
    for (let n = 0; n < 4; n += 1) expect((await ask(r.port, { method: "POST", body: "x" })).status).toBe(200);
    expect(r.router.table.lookup("app.example.com", "/")?.endpoints.length).toBe(1);
  });

  test("13.86 a certificate of ours, where the endpoint wants one", async () => {
    await using app = await tlsBackend({ ...good(), requestCert: true, rejectUnauthorized: true, ca });
    const { cert, key } = own?.sign("router") as { cert: string; key: string };
    await using r = await rig({ backendCa: ca, backendCert: cert, backendKey: key });
    serve(r, app.port);
    expect((await ask(r.port)).status).toBe(200);
  });

  test("13.66 tunnels too", async () => {
    await using app = await tlsBackend(good());
    const sockets = new WebSocketServer({ server: app.server });
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await using r = await rig({ backendCa: ca });
    serve(r, app.port);
    const socket = new WebSocket(`ws://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" } });
    await once(socket, "open");
    socket.send("hello");
    const [data] = await once(socket, "message") as [Buffer];
    expect(data.toString()).toBe("hello");
    socket.terminate();
    await eventually(() => r.records.length === 1);
  });

  test("a tunnel to the wrong instance is refused as a request is", async () => {
    await using app = await tlsBackend(own?.sign("instance-2") as ServerOptions);
    await using r = await rig({ backendCa: ca });
    serve(r, app.port);
    const answer = await ask(r.port, { headers: { connection: "Upgrade", upgrade: "websocket" } });
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([503, "endpoint_failure (hostname mismatch)"]);
  });
});
