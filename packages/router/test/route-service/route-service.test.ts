import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { RouteServiceOptions } from "../../src/index.ts";
import { createSigner } from "../../src/route-service/signature.ts";
import { echo, httpBackend, misbehaving } from "../fixtures/backend.ts";
import { authority } from "../fixtures/certificates.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { askSecurely } from "../fixtures/secure.ts";
import { manualClock, rig } from "../fixtures/rig.ts";
import { routeService, type Meddle } from "../fixtures/route-service.ts";

const own = authority();
const other = authority();
const secret = "a secret of the fleet";

describe.skipIf(own === undefined || other === undefined)("route services", () => {
  const certificate = () => own?.sign("localhost") as { cert: string; key: string };

  async function guarded({ services = {}, meddle, tls = {}, options = {} }: { services?: Partial<RouteServiceOptions>; meddle?: Meddle; tls?: object; options?: Parameters<typeof rig>[0] } = {}) {
    const app = await httpBackend(echo);
    let port = 0;
    const guard = await routeService({ ...certificate(), ...tls }, () => port, meddle);
    const r = await rig({ routeServices: { secret, ca: own?.ca ?? "", ...services }, ...options });
    port = r.port;
    r.router.table.register("app.example.com/Shop", { host: app.host, port: app.port, app: "guid", instanceId: "i-1", instanceIndex: "0" }, { routeServiceUrl: guard.url });
    const held = [app, guard, r];
    return { app, guard, r, port: r.port, async [Symbol.asyncDispose]() { for (const one of held.reverse()) await one[Symbol.asyncDispose](); } };
  }

  test("13.90: a request goes to the service with three headers, comes back, and reaches the app without them", async () => {
    await using g = await guarded();
    const answer = await ask(g.port, { method: "POST", path: "/Shop/%7Ea?x=1&y=%20", host: "app.example.com:8080", body: "hello", headers: { "x-cf-instanceid": "forged", "x-cf-applicationid": "forged" } });
    expect([answer.status, answer.headers["x-guarded"]]).toEqual([200, "yes"]);
    const seen = answer.echoed();
    expect([seen.method, seen.url, seen.body, seen.headers["host"], seen.headers["x-seen-by"]]).toEqual(["POST", "/Shop/%7Ea?x=1&y=%20", "hello", "app.example.com", "guard"]);
    for (const name of ["x-cf-proxy-signature", "x-cf-proxy-metadata", "x-cf-forwarded-url"]) expect(seen.headers).not.toHaveProperty(name);
    expect(seen.headers).toMatchObject({ "x-cf-instanceid": "i-1", "x-cf-applicationid": "guid", "x-forwarded-for": "127.0.0.1, 127.0.0.1" });

    const [asked] = g.guard.asked;
    expect([asked?.url, asked?.headers.host]).toEqual(["/check?strict=1", new URL(g.guard.url).host]);
    expect(asked?.headers).toMatchObject({ "x-cf-forwarded-url": "https://app.example.com/Shop/%7Ea?x=1&y=%20", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http" });
    for (const name of ["x-cf-instanceid", "x-cf-applicationid", "x-cf-instanceindex"]) expect(asked?.headers).not.toHaveProperty(name);
    const signed = createSigner(secret).open(asked?.headers["x-cf-proxy-signature"] as string, asked?.headers["x-cf-proxy-metadata"] as string);
    expect(signed?.forwardedUrl).toBe("https://app.example.com/Shop/%7Ea?x=1&y=%20");
    await eventually(() => g.r.records.length === 2);
    expect(g.r.records.map(({ route, target }) => [route, target])).toEqual([["app.example.com/Shop", "/Shop/%7Ea?x=1&y=%20"], ["app.example.com/Shop", "/Shop/%7Ea?x=1&y=%20"]]);
    expect(g.app.requests).toHaveLength(1);
  });

  test("13.90: without a secret 502, whatever the request carries", async () => {
    await using g = await guarded({ options: { routeServices: undefined as never } });
    for (const headers of [{}, { "x-cf-proxy-signature": "x", "x-cf-proxy-metadata": "y" }] as Record<string, string>[]) {
      const answer = await ask(g.port, { path: "/Shop", headers });
      expect([answer.status, answer.headers["x-cf-routererror"], answer.body]).toEqual([502, "route_service_unsupported", "502 Bad Gateway: Support for route services is disabled.\n"]);
    }
    expect(g.app.requests).toHaveLength(0);
  });

  for (const [what, meddle, status, code] of [
    ["missing metadata", (headers: string[]) => without(headers, "x-cf-proxy-metadata"), 502, "invalid_route_service_signature"],
    ["a wrong key", (headers: string[]) => signedWith(headers, "another secret", "https://app.example.com/Shop"), 502, "invalid_route_service_signature"],
    ["another route's URL", (headers: string[]) => signedWith(headers, secret, "https://other.example.com/Shop"), 502, "invalid_route_service_signature"],
    ["the URL of a longer route", (headers: string[]) => signedWith(headers, secret, "https://app.example.com/"), 502, "invalid_route_service_signature"],
    ["an expired signature", (headers: string[]) => signedWith(headers, secret, "https://app.example.com/Shop", Date.now() - 61_000), 504, "expired_route_service_signature"],
  ] as const) {
    test(`13.91: ${what}: ${status}`, async () => {
      await using g = await guarded({ meddle });
      const answer = await ask(g.port, { path: "/Shop" });
      expect([answer.status, answer.headers["x-cf-routererror"], answer.body]).toEqual([status, code, expect.stringMatching(/: Failed to validate Route Service Signature\n$/)]);
      expect(g.app.requests).toHaveLength(0);
    });
  }

  test("13.91: the previous key is accepted, and a signature lives as long as configured, on the router's clock", async () => {
    const clock = manualClock();
    await using g = await guarded({ services: { secret: "new", previousSecret: secret, timeoutMs: 5_000 }, options: { clock } });
    const call = (ageMs: number) => ask(g.port, { path: "/Shop/x", headers: headersFor(secret, "https://app.example.com/Shop", clock.now() - ageMs) });
    expect((await call(5_000)).status).toBe(200);
    expect((await call(5_001)).status).toBe(504);
  });

  test("13.92: strict mode refuses forged and expired signatures on plain routes; others pass untouched, as services need them", async () => {
    for (const strict of [true, false]) {
      await using g = await guarded({ services: { strict } });
      g.r.serve([g.app], "guard.example.com");
      const call = (headers: Record<string, string>) => ask(g.port, { host: "guard.example.com", headers });
      const good = headersFor(secret, "https://app.example.com/Shop", Date.now());
      const seen = (await call(good)).echoed();
      expect(seen.headers).toMatchObject({ "x-cf-proxy-signature": good["x-cf-proxy-signature"], "x-cf-proxy-metadata": good["x-cf-proxy-metadata"] });
      const forged = await call({ ...good, "x-cf-proxy-signature": "AAAA" });
      const expired = await call(headersFor(secret, "https://app.example.com/Shop", Date.now() - 61_000));
      expect([forged.status, forged.headers["x-cf-routererror"]]).toEqual(strict ? [400, "invalid_route_service_signature"] : [200, undefined]);
      expect([expired.status, expired.headers["x-cf-routererror"]]).toEqual(strict ? [504, "expired_route_service_signature"] : [200, undefined]);
      expect((await call({})).status).toBe(200);
    }
  });

  test("13.93: the scheme the service is told to call is an option", async () => {
    await using g = await guarded({ services: { forwardedScheme: "http" } });
    expect((await ask(g.port, { path: "/Shop/a(b)!*'" })).echoed().url).toBe("/Shop/a(b)!*'");
    expect(g.guard.asked[0]?.headers["x-cf-forwarded-url"]).toBe("http://app.example.com/Shop/a(b)!*'");
  });

  test("13.51: X-Forwarded-Proto of the way back stays as the first leg made it", async () => {
    for (const forwardedProto of ["https", "overwrite", "keep"] as const) {
      await using g = await guarded({ options: { forwardedProto }, meddle: (headers) => headers.map((value, at) => (headers[at - 1]?.toLowerCase() === "x-forwarded-proto" ? "wss" : value)) });
      expect((await ask(g.port, { path: "/Shop", headers: { "x-forwarded-proto": "https" } })).echoed().headers["x-forwarded-proto"]).toBe("wss");
      expect(g.guard.asked[0]?.headers["x-forwarded-proto"]).toBe(forwardedProto === "overwrite" ? "http" : "https");
    }
  });

  test("13.95: services outside and inside, with clients by HTTPS and no port for HTTP", async () => {
    for (const inside of [false, true]) {
      const app = await httpBackend(echo);
      let port = 0;
      const backBy = { ca: own?.ca ?? "", servername: "app.example.com" };
      const guard = await routeService({ ...certificate(), backBy }, () => port);
      const r = await rig({
        port: false, tls: { port: 0, certificates: [own?.sign("app.example.com") as { cert: string; key: string }] }, backendCa: own?.ca ?? "",
        routeServices: { secret, ca: own?.ca ?? "", hairpinning: inside },
      });
      try {
        port = r.router.tlsAddress?.port ?? 0;
        const service = new URL(guard.url);
        // Nobody is at that address outside: only the table leads there.
        if (inside) r.router.table.register("guard.services.example.com", { host: "127.0.0.1", tlsPort: Number(service.port), serverCertDomainSan: "localhost" });
        r.router.table.register("app.example.com", { host: app.host, port: app.port }, { routeServiceUrl: inside ? "https://guard.services.example.com/check" : guard.url });
        const answer = await askSecurely(port, { path: "/x?y=1", method: "POST", body: "hello" }, { ca: own?.ca as string });
        expect([answer.status, answer.headers["x-guarded"], answer.echoed().url, answer.echoed().body, answer.echoed().headers["x-forwarded-proto"]]).toEqual([200, "yes", "/x?y=1", "hello", "https"]);
        expect(guard.asked[0]?.headers.host).toBe(inside ? "guard.services.example.com" : service.host);
      } finally {
        for (const one of [r, guard, app]) await one[Symbol.asyncDispose]();
      }
    }
  });

  test("13.44: an instance asked for by header is still asked for when the request comes back", async () => {
    const guid = "11111111-2222-3333-4444-555555555555";
    await using g = await guarded();
    await using second = await httpBackend((_, response) => response.end("second"));
    g.r.router.table.register("app.example.com/Shop", { host: second.host, port: second.port, app: guid, instanceIndex: "1" });
    for (let at = 0; at < 3; at += 1) expect((await ask(g.port, { path: "/Shop", headers: { "x-cf-app-instance": `${guid}:1` } })).body).toBe("second");
    const missing = await ask(g.port, { path: "/Shop", headers: { "x-cf-app-instance": `${guid}:7` } });
    expect([missing.status, missing.headers["x-cf-routererror"], g.guard.asked.length]).toEqual([400, "unknown_route", 3]);
  });

  test("13.94: a service that is an app of this table is reached inside where the list has it, outside where not", async () => {
    for (const [hairpinning, inside] of [[true, true], [["*.example.com"], true], [["other.example.com"], false], [false, false]] as const) {
      let port = 0;
      await using service = await httpBackend((request, response) => {
        void ask(port, { path: "/Shop/back", headers: { "x-cf-proxy-signature": request.headers["x-cf-proxy-signature"] as string, "x-cf-proxy-metadata": request.headers["x-cf-proxy-metadata"] as string } })
          .then((answer) => response.end(JSON.stringify({ instance: request.headers["x-cf-instanceid"], host: request.headers.host, target: request.url, app: answer.echoed().url })));
      });
      await using g = await guarded({ services: { hairpinning, maxAttempts: 1 } });
      port = g.port;
      g.r.router.table.register("guard.example.com", { host: service.host, port: service.port, instanceId: "g-1" });
      // Port 1 of nowhere: only by way of the table is there anybody.
      g.r.router.table.register("app.example.com/Shop", { host: g.app.host, port: g.app.port, app: "guid", instanceId: "i-1", instanceIndex: "0" }, { routeServiceUrl: "https://guard.example.com:1/check?a=b" });
      const answer = await ask(g.port, { path: "/Shop/x" });
      if (inside) expect(JSON.parse(answer.body)).toEqual({ instance: "g-1", host: "guard.example.com:1", target: "/check?a=b", app: "/Shop/back" });
      else expect([answer.status, service.requests.length]).toEqual([502, 0]);
    }
  });

  test("13.95: a dead service is tried as often as allowed, then 502; the app's endpoints are none the worse", async () => {
    await using gone = await misbehaving.refuses();
    await using g = await guarded({ services: { maxAttempts: 2 } });
    g.r.router.table.register("app.example.com/Shop", { host: g.app.host, port: g.app.port, app: "guid", instanceId: "i-1", instanceIndex: "0" }, { routeServiceUrl: `https://localhost:${gone.port}` });
    const answer = await ask(g.port, { path: "/Shop", method: "POST", body: "x" });
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "endpoint_failure (connection refused)"]);
    await eventually(() => g.r.records.length === 1);
    expect(g.r.records[0]).toMatchObject({ attempts: 2, route: "app.example.com/Shop" });
    expect(g.r.router.table.lookup("app.example.com", "/Shop")?.endpoints[0]?.backend.failedUntil).toBe(0);
  });

  for (const [what, tls, services, status, code] of [
    ["an unknown authority: 526", () => other?.sign("localhost"), {}, 526, "endpoint_failure (invalid certificate)"],
    ["an unknown authority and `insecure`: served", () => other?.sign("localhost"), { insecure: true }, 200, undefined],
    ["no common TLS version: 502", () => ({ maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }), {}, 502, "endpoint_failure (tls version refused)"],
  ] as const) {
    test(`13.95: a service with ${what}`, async () => {
      await using g = await guarded({ tls: tls() as object, services });
      const answer = await ask(g.port, { path: "/Shop" });
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, code]);
    });
  }

  test("a URL that cannot be read: 500", async () => {
    await using g = await guarded();
    for (const url of ["https://[bad", "https://"]) {
      g.r.router.table.register("app.example.com/Shop", { host: g.app.host, port: g.app.port, app: "guid", instanceId: "i-1", instanceIndex: "0" }, { routeServiceUrl: url });
      const answer = await ask(g.port, { path: "/Shop" });
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([500, "invalid_route_service_url"]);
    }
  });

  test("an unknown path is not the service's business, nor a route without endpoints", async () => {
    await using g = await guarded();
    expect((await ask(g.port, { path: "/elsewhere" })).status).toBe(404);
    expect(g.guard.asked).toHaveLength(0);
  });

  test("events of an SSE stream come through the service one by one", async () => {
    let say: ((text: string) => void) | undefined;
    await using stream = await httpBackend((_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.flushHeaders();
      say = (text) => void response.write(`data: ${text}\n\n`);
    });
    await using g = await guarded();
    g.r.router.table.register("events.example.com", { host: stream.host, port: stream.port }, { routeServiceUrl: g.guard.url });
    const aborted = new AbortController();
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      get({ host: "127.0.0.1", port: g.port, headers: { host: "events.example.com" }, signal: aborted.signal }, resolve).on("error", reject);
    });
    let heard = "";
    answer.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
    answer.on("error", () => undefined);
    for (const word of ["one", "two", "three"]) {
      say?.(word);
      await eventually(() => heard.endsWith(`data: ${word}\n\n`));
    }
    aborted.abort();
  });

  test("WebSockets go through the service; with `webSockets: false` they are refused with 503", async () => {
    for (const webSockets of [true, false]) {
      await using g = await guarded({ services: { webSockets } });
      const sockets = new WebSocketServer({ server: g.app.server });
      sockets.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
      const socket = new WebSocket(`ws://127.0.0.1:${g.port}/Shop/live?x=1`, { headers: { host: "app.example.com" } });
      if (!webSockets) {
        const [, response] = await once(socket, "unexpected-response") as [unknown, IncomingMessage];
        expect([response.statusCode, response.headers["x-cf-routererror"]]).toEqual([503, "route_service_unsupported"]);
        response.resume();
        socket.on("error", () => undefined);
        socket.terminate();
        continue;
      }
      await once(socket, "open");
      for (const message of ["hello", "x".repeat(300_000)]) {
        socket.send(message);
        const [data] = await once(socket, "message") as [Buffer];
        expect(data.toString()).toBe(message);
      }
      socket.close(4001, "bye");
      expect((await once(socket, "close") as [number])[0]).toBe(4001);
      expect(g.guard.asked[0]?.headers["x-cf-forwarded-url"]).toBe("https://app.example.com/Shop/live?x=1");
      await eventually(() => g.r.records.length === 2);
    }
  }, 30_000);
});

const without = (headers: string[], name: string): string[] => headers.flatMap((value, at) => (at % 2 === 0 && value.toLowerCase() !== name ? [value, headers[at + 1] as string] : []));

function headersFor(key: string, forwardedUrl: string, requestedAtMs: number): Record<string, string> {
  const { signature, metadata } = createSigner(key).sign({ forwardedUrl, requestedAtMs });
  return { "x-cf-proxy-signature": signature, "x-cf-proxy-metadata": metadata };
}

const signedWith = (headers: string[], key: string, url: string, at = Date.now()): string[] =>
  [...without(without(headers, "x-cf-proxy-signature"), "x-cf-proxy-metadata"), ...Object.entries(headersFor(key, url, at)).flat()];
