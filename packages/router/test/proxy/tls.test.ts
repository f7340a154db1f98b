import { createServer, type ServerOptions } from "node:https";
import type { Socket } from "node:net";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { authority } from "../fixtures/certificates.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const own = authority();
const other = authority();

async function tlsBackend(options: ServerOptions) {
  const server = createServer(options, echo);
  const sockets = new Set<Socket>();
  const names: (string | false | undefined)[] = [];
  server.on("secureConnection", (socket) => names.push((socket as { servername?: string | false }).servername));
  server.on("connection", (socket: Socket) => { sockets.add(socket); socket.on("close", () => sockets.delete(socket)); socket.on("error", () => undefined); });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { server, port, names, async [Symbol.asyncDispose]() { for (const socket of sockets) socket.destroy(); await new Promise((resolve) => server.close(resolve)); } };
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
    test(`${what}: ${status}, and the route is known without an endpoint`, async () => {
      await using app = await tlsBackend(options() as ServerOptions);
      await using r = await rig({ backendCa: ca });
      serve(r, app.port, san);
      const answer = await ask(r.port);
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, `endpoint_failure (${cause})`]);
      const after = await ask(r.port);
      expect([after.status, after.headers["x-cf-routererror"]]).toEqual([503, "no_endpoints"]);
    });
  }

  test("several hosts share the endpoint's connections", async () => {
    await using app = await tlsBackend(good());
    await using r = await rig({ backendCa: ca });
    for (const host of ["a.example.com", "b.example.com"]) r.router.table.register(host, { host: "127.0.0.1", tlsPort: app.port, serverCertDomainSan: "instance-1" });
    for (let n = 0; n < 6; n += 1) expect((await ask(r.port, { host: n % 2 ? "a.example.com" : "b.example.com" })).status).toBe(200);
    expect(app.names).toEqual(["instance-1"]);
  });

  test("no TLS at all: 525", async () => {
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

  test("a certificate of ours, where the endpoint wants one", async () => {
    await using app = await tlsBackend({ ...good(), requestCert: true, rejectUnauthorized: true, ca });
    const { cert, key } = own?.sign("router") as { cert: string; key: string };
    await using r = await rig({ backendCa: ca, backendCert: cert, backendKey: key });
    serve(r, app.port);
    expect((await ask(r.port)).status).toBe(200);
  });

  test("tunnels too", async () => {
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
