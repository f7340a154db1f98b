import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkRouteOptions, noOptions, routeOptionNames, sameOptions, settled, type RouteOptions } from "../src/route-options.ts";
import { optionsFromWire, optionsToWire } from "../src/route-options-wire.ts";

/** One value of each option that makes sense, and one that does not. */
const values: { readonly [K in keyof RouteOptions]-?: readonly [RouteOptions[K], unknown] } = {
  loadBalancing: ["two-choices", "fastest"], hashHeader: ["X-Tenant", "a b"], hashCookie: ["tenant", ""], hashBalance: [1.25, 0.5], preferZone: [true, "yes"],
  stickyCookieNames: [["sid"], "sid"], stickyForNegotiate: [true, 1], maxConnectionsPerEndpoint: [500, -1], maxQueuedPerEndpoint: [10, 0.5], queueTimeoutMs: [100, 0],
  maxAttempts: [5, 0], retryMethods: [["PUT", "DELETE"], ["P UT"]], endpointTimeoutMs: [1_000, 2 ** 31], maxRequestBodyBytes: [1_024, "1k"],
  removeResponseHeaders: [["Server"], ["Ser ver"]], addResponseHeaders: [{ "X-Frame-Options": "DENY" }, { "X-Split": "a\r\nb" }], connect: [true, "on"],
  routeServiceUrl: ["https://s.example.com", "http://s.example.com"],
};

describe("options of routes", () => {
  for (const name of routeOptionNames) {
    const [good, bad] = values[name];
    test(`${name}: ${JSON.stringify(good)} is taken, ${JSON.stringify(bad)} is not`, () => {
      expect(() => checkRouteOptions({ [name]: good })).not.toThrow();
      expect(() => checkRouteOptions({ [name]: bad })).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION", message: expect.stringContaining(name) as string }));
    });
  }
  test("hash needs something that decides", () => {
    expect(() => checkRouteOptions({ loadBalancing: "hash" })).toThrow(/needs hashHeader or hashCookie/);
    expect(() => checkRouteOptions({ loadBalancing: "hash", hashCookie: "sid" })).not.toThrow();
  });
  test("settled ones do not change", () => {
    const options = settled({ maxAttempts: 2 });
    expect(Object.isFrozen(options)).toBe(true);
    expect([sameOptions(options, { maxAttempts: 2 }), sameOptions(options, noOptions)]).toEqual([true, false]);
  });
});

describe("options as messages write them", () => {
  test("every one comes back as it was said, by the name /routes shows", () => fc.assert(fc.property(fc.subarray(routeOptionNames.filter((name) => !name.startsWith("hash"))), (names) => {
    const options = Object.fromEntries(names.map((name) => [name, values[name][0]])) as RouteOptions;
    const { load_balancing_algorithm: algorithm, route_service_url: service, ...rest } = optionsToWire(options);
    const read = optionsFromWire({ ...rest, ...(algorithm === undefined ? {} : { loadbalancing: algorithm }) }, service as string | undefined);
    expect(read).toEqual({ options, refused: [] });
  })));
  test("hash, with gorouter's names and a cookie of ours", () => {
    const { options, refused } = optionsFromWire({ loadbalancing: "hash", hash_header: "X-Tenant", hash_cookie: "tenant", hash_balance: 1.25 });
    expect([options, refused]).toEqual([{ loadBalancing: "hash", hashHeader: "X-Tenant", hashCookie: "tenant", hashBalance: 1.25 }, []]);
    expect(optionsToWire(options)).toEqual({ load_balancing_algorithm: "hash", hash_header: "X-Tenant", hash_cookie: "tenant", hash_balance: 1.25 });
  });
  for (const [given, options, refused] of [
    [{ loadbalancing: "least-connection" }, { loadBalancing: "least-connections" }, []],
    [{ loadbalancing: "hash" }, {}, ["loadbalancing"]],
    [{ loadbalancing: "round-robin", hash_header: "X" }, { loadBalancing: "round-robin" }, []],
    [{ loadbalancing: "", max_attempts: null, somebody_elses: 1 }, {}, []],
    [{ max_attempts: "3", max_conns: 5 }, { maxConnectionsPerEndpoint: 5 }, ["max_attempts"]],
    [null, {}, []], [undefined, {}, []],
  ] as const) {
    test(`13.20 ${JSON.stringify(given)} → ${JSON.stringify(options)}${refused.length > 0 ? `, without ${refused.join()}` : ""}`, () => {
      const read = optionsFromWire(given as Record<string, unknown> | null | undefined);
      expect([read.options, read.refused.map(({ name }) => name)]).toEqual([options, refused]);
    });
  }
  test("heartbeats share what they say", () => {
    const said = () => optionsFromWire({ max_attempts: 4 }).options;
    expect(said()).toBe(said());
    expect(optionsFromWire({}).options).toBe(noOptions);
  });
});
