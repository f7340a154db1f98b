import { deaUpdate } from "@opencf/bus/messages";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EgressRule, Instance } from "../../src/index.ts";
import { enforcing } from "../../src/container/capabilities.ts";
import { webServer } from "../fixtures/droplet.ts";
import { faultyBackend } from "../fixtures/faulty-backend.ts";
import { world } from "../fixtures/member.ts";
import { until } from "../fixtures/until.ts";

let here: Awaited<ReturnType<typeof world>>;
beforeAll(async () => void (here = await world()));
afterAll(() => here[Symbol.asyncDispose]());

/** A running app of two instances with the routes a and b, and the means to change it one way or the other. */
async function running(how: "bus" | "library", options: Parameters<typeof here.member>[0] = {}) {
  const one = await here.member(options);
  const ask = await here.message({ "server.js": webServer }, "exec node server.js", { droplet: "app", uris: ["a.test", "b.test"] });
  for (const index of [0, 1]) await one.start({ ...ask, index });
  await until(() => one.dea.instances().filter(({ routable }) => routable).length === 2);
  const [first] = one.dea.instances() as [Instance];
  const pid = (): string[] => one.dea.instances().map(({ id, stateSince }) => `${id}/${stateSince}`);
  const before = pid();
  return {
    ...one, first,
    /** Nothing was started anew. */
    same: () => expect(pid()).toEqual(before),
    async change(change: { uris?: string[]; version?: string; egress?: EgressRule[] }) {
      if (how === "library") for (const instance of one.dea.instances()) one.dea.update(instance, change);
      else {
        const { uris = ["a.test", "b.test"], version, egress } = change;
        one.bus.publish(deaUpdate, { droplet: "app", uris, ...(version === undefined ? {} : { version }), ...(egress ? { egress_network_rules: egress as never } : {}) });
      }
    },
  };
}

describe.each(["bus", "library"] as const)("dea §12 an update without a restart, by the %s", (how) => {
  test.each([
    ["one comes", ["a.test", "b.test", "c.test"], [], ["a.test", "b.test", "c.test"]],
    ["one goes", ["b.test"], ["a.test"], ["b.test"]],
    ["all change", ["c.test"], ["a.test", "b.test"], ["c.test"]],
    ["none is left", [], ["a.test", "b.test"], undefined],
  ] as [string, string[], string[], string[] | undefined][])("routes: %s", async (_name, uris, gone, now) => {
    await using app = await running(how);
    const known = app.said.routerRegister.length;
    await app.change({ uris });
    await until(() => app.dea.instances().every(({ spec }) => spec.uris.join() === uris.join()));
    if (now) await until(() => app.said.routerRegister.length >= known + 2);
    if (gone.length > 0) await until(() => app.said.routerUnregister.length >= 2);
    expect(app.said.routerUnregister.map((body) => body.uris)).toEqual(gone.length > 0 ? [gone, gone] : []);
    if (now) expect(app.said.routerRegister.slice(known).map((body) => body.uris)).toEqual([now, now]);
    else expect(app.said.routerRegister.length).toBe(known);
    app.same();
  });

  test("version: heartbeats tell the new one at once, for each instance by itself; the original told it only when all had changed", async () => {
    await using app = await running(how);
    if (how === "library") app.dea.update(app.first, { version: "v2" });
    else await app.change({ version: "v2" });
    const versions = how === "library" ? ["v2", "v1"] : ["v2", "v2"];
    await until(() => app.said.deaHeartbeat.at(-1)?.droplets.map(({ version }) => version).join() === versions.join());
    app.same();
    expect(app.said.routerUnregister).toEqual([]);
  });

  test("egress: where the backend keeps rules they hold at once; where it does not, the library refuses and the bus goes on without them", async () => {
    const set: (readonly EgressRule[])[] = [];
    const backend = faultyBackend({});
    const create = async ({ egress: _egress, ...spec }: Parameters<typeof backend.create>[0]): Promise<object> =>
      Object.assign(Object.create(await backend.create(spec)) as object, { setEgress: async (rules: readonly EgressRule[]) => void set.push(rules) });
    const keeping = Object.create(backend, {
      capabilities: { value: { ...backend.capabilities, enforces: enforcing(["fileDescriptors", "egress"]) } }, create: { value: create },
    }) as typeof backend;
    const egress: EgressRule[] = [{ protocol: "tcp", destination: "10.0.0.0/8", ports: "443" }];
    {
      await using app = await running(how, { backend: keeping });
      await app.change({ egress });
      await until(() => set.length === 2);
      expect(set).toEqual([egress, egress]);
      expect(app.first.spec.egress).toEqual(egress);
      app.same();
    }
    await using app = await running(how);
    if (how === "library") await expect(app.change({ egress })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
    else {
      await app.change({ egress, uris: ["c.test"] });
      await until(() => app.first.spec.uris.join() === "c.test");
    }
    expect(app.first.spec.egress).toBeUndefined();
    app.same();
  });
});
