import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { ZipFile } from "yazl";
import { stringify } from "yaml";
import { ask } from "./http.ts";
import { until } from "./until.ts";

/** A JSON object as an API answers it; tests look into it and fail where something is missing. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly body: Json;
  constructor(request: string, status: number, body: Json) {
    super(`${request} -> ${status} ${JSON.stringify(body)?.slice(0, 800)}`);
    this.status = status;
    this.body = body;
  }
}

/** The steps of a push, in the order in which the command line asks for them. */
export const pushSteps = ["manifest-applied", "app-found", "resources-matched", "package-created", "bits-uploaded", "package-ready", "build-created", "built", "droplet-set", "restarted", "running"] as const;
export type PushStep = (typeof pushSteps)[number];

export interface Push {
  name: string;
  /** Folder to push. Exactly one of `dir` and `bits`. */
  dir?: string;
  /** The package as it is sent, for bits no honest client would make. */
  bits?: Buffer;
  /** Further keys of the application in the manifest: memory, instances, buildpacks, command, env, "random-route" ... */
  app?: Record<string, unknown>;
  /** After each step, before the next. */
  onStep?: (step: PushStep) => void | Promise<void>;
  /** Limit for staging and for starting, each. Default 90 000 ms. */
  waitMs?: number;
}

export interface Pushed {
  appGuid: string;
  packageGuid: string;
  buildGuid: string;
  dropletGuid: string;
  processGuid: string;
}

/** What `cf` does, request for request and in the same order, without its three-second pauses. */
export interface CfClient {
  readonly spaceGuid: string;
  readonly token: string;
  get(path: string): Promise<Json>;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; body: Json }>;
  /** Follows a 202's Location to its end. */
  job(location: string | undefined): Promise<Json>;
  /** Makes the organization and the space where they are missing, and aims there. */
  target(org: string, space: string): Promise<void>;
  push(push: Push): Promise<Pushed>;
  stage(packageGuid: string, waitMs?: number): Promise<Json>;
  running(processGuid: string, count: number, withinMs?: number): Promise<Json[]>;
  /** Recent lines of an app as `cf logs --recent` shows them: "[APP/PROC/WEB/0] OUT text". */
  recentLogs(appGuid: string): Promise<string[]>;
  /** A request to an app by its host name, through the platform's door. */
  app(host: string, path?: string): Promise<{ status: number; text: string }>;
}

