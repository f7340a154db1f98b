import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { failureRules } from "../../src/proxy/failure.ts";
import { echo, httpBackend, type Backend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { faultsBeforeAnswer, faultyBackend, type BackendFault } from "../fixtures/faulty.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const limits = { endpointTimeoutMs: 400, backendIdleMs: 100, maxResponseHeaderBytes: 65_536 } as const;

/** The next request goes to the first endpoint, whatever is known about it. */
function fromTheFirst({ router }: Rig): void {
  const pool = router.table.lookup("app.example.com", "/");
  if (pool === undefined) throw new Error("no route");
  pool.cursor = 0;
  for (const { backend } of pool.endpoints) backend.failedUntil = 0;
}

const backendOf = ({ router }: Rig) => router.table.lookup("app.example.com", "/")?.endpoints[0]?.backend;

/** Nothing is under way any more, and no socket is open. */
async function nothingIsLeft(r: Rig, ...backends: readonly Backend[]): Promise<void> {
  await eventually(() => r.router.inFlight === 0);
  for (const backend of backends) await eventually(() => backend.open() === 0, 5_000, () => `${backend.open()} sockets of ${backend.port} to close`);
  for (const { backend } of r.router.table.lookup("app.example.com", "/")?.endpoints ?? []) expect(backend.inFlight).toBe(0);
}

describe("13.76, 13.82 a backend that", () => {
  for (const fault of faultsBeforeAnswer) {
    test(`${fault.what}: 502 (${fault.cause}), the address ${fault.marked ? "is avoided" : "stays in use"}, nothing is left`, async () => {
      await using bad = await faultyBackend(fault);
      await using r = await rig(limits);
      r.serve([bad]);
      const answer = await ask(r.port);
      const { cause, marked } = answer.headers["x-cf-routererror"] === `endpoint_failure (${fault.orCause})` ? { cause: fault.orCause, marked: false } : fault;
      expect([answer.status, answer.headers["x-cf-routererror"], answer.complete]).toEqual([502, `endpoint_failure (${cause})`, true]);
      expect(answer.body).not.toContain(String(bad.port));
      expect((backendOf(r)?.failedUntil ?? 0) > 0).toBe(marked);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ attempts: 1, failedAttempts: 1, error: `endpoint_failure (${cause})` });
      await nothingIsLeft(r, bad);
    });

    test(`${fault.what}, with another beside it: ${fault.retryGet ? "GET goes there" : "nothing goes there"}${fault.retryPost === true ? ", and POST" : ""}`, async () => {
      await using bad = await faultyBackend(fault);
      await using good = await httpBackend(echo);
      await using r = await rig(limits);
      r.serve([bad, good]);
      fromTheFirst(r);
      expect((await ask(r.port)).status).toBe(fault.retryGet ? 200 : 502);
      fromTheFirst(r);
      const posted = await ask(r.port, { method: "POST", body: "once" });
      if (fault.retryPost !== undefined) expect(posted.status).toBe(fault.retryPost ? 200 : 502);
      else expect([200, 502]).toContain(posted.status);
      if (posted.status === 200) expect(posted.echoed().body).toBe("once");
      expect(good.requests.length).toBe((fault.retryGet ? 1 : 0) + (posted.status === 200 ? 1 : 0));
      await nothingIsLeft(r, bad, good);
    });
  }

  test("has its row in docs/router-failures.md, with the status and what follows", async () => {
    const page = await readFile(new URL("../../../../docs/router-failures.md", import.meta.url), "utf8");
    const rows = [...page.matchAll(/^\| `([a-zA-Z ]+)` \| (\d+)[^|]* \| ([^|]+) \| (yes|no)(, and its registration goes)? \|/gm)];
    const said = rows.map(([, cause, status, retry, mark]) => [cause, Number(status), retry, mark === "yes"]);
    const words = { always: "always", never: "never", unsent: "if nothing was sent", idempotent: "if nothing was sent, or repeating does no harm" };
    expect(said).toEqual(failureRules.map(({ cause, status, retry, mark }) => [cause, status, words[retry], mark]));
  });

  test("does any of this has its words in the failure table", () => {
    const known = new Set(failureRules.map(({ cause }) => cause));
    for (const { cause } of faultsBeforeAnswer as readonly BackendFault[]) expect(known).toContain(cause);
  });
});
