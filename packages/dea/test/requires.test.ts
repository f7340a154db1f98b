import { createBus, memoryTransport } from "@opencf/bus";
import { deaAdvertise, deaStartInstance } from "@opencf/bus/messages";
import { expect, test } from "vitest";
import { followExecutors, joinBus, requestOf, sendStart } from "../src/bus-link.ts";
import { demandLimits, promisedLimits } from "../src/bus/requires.ts";
import { narrows } from "../src/container/egress.ts";
import { createDea, type EgressRule, enforcing, limitNames, MiB, processBackend } from "../src/index.ts";
import { createPlacer } from "../src/placement.ts";
import { until } from "./fixtures/until.ts";

// dea §20.10: what a backend does not enforce is neither advertised nor started.

test.each<[string, Parameters<typeof enforcing>[0], Parameters<typeof promisedLimits>[1], string[] | RegExp]>([
  ["all that is kept", ["memory", "egress"], undefined, ["memory", "egress"]],
  ["in the order of the names, whatever the order of asking", limitNames, ["egress", "memory"], ["memory", "egress"]],
  ["fewer than are kept", ["memory", "egress"], ["egress"], ["egress"]],
  ["none", ["memory"], [], []],
  ["never one that is not kept", ["memory"], ["memory", "disk", "egress"], /does not enforce disk, egress/],
])("advertised: %s", (_, kept, wanted, result) => {
  const promise = () => promisedLimits({ enforces: enforcing(kept) }, wanted);
  if (result instanceof RegExp) expect(promise).toThrow(expect.objectContaining({ code: "DEA_UNSUPPORTED", message: expect.stringMatching(result) as string }) as Error);
  else expect(promise()).toEqual(result);
});

test.each<[string[] | undefined, string[], string?]>([
  [undefined, []], [[], []], [["memory"], ["memory", "disk"]], [["memory", "egress"], ["memory"], "egress"], [["quantum"], ["memory"], "quantum"],
])("a start that requires %j where %j holds", (requires, promised, missing) => {
  const demand = () => demandLimits(requires, promised);
  if (missing === undefined) expect(demand).not.toThrow();
  else expect(demand).toThrow(`The app requires limits that are not enforced here: ${missing}.`);
});

test.each<[EgressRule[], boolean]>([
  [[], true], [[{ protocol: "all", destination: "10.0.0.0/8" }], true], [[{ protocol: "tcp", destination: "0.0.0.0/0" }], true],
  [[{ protocol: "all", destination: "nowhere" }], true], [[{ protocol: "gre" as "all", destination: "x" }, { protocol: "all", destination: "0.0.0.0/0" }], false],
  [[{ protocol: "all", destination: "0.0.0.0/0" }], false], [[{ protocol: "tcp", destination: "10.0.0.1" }, { protocol: "all", destination: "10.0.0.1,0.0.0.0-255.255.255.255" }], false],
])("rules %j limit something: %s", (rules, limited) => expect(narrows(rules)).toBe(limited));

test("over the bus: advertised, asked for, refused by placement and by the executor itself", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const backend = processBackend();
  await using dea = await createDea({ backend, memoryBytes: 512 * MiB });
  await expect(joinBus(dea, bus, { enforces: ["egress"] })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
  const heard: (string[] | undefined)[] = [];
  using listening = bus.subscribe(deaAdvertise, ({ body }) => void heard.push(body.enforces));
  expect(listening).toBeDefined();
  await using member = await joinBus(dea, bus);
  await until(() => heard.length > 0);
  expect(heard[0]).toEqual(limitNames.filter((name) => backend.capabilities.enforces[name]));

  const placer = createPlacer();
  using following = followExecutors(placer, bus);
  expect(following).toBeDefined();
  await until(() => placer.hosts().length === 1);
  const command = { droplet: "app", version: "1", index: 0, name: "app", executableUri: "http://127.0.0.1:1/droplet", sha1: "0".repeat(40), limits: { mem: 64, disk: 64, fds: 256 }, requires: ["egress"] };
  const delivery = await placer.deliver(requestOf(command), sendStart(bus, command));
  expect(delivery).toMatchObject({ state: "refused", refusal: { code: "no-limits", requires: ["egress"] } });
  expect(await bus.request(deaStartInstance, command, { params: { id: member.id } })).toMatchObject({ accepted: false, code: "DEA_UNSUPPORTED", reason: expect.stringContaining("egress") as string });
});
