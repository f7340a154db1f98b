import { createServer } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const show = async (r: Rig, path: string): Promise<string> => (await ask(r.router.statusAddress?.port ?? 0, { path })).body;
const varz = async (r: Rig): Promise<Record<string, number>> => JSON.parse(await show(r, "/varz")) as Record<string, number>;

test("requests that wait for a place are shown while they do; those who found the line full, or waited in vain, are counted apart", async () => {
  const open: (() => void)[] = [];
  await using app = await httpBackend((_, response) => { open.push(() => response.end("done")); });
  await using r = await rig({ status: { port: 0 }, maxConnectionsPerEndpoint: 1, maxQueuedPerEndpoint: 2, queueTimeoutMs: 30_000 });
  r.serve([app]);
  const held = [ask(r.port)];
  await eventually(() => open.length === 1);
  for (let n = 1; n < 3; n += 1) {
    held.push(ask(r.port));
    await eventually(async () => (await varz(r))["waiting_requests"] === n);
  }
  expect((await ask(r.port)).status).toBe(503);
  expect(await varz(r)).toMatchObject({ waiting_requests: 2, refused_waiting_requests: 1, timed_out_waiting_requests: 0 });
  expect(await show(r, "/metrics")).toMatch(/\nwaiting_requests 2\n[^]*\nrefused_waiting_requests\{cause="full"\} 1\nrefused_waiting_requests\{cause="timeout"\} 0\n/);
  expect(await show(r, "/")).toContain("<dt>Waiting</dt><dd>2</dd>");
  for (let n = 0; n < 3; n += 1) {
    await eventually(() => open.length > n);
    open[n]?.();
    expect((await held[n])?.body).toBe("done");
  }
  expect(await varz(r)).toMatchObject({ waiting_requests: 0 });

  // On this route nobody waits long.
  r.router.table.register("short.example.com", { host: app.host, port: app.port }, { queueTimeoutMs: 20, maxQueuedPerEndpoint: 2, maxConnectionsPerEndpoint: 1 });
  const last = ask(r.port);
  await eventually(() => open.length === 4);
  expect((await ask(r.port, { host: "short.example.com" })).status).toBe(503);
  expect(await varz(r)).toMatchObject({ waiting_requests: 0, refused_waiting_requests: 1, timed_out_waiting_requests: 1 });
  open[3]?.();
  await last;
  // Where nobody may wait, being full is no refusal of the queue's.
  r.router.table.register("full.example.com", { host: app.host, port: app.port }, { maxQueuedPerEndpoint: 0, maxConnectionsPerEndpoint: 1 });
  const busy = ask(r.port, { host: "full.example.com" });
  await eventually(() => open.length === 5);
  expect((await ask(r.port, { host: "full.example.com" })).status).toBe(503);
  expect(await varz(r)).toMatchObject({ refused_waiting_requests: 1, exhausted_connections: 3 });
  open[4]?.();
  await busy;
});

test("repetitions that the budget does not allow are counted", async () => {
  // Takes connections and, once so many have come that repetitions of all would be too many, lets all of them go.
  const sockets = new Set<{ destroy(): void }>();
  let leaving = false;
  const bad = createServer((socket) => {
    socket.on("error", () => undefined).resume();
    if (leaving) socket.destroy();
    else sockets.add(socket);
  });
  bad.listen(0, "127.0.0.1");
  await once(bad, "listening");
  const { port } = bad.address() as { port: number };
  const held: (() => void)[] = [];
  let holding = true;
  await using app = await httpBackend((_, response) => {
    if (holding) held.push(() => response.end("done"));
    else response.end("done");
  });
  await using r = await rig({ status: { port: 0 }, retryBudgetPercent: 0 });
  r.serve([{ host: "127.0.0.1", port }, app]);
  const before = await varz(r);
  expect(before).toMatchObject({ refused_retries: 0 });
  const answers = Array.from({ length: 160 }, () => ask(r.port));
  await eventually(() => sockets.size >= 75);
  leaving = true;
  for (const socket of sockets) socket.destroy();
  await eventually(async () => ((await varz(r))["refused_retries"] ?? 0) > 0);
  holding = false;
  for (const answer of held) answer();
  const failed = (await Promise.all(answers)).filter(({ status }) => status !== 200).length;
  expect(failed).toBeGreaterThan(0);
  await eventually(async () => (await varz(r))["refused_retries"] === failed);
  expect(await show(r, "/metrics")).toContain(`\nrefused_retries ${failed}\n`);
  bad.close();
});
