import type { World } from "./world.ts";

/** One line on standard error: when (UTC, RFC 3339), what, and the details as JSON. */
export function sayLine({ stderr }: Pick<World, "stderr">, event: string, data: object): void {
  stderr.write(`${new Date().toISOString()} ${event} ${JSON.stringify(data)}\n`);
}
