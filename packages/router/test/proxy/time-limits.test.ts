import { expect, test } from "vitest";
import { httpBackend } from "../fixtures/backend.ts";
import { ask } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

// The same connection to an app carries requests with different limits, one after the other: each has its own, and no more of it.

test("13.84 each request has the time of its route, whatever the one before on the connection had", async () => {
  await using app = await httpBackend((request, response) => {
    const afterMs = Number(new URL(request.url as string, "http://app").searchParams.get("after"));
    if (afterMs === 0) response.end("at once");
    else setTimeout(() => response.end("late"), afterMs).unref();
  });
  await using r = await rig({ endpointTimeoutMs: 60_000, backendIdleMs: 10_000 });
  r.serve([app], "long.example.com");
  r.serve([app], "short.example.com");
  r.router.table.register("short.example.com", { host: app.host, port: app.port }, { endpointTimeoutMs: 300 });
  const status = async (host: string, afterMs: number): Promise<number> => (await ask(r.port, { host, path: `/?after=${afterMs}` })).status;
  // A long one first: the short one behind it must not wait for the end of the long one's time.
  expect([await status("long.example.com", 0), await status("long.example.com", 0)]).toEqual([200, 200]);
  expect([await status("long.example.com", 0), await status("short.example.com", 0), await status("short.example.com", 20_000)]).toEqual([200, 200, 502]);
  expect(app.connections()).toBe(1);
  // A short one first: the long one behind it has more time.
  expect([await status("short.example.com", 0), await status("long.example.com", 700), await status("short.example.com", 0)]).toEqual([200, 200, 200]);
  expect(app.connections()).toBe(2);
  // Short ones that follow each other for longer than each of them has.
  const begun = performance.now();
  const statuses: number[] = [];
  while (performance.now() - begun < 900) statuses.push(await status("short.example.com", 60));
  expect(statuses.every((one) => one === 200)).toBe(true);
  expect(app.connections()).toBe(2);
});
