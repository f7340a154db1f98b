import type { RequestListener } from "node:http";
import { describe, expect, test } from "vitest";
import { httpBackend, type HttpBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask, eventually, type Answer } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";
import { routeService, type RouteServiceRig } from "../fixtures/route-service.ts";

const own = authority();
const affinityOf = ({ headers }: Answer): string[] => (headers["set-cookie"] ?? []).filter((cookie) => cookie.startsWith("__VCAP_ID__="));

interface Guarded extends AsyncDisposable {
  readonly r: Rig;
  readonly app: HttpBackend;
  readonly guard: RouteServiceRig;
  ask(headers?: Record<string, string>): Promise<Answer>;
}

/** `inside`: the service is an app of the same table, with an instance id of its own. */
async function guarded(inside: boolean, app: RequestListener, says: Record<string, string[]> = {}): Promise<Guarded> {
  const backend = await httpBackend(app);
  let port = 0;
  const guard = await routeService({ ...own?.sign("localhost") as Certificate }, () => port, undefined, says);
  const r = await rig({ backendCa: own?.ca ?? "", routeServices: { secret: "a secret of the fleet", ca: own?.ca ?? "", hairpinning: inside, maxAttempts: 1 }, stickyForNegotiate: true });
  port = r.port;
  if (inside) r.router.table.register("guard.example.com", { host: "127.0.0.1", tlsPort: Number(new URL(guard.url).port), serverCertDomainSan: "localhost", instanceId: "guard" });
  const routeServiceUrl = inside ? "https://guard.example.com:1/check" : guard.url;
  r.router.table.register("app.example.com/Shop", { host: backend.host, port: backend.port, instanceId: "i-1" }, { routeServiceUrl });
  return {
    r, app: backend, guard, ask: (headers = {}) => ask(r.port, { path: "/Shop", headers }),
    async [Symbol.asyncDispose]() { for (const one of [r, guard, backend]) await one[Symbol.asyncDispose](); },
  };
}

for (const inside of [false, true]) {
  describe.skipIf(own === undefined)(`13.43 affinity by way of a route service ${inside ? "in the table" : "outside"}`, () => {
    const begins: RequestListener = (_, response) => { response.setHeader("Set-Cookie", "JSESSIONID=1; Secure").end("app"); };

    test("the app's session: one cookie, from the way back, with the app's route and attributes", async () => {
      await using g = await guarded(inside, begins);
      expect((await g.ask()).headers["set-cookie"]).toEqual(["JSESSIONID=1; Secure", "__VCAP_ID__=i-1; Path=/Shop; HttpOnly; Secure"]);
      expect(g.guard.asked).toHaveLength(1);
    });

    test("a session that the service begins ties nobody to anything", async () => {
      await using g = await guarded(inside, (_, response) => response.end("app"), { "Set-Cookie": ["JSESSIONID=2"] });
      const answer = await g.ask();
      expect([answer.body, answer.headers["set-cookie"]]).toEqual(["app", ["JSESSIONID=2"]]);
    });

    test("nor does a challenge of the service", async () => {
      await using g = await guarded(inside, (_, response) => response.end("app"), { "WWW-Authenticate": ["Negotiate"] });
      const answer = await g.ask();
      expect([answer.body, answer.headers["www-authenticate"], affinityOf(answer)]).toEqual(["app", "Negotiate", []]);
    });

    test("a client of an instance that is gone is told once of its new one, and the service is asked with the client's cookies", async () => {
      await using g = await guarded(inside, (_, response) => response.end("app"));
      const answer = await g.ask({ cookie: "JSESSIONID=1; __VCAP_ID__=gone" });
      expect([answer.status, answer.headers["set-cookie"]]).toEqual([200, ["__VCAP_ID__=i-1; Path=/Shop; HttpOnly"]]);
      expect(g.guard.asked.map(({ headers }) => headers.cookie)).toEqual(["JSESSIONID=1; __VCAP_ID__=gone"]);
    });

    test("a client stays with its instance, and the service is none of that", async () => {
      await using other = await httpBackend((_, response) => response.end("other"));
      await using g = await guarded(inside, (_, response) => response.end("app"));
      g.r.router.table.register("app.example.com/Shop", { host: other.host, port: other.port, instanceId: "i-2" });
      for (const [instance, expected] of [["i-1", "app"], ["i-2", "other"], ["i-2", "other"], ["i-1", "app"]] as const) {
        const answer = await g.ask({ cookie: `JSESSIONID=1; __VCAP_ID__=${instance}` });
        expect([answer.body, affinityOf(answer)]).toEqual([expected, []]);
      }
      // Hard affinity as well: it speaks of the app's instances, not of the service's.
      const answer = await g.ask({ cookie: "__VCAP_ID__=i-2", authorization: "Negotiate abc" });
      expect([answer.body, affinityOf(answer)]).toEqual(["other", []]);
      await eventually(() => g.guard.asked.length === 5);
    });

    test("a service that does not answer leaves no cookie", async () => {
      await using g = await guarded(inside, begins);
      await g.guard[Symbol.asyncDispose]();
      const answer = await g.ask({ cookie: "JSESSIONID=1; __VCAP_ID__=gone" });
      expect([answer.status, affinityOf(answer), g.app.requests.length]).toEqual([502, [], 0]);
    });
  });
}
