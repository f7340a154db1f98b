// Requests at a fixed rate, whatever became of those before, and the backend that answers them, in one process: on a machine with two
// cores the proxy then has one for itself. It never sleeps while it measures, so that each request leaves when it is due.
import { setPriority } from "node:os";
import { AnswerReader } from "./answer-reader.mjs";
import { startBackend } from "./backend.mjs";
import { openSocket } from "./client-socket.mjs";
import { median, quantile, sorted } from "./figures.mjs";
import { sameRequest } from "./messages.mjs";
import { serve } from "./part.mjs";

/** Before other helpers on the same core, where the system allows it. */
let first = true;
try { setPriority(-10); } catch { first = false; }

/** The first requests of new connections are no steady load: so many milliseconds' worth are sent and not counted. */
const leadInMs = 500;

/** Pauses of the machine fall into few pieces of this length: the usual piece is what the proxy does when nobody disturbs it. */
const pieceMs = 200;

/**
 * @param perSecond how many requests begin in a second, evenly spread over at most `connections` connections; one that is due while none
 * is free waits, and that counts.
 * Gives milliseconds since a request was due until its answer was complete; `usual99`, the median of the p99 of each piece; `lag`, how late this process itself was.
 */
async function measure({ port, perSecond, ms, connections = 64 }) {
  const leading = Math.round(perSecond * leadInMs / 1_000);
  const total = leading + Math.max(1, Math.round(perSecond * ms / 1_000));
  const waits = new Float64Array(total);
  const lags = new Float64Array(total);
  const free = [];
  const due = [];
  let [sent, answered, errors, nextDue] = [0, 0, 0, 0];
  let finish;
  const done = new Promise((resolve, reject) => { finish = { resolve, reject }; });
  const all = await Promise.all(Array.from({ length: connections }, async () => {
    const reader = new AnswerReader();
    const one = { socket: undefined, dueAt: 0, turn: 0 };
    const read = (buffer, length) => {
      try { if (!reader.feed(buffer, length)) return; } catch (cause) { finish.reject(cause); return; }
      waits[one.turn] = performance.now() - one.dueAt;
      answered += 1;
      if (reader.status !== 200) errors += 1;
      const next = due.shift();
      if (next !== undefined) send(one, next.dueAt, next.turn);
      else free.push(one);
      if (answered === total) finish.resolve();
    };
    one.socket = await openSocket({ port, read });
    one.socket.on("error", (cause) => finish.reject(cause));
    one.socket.on("close", () => finish.reject(new Error("a connection ended")));
    return one;
  }));
  free.push(...all);
  const send = (one, dueAt, turn) => { one.dueAt = dueAt; one.turn = turn; one.socket.write(sameRequest); };
  const started = performance.now();
  const loop = () => {
    const now = performance.now();
    for (; sent < total && (nextDue = started + sent / perSecond * 1_000) <= now; sent += 1) {
      lags[sent] = now - nextDue;
      const one = free.pop();
      if (one === undefined) due.push({ dueAt: nextDue, turn: sent });
      else send(one, nextDue, sent);
    }
    if (answered < total && now < started + leadInMs + ms + 20_000) setImmediate(loop);
    else if (answered < total) finish.reject(new Error(`${total - answered} of ${total} requests had no answer`));
  };
  loop();
  try { await done; } finally {
    for (const { socket } of all) { socket.removeAllListeners("close"); socket.destroy(); }
  }
  const ordered = sorted(waits.subarray(leading));
  const each = Math.max(1, Math.round(perSecond * pieceMs / 1_000));
  const pieces = Array.from({ length: Math.floor(ordered.length / each) }, (_, at) => quantile(sorted(waits.subarray(leading + at * each, leading + (at + 1) * each)), 0.99));
  return { p50: quantile(ordered, 0.5), p99: quantile(ordered, 0.99), usual99: median(pieces), p999: quantile(ordered, 0.999), most: ordered.at(-1), lag99: quantile(sorted(lags.subarray(leading)), 0.99), perSecond: total / (performance.now() - started) * 1_000, errors };
}

serve({ port: await startBackend(), first }, measure);
