import type { BrokerDefinition, OperationContext } from "../broker.ts";
import { resolvePlan, withoutPlans, type Catalog, type ResolvedPlan, type Service } from "../catalog.ts";
import type { PlanChecks } from "../catalog-check.ts";
import { BrokerError, badRequest, isBrokerError, type BrokerErrorCode } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import type { Locks } from "../lock.ts";
import type { ParameterCheck } from "../schema.ts";
import type { Store } from "../store.ts";

/** What the operations stand on. */
export interface Engine {
  broker: BrokerDefinition;
  /** A copy made at start: what was checked is what counts. */
  catalog: Catalog;
  /** By plan id. */
  checks: ReadonlyMap<string, PlanChecks>;
  store: Store;
  locks: Locks;
}

/** One request, parsed. */
export interface Call {
  instanceId: string;
  bindingId: string;
  query: JsonObject;
  body: JsonObject;
  context: OperationContext;
}

export type AuthorFunction = "provision" | "update" | "deprovision" | "bind" | "unbind";

/** What an author may answer with, per function. Any other code would be misread by a platform and becomes a 500. */
const authorMayThrow: Readonly<Record<AuthorFunction, readonly BrokerErrorCode[]>> = {
  provision: ["BROKER_REJECTED", "BROKER_BAD_REQUEST", "BROKER_CONFLICT", "BROKER_CONCURRENCY", "BROKER_UNAVAILABLE", "BROKER_FAILED"],
  update: ["BROKER_REJECTED", "BROKER_BAD_REQUEST", "BROKER_UPDATE_UNSUPPORTED", "BROKER_CONCURRENCY", "BROKER_UNAVAILABLE", "BROKER_FAILED"],
  deprovision: ["BROKER_REJECTED", "BROKER_GONE", "BROKER_CONCURRENCY", "BROKER_UNAVAILABLE", "BROKER_FAILED"],
  bind: ["BROKER_REJECTED", "BROKER_BAD_REQUEST", "BROKER_CONFLICT", "BROKER_REQUIRES_APP", "BROKER_CONCURRENCY", "BROKER_UNAVAILABLE", "BROKER_FAILED"],
  unbind: ["BROKER_REJECTED", "BROKER_GONE", "BROKER_CONCURRENCY", "BROKER_UNAVAILABLE", "BROKER_FAILED"],
};

/** Calls the author and turns whatever is thrown into a {@link BrokerError} that may be answered. */
export async function callAuthor<T>(name: AuthorFunction, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isBrokerError(error) && authorMayThrow[name].includes(error.code)) throw error;
    // The author's words may hold anything; users get none of them, the log gets them without known secrets.
    throw new BrokerError("BROKER_FAILED", `the broker failed to ${name}`, { cause: error });
  }
}

/** Did the author say "no, and nothing has changed"? */
export const leftUnchanged = (error: unknown): boolean => isBrokerError(error) && error.status < 500;

export function findPlan(catalog: Catalog, serviceId: string, planId: string): { service: Service; plan: ResolvedPlan } {
  const offering = catalog.services.find(({ id }) => id === serviceId);
  if (offering === undefined) throw badRequest("service_id names no service of the catalog");
  const plan = offering.plans.find(({ id }) => id === planId);
  if (plan === undefined) throw badRequest("plan_id names no plan of this service");
  return { service: withoutPlans(offering), plan: resolvePlan(offering, plan) };
}

/** The catalog's present words for what was stored, or the stored ones when the catalog has no more of it. */
export function presentPlan(catalog: Catalog, stored: { service: Service; plan: ResolvedPlan }): { service: Service; plan: ResolvedPlan } {
  const offering = catalog.services.find(({ id }) => id === stored.service.id);
  const plan = offering?.plans.find(({ id }) => id === stored.plan.id);
  return {
    service: offering === undefined ? stored.service : withoutPlans(offering),
    plan: offering === undefined || plan === undefined ? stored.plan : resolvePlan(offering, plan),
  };
}

export function demandParameters(check: ParameterCheck | undefined, parameters: JsonObject): void {
  const wrong = check?.(parameters);
  if (wrong !== undefined) throw badRequest(wrong);
}

export function demandMaintenance(plan: ResolvedPlan, version: string | undefined): void {
  const offered = plan.maintenance_info?.version;
  if (version === undefined || version === offered) return;
  throw new BrokerError("BROKER_MAINTENANCE_INFO_CONFLICT", offered === undefined ? "this plan has no maintenance_info" : `the catalog offers maintenance version ${offered}; fetch it again`);
}
