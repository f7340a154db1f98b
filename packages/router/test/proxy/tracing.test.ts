import { describe, expect, test } from "vitest";
import { defaultSteps, rewriteAnswers, traceRequests, type TracingOptions } from "../../src/index.ts";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const span = "00f067aa0ba902b7";

async function traced(options: TracingOptions, headers: Record<string, string>): Promise<Record<string, string | undefined>> {
  await using app = await httpBackend(echo);
  await using r = await rig({ steps: [traceRequests(options), ...defaultSteps] });
  r.serve([app]);
  return (await ask(r.port, { headers })).echoed().headers;
}

describe("B3", () => {
  for (const [what, given, kept] of [
    ["nothing", {}, false],
    ["a whole b3", { b3: `${trace}-${span}-1` }, true],
    ["a short b3", { b3: `${span}-${span}` }, true],
    ["a broken b3", { b3: "x" }, false],
    ["a pair", { "x-b3-traceid": trace, "x-b3-spanid": span }, true],
    ["a trace without span", { "x-b3-traceid": trace }, false],
    ["a span without trace", { "x-b3-spanid": span }, false],
    ["a broken pair", { "x-b3-traceid": "zz", "x-b3-spanid": span }, false],
    ["b3 and pair", { b3: `${trace}-${span}`, "x-b3-traceid": "1".repeat(32), "x-b3-spanid": span }, true],
  ] as const) {
    test(`${what} is ${kept ? "kept" : "replaced"}`, async () => {
      const headers = await traced({ b3: true }, given);
      if (kept) {
        for (const [name, value] of Object.entries(given)) expect(headers[name]).toBe(value);
        expect(headers["b3"]).toBe("b3" in given ? given.b3 : `${trace}-${span}`);
      } else {
        expect(headers["b3"]).toMatch(/^[0-9a-f]{32}-[0-9a-f]{16}$/);
        expect(`${headers["x-b3-traceid"]}-${headers["x-b3-spanid"]}`).toBe(headers["b3"]);
        expect(headers["b3"]).not.toContain(trace);
      }
      const id = (headers["b3"] ?? "").split("-")[0] as string;
      if (id.length === 32) expect(headers["x-vcap-request-id"]?.replaceAll("-", "")).toBe(id);
      expect(headers["x-vcap-request-id"]).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    });
  }
});

describe("W3C", () => {
  for (const [what, given, tenantId, state] of [
    ["nothing", {}, "", /^gorouter=P$/],
    ["a parent", { traceparent: `00-${trace}-${span}-00` }, "", /^gorouter=P$/],
    ["a state of others", { traceparent: `00-${trace}-${span}-00`, tracestate: "a=1, b=2" }, "", /^gorouter=P,a=1,b=2$/],
    ["one of our own", { traceparent: `00-${trace}-${span}-00`, tracestate: "a=1,gorouter=old,b=2" }, "", /^gorouter=P,a=1,b=2$/],
    ["another tenant's", { traceparent: `00-${trace}-${span}-00`, tracestate: "other@gorouter=x" }, "mine", /^mine@gorouter=P,other@gorouter=x$/],
    ["a state too long", { traceparent: `00-${trace}-${span}-00`, tracestate: `a=${"1".repeat(2_100)}` }, "", /^gorouter=P$/],
    ["an invalid parent", { traceparent: `00-${"0".repeat(32)}-${span}-00`, tracestate: "a=1" }, "", /^gorouter=P$/],
    ["half a parent", { traceparent: `00-${trace}`, tracestate: "a=1" }, "", /^gorouter=P$/],
  ] as const) {
    test(what, async () => {
      const headers = await traced({ w3c: true, tenantId }, given);
      const [, id, parent, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(headers["traceparent"] ?? "") ?? [];
      const whole = "traceparent" in given && given.traceparent === `00-${trace}-${span}-00`;
      expect([id === trace, flags]).toEqual([whole, whole ? "00" : "01"]);
      expect(parent).not.toBe(span);
      expect(headers["tracestate"]?.replace(parent ?? "?", "P")).toMatch(state);
      expect(headers["x-vcap-request-id"]?.replaceAll("-", "")).toBe(id);
    });
  }

  test("both speak of one trace", async () => {
    const headers = await traced({ b3: true, w3c: true }, {});
    expect(headers["traceparent"]?.split("-")[1]).toBe(headers["x-b3-traceid"]);
  });
});

describe("headers of answers", () => {
  test("are removed and added, on the router's own answers too", async () => {
    await using app = await httpBackend((_, response) => { response.setHeader("Server", "app/1"); response.setHeader("X-Frame-Options", "SAMEORIGIN"); response.end(); });
    await using r = await rig({ steps: [
      rewriteAnswers({ remove: ["SERVER", "x-cf-routererror"], addIfMissing: { "x-frame-options": "DENY", "Vary": ["A", "B"] } }),
      rewriteAnswers({ remove: ["x-vcap-request-id"] }), ...defaultSteps,
    ] });
    r.serve([app]);
    const [own, missing] = [await ask(r.port), await ask(r.port, { host: "no.example.com" })];
    expect(own.headers).toMatchObject({ "x-frame-options": "SAMEORIGIN", vary: "A, B" });
    expect(missing).toMatchObject({ status: 404, headers: { "x-frame-options": "DENY", vary: "A, B" } });
    for (const name of ["server", "x-cf-routererror", "x-vcap-request-id"]) expect([own.headers[name], missing.headers[name]]).toEqual([undefined, undefined]);
  });
});
