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

export function createInbox<T>(options: InboxOptions<T>): Inbox<T> {
  return new BoundedInbox(options);
}

/** A class, since there is one for every subscription. */
class BoundedInbox<T> implements Inbox<T> {
  private readonly options: InboxOptions<T>;
  private items: (T | undefined)[] = [];
  private head = 0;
  private waiting: { readonly promise: Promise<void>; readonly wake: () => void } | undefined = undefined;
  pendingBytes = 0;
  dropped = 0;
  ended = false;
  error: Error | undefined = undefined;

  constructor(options: InboxOptions<T>) {
    this.options = options;
  }

  get pending(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    if (this.ended) return;
    const { maxItems, maxBytes, bytesOf } = this.options;
    const size = bytesOf(item);
    while (this.pending > 0 && (this.pending >= maxItems || this.pendingBytes + size > maxBytes)) {
      this.shift();
      this.dropped++;
    }
    this.items.push(item);
    this.pendingBytes += size;
    this.wake();
  }

  shift(): T | undefined {
    const { items } = this;
    if (this.head >= items.length) return undefined;
    const item = items[this.head] as T;
    // Emptied at once: what was read or forgotten must not stay in memory behind the head.
    items[this.head++] = undefined;
    this.pendingBytes -= this.options.bytesOf(item);
    if (this.head === items.length) {
      this.items = [];
      this.head = 0;
    } else if (this.head > 1_024 && this.head * 2 > items.length) {
      this.items = items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  readable(): Promise<void> {
    if (this.pending > 0 || this.ended) return Promise.resolve();
    if (!this.waiting) {
      let wake = (): void => undefined;
      this.waiting = { promise: new Promise<void>((done) => (wake = done)), wake: () => wake() };
    }
    return this.waiting.promise;
  }

  end(error?: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.wake();
  }

  clear(): void {
    this.items = [];
    this.head = 0;
    this.pendingBytes = 0;
  }

  private wake(): void {
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.wake();
  }
}
