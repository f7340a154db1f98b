import { RouterError } from "./errors.ts";
import { writeTable, readTable } from "./saved/table-file.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RouteSource, RunningSource, SourceContext } from "./source.ts";

export interface SavedRoutesOptions {
  /** Where the table is kept between two runs; mode 0600. */
  file: string;
  /** An older file is not used. Default 600 000 ms: what was true then need not be now. */
  maxAgeMs?: number;
  /** Between two savings while the router runs; at its end it saves once more. Default 30 000 ms; 0 = only at the end. */
  saveEveryMs?: number;
  /** How long an endpoint from the file may stay without being registered anew. Default 60 000 ms: three rounds of registrations. */
  confirmWithinMs?: number;
  /** False only reads, e.g. where several workers share one file. Default true. */
  write?: boolean;
}

/** Between two looks for the first confirmation. */
const lookMs = 25;

/**
 * A warm restart: brings back the table of the last run, so that the router need not wait until everybody has registered again.
 * Put it before the other sources. Endpoints from the file are unconfirmed until somebody registers them, and leave by age when nobody does
 * (those with TLS stay, as always: their certificate says who they are). Only endpoints that are kept alive by repetition are saved.
 * A file that is damaged or too old is left aside with a warning.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function savedRoutes({ file, maxAgeMs = 600_000, saveEveryMs = 30_000, confirmWithinMs = 60_000, write = true }: SavedRoutesOptions): RouteSource {
  if (file === "") throw new RouterError("ROUTER_BAD_OPTION", "savedRoutes: file is empty");
  for (const [name, value, least] of [["maxAgeMs", maxAgeMs, 1], ["saveEveryMs", saveEveryMs, 0], ["confirmWithinMs", confirmWithinMs, 1]] as const) {
    if (!Number.isInteger(value) || value < least || value > 0x7fffffff) throw new RouterError("ROUTER_BAD_OPTION", `savedRoutes: ${name} ${String(value)} is no whole number from ${least} on`);
  }
  return {
    name: `saved ${file}`,
    async start({ table, log, clock }: SourceContext): Promise<RunningSource> {
      /** What came from the file, with the age it was given: whoever registers it anew makes it younger, or exchanges it. */
      const unconfirmed = new Map<string, { readonly endpoint: Endpoint; readonly ageMs: number }>();
      let added: Endpoint | undefined;
      // One that was exchanged or left is not held any longer.
      const watching = table.onChange(({ type, endpoint, route }) => {
        added = type === "added" ? endpoint : undefined;
        if (unconfirmed.size > 0) unconfirmed.delete(keyOf(route, endpoint));
      });
      let restored = 0;
      let refused = 0;
      let saved = 0;
      let failures = 0;
      let saving: Promise<void> = Promise.resolve();
      let timer: Disposable | undefined;

      const why = await readTable(file, { nowMs: clock.now(), maxAgeMs }, ({ route, endpoint, options, lastSeenMs }) => {
        try {
          if (table.register(route, endpoint, options) !== "added") return;
        } catch (cause) {
          refused += 1;
          if (!(cause instanceof RouterError)) throw cause;
          return;
        }
        restored += 1;
        if (added === undefined) return;
        const nowMs = clock.now();
        // As old as it is, but no older than leaves it the time to be confirmed, and older than any registration to come.
        const ageMs = added.lastSeenMs = Math.min(nowMs - 1, Math.max(lastSeenMs, nowMs - (endpoint.staleAfterMs as number) + confirmWithinMs));
        unconfirmed.set(keyOf(route, added), { endpoint: added, ageMs });
      });
      if (why === undefined) log.info("router.saved.restored", { file, endpoints: restored, refused });
      else if (why !== "missing") log.warn("router.saved.unusable", { file, why, endpoints: restored });

      const waits = (): boolean => {
        for (const { endpoint, ageMs } of unconfirmed.values()) if (endpoint.lastSeenMs !== ageMs) return false;
        return unconfirmed.size === expected;
      };
      const expected = unconfirmed.size;

      const save = (): Promise<void> => saving = saving.then(async () => {
        try {
          saved = await writeTable(file, table.snapshot(), clock.now());
          failures = 0;
        } catch (cause) {
          failures += 1;
          if (failures === 1) log.error("router.saved.failed", { file, error: (cause as Error).message });
        }
      });
      const again = (): void => {
        if (write && saveEveryMs > 0) timer = clock.after(saveEveryMs, () => void save().then(again));
      };
      again();
      let ended = false;

      return {
        numbers: () => ({ restored, refused_routes: refused, unconfirmed: count(unconfirmed.values(), ({ endpoint, ageMs }) => endpoint.lastSeenMs === ageMs), saved, save_failures: failures }),
        isUnconfirmed(route, endpoint) {
          const held = unconfirmed.get(keyOf(route, endpoint));
          return held !== undefined && held.endpoint === endpoint && endpoint.lastSeenMs === held.ageMs;
        },
        confirmed(signal) {
          if (expected === 0) return undefined;
          return new Promise((resolve) => {
            const look = setInterval(() => {
              if (waits() && !signal.aborted) return;
              clearInterval(look);
              resolve();
            }, lookMs);
            signal.addEventListener("abort", () => { clearInterval(look); resolve(); }, { once: true });
          });
        },
        async [Symbol.asyncDispose]() {
          if (ended) return;
          ended = true;
          timer?.[Symbol.dispose]();
          watching[Symbol.dispose]();
          if (write) await save();
        },
      };
    },
  };
}

const keyOf = (route: string, { address }: Endpoint): string => `${route} ${address}`;

function count<T>(all: Iterable<T>, test: (one: T) => boolean): number {
  let found = 0;
  for (const one of all) if (test(one)) found += 1;
  return found;
}
