import type { Inbox } from "../inbox.ts";

/** Reads an inbox in a loop. Several may wait at once; each item goes to one of them. */
export function createReader<T, R>(inbox: Inbox<T>, read: (item: T) => R | undefined, leave: () => void): AsyncIterator<R, undefined> {
  return {
    async next() {
      for (;;) {
        for (let item; (item = inbox.shift()) !== undefined; ) {
          const value = read(item);
          if (value !== undefined) return { done: false, value };
        }
        if (inbox.ended) {
          if (inbox.error) throw inbox.error;
          return { done: true, value: undefined };
        }
        await inbox.readable();
      }
    },
    return() {
      leave();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}
