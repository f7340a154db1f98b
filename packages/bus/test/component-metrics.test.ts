import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMetrics, type Family, renderFamilies, withoutSecrets } from "@opencf/bus/component";
import { parseExposition, valueOf } from "./fixtures/prometheus.ts";

const read = async (metrics: ReturnType<typeof createMetrics>) => parseExposition(await metrics.metrics());

describe("a registry", () => {
  test("counters begin at zero and grow; with labels each set of values counts for itself", async () => {
    const metrics = createMetrics();
    const plain = metrics.counter("plain_total", { help: "Plain." });
    const labelled = metrics.counter("labelled_total", { help: 'Two\nlines, a "quote" and a \\.', labels: ["a", "b"] });
    expect(valueOf(await read(metrics), "plain_total")).toBe(0);
    expect((await read(metrics)).has("labelled_total")).toBe(false);
    plain.inc();
    plain.inc({}, 0.5);
    labelled.inc({ b: "2", a: "1" });
    labelled.inc({ a: "1", b: "2" });
    labelled.inc({ a: "1", b: "3" }, 5);
    const families = await read(metrics);
    expect(valueOf(families, "plain_total")).toBe(1.5);
    expect(families.get("labelled_total")).toEqual({
      type: "counter", help: 'Two\\nlines, a "quote" and a \\\\.',
      samples: [{ name: "labelled_total", labels: { a: "1", b: "2" }, value: 2 }, { name: "labelled_total", labels: { a: "1", b: "3" }, value: 5 }],
    });
  });

  test("gauges take every number there is; one with `read` is asked at each scrape", async () => {
    const metrics = createMetrics();
    const gauge = metrics.gauge("g", { help: "", labels: ["n"] });
    const numbers = [0, -1.5, 1e21, 5e-324, Number.MAX_VALUE, Infinity, -Infinity, NaN];
    numbers.forEach((value, i) => gauge.set(value, { n: String(i) }));
    gauge.inc({ n: "0" }, -4);
    let queue = 3;
    metrics.gauge("queue_length", { help: "Waiting.", read: () => queue });
    const families = await read(metrics);
    numbers.forEach((value, i) => expect(valueOf(families, "g", { n: String(i) })).toBe(i === 0 ? -4 : value));
    expect(valueOf(families, "queue_length")).toBe(3);
    queue = 4;
    expect(valueOf(await read(metrics), "queue_length")).toBe(4);
  });

  test("a histogram counts cumulatively, bounds included", async () => {
    const metrics = createMetrics();
    const histogram = metrics.histogram("wait_seconds", { help: "Wait.", labels: ["path"], buckets: [0.1, 1, Infinity] });
    for (const value of [0.05, 0.1, 0.5, 1, 7]) histogram.observe(value, { path: "/" });
    const families = await read(metrics);
    const bucket = (le: string) => valueOf(families, "wait_seconds_bucket", { le, path: "/" });
    expect([bucket("0.1"), bucket("1"), bucket("+Inf"), valueOf(families, "wait_seconds_count"), valueOf(families, "wait_seconds_sum")]).toEqual([2, 4, 5, 5, 8.65]);
  });

  test("too many sets of labels are refused and counted, those that are there go on", async () => {
    const metrics = createMetrics();
    const counter = metrics.counter("by_user_total", { help: "", labels: ["user"], maxSeries: 2 });
    for (const user of ["a", "b", "c", "a", "d"]) counter.inc({ user });
    expect([(await read(metrics)).get("by_user_total")?.samples.length, valueOf(await read(metrics), "by_user_total", { user: "a" }), metrics.refused]).toEqual([2, 2, 2]);
  });

  test.each([
    ["a name with a dash", (m: ReturnType<typeof createMetrics>) => m.counter("a-b", { help: "" })],
    ["a label of Prometheus's own", (m) => m.counter("a", { help: "", labels: ["__name__"] })],
    ["le in a histogram", (m) => m.histogram("a", { help: "", labels: ["le"] })],
    ["a second declaration", (m) => (m.gauge("a", { help: "" }), m.counter("a", { help: "" }))],
    ["a missing label", (m) => m.counter("a", { help: "", labels: ["x"] }).inc()],
    ["an unknown label", (m) => m.gauge("a", { help: "" }).set(1, { x: "1" })],
    ["a counter that shrinks", (m) => m.counter("a", { help: "" }).inc({}, -1)],
    ["buckets out of order", (m) => m.histogram("a", { help: "", buckets: [2, 1] })],
  ] as [string, (m: ReturnType<typeof createMetrics>) => unknown][])("%s is a TypeError", (_, mistake) => {
    expect(() => mistake(createMetrics())).toThrow(TypeError);
  });
});

test("whatever help, labels and values: a strict reader gets back what was written", () => {
  const name = fc.stringMatching(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,12}$/);
  const label = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
  const text = fc.string({ unit: "binary" }).map((value) => value.replaceAll("\r", ""));
  const family = fc.record({
    name, help: text, type: fc.constantFrom("gauge" as const, "untyped" as const),
    samples: fc.uniqueArray(fc.record({ labels: fc.dictionary(label, text), value: fc.double() }), { minLength: 1, maxLength: 4, selector: ({ labels }) => JSON.stringify(Object.entries(labels).sort()) }),
  });
  fc.assert(fc.property(fc.uniqueArray(family, { selector: ({ name: key }) => key, maxLength: 4 }), (families: Family[]) => {
    const back = parseExposition(renderFamilies(families));
    expect([...back].map(([key, { type, samples }]) => ({ name: key, type, samples: samples.map(({ labels, value }) => ({ labels: { ...labels }, value })) })))
      .toEqual(families.map(({ name: key, type, samples }) => ({ name: key, type, samples: samples.map(({ labels, value }) => ({ labels: { ...labels }, value: value === 0 ? 0 : value })) })));
  }));
});

describe("withoutSecrets", () => {
  const secret = fc.constantFrom("mbus", "service_mbus", "keys", "database_environment", "password", "pass", "token", "PASSWORD", "Token");

  test("no secret key is left at any depth, and the original is untouched", () => {
    const tree = fc.letrec((tie) => ({ node: fc.oneof({ depthSize: "small" }, fc.string(), fc.integer(), fc.constant(null), fc.array(tie("node"), { maxLength: 3 }), fc.dictionary(fc.oneof(fc.string(), secret), tie("node"), { maxKeys: 4 })) })).node;
    fc.assert(fc.property(tree, (config) => {
      const before = JSON.stringify(config);
      const keys = JSON.stringify(withoutSecrets(config) ?? null, (key, value: unknown) => (["mbus", "service_mbus", "keys", "database_environment", "password", "pass", "token"].includes(key.toLowerCase()) ? "FOUND" : value));
      expect(keys).not.toContain("FOUND");
      expect(JSON.stringify(config)).toBe(before);
    }));
  });

  test("circles, functions and great depth end", () => {
    const circle: Record<string, unknown> = { a: 1, f: () => 1, big: 2n, map: new Map([["token", "x"], ["k", "v"]]) };
    circle["self"] = circle;
    expect(JSON.parse(JSON.stringify(withoutSecrets(circle)))).toEqual({ a: 1, big: "2", map: { k: "v" } });
    let deep: object = {};
    for (let i = 0; i < 10_000; i++) deep = { deep };
    expect(JSON.stringify(withoutSecrets(deep)).length).toBeLessThan(500);
  });
});
