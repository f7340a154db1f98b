import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { echo, httpBackend, type HttpBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask } from "../fixtures/client.ts";
import { protoOptions, protoTable } from "../fixtures/forwarded-proto.ts";
import { rig, type Rig } from "../fixtures/rig.ts";
import { askSecurely } from "../fixtures/secure.ts";

const own = authority();

test("13.51 the table has a row for every combination", () => {
  expect(new Set(protoTable.flatMap(({ force, sanitize, cases }) => cases.map(({ scheme, sent }) => [force, sanitize, scheme, sent].join()))).size).toBe(24);
});

describe.skipIf(own === undefined)("X-Forwarded-Proto", () => {
  for (const { cases, ...keys } of protoTable) {
    describe(`force_forwarded_proto_https ${keys.force}, sanitize_forwarded_proto ${keys.sanitize}`, () => {
      let app: HttpBackend;
      let r: Rig;
      beforeAll(async () => {
        app = await httpBackend(echo);
        r = await rig({ ...await protoOptions(keys), tls: { port: 0, certificates: [own?.sign("app.example.com") as Certificate] } });
        r.serve([app]);
      });
      afterAll(async () => {
        await r[Symbol.asyncDispose]();
        await app[Symbol.asyncDispose]();
      });

      for (const { scheme, sent, told } of cases) {
        test(`13.51 over ${scheme}, with ${sent ?? "nothing"}: the app is told ${told}`, async () => {
          const headers: Record<string, string> = sent === undefined ? {} : { "x-forwarded-proto": sent };
          const answer = scheme === "http" ? await ask(r.port, { headers }) : await askSecurely((r.router.tlsAddress as { port: number }).port, { headers }, { ca: own?.ca ?? "" });
          expect([answer.status, answer.echoed().headers["x-forwarded-proto"]]).toEqual([200, told]);
        });
      }
    });
  }
});
