import type { BindResource } from "../broker.ts";
import { BrokerError, badRequest } from "../errors.ts";
import { canonical, type JsonObject } from "../json.ts";
import { optionalObject, optionalText, requiredText } from "../request.ts";
import type { Outcome } from "../respond.ts";
import { bindingAnswer } from "../result-check.ts";
import { bindingKey, type BindingRecord, type InstanceRecord } from "../store.ts";
import { callAuthor, demandParameters, findPlan, leftUnchanged, presentPlan, type Call, type Engine } from "./engine.ts";
import { goneIsFine, readInstance } from "./instance.ts";

async function readBinding({ store }: Engine, instanceId: string, bindingId: string): Promise<BindingRecord | undefined> {
  const record = await store.get(bindingKey(instanceId, bindingId));
  return record?.kind === "binding" ? record : undefined;
}

const conflict = (): BrokerError => new BrokerError("BROKER_CONFLICT", "a binding with this id exists and was made with other values");

interface Wanted {
  parameters: JsonObject;
  bindResource: BindResource;
  predecessorBindingId: string | undefined;
}

/** Names and annotations change by themselves; they do not make a binding another one. */
function fingerprint(planId: string, { parameters, bindResource, predecessorBindingId }: Wanted): string {
  const lasting = Object.fromEntries(Object.entries(bindResource).filter(([name]) => !name.endsWith("_annotations")));
  return canonical([planId, parameters, lasting, predecessorBindingId ?? null]);
}

/** `PUT …/service_bindings/:binding_id`: 201 made, 200 was there and is equal, 409 was there and is not. */
export async function bind(engine: Engine, call: Call): Promise<Outcome> {
  const { broker, catalog, store, locks, checks } = engine;
  const { instanceId, bindingId, body, context } = call;
  const predecessorBindingId = optionalText(body, "predecessor_binding_id");
  // A rotation may name nothing but its predecessor.
  const read = predecessorBindingId === undefined ? requiredText : optionalText;
  const serviceId = read(body, "service_id");
  const planId = read(body, "plan_id");
  const sentResource = optionalObject(body, "bind_resource") ?? {};
  const appGuid = optionalText(body, "app_guid");
  // The older place of the app's guid says the same as the newer one.
  const bindResource: BindResource = appGuid !== undefined && sentResource["app_guid"] === undefined ? { ...sentResource, app_guid: appGuid } : sentResource;
  const sent: Wanted = { parameters: optionalObject(body, "parameters") ?? {}, bindResource, predecessorBindingId };
  if (serviceId !== undefined && planId !== undefined) demandKnown(engine, await readInstance(engine, instanceId), serviceId, planId);

  if (locks.bindingBusy(instanceId, bindingId)) {
    const running = await readBinding(engine, instanceId, bindingId);
    if (running?.state === "creating" && predecessorBindingId === undefined && fingerprint(running.planId, wantedOf(running)) !== fingerprint(planId ?? "", sent)) throw conflict();
  }
  using _ = locks.binding(instanceId, bindingId);
  const instance = await readInstance(engine, instanceId);
  if (instance === undefined) throw new BrokerError("BROKER_NOT_FOUND", "there is no such instance");
  if (instance.state !== "ready") throw new BrokerError("BROKER_REJECTED", "the instance was not made properly; delete it and make another");
  if (serviceId !== undefined && serviceId !== instance.service.id) throw badRequest("service_id is not the one of this instance");
  if (planId !== undefined && planId !== instance.plan.id) throw badRequest("plan_id is not the plan of this instance");
  const { service, plan } = presentPlan(catalog, instance);
  if (!plan.bindable) throw badRequest(`plan ${plan.name} cannot be bound`);
  const wanted = predecessorBindingId === undefined ? sent : await inherit(engine, { ...instance, plan }, sent, predecessorBindingId);

  const existing = await readBinding(engine, instanceId, bindingId);
  if (existing !== undefined) {
    if (fingerprint(existing.planId, wantedOf(existing)) !== fingerprint(instance.plan.id, wanted)) throw conflict();
    if (existing.state !== "ready") throw new BrokerError("BROKER_CONCURRENCY", "an earlier attempt to make this binding did not end well; delete it first");
    return { status: 200, body: existing.answer };
  }
  demandParameters(checks.get(plan.id)?.bind, wanted.parameters);
  const { bind: make } = broker;
  if (make === undefined) throw badRequest(`plan ${plan.name} cannot be bound`);
  const record: BindingRecord = {
    kind: "binding", instanceId, bindingId, state: "creating", serviceId: service.id, planId: instance.plan.id,
    parameters: wanted.parameters, bindResource: wanted.bindResource, answer: {}, ...(predecessorBindingId !== undefined && { predecessorBindingId }),
  };
  const request = { instanceId, bindingId, service, plan, ...wanted, instanceParameters: instance.parameters, context: optionalObject(body, "context") ?? {} };
  const key = bindingKey(instanceId, bindingId);
  await store.set(key, record);
  let answer: JsonObject;
  try {
    answer = await callAuthor("bind", async () => bindingAnswer(await make.call(broker, request, context), service));
  } catch (error) {
    if (leftUnchanged(error)) await store.delete(key);
    else await store.set(key, { ...record, state: "failed" });
    throw error;
  }
  await store.set(key, { ...record, state: "ready", answer });
  return { status: 201, body: answer };
}

