import { randomUUID } from "node:crypto";
import { checkCatalog } from "./catalog-check.ts";
import type { Catalog, Plan, ServiceOffering } from "./catalog.ts";
import { isObject, type JsonObject } from "./json.ts";

export interface ConformanceOptions {
  /** Address of the broker, without `/v2`. */
  url: string;
  username: string;
  password: string;
  /** Plan to try, by id or name. Default: the first plan of the first offering. */
  plan?: string;
  /** Parameters for provision. Default: none. */
  parameters?: JsonObject;
  /** Parameters for bind. Default: none. */
  bindParameters?: JsonObject;
  /** Limit of one request. Default 60 000 ms. */
  timeoutMs?: number;
  signal?: AbortSignal;
  fetch?: (url: string, init?: RequestInit) => Promise<Response>;
}

export interface ConformanceResult {
  name: string;
  result: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  reason?: string;
}

interface Answer { status: number; body: unknown; headers: Headers }
interface Ask { method?: string; query?: Record<string, string>; body?: unknown; headers?: Record<string, string | undefined> }

/** State the cases share: they run in order, like a platform's day with the broker. */
interface Scene {
  ask(path: string, ask?: Ask): Promise<Answer>;
  service: ServiceOffering;
  plan: Plan;
  instance: string;
  binding: string;
  provisionBody: JsonObject;
  bindBody: JsonObject;
  ids: Record<string, string>;
  bindable: boolean;
}

class Skip extends Error {}

const demand = (fine: boolean, otherwise: string): void => { if (!fine) throw new Error(otherwise); };
const shown = ({ status, body }: Answer): string => `${status} ${JSON.stringify(body)?.slice(0, 200) ?? "(no JSON)"}`;

function is(answer: Answer, ...statuses: number[]): void {
  if (answer.status === 422 && isObject(answer.body) && answer.body["error"] === "AsyncRequired" && !statuses.includes(422)) throw new Skip("this plan works asynchronously only; this list checks synchronous brokers");
  demand(statuses.includes(answer.status), `expected ${statuses.join(" or ")}, got ${shown(answer)}`);
  demand(isObject(answer.body), `the answer must be a JSON object, got ${shown(answer)}`);
  if (answer.status >= 400 && answer.status !== 410) {
    const { description, error } = answer.body as JsonObject;
    demand(description === undefined || (typeof description === "string" && description !== ""), "description must be non-empty text");
    demand(error === undefined || (typeof error === "string" && /^\w+$/.test(error)), "error must be one word");
  }
}

type Case = readonly [name: string, run: (scene: Scene) => Promise<void>];

const outside: readonly Case[] = [
  ["catalog: 401 without credentials", async ({ ask }) => is(await ask("/v2/catalog", { headers: { authorization: undefined } }), 401)],
  ["catalog: 401 with a wrong password", async ({ ask }) => is(await ask("/v2/catalog", { headers: { authorization: `Basic ${Buffer.from("nobody:nothing").toString("base64")}` } }), 401)],
  ["catalog: 412 or 400 without the version header", async ({ ask }) => is(await ask("/v2/catalog", { headers: { "x-broker-api-version": undefined } }), 412, 400)],
  ["catalog: 412 for version 1.0", async ({ ask }) => is(await ask("/v2/catalog", { headers: { "x-broker-api-version": "1.0" } }), 412)],
  ["catalog: newer minor versions are accepted", async ({ ask }) => is(await ask("/v2/catalog", { headers: { "x-broker-api-version": "2.99" } }), 200)],
];

