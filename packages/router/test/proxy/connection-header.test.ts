import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { trip, ways } from "../fixtures/ways.ts";

/** What apps believe because it comes from the router: gorouter's list of a usual installation, and more. */
const kept: Record<string, string> = {
  "X-Forwarded-Proto": "https", "X-Forwarded-Host": "outer.example.com", "X-Forwarded-Port": "8443", "X-Forwarded-Client-Cert": "cert", "X-Request-Start": "17",
  B3: "0123456789abcdef-0123456789abcdef", "X-B3": "one", "X-B3-TraceId": "0123456789abcdef", "X-B3-SpanId": "0123456789abcdef", traceparent: "parent", tracestate: "a=1",
  "X-CF-Proxy-Signature": "signature", "X-CF-Proxy-Metadata": "metadata", "X-Vcap-Trace": "key", Cookie: "a=1", Authorization: "Bearer t",
};
/** What it sets itself, whatever stands there. */
const set: Record<string, RegExp> = { "X-Forwarded-For": /^1\.2\.3\.4, 127\.0\.0\.1$/, "X-CF-ApplicationID": /^guid$/, "X-CF-InstanceID": /^i-1$/, "X-CF-InstanceIndex": /^4$/, "X-Vcap-Request-Id": /^[0-9a-f-]{36}$/, Host: /^app\.example\.com$/ };
const own = { "X-Mine": "1", "x-other": "2", "Accept-Language": "de", "Proxy-Authorization": "Basic x" };
const all = [...Object.keys(kept), ...Object.keys(set)];

for (const way of ways.filter(({ hasConnection }) => hasConnection)) {
  describe(`13.53 headers that Connection names, by way of ${way.what}`, () => {
    const more = { app: "guid", instanceId: "i-1", instanceIndex: "4" };
    const client = { "X-Forwarded-For": "1.2.3.4" };

    for (const [what, connection] of [
      ["in one line", [all.join(", ")]],
      ["in a line each", all],
      ["in capitals", [all.join(",").toUpperCase()]],
      ["in odd lists", [`keep-alive,, \t${all.join(" \t,\t ")} ,`]],
    ] as const) {
      test(`that apps believe reach them, named ${what}`, async () => {
        await using t = await trip(way, { more });
        const { headers } = (await t.ask({ headers: { ...client, ...kept, connection: [...connection] } })).echoed();
        for (const [name, value] of Object.entries(kept)) expect([name, headers[name.toLowerCase()]]).toEqual([name, value]);
        for (const [name, value] of Object.entries(set)) expect([name, headers[name.toLowerCase()]]).toEqual([name, expect.stringMatching(value)]);
      });
    }

    test("that apps believe reach them, named one at a time", async () => {
      await using t = await trip(way, { more });
      for (const name of all) {
        const { headers } = (await t.ask({ headers: { ...client, ...kept, connection: name } })).echoed();
        expect([name, headers[name.toLowerCase()]]).toEqual([name, kept[name] ?? expect.stringMatching(set[name] as RegExp)]);
      }
    });

    test("all others stay with the client's connection, and those it does not name go on", async () => {
      await using t = await trip(way, { more });
      const { headers } = (await t.ask({ headers: { ...client, ...own, "X-Not-Named": "3", connection: ["X-MINE", `X-Forwarded-For, ${Object.keys(own).slice(1).join(" , ")}`] } })).echoed();
      for (const name of [...Object.keys(own), "Connection"]) {
        if (name === "Connection" && way.what.startsWith("an upgrade")) expect(headers["connection"]).toMatch(/^upgrade$/i);
        else expect(headers["connection"] ?? "").not.toMatch(/mine|other|forwarded/i);
        if (name !== "Connection") expect(headers).not.toHaveProperty(name.toLowerCase());
      }
      expect(headers).toMatchObject({ "x-not-named": "3", "x-forwarded-for": "1.2.3.4, 127.0.0.1" });
    });
  });
}

test("13.53 however the names are mixed, spelled and spaced: the client's own go, the others stay", async () => {
  await using app = await httpBackend(echo);
  await using r = await rig();
  r.serve([app]);
  const mine = Array.from({ length: 6 }, (_, at) => `X-Mine-${at}`);
  const spelled = fc.constantFrom(...mine, ...Object.keys(kept), "close", "keep-alive", "X-Absent", "").chain((name) => fc.tuple(fc.boolean(), fc.constantFrom("", " ", "\t", "  \t"), fc.constantFrom("", " ", "\t "))
    .map(([upper, before, after]) => `${before}${upper ? name.toUpperCase() : name}${after}`));
  await fc.assert(fc.asyncProperty(fc.array(fc.array(spelled, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 }), async (lines) => {
    const connection = lines.map((names) => names.join(",").trim());
    const { headers } = (await ask(r.port, { headers: { ...kept, ...Object.fromEntries(mine.map((name) => [name, "1"])), connection } })).echoed();
    const named = new Set(lines.flat().map((name) => name.trim().toLowerCase()));
    expect(mine.filter((name) => !(name.toLowerCase() in headers))).toEqual(mine.filter((name) => named.has(name.toLowerCase())));
    for (const [name, value] of Object.entries(kept)) expect([name, headers[name.toLowerCase()]]).toEqual([name, value]);
  }), { numRuns: 60 });
});

test("13.53 the length of a body is not the connection's business either", async () => {
  await using app = await httpBackend(echo);
  await using r = await rig();
  r.serve([app]);
  await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 5\r\nConnection: Content-Length, Host, close\r\n\r\nhello");
  expect(await client.end()).toMatch(/"body":"hello"/);
});
