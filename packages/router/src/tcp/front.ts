import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { CertificateSource } from "../edge/certificate.ts";
import { createTlsTerminator, type TlsTerminator } from "../edge/tls-door.ts";
import { listenOn } from "../listen.ts";
import type { Clock, Logger } from "../ports.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import type { RouteTable } from "../table/route-table.ts";
import { serveTcp } from "./connection.ts";
import type { TcpSettings } from "./options.ts";
import type { TcpNumbers, TcpRecord } from "./record.ts";

/** Ports below HTTP, opened and closed as the table says. */
export interface TcpFront {
  /** Opens the ports that the table asks for, and follows it from then on. Resolves when each of them is open or refused. @throws {RouterError} ROUTER_BAD_CERTIFICATE */
  listen(): Promise<void>;
  /** Accepts nobody any more; open connections go on. */
  close(): void;
  /** Resolves when no connection is open. */
  idle(): Promise<void>;
  /** Ends what is still open. */
  cut(): void;
  /** Reads the certificates of its ports again; those that are the router's become these. @throws {RouterError} ROUTER_BAD_CERTIFICATE */
  reloadTls(certificates?: readonly CertificateSource[]): Promise<void>;
  numbers(): TcpNumbers;
  /** Ports that are open, in order. */
  readonly ports: readonly number[];
}

interface Door {
  /** Routes of this port that have endpoints. */
  readonly routes: Set<string>;
  server: Server | undefined;
  open: boolean;
  retry: Disposable | undefined;
}

/** Between two attempts to open a port that is taken. */
const retryMs = 5_000;
const prefix = "tcp:";

