/**
 * Keeps messages of a second stream in their place among those of a first one that waits in an inbox from time to time.
 * The first stream is known by how many of it wait, and by how many were dropped; not every one of it is heard of, since what cannot
 * be read never arrives.
 */
export interface Order<T> {
  /** A message of the second stream: acted on now, or when all that waits before it is through. */
  follow(message: T, pending: number, dropped: number): void;
  /** The first stream goes on after a pause, with so many that wait. */
  resume(pending: number): void;
  /** A message of the first stream is next. Whatever came before it is acted on now. */
  reach(pending: number, dropped: number): void;
  /** Nobody is at work. When none waits, nothing is to be waited for. */
  settle(pending: number): void;
}

export function createOrder<T>(act: (message: T) => void): Order<T> {
  const held: { readonly after: number; readonly message: T }[] = [];
  /** Of the first stream, how many have left its inbox. */
  let through = 0;
  let lastPending = 0;

  const release = (upTo: number): void => {
    let count = 0;
    while (count < held.length && (held[count] as { after: number }).after <= upTo) count += 1;
    for (const { message } of held.splice(0, count)) act(message);
  };

  return {
    follow(message, pending, dropped) {
      if (pending === 0) {
        release(Infinity);
        act(message);
      } else held.push({ after: through + dropped + pending, message });
    },
    resume(pending) { lastPending = pending; },
    reach(pending, dropped) {
      const left = lastPending - pending;
      lastPending = pending;
      // It did not wait: then nothing before it does.
      if (left <= 0) return release(Infinity);
      through += left;
      release(through + dropped - 1);
    },
    settle(pending) { if (pending === 0) release(Infinity); },
  };
}
