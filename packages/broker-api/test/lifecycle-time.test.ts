import { describe, expect, test } from "vitest";
import { memoryStore } from "../src/store.ts";
import { gate, logger, testCatalog, until, world } from "./fixtures/world.ts";

describe("at the same time", () => {
  test("one works on an instance, the others are told", async () => {
    const door = gate();
    const w = world({ provision: () => door.passed });
    const first = w.provision("i");
    await until(() => w.calls.length === 1);
    expect(await w.provision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.provision("i", { plan_id: "p2" })).status).toBe(409);
    expect(await w.deprovision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect(await w.bind("i", "b")).toMatchObject({ status: 422 });
    expect((await w.ask("GET", w.instance("i"))).status).toBe(404);
    expect((await w.ask("GET", `${w.instance("i")}/last_operation`)).body).toEqual({ state: "in progress" });
    const other = w.provision("other");
    await until(() => w.calls.length === 2);
    door.open();
    expect([(await first).status, (await other).status]).toEqual([201, 201]);
    expect((await w.ask("GET", `${w.instance("i")}/last_operation`)).body).toEqual({ state: "succeeded" });
    expect((await w.ask("GET", `${w.instance("x")}/last_operation`)).status).toBe(404);
  });

  test("bindings of one instance do not wait for each other; the instance waits for all", async () => {
    const door = gate();
    const w = world({ bind: async () => { await door.passed; return {}; } });
    await w.provision("i");
    const binds = [w.bind("i", "b1"), w.bind("i", "b2")];
    await until(() => w.calls.length === 3);
    expect(await w.bind("i", "b1")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.bind("i", "b1", { parameters: { size: 2 } })).status).toBe(409);
    expect(await w.unbind("i", "b1")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect(w.verbs()).not.toContain("unbind");
    expect(await w.update("i", { plan_id: "p2" })).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    expect((await w.deprovision("i")).status).toBe(422);
    door.open();
    expect((await Promise.all(binds)).map(({ status }) => status)).toEqual([201, 201]);
    expect((await w.update("i", { plan_id: "p2" })).status).toBe(200);
  });

  test("fetching during an update is a ConcurrencyError", async () => {
    const door = gate();
    const w = world({ update: () => door.passed });
    await w.provision("i");
    const change = w.update("i", { plan_id: "p2" });
    await until(() => w.calls.length === 2);
    expect(await w.ask("GET", w.instance("i"))).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    door.open();
    expect((await change).status).toBe(200);
  });

  test("fifty equal requests at once make one instance", async () => {
    const w = world();
    const statuses = (await Promise.all(Array.from({ length: 50 }, () => w.provision("i")))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201).length).toBe(1);
    expect(new Set(statuses)).toEqual(new Set([201, 422]));
    expect(w.verbs()).toEqual(["provision"]);
  });
});

describe("time", () => {
  test("a slow author is told, the platform gets 504, and what was made late can be deleted", async () => {
    const door = gate();
    let told: unknown;
    const w = world({ provision: async (_, { signal }) => { signal.addEventListener("abort", () => { told = signal.reason; }); await door.passed; } }, { timeoutMs: 30 });
    expect((await w.provision("i")).status).toBe(504);
    expect(told).toMatchObject({ code: "BROKER_TIMEOUT" });
    expect(await w.deprovision("i")).toMatchObject({ status: 422, body: { error: "ConcurrencyError" } });
    door.open();
    // Not a moment too early: until the work has ended, a repetition is a ConcurrencyError.
    await until(async () => (await w.provision("i")).status === 200);
    expect((await w.deprovision("i")).status).toBe(200);
    expect(w.verbs()).toEqual(["provision", "deprovision"]);
  });

  test("what fails after the time is told to the log", async () => {
    const door = gate();
    const { lines, log } = logger();
    const w = world({ provision: async () => { await door.passed; throw new Error("too late anyway"); } }, { timeoutMs: 20, log });
    expect((await w.provision("i")).status).toBe(504);
    door.open();
    await until(() => lines.some((line) => /^broker\.failed\.late .*too late anyway/.test(line)));
    expect((await w.deprovision("i")).status).toBe(200);
  });

  test("a closed broker refuses and tells those at work", async () => {
    const closing = new AbortController();
    let told = false;
    const w = world({ provision: (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => { told = true; reject(new Error("closed")); })) }, { signal: closing.signal });
    const running = w.provision("i");
    await until(() => w.calls.length === 1);
    closing.abort();
    expect((await running).status).toBe(500);
    expect(told).toBe(true);
    expect((await w.ask("GET", "/v2/catalog")).status).toBe(503);
  });

  test("what a crashed broker left half-made can be deleted by the next", async () => {
    const store = memoryStore();
    const before = world({ provision: () => new Promise(() => {}) }, { store });
    void before.provision("i");
    await until(() => before.calls.length === 1);
    const after = world({}, { store });
    expect((await after.provision("i")).status).toBe(422);
    expect((await after.ask("GET", `${after.instance("i")}/last_operation`)).body).toEqual({ state: "failed" });
    expect((await after.deprovision("i")).status).toBe(200);
    expect((await after.provision("i")).status).toBe(201);
  });

  test("a plan that left the catalog still serves its instances", async () => {
    const store = memoryStore();
    const before = world({}, { store });
    await before.provision("i", { plan_id: "p2" });
    const smaller = structuredClone(testCatalog);
    (smaller.services[0] as unknown as { plans: unknown[] }).plans.splice(1, 1);
    const after = world({}, { store }, smaller);
    expect((await after.bind("i", "b", { plan_id: "p2" })).status).toBe(201);
    expect(after.calls[0]).toMatchObject({ plan: { name: "big" } });
    expect((await after.provision("j", { plan_id: "p2" })).status).toBe(400);
    expect((await after.deprovision("i", "service_id=s1&plan_id=p2")).status).toBe(200);
  });

  test("a store that fails is a 500, and nothing is promised", async () => {
    const store = { ...memoryStore(), set: async () => { throw new Error("disk full at /var/lib"); } };
    const w = world({}, { store });
    expect(await w.provision("i")).toMatchObject({ status: 500, body: { description: "the broker failed" } });
    expect(w.verbs()).toEqual([]);
  });
});
