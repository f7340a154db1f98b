import type { Body, Bus, Reply } from "@opencf/bus";
import { type deaFindDroplet, routerRegister, routerUnregister } from "@opencf/bus/messages";
import { textOf } from "../errors.ts";
import type { Instance } from "../instance/instance.ts";
import type { Logger } from "../ports.ts";
import type { ReachServer } from "../reach/reach-server.ts";

/** The part of a {@link ReachServer} that the bus hears of. */
export type ReachFace = Pick<ReachServer, "host" | "port" | "externalHost" | "viewer" | "fileLink">;

export interface ReachLink extends Disposable {
  /** Tells the router, where the server has a name on a domain; to be said again as every registration is. */
  register(): void;
  /** What the answer to `dea.find.droplet` says of files: a link where a path was asked for, and the first generation's viewer. */
  found(instance: Pick<Instance, "id">, path: string | null | undefined): Partial<Reply<typeof deaFindDroplet>>;
}

/** Disposing withdraws the registration. Without a server nothing is said of files. */
export function linkReach(bus: Bus, { dea, host, reach, log }: { dea: string; host: string; reach: ReachFace | undefined; log: Logger }): ReachLink {
  const registration = (): Body<typeof routerRegister> | undefined =>
    reach?.externalHost === undefined ? undefined : { dea, host, port: reach.port, uris: [reach.externalHost], tags: { component: "directory-server" } };
  const say = (message: typeof routerRegister | typeof routerUnregister): void => {
    const body = registration();
    if (!body) return;
    try {
      bus.publish(message, body);
    } catch (error) {
      log.error("bus.publish", { subject: message.subject, error: textOf(error) });
    }
  };
  return {
    register: () => say(routerRegister),
    found(instance, path) {
      if (!reach) return {};
      const { viewer } = reach;
      return {
        staged: `/${instance.id}`,
        ...(viewer ? { file_uri: viewer.uri, credentials: [...viewer.credentials] } : {}),
        ...(typeof path === "string" ? { file_uri_v2: reach.fileLink(instance, path) } : {}),
      };
    },
    [Symbol.dispose]: () => say(routerUnregister),
  };
}
