import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readConfig } from "../config.ts";
import { startPaas, type Paas } from "../main.ts";
import { temporaryFolder } from "./support/bundle.ts";
import { testTemplate } from "./support/template.ts";
import { form, wire } from "./uaa/harness.ts";

vi.setConfig({ testTimeout: 60_000 });

// Identity and logs as a client meets them: through the router, by name and under paths of a bare address.

let folder: { path: string } & AsyncDisposable;
let paas: Paas;
let base = "";
beforeAll(async () => {
  folder = await temporaryFolder();
  const config = readConfig(["--port", "0", "--data-dir", folder.path, "--no-demo"]);
  if (!config) throw new Error("no configuration");
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  paas = await startPaas({
    config: { ...config, roles: ["blobs", "logs", "uaa", "controller", "router"] },
    adminPassword: "the password", databaseTemplate: await testTemplate(), log: () => silent,
  });
  base = `http://127.0.0.1:${String(paas.address?.port)}`;
});
afterAll(async () => {
  await paas[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const loginForm = { Authorization: "Basic Y2Y6", "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" };
const port = () => new URL(base).port;

describe.each([
  ["a bare address", () => ({}), "/uaa", () => `${base}/uaa`, "/log-cache"],
  ["names", () => ({ Host: `uaa.cf.localhost:${port()}` }), "", () => `http://uaa.cf.localhost:${port()}`, ""],
])("by %s", (form_, host, prefix, uaaUrl, logPrefix) => {
  test("links come back in the form in which they were asked for, and a login works", async () => {
    const info = await wire(base, "GET", `${prefix}/login`, { ...host(), Authorization: "" });
    expect(info.json.links.uaa).toBe(uaaUrl());
    const root = await wire(base, "GET", "/", form_ === "names" ? { Host: `api.cf.localhost:${port()}` } : {});
    expect([root.json.links.uaa.href, root.json.links.login.href]).toEqual([uaaUrl(), info.json.links.login]);
    const login = await wire(base, "POST", `${prefix}/oauth/token`, { ...host(), ...loginForm }, form({ grant_type: "password", username: "admin", password: "the password" }));
    expect(login.status).toBe(200);
    const token = login.json.access_token as string;
    const orgs = await wire(base, "GET", "/v3/organizations", { Authorization: `bearer ${token}`, ...(form_ === "names" && { Host: `api.cf.localhost:${port()}` }) });
    expect(orgs.status).toBe(200);
    const logHost: Record<string, string> = form_ === "names" ? { Host: `log-cache.cf.localhost:${port()}` } : {};
    expect((await wire(base, "GET", `${logPrefix}/api/v1/info`, logHost)).json.version).toMatch(/^2\./);
    const strange = await wire(base, "GET", `${logPrefix}/api/v1/read/5d9f2d4e-0000-4000-8000-000000000000`, { ...logHost, Authorization: "bearer nonsense" });
    expect(strange.status).toBe(404);
  });
});

test("wrong passwords from one address lock that address out, as the router saw it", async () => {
  const attempt = (password: string, forged: string) =>
    wire(base, "POST", "/uaa/oauth/token", { ...loginForm, "X-Forwarded-For": forged }, form({ grant_type: "password", username: "somebody", password }));
  for (let i = 0; i < 5; i += 1) expect((await attempt("wrong", `192.0.2.${i}`)).json.error_description).toBe("Bad credentials");
  expect((await attempt("wrong", "192.0.2.99")).json.error_description).toBe("Your account has been locked because of too many failed attempts to login.");
});
