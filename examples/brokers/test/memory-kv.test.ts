import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkBroker } from "@opencf/broker-api/conformance";
import type { BrokerServer } from "@opencf/broker-api/node";
import { catalog, start } from "../memory-kv.ts";

let server: BrokerServer;
beforeEach(async () => { server = await start({ port: 0, username: "admin", password: "secret" }); });
afterEach(() => server[Symbol.asyncDispose]());

const basic = (username: string, password: string): string => `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
const [service] = catalog.services;
const [tiny, small] = service?.plans ?? [];
const ids = { service_id: service?.id, plan_id: tiny?.id };

async function broker(method: string, path: string, body?: object) {
  const response = await fetch(`${server.url}/v2/service_instances/${path}`, {
    method, headers: { authorization: basic("admin", "secret"), "x-broker-api-version": "2.17", "content-type": "application/json" }, ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
const make = (more: object = {}) => broker("PUT", "i1", { ...ids, organization_guid: "o", space_guid: "s", ...more });

interface Access { uri: string; username: string; password: string }
async function bind(id: string, parameters: object = {}): Promise<Access> {
  const { status, body } = await broker("PUT", `i1/service_bindings/${id}`, { ...ids, parameters });
  expect(status).toBe(201);
  return body["credentials"] as Access;
}
async function kv(access: Access, method: string, key: string, value?: string) {
  const response = await fetch(`${access.uri}/${key}`, { method, headers: { authorization: basic(access.username, access.password) }, ...(value !== undefined && { body: value }) });
  return { status: response.status, text: await response.text() };
}

test("it conforms, on both plans", async () => {
  for (const plan of ["tiny", "small"]) {
    const results = [];
    for await (const one of checkBroker({ url: server.url, username: "admin", password: "secret", plan, parameters: { max_keys: 5 } })) results.push(one);
    expect(results.filter(({ result }) => result !== "passed")).toEqual([]);
  }
});

describe("as a store", () => {
  test("what one binding writes the other reads; a key can go again", async () => {
    await make();
    const [writer, reader] = [await bind("w"), await bind("r", { read_only: true })];
    expect((await kv(writer, "PUT", "greeting", "hellö")).status).toBe(204);
    expect(await kv(reader, "GET", "greeting")).toEqual({ status: 200, text: "hellö" });
    expect(await kv(reader, "GET", "")).toEqual({ status: 200, text: '["greeting"]' });
    expect((await kv(reader, "PUT", "greeting", "x")).status).toBe(403);
    expect((await kv(writer, "DELETE", "greeting")).status).toBe(204);
    expect((await kv(reader, "GET", "greeting")).status).toBe(404);
  });

  test("credentials end with their binding, and open no other store", async () => {
    await make();
    const access = await bind("b");
    await broker("PUT", "i2", { ...ids, organization_guid: "o", space_guid: "s" });
    expect((await kv({ ...access, uri: access.uri.replace("i1", "i2") }, "GET", "")).status).toBe(401);
    expect((await kv({ ...access, password: "guess" }, "GET", "")).status).toBe(401);
    expect((await broker("DELETE", `i1/service_bindings/b?service_id=${ids.service_id}&plan_id=${ids.plan_id}`)).status).toBe(200);
    expect((await kv(access, "GET", "")).status).toBe(401);
  });

  test("a full store says so, and a larger plan helps", async () => {
    expect((await make({ parameters: { max_keys: 2 } })).status).toBe(201);
    const access = await bind("b");
    for (const [key, status] of [["a", 204], ["b", 204], ["c", 507], ["a", 204]] as const) expect((await kv(access, "PUT", key, "1")).status).toBe(status);
    expect((await broker("PATCH", "i1", { service_id: ids.service_id, plan_id: small?.id, parameters: { max_keys: 3 } })).status).toBe(200);
    expect((await kv(access, "PUT", "c", "1")).status).toBe(204);
    const smaller = await broker("PATCH", "i1", { service_id: ids.service_id, parameters: { max_keys: 1 } });
    expect(smaller).toMatchObject({ status: 400, body: { description: "the store holds 3 keys; 1 would be too few" } });
    expect(await kv(access, "GET", "c")).toEqual({ status: 200, text: "1" });
  });

  test("a wish beyond the plan is refused and leaves nothing", async () => {
    expect(await make({ parameters: { max_keys: 101 } })).toMatchObject({ status: 400, body: { description: "this plan has room for 100 keys" } });
    expect((await make({ parameters: { max_keys: "many" } })).status).toBe(400);
    expect((await broker("DELETE", `i1?service_id=${ids.service_id}&plan_id=${ids.plan_id}`)).status).toBe(410);
  });

  test("too large a value is refused; nonsense is no crash", async () => {
    await make();
    const access = await bind("b");
    expect((await kv(access, "PUT", "big", "x".repeat(65_537))).status).toBe(413);
    expect((await fetch(`${server.url}/kv/i1/%E0%A4%A`, { headers: { authorization: basic(access.username, access.password) } })).status).toBe(400);
    expect((await fetch(`${server.url}/kv/nobody/x`)).status).toBe(401);
    expect((await kv(access, "GET", "")).text).toBe("[]");
  });
});
