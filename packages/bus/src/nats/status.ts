import type { NatsConnection } from "nats";
import type { TransportEvent } from "../transport.ts";
import { forbidden, reported } from "./errors.ts";

/** The client's word on a permission, which its types leave out. */
interface Context {
  operation: "publish" | "subscription";
  subject: string;
}

/** Translates what the client says about the connection. `disconnected`, `reconnecting`, `connected` come once each, in this order. */
export function watchStatus(connection: NatsConnection, tell: (event: TransportEvent) => void): void {
  let away: "no" | "disconnected" | "reconnecting" = "no";
  const told = new Set<string>();
  const retrying = (): void => {
    if (away !== "disconnected") return;
    away = "reconnecting";
    tell({ type: "reconnecting" });
  };
  const handlers: Record<string, (status: { data: unknown; permissionContext?: Context }) => void> = {
    disconnect() {
      if (away !== "no") return;
      away = "disconnected";
      tell({ type: "disconnected" });
    },
    reconnecting: retrying,
    reconnect() {
      if (away === "no") return;
      retrying();
      away = "no";
      told.clear();
      tell({ type: "connected", server: connection.getServer() });
    },
    ldm: () => tell({ type: "lame_duck" }),
    update({ data }) {
      const { added = [], deleted = [] } = data as { added?: string[]; deleted?: string[] };
      if (added.length + deleted.length > 0) tell({ type: "servers", added, removed: deleted });
    },
    error({ data, permissionContext }) {
      if (permissionContext) {
        const { subject } = permissionContext;
        const operation = permissionContext.operation === "publish" ? "publish" : "subscribe";
        return tell({ type: "error", error: forbidden(operation, subject), operation, subject });
      }
      // A refusal comes back with every attempt; once in an outage is enough.
      const code = String(data);
      if (away !== "no" && told.has(code)) return;
      told.add(code);
      tell({ type: "error", error: reported(code) });
    },
  };
  void (async () => {
    for await (const status of connection.status()) handlers[String(status.type)]?.(status as { data: unknown });
  })().catch(() => undefined);
}
