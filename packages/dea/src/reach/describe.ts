import type { Dea } from "../dea.ts";
import type { Instance } from "../instance/instance.ts";
import { facts } from "../instance/state.ts";
import type { Task } from "../task/task.ts";

/** An instance as the executor's HTTP API tells it. No secret is in it: neither variables nor services, droplet or private id. */
export function describeInstance(instance: Instance): object {
  const { id, spec, state, stateSince, exit } = instance;
  const sample = instance.metrics().at(-1);
  const address = facts[state].inHeartbeat && !facts[state].final ? addressOf(instance) : undefined;
  return {
    instance: id,
    droplet: spec.processGuid,
    app: spec.appId,
    version: spec.version,
    index: spec.index,
    name: spec.name,
    process_type: spec.processType,
    state,
    state_timestamp: stateSince / 1_000,
    uris: spec.uris,
    ...(address ?? {}),
    limits: { mem: Math.floor(spec.memoryBytes / 2 ** 20), disk: Math.floor(spec.diskBytes / 2 ** 20), fds: spec.fileDescriptors },
    ...(sample ? { metrics: sample } : {}),
    ...(exit ? { exit } : {}),
    ...(spec.task ? { task: spec.task.id } : {}),
  };
}

const addressOf = (instance: Instance): object | undefined => {
  try {
    return instance.address;
  } catch {
    return undefined;
  }
};

export const describeTask = ({ id, appId, name, state, result, instance }: Task): object =>
  ({ task: id, instance: instance.id, app: appId, name, state, ...(result ? { result } : {}) });

export function describeExecutor(dea: Dea): object {
  const { memory, disk, instances } = dea.capacity();
  return {
    id: dea.id,
    accepting: dea.accepting,
    backend: dea.backend.name,
    memory,
    disk,
    instances,
    states: dea.instances().reduce<Record<string, number>>((counts, { state }) => ({ ...counts, [state]: (counts[state] ?? 0) + 1 }), {}),
    tasks: dea.tasks.list().filter(({ result }) => !result).length,
  };
}
