import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { ZipFile } from "yazl";
import { createBlobClient, openFolderBlobstore, startBlobs, type BlobClient } from "../../blobstore/index.ts";
import { appModule, type AppModuleOptions } from "../../controller/app-module.ts";
import { coreModules } from "../../controller/modules.ts";
import { StageFailure, type ActualInstance, type InstanceStats, type Runtime, type StageRequest, type StageResult } from "../../controller/runtime/runtime.ts";
import { startTestController, testDomain, type Client, type Reply, type TestController } from "./controller.ts";

/** A running world that does what a test tells it: builds end as `stager` says, instances are what `instances` holds. */
export interface ScriptedRuntime extends Runtime {
  readonly converged: string[];
  readonly lines: { appGuid: string; line: string }[];
  readonly staged: StageRequest[];
  readonly stopped: { processGuid: string; index: number }[];
  readonly actual: Map<string, ActualInstance[]>;
  /** What a build does; default: it uploads a small droplet with a web process. */
  stager: (request: StageRequest, options: { signal?: AbortSignal }) => Promise<StageResult>;
}

export function scriptedRuntime(): ScriptedRuntime {
  const runtime: ScriptedRuntime = {
    converged: [], lines: [], staged: [], stopped: [], actual: new Map(),
    stager: uploadDroplet(),
    converge: (guids) => void runtime.converged.push(...guids),
    instances: (guid) => runtime.actual.get(guid) ?? [],
    stats: (guid) => Promise.resolve((runtime.actual.get(guid) ?? []).map((instance): InstanceStats => ({
      ...instance, uptimeSeconds: 12.7, usage: { time: "2024-05-01T10:00:00Z", cpu: 0.25, mem: 1_000_000.4, disk: 2_000_000, logRate: 3.6 },
    }))),
    stopInstance: (processGuid, index) => Promise.resolve(void runtime.stopped.push({ processGuid, index })),
    stage: (request, options = {}) => {
      runtime.staged.push(request);
      return runtime.stager(request, options);
    },
    cancelStaging: () => undefined,
    log: (appGuid, line) => void runtime.lines.push({ appGuid, line }),
  };
  return runtime;
}

/** A stager's answer: puts bytes where the droplet belongs, over real HTTP. */
export const uploadDroplet = (result: Partial<StageResult> = {}, bytes = "droplet") => async (request: StageRequest): Promise<StageResult> => {
  const pkg = await fetch(request.packageUrl);
  if (!pkg.ok) throw new StageFailure("StagingError", `the package cannot be read: ${pkg.status}`);
  await pkg.arrayBuffer();
  const answer = await fetch(request.dropletUploadUrl, { method: "PUT", body: `${bytes} ${randomUUID()}` });
  const { sha1, sha256, size_bytes } = (await answer.json()) as { sha1: string; sha256: string; size_bytes: number };
  return {
    sha1, sha256, sizeBytes: size_bytes, processTypes: { web: "./run" }, sidecars: [],
    buildpacks: [{ key: "binary_buildpack", name: "binary", version: "1.0", detectOutput: "binary", buildpackName: "binary" }], detectedBuildpack: "binary", ...result,
  };
};

export interface TestApps extends TestController {
  readonly runtime: ScriptedRuntime;
  readonly blobs: BlobClient;
  readonly tempDir: string;
  /** Starts a second controller on the same database, as after a crash of the first; answers its admin. */
  restart(options?: { shared?: boolean }): Promise<Client>;
}

