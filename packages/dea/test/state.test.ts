import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { advance } from "../src/instance/state.ts";
import { arcs, DeaError, events, facts, type InstanceEvent, type InstanceState, next, states } from "../src/index.ts";

const anyState = fc.constantFrom(...states);
const anyEvent = fc.constantFrom(...events);
const walk = (path: readonly InstanceEvent[]): InstanceState[] => {
  const visited: InstanceState[] = ["BORN"];
  for (const event of path) visited.push(next(visited.at(-1) as InstanceState, event) ?? (visited.at(-1) as InstanceState));
  return visited;
};

describe("the life cycle", () => {
  test.each([
    ["BORN", "start", "STARTING"],
    ["BORN", "stop", "STOPPED"],
    ["STARTING", "ready", "RUNNING"],
    ["STARTING", "exit", "CRASHED"],
    ["RUNNING", "exit", "CRASHED"],
    ["RUNNING", "evacuate", "EVACUATING"],
    ["EVACUATING", "exit", "CRASHED"],
    ["RUNNING", "stop", "STOPPING"],
    ["STOPPING", "exit", "STOPPED"],
    ["STOPPING", "ready", undefined],
    ["CRASHED", "stop", undefined],
  ] as const)("%s + %s = %s", (state, event, to) => {
    expect(next(state, event)).toBe(to);
  });

  test("a final state has no way out, every other has a way to be stopped and to end", () => {
    for (const state of states) {
      if (facts[state].final) expect(arcs[state]).toEqual({});
      else expect(walk(["start", "stop", "exit"]).includes(state) || arcs[state].exit || arcs[state].stop).toBeTruthy();
    }
  });

  test("whatever happens, once ended it stays ended", () => {
    fc.assert(fc.property(fc.array(anyEvent, { maxLength: 30 }), (path) => {
      const visited = walk(path);
      const end = visited.findIndex((state) => facts[state].final);
      if (end >= 0) expect(new Set(visited.slice(end)).size).toBe(1);
    }));
  });

  test("from every state that has not ended, stop and exit lead to an end", () => {
    fc.assert(fc.property(fc.array(anyEvent, { maxLength: 30 }), (path) => {
      let state = walk(path).at(-1) as InstanceState;
      for (const event of ["stop", "exit"] as const) state = next(state, event) ?? state;
      expect(facts[state].final).toBe(true);
    }));
  });

  test("only what answered its health check has routes, and a stop takes them away", () => {
    fc.assert(fc.property(fc.array(anyEvent, { maxLength: 30 }), (path) => {
      const visited = walk(path);
      const state = visited.at(-1) as InstanceState;
      if (facts[state].routed && state === "RUNNING") expect(path).toContain("ready");
      expect(facts[next(state, "stop") ?? "STOPPED"].routed).toBe(false);
    }));
  });

  test("an event without an arc throws and names both", () => {
    fc.assert(fc.property(anyState, anyEvent, (state, event) => {
      if (next(state, event)) expect(advance(state, event)).toBe(next(state, event));
      else expect(() => advance(state, event)).toThrow(DeaError);
    }));
    expect(() => advance("CRASHED", "ready")).toThrow(/Cannot transition from "CRASHED" by "ready"/);
  });
});
