import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, MiB, type StartSpec } from "../../src/index.ts";
import { type EnvironmentInput, systemEnvironment, vcapApplication } from "../../src/instance/environment.ts";
import { instanceSpec, servicesByLabel } from "../../src/instance/spec.ts";
import { temporaryFolder, writeTar } from "../fixtures/droplet.ts";

const input = (change: Partial<StartSpec> = {}): EnvironmentInput => ({
  spec: instanceSpec({ droplet: "x", memoryBytes: 64 * MiB, diskBytes: 128 * MiB, fileDescriptors: 7, index: 3, name: "shop", appId: "app", version: "v", uris: ["u.test"], ...change }),
  instanceId: "i".repeat(32), home: "/home/vcap", host: "10.0.0.7", hostPort: 61_001, containerPort: 8_080, startedAtMs: Date.UTC(2015, 2, 1, 10), path: "/bin:/usr/bin",
});
const variables = (change: Partial<StartSpec> = {}): Record<string, string> => Object.fromEntries(systemEnvironment(input(change)));

describe("dea §5 the system's variables", () => {
  test.each([
    ["MEMORY_LIMIT", "64m"], ["HOME", "/home/vcap/app"], ["TMPDIR", "/home/vcap/tmp"], ["VCAP_APP_HOST", "0.0.0.0"], ["VCAP_APP_PORT", "8080"], ["PORT", "8080"],
    ["CF_INSTANCE_INDEX", "3"], ["CF_INSTANCE_IP", "10.0.0.7"], ["CF_INSTANCE_PORT", "61001"], ["CF_INSTANCE_ADDR", "10.0.0.7:61001"],
    ["CF_INSTANCE_PORTS", `[{"external":61001,"internal":8080}]`], ["VCAP_SERVICES", "{}"], ["USER", "vcap"], ["PATH", "/bin:/usr/bin"], ["LANG", "en_US.UTF-8"], ["DATABASE_URL", undefined],
  ])("%s", (name, value) => {
    expect(variables()[name]).toBe(value);
  });

  test("their order, where one is made of another", () => {
    const names = systemEnvironment(input()).map(([name]) => name);
    expect(names.indexOf("VCAP_APP_PORT")).toBeLessThan(names.indexOf("PORT"));
    expect(new Set(names).size).toBe(names.length);
  });

  const uri = (text: string): Partial<StartSpec> => ({ services: [{ label: "l", name: "n", credentials: { uri: text } }] });
  test.each([
    ["mysql", "mysql://u:p@h/d", "mysql2://u:p@h/d"], ["mysql2", "mysql2://h", "mysql2://h"], ["postgres", "postgres://h", "postgres://h"], ["postgresql", "postgresql://h", "postgres://h"],
    ["db2", "db2://h", "ibmdb://h"], ["informix", "informix://h", "ibmdb://h"], ["another", "amqp://h", ""], ["without a scheme", "h", ""],
  ])("DATABASE_URL of %s", (_name, given, expected) => {
    expect(variables(uri(given))["DATABASE_URL"]).toBe(expected);
  });
  test("DATABASE_URL: the first that fits, in the order of the message", () => {
    const services = ["redis://a", "postgres://b", "mysql://c"].map((text, at) => ({ label: `l${at}`, name: "n", credentials: { uri: text } }));
    expect(variables({ services })["DATABASE_URL"]).toBe("postgres://b");
  });
});

describe("dea §5 VCAP_APPLICATION", () => {
  test.each(["cf_api", "space_name", "space_id", "users", "process_id", "organization_name"])("from the controller: %s", (key) => {
    expect(vcapApplication(input({ application: { [key]: "given" } }))[key]).toBe("given");
  });
  test.each([
    ["application_id", "app"], ["instance_id", "i".repeat(32)], ["instance_index", 3], ["host", "0.0.0.0"], ["port", 8_080], ["started_at", "2015-03-01 10:00:00 +0000"],
    ["start", "2015-03-01 10:00:00 +0000"], ["started_at_timestamp", 1_425_204_000], ["state_timestamp", 1_425_204_000],
  ])("from the executor, which wins: %s", (key, value) => {
    const given = key === "application_id" ? {} : { [key]: "given" };
    expect(vcapApplication(input({ application: given }))[key]).toBe(value);
  });
  test.each([["limits", { fds: 7, mem: 64, disk: 128 }], ["application_name", "shop"], ["name", "shop"], ["uris", ["u.test"]], ["application_uris", ["u.test"]], ["version", "v"], ["application_version", "v"]])(
    "where the controller says nothing: %s", (key, value) => expect(vcapApplication(input())[key]).toEqual(value));
});

