import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exitStatusOf } from "../src/container/keeper.ts";
import { createMarkReader, familyOf, type MarkedProcess, parseStat } from "../src/container/process-table.ts";
import { codes, DeaError } from "../src/index.ts";
import { databaseUrl, instanceEnvironment } from "../src/instance/environment.ts";
import { instanceSpec, servicesByLabel } from "../src/instance/spec.ts";
import { createSemaphore } from "../src/semaphore.ts";

describe("errors", () => {
  test("every code has its row in the documentation", async () => {
    const text = await readFile(new URL("../../../docs/errors/dea.md", import.meta.url), "utf8");
    for (const code of codes) expect(text).toMatch(new RegExp(`^\\| \`${code}\` \\|`, "m"));
  });
  test("carries code, cause and lines", () => {
    const cause = new Error("why");
    expect(new DeaError("DEA_EXITED", "text", { cause, lines: ["a"] })).toMatchObject({ name: "DeaError", code: "DEA_EXITED", retryable: false, cause, lines: ["a"] });
  });
});

describe("DATABASE_URL", () => {
  const services = (...uris: unknown[]) => ({ db: uris.map((uri) => ({ credentials: { uri } })) });
  test.each([
    ["no services", {}, undefined],
    ["no database among them", services("redis://h"), ""],
    ["no uri", { db: [{ credentials: {} }, {}, null] }, ""],
    ["mysql", services("mysql://u:p@h/d"), "mysql2://u:p@h/d"],
    ["postgresql", services("postgresql://u:p$x@h/d?a=b:c"), "postgres://u:p$x@h/d?a=b:c"],
    ["db2", services("db2://h"), "ibmdb://h"],
    ["the first that fits", services("redis://h", "postgres://one", "mysql://two"), "postgres://one"],
    ["a scheme that is a name of Object", services("constructor:x"), ""],
  ])("%s", (_name, given, url) => {
    expect(databaseUrl(given)).toBe(url);
  });
});

describe("environment", () => {
  const input = (env: readonly string[] | Record<string, string>, extra = {}) => ({
    spec: instanceSpec({ droplet: "x", env, name: "shop", ...extra }),
    instanceId: "i", home: "/home/vcap", host: "10.0.0.7", hostPort: 61001, containerPort: 8080, startedAtMs: Date.UTC(2015, 2, 1, 10), path: "/bin",
  });
  const parsed = (pairs: readonly string[]) => Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));

  test("golden", () => {
    const pairs = instanceEnvironment(input(["A=1", "B=x=y", "C", "A=2"], {
      appId: "app", version: "v", index: 2, uris: ["u"], memoryBytes: 64 * 2 ** 20, diskBytes: 128 * 2 ** 20, fileDescriptors: 7,
      application: { space_name: "dev", instance_index: 99 }, services: [{ label: "db", name: "n", credentials: { uri: "mysql://h" }, plan: null, secret: 1 }],
    }));
    const { VCAP_APPLICATION, ...rest } = parsed(pairs);
    expect(rest).toEqual({
      USER: "vcap", PATH: "/bin", LANG: "en_US.UTF-8", VCAP_SERVICES: `{"db":[{"name":"n","label":"db","credentials":{"uri":"mysql://h"}}]}`,
      MEMORY_LIMIT: "64m", DATABASE_URL: "mysql2://h", HOME: "/home/vcap/app", TMPDIR: "/home/vcap/tmp", DEPS_DIR: "/home/vcap/deps",
      VCAP_APP_HOST: "0.0.0.0", VCAP_APP_PORT: "8080", PORT: "8080", CF_INSTANCE_GUID: "i", INSTANCE_GUID: "i", CF_INSTANCE_INDEX: "2", INSTANCE_INDEX: "2",
      CF_INSTANCE_IP: "10.0.0.7", CF_INSTANCE_INTERNAL_IP: "10.0.0.7", CF_INSTANCE_PORT: "61001", CF_INSTANCE_ADDR: "10.0.0.7:61001",
      CF_INSTANCE_PORTS: `[{"external":61001,"internal":8080}]`, A: "2", B: "x=y", C: "",
    });
    expect(JSON.parse(VCAP_APPLICATION ?? "")).toEqual({
      limits: { fds: 7, mem: 64, disk: 128 }, application_name: "shop", application_uris: ["u"], name: "shop", uris: ["u"], application_version: "v", version: "v",
      process_type: "web", process_id: "app", application_id: "app", space_name: "dev", instance_id: "i", instance_index: 2, host: "0.0.0.0", port: 8080,
      started_at: "2015-03-01 10:00:00 +0000", started_at_timestamp: 1425204000, start: "2015-03-01 10:00:00 +0000", state_timestamp: 1425204000,
    });
  });

  test("the user wins, each name once, every value as given", () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,8}$/);
    const value = fc.string({ maxLength: 20 }).filter((text) => !text.includes("\0"));
    fc.assert(fc.property(fc.dictionary(name, value), (env) => {
      const pairs = instanceEnvironment(input(env));
      expect(parsed(pairs)).toMatchObject(env);
      expect(new Set(pairs.map((pair) => pair.slice(0, pair.indexOf("=")))).size).toBe(pairs.length);
    }));
  });

  test("services: by label stays as it is, a list is grouped", () => {
    expect(servicesByLabel({ a: [1] })).toEqual({ a: [1] });
    expect(servicesByLabel([{ label: "a", plan: "" }, { name: "own" }, { label: "a" }])).toEqual({ a: [{ label: "a", plan: "" }, { label: "a" }], "user-provided": [{ name: "own" }] });
  });
});