/** Logs in with the password grant, the way `cf auth` does. */
export async function createCfClient({ api, user, password }: { api: string; user: string; password: string }): Promise<CfClient> {
  const root = await json(await ask(api));
  const door = new URL(api);
  const login = root.links.login.href as string;
  const prompts = await json(await ask(`${login}/login`, { headers: { accept: "application/json" } }));
  if (!prompts.prompts?.username) throw new Error(`no prompts at ${login}/login`);
  const grant = await json(await ask(`${login}/oauth/token`, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json", authorization: `Basic ${Buffer.from("cf:").toString("base64")}` },
    body: new URLSearchParams({ grant_type: "password", username: user, password }).toString(),
  }));
  const token = grant.access_token as string;
  let spaceGuid = "";

  const request: CfClient["request"] = async (method, path, body, headers = {}) => {
    const url = path.startsWith("http") ? path : `${api}${path}`;
    const raw = typeof body === "string" || Buffer.isBuffer(body);
    const answer = await ask(url, {
      method, timeoutMs: 60_000,
      headers: { accept: "application/json", "content-type": "application/json", authorization: `bearer ${token}`, ...headers },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
    });
    let parsed: Json = answer.text;
    try {
      parsed = JSON.parse(answer.text);
    } catch {}
    if (answer.status >= 400) throw new ApiError(`${method} ${path}`, answer.status, parsed);
    return { status: answer.status, headers: answer.headers, body: parsed };
  };
  const get = async (path: string) => (await request("GET", path)).body;

  const job: CfClient["job"] = (location) => until(`job ${location}`, async () => {
    if (!location) return { state: "COMPLETE" };
    const { body } = await request("GET", location);
    if (body.state === "FAILED") throw new Error(`job failed: ${JSON.stringify(body.errors)}`);
    return body.state === "COMPLETE" ? body : undefined;
  }, { withinMs: 60_000 });

  const follow = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
    const answer = await request(method, path, body, headers);
    return job(answer.headers["location"] as string | undefined);
  };

  const one = async (path: string, make: () => Promise<Json>) => (await get(path)).resources[0] ?? (await make());

  const final = (what: string, path: string, good: string, waitMs: number) => until(what, async () => {
    const found = await get(path);
    if (found.state === good) return found;
    if (["FAILED", "EXPIRED"].includes(found.state)) return found;
    return undefined;
  }, { withinMs: waitMs });

  const stage: CfClient["stage"] = async (packageGuid, waitMs = 90_000) => {
    const build = (await request("POST", "/v3/builds", { package: { guid: packageGuid } })).body;
    return final(`build ${build.guid} of package ${packageGuid}`, `/v3/builds/${build.guid}`, "STAGED", waitMs);
  };

  const running: CfClient["running"] = (processGuid, count, withinMs = 90_000) => until(`${count} running instances of ${processGuid}`, async () => {
    const { resources } = await get(`/v3/processes/${processGuid}/stats`);
    return resources.filter((instance: Json) => instance.state === "RUNNING").length >= count ? resources : undefined;
  }, { withinMs });

  const push: CfClient["push"] = async ({ name, dir, bits, app = {}, onStep = () => {}, waitMs = 90_000 }) => {
    const manifest = stringify({ applications: [{ name, "default-route": true, ...app }] });
    await request("POST", `/v3/spaces/${spaceGuid}/manifest_diff`, manifest, { "content-type": "application/x-yaml" });
    await follow("POST", `/v3/spaces/${spaceGuid}/actions/apply_manifest`, manifest, { "content-type": "application/x-yaml" });
    await onStep("manifest-applied");
    const found = (await get(`/v3/apps?names=${encodeURIComponent(name)}&space_guids=${spaceGuid}`)).resources[0];
    if (!found) throw new Error(`the manifest made no app ${name}`);
    await onStep("app-found");

    const files = dir ? await filesOf(dir) : [];
    const matched: Json[] = dir ? (await request("POST", "/v3/resource_matches", {
      resources: files.map(({ path, mode, sha1, size }) => ({ path, mode, checksum: { value: sha1 }, size_in_bytes: size })),
    })).body.resources : [];
    await onStep("resources-matched");
    const pack = (await request("POST", "/v3/packages", { type: "bits", relationships: { app: { data: { guid: found.guid } } } })).body;
    await onStep("package-created");
    const known = new Set(matched.map((resource) => resource.path as string));
    const rest = files.filter(({ path }) => !known.has(path));
    const archive = bits ?? (rest.length > 0 ? await zipOf(rest) : undefined);
    const { contentType, body } = multipart([
      { name: "resources", content: JSON.stringify(matched) },
      ...(archive ? [{ name: "bits", filename: "package.zip", content: archive }] : []),
    ]);
    await request("POST", `/v3/packages/${pack.guid}/upload`, body, { "content-type": contentType });
    await onStep("bits-uploaded");
    const ready = await final(`package ${pack.guid}`, `/v3/packages/${pack.guid}`, "READY", 60_000);
    if (ready.state !== "READY") throw new Error(`package ${ready.state}: ${ready.data?.error}`);
    await onStep("package-ready");

    const build = (await request("POST", "/v3/builds", { package: { guid: pack.guid } })).body;
    await onStep("build-created");
    const built = await final(`build ${build.guid}`, `/v3/builds/${build.guid}`, "STAGED", waitMs);
    if (built.state !== "STAGED") throw new Error(`build ${built.state}: ${built.error}`);
    const dropletGuid = built.droplet.guid as string;
    await get(`/v3/droplets/${dropletGuid}`);
    await onStep("built");
    await request("PATCH", `/v3/apps/${found.guid}/relationships/current_droplet`, { data: { guid: dropletGuid } });
    await onStep("droplet-set");
    await request("POST", `/v3/apps/${found.guid}/actions/restart`);
    await onStep("restarted");
    const processes = (await get(`/v3/apps/${found.guid}/processes`)).resources;
    const web = processes.find((candidate: Json) => candidate.type === "web");
    if (web.instances > 0) {
      await until(`an instance of ${name} runs`, async () => {
        const { resources } = await get(`/v3/processes/${web.guid}/stats`);
        if (resources.length > 0 && resources.every((instance: Json) => instance.state === "CRASHED")) return "CRASHED";
        return resources.some((instance: Json) => instance.state === "RUNNING") ? "RUNNING" : undefined;
      }, { withinMs: waitMs }).then((state) => {
        if (state === "CRASHED") throw new Error(`all instances of ${name} crashed`);
      });
    }
    await onStep("running");
    return { appGuid: found.guid, packageGuid: pack.guid, buildGuid: build.guid, dropletGuid, processGuid: web.guid };
  };

  return {
    get spaceGuid() {
      return spaceGuid;
    },
    token, get, request, job, push, stage, running,
    async target(org, space) {
      const organization = await one(`/v3/organizations?names=${encodeURIComponent(org)}`, async () => (await request("POST", "/v3/organizations", { name: org, suspended: false })).body);
      const found = await one(`/v3/spaces?names=${encodeURIComponent(space)}&organization_guids=${organization.guid}`,
        async () => (await request("POST", "/v3/spaces", { name: space, relationships: { organization: { data: { guid: organization.guid } } } })).body);
      spaceGuid = found.guid;
    },
    async recentLogs(appGuid) {
      const { href } = (await get("/")).links.log_cache;
      const { envelopes } = await get(`${href}/api/v1/read/${appGuid}?envelope_types=LOG&limit=1000&descending=true&start_time=-6795364578871345152`);
      return (envelopes.batch as Json[]).reverse().map(({ log, tags, instance_id }) =>
        `[${tags.source_type}/${instance_id}] ${log.type ?? "OUT"} ${Buffer.from(log.payload, "base64").toString()}`);
    },
    async app(host, path = "/") {
      return ask(`${door.origin}${path}`, { host });
    },
  };
}