describe("dea §5 VCAP_SERVICES", () => {
  test.each([
    ["keyed by label", [{ label: "db", name: "a" }, { label: "mq", name: "b" }, { label: "db", name: "c" }], { db: [{ label: "db", name: "a" }, { label: "db", name: "c" }], mq: [{ label: "mq", name: "b" }] }],
    ["null is left out, an empty text stays", [{ label: "db", name: "a", plan: "", tags: null, syslog_drain_url: null }], { db: [{ label: "db", name: "a", plan: "" }] }],
    ["fields nobody knows are left out", [{ label: "db", name: "a", secret_of_the_broker: 1, credentials: { p: 1 } }], { db: [{ label: "db", name: "a", credentials: { p: 1 } }] }],
    ["user-provided", [{ name: "own" }], { "user-provided": [{ name: "own" }] }],
    ["none", [], {}],
  ])("%s", (_name, given, expected) => expect(servicesByLabel(given)).toEqual(expected));
});

describe("dea §5 and §20.3 what the app really gets", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let dea: Dea;
  let droplet: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    droplet = await writeTar(join(folder.path, "d.tgz"), [
      { name: "./app/.profile.d/set.sh", body: `export FROM_PROFILE="profile of $FROM_USER" BOTH=profile\n` },
      { name: "./app/print.js", body: `console.log(JSON.stringify(process.env))` },
    ]);
    dea = await createDea({ memoryBytes: 4096 * MiB, diskBytes: 32_768 * MiB });
  });
  afterAll(async () => {
    await dea.close();
    await folder[Symbol.asyncDispose]();
  });
  const seenBy = async (change: Partial<StartSpec>): Promise<Record<string, string>> => {
    const instance: Instance = await dea.start({ droplet, command: `exec ${JSON.stringify(process.execPath)} print.js`, memoryBytes: 128 * MiB, healthCheck: { type: "process" }, ...change });
    await instance.exited;
    const lines: string[] = [];
    for await (const { stream, text } of instance.logs({ follow: false })) if (stream === "stdout") lines.push(text);
    return JSON.parse(lines.join("")) as Record<string, string>;
  };

  test("later wins: profile.d over the user over the system", async () => {
    const seen = await seenBy({ env: { PORT: "1", HOME: "/tmp", VCAP_SERVICES: "mine", FROM_USER: "user", BOTH: "user" } });
    expect(seen).toMatchObject({ PORT: "1", HOME: "/tmp", VCAP_SERVICES: "mine", FROM_USER: "user", FROM_PROFILE: "profile of user", BOTH: "profile" });
  });

  test.each([
    ["dollar", "pa$$word $HOME ${PATH}"], ["command", "$(id) `id`"], ["double quotes", `a "b" c`], ["single quotes", "it's"], ["newlines", "a\nb\n\n"], ["backslash at the end", "a\\"],
    ["backslashes", "\\n \\\\ \\\""], ["empty", ""], ["blanks", "  a  "], ["glob", "* ? [a-z]"], ["percent", "%s%n"], ["exclamation", "!! !$"], ["unicode", "grün 😀"], ["control characters", "\u0001\u001b[0m"],
    ["equals", "=a=b="], ["semicolon", "; exit 1; #"],
  ])("golden: %s", async (_name, value) => {
    expect((await seenBy({ env: { GOLDEN: value } }))["GOLDEN"]).toBe(value);
  });
  test("names no shell would take pass too", async () => {
    expect(await seenBy({ env: { "with.dot": "1", "with-dash": "2" } })).toMatchObject({ "with.dot": "1", "with-dash": "2" });
  });
});
