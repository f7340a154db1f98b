import type { ClientHttp2Session } from "node:http2";
import type { Backend } from "../endpoint.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import { dial, type Dialled } from "./dial.ts";

/** A place for one request on a connection. */
export interface Lease {
  readonly session: ClientHttp2Session;
  /** The request is over. */
  release(): void;
}

interface Held { readonly session: ClientHttp2Session; open: number; idle: NodeJS.Timeout | undefined }

/** Requests on one connection where the endpoint allows more: beyond that another core of it should have a share. */
const maxStreams = 100;
/** How long an endpoint that has turned out to speak HTTP/1.1 is taken at its word. */
const http1Ms = 30_000;

/** The connections to one address. */
export class Connections {
  readonly #backend: Backend;
  readonly #settings: ProxySettings;
  readonly #held = new Set<Held>();
  #dialling: Promise<Dialled> | undefined = undefined;
  #http1Until = 0;
  #closed = false;

  constructor(backend: Backend, settings: ProxySettings) {
    this.#backend = backend;
    this.#settings = settings;
  }

  /** A place on a connection that has one, else on a new one. */
  async acquire(): Promise<Lease | Exclude<Dialled, ClientHttp2Session>> {
    for (;;) {
      if (performance.now() < this.#http1Until) return "http1";
      const free = this.#free();
      if (free !== undefined) return this.#lease(free);
      // Who comes while one is being made waits for it, and makes another if it is full by then.
      const dialled = await (this.#dialling ??= this.#dial());
      if (dialled === "http1") this.#http1Until = performance.now() + http1Ms;
      if (!isSession(dialled)) return dialled;
    }
  }

  async #dial(): Promise<Dialled> {
    const dialled = await dial(this.#backend, this.#settings);
    this.#dialling = undefined;
    if (isSession(dialled)) this.#hold(dialled);
    return dialled;
  }

  #hold(session: ClientHttp2Session): void {
    const held: Held = { session, open: 0, idle: undefined };
    this.#held.add(held);
    session.once("close", () => {
      clearTimeout(held.idle);
      this.#held.delete(held);
    });
    if (this.#closed) session.close();
    else this.#rest(held);
  }

  #free(): Held | undefined {
    for (const held of this.#held) {
      const { session } = held;
      const most = this.#settings.backendIdleMs === 0 ? 1 : Math.min(maxStreams, session.remoteSettings.maxConcurrentStreams ?? maxStreams);
      if (!session.closed && !session.destroyed && held.open < most) return held;
    }
    return undefined;
  }

  #lease(held: Held): Lease {
    held.open += 1;
    clearTimeout(held.idle);
    let over = false;
    return {
      session: held.session,
      release: () => {
        if (over) return;
        over = true;
        held.open -= 1;
        if (held.open === 0) this.#rest(held);
      },
    };
  }

  /** An idle connection is kept for a while; none where connections are not reused. */
  #rest(held: Held): void {
    clearTimeout(held.idle);
    held.idle = setTimeout(() => held.session.close(), Math.max(1, this.#settings.backendIdleMs)).unref();
  }

  /** No new requests; those under way are finished. */
  close(): void {
    this.#closed = true;
    for (const { session } of this.#held) session.close();
  }

  destroy(): void {
    this.#closed = true;
    for (const { session } of this.#held) session.destroy();
  }
}

const isSession = (dialled: Dialled): dialled is ClientHttp2Session => typeof dialled === "object" && "request" in dialled;
