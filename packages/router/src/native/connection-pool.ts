import type { Backend } from "../endpoint.ts";
import type { ProxySettings } from "../proxy/settings.ts";
import { BackendConnection } from "./connection.ts";
import { dial, type TlsMemory } from "./dial.ts";
import { Intake } from "./intake.ts";

/** Idle connections kept per address; more than that were needed once, in a burst. */
const maxIdle = 1_024;

/** Where a new connection goes. */
export interface Dialler {
  onConnected(connection: BackendConnection): void;
  onRefused(error: NodeJS.ErrnoException): void;
}

/** The connections to one address. Never shared with another: what they have proved at their beginning was for this one. */
export class ConnectionPool {
  readonly #backend: Backend;
  readonly #settings: ProxySettings;
  readonly #scratch: Buffer;
  readonly #memory: TlsMemory = { session: undefined };
  /** The one that was used last is taken first, so that those not needed run out. */
  readonly #idle: BackendConnection[] = [];
  readonly #all = new Set<BackendConnection>();
  #dialling = 0;
  #closed = false;

  /** `scratch`: where all connections read. */
  constructor(backend: Backend, settings: ProxySettings, scratch: Buffer) {
    this.#scratch = scratch;
    this.#backend = backend;
    this.#settings = settings;
  }

  /** An idle connection, or undefined: then `dial`. */
  take(nowMs: number): BackendConnection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.idleUntilMs > nowMs && connection.usable) return connection;
      connection.destroy();
    }
    return undefined;
  }

  /** @returns ends the attempt without a word */
  dial(dialler: Dialler): () => void {
    this.#dialling += 1;
    const intake = new Intake(this.#scratch);
    const undial = dial(this.#backend, this.#settings, { memory: this.#memory, intake }, {
      onConnected: (socket, times) => {
        this.#dialling -= 1;
        const connection = new BackendConnection(socket, { maxHeadBytes: this.#settings.maxResponseHeaderBytes, maxHeaders: 10_000 }, { intake, times, gone: this.#forget });
        this.#all.add(connection);
        dialler.onConnected(connection);
      },
      onRefused: (error) => {
        this.#dialling -= 1;
        dialler.onRefused(error);
      },
    });
    return () => {
      this.#dialling -= 1;
      undial();
    };
  }

  /** Takes a connection back whose request is over. `keepMs`: what the endpoint allows it to idle. */
  give(connection: BackendConnection, keepMs: number, nowMs: number): void {
    const idleMs = Math.min(keepMs, this.#settings.backendIdleMs);
    if (this.#closed || idleMs <= 0 || this.#idle.length >= maxIdle) return connection.destroy();
    connection.idleUntilMs = nowMs + idleMs;
    connection.intake.rest();
    this.#idle.push(connection);
  }

  /** Closes what has been idle for too long. @returns whether the pool is retired and its last connection gone */
  sweep(nowMs: number): boolean {
    let kept = 0;
    for (const connection of this.#idle) {
      if (connection.idleUntilMs > nowMs) {
        connection.parser.forget();
        this.#idle[kept++] = connection;
      }
      else connection.destroy();
    }
    this.#idle.length = kept;
    return this.#closed && this.#all.size === 0 && this.#dialling === 0;
  }

  /** Closes idle connections now, and those in use behind their request. */
  retire(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Closes all connections now. */
  destroy(): void {
    this.#closed = true;
    this.#idle.length = 0;
    for (const { socket } of this.#all) socket.destroy();
  }

  readonly #forget = (connection: BackendConnection): void => {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  };
}
