/** An unbounded sender meets a slow reader: keeps at most `limit` items, forgets the oldest first and counts what it forgot. */
export interface Inbox<T> extends AsyncIterableIterator<T> {
  push(item: T): void;
  /** No more items come; what is already there is still read. */
  end(): void;
  readonly pending: number;
  readonly dropped: number;
}

export function createInbox<T>(limit: number, onReturn: () => void): Inbox<T> {
  let items: T[] = [];
  let head = 0;
  let dropped = 0;
  let ended = false;
  let wake: (() => void) | undefined;
  const take = (): T | undefined => {
    if (head >= items.length) return undefined;
    const item = items[head++];
    if (head > 1_024 && head * 2 > items.length) {
      items = items.slice(head);
      head = 0;
    }
    return item;
  };
  const inbox: Inbox<T> = {
    push(item) {
      if (ended) return;
      if (items.length - head >= limit) {
        take();
        dropped++;
      }
      items.push(item);
      wake?.();
    },
    end() {
      ended = true;
      wake?.();
    },
    get pending() {
      return items.length - head;
    },
    get dropped() {
      return dropped;
    },
    async next() {
      for (;;) {
        if (items.length > head) return { done: false, value: take() as T };
        if (ended) return { done: true, value: undefined };
        await new Promise<void>((done) => (wake = done));
        wake = undefined;
      }
    },
    return() {
      onReturn();
      ended = true;
      items = [];
      head = 0;
      wake?.();
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]: () => inbox,
  };
  return inbox;
}
