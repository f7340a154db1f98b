/** Things that live, ended in reverse order of their beginning. What `AsyncDisposableStack` will be once every supported Node has it. */
export interface Parts extends AsyncDisposable {
  use<T extends AsyncDisposable | Disposable>(part: T): T;
}

/** Each part gets `limitMs` to end (default 15 000 ms): one that hangs must not keep the others alive. */
export function createParts({ limitMs = 15_000 }: { limitMs?: number } = {}): Parts {
  const living: (AsyncDisposable | Disposable)[] = [];
  let ending: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (let part = living.pop(); part; part = living.pop()) {
      let timer: NodeJS.Timeout | undefined;
      const tooLong = new Promise<never>((_, fail) => {
        timer = setTimeout(() => fail(new Error(`a part did not end within ${limitMs} ms`)), limitMs);
      });
      try {
        await Promise.race([Symbol.asyncDispose in part ? part[Symbol.asyncDispose]() : part[Symbol.dispose](), tooLong]);
      } catch (error) {
        failures.push(error);
      } finally {
        clearTimeout(timer);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "several parts did not end well");
  };
  return {
    use(part) {
      living.push(part);
      return part;
    },
    [Symbol.asyncDispose]: () => (ending ??= end()),
  };
}

/** Takes several parts that start at the same time, in this order. When one fails the others are taken all the same, so that they are ended. */
export async function useAll(parts: Parts, starting: readonly (Promise<AsyncDisposable> | false)[]): Promise<void> {
  const results = await Promise.allSettled(starting.filter((each) => each !== false));
  for (const result of results) if (result.status === "fulfilled") parts.use(result.value);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

/** Starts something made of several parts: when a later one fails, the earlier ones are ended before the error goes on. */
export async function assemble<T extends object>(build: (parts: Parts) => Promise<T>): Promise<T & AsyncDisposable> {
  const parts = createParts();
  try {
    const made = await build(parts);
    return Object.assign(made, { [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() });
  } catch (error) {
    // What failed first is what the caller needs to hear of.
    await Promise.resolve(parts[Symbol.asyncDispose]()).catch(() => undefined);
    throw error;
  }
}
