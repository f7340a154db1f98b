import type { BrokerDefinition } from "./broker.ts";
import type { Catalog } from "./catalog.ts";
import { checkCatalog } from "./catalog-check.ts";
import { createCredentialCheck, type BasicCredentials } from "./credentials.ts";
import { BrokerError, isBrokerError } from "./errors.ts";
import { demandVersion, readOriginatingIdentity, readRequestIdentity } from "./headers.ts";
import { deepFreeze, type JsonObject } from "./json.ts";
import { createLocks } from "./lock.ts";
import { bind, fetchBinding, unbind } from "./operation/binding.ts";
import type { Call, Engine } from "./operation/engine.ts";
import { deprovision, fetchInstance, provision, update } from "./operation/instance.ts";
import { operationOf } from "./operation/last-operation.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";
import { redactor } from "./redact.ts";
import { findTarget, readBody, type Target, type Verb } from "./request.ts";
import { respond, respondError, type Outcome } from "./respond.ts";
import { memoryStore, type Store } from "./store.ts";

export interface BrokerApiOptions {
  /** User name and password the platform uses; several while they are being changed. */
  credentials: BasicCredentials | readonly BasicCredentials[];
  /** Where instances and bindings are remembered. Default: in memory, so a restarted broker knows none of them. */
  store?: Store;
  /** Time for one call. Default 55 000 ms: platforms give up after 60 s. */
  timeoutMs?: number;
  /** Largest request body. Default 1 048 576 bytes. */
  maxBodyBytes?: number;
  /** Fires when the broker is closed: calls under way are told, new ones are refused. */
  signal?: AbortSignal;
  /** Asynchronous operations are not there yet: anything but an empty list is refused at start. */
  asynchronous?: readonly string[];
  clock?: Clock;
  log?: Logger;
}

/** A broker as a function: knows nothing of sockets, fits every server that speaks `Request` and `Response`. */
export type BrokerApi = (request: Request) => Promise<Response>;

const operations: Readonly<Record<Verb, (engine: Engine, call: Call) => Promise<Outcome>>> = {
  catalog: async ({ catalog }) => ({ status: 200, body: catalog as unknown as JsonObject }),
  provision, update, deprovision, fetchInstance, instanceOperation: (engine, call) => operationOf(engine, call, "instance"),
  bind, unbind, fetchBinding, bindingOperation: (engine, call) => operationOf(engine, call, "binding"),
};

const verbsWithBody: readonly Verb[] = ["provision", "update", "bind"];

/**
 * Speaks the Service Broker API (Open Service Broker 2.17) for an author's broker: who may call, which version, what is
 * well-formed, what is already there, who works on it, and which status all of that is. The author only does the work.
 *
 * Throws `BROKER_INVALID_CATALOG` (with all `issues`) and `BROKER_INVALID_OPTIONS`.
 */
