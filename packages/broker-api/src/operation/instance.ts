import type { InstanceResult } from "../broker.ts";
import { BrokerError, badRequest, isBrokerError } from "../errors.ts";
import { canonical, type JsonObject } from "../json.ts";
import { optionalObject, optionalText, requiredText } from "../request.ts";
import type { Outcome } from "../respond.ts";
import { instanceAnswer } from "../result-check.ts";
import { bindingPrefix, instanceKey, type InstanceRecord } from "../store.ts";
import { callAuthor, demandMaintenance, demandParameters, findPlan, leftUnchanged, presentPlan, type Call, type Engine } from "./engine.ts";

export async function readInstance({ store }: Engine, instanceId: string): Promise<InstanceRecord | undefined> {
  const record = await store.get(instanceKey(instanceId));
  return record?.kind === "instance" ? record : undefined;
}

const conflict = (): BrokerError => new BrokerError("BROKER_CONFLICT", "an instance with this id exists and was made with other values");
const unfinished = (): BrokerError => new BrokerError("BROKER_CONCURRENCY", "an earlier attempt to create this instance did not end well; delete it first");

/** `PUT /v2/service_instances/:instance_id`: 201 made, 200 was there and is equal, 409 was there and is not. */
export async function provision(engine: Engine, call: Call): Promise<Outcome> {
  const { broker, catalog, store, locks, checks } = engine;
  const { instanceId, body, context } = call;
  const planId = requiredText(body, "plan_id");
  const { service, plan } = findPlan(catalog, requiredText(body, "service_id"), planId);
  const organizationGuid = requiredText(body, "organization_guid");
  const spaceGuid = requiredText(body, "space_guid");
  const parameters = optionalObject(body, "parameters") ?? {};
  const maintenanceVersion = maintenanceVersionOf(body);
  const equals = (record: InstanceRecord): boolean =>
    canonical([record.service.id, record.plan.id, record.parameters]) === canonical([service.id, planId, parameters]);

  if (locks.instanceBusy(instanceId)) {
    const record = await readInstance(engine, instanceId);
    if (record?.state === "creating" && !equals(record)) throw conflict();
  }
  using _ = locks.instance(instanceId);
  const existing = await readInstance(engine, instanceId);
  if (existing !== undefined) {
    if (!equals(existing)) throw conflict();
    if (existing.state !== "ready") throw unfinished();
    return { status: 200, body: instanceBody(existing) };
  }
  demandMaintenance(plan, maintenanceVersion);
  demandParameters(checks.get(planId)?.create, parameters);
  const record: InstanceRecord = { kind: "instance", instanceId, state: "creating", service, plan, parameters };
  const version = maintenanceVersion ?? plan.maintenance_info?.version;
  if (version !== undefined) record.maintenanceVersion = version;
  const request = { instanceId, service, plan, parameters, context: optionalObject(body, "context") ?? {}, organizationGuid, spaceGuid, maintenanceVersion };
  await store.set(instanceKey(instanceId), record);
  try {
    Object.assign(record, await callAuthor("provision", async () => instanceAnswer(await broker.provision(request, context))));
  } catch (error) {
    // Nothing was made: nothing to remember. Else the platform comes to delete what may be left, and must find it.
    if (leftUnchanged(error)) await store.delete(instanceKey(instanceId));
    else await store.set(instanceKey(instanceId), { ...record, state: "failed" });
    throw error;
  }
  const ready: InstanceRecord = { ...record, state: "ready" };
  await store.set(instanceKey(instanceId), ready);
  return { status: 201, body: instanceBody(ready) };
}

