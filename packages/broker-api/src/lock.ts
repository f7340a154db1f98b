import { BrokerError } from "./errors.ts";

/**
 * Who works on which instance in this process. Work on an instance shuts out everything else there;
 * work on a binding shares the instance with work on its other bindings.
 */
export interface Locks {
  /** Throws `BROKER_CONCURRENCY` when taken; never waits. */
  instance(instanceId: string): Disposable;
  /** Throws `BROKER_CONCURRENCY` when taken; never waits. */
  binding(instanceId: string, bindingId: string): Disposable;
  instanceBusy(instanceId: string): boolean;
  bindingBusy(instanceId: string, bindingId: string): boolean;
}

export function createLocks(): Locks {
  const busyInstances = new Set<string>();
  const busyBindings = new Map<string, Set<string>>();

  function release(undo: () => void): Disposable {
    let done = false;
    return { [Symbol.dispose]() { if (!done) { done = true; undo(); } } };
  }

  return {
    instance(instanceId) {
      if (busyInstances.has(instanceId) || busyBindings.has(instanceId)) throw busy("instance");
      busyInstances.add(instanceId);
      return release(() => busyInstances.delete(instanceId));
    },
    binding(instanceId, bindingId) {
      if (busyInstances.has(instanceId)) throw busy("instance");
      const bindings = busyBindings.get(instanceId) ?? new Set();
      if (bindings.has(bindingId)) throw busy("binding");
      busyBindings.set(instanceId, bindings.add(bindingId));
      return release(() => {
        bindings.delete(bindingId);
        if (bindings.size === 0) busyBindings.delete(instanceId);
      });
    },
    instanceBusy: (instanceId) => busyInstances.has(instanceId),
    bindingBusy: (instanceId, bindingId) => busyBindings.get(instanceId)?.has(bindingId) ?? false,
  };
}

function busy(what: string): BrokerError {
  return new BrokerError("BROKER_CONCURRENCY", `another operation is working on this ${what}; try again when it is over`);
}
