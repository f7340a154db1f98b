import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, MiB, type StartSpec } from "../../src/index.ts";
import { openDropletStore } from "../../src/droplet/store.ts";
import { temporaryFolder, type TarEntry, writeTar } from "../fixtures/droplet.ts";
import { faultyBackend } from "../fixtures/faulty-backend.ts";
import { until } from "../fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let dea: Dea;
let counter = 0;
beforeAll(async () => {
  folder = await temporaryFolder();
  dea = await createDea({ memoryBytes: 8192 * MiB, diskBytes: 64 * 1024 * MiB });
});
afterAll(async () => {
  await dea.close();
  await folder[Symbol.asyncDispose]();
});
const droplet = (...entries: TarEntry[]): Promise<string> => writeTar(join(folder.path, `d${counter++}.tgz`), [{ name: "./app/", type: "directory" }, ...entries]);
const info = (body: string): TarEntry => ({ name: "./staging_info.yml", body });
const start = (change: Partial<StartSpec> & { droplet: string }, on = dea): Promise<Instance> => on.start({ memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100, ...change });
const printed = async (instance: Instance): Promise<string[]> => {
  await instance.exited;
  const lines: string[] = [];
  for await (const { stream, text } of instance.logs({ follow: false })) if (stream !== "platform") lines.push(text);
  return lines;
};

describe("dea §4 the command", () => {
  test.each([
    ["the message's", "echo message", [info("start_command: echo droplet")], ["message"]],
    ["the droplet's, where the message has none", undefined, [info("start_command: echo droplet")], ["droplet"]],
    ["the droplet's, where the message's is blank", "  ", [info("start_command: echo droplet")], ["droplet"]],
    ["the droplet's as JSON", undefined, [info(`{"detected_buildpack":"x","start_command":"echo json"}`)], ["json"]],
  ] as [string, string | undefined, TarEntry[], string[]][])("is %s", async (_name, command, entries, lines) => {
    expect(await printed(await start({ droplet: await droplet(...entries), ...(command === undefined ? {} : { command }) }))).toEqual(lines);
  });

  test.each([
    ["no staging_info.yml", []], ["none in it", [info("detected_buildpack: x")]], ["an empty one", [info(`start_command: ""`)]], ["an empty file", [info("")]],
  ] as [string, TarEntry[]][])("is missing: %s", async (_name, entries) => {
    const instance = await start({ droplet: await droplet(...entries) });
    await expect(instance.ready).rejects.toMatchObject({ code: "DEA_NO_COMMAND" });
    expect(await instance.exited).toMatchObject({ reason: "no-command", description: "missing start command" });
  });
});

describe("dea §4 the sequence", () => {
  test("container and droplet at the same time, then unpacking, then the command; one after the other in the log", async () => {
    const steps: string[] = [];
    const backend = faultyBackend({ create: async () => void steps.push("create"), run: async () => void steps.push("run") });
    await using own = await createDea({ backend, memoryBytes: 1024 * MiB });
    const instance = await start({ droplet: await droplet(), command: "exec sleep 1000" }, own);
    await instance.ready;
    expect(steps).toEqual(["create", "run"]);
    const said: string[] = [];
    for await (const { text } of instance.logs({ follow: false })) said.push(text);
    expect(said).toEqual([
      `Starting app instance (index 0) with guid ${instance.spec.appId}`, `Creating container for instance ${instance.id}`, "Starting health monitoring of container", "Instance became healthy",
    ]);
  });

  test.each([
    ["the droplet is missing, the container there", {}, "/no/such/file.tgz", "droplet-missing"],
    ["the container fails, the droplet is there", { create: () => Promise.reject(new Error("no container today")) }, undefined, "start-failed"],
    ["both fail: the container is told of", { create: () => Promise.reject(new Error("no container today")) }, "/no/such/file.tgz", "start-failed"],
  ])("both are awaited, and put away: %s", async (_name, faults, path, reason) => {
    await using own = await createDea({ backend: faultyBackend(faults), dataDir: join(folder.path, `own${counter++}`), memoryBytes: 1024 * MiB });
    const instance = await start({ droplet: path ?? (await droplet()), command: "true" }, own);
    expect(await instance.exited).toMatchObject({ reason });
    await until(() => own.capacity().instances.present === 0);
  });

  test("a failed start leaves no port, no folder, no held droplet", async () => {
    const backend = faultyBackend({ run: () => Promise.reject(new Error("does not run")) });
    await using own = await createDea({ backend, memoryBytes: 1024 * MiB, portRange: { first: 64_981, last: 64_981 }, portRestMs: 0 });
    for (let turn = 0; turn < 3; turn++) expect(await (await start({ droplet: await droplet(), command: "true" }, own)).exited).toMatchObject({ reason: "start-failed" });
    expect(own.capacity()).toMatchObject({ instances: { present: 0 } });
  });

  test("no start while it is emptied or closes", async () => {
    const own = await createDea({ memoryBytes: 1024 * MiB });
    await own.evacuate();
    await expect(start({ droplet: await droplet(), command: "true" }, own)).rejects.toMatchObject({ code: "DEA_CLOSED", retryable: true });
    await own.close();
    await expect(start({ droplet: await droplet(), command: "true" }, own)).rejects.toMatchObject({ code: "DEA_CLOSED" });
  });

  test("a held droplet is let go once, however often", async () => {
    await using store = await openDropletStore({ dir: join(folder.path, "held") });
    const held = await store.hold({ path: await droplet() }, new AbortController().signal);
    await held[Symbol.asyncDispose]();
    await held[Symbol.asyncDispose]();
  });
});