const inside: readonly Case[] = [
  ["the request identity is echoed", async ({ ask }) => {
    const answer = await ask("/v2/catalog", { headers: { "x-broker-api-request-identity": "e26cee84-6b38-4456-b34e-d1a9f002c956" } });
    demand(answer.headers.get("x-broker-api-request-identity") === "e26cee84-6b38-4456-b34e-d1a9f002c956", "the header X-Broker-API-Request-Identity is missing or another");
  }],
  ["provision: 401 without credentials", async ({ ask, instance, provisionBody }) => is(await ask(instance, { method: "PUT", body: provisionBody, headers: { authorization: undefined } }), 401)],
  ...["service_id", "plan_id", "organization_guid", "space_guid"].map((field): Case => [`provision: 400 without ${field}`, async ({ ask, instance, provisionBody }) =>
    is(await ask(instance, { method: "PUT", body: { ...provisionBody, [field]: undefined } }), 400)]),
  ["provision: 400 for an unknown service", async ({ ask, instance, provisionBody }) => is(await ask(instance, { method: "PUT", body: { ...provisionBody, service_id: randomUUID() } }), 400)],
  ["provision: 400 for an unknown plan", async ({ ask, instance, provisionBody }) => is(await ask(instance, { method: "PUT", body: { ...provisionBody, plan_id: randomUUID() } }), 400)],
  ["provision: 400 for a body that is not JSON", async ({ ask, instance }) => is(await ask(instance, { method: "PUT", body: "{" }), 400)],
  ["provision: 422 MaintenanceInfoConflict for a version that is not offered", async ({ ask, instance, provisionBody }) => {
    const answer = await ask(instance, { method: "PUT", body: { ...provisionBody, maintenance_info: { version: "9999.0.0" } } });
    is(answer, 422);
    demand((answer.body as JsonObject)["error"] === "MaintenanceInfoConflict", `expected error MaintenanceInfoConflict, got ${shown(answer)}`);
  }],
  ["deprovision: 410 for an instance that never was", async ({ ask, ids }) => is(await ask(`/v2/service_instances/${randomUUID()}`, { method: "DELETE", query: ids }), 410)],
  ["provision: 201, unknown fields ignored", async ({ ask, instance, provisionBody }) => is(await ask(instance, { method: "PUT", body: { ...provisionBody, x_unknown: { deep: [1] } } }), 201)],
  ["provision: 200 for the same again", async ({ ask, instance, provisionBody }) => is(await ask(instance, { method: "PUT", body: provisionBody }), 200)],
  ["provision: 409 for the same id with other values", async ({ ask, instance, provisionBody, service, plan }) => {
    const other = service.plans.find(({ id }) => id !== plan.id);
    if (other !== undefined) return is(await ask(instance, { method: "PUT", body: { ...provisionBody, plan_id: other.id } }), 409);
    // With one plan only the parameters can differ, and a broker may look at their schema first.
    is(await ask(instance, { method: "PUT", body: { ...provisionBody, parameters: { "x-conformance": randomUUID() } } }), 409, 400);
  }],
  ["fetch instance: 200 with its service and plan", async ({ ask, instance, service, plan }) => {
    if (service.instances_retrievable !== true) throw new Skip("instances_retrievable is not set");
    const answer = await ask(instance);
    is(answer, 200);
    const { service_id, plan_id } = answer.body as JsonObject;
    demand((service_id ?? service.id) === service.id && (plan_id ?? plan.id) === plan.id, `service_id or plan_id is another: ${shown(answer)}`);
  }],
  ["update: 400 without service_id", async ({ ask, instance }) => is(await ask(instance, { method: "PATCH", body: { context: {} } }), 400)],
  ["update: 200 for empty parameters and the same plan", async ({ ask, instance, ids }) => is(await ask(instance, { method: "PATCH", body: { ...ids, parameters: {} } }), 200)],
  ["bind: 400 without service_id", async ({ ask, binding, bindBody, bindable }) => { demandBindable(bindable); is(await ask(binding, { method: "PUT", body: { ...bindBody, service_id: undefined } }), 400); }],
  ["bind: 400 without plan_id", async ({ ask, binding, bindBody, bindable }) => { demandBindable(bindable); is(await ask(binding, { method: "PUT", body: { ...bindBody, plan_id: undefined } }), 400); }],
  ["unbind: 410 for a binding that never was", async ({ ask, instance, ids, bindable }) => { demandBindable(bindable); is(await ask(`${instance}/service_bindings/${randomUUID()}`, { method: "DELETE", query: ids }), 410); }],
  ["bind: 201", async ({ ask, binding, bindBody, bindable }) => { demandBindable(bindable); is(await ask(binding, { method: "PUT", body: bindBody }), 201); }],
  ["bind: 200 and the same body for the same again", async ({ ask, binding, bindBody, bindable }) => {
    demandBindable(bindable);
    const answer = await ask(binding, { method: "PUT", body: bindBody });
    is(answer, 200);
    demand(isObject((answer.body as JsonObject)["credentials"] ?? {}), "credentials must be an object");
  }],
  ["bind: 409 for the same id with another app", async ({ ask, binding, bindBody, bindable }) => {
    demandBindable(bindable);
    const app_guid = randomUUID();
    is(await ask(binding, { method: "PUT", body: { ...bindBody, app_guid, bind_resource: { app_guid } } }), 409);
  }],
  ["fetch binding: 200", async ({ ask, binding, service, bindable }) => {
    demandBindable(bindable);
    if (service.bindings_retrievable !== true) throw new Skip("bindings_retrievable is not set");
    is(await ask(binding), 200);
  }],
  ["unbind: 400 without service_id or plan_id", async ({ ask, binding, ids, bindable }) => {
    demandBindable(bindable);
    is(await ask(binding, { method: "DELETE", query: { plan_id: ids["plan_id"] ?? "" } }), 400);
    is(await ask(binding, { method: "DELETE", query: { service_id: ids["service_id"] ?? "" } }), 400);
  }],
  ["unbind: 200 with an object", async ({ ask, binding, ids, bindable }) => { demandBindable(bindable); is(await ask(binding, { method: "DELETE", query: ids }), 200); }],
  ["unbind: 410 the second time", async ({ ask, binding, ids, bindable }) => { demandBindable(bindable); is(await ask(binding, { method: "DELETE", query: ids }), 410); }],
  ["deprovision: 400 without service_id or plan_id", async ({ ask, instance, ids }) => {
    is(await ask(instance, { method: "DELETE", query: { plan_id: ids["plan_id"] ?? "" } }), 400);
    is(await ask(instance, { method: "DELETE", query: { service_id: ids["service_id"] ?? "" } }), 400);
  }],
  ["deprovision: 200 with an object", async ({ ask, instance, ids }) => is(await ask(instance, { method: "DELETE", query: ids }), 200)],
  ["deprovision: 410 the second time", async ({ ask, instance, ids }) => is(await ask(instance, { method: "DELETE", query: ids }), 410)],
  ["fetch instance: 404 when it is gone", async ({ ask, instance, service }) => {
    if (service.instances_retrievable !== true) throw new Skip("instances_retrievable is not set");
    is(await ask(instance), 404);
  }],
];