export function createTcpFront({ tcp, table, settings, log, clock, finished }: {
  readonly tcp: TcpSettings; readonly table: RouteTable; readonly settings: ProxySettings; readonly log: Logger; readonly clock: Clock;
  /** Called when a connection is over. */
  readonly finished: (record: TcpRecord) => void;
}): TcpFront {
  const doors = new Map<number, Door>();
  const clients = new Set<Socket>();
  const waiting = new Set<() => void>();
  const count = { connections: 0, refused: 0, failed: 0, refusedHandshakes: 0, failedAttempts: 0, bytesIn: 0, bytesOut: 0 };
  const refusedPorts = new Set<number>();
  // A connection of TLS outlives the one it stands upon by a moment.
  let serving = 0;
  let following: Disposable | undefined;
  let closed = false;
  const context = { table, settings, tcp, log, clock, attemptFailed: () => { count.failedAttempts += 1; } };

  const terminators = tcp.tls.map(({ ports, tls, protocols, shared }) => ({ ports, shared, terminator: createTlsTerminator({
    tls: { ...tls, hostCheck: "off" }, log, clock, protocols,
    // The connection upon which this one stands has been counted.
    serve: (socket) => void serve(socket.localPort as number, doors.get(socket.localPort as number), socket),
    refused: () => { count.refusedHandshakes += 1; },
  }) }));
  const terminatorOf = (port: number): TlsTerminator | undefined => terminators.find(({ ports }) => ports.has(port))?.terminator;

  async function accept(port: number, door: Door, client: Socket): Promise<void> {
    if (clients.size >= tcp.maxConnections) {
      count.refused += 1;
      client.on("error", () => undefined).resetAndDestroy();
      return;
    }
    count.connections += 1;
    clients.add(client);
    const terminator = terminatorOf(port);
    if (terminator === undefined) return serve(port, door, client);
    client.once("close", () => leave(client));
    terminator.accept(client);
  }

  function leave(client: Socket): void {
    clients.delete(client);
    if (clients.size === 0 && serving === 0) for (const done of [...waiting]) done();
  }

  async function serve(port: number, door: Door | undefined, client: Socket | TLSSocket): Promise<void> {
    let hasNames = false;
    for (const route of door?.routes ?? []) hasNames ||= route.includes("/");
    serving += 1;
    const record = await serveTcp(context, port, client, hasNames);
    serving -= 1;
    count.bytesIn += record.bytesIn;
    count.bytesOut += record.bytesOut;
    if (record.connectMs === undefined) count.failed += 1;
    finished(record);
    leave(client);
  }

  async function open(port: number, door: Door): Promise<void> {
    // Half-closed connections are ordinary: a client that has said all still wants its answer. Nothing is read before somebody takes it.
    const server = door.server = createServer({ allowHalfOpen: true, pauseOnConnect: terminatorOf(port) === undefined }, (client) => void accept(port, door, client));
    try {
      await listenOn(server, { host: tcp.host, port }, { shared: true });
      if (door.server !== server) return void server.close();
      server.on("error", (error) => log.error("router.tcp.failed", { port, error: error.message }));
      door.open = true;
      refusedPorts.delete(port);
      log.info("router.tcp.open", { port });
    } catch (error) {
      if (door.server !== server) return;
      // One port that cannot be had is no reason to do without the others.
      refusedPorts.add(port);
      log.error("router.tcp.refused", { port, error: (error as Error).message });
      door.retry = clock.after(retryMs, () => void open(port, door));
    }
  }

  function shut(port: number, door: Door): void {
    doors.delete(port);
    refusedPorts.delete(port);
    door.retry?.[Symbol.dispose]();
    const { server } = door;
    door.server = undefined;
    if (door.open) {
      server?.close();
      log.info("router.tcp.closed", { port });
    }
    door.open = false;
  }

  async function added(route: string): Promise<void> {
    const port = portOf(route);
    let door = doors.get(port);
    if (door !== undefined || !tcp.ports.has(port)) {
      door?.routes.add(route);
      if (door === undefined && !refusedPorts.has(port)) {
        refusedPorts.add(port);
        log.warn("router.tcp.refused", { port, error: "this port is not among those that routes may open" });
      }
      return;
    }
    doors.set(port, door = { routes: new Set([route]), server: undefined, open: false, retry: undefined });
    await open(port, door);
  }

  function removed(route: string): void {
    if ((table.route(route)?.endpoints.length ?? 0) > 0) return;
    const port = portOf(route);
    const door = doors.get(port);
    door?.routes.delete(route);
    if (door?.routes.size === 0) shut(port, door);
    else if (door === undefined) refusedPorts.delete(port);
  }

  return {
    async listen() {
      for (const { terminator } of terminators) await terminator.start();
      following = table.onChange(({ type, route }) => {
        if (!route.startsWith(prefix) || closed) return;
        if (type === "removed") removed(route);
        else void added(route);
      });
      await Promise.all(table.snapshot().filter(({ route, endpoints }) => route.startsWith(prefix) && endpoints.length > 0).map(({ route }) => added(route)));
    },
    close() {
      closed = true;
      following?.[Symbol.dispose]();
      for (const [port, door] of doors) shut(port, door);
      for (const { terminator } of terminators) terminator.close();
    },
    async reloadTls(certificates) {
      for (const { terminator, shared } of terminators) await terminator.reload(shared ? certificates : undefined);
    },
    async idle() {
      if (clients.size > 0 || serving > 0) await new Promise<void>((resolve) => void waiting.add(resolve));
    },
    cut() {
      for (const client of clients) client.destroy();
      for (const done of waiting) done();
    },
    numbers: () => ({
      tcp_connections: count.connections, tcp_open_connections: clients.size, tcp_refused_connections: count.refused, tcp_failed_connections: count.failed, tcp_refused_handshakes: count.refusedHandshakes, tcp_failed_attempts: count.failedAttempts,
      tcp_bytes_in: count.bytesIn, tcp_bytes_out: count.bytesOut, tcp_open_ports: [...doors.values()].filter(({ open: isOpen }) => isOpen).length, tcp_refused_ports: refusedPorts.size,
    }),
    get ports() { return [...doors].filter(([, door]) => door.open).map(([port]) => port).sort((one, other) => one - other); },
  };
}

const portOf = (route: string): number => Number.parseInt(route.slice(prefix.length), 10);
