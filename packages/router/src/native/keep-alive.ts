/** A second less than the endpoint says, since its clock started when it wrote, and ours when we read. */
const marginMs = 1_000;

/** How long an endpoint keeps an idle connection, by its `Keep-Alive: timeout=5`; for ever where it says nothing. */
export function keepAliveMs(headers: readonly string[]): number {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name.length !== 10 || name.toLowerCase() !== "keep-alive") continue;
    const seconds = /(?:^|[,;\s])timeout=([0-9]{1,6})/i.exec(headers[at + 1] as string)?.[1];
    if (seconds !== undefined) return Number(seconds) * 1_000 - marginMs;
  }
  return Number.POSITIVE_INFINITY;
}
