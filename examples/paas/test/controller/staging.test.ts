import { createHash, randomUUID } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { StageFailure } from "../../controller/runtime/runtime.ts";
import { json } from "../../controller/data/schema.ts";
import type { Client } from "../support/controller.ts";
import { buildApp, detail, pushApp, relation, sendForm, startTestApps, until, uploadDroplet, uploadForm, uploadPackage, zip, type TestApps } from "../support/apps.ts";

let platform: TestApps;
let admin: Client;
let space: string;
let app: string;

beforeAll(async () => {
  platform = await startTestApps({ limits: { maxUploadBytes: 200_000, maxPackageBytes: 500_000, keptPackages: 2, keptDroplets: 2 } });
  admin = platform.admin;
  ({ space } = await platform.space());
});
afterAll(() => platform[Symbol.asyncDispose]());
beforeEach(async () => {
  platform.runtime.stager = uploadDroplet();
  app = (await admin.post("/v3/apps", { name: `app-${randomUUID()}`, relationships: { space: relation(space) } })).body.guid;
});

const newPackage = async (): Promise<string> => (await admin.post("/v3/packages", { type: "bits", relationships: { app: relation(app) } })).body.guid as string;
const upload = (guid: string, form: FormData) => sendForm(platform, admin, `/v3/packages/${guid}/upload`, form);
const settled = (guid: string) => until(() => admin.get(`/v3/packages/${guid}`), ({ body }) => !["AWAITING_UPLOAD", "PROCESSING_UPLOAD"].includes(body.state));
const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex");
/** They go a moment after the package is ready. */
const noTempFiles = (): Promise<string[]> => until(() => readdir(platform.tempDir), (files) => files.length === 0);
function gate(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((go) => (resolve = go));
  return { promise, resolve };
}