export function createBrokerApi(broker: BrokerDefinition, options: BrokerApiOptions): BrokerApi {
  const { credentials, store = memoryStore(), timeoutMs = 55_000, maxBodyBytes = 1_048_576, signal: closing, asynchronous = [], clock = systemClock, log = silentLogger } = options;
  if (asynchronous.length > 0)
    throw new BrokerError("BROKER_INVALID_OPTIONS", `asynchronous operations are not supported by this version; remove asynchronous: ${asynchronous.join(", ")}`);
  if (!(timeoutMs > 0) || !(maxBodyBytes > 0)) throw new BrokerError("BROKER_INVALID_OPTIONS", "timeoutMs and maxBodyBytes must be above 0");
  const pairs = Array.isArray(credentials) ? (credentials as readonly BasicCredentials[]) : credentials === undefined ? [] : [credentials as BasicCredentials];
  const allowed = createCredentialCheck(pairs);
  const catalog = deepFreeze(JSON.parse(JSON.stringify(broker.catalog ?? null)) as Catalog);
  const { issues, checks } = checkCatalog(catalog);
  if (issues.length > 0) throw new BrokerError("BROKER_INVALID_CATALOG", `the catalog has ${issues.length} fault(s):\n${issues.join("\n")}`, { issues });
  demandFunctions(broker);
  const engine: Engine = { broker, catalog, checks, store, locks: createLocks() };

  return async (request) => {
    const startedAt = clock.now();
    const requestIdentity = readRequestIdentity(request.headers);
    const seen: Seen = { redact: redactor(pairs.map(({ password }) => password)), requestIdentity };
    let response: Response;
    try {
      if (!allowed(request.headers.get("authorization"))) throw new BrokerError("BROKER_UNAUTHORIZED", "the user name or the password is wrong");
      demandVersion(request.headers);
      if (closing?.aborted) throw new BrokerError("BROKER_UNAVAILABLE", "the broker is shutting down");
      response = respond(await withinTime((signal) => serve(request, seen, signal), (error) => fault(seen, error, "broker.failed.late")), requestIdentity);
    } catch (error) {
      response = respondError(fault(seen, error, "broker.failed"), requestIdentity);
    }
    log.info("broker.request", { method: request.method, ...named(seen), status: response.status, durationMs: clock.now() - startedAt });
    return response;
  };

  function fault(seen: Seen, error: unknown, event: string): BrokerError {
    const known = isBrokerError(error) ? error : new BrokerError("BROKER_FAILED", "the broker failed", { cause: error });
    if (known.status >= 500) log.error(event, { ...named(seen), code: known.code, reason: seen.redact(reasonOf(known)) });
    return known;
  }

  async function serve(request: Request, seen: Seen, signal: AbortSignal): Promise<Outcome> {
    const url = new URL(request.url);
    const target = findTarget(request.method, url.pathname);
    seen.target = target;
    const originatingIdentity = readOriginatingIdentity(request.headers);
    const body = deepFreeze(verbsWithBody.includes(target.verb) ? await readBody(request, maxBodyBytes, signal) : {});
    seen.redact = redactor([...pairs.map(({ password }) => password), body["parameters"]]);
    const query = Object.fromEntries(url.searchParams);
    const context = { signal, log, originatingIdentity, requestIdentity: seen.requestIdentity, apiInfoLocation: request.headers.get("x-api-info-location") ?? undefined };
    return operations[target.verb](engine, { ...target, query, body, context });
  }

  /**
   * Answers in time even when the author's function does not heed the signal. The work then goes on behind the answer,
   * still holding its lock, and its record is finished when it ends, so the platform's clean-up finds the truth.
   */
  async function withinTime(work: (signal: AbortSignal) => Promise<Outcome>, failedLate: (error: unknown) => void): Promise<Outcome> {
    const limit = new AbortController();
    const signal = closing ? AbortSignal.any([limit.signal, closing]) : limit.signal;
    let timer: Disposable | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = clock.after(timeoutMs, () => {
        const error = new BrokerError("BROKER_TIMEOUT", `the broker did not finish within ${timeoutMs} ms`);
        reject(error);
        limit.abort(error);
      });
    });
    try {
      const running = work(signal);
      running.catch((error: unknown) => { if (limit.signal.aborted) failedLate(error); });
      return await Promise.race([running, late]);
    } finally {
      timer?.[Symbol.dispose]();
    }
  }
}

/** What is known of a request for the log: identifiers, never bodies or queries. */
interface Seen {
  target?: Target;
  requestIdentity: string | undefined;
  redact(text: string): string;
}

function named({ target, requestIdentity }: Seen): object {
  const { verb, instanceId, bindingId } = target ?? {};
  const isBinding = verb !== undefined && /bind/i.test(verb);
  return { verb, ...(verb !== "catalog" && { instanceId }), ...(isBinding && { bindingId }), requestIdentity };
}

/** The whole chain of causes, with the deepest stack: what an author needs to find the fault. */
function reasonOf(error: Error): string {
  const lines: string[] = [];
  let one: unknown = error;
  for (let depth = 0; one !== undefined && depth < 5; depth += 1) {
    lines.push(one instanceof Error ? (one.stack ?? one.message) : String(one));
    one = one instanceof Error ? one.cause : undefined;
  }
  return lines.slice(lines.length > 1 ? 1 : 0).join("\ncaused by ").slice(0, 8_192);
}

function demandFunctions(broker: BrokerDefinition): void {
  const bindable = broker.catalog.services.some((service) => service.plans.some((plan) => plan.bindable ?? service.bindable));
  const updateable = broker.catalog.services.some((service) => service.plans.some((plan) => plan.plan_updateable ?? service.plan_updateable));
  const needed: [keyof BrokerDefinition, boolean, string][] = [
    ["provision", true, "every broker"], ["deprovision", true, "every broker"],
    ["bind", bindable, "a bindable plan"], ["unbind", bindable, "a bindable plan"], ["update", updateable, "an updateable plan"],
  ];
  for (const [name, isNeeded, why] of needed)
    if (isNeeded && typeof broker[name] !== "function") throw new BrokerError("BROKER_INVALID_OPTIONS", `the broker has no function ${name}; ${why} needs one`);
}
