import { expect, test } from "vitest";
import { announce, createBus, memoryTransport } from "@opencf/bus";
import { componentAnnounce, componentDiscover } from "@opencf/bus/messages";
import { listen } from "@opencf/bus/http";

test("a component announces itself, answers who asks, and shows /varz and /healthz behind its credentials", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const heard: string[] = [];
  bus.subscribe(componentAnnounce, ({ body }) => heard.push(body.type));
  let healthy = true;
  await using component = await announce(bus, { type: "Router", index: 3, varz: () => ({ urls: 7 }), healthy: () => healthy });
  await expect.poll(() => heard).toEqual(["Router"]);

  const [answer] = await bus.gather(componentDiscover, {}, { waitMs: 2_000, max: 1 });
  expect(answer).toMatchObject({ type: "Router", index: 3, uuid: component.uuid, host: `127.0.0.1:${component.port}` });
  expect(answer?.uptime).toMatch(/^0d:0h:0m:\d+s$/);

  const base = `http://${answer?.host}`;
  const authorization = `Basic ${Buffer.from((answer?.credentials ?? []).join(":")).toString("base64")}`;
  expect((await fetch(`${base}/varz`)).status).toBe(401);
  expect((await fetch(`${base}/varz`, { headers: { authorization: "Basic eDp5" } })).status).toBe(401);
  const varz = (await (await fetch(`${base}/varz`, { headers: { authorization } })).json()) as object;
  expect(varz).toMatchObject({ type: "Router", urls: 7, num_cores: expect.any(Number), mem: expect.any(Number), cpu: expect.any(Number) });
  expect((await fetch(`${base}/healthz`, { headers: { authorization } })).status).toBe(200);
  healthy = false;
  expect((await fetch(`${base}/healthz`, { headers: { authorization } })).status).toBe(503);
  expect((await fetch(`${base}/other`, { headers: { authorization } })).status).toBe(404);
});

test("a taken port is a clear error", async () => {
  await using first = await listen(() => new Response("x"));
  await expect(listen(() => new Response("x"), { port: first.port })).rejects.toMatchObject({ code: "BUS_PORT_TAKEN" });
});
