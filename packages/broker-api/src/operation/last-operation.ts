import { BrokerError } from "../errors.ts";
import type { Outcome } from "../respond.ts";
import { bindingKey, instanceKey } from "../store.ts";
import type { Call, Engine } from "./engine.ts";

/**
 * `GET …/last_operation`. No answer of ours asks a platform to poll, but some look here after a lost answer:
 * they are told what is known. 404 for what is not there, never 410: nobody was told that a deletion runs.
 */
export async function operationOf({ store, locks }: Engine, { instanceId, bindingId }: Call, kind: "instance" | "binding"): Promise<Outcome> {
  const record = await store.get(kind === "instance" ? instanceKey(instanceId) : bindingKey(instanceId, bindingId));
  if (record === undefined) throw new BrokerError("BROKER_NOT_FOUND", `there is no such ${kind}`);
  const busy = kind === "instance" ? locks.instanceBusy(instanceId) : locks.bindingBusy(instanceId, bindingId);
  const state = busy ? "in progress" : record.state === "ready" ? "succeeded" : "failed";
  return { status: 200, body: { state } };
}
