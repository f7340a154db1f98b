import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renderFamilies } from "@opencf/bus/component";
import { parseExposition, valueOf } from "../../../packages/bus/test/fixtures/prometheus.ts";
import { createCensus, type Identity } from "../census.ts";
import { exposition } from "../exposition.ts";
import { parseMetrics } from "../parse-metrics.ts";
import type { Scrape } from "../scrape.ts";
import { readStart, readUptime, varzFamilies } from "../varz.ts";

describe("/varz as metrics", () => {
  test("whatever JSON a component sends, what comes out is exact and bounded", () => {
    fc.assert(fc.property(fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("mem", "cpu", "uptime", "latency", "aB")), fc.jsonValue()), (varz) => {
      const families = parseExposition(renderFamilies(varzFamilies(varz)));
      for (const name of families.keys()) expect(name).toMatch(/^opencf_varz_[a-z0-9_]+$/);
    }));
    const wide = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`a${i}`, i]));
    expect(varzFamilies(wide).length).toBeLessThanOrEqual(500);
  });

  test.each([
    ["a router's latency", { latency: { "50": 0.01, "99": 0.2, samples: 7 } }, ['opencf_varz_latency{key="50"} 0.01', 'opencf_varz_latency{key="99"} 0.2', "opencf_varz_latency_samples 7"]],
    ["tags by name", { tags: { component: { "dea-1": { requests: 2 } } } }, ['opencf_varz_tags_component_requests{key="dea-1"} 2']],
    ["instances by id", { instance_registry: { "8a2f4e1c-0000": { "deadbeefdeadbeef0": { mem: 1 } } } }, ['opencf_varz_instance_registry_mem{key="8a2f4e1c-0000/deadbeefdeadbeef0"} 1']],
    ["words, lists, nothing and truth", { state: "RUNNING", running_apps: [1, 2], nothing: null, can_stage: true }, ["opencf_varz_can_stage 1"]],
    ["identity, settings and secrets are no measurements", { index: 3, config: { port: 1 }, credentials: [1, 2], version: 2 }, []],
    ["the common fields have units", { mem: "1024", cpu: 0.5, uptime: "0d:0h:1m:1s", num_cores: 4 }, ["opencf_varz_uptime_seconds 61", "opencf_varz_memory_bytes 1048576", "opencf_varz_cpu_percent 0.5", "opencf_varz_num_cores 4"]],
    ["camel case", { numApps: 1, apps: { maxMemory: 2 } }, ["opencf_varz_num_apps 1", "opencf_varz_apps_max_memory 2"]],
  ] as [string, object, string[]][])("%s", (_, varz, lines) => {
    expect(renderFamilies(varzFamilies(varz as Record<string, unknown>)).split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual(lines);
  });

  test.each([
    ["2012-03-04 05:06:07 +0100", "2012-03-04T04:06:07.000Z"], ["2014-01-02 15:04:05 -0700", "2014-01-02T22:04:05.000Z"], ["Sun Mar 04 05:06:07 +0100 2012", "2012-03-04T04:06:07.000Z"],
    ["Sun Mar  4 05:06:07 UTC 2012", "2012-03-04T05:06:07.000Z"], ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"], ["yesterday", undefined], ["", undefined],
  ])("start %j is %s", (text, iso) => {
    const ms = readStart(text);
    expect(ms === undefined ? undefined : new Date(ms).toISOString()).toBe(iso);
  });
  test.each([["1d:2h:3m:4s", 93_784], ["0d:0h:0m:0s", 0], ["3 days", undefined]])("uptime %j is %s s", (text, seconds) => expect(readUptime(text)).toBe(seconds));
});

describe("Prometheus text of strangers", () => {
  test("what the format allows is read", () => {
    const families = parseMetrics('# HELP a Two\\nlines\n# TYPE a counter\na{x="1",y="q\\"\\\\\\n",} 3 1700000000\n\n# a comment\na{x="2"}  +Inf\nb NaN\n# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_sum 1e-3\nh_count 2\nh_count_total 1\r\n');
    expect(families).toEqual([
      { name: "a", help: "Two\nlines", type: "counter", samples: [{ labels: { x: "1", y: 'q"\\\n' }, value: 3 }, { labels: { x: "2" }, value: Infinity }] },
      { name: "b", help: "", type: "untyped", samples: [{ labels: {}, value: NaN }] },
      { name: "h", help: "", type: "histogram", samples: [{ labels: { le: "+Inf" }, value: 2, suffix: "_bucket" }, { labels: {}, value: 0.001, suffix: "_sum" }, { labels: {}, value: 2, suffix: "_count" }] },
      { name: "h_count_total", help: "", type: "untyped", samples: [{ labels: {}, value: 1 }] },
    ]);
  });

  test("garbage is passed over, never thrown, and takes no time", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => void parseExposition(renderFamilies(parseMetrics(`ok 1\n${text}`).filter(({ name }) => name === "ok").slice(0, 1)))));
    expect(parseMetrics('a{x=1} 1\na{x="1} 2\n1a 3\na{x="y"}\na b\nok 1')).toMatchObject([{ name: "ok" }]);
    const startedMs = performance.now();
    parseMetrics(`a{${'x="'.repeat(100_000)} 1\na{${'x="\\\\",'.repeat(100_000)}x} 1\n${"a".repeat(500_000)}\na${" ".repeat(100_000)}x y\n`);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    expect(parseMetrics("x 1\n".repeat(50_000))[0]?.samples).toHaveLength(20_000);
  });
});

