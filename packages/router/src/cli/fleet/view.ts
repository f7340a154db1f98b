import type { StatusView } from "../../status.ts";
import { addApp, appReportOf, mergeReports, remainsOf, type AppSum } from "../../status/merge.ts";
import type { AppReport, HealthReport, RouterReport } from "../../status/report.ts";
import { emptyReport } from "./empty.ts";
import { mergeRows } from "./rows.ts";
import type { RouteRows } from "../../status/rows.ts";
import type { Link } from "./link.ts";
import type { Subject } from "./protocol.ts";

/** All workers have so long to answer together. */
const gatherMs = 2_000;
/** Balancers ask often and wait little. */
const healthMs = 1_000;
/** One that was silent the last time has only so long until it answers again: nobody waits for it twice. */
const silentMs = 100;
/** So many pairs of app and route of dead workers are remembered; the others are counted together. */
const maxRemembered = 1_000;

/** One of the workers: the place, which is kept, and who is there at the moment. */
interface Place {
  readonly worker: number;
  link: Link | undefined;
  pid: number;
  silent: boolean;
  /** What it told last: it counts while the worker is silent, so that sums do not shrink. */
  report: RouterReport | undefined;
  apps: readonly AppReport[];
}

/** The status of several workers as one router's. */
export interface Fleet {
  readonly view: StatusView;
  /** A worker has begun. */
  joined(worker: number, pid: number, link: Link): void;
  /** It is gone; what it has counted stays. */
  left(worker: number): void;
  /** They have been told to end. */
  drain(): void;
}

interface Told<T> { readonly place: Place; readonly value: T | undefined }

export function createFleet(count: number, { gatherTimeoutMs = gatherMs, healthTimeoutMs = healthMs }: { gatherTimeoutMs?: number; healthTimeoutMs?: number } = {}): Fleet {
  const places: Place[] = Array.from({ length: count }, (_, at) => ({ worker: at + 1, link: undefined, pid: 0, silent: false, report: undefined, apps: [] }));
  const startedAtMs = Date.now();
  const running = new Map<string, Promise<unknown>>();
  let remains: RouterReport | undefined;
  const rememberedApps = new Map<string, AppSum>();
  let draining = false;

  /** Asks all at once; several who want the same share one question. */
  function gather<T>(about: Subject, query: string, ms: number): Promise<Told<T[]>[]> {
    const key = `${about} ${query}`;
    const under = running.get(key) as Promise<Told<T[]>[]> | undefined;
    if (under !== undefined) return under;
    const all = Promise.all(places.map(async (place) => {
      const { link } = place;
      const value = await whole<T>(link, about, query, place.silent ? Math.min(ms, silentMs) : ms);
      if (link === place.link) place.silent = link !== undefined && value === undefined;
      return { place, value };
    })).finally(() => running.delete(key));
    running.set(key, all);
    return all;
  }

  function note(told: readonly Told<RouterReport[]>[]): void {
    for (const { place, value } of told) if (value?.[0] !== undefined) place.report = value[0];
  }

  async function health(): Promise<HealthReport> {
    const told = (await gather<HealthReport>("health", "", healthTimeoutMs)).flatMap(({ value }) => value ?? []);
    const sum = (of: (each: HealthReport) => number): number => told.reduce((total, each) => total + of(each), 0);
    const state = stateOf(told.map((each) => each.state));
    return { state, healthy: state === "healthy", requests: sum(({ requests }) => requests), tunnels: sum(({ tunnels }) => tunnels), routes: Math.max(0, ...told.map(({ routes }) => routes)) };
  }

  /** The worst there is among those who answer; where at least one serves, those who only begin do not count. */
  const stateOf = (states: readonly string[]): string =>
    draining ? "draining" : ["degraded", "draining", "healthy"].find((state) => states.includes(state)) ?? "starting";

  async function numbers(): Promise<RouterReport> {
    const told = await gather<RouterReport>("numbers", "", gatherTimeoutMs);
    note(told);
    const reports = places.flatMap(({ report }) => report ?? []);
    const sum = [...reports, ...(remains === undefined ? [] : [remains])].reduce<RouterReport | undefined>((all, each) => (all === undefined ? each : mergeReports(all, each)), undefined) ?? emptyReport();
    const workers = told.map(({ place: { worker, pid, link }, value }) => ({ worker, pid, state: link === undefined ? "dead" : value?.[0]?.state ?? "silent" }));
    const state = stateOf(workers.map((each) => each.state));
    return { ...sum, startedAtMs, nowMs: Date.now(), state, healthy: state === "healthy", workers };
  }

  async function* apps(): AsyncGenerator<readonly AppReport[]> {
    for (const { place, value } of await gather<AppReport[]>("apps", "", gatherTimeoutMs)) {
      if (value !== undefined) place.apps = value.flat();
      yield place.apps;
    }
    yield [...rememberedApps.values()].map(appReportOf);
  }

  async function rows(query: string): Promise<RouteRows> {
    const told = await gather<RouteRows>("rows", query, gatherTimeoutMs);
    return mergeRows(told.flatMap(({ value }) => (value === undefined ? [] : [{ rows: value.flatMap((piece) => piece.rows), count: value[0]?.count ?? 0 }])));
  }

  /** Every worker holds the whole table: the one that knows most of it tells it. */
  async function* routes(): AsyncGenerator<string> {
    const told = await gather<HealthReport>("health", "", healthTimeoutMs);
    const [best] = told.filter(({ value }) => value !== undefined).sort((one, other) => (other.value?.[0]?.routes ?? 0) - (one.value?.[0]?.routes ?? 0));
    if (best?.place.link === undefined) throw new Error("no worker answers");
    yield* best.place.link.ask<string>("routes", "", gatherTimeoutMs);
  }

  return {
    view: { health, numbers, apps, rows, routes },
    joined(worker, pid, link) {
      const place = places[worker - 1] as Place;
      place.link = link;
      place.pid = pid;
      place.silent = false;
    },
    left(worker) {
      const place = places[worker - 1] as Place;
      place.link?.close();
      place.link = undefined;
      if (place.report !== undefined) {
        const counted = remainsOf(place.report);
        remains = remains === undefined ? counted : mergeReports(remains, counted);
      }
      for (const report of place.apps) {
        const known = rememberedApps.has(`${report.app} ${report.route}`) || rememberedApps.size < maxRemembered;
        addApp(rememberedApps, report, known ? report.app : "", known ? report.route : "");
      }
      place.report = undefined;
      place.apps = [];
    },
    drain() { draining = true; },
  };
}

/** All pieces of an answer; undefined when they are not there in time. */
async function whole<T>(link: Link | undefined, about: Subject, query: string, ms: number): Promise<T[] | undefined> {
  if (link === undefined) return undefined;
  const end = performance.now() + ms;
  const pieces: T[] = [];
  try {
    for (const asked = link.ask<T>(about, query, ms); ;) {
      const { done, value } = await asked.next();
      if (done === true) return pieces;
      pieces.push(value);
      if (performance.now() > end) {
        await asked.return(undefined);
        return undefined;
      }
    }
  } catch {
    return undefined;
  }
}