async function json(answer: { status: number; text: string }): Promise<Json> {
  if (answer.status >= 400) throw new ApiError("login", answer.status, answer.text);
  return JSON.parse(answer.text);
}

interface LocalFile {
  path: string;
  mode: string;
  sha1: string;
  size: number;
  content: Buffer;
}

async function filesOf(folder: string): Promise<LocalFile[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return Promise.all(entries.filter((entry) => entry.isFile()).map(async (entry) => {
    const file = join(entry.parentPath, entry.name);
    const content = await readFile(file);
    return {
      path: relative(folder, file).split(sep).join("/"), content, size: content.length,
      mode: ((await stat(file)).mode & 0o777).toString(8), sha1: createHash("sha1").update(content).digest("hex"),
    };
  }));
}

function zipOf(files: readonly LocalFile[]): Promise<Buffer> {
  const zip = new ZipFile();
  for (const { path, content, mode } of files) zip.addBuffer(content, path, { mode: 0o100000 | Number.parseInt(mode, 8) });
  zip.end();
  return collect(zip.outputStream);
}

async function collect(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** A zip file of this folder, as `cf push -p FILE.zip` takes it. */
export async function zipFolder(folder: string): Promise<Buffer> {
  return zipOf(await filesOf(folder));
}

function multipart(parts: readonly { name: string; filename?: string; content: string | Buffer }[]): { contentType: string; body: Buffer } {
  const boundary = "----opencf-test-boundary-5f3a";
  const body = Buffer.concat([
    ...parts.flatMap(({ name, filename, content }) => [
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${filename ? `; filename="${filename}"\r\nContent-Type: application/zip` : ""}\r\n\r\n`),
      Buffer.from(content), Buffer.from("\r\n"),
    ]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
  return { contentType: `multipart/form-data; boundary=${boundary}`, body };
}