/** `PATCH /v2/service_instances/:instance_id`: 200 done or nothing to do. */
export async function update(engine: Engine, call: Call): Promise<Outcome> {
  const { broker, catalog, store, locks, checks } = engine;
  const { instanceId, body, context } = call;
  const serviceId = requiredText(body, "service_id");
  const wantedPlanId = optionalText(body, "plan_id");
  // Cloud Foundry sends `{}` when the user gave none: both mean "leave them alone".
  const sent = optionalObject(body, "parameters") ?? {};
  const parameters = Object.keys(sent).length === 0 ? undefined : sent;
  const maintenanceVersion = maintenanceVersionOf(body);

  using _ = locks.instance(instanceId);
  const record = await readInstance(engine, instanceId);
  if (record === undefined) throw new BrokerError("BROKER_NOT_FOUND", "there is no such instance");
  if (record.state !== "ready") throw unfinished();
  if (record.service.id !== serviceId) throw badRequest("service_id is not the one of this instance");
  const { service, plan: previousPlan } = presentPlan(catalog, record);
  const planChanges = wantedPlanId !== undefined && wantedPlanId !== record.plan.id;
  const plan = planChanges ? findPlan(catalog, serviceId, wantedPlanId).plan : previousPlan;
  const changes = {
    plan: planChanges,
    parameters: parameters !== undefined,
    maintenance: maintenanceVersion !== undefined && maintenanceVersion !== record.maintenanceVersion,
    context: service.allow_context_updates === true && optionalObject(body, "context") !== undefined,
  };
  demandMaintenance(plan, maintenanceVersion);
  if (changes.plan && !previousPlan.plan_updateable) throw new BrokerError("BROKER_UPDATE_UNSUPPORTED", `plan ${previousPlan.name} cannot be left`);
  if (!Object.values(changes).includes(true)) return { status: 200, body: {} };
  if (parameters !== undefined) demandParameters(checks.get(plan.id)?.update, parameters);
  const { update: change } = broker;
  if (change === undefined) throw new BrokerError("BROKER_UPDATE_UNSUPPORTED", "instances of this service cannot be changed");
  const request = {
    instanceId, service, plan, previousPlan, parameters, previousParameters: record.parameters,
    context: optionalObject(body, "context") ?? {}, maintenanceVersion, changes,
  };
  const answer = await callAuthor("update", async () => instanceAnswer(await change.call(broker, request, context)));
  const version = maintenanceVersion ?? (changes.plan ? plan.maintenance_info?.version : record.maintenanceVersion);
  const changed: InstanceRecord = { ...record, service, plan, parameters: { ...record.parameters, ...parameters }, ...answer };
  if (version === undefined) delete changed.maintenanceVersion;
  else changed.maintenanceVersion = version;
  await store.set(instanceKey(instanceId), changed);
  return { status: 200, body: answerBody(answer) };
}

/** `DELETE /v2/service_instances/:instance_id`: 200 gone now, 410 was gone. Bindings that are left go first. */
export async function deprovision(engine: Engine, call: Call): Promise<Outcome> {
  const { broker, catalog, store, locks } = engine;
  const { instanceId, query, context } = call;
  const serviceId = requiredText(query, "service_id");
  requiredText(query, "plan_id");
  using _ = locks.instance(instanceId);
  const record = await readInstance(engine, instanceId);
  if (record === undefined) return { status: 410, body: {} };
  if (record.service.id !== serviceId) throw badRequest("service_id is not the one of this instance");
  const request = { instanceId, ...presentPlan(catalog, record) };
  try {
    for (const key of await store.list(bindingPrefix(instanceId))) {
      const binding = await store.get(key);
      if (binding?.kind === "binding") await goneIsFine(callAuthor("unbind", async () => broker.unbind?.({ ...request, bindingId: binding.bindingId }, context)));
      await store.delete(key);
    }
    await goneIsFine(callAuthor("deprovision", () => broker.deprovision(request, context)));
  } catch (error) {
    if (!leftUnchanged(error)) await store.set(instanceKey(instanceId), { ...record, state: "failed" });
    throw error;
  }
  await store.delete(instanceKey(instanceId));
  return { status: 200, body: {} };
}

export async function goneIsFine(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isBrokerError(error) || error.code !== "BROKER_GONE") throw error;
  }
}

/** `GET /v2/service_instances/:instance_id`, for offerings with `instances_retrievable`. */
export async function fetchInstance(engine: Engine, { instanceId }: Call): Promise<Outcome> {
  const record = await readInstance(engine, instanceId);
  if (record === undefined || record.state !== "ready") throw new BrokerError("BROKER_NOT_FOUND", "there is no such instance");
  const { service } = presentPlan(engine.catalog, record);
  if (service.instances_retrievable !== true) throw new BrokerError("BROKER_NOT_FOUND", "instances of this service cannot be fetched");
  if (engine.locks.instanceBusy(instanceId)) throw new BrokerError("BROKER_CONCURRENCY", "the instance is being changed");
  const maintenance = record.maintenanceVersion === undefined ? {} : { maintenance_info: { version: record.maintenanceVersion } };
  return { status: 200, body: { service_id: record.service.id, plan_id: record.plan.id, parameters: record.parameters, ...maintenance, ...instanceBody(record) } };
}

function maintenanceVersionOf(body: JsonObject): string | undefined {
  const info = optionalObject(body, "maintenance_info");
  return info === undefined ? undefined : requiredText(info, "version");
}

const instanceBody = ({ dashboardUrl, metadata }: InstanceRecord): JsonObject => answerBody({ dashboardUrl, metadata });

function answerBody({ dashboardUrl, metadata }: InstanceResult): JsonObject {
  return { ...(dashboardUrl !== undefined && { dashboard_url: dashboardUrl }), ...(metadata !== undefined && { metadata }) };
}

