import { describe, expect, test } from "vitest";
import { defaultSteps, type Step } from "../../src/index.ts";
import { httpBackend, misbehaving, type HttpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

async function named(count: number): Promise<HttpBackend[] & AsyncDisposable> {
  const apps = await Promise.all(Array.from({ length: count }, (_, index) => httpBackend((_request, response) => response.end(String(index)))));
  return Object.assign(apps, { async [Symbol.asyncDispose]() { await Promise.all(apps.map((app) => app[Symbol.asyncDispose]())); } });
}

describe("choosing among live endpoints", () => {
  test("13.31 round robin is even, also when many ask at once", async () => {
    await using apps = await named(4);
    await using r = await rig();
    r.serve(apps);
    await Promise.all(Array.from({ length: 80 }, () => ask(r.port)));
    expect(apps.map(({ requests }) => requests.length)).toEqual([20, 20, 20, 20]);
  });

  test("13.47 hash: one tenant stays with one instance, many spread, without the header they take turns", async () => {
    await using apps = await named(4);
    await using r = await rig();
    for (const [index, { host, port }] of apps.entries()) r.router.table.register("app.example.com", { host, port, instanceId: `i-${index}` }, { loadBalancing: "hash", hashHeader: "X-Tenant" });
    const of = async (tenant: string) => (await ask(r.port, { headers: { "x-tenant": tenant } })).body;
    const first = await of("acme");
    for (let n = 0; n < 8; n += 1) expect(await of("acme")).toBe(first);
    expect(new Set(await Promise.all(Array.from({ length: 40 }, (_, n) => of(`tenant-${n}`)))).size).toBe(4);
    expect(new Set(await Promise.all(Array.from({ length: 8 }, async () => (await ask(r.port)).body))).size).toBe(4);
  });

  test("13.33 least connections looks at bodies and tunnels, not only at heads", async () => {
    await using slow = await httpBackend((_, response) => void response.write("begin"));
    await using fast = await httpBackend((_, response) => response.end("fast"));
    await using r = await rig({ loadBalancing: "least-connections" });
    r.serve([slow, fast]);
    const pool = r.router.table.lookup("app.example.com", "/");
    if (pool) pool.cursor = 0;
    const held = ask(r.port).catch(() => undefined);
    await eventually(() => slow.requests.length === 1);
    for (let n = 0; n < 10; n += 1) expect((await ask(r.port)).body).toBe("fast");
    await slow[Symbol.asyncDispose]();
    await held;
  });

  for (const [what, nearIs, expected] of [["the own zone first", "live", "near"], ["the others when it is empty", "absent", "far"], ["the others when it does not answer", "dead", "far"]] as const) {
    test(`13.35 ${what}`, async () => {
      await using near = await httpBackend((_, response) => response.end("near"));
      await using far = await httpBackend((_, response) => response.end("far"));
      await using dead = await misbehaving.refuses();
      await using r = await rig({ zone: "z1", preferZone: true });
      r.serve([{ host: far.host, port: far.port, availabilityZone: "z2" }]);
      if (nearIs !== "absent") r.serve([{ host: "127.0.0.1", port: nearIs === "live" ? near.port : dead.port, availabilityZone: "z1" }]);
      for (let n = 0; n < 6; n += 1) expect((await ask(r.port)).body).toBe(expected);
      await eventually(() => r.records.length === 6);
      // The failed endpoint of the own zone is avoided from the second request on: preferring the zone takes no marks off.
      expect(r.records.reduce((sum, { failedAttempts }) => sum + failedAttempts, 0)).toBe(nearIs === "dead" ? 1 : 0);
    });
  }

  test("a step may narrow the choice", async () => {
    await using apps = await named(3);
    const canary: Step = (exchange, next) => {
      if (exchange.header("x-canary") !== undefined) exchange.eligible = (endpoint) => endpoint.tags["track"] === "canary";
      return next();
    };
    await using r = await rig({ steps: [canary, ...defaultSteps] });
    r.serve(apps.map(({ host, port }, index) => ({ host, port, tags: { track: index === 2 ? "canary" : "stable" } })));
    for (let n = 0; n < 5; n += 1) expect((await ask(r.port, { headers: { "x-canary": "1" } })).body).toBe("2");
    expect(new Set(await Promise.all(Array.from({ length: 9 }, async () => (await ask(r.port)).body))).size).toBe(3);
  });
});
