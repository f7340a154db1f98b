import type { RequestRecord } from "../proxy/record.ts";
import { Traffic } from "./traffic.ts";

/** Traffic of one app on one route. `app` is empty where the endpoint has none; both are, for what is counted together. */
export interface AppTraffic {
  readonly app: string;
  readonly route: string;
  readonly traffic: Traffic;
}

export interface PerAppOptions {
  /** Pairs of app and route kept apart. Default 1000; what comes beyond is counted together. */
  max?: number;
  /** A pair without requests for so long may give its place away. Default 600 000 ms. */
  idleMs?: number;
}

/** Between two searches for places that have become free. */
const sweepMs = 10_000;

/**
 * Numbers per app and route, of which there are never more than allowed. A pair that loses its place is added to the rest,
 * so that sums never shrink.
 */
export class PerApp {
  readonly #max: number;
  readonly #idleMs: number;
  // Two levels, since joining two names for each request would cost more than looking twice.
  readonly #routes = new Map<string, Map<string, AppTraffic>>();
  readonly #rest: AppTraffic;
  #size = 0;
  #sweptMs = 0;
  #evicted = 0;

  constructor(nowMs: number, { max = 1_000, idleMs = 600_000 }: PerAppOptions = {}) {
    this.#max = max;
    this.#idleMs = idleMs;
    this.#rest = { app: "", route: "", traffic: new Traffic(nowMs) };
  }

  count(record: RequestRecord, nowMs: number): void {
    // What belongs to no route is nobody's: it is in the router's own numbers.
    if (record.route === undefined) return;
    this.#of(record.route, record.endpoint?.app ?? "", nowMs).traffic.count(record, nowMs);
  }

  #of(route: string, app: string, nowMs: number): AppTraffic {
    const held = this.#routes.get(route)?.get(app);
    if (held !== undefined) return held;
    if (this.#size >= this.#max) this.#sweep(nowMs);
    if (this.#size >= this.#max) return this.#rest;
    const made: AppTraffic = { app, route, traffic: new Traffic(nowMs) };
    const apps = this.#routes.get(route);
    if (apps === undefined) this.#routes.set(route, new Map([[app, made]]));
    else apps.set(app, made);
    this.#size += 1;
    return made;
  }

  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptMs < sweepMs) return;
    this.#sweptMs = nowMs;
    for (const [route, apps] of this.#routes) {
      for (const [app, { traffic }] of apps) {
        if (nowMs - traffic.lastMs <= this.#idleMs) continue;
        this.#rest.traffic.merge(traffic);
        apps.delete(app);
        this.#size -= 1;
        this.#evicted += 1;
      }
      if (apps.size === 0) this.#routes.delete(route);
    }
  }

  /** Every pair, and last what is counted together, if there is any. */
  *all(): Generator<AppTraffic> {
    for (const apps of this.#routes.values()) yield* apps.values();
    if (this.#rest.traffic.requests > 0) yield this.#rest;
  }

  /** What went to a route, by app. */
  ofRoute(route: string): Iterable<AppTraffic> {
    return this.#routes.get(route)?.values() ?? [];
  }

  get size(): number { return this.#size; }
  /** Pairs that lost their place. */
  get evicted(): number { return this.#evicted; }
}
