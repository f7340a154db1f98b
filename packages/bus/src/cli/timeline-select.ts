import type { TapDocument } from "./document.ts";
import { type Facts, factsOf } from "./timeline-facts.ts";

/** What belongs to one start or one move. */
export interface Story {
  readonly documents: readonly TapDocument[];
  readonly traces: readonly string[];
  readonly apps: readonly string[];
  readonly instances: readonly string[];
}

/** A needle that stands for the next instance that is started. */
export const anyStart = "any";

const starts = new Set(["dea.{id}.start", "diego.desire.app", "diego.docker.desire.app"]);
/** Commands that name an app and an index, but not yet or no more an instance; peers without trace headers send them too. */
const commands = new Set(["dea.{id}.start", "dea.stop", "hm9000.start", "hm9000.stop"]);
/** How long before the first sign of an instance its start command may have been given. */
const startedWithinMs = 120_000;
/** A prefix that is shorter could be anything. */
const shortestPrefix = 4;

/**
 * All that belongs to an instance, an app or a trace: what names it, what has the same trace, the two ends of a request.
 * Of a trace that did several things only what concerns the same app, and for an instance the same index, is taken.
 * @param needle guid, trace id, the beginning of one, or `any`
 */
export function storyOf(documents: readonly TapDocument[], needle: string): Story {
  if (needle === anyStart) {
    const start = documents.find(({ message, answers }) => message !== null && answers === null && starts.has(message));
    if (!start) return { documents: [], traces: [], apps: [], instances: [] };
    const app = factsOf(start).entries[0]?.app;
    // A trace reaches back to what led to the start; of an app only what comes now is meant.
    if (start.trace !== null) return storyOf(documents, start.trace);
    return app === undefined ? { documents: [start], traces: [], apps: [], instances: [] } : storyOf(documents.slice(documents.indexOf(start)), app);
  }
  const isIt = (name: string | null | undefined): boolean => name != null && (name === needle || (needle.length >= shortestPrefix && name.startsWith(needle)));
  // `tap` shows the end of a trace id: ids of one sender begin alike.
  const isTrace = (trace: string | null): boolean => isIt(trace) || (trace !== null && needle.length >= shortestPrefix && trace.endsWith(needle.replace(/^~/, "")));
  const asked = new Set(documents.filter(({ trace }) => isTrace(trace)).map(({ trace }) => trace as string));
  const direct = documents.filter((document) => [...factsOf(document).names].some(isIt));
  const entries = direct.flatMap((document) => factsOf(document).entries.filter((entry) => !factsOf(document).isList || isIt(entry.instance) || isIt(entry.app)));
  const byInstance = entries.filter(({ instance }) => isIt(instance));
  const focus = {
    apps: new Set(entries.map(({ app }) => app).filter((app) => app !== undefined)),
    // Only who asks for one instance means one index.
    indices: new Set(byInstance.map(({ index }) => index).filter((index) => index !== undefined)),
    instances: new Set(byInstance.map(({ instance }) => instance as string)),
  };
  const fits = ({ app, index }: Facts): boolean =>
    (app === undefined || focus.apps.size === 0 || focus.apps.has(app)) && (index === undefined || focus.indices.size === 0 || focus.indices.has(index));

  const traces = new Set(asked);
  const picked = new Set(direct);
  const firstMs = Math.min(...direct.map(({ at }) => Date.parse(at)));
  for (let before = -1, rounds = 0; picked.size !== before && rounds < 8; rounds++) {
    before = picked.size;
    for (const document of picked) {
      const { isList, entries: told } = factsOf(document);
      if (!isList && document.trace !== null) traces.add(document.trace);
      if (!isList) for (const entry of told) if (entry.instance !== undefined && fits(entry)) focus.instances.add(entry.instance);
      if (document.trace !== null && asked.has(document.trace)) for (const { app } of told) if (app !== undefined) focus.apps.add(app);
    }
    const inboxes = new Map([...picked].filter(({ reply }) => reply !== null).map(({ reply }) => [reply as string, true]));
    const answered = new Set([...picked].filter(({ answers }) => answers !== null).map(({ subject }) => subject));
    for (const document of documents) if (!picked.has(document) && belongs(document, inboxes, answered)) picked.add(document);
  }
  return { documents: documents.filter((document) => picked.has(document)), traces: [...traces], apps: [...focus.apps], instances: [...focus.instances] };

  function belongs(document: TapDocument, inboxes: ReadonlyMap<string, boolean>, answered: ReadonlySet<string>): boolean {
    const { trace, subject, reply, answers, message, at } = document;
    const { entries: told, isList } = factsOf(document);
    if (trace !== null && asked.has(trace)) return true;
    if (answers !== null && inboxes.has(subject)) return true;
    if (reply !== null && answered.has(reply)) return true;
    if (told.some(({ instance }) => instance !== undefined && focus.instances.has(instance))) return true;
    if (isList) return false;
    if (trace !== null) return traces.has(trace) && (told.length === 0 || told.some(fits));
    if (message === null || !commands.has(message) || focus.apps.size === 0 || focus.indices.size === 0) return false;
    const beforeMs = firstMs - Date.parse(at);
    return beforeMs <= startedWithinMs && told.some((entry) => entry.app !== undefined && entry.index !== undefined && fits(entry));
  }
}
