import type { Actor } from "../api/audit.ts";
import type { ServiceBindingDescription } from "../environment/vcap.ts";

/** What apps need of the services part. Without one, apps simply have no services. */
export interface AppServices {
  /** All bindings of these apps that are ready for use, with their credentials. */
  bindings(appGuids: readonly string[]): Promise<ReadonlyMap<string, readonly ServiceBindingDescription[]>>;
  /**
   * Binds a service instance of the app's space, found by name, and waits until it is bound; nothing happens when it is already.
   * @throws whatever says why not; its message is shown
   */
  bindByName(binding: { appGuid: string; spaceGuid: string; name: string; bindingName?: string; parameters?: Record<string, unknown> }, actor: Actor): Promise<void>;
  /** Removes every binding of an app, before it is deleted. @throws when a broker refuses */
  unbindAll(appGuid: string, actor: Actor): Promise<void>;
}

export const noServices: AppServices = {
  bindings: () => Promise.resolve(new Map()),
  bindByName: ({ name }) => Promise.reject(new Error(`Service instance '${name}' not found`)),
  unbindAll: () => Promise.resolve(),
};