describe("the census", () => {
  const identity = (uuid: string, host = `h:${uuid}`): Identity => ({ type: "T", index: 0, uuid, host, credentials: ["u", "p"], start: "now" });
  const answers: Scrape = { ok: true, durationMs: 1, varz: {}, families: [], healthy: true, note: undefined };
  const fails: Scrape = { ok: false, durationMs: 1, reason: "refuses the connection" };
  const make = (options = {}) => createCensus({ maxComponents: 3, keepMs: 1_000, ...options });
  const stateOf = (census: ReturnType<typeof make>, uuid: string) => census.entries().find((entry) => entry.identity.uuid === uuid)?.state;

  test.each([
    ["heard and answers", 0, answers, "up"], ["heard and fails", 0, fails, "failing"], ["missed once and fails", 1, fails, "failing"],
    ["missed twice and fails", 2, fails, "gone"], ["missed often and answers", 9, answers, "up"], ["cannot work", 0, { ...answers, healthy: false }, "unhealthy"],
  ] as [string, number, Scrape, string][])("%s", (_, missed, result, state) => {
    const census = make();
    census.heard(identity("a"), 0);
    for (let i = 0; i < missed; i++) census.roundEnded(new Set());
    census.scraped("a", result, 10);
    expect(stateOf(census, "a")).toBe(state);
  });

  test("a state has one beginning; who is gone is read no more, forgotten in time, and may come back", () => {
    const census = make();
    census.heard(identity("a"), 0);
    census.scraped("a", answers, 10);
    census.scraped("a", answers, 20);
    expect(census.entries()[0]?.sinceMs).toBe(10);
    census.roundEnded(new Set());
    census.roundEnded(new Set());
    census.scraped("a", fails, 30);
    expect([stateOf(census, "a"), census.targets()]).toEqual(["gone", []]);
    census.heard(identity("a"), 40);
    expect(census.targets()).toHaveLength(1);
    census.roundEnded(new Set());
    census.roundEnded(new Set());
    census.scraped("a", fails, 50);
    census.forget(1_050);
    expect(census.entries()).toHaveLength(1);
    census.forget(1_051);
    expect(census.entries()).toEqual([]);
  });

  test("a successor at the same address ends its predecessor for good", () => {
    const census = make();
    census.heard(identity("a", "h:1"), 0);
    census.heard(identity("b", "h:1"), 10);
    census.heard(identity("a", "h:1"), 20);
    census.scraped("a", answers, 30);
    expect([stateOf(census, "a"), stateOf(census, "b")]).toEqual(["gone", undefined]);
  });

  test("there is a most; room is made by who is gone", () => {
    const census = make();
    for (const uuid of ["a", "b", "c", "d", "d"]) census.heard(identity(uuid), 0);
    expect([census.entries().length, census.refused]).toEqual([3, 1]);
    census.roundEnded(new Set());
    census.roundEnded(new Set());
    census.scraped("b", fails, 0);
    census.heard(identity("e"), 0);
    expect(census.entries().map((entry) => entry.identity.uuid)).toEqual(["a", "c", "e"]);
  });
});

test("families of one name from several components become one; a name of two types is left out and counted; ours stay ours", () => {
  const census = createCensus({ maxComponents: 10, keepMs: 0 });
  const texts = ['# TYPE x counter\nx{uuid="other"} 1\nopencf_up 5\nopencf_component_info{type="z"} 1\n', "# TYPE x counter\nx 2\nx 2\n", "# TYPE x gauge\nx 3\n"];
  texts.forEach((text, i) => {
    census.heard({ type: "T", index: i, uuid: `u${i}`, host: `h:${i}`, credentials: [], start: "?" }, 0);
    census.scraped(`u${i}`, { ok: true, durationMs: 5, varz: {}, families: parseMetrics(text), healthy: true, note: undefined }, 0);
  });
  const families = parseExposition(exposition(census.entries(), { connected: true, rounds: 1, refused: 0, nowMs: 2_500 }));
  expect(families.get("x")?.samples.map(({ labels, value }) => [labels["uuid"], labels["exported_uuid"], value])).toEqual([["u0", "other", 1], ["u1", undefined, 2]]);
  expect(valueOf(families, "opencf_collector_conflicting_families")).toBe(1);
  expect(families.get("opencf_up")?.samples.map(({ value }) => value)).toEqual([1, 1, 1]);
  expect(valueOf(families, "opencf_component_info", { uuid: "u0" })).toBe(1);
  expect(valueOf(families, "opencf_last_seen_age_seconds", { uuid: "u0" })).toBe(2.5);
});