describe("packages", () => {
  test("are uploaded once, become READY with their checksum, and can be downloaded", async () => {
    const guid = await newPackage();
    expect((await admin.get(`/v3/packages/${guid}`)).body).toMatchObject({ type: "bits", state: "AWAITING_UPLOAD", data: { error: null, checksum: { type: "sha256", value: null } } });
    const sent = await upload(guid, uploadForm(await zip({ "a.txt": "hello" }), []));
    expect([sent.status, sent.body.state]).toEqual([200, "PROCESSING_UPLOAD"]);
    const ready = await settled(guid);
    expect(ready.body.state).toBe("READY");
    const response = await platform.controller.api.fastify.inject({ url: `/v3/packages/${guid}/download`, headers: { authorization: `bearer ${admin.token}` } });
    expect(response.statusCode).toBe(200);
    expect(createHash("sha256").update(response.rawPayload).digest("hex")).toBe(ready.body.data.checksum.value);
    const again = await upload(guid, uploadForm(await zip({ "a.txt": "other" })));
    expect([again.status, again.body.errors[0].code, detail(again)]).toEqual([400, 150_004, "Bits may be uploaded only once. Create a new package to upload different bits."]);
    await noTempFiles();
  });

  test("what was pushed before need not be pushed again", async () => {
    const text = `shared content ${randomUUID()}`;
    const entry = { path: "lib/shared.js", mode: "644", checksum: { value: sha1(text) }, size_in_bytes: text.length };
    const ask = async (resources: object[]) => admin.post("/v3/resource_matches", { resources });
    expect((await ask([entry])).body).toEqual({ resources: [] });
    const first = await newPackage();
    await upload(first, uploadForm(await zip({ "one.js": text })));
    await settled(first);
    await until(() => ask([entry]), ({ body }) => body.resources.length === 1);
    const matched = await ask([entry, { ...entry, path: "copy.js" }]);
    expect([matched.status, matched.body.resources]).toEqual([201, [entry, { ...entry, path: "copy.js" }]]);
    expect((await ask([entry, { ...entry, path: "unreadable", mode: "444" }])).body.resources, "all entries of a content or none").toEqual([]);
    expect((await ask([{ ...entry, size_in_bytes: 3 }])).body.resources, "another size is another content").toEqual([]);
    const second = await newPackage();
    const sent = await upload(second, uploadForm(undefined, [entry]));
    expect(sent.status).toBe(200);
    expect((await settled(second)).body.state).toBe("READY");
  });

  test.each<[unknown, string]>([
    [{}, "Resources must be an array"],
    [{ resources: [] }, "Resources must have at least 1 resource"],
    [{ resources: Array.from({ length: 5001 }, () => ({})) }, "Resources array can have at most 5000 resources"],
    [{ resources: [{ checksum: "x", size_in_bytes: 1 }] }, "Resources array contains at least one resource with a non-object checksum"],
    [{ resources: [{ checksum: { value: "abc" }, size_in_bytes: "1", mode: "9" }] },
      "Resources array contains at least one resource with a non-SHA1 checksum value, Resources array contains at least one resource with a non-integer size_in_bytes, Resources array contains at least one resource with an incorrect mode"],
  ])("a match that is asked wrongly %#", async (body, text) => {
    const reply = await admin.post("/v3/resource_matches", body);
    expect([reply.status, detail(reply)]).toEqual([422, text]);
  });

  test("an upload that is no zip fails the package with the reason, not the request", async () => {
    const guid = await newPackage();
    expect((await upload(guid, uploadForm(Buffer.from("not a zip")))).status).toBe(200);
    const failed = await settled(guid);
    expect(failed.body).toMatchObject({ state: "FAILED", data: { error: "The app upload is invalid: it is not a zip archive" } });
    expect(await platform.blobs.exists(`packages/${guid}`)).toBe(false);
    const build = await admin.post("/v3/builds", { package: { guid } });
    expect([build.status, detail(build)]).toEqual([400, "Bad request: Cannot stage package whose state is not ready."]);
  });

  test.each<[string, () => Promise<FormData>, number, RegExp]>([
    ["nothing in it", async () => uploadForm(), 422, /Upload must include either resources or bits/],
    ["no resources and no bits", async () => uploadForm(undefined, []), 422, /Upload must include either resources or bits/],
    ["resources that are no JSON", async () => uploadForm(undefined, "{nope"), 422, /Resources must be valid JSON\./],
    ["resources outside of the app", async () => uploadForm(undefined, [{ fn: "../../etc/passwd", size: 1, sha1: sha1("x") }]), 400, /resource file path is invalid/],
    ["a mode its owner cannot read", async () => uploadForm(undefined, [{ fn: "a", size: 1, sha1: sha1("x"), mode: "444" }]), 400, /resource file mode is invalid/],
    ["more than is allowed", async () => uploadForm(Buffer.alloc(200_001)), 413, /larger than 200000 bytes/],
  ])("an upload with %s is refused, and may be tried again", async (_name, form, status, text) => {
    const guid = await newPackage();
    const reply = await upload(guid, await form());
    expect([reply.status, detail(reply)]).toEqual([status, expect.stringMatching(text)]);
    expect((await admin.get(`/v3/packages/${guid}`)).body.state).toBe("AWAITING_UPLOAD");
    await noTempFiles();
    expect((await upload(guid, uploadForm(await zip({ a: "b" })))).status).toBe(200);
    await settled(guid);
  });

  test.each<[string, (whole: Buffer) => Buffer, string]>([
    ["is cut off", (whole) => whole.subarray(0, whole.length - 60), "multipart/form-data; boundary=BOUND"],
    ["has another boundary", (whole) => whole, "multipart/form-data; boundary=OTHER"],
    ["has no boundary", (whole) => whole, "multipart/form-data"],
    ["is no form at all", () => Buffer.from("{}"), "application/json"],
  ])("a body that %s is refused as the client's fault, and may be tried again", async (_name, change, type) => {
    const guid = await newPackage();
    const bits = await zip({ a: "b" });
    const whole = Buffer.concat([Buffer.from('--BOUND\r\nContent-Disposition: form-data; name="bits"; filename="package.zip"\r\nContent-Type: application/zip\r\n\r\n'), bits, Buffer.from("\r\n--BOUND--\r\n")]);
    const response = await platform.controller.api.fastify.inject({ method: "POST", url: `/v3/packages/${guid}/upload`, payload: change(whole), headers: { authorization: `bearer ${admin.token}`, "content-type": type } });
    expect(response.statusCode).toBeGreaterThanOrEqual(400);
    expect(response.statusCode).toBeLessThan(500);
    expect((await admin.get(`/v3/packages/${guid}`)).body.state).toBe("AWAITING_UPLOAD");
    await noTempFiles();
    expect((await upload(guid, uploadForm(bits))).status).toBe(200);
    await settled(guid);
  });

  test("a zip that grows beyond the limit when unpacked is refused", async () => {
    const guid = await newPackage();
    await upload(guid, uploadForm(await zip({ bomb: "0".repeat(600_000) })));
    expect((await settled(guid)).body).toMatchObject({ state: "FAILED", data: { error: "The app package is invalid: its files are larger than 500000 bytes when unpacked" } });
  });

  test.each<[object, string]>([
    [{ type: "tar", relationships: { app: relation("x") } }, "Type must be one of 'bits, docker'"],
    [{ type: "bits", relationships: { app: relation("x") } }, "App is invalid. Ensure it exists and you have access to it."],
    [{ type: "bits" }, "Relationships 'relationships' is not an object"],
  ])("a package that cannot be: %j", async (body, text) => {
    const reply = await admin.post("/v3/packages", body);
    expect([reply.status, detail(reply)]).toEqual([422, text]);
  });

  test("are copied to another app", async () => {
    const source = await uploadPackage(platform, admin, app);
    const other = (await admin.post("/v3/apps", { name: `copy-${randomUUID()}`, relationships: { space: relation(space) } })).body.guid;
    const copy = await admin.post(`/v3/packages?source_guid=${source}`, { relationships: { app: relation(other) } });
    expect([copy.status, copy.body.state]).toEqual([201, "COPYING"]);
    const done = await until(() => admin.get(`/v3/packages/${copy.body.guid}`), ({ body }) => body.state !== "COPYING");
    expect(done.body.data.checksum.value).toBe((await admin.get(`/v3/packages/${source}`)).body.data.checksum.value);
  });

  test("strangers may neither see, upload nor download", async () => {
    const guid = await newPackage();
    const stranger = await platform.user("stranger");
    expect((await stranger.get(`/v3/packages/${guid}`)).status).toBe(404);
    expect((await sendForm(platform, stranger, `/v3/packages/${guid}/upload`, uploadForm(await zip({ a: "b" })))).status).toBe(404);
    expect((await stranger.get(`/v3/packages/${guid}/download`)).status).toBe(404);
  });
});

