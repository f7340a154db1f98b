import type { SecretSpec } from "../journal/record.ts";
import type { InstanceUpdate } from "./instance.ts";
import type { InstanceSpec } from "./spec.ts";

/** A spec as it is now, in two parts: what everybody may see of it, and what may hold secrets. */
export interface ShownSpec {
  /** The same object until something changes: it is looked at for every line of the log. */
  readonly shown: Omit<InstanceSpec, keyof SecretSpec>;
  readonly secret: SecretSpec;
  /** What is not named stays. */
  change(change: InstanceUpdate & { readonly healthCheck?: InstanceSpec["healthCheck"] }): void;
}

export function createShownSpec({ env, services, application, droplet, command, ...rest }: InstanceSpec): ShownSpec {
  let shown = rest;
  return {
    get shown() { return shown; },
    secret: { env, services, application, droplet, command },
    change({ uris = shown.uris, version = shown.version, egress = shown.egress, healthCheck = shown.healthCheck }) {
      shown = { ...shown, uris, version, healthCheck, ...(egress && { egress }) };
    },
  };
}
