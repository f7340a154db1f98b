import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ZipFile } from "yazl";
import type { Progress } from "./progress.ts";

export interface DemoOptions {
  /** The API as any client sees it, such as `http://127.0.0.1:8080`. */
  api: string;
  user: string;
  password: string;
  /** The folder of the app. */
  appDir: string;
  name: string;
  progress: Progress;
  signal: AbortSignal;
}

interface Resource { guid: string; state?: string; error?: string | null; url?: string; droplet?: { guid: string } | null; data?: { error?: string } }

/** Pushes an app as `cf push` does, request by request, through the public API. An app that is there already is waited for, not pushed. */
export async function pushDemo({ api, user, password, appDir, name, progress, signal }: DemoOptions): Promise<{ route: string; pushed: boolean }> {
  let token = "";
  const call = async <T = Resource>(method: string, path: string, body?: unknown, raw?: { body: string | FormData; headers: Record<string, string> }): Promise<{ body: T; location: string | null }> => {
    const response = await fetch(path.startsWith("http") ? path : api + path, {
      method,
      headers: { authorization: `bearer ${token}`, accept: "application/json", ...(raw?.headers ?? (body === undefined ? {} : { "content-type": "application/json" })) },
      ...(raw ? { body: raw.body } : body === undefined ? {} : { body: JSON.stringify(body) }),
      signal,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 500)}`);
    return { body: (text === "" ? {} : JSON.parse(text)) as T, location: response.headers.get("location") };
  };
  const first = async (path: string): Promise<Resource | undefined> => (await call<{ resources: Resource[] }>("GET", path)).body.resources[0];
  const until = async <T>(what: string, limitMs: number, check: () => Promise<T | undefined>): Promise<T> => {
    for (const end = Date.now() + limitMs; Date.now() < end; await sleep(100, undefined, { signal })) {
      const found = await check();
      if (found !== undefined) return found;
    }
    throw new Error(`${what} took longer than ${limitMs / 1_000} s`);
  };
  const jobDone = (location: string | null): Promise<true> => until("the job", 60_000, async () => {
    const { body } = await call<{ state: string; errors: { detail: string }[] }>("GET", location ?? "");
    if (body.state === "FAILED") throw new Error(body.errors.map(({ detail }) => detail).join("; "));
    return body.state === "COMPLETE" ? true : undefined;
  });
  const running = (guid: string): Promise<true> => until("the start", 60_000, async () => {
    const { body } = await call<{ resources: { state: string; details?: string | null }[] }>("GET", `/v3/processes/${guid}/stats`);
    if (body.resources.some(({ state }) => state === "RUNNING")) return true;
    if (body.resources.length > 0 && body.resources.every(({ state }) => state === "CRASHED"))
      throw new Error(`the app crashed at start: ${body.resources[0]?.details ?? "see its logs"}`);
    return undefined;
  });
  const answering = (route: string): Promise<true> => until("the first answer", 30_000, async () => {
    const response = await fetch(route, { signal }).catch(() => undefined);
    await response?.arrayBuffer();
    return response?.ok ? true : undefined;
  });
  const routeOf = async (guid: string): Promise<string> => {
    const url = (await first(`/v3/apps/${guid}/routes`))?.url ?? "";
    return `${api}/~${url.split(".")[0] ?? name}/`;
  };

  const space = await progress.step("log in, org demo, space dev", async () => {
    const root = (await call<{ links: { login: { href: string } } }>("GET", "/")).body;
    const granted = await call<{ access_token: string }>("POST", `${root.links.login.href}/oauth/token`, undefined, {
      body: new URLSearchParams({ grant_type: "password", username: user, password }).toString(),
      headers: { authorization: `Basic ${Buffer.from("cf:").toString("base64")}`, "content-type": "application/x-www-form-urlencoded" },
    });
    token = granted.body.access_token;
    const org = (await first("/v3/organizations?names=demo")) ?? (await call("POST", "/v3/organizations", { name: "demo" })).body;
    return (await first(`/v3/spaces?names=dev&organization_guids=${org.guid}`)) ??
      (await call("POST", "/v3/spaces", { name: "dev", relationships: { organization: { data: { guid: org.guid } } } })).body;
  });

  const before = await first(`/v3/apps?names=${name}&space_guids=${space.guid}`);
  if (before?.state === "STARTED") {
    const route = await routeOf(before.guid);
    await progress.step(`wait for ${name}, pushed earlier`, () => answering(route));
    return { route, pushed: false };
  }

  const app = await progress.step(`create app ${name} and its route`, async () => {
    const manifest = `applications:\n- name: ${name}\n  memory: 128M\n  instances: 1\n  default-route: true\n`;
    await jobDone((await call("POST", `/v3/spaces/${space.guid}/actions/apply_manifest`, undefined, { body: manifest, headers: { "content-type": "application/x-yaml" } })).location);
    const found = await first(`/v3/apps?names=${name}&space_guids=${space.guid}`);
    if (!found) throw new Error(`the app ${name} is not there after applying its manifest`);
    return found;
  });
  const bits = await progress.step("upload its files", async () => {
    const { body } = await call("POST", "/v3/packages", { type: "bits", relationships: { app: { data: { guid: app.guid } } } });
    const form = new FormData();
    form.set("resources", "[]");
    form.set("bits", new Blob([await zip(appDir)], { type: "application/zip" }), "package.zip");
    await call("POST", `/v3/packages/${body.guid}/upload`, undefined, { body: form, headers: {} });
    return until("the upload", 60_000, async () => {
      const state = (await call("GET", `/v3/packages/${body.guid}`)).body;
      if (state.state === "FAILED") throw new Error(state.data?.error ?? "the package was refused");
      return state.state === "READY" ? state : undefined;
    });
  });
  const droplet = await progress.step("stage: buildpack, droplet", async () => {
    const { body } = await call("POST", "/v3/builds", { package: { guid: bits.guid } });
    return until("staging", 120_000, async () => {
      const state = (await call("GET", `/v3/builds/${body.guid}`)).body;
      if (state.state === "FAILED") throw new Error(state.error ?? "the build failed");
      return state.state === "STAGED" ? state.droplet : undefined;
    });
  });
  await progress.step("place and start one instance", async () => {
    await call("PATCH", `/v3/apps/${app.guid}/relationships/current_droplet`, { data: { guid: droplet?.guid } });
    await call("POST", `/v3/apps/${app.guid}/actions/start`);
    await running(app.guid);
  });
  const route = await routeOf(app.guid);
  await progress.step("first answer through the router", () => answering(route));
  return { route, pushed: true };
}

async function zip(dir: string): Promise<Buffer> {
  const file = new ZipFile();
  for (const entry of readdirSync(dir, { recursive: true, encoding: "utf8" }).sort()) {
    const path = join(dir, entry);
    if (entry.split("/").includes("node_modules") || !statSync(path).isFile()) continue;
    file.addBuffer(readFileSync(path), entry.replaceAll("\\", "/"), { mode: statSync(path).mode });
  }
  file.end();
  const parts: Buffer[] = [];
  for await (const part of file.outputStream as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}