/** The controller with its app side over a real database and a real blobstore; only what runs is scripted. */
export async function startTestApps({ limits, services, updater, runtime = scriptedRuntime() }: Partial<Pick<AppModuleOptions, "limits" | "services" | "updater">> & { runtime?: ScriptedRuntime } = {}): Promise<TestApps> {
  const folder = await mkdtemp(join(tmpdir(), "opencf-test-apps-"));
  const secret = "a secret of at least sixteen characters";
  const store = await openFolderBlobstore(join(folder, "blobs"), { durable: false });
  const server = await startBlobs({ store, secret });
  const blobs = createBlobClient({ baseUrl: () => Promise.resolve(server.url), secret });
  const tempDir = join(folder, "tmp");
  const module = (shared: boolean) => appModule({ shared, runtime, blobs, apiUrl: `http://api.${testDomain}`, tempDir, ...(services && { services }), ...(updater && { updater }), limits: { longPollMs: 300, ...limits } });
  const platform = await startTestController({ modules: [...coreModules, module(false)], systemBuildpacks: [{ name: "binary_buildpack" }, { name: "ruby_buildpack" }] });
  const others: TestController[] = [];
  return {
    ...platform, runtime, blobs, tempDir,
    async restart({ shared = false } = {}) {
      const other = await startTestController({ modules: [...coreModules, module(shared)], db: platform.controller.context.db });
      others.push(other);
      return other.admin;
    },
    async [Symbol.asyncDispose]() {
      for (const other of others) await other[Symbol.asyncDispose]();
      await platform[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const relation = (guid: string) => ({ data: { guid } });
export const detail = (reply: Reply): string => reply.body.errors?.[0]?.detail ?? "";

/** A zip of files by name. */
export async function zip(files: Record<string, string>): Promise<Buffer> {
  const archive = new ZipFile();
  for (const [name, text] of Object.entries(files)) archive.addBuffer(Buffer.from(text), name, { mode: 0o100644 });
  archive.end();
  return buffer(archive.outputStream as Readable);
}

/** Sends a multipart body, as the command line does. */
export async function sendForm({ controller }: TestController, client: Client, path: string, form: FormData): Promise<Reply> {
  const encoded = new Response(form);
  const response = await controller.api.fastify.inject({
    method: "POST", url: path, payload: Buffer.from(await encoded.arrayBuffer()),
    headers: { host: `api.${testDomain}`, authorization: `bearer ${client.token}`, "content-type": encoded.headers.get("content-type") ?? "" },
  });
  return { status: response.statusCode, body: /json/.test(String(response.headers["content-type"])) ? response.json() : response.payload, headers: response.headers as Reply["headers"] };
}

export function uploadForm(bits?: Buffer, resources?: unknown): FormData {
  const form = new FormData();
  if (resources !== undefined) form.set("resources", typeof resources === "string" ? resources : JSON.stringify(resources));
  if (bits) form.set("bits", new Blob([new Uint8Array(bits)], { type: "application/zip" }), "package.zip");
  return form;
}

/** Asks until the answer is as wanted, at most ten seconds. */
export async function until<T>(ask: () => Promise<T>, done: (value: T) => boolean): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    const value = await ask();
    if (done(value)) return value;
    if (Date.now() > end) throw new Error(`it does not come: ${JSON.stringify(value)}`);
    await new Promise((go) => setTimeout(go, 10));
  }
}

/** Creates an app, pushes a file, builds it and makes the droplet current. */
export async function pushApp(platform: TestApps, client: Client, spaceGuid: string, name: string): Promise<{ app: string; pkg: string; build: string; droplet: string }> {
  const app = await client.post("/v3/apps", { name, relationships: { space: relation(spaceGuid) } });
  if (app.status !== 201) throw new Error(JSON.stringify(app.body));
  const { pkg, build, droplet } = await buildApp(platform, client, app.body.guid);
  const assigned = await client.patch(`/v3/apps/${app.body.guid}/relationships/current_droplet`, relation(droplet));
  if (assigned.status !== 200) throw new Error(JSON.stringify(assigned.body));
  return { app: app.body.guid, pkg, build, droplet };
}

export async function buildApp(platform: TestApps, client: Client, app: string): Promise<{ pkg: string; build: string; droplet: string }> {
  const pkg = await uploadPackage(platform, client, app);
  const build = await client.post("/v3/builds", { package: { guid: pkg } });
  if (build.status !== 201) throw new Error(JSON.stringify(build.body));
  const done = await until(() => client.get(`/v3/builds/${build.body.guid}`), ({ body }) => body.state !== "STAGING");
  if (done.body.state !== "STAGED") throw new Error(JSON.stringify(done.body));
  return { pkg, build: build.body.guid, droplet: done.body.droplet.guid };
}

export async function uploadPackage(platform: TestApps, client: Client, app: string, files: Record<string, string> = { "run.sh": "echo hi" }): Promise<string> {
  const pkg = await client.post("/v3/packages", { type: "bits", relationships: { app: relation(app) } });
  const sent = await sendForm(platform, client, `/v3/packages/${pkg.body.guid}/upload`, uploadForm(await zip(files)));
  if (sent.status !== 200) throw new Error(JSON.stringify(sent.body));
  await until(() => client.get(`/v3/packages/${pkg.body.guid}`), ({ body }) => body.state === "READY");
  return pkg.body.guid as string;
}