describe("builds", () => {
  test("hand the stager everything, and make a droplet with process types", async () => {
    await admin.patch("/v3/environment_variable_groups/staging", { var: { FROM_GROUP: "g", BOTH: "group" } });
    await admin.patch(`/v3/apps/${app}/environment_variables`, { var: { BOTH: "app", OWN: "o" } });
    platform.runtime.stager = uploadDroplet({
      processTypes: { web: "./web", worker: "./work" }, sidecars: [{ name: "proxy", command: "./proxy", processTypes: ["web"], memoryMb: 32 }],
    });
    const pkg = await uploadPackage(platform, admin, app);
    const made = await admin.post("/v3/builds", { package: { guid: pkg }, lifecycle: { type: "buildpack", data: { buildpacks: ["ruby_buildpack"] } }, environment_variables: { OWN: "build" }, staging_memory_in_mb: 2048 });
    expect([made.status, made.body.state, made.body.staging_memory_in_mb, made.body.staging_disk_in_mb]).toEqual([201, "STAGING", 2048, 4096]);
    expect(made.body.created_by).toMatchObject({ name: "admin", email: "admin@example.org" });
    const done = await until(() => admin.get(`/v3/builds/${made.body.guid}`), ({ body }) => body.state !== "STAGING");
    expect(done.body).toMatchObject({ state: "STAGED", error: null, droplet: { guid: expect.any(String) } });

    const request = platform.runtime.staged.at(-1)!;
    expect(request).toMatchObject({ appGuid: app, buildpacks: ["ruby_buildpack"], stack: "cflinuxfs4", memoryMb: 2048, diskMb: 4096, timeoutSeconds: 900, vcapServices: {} });
    expect(request.environment).toEqual({ FROM_GROUP: "g", BOTH: "app", OWN: "build", CF_STACK: "cflinuxfs4", MEMORY_LIMIT: "2048m" });
    expect(request.vcapApplication).toMatchObject({ application_id: app, limits: { mem: 2048 } });
    expect(request.vcapApplication).not.toHaveProperty("process_id");

    const droplet = await admin.get(`/v3/droplets/${done.body.droplet.guid}`);
    expect(droplet.body).toMatchObject({
      state: "STAGED", stack: "cflinuxfs4", process_types: { web: "./web", worker: "./work" }, checksum: { type: "sha256", value: expect.stringMatching(/^[0-9a-f]{64}$/) },
      buildpacks: [{ name: "binary_buildpack", detect_output: "binary", buildpack_name: "binary", version: "1.0" }],
    });
    expect((await admin.get(`/v3/packages/${pkg}/droplets?states=STAGED`)).body.resources[0]).toMatchObject({ guid: droplet.body.guid, process_types: { redacted_message: "[PRIVATE DATA HIDDEN IN LISTS]" } });
    expect((await admin.patch(`/v3/apps/${app}/relationships/current_droplet`, relation(droplet.body.guid))).body.data).toEqual({ guid: droplet.body.guid });
    const processes = await admin.get(`/v3/apps/${app}/processes`);
    expect(processes.body.resources.map(({ type, instances }: { type: string; instances: number }) => [type, instances])).toEqual([["web", 1], ["worker", 0]]);
    expect((await admin.get(`/v3/processes/${app}/sidecars`)).body.resources).toMatchObject([{ name: "proxy", origin: "buildpack", memory_in_mb: 32 }]);
    expect((await admin.get(`/v3/apps/${app}/droplets?current=true`)).body.resources).toHaveLength(1);
    await admin.patch("/v3/environment_variable_groups/staging", { var: { FROM_GROUP: null, BOTH: null } });
  });

  test.each([
    ["NoAppDetectedError", "None of the buildpacks detected a compatible application", "NoAppDetectedError - An app was not successfully detected by any available buildpack: None of the buildpacks detected a compatible application"],
    ["BuildpackCompileFailed", "", "BuildpackCompileFailed - App staging failed in the buildpack compile phase"],
    ["BuildpackReleaseFailed", "App staging failed in the buildpack release phase", "BuildpackReleaseFailed - App staging failed in the buildpack release phase"],
    ["SomethingNew", "odd", "StagingError - odd"],
  ])("a build that fails with %s", async (type, message, error) => {
    platform.runtime.stager = () => Promise.reject(new StageFailure(type, message));
    const pkg = await uploadPackage(platform, admin, app);
    const made = await admin.post("/v3/builds", { package: { guid: pkg } });
    const done = await until(() => admin.get(`/v3/builds/${made.body.guid}`), ({ body }) => body.state !== "STAGING");
    expect(done.body).toMatchObject({ state: "FAILED", error, droplet: null });
    expect(platform.runtime.lines.at(-1)?.line).toBe(`Staging failed for build ${made.body.guid}: ${error}`);
  });

  test("a droplet that never came, or is another one, fails the build", async () => {
    const pkg = await uploadPackage(platform, admin, app);
    const failure = async (): Promise<string> => {
      const made = await admin.post("/v3/builds", { package: { guid: pkg } });
      return (await until(() => admin.get(`/v3/builds/${made.body.guid}`), ({ body }) => body.state !== "STAGING")).body.error as string;
    };
    const result = { sha1: "", sha256: "0".repeat(64), sizeBytes: 1, processTypes: { web: "x" }, sidecars: [], buildpacks: [], detectedBuildpack: null };
    platform.runtime.stager = () => Promise.resolve(result);
    expect(await failure()).toMatch(/did not upload a droplet/);
    platform.runtime.stager = uploadDroplet({ sha256: "0".repeat(64) });
    expect(await failure()).toMatch(/not the one that was built/);
    platform.runtime.stager = uploadDroplet({ processTypes: {} });
    expect(await failure()).toMatch(/^StagingError - Start command not specified/);
  });

  test("one at a time per app", async () => {
    const pkg = await uploadPackage(platform, admin, app);
    const held = gate();
    platform.runtime.stager = async (request) => {
      await held.promise;
      return uploadDroplet()(request);
    };
    const first = await admin.post("/v3/builds", { package: { guid: pkg } });
    const second = await admin.post("/v3/builds", { package: { guid: pkg } });
    expect([second.status, second.body.errors[0].code, detail(second)]).toEqual([422, 170_017, "Only one build can be STAGING at a time per application."]);
    held.resolve();
    const done = await until(() => admin.get(`/v3/builds/${first.body.guid}`), ({ body }) => body.state !== "STAGING");
    expect(done.body.state).toBe("STAGED");
  });

  test("a question about an unfinished build is answered as soon as it ends", async () => {
    await using slow = await startTestApps({ limits: { longPollMs: 30_000 } });
    const place = await slow.space();
    const made = (await slow.admin.post("/v3/apps", { name: "polled", relationships: { space: relation(place.space) } })).body.guid;
    const pkg = await uploadPackage(slow, slow.admin, made);
    const held = gate();
    slow.runtime.stager = async (request) => {
      await held.promise;
      return uploadDroplet()(request);
    };
    const build = await slow.admin.post("/v3/builds", { package: { guid: pkg } });
    const asked = slow.admin.get(`/v3/builds/${build.body.guid}`);
    held.resolve();
    expect((await asked).body.state).toBe("STAGED");
  });

  test("unknown packages and disabled buildpacks are refused", async () => {
    expect(detail(await admin.post("/v3/builds", { package: { guid: "nope" } }))).toBe("Unable to use package. Ensure that the package exists and you have access to it.");
    expect(detail(await admin.post("/v3/builds", {}))).toBe("Package guid can't be blank");
    const pkg = await uploadPackage(platform, admin, app);
    const { db } = platform.controller.context;
    await db.updateTable("buildpacks").set({ enabled: false }).where("name", "=", "ruby_buildpack").execute();
    const refused = await admin.post("/v3/builds", { package: { guid: pkg }, lifecycle: { type: "buildpack", data: { buildpacks: ["ruby_buildpack"] } } });
    expect([refused.status, refused.body.errors[0].code]).toEqual([400, 290_003]);
    await db.updateTable("buildpacks").set({ enabled: true }).where("name", "=", "ruby_buildpack").execute();
  });

  test("old packages and droplets expire, those in use stay", async () => {
    const { droplet: current } = await pushApp(platform, admin, space, `kept-${randomUUID()}`).then(async (pushed) => {
      app = pushed.app;
      return pushed;
    });
    for (let round = 0; round < 4; round++) await buildApp(platform, admin, app);
    const states = async (what: string) => (await admin.get(`/v3/apps/${app}/${what}?order_by=created_at`)).body.resources.map(({ state }: { state: string }) => state);
    await until(() => states("droplets"), (list) => list.filter((state: string) => state === "EXPIRED").length === 2);
    expect(await states("droplets")).toEqual(["STAGED", "EXPIRED", "EXPIRED", "STAGED", "STAGED"]);
    expect(await platform.blobs.exists(`droplets/${current}`)).toBe(true);
    expect((await states("packages"))[0], "the package of the current droplet").toBe("READY");
    expect((await platform.blobs.list("droplets/")).filter((key) => key === `droplets/${current}`)).toHaveLength(1);
  });
});

