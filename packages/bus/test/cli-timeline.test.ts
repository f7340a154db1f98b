import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plain } from "../src/cli/color.ts";
import type { TapDocument } from "../src/cli/document.ts";
import { storyOf } from "../src/cli/timeline-select.ts";
import { stepJson, timelineText } from "../src/cli/timeline-text.ts";
import { stepsOf } from "../src/cli/timeline-steps.ts";

const startMs = Date.parse("2024-05-01T12:00:00.000Z");
const app = "1f6e0c52-6f0a-4c3e-9d5b-2a7b8c9d0e1f";
const other = "aaaaaaaa-6f0a-4c3e-9d5b-2a7b8c9d0e1f";
const at = (ms: number, more: Partial<TapDocument>): TapDocument => ({
  at: new Date(startMs + ms).toISOString(), subject: more.message ?? "", message: null, valid: true, reply: null, answers: null, sender: null, trace: null, id: null, cause: null, bytes: 2, body: {}, ...more,
});
const beat = (ms: number, dea: string, droplets: object[], more: Partial<TapDocument> = {}): TapDocument => at(ms, { message: "dea.heartbeat", body: { dea, droplets }, ...more });
const entry = (instance: string, state: string, droplet = app, index = 0): object => ({ droplet, version: "v", instance, index, state, state_timestamp: 1 });

/** A start with trace ids, between other things that happen. */
const start: TapDocument[] = [
  at(0, { message: "router.register", body: { host: "h", port: 1, uris: ["other"], app: other, private_instance_id: "zzzz9999" }, sender: "dea/9" }),
  beat(5, "d9", [entry("zzzz9999", "RUNNING", other)]),
  at(10, { message: "dea.{id}.start", subject: "dea.d1.start", body: { droplet: app, version: "v", index: 0, name: "shop", limits: { mem: 64, disk: 64, fds: 1 } }, trace: "t1", id: "m1", sender: "controller/0", reply: "_INBOX.1" }),
  at(14, { message: "dea.{id}.start", subject: "_INBOX.1", answers: "dea.d1.start", body: { accepted: true }, trace: "t1", id: "m2", cause: "m1", sender: "dea/0" }),
  at(20, { message: "dea.{id}.start", subject: "dea.d2.start", body: { droplet: other, version: "v", index: 0, name: "other" }, trace: "t1", id: "m9", sender: "controller/0" }),
  beat(30, "d1", [entry("i1i1i1i1", "STARTING"), entry("zzzz8888", "RUNNING", other)]),
  at(2_500, { message: "router.register", body: { host: "h", port: 2, uris: ["shop"], app, private_instance_id: "i1i1i1i1", private_instance_index: "0" }, trace: "t1", id: "m3", cause: "m1", sender: "dea/0" }),
  beat(2_510, "d1", [entry("i1i1i1i1", "RUNNING"), entry("zzzz8888", "RUNNING", other)]),
  beat(12_510, "d1", [entry("i1i1i1i1", "RUNNING"), entry("zzzz8888", "RUNNING", other)]),
  at(22_500, { message: "router.register", body: { host: "h", port: 2, uris: ["shop"], app, private_instance_id: "i1i1i1i1", private_instance_index: "0" }, sender: "dea/0" }),
];
const text = (needle: string, documents = start, options: object = {}): string[] => {
  const story = storyOf(documents, needle);
  return timelineText(story, stepsOf(story), { gapMs: 1_000, width: Infinity, paint: plain, ...options });
};

describe("what belongs to it", () => {
  const chosen = (needle: string, documents = start): number[] => storyOf(documents, needle).documents.map((document) => documents.indexOf(document));
  test.each([
    ["an instance", "i1i1i1i1", [2, 3, 5, 6, 7, 8, 9]], ["the beginning of one", "i1i1", [2, 3, 5, 6, 7, 8, 9]], ["an app", app, [2, 3, 5, 6, 7, 8, 9]], ["the next start", "any", [2, 3, 4, 5, 6, 7, 8, 9]],
    ["too little to go by", "i1", []], ["nobody", "nope", []],
  ])("%s", (_, needle, expected) => expect(chosen(needle)).toEqual(expected));
  test("a trace has all that carries it, whatever it is about", () => expect(chosen("t1")).toEqual(expect.arrayContaining([2, 3, 4, 6])));

  test("what led to the next start belongs to it", () => {
    const caused = [at(0, { message: "hm9000.start", body: { droplet: app, instance_index: 0 }, trace: "t1", id: "m0", sender: "health/0" }), ...start.map((document) => (document.id === "m1" ? { ...document, cause: "m0" } : document))];
    expect(stepsOf(storyOf(caused, "any")).slice(0, 3).map(({ document, depth }) => [document.message, depth])).toEqual([["hm9000.start", 0], ["dea.{id}.start", 1], ["dea.{id}.start", 2]]);
  });

  test("peers without headers: the command is found by app and index", () => {
    const bare = start.map((document) => ({ ...document, trace: null, id: null, cause: null, sender: null }));
    expect(chosen("i1i1i1i1", bare)).toEqual([2, 3, 5, 6, 7, 8, 9]);
  });

  test("a move: the instance that goes and the one that comes", () => {
    const move = [
      at(0, { message: "dea.shutdown", body: { id: "d1", app_id_to_count: { [app]: 1 } } }),
      at(5, { message: "dea.{id}.start", subject: "dea.d2.start", body: { droplet: app, version: "v", index: 3, name: "shop" }, trace: "t2", id: "a" }),
      at(9, { message: "router.register", body: { host: "h", port: 3, uris: [], app, private_instance_id: "newnew11", private_instance_index: "3" }, trace: "t2", id: "b", cause: "a" }),
      at(10, { message: "dea.stop", body: { droplet: app, instances: ["oldold11"] }, trace: "t2", id: "c", cause: "b" }),
      at(11, { message: "droplet.exited", body: { droplet: app, version: "v", instance: "oldold11", index: 3, reason: "DEA_EVACUATION" }, trace: "t2", id: "d", cause: "c" }),
      beat(12, "d2", [entry("newnew11", "RUNNING", app, 3)]),
    ];
    expect(chosen("oldold11", move)).toEqual([1, 2, 3, 4, 5]);
  });

  test("an instance takes of a trace that started ten only its own", () => {
    const ten = Array.from({ length: 10 }, (_, index) => at(index, { message: "dea.{id}.start", subject: "dea.d.start", body: { droplet: app, version: "v", index }, trace: "t", id: `m${index}` }));
    expect(chosen("iiii4444", [...ten, at(50, { message: "router.register", body: { host: "h", uris: [], app, private_instance_id: "iiii4444", private_instance_index: "4" }, trace: "t", id: "r", cause: "m4" })])).toEqual([4, 10]);
  });
});

