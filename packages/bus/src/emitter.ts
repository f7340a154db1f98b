/** The smallest list of listeners: one kind of event, a listener that throws harms nobody. */
export interface Emitter<T> {
  on(listen: (event: T) => void): Disposable;
  emit(event: T): void;
}

export function createEmitter<T>(): Emitter<T> {
  const listeners = new Set<(event: T) => void>();
  return {
    on(listen) {
      const own = (event: T): void => listen(event);
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
    emit(event) {
      for (const listen of [...listeners])
        try {
          listen(event);
        } catch (error) {
          queueMicrotask(() => process.emitWarning(error instanceof Error ? error : String(error)));
        }
    },
  };
}