describe("droplets", () => {
  test("are uploaded by a job, assigned and downloaded", async () => {
    const made = await admin.post("/v3/droplets", { relationships: { app: relation(app) }, process_types: { web: "./x" } });
    expect([made.status, made.body.state]).toEqual([201, "AWAITING_UPLOAD"]);
    expect(made.body.links.upload.href).toMatch(/\/upload$/);
    const form = (bytes: Uint8Array<ArrayBuffer>): FormData => {
      const body = new FormData();
      body.set("bits", new Blob([bytes]), "droplet.tgz");
      return body;
    };
    const wrong = await sendForm(platform, admin, `/v3/droplets/${made.body.guid}/upload`, form(new Uint8Array([1, 2, 3])));
    expect([wrong.status, detail(wrong)]).toEqual([422, "Uploaded droplet file is invalid: it is no gzip-compressed tar archive"]);
    const sent = await sendForm(platform, admin, `/v3/droplets/${made.body.guid}/upload`, form(new Uint8Array([0x1f, 0x8b, 8, 0])));
    expect([sent.status, sent.body.state]).toEqual([202, "PROCESSING_UPLOAD"]);
    expect((await admin.job(sent)).body).toMatchObject({ operation: "droplet.upload", state: "COMPLETE" });
    expect(detail(await sendForm(platform, admin, `/v3/droplets/${made.body.guid}/upload`, form(new Uint8Array([0x1f, 0x8b]))))).toBe("Droplet may be uploaded only once. Create a new droplet to upload bits.");
    expect((await admin.patch(`/v3/apps/${app}/relationships/current_droplet`, relation(made.body.guid))).status).toBe(200);
    const deleted = await admin.delete(`/v3/droplets/${made.body.guid}`);
    expect([deleted.status, detail(deleted)]).toEqual([422, `The droplet is currently used by app with guid "${app}".`]);
    expect((await admin.get(`/v3/droplets/${made.body.guid}/download`)).status).toBe(200);
    await noTempFiles();
  });

  test("of another app cannot be assigned, and none cannot be", async () => {
    const other = await pushApp(platform, admin, space, `other-${randomUUID()}`);
    for (const body of [relation(other.droplet), relation("none"), {}]) {
      const reply = await admin.patch(`/v3/apps/${app}/relationships/current_droplet`, body);
      expect([reply.status, detail(reply)]).toEqual([422, "Unable to assign current droplet. Ensure the droplet exists and belongs to this app."]);
    }
    expect(detail(await admin.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: null }))).toBe("Current droplet cannot be removed. Replace it with a preferred droplet.");
    const copy = await admin.post(`/v3/droplets?source_guid=${other.droplet}`, { relationships: { app: relation(app) } });
    expect(copy.status).toBe(201);
    await until(() => admin.get(`/v3/droplets/${copy.body.guid}`), ({ body }) => body.state === "STAGED");
    expect((await admin.patch(`/v3/apps/${app}/relationships/current_droplet`, relation(copy.body.guid))).status).toBe(200);
    expect((await admin.get(`/v3/droplets/${copy.body.guid}`)).body.process_types).toEqual({ web: "./run" });
  });
});

