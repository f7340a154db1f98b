import { sql } from "kysely";
import type { AppParts } from "../apps/app-parts.ts";

/** How often unfinished work shows that somebody still does it, and how long it may be silent. */
const beatMs = 15_000;
export const silentMs = 4 * beatMs;

/** Moves `updated_at` of a row on while work on it is under way: on a shared database others see that it is not left over. */
export function keepTouched({ db }: AppParts, table: "builds" | "packages" | "droplets", guid: string): Disposable {
  const timer = setInterval(() => {
    void db.updateTable(table).set({ updated_at: sql<Date>`now()` }).where("guid", "=", guid).execute().catch(() => undefined);
  }, beatMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