function demandBindable(bindable: boolean): void {
  if (!bindable) throw new Skip("the plan is not bindable");
}

/**
 * Tries a running broker the way a platform would, and yields a result per case: credentials, version, catalog, and one
 * instance and one binding through their whole lives on one plan. Synchronous operations only. What it made, it deletes.
 *
 * Not covered: asynchronous operations, concurrency, rotation, plan changes, time limits.
 */
export async function* checkBroker(options: ConformanceOptions): AsyncGenerator<ConformanceResult> {
  const ask = asker(options);
  const early: Omit<Scene, "service" | "plan"> = { ask, instance: "", binding: "", provisionBody: {}, bindBody: {}, ids: {}, bindable: false };
  for (const one of outside) yield await outcomeOf(one, early as Scene);

  let catalog: Catalog | undefined;
  yield await outcomeOf(["catalog: 200 and without fault", async () => {
    const answer = await ask("/v2/catalog");
    is(answer, 200);
    const { issues } = checkCatalog(answer.body);
    demand(issues.length === 0, issues.join("; "));
    catalog = answer.body as Catalog;
  }], early as Scene);
  const found = catalog && choose(catalog, options.plan);
  if (found === undefined) {
    yield { name: "a plan to try", result: "failed", reason: catalog === undefined ? "there is no usable catalog" : `the catalog has no plan ${options.plan}` };
    return;
  }
  const scene = sceneFor(ask, found, options);
  try {
    for (const one of inside) yield await outcomeOf(one, scene);
  } finally {
    // Also after a failure half way: nothing of ours stays behind. Both are quiet when there is nothing.
    await ask(scene.binding, { method: "DELETE", query: scene.ids }).catch(() => {});
    await ask(scene.instance, { method: "DELETE", query: scene.ids }).catch(() => {});
  }
}

async function outcomeOf([name, run]: Case, scene: Scene): Promise<ConformanceResult> {
  try {
    await run(scene);
    return { name, result: "passed" };
  } catch (error) {
    return { name, result: error instanceof Skip ? "skipped" : "failed", reason: (error as Error).message };
  }
}

function choose(catalog: Catalog, wanted: string | undefined): { service: ServiceOffering; plan: Plan } | undefined {
  const all = catalog.services.flatMap((service) => service.plans.map((plan) => ({ service, plan })));
  return wanted === undefined ? all[0] : all.find(({ plan }) => plan.id === wanted || plan.name === wanted);
}

function sceneFor(ask: Scene["ask"], { service, plan }: { service: ServiceOffering; plan: Plan }, { parameters, bindParameters }: ConformanceOptions): Scene {
  const instance = `/v2/service_instances/${randomUUID()}`;
  const ids = { service_id: service.id, plan_id: plan.id };
  const [organization_guid, space_guid, app_guid] = [randomUUID(), randomUUID(), randomUUID()];
  const context = { platform: "cloudfoundry", organization_guid, space_guid, organization_name: "conformance", space_name: "conformance" };
  return {
    ask, service, plan, instance, binding: `${instance}/service_bindings/${randomUUID()}`, ids, bindable: plan.bindable ?? service.bindable,
    provisionBody: { ...ids, organization_guid, space_guid, context: { ...context, instance_name: "conformance" }, ...(parameters && { parameters }) },
    bindBody: { ...ids, context, app_guid, bind_resource: { app_guid, space_guid }, ...(bindParameters && { parameters: bindParameters }) },
  };
}

function asker({ url, username, password, timeoutMs = 60_000, signal, fetch = globalThis.fetch }: ConformanceOptions): Scene["ask"] {
  const base = url.replace(/\/+$/, "");
  const standard: Record<string, string> = {
    authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
    "x-broker-api-version": "2.17", accept: "application/json",
  };
  return async (path, { method = "GET", query, body, headers = {} } = {}) => {
    const sent = new Headers();
    for (const [name, value] of Object.entries({ ...standard, ...(body !== undefined && { "content-type": "application/json" }), ...headers })) if (value !== undefined) sent.set(name, value);
    const limit = AbortSignal.timeout(timeoutMs);
    const response = await fetch(`${base}${path}${query ? `?${new URLSearchParams(query)}` : ""}`, {
      method, headers: sent, redirect: "manual", signal: signal ? AbortSignal.any([signal, limit]) : limit,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parse(text) };
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