test("what a crash cut off is ended at the next start", async () => {
  const { db } = platform.controller.context;
  const pkg = await newPackage();
  await db.updateTable("packages").set({ state: "PROCESSING_UPLOAD" }).where("guid", "=", pkg).execute();
  const build = randomUUID();
  await db.insertInto("builds").values({ guid: build, app_guid: app, state: "STAGING", staging_memory_in_mb: 1024, staging_disk_in_mb: 1024, buildpacks: json([]) }).execute();
  await writeFile(join(platform.tempDir, "left-over"), "x");
  const again = await platform.restart();
  expect((await again.get(`/v3/builds/${build}`)).body).toMatchObject({ state: "FAILED", error: "StagingError - The platform was restarted while this build was running. Push or restage again." });
  expect((await again.get(`/v3/packages/${pkg}`)).body).toMatchObject({ state: "FAILED", data: { error: "The platform was restarted while this package was being processed. Push again." } });
  await noTempFiles();
});

test("on a shared database only what has been silent for a while counts as left over", async () => {
  const { db } = platform.controller.context;
  const [fresh, old] = [randomUUID(), randomUUID()];
  const other = (await admin.post("/v3/apps", { name: `app-${randomUUID()}`, relationships: { space: relation(space) } })).body.guid;
  for (const [guid, app_guid, updated_at] of [[fresh, app, new Date()], [old, other, new Date(Date.now() - 120_000)]] as const)
    await db.insertInto("builds").values({ guid, app_guid, state: "STAGING", staging_memory_in_mb: 1024, staging_disk_in_mb: 1024, updated_at }).execute();
  const again = await platform.restart({ shared: true });
  expect((await again.get(`/v3/builds/${old}`)).body.state).toBe("FAILED");
  expect((await again.get(`/v3/builds/${fresh}`)).body.state).toBe("STAGING");
});

