import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask } from "../fixtures/client.ts";
import { protoOptions, protoTable } from "../fixtures/forwarded-proto.ts";
import { rig, type Rig } from "../fixtures/rig.ts";
import { routeService, type RouteServiceRig } from "../fixtures/route-service.ts";
import { askSecurely } from "../fixtures/secure.ts";

const own = authority();
const schemes = ["http", "https"] as const;

// The service changes nothing, so the app is told what the service was told, whichever way it came back.
describe.skipIf(own === undefined)("X-Forwarded-Proto by way of a route service", () => {
  const ca = own?.ca ?? "";

  for (const { cases, ...keys } of protoTable) {
    describe(`force_forwarded_proto_https ${keys.force}, sanitize_forwarded_proto ${keys.sanitize}`, () => {
      const services = new Map<string, RouteServiceRig>();
      const held: AsyncDisposable[] = [];
      let r: Rig;
      const tlsPort = (): number => (r.router.tlsAddress as { port: number }).port;

      beforeAll(async () => {
        const app = await httpBackend(echo);
        r = await rig({
          ...await protoOptions(keys), backendCa: ca, routeServices: { secret: "a secret of the fleet", ca, hairpinning: ["*.inside.example.com"] },
          tls: { port: 0, certificates: [own?.issue({ names: "DNS:http.example.com,DNS:https.example.com,DNS:http-inside.example.com,DNS:https-inside.example.com" }) as Certificate] },
        });
        held.push(app, r);
        for (const back of schemes) {
          const service = await routeService({ ...own?.sign("localhost") as Certificate, ...(back === "https" ? { backBy: { ca, checkServerIdentity: () => undefined } } : {}) }, () => (back === "https" ? tlsPort() : r.port));
          held.push(service);
          services.set(back, service);
          r.router.table.register(`${back}.example.com`, { host: app.host, port: app.port }, { routeServiceUrl: service.url });
          // The same one as an app of this table.
          r.router.table.register(`${back}.inside.example.com`, { host: "127.0.0.1", tlsPort: Number(new URL(service.url).port), serverCertDomainSan: "localhost", instanceId: "guard" });
          r.router.table.register(`${back}-inside.example.com`, { host: app.host, port: app.port }, { routeServiceUrl: `https://${back}.inside.example.com:1/check` });
        }
      });
      afterAll(async () => {
        for (const one of held.reverse()) await one[Symbol.asyncDispose]();
      });

      for (const back of schemes) {
        for (const { scheme, sent, told } of cases) {
          test(`13.51 over ${scheme}, with ${sent ?? "nothing"}, back by ${back}: service and app are told ${told}`, async () => {
            const headers: Record<string, string> = sent === undefined ? {} : { "x-forwarded-proto": sent };
            for (const [host, instance] of [[`${back}.example.com`, undefined], [`${back}-inside.example.com`, "guard"]] as const) {
              const answer = scheme === "http" ? await ask(r.port, { host, headers }) : await askSecurely(tlsPort(), { host, headers }, { ca });
              const asked = services.get(back)?.asked.at(-1)?.headers;
              expect([answer.status, answer.echoed().headers["x-forwarded-proto"], asked?.["x-forwarded-proto"], asked?.["x-cf-instanceid"]]).toEqual([200, told, told, instance]);
            }
          });
        }
      }
    });
  }
});