describe("processes", () => {
  test("a stat line with a name that wants to be parsed", () => {
    const line = `42 (a) R 1 (x) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 1 0 9876 3133440 384 184467 1 1`;
    expect(parseStat(line)).toMatchObject({ pid: 42, parent: 7, group: 42, session: 42, startTicks: 9876, dead: false, cpuMs: 2000 });
    expect(parseStat("nonsense")).toBeUndefined();
  });

  test.each([[0, { code: 0 }], [3, { code: 3 }], [127, { code: 127 }], [137, { signal: "SIGKILL" }], [143, { signal: "SIGTERM" }], [255, { code: 255 }]])("shell status %i", (status, expected) => {
    expect(exitStatusOf(status)).toEqual(expected);
  });

  const entry = (offset: number, parent: number, more: Partial<MarkedProcess> = {}): MarkedProcess =>
    ({ pid: at(offset), parent, group: at(offset), session: at(offset), startTicks: 100, dead: false, cpuMs: 0, residentBytes: 0, mark: undefined, ...more });
  const at = (offset: number) => 1_000_000 + offset;
  const found = (list: MarkedProcess[]) => familyOf("m", list, leader).map(({ pid }) => pid - at(0)).sort((a, b) => a - b);
  const leader = { pid: at(10), startTicks: 100 };
  const mark = "m";

  test("a family: by mark, by group, by session, by descent", () => {
    expect(found([
      entry(10, 1, { mark }), entry(11, at(10), { group: at(10), session: at(10) }), entry(12, 1, { session: at(10) }),
      entry(20, 1, { mark }), entry(21, at(20)), entry(30, 1), entry(31, at(30)), entry(40, 1, { mark: "other" }),
    ])).toEqual([10, 11, 12, 20, 21]);
  });

  test("the leader belongs to it even before its mark can be read", () => {
    expect(found([entry(10, 1), entry(11, at(10), { group: at(10) })])).toEqual([10, 11]);
  });

  test("a recycled number is no family", () => {
    expect(found([entry(11, 1, { group: at(10), session: at(10), startTicks: 500 }), entry(20, 1, { mark })])).toEqual([20]);
    expect(found([entry(10, 1, { startTicks: 500 }), entry(11, at(10))])).toEqual([]);
    expect(found([entry(20, 1, { group: at(10), mark }), entry(11, 1, { group: at(10), startTicks: 50 })])).toEqual([20]);
  });

  test("marks are read from what a process was started with, not from what it set later", () => {
    process.env["OPENCF_TEST_MARK"] = "late";
    const own = (variable: string) => createMarkReader(variable)().find(({ pid }) => pid === process.pid)?.mark;
    expect(own("OPENCF_TEST_MARK")).toBeUndefined();
    expect(own("PATH")).toBe(process.env["PATH"]);
    delete process.env["OPENCF_TEST_MARK"];
  });
});

test("a semaphore lets in as many as it has places, in order, and forgets who gave up", async () => {
  const gate = createSemaphore(2);
  const never = new AbortController().signal;
  const order: string[] = [];
  const one = await gate.enter(never);
  const two = await gate.enter(never);
  const impatient = new AbortController();
  const third = gate.enter(impatient.signal);
  const fourth = gate.enter(never).then((place) => (order.push("fourth"), place));
  const fifth = gate.enter(never).then((place) => (order.push("fifth"), place));
  impatient.abort(new Error("gave up"));
  await expect(third).rejects.toThrow("gave up");
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  (await fourth)[Symbol.dispose]();
  (await fifth)[Symbol.dispose]();
  expect(order).toEqual(["fourth", "fifth"]);
  two[Symbol.dispose]();
});