describe("over a real connection", () => {
  let port: number;
  beforeAll(async () => {
    ({ port } = await platform.controller.listen());
  });

  test("a client that goes away in the middle leaves nothing, and may come again", async () => {
    const guid = await newPackage();
    const socket = connect(port, "127.0.0.1");
    socket.write([
      `POST /v3/packages/${guid}/upload HTTP/1.1`, "Host: api.cf.test", `Authorization: bearer ${admin.token}`, "Content-Type: multipart/form-data; boundary=B", "Content-Length: 100000", "", "",
    ].join("\r\n"));
    socket.write(`--B\r\nContent-Disposition: form-data; name="bits"; filename="p.zip"\r\n\r\n${"x".repeat(1000)}`);
    await until(() => readdir(platform.tempDir), (files) => files.length === 1);
    socket.destroy();
    await noTempFiles();
    expect((await admin.get(`/v3/packages/${guid}`)).body.state).toBe("AWAITING_UPLOAD");
    expect((await upload(guid, uploadForm(await zip({ a: "b" })))).status).toBe(200);
    await settled(guid);
  });

  test("a large upload that is refused hears why", async () => {
    const guid = await newPackage();
    await upload(guid, uploadForm(await zip({ a: "b" })));
    const form = uploadForm(Buffer.alloc(8 * 1024 * 1024, 1));
    const reply = await fetch(`http://127.0.0.1:${port}/v3/packages/${guid}/upload`, { method: "POST", body: form, headers: { authorization: `bearer ${admin.token}` } });
    expect([reply.status, ((await reply.json()) as { errors: { code: number }[] }).errors[0]?.code]).toEqual([400, 150_004]);
    await settled(guid);
  });
});
