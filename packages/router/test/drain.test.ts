import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { createRouter, RouterError, type RouterState, type RouteSource } from "../src/index.ts";
import { echo, httpBackend, misbehaving } from "./fixtures/backend.ts";
import { ask, eventually, wire } from "./fixtures/client.ts";
import { rig } from "./fixtures/rig.ts";

describe("listening", () => {
  test("says where, and is healthy from then on", async () => {
    const router = createRouter({ port: 0 });
    const states: RouterState[] = [];
    router.on("state", (state) => states.push(state));
    expect(router.address).toBeUndefined();
    const address = await router.listen();
    expect(router.address).toEqual(address);
    expect(address).toEqual({ host: "127.0.0.1", port: expect.any(Number) });
    await router[Symbol.asyncDispose]();
    await router[Symbol.asyncDispose]();
    expect(states).toEqual(["starting", "healthy", "draining", "stopped"]);
  });

  test("a taken port is named, with what to do", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as { port: number };
    await using router = createRouter({ port });
    const error = await router.listen().catch((cause: unknown) => cause) as RouterError;
    expect(error).toBeInstanceOf(RouterError);
    expect(error).toMatchObject({ code: "ROUTER_PORT_TAKEN", retryable: true, cause: { code: "EADDRINUSE" } });
    expect(error.message).toMatch(new RegExp(`port ${port} .* is taken: .*another port`));
    expect(router.state).toBe("stopped");
    await new Promise((resolve) => holder.close(resolve));
  });

  test("an address that is none of ours", async () => {
    await using router = createRouter({ port: 0, host: "192.0.2.1" });
    await expect(router.listen()).rejects.toMatchObject({ code: "ROUTER_LISTEN_FAILED" });
  });

  test("twice, or after the end, is an error", async () => {
    const router = createRouter({ port: 0 });
    await router.listen();
    await expect(router.listen()).rejects.toMatchObject({ code: "ROUTER_CLOSED" });
    await router.drain();
    await expect(router.listen()).rejects.toMatchObject({ code: "ROUTER_CLOSED" });
  });

  test("a source that does not start stops the rest", async () => {
    const log: string[] = [];
    const good: RouteSource = { name: "good", start: () => { log.push("started"); return { async [Symbol.asyncDispose]() { log.push("stopped"); } }; } };
    const bad: RouteSource = { name: "bad", start: () => Promise.reject(new Error("no bus")) };
    await using router = createRouter({ port: 0, sources: [good, bad] });
    await expect(router.listen()).rejects.toMatchObject({ code: "ROUTER_SOURCE_FAILED", message: expect.stringMatching(/"bad".*no bus/) });
    expect(log).toEqual(["started", "stopped"]);
  });

  test("the port opens after the start delay, and a stop does not wait for it", async () => {
    const source: RouteSource = { name: "s", start: () => ({ async [Symbol.asyncDispose]() {} }) };
    const router = createRouter({ port: 0, sources: [source], startDelayMs: 60_000, status: { port: 0 } });
    const listening = router.listen();
    listening.catch(() => undefined);
    await eventually(() => router.statusAddress !== undefined);
    expect((await ask(router.statusAddress?.port ?? 0, { path: "/health" })).status).toBe(503);
    expect((await ask(router.statusAddress?.port ?? 0, { path: "/is-process-alive-do-not-use-for-loadbalancing" })).status).toBe(200);
    await router[Symbol.asyncDispose]();
    await expect(listening).rejects.toMatchObject({ code: "ROUTER_CLOSED" });
  });

  for (const [name, options] of [
    ["no attempts", { maxAttempts: 0 }], ["half a timeout", { endpointTimeoutMs: 0.5 }], ["a timeout beyond what timers can", { endpointTimeoutMs: 2 ** 31 }], ["no port", { port: 70_000 }],
    ["an unknown algorithm", { loadBalancing: "fastest" as never }], ["a range that is none", { trustedProxies: ["10.0.0.0/99"] }], ["a name as range", { trustedProxies: ["localhost"] }],
  ] as const) test(`${name} is refused when the router is made`, () => expect(() => createRouter(options)).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" })));
});

describe("draining", () => {
  test("requests under way finish, connections close behind them, new ones are refused", async () => {
    let finish: (() => void) | undefined;
    await using app = await httpBackend((_, response) => { response.write("begin "); finish = () => response.end("end"); });
    await using r = await rig();
    r.serve([app]);
    await using slow = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await using idle = await wire(r.port, "GET /none HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n");
    await idle.until("does not exist");
    await slow.until("begin");
    const draining = r.router.drain();
    await idle.end();
    await expect(ask(r.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(r.router.state).toBe("draining");
    finish?.();
    expect(await slow.end()).toContain("end");
    await draining;
    expect([r.router.state, r.router.inFlight]).toEqual(["stopped", 0]);
  });

  test("while it waits it accepts, is not healthy, and asks clients to close", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ status: { port: 0 } });
    r.serve([app]);
    const status = r.router.statusAddress?.port ?? 0;
    expect((await ask(status, { path: "/health" })).status).toBe(200);
    const draining = r.router.drain({ waitMs: 300 });
    expect((await ask(status, { path: "/health" })).status).toBe(503);
    expect(await ask(r.port)).toMatchObject({ status: 200, headers: { connection: "close" } });
    await draining;
    await expect(ask(status, { path: "/health" })).rejects.toThrow();
  });

  test("an answer given during the drain says that the connection closes", async () => {
    let answer: (() => void) | undefined;
    await using app = await httpBackend((_, response) => { answer = () => response.end("late"); });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => answer !== undefined);
    const draining = r.router.drain();
    answer?.();
    expect((await client.end()).toLowerCase()).toContain("connection: close");
    await draining;
  });

  test("ends at its deadline whatever is under way", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => app.heard() > 0);
    const begun = Date.now();
    await r.router.drain({ timeoutMs: 150 });
    expect(Date.now() - begun).toBeLessThan(1_500);
    await client.end();
    await eventually(() => app.open() === 0);
  });

  test("tunnels are cut once the ordinary requests are answered; a second call waits for the first", async () => {
    await using app = await httpBackend(echo);
    const sockets = new WebSocketServer({ server: app.server });
    await using r = await rig({ drainTimeoutMs: 60_000 });
    r.serve([app]);
    const socket = new WebSocket(`ws://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" } });
    await once(socket, "open");
    const closed = once(socket, "close");
    await Promise.all([r.router.drain(), r.router.drain(), r.router[Symbol.asyncDispose]()]);
    await closed;
    await eventually(() => sockets.clients.size === 0);
  });

  test("sources stop last, in reverse order", async () => {
    const log: string[] = [];
    const source = (name: string): RouteSource => ({ name, start: () => ({ async [Symbol.asyncDispose]() { log.push(`${name} ${router.state}`); } }) });
    const router = createRouter({ port: 0, sources: [source("one"), source("two")] });
    await router.listen();
    await router.drain();
    expect(log).toEqual(["two draining", "one draining"]);
  });
});