const wantedOf = ({ parameters, bindResource, predecessorBindingId }: BindingRecord): Wanted => ({ parameters, bindResource, predecessorBindingId });

/** Unknown ids are a 400 even when the instance is unknown too; a plan that left the catalog still serves its instances. */
function demandKnown({ catalog }: Engine, instance: InstanceRecord | undefined, serviceId: string, planId: string): void {
  if (instance?.service.id === serviceId && instance.plan.id === planId) return;
  findPlan(catalog, serviceId, planId);
}

/** A rotated binding is its predecessor with new credentials: parameters and resource come from there. */
async function inherit(engine: Engine, instance: InstanceRecord, sent: Wanted, predecessorBindingId: string): Promise<Wanted> {
  if (instance.plan.binding_rotatable !== true) throw badRequest(`bindings of plan ${instance.plan.name} cannot be rotated`);
  const predecessor = await readBinding(engine, instance.instanceId, predecessorBindingId);
  if (predecessor?.state !== "ready") throw badRequest("predecessor_binding_id names no binding of this instance");
  if (Object.keys(sent.parameters).length > 0) throw badRequest("a rotation takes its parameters from the predecessor");
  return { parameters: predecessor.parameters, bindResource: predecessor.bindResource as BindResource, predecessorBindingId };
}

/** `DELETE …/service_bindings/:binding_id`: 200 gone now, 410 was gone. */
export async function unbind(engine: Engine, call: Call): Promise<Outcome> {
  const { broker, catalog, store, locks } = engine;
  const { instanceId, bindingId, query, context } = call;
  const serviceId = requiredText(query, "service_id");
  requiredText(query, "plan_id");
  using _ = locks.binding(instanceId, bindingId);
  const record = await readBinding(engine, instanceId, bindingId);
  const instance = await readInstance(engine, instanceId);
  if (record === undefined || instance === undefined) return { status: 410, body: {} };
  if (record.serviceId !== serviceId) throw badRequest("service_id is not the one of this binding");
  const key = bindingKey(instanceId, bindingId);
  try {
    await goneIsFine(callAuthor("unbind", async () => broker.unbind?.({ instanceId, bindingId, ...presentPlan(catalog, instance) }, context)));
  } catch (error) {
    if (!leftUnchanged(error)) await store.set(key, { ...record, state: "failed" });
    throw error;
  }
  await store.delete(key);
  return { status: 200, body: {} };
}

/** `GET …/service_bindings/:binding_id`, for offerings with `bindings_retrievable`. */
export async function fetchBinding(engine: Engine, { instanceId, bindingId }: Call): Promise<Outcome> {
  const record = await readBinding(engine, instanceId, bindingId);
  const instance = await readInstance(engine, instanceId);
  if (record?.state !== "ready" || instance === undefined) throw new BrokerError("BROKER_NOT_FOUND", "there is no such binding");
  const { service } = presentPlan(engine.catalog, instance);
  if (service.bindings_retrievable !== true) throw new BrokerError("BROKER_NOT_FOUND", "bindings of this service cannot be fetched");
  return { status: 200, body: { ...record.answer, parameters: record.parameters } };
}
