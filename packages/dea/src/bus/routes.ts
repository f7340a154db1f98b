import type { Body } from "@opencf/bus";
import type { routerRegister } from "@opencf/bus/messages";
import type { Instance } from "../instance/instance.ts";
import { type Identity, registration } from "./fields.ts";

type Registration = Body<typeof routerRegister>;

export interface RoutesOptions {
  self: Identity;
  register(body: Registration): void;
  unregister(body: Registration): void;
}

export interface Routes {
  /** Makes what the router was told true again: registers what requests should come to, withdraws what they should not. */
  tell(instance: Instance): void;
}

/** What the router knows of our instances. It is told again and again, so only what is no longer true has to be remembered. */
export function createRoutes({ self, register, unregister }: RoutesOptions): Routes {
  const told = new Map<Instance, Registration>();
  return {
    tell(instance) {
      const before = told.get(instance);
      const now = instance.routable && instance.spec.uris.length > 0 ? registration(self, instance) : undefined;
      const gone = before?.uris.filter((uri) => !now?.uris.includes(uri)) ?? [];
      if (before && gone.length > 0) unregister({ ...before, uris: gone });
      if (now) {
        told.set(instance, now);
        register(now);
      } else {
        told.delete(instance);
      }
    },
  };
}
