import { createBus, memoryTransport, type Body } from "@opencf/bus";
import { routerRegister, routerUnregister } from "@opencf/bus/messages/route";
import { describe, expect, test } from "vitest";
import { routesFromBus } from "../../src/bus-link.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

type Registration = Body<typeof routerRegister>;

const guid = "11111111-2222-3333-4444-555555555555";
/** What every endpoint says of itself. */
const least = { address: "10.0.0.5:61001", availability_zone: "", protocol: "http1", tls: false, ttl: 120, tags: {} };

/** A registration beyond host, port and route, and the whole of what is shown of its endpoint. */
const cases: readonly (readonly [what: string, more: Partial<Registration>, shown: object])[] = [
  ["the smallest there is", {}, least],
  ["tags", { tags: { component: "dea-0", process_type: "web" } }, { ...least, tags: { component: "dea-0", process_type: "web" } }],
  ["what is not for this document: app, index, emitter, time", { app: guid, private_instance_index: "3", dea: "D", endpoint_updated_at_ns: 1_700_000_000_000 }, least],
  ["an instance", { private_instance_id: "i-1" }, { ...least, private_instance_id: "i-1" }],
  ["a zone", { availability_zone: "z1" }, { ...least, availability_zone: "z1" }],
  ["a segment", { isolation_segment: "seg" }, { ...least, isolation_segment: "seg" }],
  ["TLS", { tls_port: 61_443 }, { ...least, address: "10.0.0.5:61443", tls: true }],
  ["TLS with a name", { tls_port: 61_443, server_cert_domain_san: "i-1" }, { ...least, address: "10.0.0.5:61443", tls: true, server_cert_domain_san: "i-1" }],
  ["HTTP/2", { protocol: "http2" }, { ...least, protocol: "http2" }],
  ["a term of its own", { stale_threshold_in_seconds: 45 }, { ...least, ttl: 45 }],
  ["a term that is too long", { stale_threshold_in_seconds: 3_600 }, least],
  ["a route service", { route_service_url: "https://guard.example.com/check" }, { ...least, route_service_url: "https://guard.example.com/check" }],
  ["an algorithm", { options: { loadbalancing: "least-connection" } }, { ...least, load_balancing_algorithm: "least-connection" }],
  ["the default algorithm, said", { options: { loadbalancing: "round-robin" } }, { ...least, load_balancing_algorithm: "round-robin" }],
  ["a hash", { options: { loadbalancing: "hash", hash_header: "X-Tenant", hash_balance: 1.25 } }, { ...least, load_balancing_algorithm: "hash", hash_header: "X-Tenant", hash_balance: 1.25 }],
  ["a hash without balance", { options: { loadbalancing: "hash", hash_header: "X-Tenant" } }, { ...least, load_balancing_algorithm: "hash", hash_header: "X-Tenant" }],
  ["a hash without a header", { options: { loadbalancing: "hash" } }, least],
  ["an algorithm that nobody knows", { options: { loadbalancing: "fastest" } }, least],
  ["a header without its algorithm", { options: { hash_header: "X-Tenant" } }, least],
  ["everything", {
    app: guid, private_instance_id: "i-1", private_instance_index: "0", tags: { component: "diego" }, availability_zone: "z2", isolation_segment: "seg", tls_port: 61_443, server_cert_domain_san: "i-1",
    protocol: "http2", stale_threshold_in_seconds: 60, route_service_url: "https://guard.example.com", options: { loadbalancing: "hash", hash_header: "X-Tenant", hash_balance: 2 },
  }, {
    address: "10.0.0.5:61443", availability_zone: "z2", protocol: "http2", tls: true, ttl: 60, tags: { component: "diego" }, isolation_segment: "seg", private_instance_id: "i-1", server_cert_domain_san: "i-1",
    route_service_url: "https://guard.example.com", load_balancing_algorithm: "hash", hash_header: "X-Tenant", hash_balance: 2,
  }],
];

for (const engine of ["undici", "native"] as const) {
  describe(`13.30 /routes (${engine})`, () => {
    async function linked() {
      const bus = await createBus({ transport: memoryTransport() });
      const r = await rig({ engine, sources: [routesFromBus(bus)], status: { port: 0 } });
      const shown = async () => {
        const { status, headers, body } = await ask(r.router.statusAddress?.port ?? 0, { path: "/routes" });
        return { status, type: headers["content-type"], body };
      };
      return { bus, r, shown, async [Symbol.asyncDispose]() { await r[Symbol.asyncDispose](); await bus[Symbol.asyncDispose](); } };
    }

    for (const [what, more, endpoint] of cases) {
      test(`exactly what is documented: ${what}`, async () => {
        await using l = await linked();
        const registration = { host: "10.0.0.5", port: 61_001, uris: ["App.example.com/Path"], ...more };
        l.bus.publish(routerRegister, registration);
        await eventually(() => l.r.router.table.routeCount === 1);
        expect(JSON.parse((await l.shown()).body)).toEqual({ "app.example.com/Path": [endpoint] });
        l.bus.publish(routerUnregister, registration);
        await eventually(() => l.r.router.table.routeCount === 0);
        expect((await l.shown()).body).toBe("{}");
      });
    }

    test("an empty table is {}", async () => {
      await using l = await linked();
      expect(await l.shown()).toEqual({ status: 200, type: expect.stringMatching(/^application\/json/), body: "{}" });
    });

    test("every route and every endpoint of it; what never leaves by age says so", async () => {
      await using l = await linked();
      l.bus.publish(routerRegister, { host: "10.0.0.5", port: 61_001, uris: ["a.example.com", "*.example.com/x"] });
      l.bus.publish(routerRegister, { host: "10.0.0.6", port: 61_002, uris: ["a.example.com"] });
      l.r.router.table.register("own.example.com", { host: "::1", port: 80 });
      await eventually(() => l.r.router.table.lookup("a.example.com", "/")?.endpoints.length === 2);
      expect(JSON.parse((await l.shown()).body)).toEqual({
        "a.example.com": [least, { ...least, address: "10.0.0.6:61002" }], "*.example.com/x": [least], "own.example.com": [{ ...least, address: "[::1]:80", ttl: -1 }],
      });
    });
  });
}
