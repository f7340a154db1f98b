import { describe, expect, test } from "vitest";
import { httpBackend, misbehaving } from "../fixtures/backend.ts";
import { ask, type Answer } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { trip, ways } from "../fixtures/ways.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const forged = { "x-cf-applicationid": "forged", "X-CF-InstanceID": "forged", "x-Cf-InstanceIndex": "forged", X_CF_INSTANCEID: "forged" };

for (const way of ways) {
  describe(`by way of ${way.what}`, () => {
    for (const [what, given, expected] of [
      ["nothing", undefined, "127.0.0.1"], ["one address", "1.2.3.4", "1.2.3.4, 127.0.0.1"], ["a list", "1.2.3.4, 5.6.7.8", "1.2.3.4, 5.6.7.8, 127.0.0.1"],
      ["two headers", ["1.2.3.4", "2001:db8::1"], "1.2.3.4, 2001:db8::1, 127.0.0.1"], ["an empty one", "", "127.0.0.1"],
    ] as const) {
      test(`13.48 X-Forwarded-For: the client's address is appended to ${what}`, async () => {
        await using t = await trip(way);
        const { headers } = (await t.ask(given === undefined ? {} : { headers: { "x-forwarded-for": typeof given === "string" ? given : [...given] } })).echoed();
        expect(headers["x-forwarded-for"]).toBe(expected);
      });
    }

    test("13.48 X-Request-Start: when the request came, in milliseconds, unless somebody before has said it", async () => {
      await using t = await trip(way);
      const before = Date.now();
      const started = (await t.ask()).echoed().headers["x-request-start"];
      expect(started).toMatch(/^\d{13}$/);
      expect(Number(started)).toBeGreaterThanOrEqual(before);
      expect(Number(started)).toBeLessThanOrEqual(Date.now());
      for (const given of ["17", "1700000000000", "t=1700000000.123"]) expect((await t.ask({ headers: { "x-request-start": given } })).echoed().headers["x-request-start"]).toBe(given);
    });

    test("13.48 X-Forwarded-Host, -Port and Forwarded are the client's, and never ours", async () => {
      await using t = await trip(way);
      const given = { "x-forwarded-host": "outer.example.com", "x-forwarded-port": "8443", forwarded: "for=1.2.3.4;host=outer.example.com" };
      expect((await t.ask({ headers: given })).echoed().headers).toMatchObject(given);
      const { headers } = (await t.ask()).echoed();
      for (const name of Object.keys(given)) expect(headers).not.toHaveProperty(name);
    });

    test("13.49 the app is told which instance it is, whatever the client says", async () => {
      await using t = await trip(way, { more: { app: "guid", instanceId: "i-1", instanceIndex: "4" } });
      for (const headers of [{}, forged] as Record<string, string>[]) {
        const seen = (await t.ask({ headers })).echoed().headers;
        expect(seen).toMatchObject({ "x-cf-applicationid": "guid", "x-cf-instanceid": "i-1", "x-cf-instanceindex": "4" });
        expect(seen).not.toHaveProperty("x_cf_instanceid");
      }
    });

    test("13.49 without an id its address stands for it; of what is not registered nothing is said, by the client neither", async () => {
      await using t = await trip(way);
      for (const headers of [{}, forged] as Record<string, string>[]) {
        const seen = (await t.ask({ headers })).echoed().headers;
        expect(seen["x-cf-instanceid"]).toBe(`127.0.0.1:${t.app.port}`);
        for (const name of ["x-cf-applicationid", "x-cf-instanceindex", "x_cf_instanceid"]) expect(seen).not.toHaveProperty(name);
      }
    });

    test("13.50 each request gets an id of its own, and so does its answer", async () => {
      await using t = await trip(way);
      const ids: unknown[] = [];
      for (const headers of [{}, { "x-vcap-request-id": "forged" }, { "X-VCAP-REQUEST-ID": "forged" }, { x_vcap_request_id: "forged" }] as Record<string, string>[]) {
        const answer = await t.ask({ headers });
        const seen = answer.echoed().headers;
        expect(seen["x-vcap-request-id"]).toMatch(uuid);
        expect(answer.headers["x-vcap-request-id"]).toBe(seen["x-vcap-request-id"]);
        expect(JSON.stringify(seen)).not.toContain("forged");
        ids.push(seen["x-vcap-request-id"]);
      }
      expect(new Set(ids).size).toBe(4);
    });

    test("13.50 an app's own id stays the answer's", async () => {
      await using t = await trip(way, { answers: { "X-Vcap-Request-Id": "mine" } });
      const answer = await t.ask();
      expect(answer.headers["x-vcap-request-id"]).toBe("mine");
      expect(answer.echoed().headers["x-vcap-request-id"]).toMatch(uuid);
    });

    test("13.50 the router's own answers have it too", async () => {
      await using t = await trip(way);
      await using gone = await misbehaving.refuses();
      t.r.router.table.register("gone.example.com", { host: gone.host, port: gone.port, protocol: way.protocol });
      for (const [host, status] of [["nobody.example.com", 404], ["gone.example.com", 502]] as const) {
        const answer = await t.ask({ host, headers: { "x-vcap-request-id": "forged" } });
        expect([answer.status, answer.headers["x-vcap-request-id"]]).toEqual([status, expect.stringMatching(uuid)]);
      }
    });
  });
}

test("13.49 after a failed attempt the app is told of the instance that serves", async () => {
  await using gone = await misbehaving.refuses();
  const seen: unknown[] = [];
  await using app = await httpBackend(({ headers }, response) => {
    seen.push([headers["x-cf-instanceid"], headers["x-cf-instanceindex"], headers["x-cf-applicationid"]]);
    response.end();
  });
  await using r = await rig({ failureMarkMs: 0 });
  r.serve([{ ...gone, app: "guid", instanceId: "i-gone", instanceIndex: "0" }, { ...app, app: "guid", instanceId: "i-live", instanceIndex: "1" }]);
  for (let n = 0; n < 4; n += 1) expect((await ask(r.port)).status).toBe(200);
  expect(seen).toEqual(Array.from({ length: 4 }, () => ["i-live", "1", "guid"]));
});

test("13.50 one id in an answer, not two", async () => {
  await using own = await httpBackend((_, response) => response.setHeader("x-VCAP-request-ID", "mine").end());
  await using plain = await httpBackend((_, response) => response.end());
  await using r = await rig();
  r.serve([own]);
  r.serve([plain], "plain.example.com");
  const ids = ({ rawHeaders }: Answer): string[] => rawHeaders.filter((_, at) => rawHeaders[at - 1]?.toLowerCase() === "x-vcap-request-id" && at % 2 === 1);
  expect(ids(await ask(r.port))).toEqual(["mine"]);
  expect(ids(await ask(r.port, { host: "plain.example.com" }))).toEqual([plain.requests[0]?.headers["x-vcap-request-id"]]);
});
