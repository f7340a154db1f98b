/** An unbounded sender meets a slow reader: keeps what the limits allow, forgets the oldest first and counts what it forgot. */
export interface Inbox<T> {
  push(item: T): void;
  shift(): T | undefined;
  /** Resolves when there is an item or no more will come. */
  readable(): Promise<void>;
  /** No more items come; what is already there is still read. With an error the reader is told so after the last item. */
  end(error?: Error): void;
  /** Forgets everything. */
  clear(): void;
  readonly pending: number;
  readonly pendingBytes: number;
  readonly dropped: number;
  readonly ended: boolean;
  readonly error: Error | undefined;
}

export interface InboxOptions<T> {
  maxItems: number;
  maxBytes: number;
  bytesOf: (item: T) => number;
}

export function createInbox<T>({ maxItems, maxBytes, bytesOf }: InboxOptions<T>): Inbox<T> {
  let items: (T | undefined)[] = [];
  let head = 0;
  let bytes = 0;
  let dropped = 0;
  let ended = false;
  let failure: Error | undefined;
  let waiting: { promise: Promise<void>; wake: () => void } | undefined;
  const wake = (): void => {
    waiting?.wake();
    waiting = undefined;
  };
  const shift = (): T | undefined => {
    if (head >= items.length) return undefined;
    const item = items[head] as T;
    // Emptied at once: what was read or forgotten must not stay in memory behind the head.
    items[head++] = undefined;
    bytes -= bytesOf(item);
    if (head === items.length) {
      items = [];
      head = 0;
    } else if (head > 1_024 && head * 2 > items.length) {
      items = items.slice(head);
      head = 0;
    }
    return item;
  };
  return {
    push(item) {
      if (ended) return;
      const size = bytesOf(item);
      while (items.length > head && (items.length - head >= maxItems || bytes + size > maxBytes)) {
        shift();
        dropped++;
      }
      items.push(item);
      bytes += size;
      wake();
    },
    shift,
    readable() {
      if (items.length > head || ended) return Promise.resolve();
      if (!waiting) {
        let resolve = (): void => undefined;
        waiting = { promise: new Promise<void>((done) => (resolve = done)), wake: () => resolve() };
      }
      return waiting.promise;
    },
    end(error) {
      if (ended) return;
      ended = true;
      failure = error;
      wake();
    },
    clear() {
      items = [];
      head = 0;
      bytes = 0;
    },
    get pending() {
      return items.length - head;
    },
    get pendingBytes() {
      return bytes;
    },
    get dropped() {
      return dropped;
    },
    get ended() {
      return ended;
    },
    get error() {
      return failure;
    },
  };
}
