import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { RouterError } from "../errors.ts";
import type { Clock, Logger } from "../ports.ts";
import { createCertificateStore, type CertificateStore } from "./certificate-store.ts";
import { keepsRules } from "./client-subjects.ts";
import { stateOfFiles, type CertificateSource } from "./certificate.ts";
import { connectionOf, describeConnection, type ConnectionInfo } from "./connection.ts";
import { filesOf, loadTlsMaterial, type TlsOptions } from "./tls-options.ts";

export interface TlsTerminatorOptions {
  readonly tls: TlsOptions;
  readonly log: Logger;
  readonly clock: Clock;
  /** Names of the protocols offered, the preferred one first (RFC 7301); none: whatever a client asks for is passed over. */
  readonly protocols: readonly string[];
  /** Takes a connection over whose handshake is done. */
  readonly serve: (socket: TLSSocket) => void;
  /** A handshake failed, or the client's certificate was not good enough. */
  readonly refused: () => void;
}

/** Speaks TLS on accepted connections, with certificates that can change while it does. */
export interface TlsTerminator {
  /** Reads the certificates, and from then on looks after their files. @throws {RouterError} ROUTER_BAD_CERTIFICATE */
  start(): Promise<void>;
  accept(socket: Socket): void;
  /** Reads the certificates again, or takes these instead. Connections stay as they are. @throws {RouterError} ROUTER_BAD_CERTIFICATE, ROUTER_CLOSED */
  reload(certificates?: readonly CertificateSource[]): Promise<void>;
  /** Looks after no files any more. */
  close(): void;
  /** Closes every connection, also those still in their handshake. */
  cut(): void;
}

export function createTlsTerminator({ tls, log, clock, protocols, serve, refused }: TlsTerminatorOptions): TlsTerminator {
  const { watchMs = 5_000, clientCertificates = "none", handshakeTimeoutMs = 10_000, hostCheck = "certificate" } = tls;
  const open = new Map<string, { readonly socket: Socket; readonly info: ConnectionInfo }>();
  let sources = tls.certificates;
  let store: CertificateStore | undefined;
  let server: Server | undefined;
  let watching: Disposable | undefined;
  let seen = "";
  let closed = false;

  const current = (): TlsOptions => ({ ...tls, certificates: sources });

  async function reload(certificates?: readonly CertificateSource[]): Promise<void> {
    if (closed) throw new RouterError("ROUTER_CLOSED", "the router has been stopped");
    const next = certificates === undefined ? current() : { ...tls, certificates };
    // Before reading: what changes meanwhile is found at the next look.
    const state = await stateOfFiles(filesOf(next));
    const material = await loadTlsMaterial(next);
    const loaded = createCertificateStore(material.certificates, material.common);
    sources = next.certificates;
    store = loaded;
    seen = state;
    server?.setSecureContext(loaded.options);
    for (const { leaf, names } of material.certificates) {
      const data = { names, until: new Date(leaf.validTo).toISOString() };
      if (Date.parse(leaf.validTo) <= clock.now()) log.warn("router.certificate.expired", data);
      else log.info("router.certificate.loaded", data);
    }
  }

  function watch(): void {
    if (watchMs === 0 || closed) return;
    watching = clock.after(watchMs, () => void look().finally(watch));
  }

  async function look(): Promise<void> {
    if (await stateOfFiles(filesOf(current())) === seen) return;
    try {
      await reload();
    } catch (cause) {
      // Mostly a moment between the two files; the old certificates serve until both fit.
      if (!closed) log.warn("router.certificate.reload-failed", { error: (cause as Error).message });
    }
  }

  function take(socket: TLSSocket): void {
    const held = open.get(keyOf(socket))?.info;
    const name = socket.servername as string | false | undefined;
    const presented = (store as CertificateStore).select(name || undefined);
    const certificate = clientCertificates === "none" ? undefined : socket.getPeerX509Certificate();
    const error = certificate === undefined ? undefined
      : !socket.authorized ? String(socket.authorizationError)
      : tls.clientSubjects !== undefined && !keepsRules(socket.getPeerCertificate(true), tls.clientSubjects) ? "subject not allowed" : undefined;
    if (error !== undefined) {
      refused();
      log.warn("router.client-certificate.refused", { peer: held?.peerAddress, error });
      socket.destroy();
      return;
    }
    const base = held ?? connectionOf(socket);
    describeConnection(socket, {
      peerAddress: base.peerAddress, peerPort: base.peerPort, secure: true,
      ...(certificate === undefined ? {} : { clientCertificate: certificate.raw.toString("base64") }),
      ...(name && hostCheck === "certificate" ? { serves: (host: string) => host === name.toLowerCase() || presented.covers(host) } : {}),
    });
    serve(socket);
  }

  return {
    async start() {
      await reload();
      server = createServer({
        ...(store as CertificateStore).options,
        SNICallback: (name, done) => done(null, (store as CertificateStore).select(name).context),
        ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
        requestCert: clientCertificates !== "none",
        rejectUnauthorized: clientCertificates === "require",
        handshakeTimeout: handshakeTimeoutMs,
      }, take);
      server.on("tlsClientError", (error, socket) => {
        refused();
        log.debug?.("router.tls.refused", { peer: socket.remoteAddress, error: error.message });
        socket.destroy();
      });
      watch();
    },
    accept(socket) {
      const key = keyOf(socket);
      open.set(key, { socket, info: connectionOf(socket) });
      socket.once("close", () => open.delete(key));
      socket.on("error", () => undefined);
      // What a listening server does with the sockets it accepts itself.
      server?.emit("connection", socket);
    },
    reload,
    close() {
      closed = true;
      watching?.[Symbol.dispose]();
    },
    cut() { for (const { socket } of open.values()) socket.destroy(); },
  };
}

/** A TLS socket does not say upon which socket it stands; their four numbers are the same. */
const keyOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): string => `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
