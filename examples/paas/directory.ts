import type { Bus } from "@opencf/bus";
import { componentAnnounce, componentDiscover } from "@opencf/bus/messages";

/** Finds the other parts of the platform by asking on the bus; nobody keeps a list of hosts. */
export interface Directory extends Disposable {
  /**
   * `http://host:port` of a part of this type.
   * @throws Error when none answers within `timeoutMs` (default 5 000)
   */
  baseUrl(type: string, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<string>;
  /** Says that the address no longer answers: the next call asks again. */
  forget(type: string): void;
  /** A `fetch` for paths of a part: resolves the address, and once more when the connection is refused. */
  fetch(type: string, path: string, init?: RequestInit): Promise<Response>;
}

export function createDirectory(bus: Bus): Directory {
  const known = new Map<string, string>();
  const asking = new Map<string, Promise<string>>();
  // The status page is at `host`; the work is done at `address`, where a component names one.
  const learn = ({ type, host, address = host }: { type: string; host: string; address?: string }): void => void known.set(type, `http://${address}`);
  const heard = bus.subscribe(componentAnnounce, ({ body }) => void learn(body));

  const ask = async (type: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<string> => {
    const until = Date.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      for (const answer of await bus.gather(componentDiscover, {}, { waitMs: 150, ...(signal && { signal }) })) learn(answer);
      const url = known.get(type);
      if (url !== undefined) return url;
      if (Date.now() > until) throw new Error(`no ${type} answers on the bus: is a process with its role running?`);
      await new Promise((done) => setTimeout(done, 100));
    }
  };

  const directory: Directory = {
    async baseUrl(type, { timeoutMs = 5_000, signal } = {}) {
      const url = known.get(type);
      if (url !== undefined) return url;
      let running = asking.get(type);
      if (!running) {
        running = ask(type, timeoutMs, signal).finally(() => asking.delete(type));
        asking.set(type, running);
      }
      return running;
    },
    forget: (type) => void known.delete(type),
    async fetch(type, path, init) {
      const signal = init?.signal ?? undefined;
      try {
        return await fetch(`${await directory.baseUrl(type, { ...(signal && { signal }) })}${path}`, init);
      } catch (error) {
        if (signal?.aborted || init?.body instanceof ReadableStream) throw error;
        directory.forget(type);
        return fetch(`${await directory.baseUrl(type, { ...(signal && { signal }) })}${path}`, init);
      }
    },
    [Symbol.dispose]: () => heard[Symbol.dispose](),
  };
  return directory;
}
