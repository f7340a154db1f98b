import type { NatsConnection } from "nats";

/** Whether the server can be reached just now, and word of every change. */
export interface Link {
  readonly up: boolean;
  /** Runs with every loss and every return of the connection. @returns what ends it */
  on(changed: (up: boolean) => void): () => void;
}

const links = new WeakMap<NatsConnection, Link>();

/** One for a connection, however many stores use it: the client offers no way to stop listening to it. */
export function linkOf(connection: NatsConnection): Link {
  const known = links.get(connection);
  if (known) return known;
  let up = !connection.isClosed();
  const listeners = new Set<(up: boolean) => void>();
  const tell = (now: boolean): void => {
    up = now;
    for (const listen of [...listeners]) listen(now);
  };
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type === "disconnect") tell(false);
      else if (type === "reconnect") tell(true);
    }
  })().catch(() => undefined);
  // Told even if it was away already: now it stays away.
  const ended = (): void => tell(false);
  void connection.closed().then(ended, ended);
  const link: Link = {
    get up() {
      return up;
    },
    on(changed) {
      listeners.add(changed);
      return () => void listeners.delete(changed);
    },
  };
  links.set(connection, link);
  return link;
}

/** Waits until the server can be reached, `ms` at most. @returns whether it can */
export function whenUp(connection: NatsConnection, ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  const link = linkOf(connection);
  if (link.up || signal?.aborted) return Promise.resolve(link.up);
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer);
      off();
      signal?.removeEventListener("abort", end);
      done(link.up);
    };
    const timer = setTimeout(end, ms);
    const off = link.on((up) => (up || connection.isClosed()) && end());
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** Settles as `promise` does, or rejects as soon as the connection is lost: an answer would not find its way back. */
export function orLost<T>(connection: NatsConnection, promise: Promise<T>): Promise<T> {
  return new Promise<T>((done, fail) => {
    const off = linkOf(connection).on(() => fail(new Error("the connection was lost before the answer came")));
    promise.then(done, fail).finally(off);
  });
}
