import { BrokerError, badRequest } from "./errors.ts";
import { isObject, type JsonObject } from "./json.ts";

export type Verb =
  | "catalog" | "provision" | "update" | "deprovision" | "fetchInstance" | "instanceOperation"
  | "bind" | "unbind" | "fetchBinding" | "bindingOperation";

interface Door {
  segments: readonly string[];
  methods: Readonly<Record<string, Verb>>;
}

const instance = ["v2", "service_instances", ":instance"];
const binding = [...instance, "service_bindings", ":binding"];

/** Every path of the Service Broker API. */
const doors: readonly Door[] = [
  { segments: ["v2", "catalog"], methods: { GET: "catalog" } },
  { segments: instance, methods: { PUT: "provision", PATCH: "update", DELETE: "deprovision", GET: "fetchInstance" } },
  { segments: [...instance, "last_operation"], methods: { GET: "instanceOperation" } },
  { segments: binding, methods: { PUT: "bind", DELETE: "unbind", GET: "fetchBinding" } },
  { segments: [...binding, "last_operation"], methods: { GET: "bindingOperation" } },
];

export interface Target {
  verb: Verb;
  instanceId: string;
  bindingId: string;
}

/**
 * Which door a request knocks at. Each path segment is decoded once, after splitting, so an id may hold a slash.
 * Throws `BROKER_NOT_FOUND`, `BROKER_METHOD_NOT_ALLOWED`, `BROKER_BAD_REQUEST`.
 */
export function findTarget(method: string, pathname: string): Target {
  const parts = pathname.slice(1).split("/");
  const door = doors.find(({ segments }) => segments.length === parts.length && segments.every((segment, i) => segment.startsWith(":") || segment === parts[i]));
  if (door === undefined) throw new BrokerError("BROKER_NOT_FOUND", "there is nothing at this path");
  const verb = Object.hasOwn(door.methods, method) ? door.methods[method] : undefined;
  if (verb === undefined) {
    const takes = Object.keys(door.methods);
    throw new BrokerError("BROKER_METHOD_NOT_ALLOWED", `this path takes ${takes.join(", ")}`, { issues: takes });
  }
  return { verb, instanceId: decode(parts[2] ?? "x", "instance"), bindingId: decode(parts[4] ?? "x", "binding") };
}

const maxIdChars = 1_024;

function decode(segment: string, what: string): string {
  if (segment === "" || segment.length > maxIdChars) throw badRequest(`the ${what} id must have 1 to ${maxIdChars} characters`);
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw badRequest(`the ${what} id is not properly percent-encoded`, cause);
  }
}

/** Reads a JSON object of bounded size. Throws `BROKER_BAD_REQUEST`, `BROKER_BODY_TOO_LARGE`. */
export async function readBody(request: Request, maxBytes: number, signal: AbortSignal): Promise<JsonObject> {
  const type = request.headers.get("content-type");
  if (type !== null && !/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) throw badRequest("the body must be application/json");
  const text = await readText(request, maxBytes, signal);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw badRequest("the body is not JSON", cause);
  }
  if (!isObject(body)) throw badRequest("the body must be a JSON object");
  return body;
}

async function readText(request: Request, maxBytes: number, signal: AbortSignal): Promise<string> {
  if (request.body === null) return "";
  const reader = (request.body as ReadableStream<Uint8Array>).getReader();
  const stop = (): void => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let text = "";
    for (let bytes = 0; ;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw new BrokerError("BROKER_TIMEOUT", "the body did not arrive in time");
      if (done) return text + decoder.decode();
      bytes += value.byteLength;
      if (bytes > maxBytes) {
        stop();
        throw new BrokerError("BROKER_BODY_TOO_LARGE", `the body may have ${maxBytes} bytes`);
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause;
    throw badRequest("the body cannot be read", cause);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

export function requiredText(from: JsonObject, name: string): string {
  const value = from[name];
  if (typeof value !== "string" || value === "") throw badRequest(`${name} is required and must be a non-empty string`);
  return value;
}

export function optionalText(from: JsonObject, name: string): string | undefined {
  return from[name] === undefined || from[name] === null ? undefined : requiredText(from, name);
}

/** Absent and `null` are the same: some platforms send the one, some the other. */
export function optionalObject(from: JsonObject, name: string): JsonObject | undefined {
  const value = from[name];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw badRequest(`${name} must be a JSON object`);
  return value;
}
