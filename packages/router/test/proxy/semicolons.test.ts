import { describe, expect, test } from "vitest";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";

/** A router whose warnings and access lines are kept. */
async function heard(more: Parameters<typeof rig>[0] = {}) {
  const warnings: Record<string, unknown>[] = [];
  const lines: string[] = [];
  const keep = (event: string, data: object = {}): void => { if (event === "router.target.semicolon") warnings.push({ ...data }); };
  const r = await rig({ log: { info: () => undefined, warn: keep, error: () => undefined }, accessLog: { write: (line) => lines.push(line) }, ...more });
  return { ...r, warnings, lines };
}

describe("13.109 a target with a semicolon", () => {
  for (const [target, marked] of [
    ["/a?x=1;y=2", true], ["/a;v=1/b", true], ["/a;jsessionid=1?x=1", true], ["http://app.example.com/a?;", true], ["/a?x=1&y=2", false], ["/a?x=%3B", false],
  ] as const) {
    test(`${target} reaches the app as it is, and is ${marked ? "marked in the log and warned of" : "nothing to speak of"}; its client hears nothing of that`, async () => {
      await using app = await httpBackend(echo);
      await using r = await heard();
      r.serve([app]);
      await using client = await wire(r.port, `GET ${target} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n`);
      const answer = await client.end();
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer).toContain(`"url":${JSON.stringify(target)}`);
      expect(answer.toLowerCase()).not.toContain("x-cf-routererror");
      await eventually(() => r.lines.length === 1);
      expect(r.lines[0]).toContain(`x_cf_routererror:"${marked ? "deprecated-semicolon-params" : "-"}"`);
      expect(r.warnings).toEqual(marked ? [{ mark: "deprecated-semicolon-params", requestId: expect.stringMatching(/^[0-9a-f-]{36}$/), host: "app.example.com", unsaid: 0 }] : []);
      // An answer of the app is no fault of the router.
      expect([r.records[0]?.error, r.records[0]?.warning]).toEqual([undefined, marked ? "deprecated-semicolon-params" : undefined]);
    });
  }

  test("an error says more than the mark, and stays", async () => {
    await using r = await heard();
    const answer = await ask(r.port, { host: "nobody.example.com", path: "/?a;b" });
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([404, "unknown_route"]);
    await eventually(() => r.lines.length === 1);
    expect(r.lines[0]).toContain("x_cf_routererror:\"unknown_route\"");
    expect(r.warnings.length).toBe(1);
  });

  test("is marked in JSON too", async () => {
    await using app = await httpBackend(echo);
    await using r = await heard({ accessLogFormat: { kind: "json" } });
    r.serve([app]);
    await ask(r.port, { path: "/?a;b" });
    await eventually(() => r.lines.length === 1);
    expect(JSON.parse(r.lines[0] as string)).toMatchObject({ target: "/?a;b", status: 200, x_cf_routererror: "deprecated-semicolon-params" });
  });

  test("each is marked, but there is one warning a second, with the number of those that had none", async () => {
    const clock = manualClock();
    await using app = await httpBackend(echo);
    await using r = await heard({ clock });
    r.serve([app]);
    const asked = async (times: number): Promise<void> => {
      for (let at = 0; at < times; at += 1) await ask(r.port, { path: "/?a;b" });
    };
    await asked(5);
    clock.advance(1_000);
    await asked(2);
    clock.advance(1_000);
    await asked(1);
    await eventually(() => r.lines.length === 8);
    for (const line of r.lines) expect(line).toContain("deprecated-semicolon-params");
    expect(r.warnings.map(({ unsaid }) => unsaid)).toEqual([0, 4, 1]);
  });
});
