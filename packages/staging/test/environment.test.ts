import fc from "fast-check";
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { deriveDatabaseUrl, stagingEnvironment } from "../src/environment.ts";
import { folderWith, shellBuildpack, writeTree } from "./fixtures/folders.ts";
import { failing, staging } from "./fixtures/stage.ts";

const base = { stack: "cflinuxfs4", memoryBytes: 512 * 1024 * 1024, home: "/h", temporary: "/t" };
const showing = async (names: string) => [await shellBuildpack({ finalize: `for n in ${names}; do eval "echo \\"$n=[\\\${$n-unset}]\\""; done`, release: "echo 'default_process_types: {web: w}'" })];

describe("the environment of the scripts", () => {
  test("has what the platform says, whatever the app says", async () => {
    const { log } = await staging({
      buildpacks: await showing("CF_STACK VCAP_APPLICATION MEMORY_LIMIT VCAP_SERVICES MINE LANG PORT CF_INSTANCE_ADDR CF_INSTANCE_PORT CF_INSTANCE_INDEX VCAP_APP_PORT"),
      env: { CF_STACK: "evil", VCAP_APPLICATION: "evil", MEMORY_LIMIT: "9g", VCAP_SERVICES: "evil", MINE: "mine $HOME `id`", PORT: "1", CF_INSTANCE_ADDR: "evil", LANG: "de_DE.UTF-8", CF_INSTANCE_INDEX: "7" },
      application: { application_name: "shop" }, services: { redis: [{ name: "r" }] }, memoryBytes: 256 * 1024 * 1024,
    });
    for (const line of ["CF_STACK=[cflinuxfs4]", 'VCAP_APPLICATION=[{"application_name":"shop"}]', "MEMORY_LIMIT=[256m]", 'VCAP_SERVICES=[{"redis":[{"name":"r"}]}]', "MINE=[mine $HOME `id`]",
      "LANG=[de_DE.UTF-8]", "PORT=[unset]", "CF_INSTANCE_ADDR=[]", "CF_INSTANCE_PORT=[]", "CF_INSTANCE_INDEX=[unset]", "VCAP_APP_PORT=[unset]"]) expect(log).toContain(line);
  });
  test("has nothing of this process: none of its secrets", async () => {
    process.env["OPENCF_TEST_SECRET"] = "do not show";
    try {
      const { log } = await staging({ buildpacks: [await shellBuildpack({ detect: "", supply: "env", finalize: "env", release: "env >&2; echo 'default_process_types: {web: w}'" })] });
      expect(log).not.toContain("do not show");
      expect(log).toContain("CF_STACK=");
      const names = new Set([...log.matchAll(/^([A-Z_a-z0-9]+)=/gm)].map(([, name]) => name));
      expect([...names].filter((name) => !/^(PATH|LANG|USER|HOME|TMPDIR|CF_\w+|VCAP_\w+|MEMORY_LIMIT|OPENCF_STAGING_ID|PWD|OLDPWD|SHLVL|_)$/.test(name ?? ""))).toEqual([]);
    } finally {
      delete process.env["OPENCF_TEST_SECRET"];
    }
  });
  test.runIf(existsSync("/bin/bash"))("keeps names that are no shell identifiers, and runs nothing that a variable names", async () => {
    const trap = await folderWith({ evil: "echo trapped >&2" });
    const buildpack = await shellBuildpack({ finalize: ":", release: "echo 'default_process_types: {web: w}'" });
    await writeTree(buildpack, { "bin/finalize": [`#!${process.execPath}\nconsole.log("[" + process.env["spring.datasource.url"] + "]")\n`, 0o755] });
    const { log } = await staging({ buildpacks: [buildpack], env: { "spring.datasource.url": "jdbc:x", BASH_ENV: `${trap}/evil`, ENV: `${trap}/evil` } });
    expect(log).toContain("[jdbc:x]");
    expect(log).not.toContain("trapped");
  });
  test.each(["A=B", "", "A\0"])("refuses the name %j", async (name) => {
    expect(await failing({ env: { [name]: "x" } })).toMatchObject({ code: "STAGING_OPTIONS_INVALID" });
  });
  test("keeps the platform's values for any variables of the app", () => {
    fc.assert(fc.property(fc.dictionary(fc.constantFrom("CF_STACK", "VCAP_SERVICES", "VCAP_APPLICATION", "MEMORY_LIMIT", "HOME", "TMPDIR", "PORT", "X", "PATH"), fc.stringMatching(/^[^\0]*$/)), (env) => {
      const result = stagingEnvironment({ ...base, env });
      expect(result).toMatchObject({ CF_STACK: "cflinuxfs4", MEMORY_LIMIT: "512m", VCAP_APPLICATION: "{}", VCAP_SERVICES: "{}", HOME: "/h", TMPDIR: "/t" });
      expect(result).not.toHaveProperty("PORT");
      if (env["X"] !== undefined) expect(result["X"]).toBe(env["X"]);
    }));
  });
});

describe("DATABASE_URL", () => {
  const service = (uri: unknown) => [{ credentials: { uri } }];
  test.each([
    ["mysql://u:p@h/d", "mysql2://u:p@h/d"], ["mysql2://h/d", "mysql2://h/d"], ["postgres://h/d?x=1", "postgres://h/d?x=1"], ["postgresql://h/d", "postgres://h/d"], ["POSTGRES://h/d", "postgres://h/d"],
    ["redis://h", undefined], ["constructor://h", undefined], ["postgres", undefined], [7, undefined], [undefined, undefined],
  ])("of %j is %j", (uri, expected) => expect(deriveDatabaseUrl({ db: service(uri) })).toBe(expected));
  test("is that of the first database, always the same one", () => {
    expect(deriveDatabaseUrl({ cache: service("redis://r"), one: [{ credentials: null }, ...service("mysql://a/b")], two: service("postgres://c/d") })).toBe("mysql2://a/b");
    expect(deriveDatabaseUrl({ broken: "text" as never, one: service("mysql://a/b") })).toBe("mysql2://a/b");
  });
  test("of the app itself wins", () => {
    const services = { db: service("mysql://a/b") };
    expect(stagingEnvironment({ ...base, services })["DATABASE_URL"]).toBe("mysql2://a/b");
    expect(stagingEnvironment({ ...base, services, env: { DATABASE_URL: "mine" } })["DATABASE_URL"]).toBe("mine");
  });
});
