import { declaredCases } from "./conformance/declared.ts";
import { limitCases } from "./conformance/limits.ts";
import { portCases } from "./conformance/port.ts";
import { recoveryCases } from "./conformance/recovery.ts";
import { runningCases } from "./conformance/running.ts";
import { stoppingCases } from "./conformance/stopping.ts";
import { type ConformanceCase, owner, Skipped } from "./conformance/world.ts";
import type { Backend } from "./container/container.ts";

export { type ConformanceCase, type ConformanceContext, Skipped } from "./conformance/world.ts";

/**
 * What a backend must do, for any test runner. A case about something that the backend does not claim throws
 * `Skipped`, with the reason.
 */
export const backendCases: readonly ConformanceCase[] = [
  ...declaredCases, ...runningCases, ...stoppingCases, ...recoveryCases, ...portCases, ...limitCases,
];

export interface ConformanceOptions {
  /** `test` of vitest, node:test or another runner. A runner whose test gets a context with `skip` shows what is skipped. */
  test(title: string, run: (context?: unknown) => Promise<void>): unknown;
  /** Makes a backend, and an empty folder for it; called for each case. */
  make(): Promise<{ backend: Backend; again?: () => Promise<Backend>; dir: string } & Partial<AsyncDisposable>>;
  /** Cases this backend cannot pass, with the reason: they are shown and not run. */
  cannot?: Readonly<Record<string, string>>;
}

/** Registers all cases with a test runner. */
export function backendConformance(name: string, { test, make, cannot = {} }: ConformanceOptions): void {
  for (const { title, check } of backendCases) {
    const reason = cannot[title];
    if (reason !== undefined) {
      test(`${name} cannot: ${title} (${reason})`, async () => {});
      continue;
    }
    test(`${name}: ${title}`, async (context) => {
      const made = await make();
      try {
        await check({ backend: made.backend, again: made.again ?? (async () => made.backend), dir: made.dir });
      } catch (error) {
        if (!(error instanceof Skipped)) throw error;
        (context as { skip?(why: string): void } | undefined)?.skip?.(error.message);
      } finally {
        await made.backend.open({ dir: made.dir, owner }).catch(() => {});
        await made.backend.sweep(new Set()).catch(() => {});
        await made.backend[Symbol.asyncDispose]();
        await made[Symbol.asyncDispose]?.();
      }
    });
  }
}
