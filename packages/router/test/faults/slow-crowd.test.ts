import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { httpBackend } from "../fixtures/backend.ts";
import { bundle } from "../fixtures/bundle.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

/** What the system lets a process open, with room for its other files; half of it where a connection costs the router two. */
const descriptors = Number(execFileSync("sh", ["-c", "ulimit -n"]).toString().replace("unlimited", "1048576"));
const wanted = Number(process.env["ROUTER_SLOW_CONNECTIONS"] ?? 500);

let programs: Awaited<ReturnType<typeof bundle>>;
beforeAll(async () => { programs = await bundle({ crowd: "test/faults/crowd.ts" }); });
afterAll(() => programs[Symbol.asyncDispose]());

async function crowd(port: number, count: number, how: string) {
  const child = spawn(process.execPath, [programs.path("crowd"), String(port), String(count), how], { stdio: ["pipe", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text: Buffer) => { said += text.toString(); });
  const exited = once(child, "exit");
  return {
    said: (what: string) => said.includes(what),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Bytes in use, as near as it can be told without `--expose-gc`. */
const usedBytes = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external + process.memoryUsage().arrayBuffers;

for (const engine of ["undici", "native"] as const) {
  describe(`many slow clients at once (${engine}; ROUTER_SLOW_CONNECTIONS=20000 for more)`, () => {
    for (const [how, kib, cost] of [["head", 24, 1], ["body", 96, 4], ["idle", 24, 1]] as const) {
      const count = Math.min(wanted, Math.floor((descriptors - 500) / cost));
      test(`${count} connections with a slow ${how}: others are served, memory is bounded, all are sent away in the end`, async () => {
        await using app = await httpBackend((request, response) => {
          request.resume();
          request.on("end", () => response.end("fine"));
        });
        // Long enough for all to be there at once, on a slow machine too.
        const stayMs = 3_000 + 3 * count;
        await using r = await rig({ engine, headersTimeoutMs: stayMs, clientStallMs: stayMs, clientIdleMs: stayMs });
        r.serve([app]);
        expect((await ask(r.port)).status).toBe(200);
        const before = usedBytes();
        await using clients = await crowd(r.port, count, how);
        await eventually(() => clients.said("open"), 60_000);
        // On a slow machine the first are sent away before the last have come.
        const taken = (): number => r.router.inFlight + r.records.filter(({ status }) => status === 408).length;
        if (how === "body") await eventually(() => taken() >= count, 60_000, () => `${taken()} of ${count}`);
        for (let n = 0; n < 20; n += 1) expect((await ask(r.port)).body).toBe("fine");
        expect((usedBytes() - before) / 1_024 / count).toBeLessThan(kib);
        await eventually(() => clients.said("closed"), 120_000);
        await eventually(() => r.router.inFlight === 0);
        expect((await ask(r.port)).body).toBe("fine");
      }, 240_000);
    }
  });
}
