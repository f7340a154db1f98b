import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createRouter, type TlsOptions } from "../../src/index.ts";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { askSecurely } from "../fixtures/secure.ts";
import { routeService } from "../fixtures/route-service.ts";

const own = authority("/C=DE/O=Own/CN=own authority");
const other = authority("/CN=other authority");

describe.skipIf(own === undefined || other === undefined)("certificates of clients", () => {
  const ca = own?.ca ?? "";
  const server = (): Certificate => own?.sign("app.example.com") as Certificate;
  const made = new Map<string, Certificate>();
  const client = (by: "own" | "other", subject: string): Certificate => {
    const held = made.get(by + subject) ?? (by === "own" ? own : other)?.issue({ subject }) as Certificate;
    made.set(by + subject, held);
    return held;
  };
  const portOf = (r: { router: { tlsAddress: { port: number } | undefined } }): number => (r.router.tlsAddress as { port: number }).port;
  const bodyOf = ({ cert }: Certificate): string => new X509Certificate(cert).raw.toString("base64");

  const rules = [{ issuer: { C: "DE", O: "Own", CN: "own authority" }, subjects: [{ O: "Own", OU: ["app:1", "space:2"], CN: "good" }] }];
  const outcomes: [TlsOptions["clientCertificates"], TlsOptions["clientSubjects"], "none" | Certificate, boolean][] = own === undefined ? [] : [
    ["none", undefined, "none", true], ["none", undefined, client("own", "/CN=any"), true], ["none", undefined, client("other", "/CN=any"), true],
    ["request", undefined, "none", true], ["request", undefined, client("own", "/CN=any"), true], ["request", undefined, client("other", "/CN=any"), false],
    ["require", undefined, "none", false], ["require", undefined, client("own", "/CN=any"), true], ["require", undefined, client("other", "/CN=any"), false],
    ["request", rules, "none", true], ["request", rules, client("own", "/O=Own/OU=space:2/OU=app:1/CN=good"), true], ["request", rules, client("own", "/CN=good"), false],
    ["require", rules, "none", false], ["require", rules, client("own", "/O=Own/OU=app:1/OU=space:2/CN=good"), true], ["require", rules, client("own", "/O=Own/OU=app:1/OU=space:2/CN=good/L=x"), false],
  ];
  for (const [mode, clientSubjects, shown, taken] of outcomes) {
    const what = shown === "none" ? "none" : `${new X509Certificate(shown.cert).subject.replaceAll("\n", ",")} by ${new X509Certificate(shown.cert).issuer.replaceAll("\n", ",")}`;
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      test(`13.97: ${String(mode)}${clientSubjects ? " with rules for subjects" : ""}, ${maxVersion}: ${what} is ${taken ? "taken" : "refused"}`, async () => {
        await using app = await httpBackend(echo);
        await using r = await rig({ tls: { port: 0, certificates: [server()], clientCertificates: mode as "none", clientCa: ca, maxVersion, ...(clientSubjects ? { clientSubjects } : {}) } });
        r.serve([app]);
        const asked = askSecurely(portOf(r), {}, { ca, ...(shown === "none" ? {} : shown) });
        if (taken) expect((await asked).status).toBe(200);
        else {
          await expect(asked).rejects.toThrow();
          await eventually(() => r.router.numbers().refused_handshakes === 1);
          expect(app.requests).toEqual([]);
        }
      });
    }
  }

  test("13.97: a rule for an authority that vouches for nobody fails the start", async () => {
    const tls: TlsOptions = { port: 0, certificates: [server()], clientCertificates: "request", clientCa: ca, clientSubjects: [{ issuer: { CN: "stranger" }, subjects: [] }] };
    await expect(createRouter({ port: 0, tls }).listen()).rejects.toMatchObject({ code: "ROUTER_BAD_CERTIFICATE" });
  });

  const forged = "some-client-xfcc";
  for (const mode of ["always-forward", "forward", "sanitize-set"] as const) {
    for (const scheme of ["http", "https", "mutual"] as const) {
      for (const sent of [false, true]) {
        const mutual = scheme === "mutual";
        const expected = mode === "always-forward" ? (sent ? forged : undefined)
          : mode === "forward" ? (sent && mutual ? forged : undefined)
          : mutual ? "the certificate" : undefined;
        test(`13.52: ${mode}, ${scheme}, ${sent ? "with" : "without"} a header: the app sees ${expected ?? "none"}`, async () => {
          await using app = await httpBackend(echo);
          await using r = await rig({ forwardedClientCert: mode, tls: { port: 0, certificates: [server()], clientCertificates: "request", clientCa: ca } });
          r.serve([app]);
          const headers: Record<string, string> = sent ? { "x-forwarded-client-cert": forged } : {};
          const shown = client("own", "/CN=any");
          const answer = scheme === "http" ? await ask(r.port, { headers }) : await askSecurely(portOf(r), { headers }, { ca, ...(mutual ? shown : {}) });
          expect(answer.echoed().headers["x-forwarded-client-cert"]).toBe(expected === "the certificate" ? bodyOf(shown) : expected);
        });

        for (const back of ["http", "https"] as const) {
          // What the service sees is what an app would; it reaches the app only where this router put it there and TLS brings it back.
          const atApp = mode === "always-forward" ? expected : mode === "sanitize-set" && mutual && back === "https" ? "the certificate" : undefined;
          test(`13.52: ${mode}, ${scheme}, ${sent ? "with" : "without"} a header, by way of a route service that comes back by ${back}: the app sees ${atApp ?? "none"}`, async () => {
            await using app = await httpBackend(echo);
            let port = 0;
            await using service = await routeService({ ...own?.sign("localhost") as Certificate, ...(back === "https" ? { backBy: { ca, ...client("own", "/CN=service"), servername: "app.example.com" } } : {}) }, () => port);
            await using r = await rig({ forwardedClientCert: mode, routeServices: { secret: "a secret of the fleet", ca, forwardedScheme: back }, tls: { port: 0, certificates: [server()], clientCertificates: "request", clientCa: ca } });
            port = back === "https" ? portOf(r) : r.port;
            r.router.table.register("app.example.com", { host: app.host, port: app.port }, { routeServiceUrl: service.url });
            const headers: Record<string, string> = sent ? { "x-forwarded-client-cert": forged } : {};
            const shown = client("own", "/CN=any");
            const answer = scheme === "http" ? await ask(r.port, { headers }) : await askSecurely(portOf(r), { headers }, { ca, ...(mutual ? shown : {}) });
            expect(service.asked[0]?.headers["x-forwarded-client-cert"]).toBe(expected === "the certificate" ? bodyOf(shown) : expected);
            expect([answer.status, answer.echoed().headers["x-forwarded-client-cert"]]).toEqual([200, atApp === "the certificate" ? bodyOf(shown) : atApp]);
          });
        }
      }
    }
  }
});
