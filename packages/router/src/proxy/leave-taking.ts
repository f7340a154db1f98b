import type { Duplex } from "node:stream";
import type { Tunnel } from "./join.ts";

/** By its client's socket, the tunnel that can be asked to end. */
const known = new WeakMap<Duplex, Tunnel>();

export const rememberTunnel = (socket: Duplex, tunnel: Tunnel): void => void known.set(socket, tunnel);

/** Tunnels that are told to end in one millisecond: their clients come back elsewhere, and not all in the same moment. */
const perMs = 1;
/** For the two sides of a tunnel to end by themselves. */
const answerMs = 1_000;

/**
 * Has tunnels end as their protocol has it (RFC 6455, 7.1.1: a close frame, 1001, at the end of a frame), one after the other within
 * `withinMs`, and waits a second at most for the ends of both sides. What is left then is cut.
 */
export async function takeLeave(tunnels: ReadonlySet<Duplex>, withinMs: number): Promise<void> {
  const begun = performance.now();
  const all = [...tunnels].flatMap((socket) => known.get(socket) ?? []);
  const spreadMs = Math.max(0, Math.min(all.length / perMs, withinMs));
  for (let told = 0; told < all.length;) {
    const due = spreadMs === 0 ? all.length : Math.ceil((all.length * (performance.now() - begun)) / spreadMs);
    for (; told < Math.min(due, all.length); told += 1) all[told]?.leave();
    if (told < all.length) await pause(5);
  }
  const waiting = new AbortController();
  await Promise.race([Promise.all(all.map(({ over }) => over)), pause(answerMs, waiting.signal)]);
  waiting.abort();
  for (const { cut } of all) cut();
}

const pause = (ms: number, signal?: AbortSignal): Promise<void> => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => clearTimeout(timer), { once: true });
});