describe("as text", () => {
  test("who said what to whom, indented below its cause, silences, repetitions", () => {
    const lines = text("i1i1i1i1").map((line) => line.replace(/ {2,}/g, "  "));
    expect(lines[0]).toBe("app 1f6e0c52  instance i1i1i1i1  trace t1  7 messages in 2.5s");
    expect(lines.slice(2).map((line) => line.trim())).toEqual([
      '+0.000  controller/0 -> executor d1  dea.d1.start  "shop"  #0  app 1f6e0c52  version v  64M/64M',
      "+0.004  dea/0 -> controller/0  answer  accepted",
      expect.stringMatching(/^\+0\.020 {2}executor d1 -> .*dea\.heartbeat {2}STARTING i1i1i1i1 #0$/),
      "... 2.5s of silence",
      expect.stringMatching(/^\+2\.490 {2}dea\/0 -> router {2}router\.register {2}h:2 .*\(1 more until \+22\.490\)$/),
      expect.stringMatching(/^\+2\.500 {2}executor d1 -> .*RUNNING i1i1i1i1 #0 {2}\(1 more until \+12\.500\)$/),
    ]);
    const [command = "", answer = ""] = text("i1i1i1i1").slice(2);
    expect(answer.indexOf("dea/0")).toBe(command.indexOf("controller/0") + 2);
  });
  test("narrow: what it says is cut, not who said it", () => {
    const lines = text("i1i1i1i1", start, { width: 110 });
    for (const line of lines.slice(2)) expect(line.length).toBeLessThanOrEqual(170);
    expect(lines.join("\n")).toContain("controller/0 -> executor d1");
  });
  test("as JSON: the document, and where it stands", () => {
    const [step] = stepsOf(storyOf(start, "i1i1i1i1"));
    expect(JSON.parse(stepJson(step as never))).toMatchObject({ ms: 0, depth: 0, from: "controller/0", to: "executor d1", subject: "dea.d1.start", repeated: 0, isNews: true });
  });
});

test("whatever was heard, in whatever order, a timeline comes out and time runs forward", () => {
  const document = fc.record({
    ms: fc.integer({ min: 0, max: 10_000 }), message: fc.constantFrom(null, "dea.{id}.start", "dea.heartbeat", "router.register", "dea.stop", "opencf.log"), trace: fc.constantFrom(null, "t1", "t2"),
    id: fc.constantFrom(null, "a", "b", "c"), cause: fc.constantFrom(null, "a", "b", "c"), reply: fc.constantFrom(null, "_INBOX.1"), answers: fc.constantFrom(null, "dea.x.start"), valid: fc.boolean(),
    body: fc.oneof(fc.jsonValue(), fc.record({ droplet: fc.constant(app), index: fc.nat(2), instance: fc.constantFrom("iiii0000", "iiii1111") })),
  }).map(({ ms, message, ...rest }) => at(ms, { message, subject: message ?? "x.y", ...rest, ...(message === "dea.heartbeat" && { valid: false }) }));
  fc.assert(fc.property(fc.array(document, { maxLength: 30 }), fc.constantFrom("any", app, "iiii0000", "t1"), (documents, needle) => {
    const story = storyOf(documents, needle);
    const steps = stepsOf(story);
    expect(steps.map(({ ms }) => ms)).toEqual(steps.map(({ ms }) => ms).sort((a, b) => a - b));
    expect(steps.length + steps.reduce((sum, { repeated }) => sum + repeated, 0)).toBe(story.documents.length);
    expect(() => timelineText(story, steps, { gapMs: 1_000, width: 80, paint: plain })).not.toThrow();
  }));
});
