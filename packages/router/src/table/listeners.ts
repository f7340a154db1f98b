/** Adds a listener for as long as the result is not disposed. */
export function listenAmong<T>(listeners: Set<T>, listener: T): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => void listeners.delete(listener) };
}
