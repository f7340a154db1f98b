import { join } from "node:path";
import { expect, test } from "vitest";
import { folderWith, sha256, shellBuildpack, temporaryFolder } from "./fixtures/folders.ts";
import { runProgram, useProgram } from "./fixtures/program.ts";

useProgram();
const out = async (): Promise<string> => join(await temporaryFolder(), "d.tgz");
const app = { "package.json": '{"scripts": {"start": "node a.js"}}', "a.js": "" };

test("stages a folder; log on standard error, result on standard output", async () => {
  const path = await out();
  const { status, stdout, stderr } = await runProgram(await folderWith(app), "--out", path, "--work-dir", await temporaryFolder());
  expect(status).toBe(0);
  expect(stdout).toMatch(new RegExp(`droplet +${path}\nsha256 +${await sha256(path)}\n[^]*web +exec node a.js`));
  expect(stderr).toContain("Building with nodejs_buildpack");
});

test("as JSON, with environment, cache, stack and a buildpack of one's own", async () => {
  const path = await out();
  const cache = await temporaryFolder();
  const buildpack = await shellBuildpack({ finalize: 'echo "[$GREETING]$CF_STACK"; touch "$2/kept"', release: "echo {}" });
  const { status, stdout, stderr } = await runProgram(await folderWith({ x: "" }), "--out", path, "-b", buildpack, "--env", "GREETING=a=b", "--env", "E=", "--stack", "mine", "--cache", cache, "--command", "./x", "--json");
  expect([status, stderr.match(/\[a=b\]mine/)?.[0]]).toEqual([0, "[a=b]mine"]);
  expect(JSON.parse(stdout)).toMatchObject({ path, digest: await sha256(path), processTypes: {}, stack: "mine", buildpacks: [{ key: buildpack }] });
});

test("a failure is told with id and code, status 1; as JSON too", async () => {
  const args = [await folderWith({ x: "" }), "--out", await out()];
  const { status, stderr } = await runProgram(...args);
  expect(status).toBe(1);
  expect(stderr).toMatch(/NoAppDetectedError: none of the buildpacks.*\(STAGING_NOTHING_DETECTED\)/);
  const json = await runProgram(...args, "--json");
  expect(json.status).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: "STAGING_NOTHING_DETECTED", failure: { phase: "detect" } } });
});

test.each([
  [[], /which app/], [["x"], /--out/], [["x", "y", "--out", "z"], /one app/], [["x", "--out", "z", "--env", "novalue"], /KEY=VALUE/], [["x", "--out", "z", "--timeout", "soon"], /seconds/], [["x", "--colour"], /colour/],
])("asked wrongly by %j: status 2 and a hint", async (args, says) => {
  const { status, stderr } = await runProgram(...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(says);
  expect(stderr).toContain("--help");
});

test("a time limit", async () => {
  const { status, stderr } = await runProgram(await folderWith({ x: "" }), "--out", await out(), "-b", await shellBuildpack({ finalize: "sleep 60", release: ":" }), "--timeout", "0.5");
  expect(status).toBe(1);
  expect(stderr).toContain("StagingTimeExpired");
});

test("help teaches, buildpacks are listed", async () => {
  expect(await runProgram("--help")).toMatchObject({ status: 0, stdout: expect.stringMatching(/Examples\n {2}opencf-stage/) as string });
  expect((await runProgram("buildpacks")).stdout).toMatch(/staticfile_buildpack.*also staticfile\nnodejs_buildpack/);
  expect(JSON.parse((await runProgram("buildpacks", "--json")).stdout)).toHaveLength(3);
});
