/** What a person sees while the platform works: one line per step, with the time it took. */
export interface Progress {
  step<T>(title: string, work: () => Promise<T>): Promise<T>;
  note(text: string): void;
}

/** Lines for people on `out`; on a terminal a running step shows its time as it grows. */
export function createProgress(out: NodeJS.WriteStream): Progress {
  return {
    async step(title, work) {
      const started = performance.now();
      const seconds = (): string => `${((performance.now() - started) / 1_000).toFixed(2)} s`;
      const line = (mark: string): string => `  ${mark} ${title.padEnd(44)} ${seconds()}`;
      const ticking = out.isTTY ? setInterval(() => out.write(`\r${line("…")}`), 100) : undefined;
      try {
        const result = await work();
        out.write(`${out.isTTY ? "\r" : ""}${line("✓")}\n`);
        return result;
      } catch (error) {
        out.write(`${out.isTTY ? "\r" : ""}${line("✗")}\n`);
        throw error;
      } finally {
        clearInterval(ticking);
      }
    },
    note: (text) => void out.write(`${text}\n`),
  };
}

export const silentProgress: Progress = { step: (_, work) => work(), note: () => undefined };
