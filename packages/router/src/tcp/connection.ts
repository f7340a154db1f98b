import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { choose } from "../balance.ts";
import type { Endpoint } from "../endpoint.ts";
import { forgive, markFailed } from "../health.ts";
import type { Pool } from "../pool.ts";
import type { Clock, Logger } from "../ports.ts";
import { classify } from "../proxy/failure.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import type { RouteTable } from "../table/route-table.ts";
import { maxHelloBytes, serverNameOf } from "./client-hello.ts";
import { dial } from "./dial.ts";
import { join } from "./join.ts";
import type { TcpSettings } from "./options.ts";
import type { TcpRecord } from "./record.ts";

export interface TcpContext {
  readonly table: RouteTable;
  readonly settings: ProxySettings;
  readonly tcp: TcpSettings;
  readonly log: Logger;
  readonly clock: Clock;
  readonly attemptFailed: () => void;
}

/** Serves one client of `port` from its first byte to its last; a client whose TLS was ended here has said its name already. Never throws. */
export async function serveTcp(context: TcpContext, port: number, client: Socket | TLSSocket, hasNames: boolean): Promise<TcpRecord> {
  const { table, tcp, clock } = context;
  const startedAtMs = clock.now();
  const begun = performance.now();
  const peer = `${client.remoteAddress?.includes(":") === true ? `[${client.remoteAddress}]` : client.remoteAddress ?? ""}:${client.remotePort ?? 0}`;
  const gone = new AbortController();
  let error: string | undefined;
  let endpoint: Endpoint | undefined;
  let connectMs: number | undefined;
  let attempts = 0;
  client.on("error", () => gone.abort());
  client.on("close", () => gone.abort());
  client.setNoDelay(true);

  const secure = "encrypted" in client;
  const { name, head } = secure ? { name: nameOf(client), head: Buffer.alloc(0) } : hasNames ? await peek(client, tcp.serverNameTimeoutMs) : { name: "", head: Buffer.alloc(0) };
  const pool = table.lookup(`tcp:${port}`, name === "" ? "" : `/${name}`);
  if (pool === undefined || pool.endpoints.length === 0) error = "no_endpoints";
  else {
    const tried: Endpoint[] = [];
    const most = pool.options.maxAttempts ?? context.settings.maxAttempts;
    for (error = "no_endpoints"; attempts < most && !gone.signal.aborted;) {
      const chosen = next(context, pool, tried, client.remoteAddress ?? "");
      if (typeof chosen === "string") {
        if (tried.length === 0) error = chosen === "overloaded" ? "Connection Limit Reached" : "no_endpoints";
        break;
      }
      attempts += 1;
      endpoint = chosen;
      chosen.backend.inFlight += 1;
      // Of an address that failed one connection finds out whether it works again.
      if (chosen.backend.failures > 0) chosen.backend.probing = true;
      try {
        const result = await dial(chosen, context.settings, gone.signal);
        chosen.backend.probing = false;
        if (!("progress" in result)) {
          forgive(chosen.backend);
          connectMs = performance.now() - begun;
          error = await join(client, result, head, tcp.idleTimeoutMs);
          break;
        }
        error = note(context, pool, chosen, result);
      } finally {
        chosen.backend.inFlight -= 1;
      }
      tried.push(chosen);
    }
  }
  // Nobody there: the client is told at once, as by a port that is closed.
  if (secure) client.destroy();
  else if (!client.destroyed) client.resetAndDestroy();
  return { route: pool?.key, port, serverName: name, secure, endpoint, peer, bytesIn: client.bytesRead, bytesOut: client.bytesWritten, attempts, error, startedAtMs, connectMs, totalMs: performance.now() - begun };
}

const nameOf = ({ servername }: TLSSocket): string => String((servername as string | false | undefined) || "").toLowerCase().replace(/\.$/, "");

/** The balancer's choice, with the client's address where something must decide. */
const next = ({ settings, clock }: TcpContext, pool: Pool, tried: readonly Endpoint[], address: string): ReturnType<typeof choose> => choose(pool, {
  nowMs: clock.now(), algorithm: pool.options.loadBalancing ?? settings.loadBalancing, tried,
  maxPerEndpoint: pool.options.maxConnectionsPerEndpoint ?? settings.maxConnectionsPerEndpoint, hashKey: address, hashBalance: pool.options.hashBalance,
});

/** What a failed attempt means for its endpoint, by the table that requests have. @returns its cause */
function note({ log, table, clock, settings, attemptFailed }: TcpContext, pool: Pool, endpoint: Endpoint, failed: Parameters<typeof classify>[0]): string {
  const { cause, mark, eject } = classify(failed);
  if (failed.code === "CLIENT_GONE") return "client gone";
  attemptFailed();
  log.warn("router.attempt.failed", { endpoint: endpoint.address, route: pool.key, code: failed.code, error: failed.message, cause });
  if (mark) markFailed(endpoint.backend, clock.now(), settings.failureMarkMs, settings.maxFailureMarkMs);
  if (eject && endpoint.backend.tls) table.eject(pool, endpoint);
  return `endpoint_failure (${cause})`;
}

/** Waits for the name in the client's handshake; what was read for it comes back as `head`. */
function peek(client: Socket, timeoutMs: number): Promise<{ name: string; head: Buffer }> {
  return new Promise((resolve) => {
    let held: Buffer = Buffer.alloc(0);
    const done = (name: string): void => {
      clearTimeout(timer);
      client.off("data", onData).off("end", onEnd).off("close", onEnd);
      client.pause();
      resolve({ name, head: held });
    };
    const onData = (chunk: Buffer): void => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const found = serverNameOf(held);
      if (found !== "more") done(found.name);
      else if (held.length >= maxHelloBytes) done("");
    };
    const onEnd = (): void => done("");
    const timer = setTimeout(onEnd, timeoutMs);
    client.on("data", onData).on("end", onEnd).on("close", onEnd).resume();
  });
}
