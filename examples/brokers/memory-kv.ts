// The smallest whole broker: every instance is a key-value store in memory, every binding a user of it.
// One port carries both: the Service Broker API below /v2, the stores below /kv.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { fileURLToPath } from "node:url";
import { createBrokerApi, defineBroker, BrokerError, type BasicCredentials, type BrokerApi, type Logger } from "@opencf/broker-api";
import { serve, type BrokerServer } from "@opencf/broker-api/node";

const draft07 = "http://json-schema.org/draft-07/schema#";
const maxKeys = { $schema: draft07, type: "object", properties: { max_keys: { type: "integer", minimum: 1, maximum: 10_000 } }, additionalProperties: false };
const access = { $schema: draft07, type: "object", properties: { read_only: { type: "boolean" } }, additionalProperties: false };

export const catalog = {
  services: [{
    id: "6f0c2c7c-5d0b-4d0e-9f2e-0d8a6d6b1d11", name: "memory-kv", description: "A small key-value store in memory", bindable: true,
    tags: ["kv"], instances_retrievable: true, bindings_retrievable: true, plan_updateable: true,
    plans: [
      { id: "0b7f7a0e-8a8f-4a57-b0b0-2a0f0c6c9c01", name: "tiny", description: "100 keys", metadata: { keys: 100 }, schemas: schemas() },
      { id: "0b7f7a0e-8a8f-4a57-b0b0-2a0f0c6c9c02", name: "small", description: "1000 keys", metadata: { keys: 1000 }, schemas: schemas() },
    ],
  }],
};

function schemas() {
  return {
    service_instance: { create: { parameters: maxKeys }, update: { parameters: maxKeys } },
    service_binding: { create: { parameters: access } },
  };
}

interface User { hash: Buffer; readOnly: boolean }
interface KeyValue { limit: number; values: Map<string, string>; users: Map<string, User> }

const maxValueBytes = 65_536;
const hashOf = (password: string): Buffer => createHash("sha256").update(password).digest();

export interface MemoryKvOptions {
  credentials: BasicCredentials;
  /** Address under which apps reach this server; a function, since a free port is known late. */
  publicUrl: () => string;
  log?: Logger;
}

/** Broker and service in one function from `Request` to `Response`. */
export function memoryKv({ credentials, publicUrl, log }: MemoryKvOptions): BrokerApi {
  const stores = new Map<string, KeyValue>();

  const broker = defineBroker({
    catalog,
    async provision({ instanceId, plan, parameters }) {
      stores.set(instanceId, { limit: limitOf(plan.metadata, parameters), values: new Map(), users: new Map() });
    },
    async update({ instanceId, plan, parameters, previousParameters }) {
      const store = stores.get(instanceId);
      const limit = limitOf(plan.metadata, { ...previousParameters, ...parameters });
      if (store === undefined) throw new Error("the instance is not in memory");
      if (store.values.size > limit) throw new BrokerError("BROKER_REJECTED", `the store holds ${store.values.size} keys; ${limit} would be too few`);
      store.limit = limit;
    },
    async deprovision({ instanceId }) {
      stores.delete(instanceId);
    },
    async bind({ instanceId, bindingId, parameters }) {
      const password = randomBytes(18).toString("base64url");
      const uri = `${publicUrl()}/kv/${encodeURIComponent(instanceId)}`;
      stores.get(instanceId)?.users.set(bindingId, { hash: hashOf(password), readOnly: parameters["read_only"] === true });
      return { credentials: { uri, username: bindingId, password } };
    },
    async unbind({ instanceId, bindingId }) {
      stores.get(instanceId)?.users.delete(bindingId);
    },
  });

  const api = createBrokerApi(broker, { credentials, ...(log && { log }) });
  return (request) => (new URL(request.url).pathname.startsWith("/kv/") ? useStore(stores, request) : api(request));
}

/** The user's wish, within what the plan allows. */
function limitOf(metadata: Readonly<Record<string, unknown>>, parameters: Readonly<Record<string, unknown>>): number {
  const most = Number(metadata["keys"]);
  const wish = Number(parameters["max_keys"] ?? most);
  if (wish > most) throw new BrokerError("BROKER_REJECTED", `this plan has room for ${most} keys`);
  return wish;
}

/** `GET`, `PUT` and `DELETE /kv/INSTANCE/KEY`, `GET /kv/INSTANCE/` for the list of keys. */
async function useStore(stores: ReadonlyMap<string, KeyValue>, request: Request): Promise<Response> {
  const [, , instanceId, key] = new URL(request.url).pathname.split("/").map(decoded);
  if (instanceId === undefined || key === undefined) return new Response("what?\n", { status: 400 });
  const store = stores.get(instanceId);
  const user = store && userOf(store, request.headers.get("authorization"));
  if (store === undefined || user === undefined) return new Response("who are you?\n", { status: 401, headers: { "www-authenticate": 'Basic realm="kv"' } });
  if (request.method === "GET") {
    if (key === "") return Response.json([...store.values.keys()]);
    const value = store.values.get(key);
    return value === undefined ? new Response("no such key\n", { status: 404 }) : new Response(value);
  }
  if (user.readOnly) return new Response("this binding may only read\n", { status: 403 });
  if (key === "" || !["PUT", "DELETE"].includes(request.method)) return new Response("no\n", { status: 405 });
  if (request.method === "DELETE") return new Response(null, { status: store.values.delete(key) ? 204 : 404 });
  if (Number(request.headers.get("content-length") ?? Infinity) > maxValueBytes) return new Response("too large\n", { status: 413 });
  const value = await request.text();
  if (!store.values.has(key) && store.values.size >= store.limit) return new Response("full\n", { status: 507 });
  store.values.set(key, value);
  return new Response(null, { status: 204 });
}

/** `undefined` for what is no percent-encoded text. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function userOf(store: KeyValue, authorization: string | null): User | undefined {
  const [username = "", password = ""] = Buffer.from(/^Basic (.+)$/i.exec(authorization ?? "")?.[1] ?? "", "base64").toString().split(":");
  const user = store.users.get(username);
  return user !== undefined && timingSafeEqual(user.hash, hashOf(password)) ? user : undefined;
}

/** The whole program: a server on a port. */
export async function start({ port, host = "127.0.0.1", username, password, publicUrl, log }: {
  port: number; host?: string; username: string; password: string; publicUrl?: string | undefined; log?: Logger;
}): Promise<BrokerServer> {
  let address = publicUrl ?? "";
  const server = await serve(memoryKv({ credentials: { username, password }, publicUrl: () => address, ...(log && { log }) }), { port, host });
  if (publicUrl === undefined) address = server.url;
  return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { PORT = "8081", HOST = "127.0.0.1", BROKER_USERNAME: username = "admin", BROKER_PASSWORD: password, PUBLIC_URL: publicUrl } = process.env;
  if (!password) {
    console.error("memory-kv: set BROKER_PASSWORD");
    process.exitCode = 2;
  } else {
    const print = (event: string, data?: object): void => console.log(JSON.stringify({ event, ...data }));
    const server = await start({ port: Number(PORT), host: HOST, username, password, publicUrl, log: { info: print, warn: print, error: print } });
    console.log(`memory-kv listens on ${server.url}`);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void server[Symbol.asyncDispose]());
  }
}
