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

describe("13.55 B3", () => {
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
    ["b3 and a trace without span", { b3: `${trace}-${span}-0`, "x-b3-traceid": "1".repeat(32) }, true],
    ["b3 and a span without trace", { b3: `${trace}-${span}-d`, "x-b3-spanid": "1".repeat(16) }, true],
    ["b3 with a parent", { b3: `${trace}-${span}-1-${"2".repeat(16)}` }, true],
    ["an empty b3", { b3: "" }, false],
    ["a pair with an empty half", { "x-b3-traceid": trace, "x-b3-spanid": "" }, false],
    ["a short pair", { "x-b3-traceid": span, "x-b3-spanid": span }, true],
  ] as const) {
    test(`${what} is ${kept ? "kept" : "replaced"}`, async () => {
      const headers = await traced({ b3: true }, given);
      if (kept) {
        for (const [name, value] of Object.entries(given)) expect(headers[name]).toBe(value);
        expect(headers["b3"]).toBe("b3" in given ? given.b3 : `${given["x-b3-traceid"]}-${span}`);
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

  for (const [what, given, end] of [
    ["nothing more", {}, ""], ["sampled", { "x-b3-sampled": "true" }, "-1"], ["sampled, as a number", { "x-b3-sampled": "1" }, "-1"], ["not sampled", { "x-b3-sampled": "0" }, "-0"],
    ["debugged, whatever else is said", { "x-b3-flags": "1", "x-b3-sampled": "false" }, "-d"], ["not debugged", { "x-b3-flags": "0" }, ""],
    ["a parent and a decision", { "x-b3-sampled": "false", "x-b3-parentspanid": "2".repeat(16) }, `-0-${"2".repeat(16)}`], ["a parent alone", { "x-b3-parentspanid": "2".repeat(16) }, ""],
    ["nonsense", { "x-b3-sampled": "perhaps", "x-b3-flags": "x", "x-b3-parentspanid": "y" }, ""],
  ] as const) {
    test(`what stands beside a pair goes into b3, and stays: ${what}`, async () => {
      const headers = await traced({ b3: true }, { "x-b3-traceid": trace, "x-b3-spanid": span, ...given });
      expect(headers).toMatchObject({ b3: `${trace}-${span}${end}`, "x-b3-traceid": trace, "x-b3-spanid": span, ...given });
    });
  }

  test("a decision without a trace is kept: beside a new trace, or alone as the client said it", async () => {
    const beside = await traced({ b3: true }, { "x-b3-sampled": "0", "x-b3-parentspanid": "2".repeat(16) });
    expect(beside["b3"]).toMatch(/^[0-9a-f]{32}-[0-9a-f]{16}-0$/);
    const alone = await traced({ b3: true }, { b3: "0" });
    expect([alone["b3"], alone["x-b3-traceid"]]).toEqual(["0", undefined]);
    expect(alone["x-vcap-request-id"]).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });

  test("a broken b3 gives way to a whole pair", async () => {
    const headers = await traced({ b3: true }, { b3: "x", "x-b3-traceid": trace, "x-b3-spanid": span });
    expect([headers["b3"], headers["x-b3-traceid"], headers["x-b3-spanid"]]).toEqual([`${trace}-${span}`, trace, span]);
  });
});

describe("13.55 W3C", () => {
  for (const [what, continued, given, tenantId, state] of [
    ["nothing", false, {}, "", /^gorouter=P$/],
    ["a parent", true, { traceparent: `00-${trace}-${span}-00` }, "", /^gorouter=P$/],
    ["a state of others", true, { traceparent: `00-${trace}-${span}-00`, tracestate: "a=1, b=2" }, "", /^gorouter=P,a=1,b=2$/],
    ["one of our own", true, { traceparent: `00-${trace}-${span}-00`, tracestate: "a=1,gorouter=old,b=2" }, "", /^gorouter=P,a=1,b=2$/],
    ["one of our own tenant", true, { traceparent: `00-${trace}-${span}-00`, tracestate: "a=1, mine@gorouter=old ,b=2" }, "mine", /^mine@gorouter=P,a=1,b=2$/],
    ["one of nobody's, to a tenant", true, { traceparent: `00-${trace}-${span}-00`, tracestate: "gorouter=x,a=1" }, "mine", /^mine@gorouter=P,gorouter=x,a=1$/],
    ["a tenant's, to nobody's", true, { traceparent: `00-${trace}-${span}-00`, tracestate: "mine@gorouter=x" }, "", /^gorouter=P,mine@gorouter=x$/],
    ["a state as long as may be", true, { traceparent: `00-${trace}-${span}-00`, tracestate: `a=${"1".repeat(2_046)}` }, "", /^gorouter=P,a=1{2046}$/],
    ["a state without its parent", false, { tracestate: "a=1" }, "", /^gorouter=P$/],
    ["a parent without a span", false, { traceparent: `00-${trace}-${"0".repeat(16)}-00` }, "", /^gorouter=P$/],
    ["a parent in capitals", false, { traceparent: `00-${trace.toUpperCase()}-${span}-00` }, "", /^gorouter=P$/],
    ["a parent with something behind it", false, { traceparent: `00-${trace}-${span}-00-x` }, "", /^gorouter=P$/],
    ["a parent of a version to come", true, { traceparent: `01-${trace}-${span}-00`, tracestate: "a=1" }, "", /^gorouter=P,a=1$/],
    ["one with something behind it", true, { traceparent: `42-${trace}-${span}-00-what-then`, tracestate: "a=1" }, "", /^gorouter=P,a=1$/],
    ["one with something in it", false, { traceparent: `42-${trace}-${span}-001` }, "", /^gorouter=P$/],
    ["a parent of the version that cannot be", false, { traceparent: `ff-${trace}-${span}-00` }, "", /^gorouter=P$/],
    ["another tenant's", true, { traceparent: `00-${trace}-${span}-00`, tracestate: "other@gorouter=x" }, "mine", /^mine@gorouter=P,other@gorouter=x$/],
    ["a state too long", true, { traceparent: `00-${trace}-${span}-00`, tracestate: `a=${"1".repeat(2_100)}` }, "", /^gorouter=P$/],
    ["an invalid parent", false, { traceparent: `00-${"0".repeat(32)}-${span}-00`, tracestate: "a=1" }, "", /^gorouter=P$/],
    ["half a parent", false, { traceparent: `00-${trace}`, tracestate: "a=1" }, "", /^gorouter=P$/],
  ] as const) {
    test(`${what}: ${continued ? "the trace goes on" : "a new trace"}`, async () => {
      const headers = await traced({ w3c: true, tenantId }, given);
      const [, id, parent, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(headers["traceparent"] ?? "") ?? [];
      expect([id === trace, flags]).toEqual([continued, continued ? "00" : "01"]);
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
  test("13.56 are removed and added, on the router's own answers too", async () => {
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
